"""Slow and plain second definitions that the tests hold the package against.

networkx serves here as an oracle only; nothing in this file imports the code under
test beyond the operations and the graph value.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import log2

import networkx as nx

from nasdepth.architecture.graph import Graph
from nasdepth.architecture.ops import Add, Concat, Identity, Op, Zeros

Parts = dict[int, tuple[Op, tuple[int, ...]]]


def paths(graph: Graph) -> list[tuple[int, ...]]:
    """Every input-output path as its nodes, one per choice of parallel edges."""
    output = len(graph.nodes) - 1
    if output == 0:
        return [(0,)]
    edges = nx.MultiDiGraph()
    edges.add_nodes_from(range(len(graph.nodes)))
    for reader, node in enumerate(graph.nodes):
        edges.add_edges_from((source, reader) for source in node.inputs)
    found = nx.all_simple_edge_paths(edges, 0, output)
    return [(0, *(edge[1] for edge in path)) for path in found]


def path_weights(graph: Graph, weights: Sequence[int]) -> Counter[int]:
    """Number of paths of each weight."""
    return Counter(sum(weights[i] for i in path) for path in paths(graph))


def merge_depth(graph: Graph, weights: Sequence[int]) -> Fraction:
    """Mean weight of a walk back from the output that takes any arm as likely."""
    led = nx.DiGraph()
    led.add_nodes_from(range(len(graph.nodes)))
    for reader, node in enumerate(graph.nodes):
        led.add_edges_from((source, reader) for source in node.inputs)
    fed = {0, *nx.descendants(led, 0)}
    arms = [[i for i in node.inputs if i in fed] for node in graph.nodes]
    total = Fraction(0)
    for path in paths(graph):
        chance = Fraction(1)
        for node in path[1:]:
            chance /= len(arms[node])
        total += chance * sum(weights[i] for i in path)
    return total


def moments(law: Mapping[int, int]) -> tuple[Fraction, Fraction, float]:
    """Mean, variance and log2 of the count of a law of path weights."""
    count = sum(law.values())
    mean = Fraction(sum(weight * n for weight, n in law.items()), count)
    square = Fraction(sum(weight**2 * n for weight, n in law.items()), count)
    return mean, square - mean**2, log2(count)


def attenuated(law: Mapping[int, int], attenuation: Fraction) -> Fraction:
    """Mean weight when a path of weight n counts attenuation**n."""
    counts = {weight: n * attenuation**weight for weight, n in law.items()}
    return sum(w * c for w, c in counts.items()) / sum(counts.values())


def rewritten(graph: Graph) -> tuple[Parts, int]:
    """The canonical form by naive rewriting, one step after another; its output."""
    shapes = graph.shapes()
    parts, output = as_parts(graph)
    if output not in _fed(parts):
        parts = {0: parts[0], output: (Zeros(shapes[output]), ())}
    else:
        parts = dict(_pruned(parts, output, [Zeros(shape) for shape in shapes]))
        while (step := _step(parts, output)) is not None:
            parts, output = step
    return _parted(parts), output


def as_parts(graph: Graph) -> tuple[Parts, int]:
    """The graph as it is, by number, and its output."""
    parts = {i: (node.op, node.inputs) for i, node in enumerate(graph.nodes)}
    return parts, len(graph.nodes) - 1


def labelled(graph: tuple[Parts, int]) -> nx.DiGraph:
    """A graph of networkx with operations and ports as labels.

    An edge's label is the list of its ports, or its multiplicity where the reader is
    an add: canonical forms are isomorphic exactly where they mean one network.
    """
    parts, output = graph
    result = nx.DiGraph()
    for index, (op, inputs) in parts.items():
        result.add_node(index, label=f"{op!r}{'output' * (index == output)}")
        for source in set(inputs):
            ports = tuple(k for k, i in enumerate(inputs) if i == source)
            label = len(ports) if isinstance(op, Add) else ports
            result.add_edge(source, index, label=label)
    return result


def isomorphic(one: Graph, other: Graph) -> bool:
    """Whether two graphs mean one network."""
    return same(labelled(rewritten(one)), labelled(rewritten(other)))


def same(one: nx.DiGraph, other: nx.DiGraph) -> bool:
    """Whether two labelled graphs are isomorphic."""
    return nx.is_isomorphic(
        one,
        other,
        node_match=lambda a, b: a["label"] == b["label"],
        edge_match=lambda a, b: a["label"] == b["label"],
    )


def _fed(parts: Parts) -> set[int]:
    fed = {0}
    for index in sorted(parts):
        if fed & set(parts[index][1]):
            fed.add(index)
    return fed


def _pruned(
    parts: Parts, output: int, zeros: Sequence[Op]
) -> Iterator[tuple[int, tuple[Op, tuple[int, ...]]]]:
    """Nodes on some path; what an add or a concat loses is dropped or made zeros."""
    fed = _fed(parts)
    leads = {output}
    for index in sorted(parts, reverse=True):
        if index in leads:
            leads |= set(parts[index][1])
    new = len(zeros)
    for index in sorted(fed & leads):
        op, inputs = parts[index]
        kept = []
        for source in inputs:
            if source in fed:
                kept.append(source)
            elif isinstance(op, Concat):
                yield new, (zeros[source], ())
                kept.append(new)
                new += 1
        yield index, (op, tuple(kept))


def _parted(parts: Parts) -> Parts:
    """A constant of its own on every edge that carries none of the image."""
    alone = {k: v for k, v in parts.items() if k == 0 or v[1]} or parts
    if len(alone) == 1:  # a constant is the output
        return parts
    new = max(parts) + 1
    for index, (op, inputs) in list(alone.items()):
        own = []
        for source in inputs:
            if source in alone:
                own.append(source)
            else:
                alone[new] = parts[source]
                own.append(new)
                new += 1
        alone[index] = op, tuple(own)
    return alone


def _step(parts: Parts, output: int) -> tuple[Parts, int] | None:
    """One step: an identity taken out, or a merge put into the one that reads it."""
    for index, (op, inputs) in parts.items():
        if isinstance(op, Identity | Add | Concat) and len(inputs) == 1:
            rest = {k: v for k, v in parts.items() if k != index}
            swapped = {
                k: (o, tuple(inputs[0] if i == index else i for i in ii))
                for k, (o, ii) in rest.items()
            }
            return swapped, inputs[0] if output == index else output
        readers = {k for k, (_, ii) in parts.items() if index in ii}
        if isinstance(op, Add | Concat) and len(readers) == 1 and index != output:
            (reader,) = readers
            if type(parts[reader][0]) is type(op):
                arms: list[int] = []
                for i in parts[reader][1]:
                    arms += inputs if i == index else [i]
                rest = {k: v for k, v in parts.items() if k != index}
                return {**rest, reader: (parts[reader][0], tuple(arms))}, output
    return None
