"""Cost: parameters, multiply-accumulates, activations, memory, receptive field."""

from typing import Final

from nasdepth.architecture.graph import Graph
from nasdepth.architecture.opaque import Opaque, Weights
from nasdepth.architecture.ops import AdaptivePool, Flatten, Op, Shape
from nasdepth.measures.structure import Structure, Undefined

_FLOAT32: Final = 4  # bytes
#: what gives its input's own map
_VIEWS: Final = (Flatten, Weights)


def params(graph: Graph) -> int:
    """Number of learnable parameters.

    >>> from nasdepth.architecture.families import family
    >>> from nasdepth.architecture.lower import lower
    >>> params(lower(family("resnet18")))
    11689512
    """
    shapes = graph.shapes()
    return sum(node.op.params([shapes[i] for i in node.inputs]) for node in graph.nodes)


def live_params(structure: Structure) -> int:
    """Number of learnable parameters on an input-output path."""
    return params(structure.graph)


def macs(structure: Structure) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image."""
    shapes, nodes = structure.shapes, structure.graph.nodes
    return sum(node.op.macs([shapes[i] for i in node.inputs]) for node in nodes)


def activations(structure: Structure) -> int:
    """Output elements of convolutions and linear layers for one image."""
    nodes = structure.graph.nodes
    return sum(
        _size(shape)
        for node, shape in zip(nodes, structure.shapes, strict=True)
        if node.op.transforms
    )


def peak_memory(structure: Structure) -> int:
    """Most bytes of float32 maps alive at once in a forward pass of one image.

    Nodes run in order; a map lives from its own node to its last reader, and no
    operation works in place (but flatten, which is a view).
    """
    nodes = structure.graph.nodes
    last = [max(readers, default=i) for i, readers in enumerate(structure.consumers)]
    for index in range(len(nodes) - 1, -1, -1):
        if isinstance(nodes[index].op, _VIEWS):
            (viewed,) = nodes[index].inputs
            last[viewed] = max(last[viewed], last[index])
    alive = most = 0
    ending: dict[int, int] = {}
    for index, node in enumerate(nodes):
        size = _held(node.op, structure.shapes[index])
        alive += size
        ending[last[index]] = ending.get(last[index], 0) + size
        most = max(most, alive)
        alive -= ending.pop(index, 0)
    return most * _FLOAT32


def receptive_field(structure: Structure) -> int:
    """Side in pixels of the image window that one element of the last map sees.

    The longer of its two sides, not clipped at the image; 0 where no path leads from
    input to output.

    Raises:
        Undefined: see `window`.
    """
    if not structure.has_path:
        return 0
    return max(window(structure, axis)[0] for axis in (0, 1))


def window(structure: Structure, axis: int = 0) -> tuple[int, int]:
    """Side of what an element of the last map sees, and the step to its neighbour's.

    Along height (0) or width (1), in pixels. Pooling to a fixed grid and what follows
    is left out, and so are gates.

    Raises:
        Undefined: an operation mixes places of the map that lie apart, or joins a
            pooled map with one that is not.
    """
    structure = structure.ungated
    seen: list[tuple[int, int]] = []
    pooled: list[bool] = []
    for node, inputs in zip(structure.graph.nodes, structure.live, strict=True):
        op, before = node.op, {pooled[i] for i in inputs}
        if len(before) == 2:
            raise Undefined(f"{node.scope!r} joins a pooled map with one that is not.")
        side, jump = max((seen[i] for i in inputs), default=(1, 1))
        pooled.append(before == {True} or pools(op))
        if isinstance(op, Opaque) and not (op.local or pooled[-1]):
            raise Undefined(f"{op.kind} mixes places in {node.scope!r}.")
        kernel, stride = (1, 1) if pooled[-1] else op.window(axis)
        seen.append((side + (kernel - 1) * jump, jump * stride))
    return seen[-1]


def pools(op: Op) -> bool:
    """Whether an operation pools the whole map, or to a fixed grid."""
    return isinstance(op, AdaptivePool) or (isinstance(op, Opaque) and op.pools)


def _size(shape: Shape) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _held(op: Op, shape: Shape) -> int:
    return 0 if isinstance(op, _VIEWS) else _size(shape)
