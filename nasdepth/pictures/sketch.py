"""What of a network is drawn: boxes, merges and wires, clustered by stage.

Transformations and poolings are boxes, merges circles; norm and activation are bars at
the box they follow or lead; the branch of a gate is a dashed wire into it; everything
else is part of a wire.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Final, Literal, TypeAlias

from nasdepth.architecture.graph import Graph, Node, reachable
from nasdepth.architecture.opaque import Gate, Opaque
from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Concat,
    Conv,
    GroupNorm,
    Input,
    Linear,
    Op,
    Pair,
    Pool,
    Select,
    Shape,
    pair,
)
from nasdepth.pictures import stages
from nasdepth.pictures.stages import Drawn, Row, Unit

#: boxes above which equal blocks are drawn once
MOST_BOXES: Final = 66
#: drawn nodes above which a block is divided where one wire is all that passes
_LONG_BLOCK: Final = 16
#: parts of names of operations that are drawn as a bar
_ACTIVATIONS: Final = ("act", "elu", "glu", "ish", "sigmoid", "softmax", "tanh")
#: operations that take a part of their input: a wire, though the size changes
_PARTS: Final = ("chunk", "getitem", "index", "narrow", "select", "slice", "split")

Bar: TypeAlias = Literal["norm", "activation"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A wire between drawn nodes.

    Attributes:
        source: node that is read.
        target: node that reads.
        channels: that a link selects; 0 where it carries all of them.
        gates: whether it stands for the branch of the gate that it ends in.
    """

    source: int
    target: int
    channels: int = 0
    gates: bool = False


