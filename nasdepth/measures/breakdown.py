"""Where a network's depth and cost lie: by scope, by cell, by convention."""

from collections.abc import Iterator
from dataclasses import dataclass

from nasdepth.architecture.graph import Graph
from nasdepth.measures.catalogue import measure
from nasdepth.measures.depth import (
    CONVENTIONS,
    DEFAULT,
    DepthConvention,
    path_shares,
)
from nasdepth.measures.structure import Structure


@dataclass(frozen=True, slots=True)
class Part:
    """What one scope of a network holds.

    Attributes:
        scope: dotted name, cut to the level asked for.
        layers: transformations on a path (its part of W).
        expected_layers: of these on a random path (its part of the effective depth).
        params: learnable parameters.
        macs: multiply-accumulates for one image.
        activations: output elements of convolutions and linear layers.
    """

    scope: str
    layers: int
    expected_layers: float
    params: int
    macs: int
    activations: int


#: depth measures that a convention changes
TURNING = (
    "longest_path",
    "shortest_path",
    "effective_depth",
    "midrange_depth",
    "merge_depth",
    "attenuated_depth",
    "path_sd",
    "log2_paths",
)


def by_scope(
    graph: Graph, level: int = 1, convention: DepthConvention = DEFAULT
) -> tuple[Part, ...]:
    """Parts of a network by the first `level` names of their scopes, in order of flow.

    >>> from nasdepth.architecture.families import family
    >>> from nasdepth.architecture.lower import lower
    >>> parts = by_scope(lower(family("resnet18")))
    >>> [(p.scope, p.layers, round(p.expected_layers, 6)) for p in parts][:3]
    [('stem', 1, 1.0), ('stage1', 4, 2.0), ('stage2', 5, 2.0)]

    Args:
        graph: the network.
        level: names of a scope to keep.
        convention: what weighs in a depth.

    Raises:
        ValueError: `level` below 1.
        Undefined: no input-output path.
    """
    if level < 1:
        raise ValueError(f"level must be at least 1, but got {level=}.")
    structure = Structure(graph)
    found: dict[str, list[float]] = {}

    def add(scope: str, *row: float) -> None:
        total = found.setdefault(_cut(scope, level), [0.0] * 5)
        total[:] = [a + b for a, b in zip(total, row, strict=True)]

    for scope, *costs in _costs(structure):
        add(scope, 0, 0, *costs)
    for node in structure.ungated.graph.nodes:
        add(node.scope, node.op.transforms, 0, 0, 0, 0)
    for scope, expected in path_shares(structure, convention).items():
        add(scope, 0, expected, 0, 0, 0)
    return tuple(
        Part(scope, int(layers), expected, *map(int, costs))
        for scope, (layers, expected, *costs) in found.items()
        if layers or expected or any(costs)
    )


def sensitivity(graph: Graph) -> dict[str, dict[str, float | None]]:
    """Depth measures under each convention, by the convention's name."""
    return {
        name: measure(graph, TURNING, convention)
        for name, convention in CONVENTIONS.items()
    }


def _costs(structure: Structure) -> Iterator[tuple[str, int, int, int]]:
    """Scope, parameters, MACs and activations of every node."""
    shapes = structure.shapes
    for index, node in enumerate(structure.graph.nodes):
        inputs = [shapes[i] for i in node.inputs]
        elements = 1
        for side in shapes[index]:
            elements *= side
        kept = elements if node.op.transforms else 0
        yield node.scope, node.op.params(inputs), node.op.macs(inputs), kept


def _cut(scope: str, level: int) -> str:
    return ".".join(scope.split(".")[:level])
