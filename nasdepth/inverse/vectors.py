"""Parts of a network measured as networks of their own.

A stage is cut at a node that every path crosses: its *entry* depends on the width
before it, its *body* does not. Whatever adds up along a path or over operations adds
up over such parts; the peak memory is the greatest of theirs.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from nasdepth.architecture.graph import Graph, Node
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Input, Shape
from nasdepth.architecture.spec import Architecture, Stage, Stem
from nasdepth.inverse.bounds import Floats
from nasdepth.inverse.box import choices_of, designed
from nasdepth.measures.catalogue import measure

#: the scope that ends the entry of a stage
_ENTRY: Final = {
    "plain": "block0",
    "residual": "block0",
    "inception": "block0",
    "cell": "layer0",
    "parallel": "transition",
    "dense": "transition",
}


@dataclass(frozen=True)  # no slots: the reference is lowered once
class Probe:
    """Measures of the parts of networks like a reference.

    Attributes:
        reference: gives the style, the seed of the links, the sizes of the maps.
        names: measures of a part; a vector has them in this order, peak memory last.
    """

    reference: Architecture
    names: tuple[str, ...]

    def entry(self, place: int, stage: Stage, channels: int) -> tuple[int, Floats]:
        """Channels after the entry of a stage, and its vector.

        Args:
            place: of the stage, from 0; the stem belongs to the entry of the first.
            stage: the stage.
            channels: before it.
        """
        graph = self._around(place, stage, channels)
        first, cut, _ = _bounds(graph, place, stage)
        part = _part(graph, 1 if place == 0 else first, cut)
        return graph.shapes()[cut - 1][0], self.vector(part)

    def body(self, place: int, stage: Stage, channels: int) -> Floats:
        """Vector of what follows the entry, `channels` after the entry."""
        # DenseNet's transitions halve the channels before a block
        halved = stage.family == "dense" and stage.stride > 1
        graph = self._around(place, stage, channels * (1 + halved), whole=False)
        _, cut, stop = _bounds(graph, place, stage)
        return self.vector(_part(graph, cut, stop))

    def head(self, channels: int) -> Floats:
        """Vector of the head after a last stage of so many channels."""
        choices = choices_of(self.reference)
        depth, width, links = choices[-1]
        if self.reference.stages[-1].family != "dense":
            width = channels
        like = designed(self.reference, [*choices[:-1], (depth, width, links)])
        filler = Stage(width=channels, kernel=1)
        shape = (1, *self._sizes[len(choices)])
        small = replace(like, stages=(filler,), stem=None, input_shape=shape)
        graph = lower(small)
        first = _first(graph, "head.")
        return self.vector(_part(graph, first, len(graph.nodes)))

    def area(self, place: int, stage: Stage) -> int:
        """Elements of one channel of the map inside a stage."""
        graph = self._around(place, replace(stage, depth=1), stage.width, whole=False)
        _, cut, _ = _bounds(graph, place, stage)
        _, *sides = graph.shapes()[cut - 1]
        return int(np.prod(sides))

    def vector(self, graph: Graph) -> Floats:
        """Measures of a graph.

        Raises:
            ValueError: a measure has no value for it.
        """
        values = measure(graph, (*self.names, "peak_memory"))
        for name, value in values.items():
            if value is None:
                raise ValueError(f"{name} has no value for a part of this network.")
        # an empty part holds no map of its own
        peak = values["peak_memory"] if len(graph.nodes) > 1 else 0
        return np.array([*(values[name] for name in self.names), peak], float)

    @cached_property
    def _sizes(self) -> list[Shape]:
        """Height and width of the map before every stage, and after the last."""
        graph = lower(self.reference)
        shapes, sizes = graph.shapes(), []
        for place in range(len(self.reference.stages)):
            first = _first(graph, f"stage{place + 1}.")
            sizes.append(shapes[first - 1][1:])
        return [*sizes, shapes[_first(graph, "head.") - 1][1:]]

    def _around(
        self, place: int, stage: Stage, channels: int, *, whole: bool = True
    ) -> Graph:
        """Smallest network that has the stage at its place, after so many channels."""
        if place == 0 and whole:
            own = choices_of(self.reference)
            wanted = (stage.depth, stage.width, stage.links)
            like = designed(self.reference, [wanted, *own[1:]])
            return lower(replace(like, stages=(stage,)))
        # the place names the draw of the links
        fillers = (Stage(width=channels, kernel=1),) * place
        shape = (1, *self._sizes[place])
        stem = Stem(channels, kernel=1)
        stages = (*fillers, stage)
        return lower(
            replace(self.reference, stages=stages, stem=stem, input_shape=shape)
        )


def joined(first: Floats, second: Floats) -> Floats:
    """Vector of two parts in series: sums, and the greater peak memory."""
    total = first + second
    total[..., -1] = np.maximum(first[..., -1], second[..., -1])
    return total


def _bounds(graph: Graph, place: int, stage: Stage) -> tuple[int, int, int]:
    """First node of a stage, of its body, and of what follows the stage."""
    scope = f"stage{place + 1}."
    inside = [i for i, n in enumerate(graph.nodes) if n.scope.startswith(scope)]
    head = f"{scope}{_ENTRY[stage.family]}."
    entry = [i for i in inside if graph.nodes[i].scope.startswith(head)]
    first = _first(graph, scope)
    stop = inside[-1] + 1 if inside else first
    return first, entry[-1] + 1 if entry else first, stop


def _first(graph: Graph, scope: str) -> int:
    """First node under a scope; where there is none, where the head begins."""
    for index, node in enumerate(graph.nodes):
        if node.scope.startswith((scope, "head.")):
            return index
    return len(graph.nodes)


def _part(graph: Graph, first: int, stop: int) -> Graph:
    """The nodes from `first` to `stop` as a graph of what enters them."""
    source = first - 1
    nodes = [Node(Input(graph.shapes()[source]))]
    for node in graph.nodes[first:stop]:
        inputs = tuple(max(0, i - source) for i in node.inputs)
        if any(i < source for i in node.inputs):
            raise ValueError("A part of the network reads from before its boundary.")
        nodes.append(Node(node.op, inputs, node.scope))
    return Graph(tuple(nodes))