@dataclass(frozen=True)  # no slots: what the wires say is cached on the instance
class Sketch:
    """A network as it is drawn.

    Attributes:
        graph: the network.
        shapes: of every node's output.
        edges: the wires.
        before: bars in front of a box.
        after: bars behind a box or a merge.
        output: the drawn node that the network's output comes from.
        rows: drawn nodes by stage and block.
    """

    graph: Graph
    shapes: tuple[Shape, ...]
    edges: tuple[Edge, ...]
    before: Mapping[int, tuple[Bar, ...]]
    after: Mapping[int, tuple[Bar, ...]]
    output: int
    rows: tuple[Row, ...] = ()

    def op(self, node: int) -> Op:
        """Operation of a node."""
        return self.graph.nodes[node].op

    def is_merge(self, node: int) -> bool:
        """Whether a node is drawn as a circle."""
        op = self.op(node)
        return isinstance(op, Add | Concat | Gate) or (
            not op.transforms and len(self.inputs(node)) > 1
        )

    def features(self, node: int) -> int:
        """Channels of a node's output, of a linear layer on tokens its features."""
        return self.shapes[node][-1 if isinstance(self.op(node), Linear) else 0]

    def inputs(self, node: int) -> list[int]:
        """Drawn nodes that a node reads, the branches of gates aside."""
        return self._inputs.get(node, [])

    def branch(self, gate: int) -> list[int]:
        """Transformations in the branch of a gate."""
        nodes = self.graph.nodes
        passing = reachable(len(nodes) - 1, [_passing(node) for node in nodes])
        inputs = [() if i in passing else n.inputs for i, n in enumerate(nodes)]
        found = reachable(nodes[gate].inputs[-1], inputs) - passing
        return sorted(i for i in found if nodes[i].op.transforms)

    @cached_property
    def _inputs(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for edge in self.edges:
            if not edge.gates:
                found.setdefault(edge.target, []).append(edge.source)
        return found


def sketch(graph: Graph) -> Sketch:
    """The drawn part of a graph, deep networks with equal blocks drawn once."""
    bare = _contracted(graph)
    full = _once(replace(bare, rows=stages.rows(_belongings(bare))))
    # what is no repetition by its names may be one by its structure
    rows = (
        Row(row.name, tuple(part for u in row.units for part in _divided(full, u)))
        for row in full.rows
    )
    return _once(replace(full, rows=tuple(rows)))


def words(op: Op) -> str:
    """An operation in words, without its channels."""
    match op:
        case Conv(stride=stride, groups=groups, dilation=dilation):
            options = [("stride", stride), ("groups", groups), ("dilation", dilation)]
            given = [f"{n} {sides(v)}" for n, v in options if v not in (1, (1, 1))]
            return ", ".join([f"convolution {square(op.kernel)}", *given])
        case Pool(kind=kind, kernel=kernel, stride=stride):
            return f"{kind} pooling {square(kernel)}, stride {sides(stride)}"
        case AdaptivePool(grid=grid):
            return f"average pooling to {grid}x{grid}"
        case Activation(kind=kind):
            return kind
        case Select(channels=channels):
            return f"link of {len(channels)} channels"
        case Gate(kind=kind):
            return f"gate ({kind.replace('_', ' ')})"
        case Opaque(kind=kind):
            return kind.replace("_", " ")
    return type(op).__name__.lower().replace("norm", " norm")


def caption(sketch: Sketch, node: int) -> tuple[str, str]:
    """The two lines in a box."""
    op, features = sketch.op(node), sketch.features(node)
    match op:
        case Conv(stride=stride, groups=groups, channels=channels):
            grouped = f" ÷{groups}" if 1 < groups < channels else ""
            return f"{square(op.kernel, '×')}{_step(stride)}", f"{channels}{grouped}"
        case Pool(kind=kind, kernel=kernel, stride=stride):
            return kind, f"{square(kernel, '×')}{_step(stride)}"
        case AdaptivePool(grid=grid):
            return "avg", f"to {grid}×{grid}" if grid > 1 else "global"
        case Opaque(kind=kind):
            return _short(kind), f"{features}"
    return "linear", f"{features}"


def _short(kind: str) -> str:
    """As many words of a name as fit a box."""
    found, *more = kind.strip("_").split("_")
    for word in more:
        if len(f"{found} {word}") > 11:
            break
        found += f" {word}"
    return found[:14]


def _step(stride: Pair) -> str:
    return f" /{sides(stride)}" if stride not in (1, (1, 1)) else ""


def square(value: Pair, sign: str = "x") -> str:
    """Height and width of a window: 3x3."""
    return sign.join(map(str, pair(value)))


def sides(value: Pair) -> str:
    """One number, or two where height and width differ: 2, 2x1."""
    return f"{pair(value)[0]}" if len({*pair(value)}) == 1 else square(value)


@dataclass(frozen=True, slots=True)
class _Trail:
    """What lies between a drawn node and one after it.

    Attributes:
        root: the drawn node.
        channels: that a link selects; 0 for all.
        shared: bars that several readers see.
        own: bars after the last division of the wire.
    """

    root: int
    channels: int = 0
    shared: tuple[Bar, ...] = ()
    own: tuple[Bar, ...] = ()


def _contracted(graph: Graph) -> Sketch:
    """The graph with everything contracted that is no box and no merge."""
    nodes, shapes = graph.nodes, graph.shapes()
    fed = reachable(0, graph.consumers())
    live = reachable(len(nodes) - 1, [_passing(node) for node in nodes]) & fed
    readers = Counter(i for index in live for i in {*_passing(nodes[index])})
    trails: dict[int, _Trail] = {}
    edges: dict[Edge, None] = {}
    before: dict[int, tuple[Bar, ...]] = {}
    after: dict[int, tuple[Bar, ...]] = {}
    for index in sorted(live):
        op, inputs = nodes[index].op, [i for i in _passing(nodes[index]) if i in live]
        if not _is_drawn(op, [shapes[i] for i in inputs], shapes[index]):
            divides = readers[index] > 1
            trails[index] = _passed(trails[inputs[0]], op, divides=divides)
            continue
        trails[index] = _Trail(index)
        for source in inputs:
            trail = trails[source]
            edges[Edge(trail.root, index, trail.channels)] = None
            behind = nodes[trail.root].op.transforms
            alone = behind and readers[trail.root] == 1 and not trail.shared
            if trail.own and op.transforms and not alone:
                before[index] = trail.own
            if bars := trail.shared or (() if index in before else trail.own):
                after[trail.root] = bars
        if isinstance(op, Gate):
            for root in _roots(graph, nodes[index].inputs[1], trails):
                edges[Edge(root, index, gates=True)] = None
    last = trails.get(len(nodes) - 1, _Trail(0))
    if last.shared or last.own:
        after[last.root] = (*last.shared, *last.own)
    return Sketch(graph, shapes, tuple(edges), before, after, last.root)


def _passing(node: Node) -> tuple[int, ...]:
    """Inputs of a node that pass through it: of a gate the first alone."""
    return node.inputs[:1] if isinstance(node.op, Gate) else node.inputs


def _roots(graph: Graph, end: int, trails: Mapping[int, _Trail]) -> list[int]:
    """Drawn nodes that the branch of a gate, which ends in node `end`, reads."""
    inputs = [
        () if index in trails else node.inputs for index, node in enumerate(graph.nodes)
    ]
    return sorted({trails[i].root for i in reachable(end, inputs) if i in trails})


def _passed(trail: _Trail, op: Op, *, divides: bool) -> _Trail:
    """The trail behind a further operation that is not drawn."""
    channels = len(op.channels) if isinstance(op, Select) else trail.channels
    own = (*trail.own, *_bars(op))
    if divides:
        return _Trail(trail.root, channels, (*trail.shared, *own))
    return _Trail(trail.root, channels, trail.shared, own)


def _is_drawn(op: Op, inputs: Sequence[Shape], output: Shape) -> bool:
    if op.transforms or isinstance(op, Input | Pool | AdaptivePool | Add | Concat):
        return True
    if isinstance(op, Gate) or len(inputs) > 1:
        return True
    if not isinstance(op, Opaque) or any(part in op.kind for part in _PARTS):
        return False
    resizes = prod(inputs[0]) != prod(output)
    return resizes and not _bars(op) and "pad" not in op.kind


def _bars(op: Op) -> tuple[Bar, ...]:
    if isinstance(op, BatchNorm | GroupNorm):
        return ("norm",)
    if isinstance(op, Opaque) and "norm" in op.kind:
        return ("norm",)
    if isinstance(op, Opaque) and any(part in op.kind for part in _ACTIVATIONS):
        return ("activation",)
    return ("activation",) if isinstance(op, Activation) else ()


def _belongings(sketch: Sketch) -> dict[int, Drawn]:
    """What of every drawn node but the input says where it belongs."""
    found = {}
    for node in sorted({edge.target for edge in sketch.edges}):
        shape, op = sketch.shapes[node], sketch.op(node)
        size = shape[1:] if len(shape) == 3 else ()
        scope = sketch.graph.nodes[node].scope
        found[node] = Drawn(scope, words(op), sketch.inputs(node), size)
    return found


def _once(sketch: Sketch) -> Sketch:
    """The sketch; with too many boxes, equal blocks in it drawn once."""
    boxes = sum(sketch.op(n).transforms for row in sketch.rows for n in row.nodes)
    return sketch if boxes <= MOST_BOXES else _collapsed(sketch)


def _divided(sketch: Sketch, unit: Unit) -> Iterator[Unit]:
    """The block; if it is very long and no repetition, divided at its bottlenecks."""
    nodes = unit.nodes
    if unit.repeat > 1 or len(nodes) <= _LONG_BLOCK:
        yield unit
        return
    place = {node: i for i, node in enumerate(nodes)}
    reach = [0] * len(nodes)  # the last node that reads a node
    for edge in sketch.edges:
        if edge.source in place and edge.target in place:
            source = place[edge.source]
            reach[source] = max(reach[source], place[edge.target])
    first = furthest = 0
    for i, end in enumerate(reach[:-1]):
        if furthest <= i:  # nothing before node i is read behind it
            yield Unit(nodes[first : i + 1])
            first = i + 1
        furthest = max(furthest, end)
    yield Unit(nodes[first:])


def _collapsed(sketch: Sketch) -> Sketch:
    """Equal blocks drawn once; who read one of them reads the one drawn."""
    stands: dict[int, int] = {}
    rows = []
    for row in sketch.rows:
        units: list[Unit] = []
        previous = Unit(())
        for unit in row.units:
            last = units[-1] if units else Unit(())
            follows = _follows(sketch, unit, previous)
            previous = unit
            if follows and _signature(sketch, unit) == _signature(sketch, last):
                stands.update(zip(unit.nodes, last.nodes, strict=True))
                units[-1] = replace(last, repeat=last.repeat + unit.repeat)
            else:
                units.append(unit)
        rows.append(Row(row.name, tuple(units)))
    edges = (
        replace(edge, source=stands.get(edge.source, edge.source))
        for edge in sketch.edges
        if edge.target not in stands
    )
    return replace(
        sketch,
        edges=tuple(dict.fromkeys(edges)),
        rows=tuple(rows),
        output=stands.get(sketch.output, sketch.output),
    )


def _follows(sketch: Sketch, unit: Unit, previous: Unit) -> bool:
    """Whether a block reads the one before it; equal arms are no repetition."""
    read = {source for node in unit.nodes for source in sketch.inputs(node)}
    return not read.isdisjoint(previous.nodes)


def _signature(sketch: Sketch, unit: Unit) -> tuple[object, ...]:
    """What equal blocks share; how many features a merge reads is left out."""
    own = {node: place for place, node in enumerate(unit.nodes)}
    return tuple(
        (
            _kind(sketch.op(node)),
            sketch.features(node) if sketch.op(node).transforms else 0,
            sketch.shapes[node][1:],
            frozenset(own.get(source, -1) for source in sketch.inputs(node)),
        )
        for node in unit.nodes
    )


def _kind(op: Op) -> object:
    """The operation, but only the kind of one that weighs nothing."""
    return (op.kind, type(op)) if isinstance(op, Opaque) else op
