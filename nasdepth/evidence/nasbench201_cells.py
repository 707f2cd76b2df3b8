"""NAS-Bench-201: its cells, and the published networks of a cell as graphs.

Dong & Yang 2020 (arXiv:2001.00326): a cell has four nodes and six edges; an edge is a
ReLU-convolution-batch norm of kernel 1 or 3, an average pooling, the identity or
nothing. Five cells in series make a stage; the stages, 16, 32 and 64 channels wide, are
joined by residual blocks that halve the map. All 15,625 cells were trained.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.graph import Graph, GraphBuilder
from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Conv,
    Flatten,
    Identity,
    Linear,
    Pool,
    Zeros,
)
from nasdepth.architecture.registry import unknown

#: operations of a cell's edges, in the order of `EDGES`
Cell: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataSet:
    """One of the benchmark's data sets.

    Attributes:
        file: Of the table, in the installed package.
        label: In words.
        side: Of its images in pixels.
        classes: Number of classes.
        images: Validation images behind an accuracy: Dong & Yang 2020, section 2.2.
    """

    file: str
    label: str
    side: int
    classes: int
    images: int


DATA_SETS: Final = {
    # "CIFAR-10-valid": one half of the training images trains, the other validates
    "cifar10": DataSet("cifar10.pkl", "CIFAR-10", 32, 10, 25_000),
    # half of the 10,000 test images
    "cifar100": DataSet("cifar100.pkl", "CIFAR-100", 32, 100, 5_000),
    # half of the 6,000 validation images of the 120 classes
    "imagenet16-120": DataSet("imagenet.pkl", "ImageNet16-120", 16, 120, 3_000),
}
#: of an edge, in the order in which the table's keys number them
OPERATIONS: Final = (
    "none",
    "skip_connect",
    "nor_conv_1x1",
    "nor_conv_3x3",
    "avg_pool_3x3",
)
WIRES: Final = frozenset(("none", "skip_connect"))
#: source and target of an edge, in the order of a cell's string
EDGES: Final = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
WIDTHS: Final = (16, 32, 64)
CELLS: Final = 5  # of a stage
#: the cell without edges: what remains of one without an input-output path
DEAD: Final[Cell] = ("none",) * len(EDGES)


def named(key: str) -> Cell:
    """The cell of a key of the table.

    >>> named("421211")[:3]
    ('avg_pool_3x3', 'nor_conv_1x1', 'skip_connect')
    """
    return tuple(OPERATIONS[int(digit)] for digit in key)


def key_of(cell: Cell) -> str:
    """Key of a cell in the table: the number of each edge's operation.

    >>> key_of(named("421211"))
    '421211'
    """
    return "".join(str(OPERATIONS.index(name)) for name in cell)


def text_of(cell: Cell) -> str:
    """String of a cell, as published.

    >>> text_of(named("403010"))
    '|avg_pool_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|skip_connect~1|none~2|'
    """
    groups = {1: "|", 2: "|", 3: "|"}
    for (source, target), name in zip(EDGES, cell, strict=True):
        groups[target] += f"{name}~{source}|"
    return "+".join(groups.values())


def parsed(cell: str) -> Cell:
    """Operations of a cell's edges, in the order of `EDGES`.

    Raises:
        ValueError: The text is no cell of NAS-Bench-201.
    """
    parts = [part.split("~") for part in cell.replace("+", "").split("|") if part]
    sources = [part[1:] for part in parts]
    if sources != [[str(source)] for source, _ in EDGES]:
        raise ValueError(
            f"A cell must be |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, but got {cell!r}."
        )
    for name, _ in parts:
        if name not in OPERATIONS:
            raise ValueError(unknown("operation of NAS-Bench-201", name, OPERATIONS))
    return tuple(name for name, _ in parts)


def live(cell: Cell) -> Cell:
    """The cell without the edges that lie on no path from its input to its output."""
    edges = [e for e, name in zip(EDGES, cell, strict=True) if name != "none"]
    fed, read = {0}, {3}
    for source, target in edges:
        fed |= {target} if source in fed else set()
    for source, target in reversed(edges):
        read |= {source} if target in read else set()
    return tuple(
        name if source in fed and target in read else "none"
        for (source, target), name in zip(EDGES, cell, strict=True)
    )


def nasbench201_graph(
    cell: str, data_set: str = "cifar10", cells: int = CELLS
) -> Graph:
    """Graph of the published network of a cell.

    >>> from nasdepth.measures.cost import params
    >>> cell = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    >>> params(nasbench201_graph(cell))
    316346

    Args:
        cell: As published: ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.
        data_set: One of `DATA_SETS`: sets the images' side and the classes.
        cells: Number in a stage; 5 were trained.

    Raises:
        ValueError: The text is no cell of NAS-Bench-201.
    """
    return network(parsed(cell), DATA_SETS[data_set], cells)


def network(cell: Cell, about: DataSet, cells: int) -> Graph:
    """Stem, three stages joined by residual blocks, head."""
    builder = GraphBuilder((3, about.side, about.side))
    with builder.scope("stem"):
        node = builder.emit(BatchNorm(), builder.emit(Conv(WIDTHS[0]), 0))
    for stage, width in enumerate(WIDTHS, 1):
        with builder.scope(f"stage{stage}"):
            if stage > 1:
                with builder.scope("reduction"):
                    node = _reduction(builder, node, width)
            for number in range(cells):
                with builder.scope(f"cell{number}"):
                    node = _cell(builder, node, cell)
    with builder.scope("head"):
        for op in (BatchNorm(), Activation("relu"), AdaptivePool(), Flatten()):
            node = builder.emit(op, node)
        builder.emit(Linear(about.classes), node)
    return builder.graph()


def _cell(builder: GraphBuilder, node: int, cell: Cell) -> int:
    """Each node of the cell is the sum of what its edges give."""
    arms: dict[int, list[int]] = {1: [], 2: [], 3: []}
    sums = [node]
    for (source, target), name in zip(EDGES, cell, strict=True):
        arms[target].append(_edge(builder, sums[source], name))
        if source == target - 1:
            sums.append(builder.emit(Add(), *arms[target]))
    return sums[-1]


def _edge(builder: GraphBuilder, node: int, name: str) -> int:
    if name == "none":
        return builder.emit(Zeros(builder.shape(node)))
    if name == "skip_connect":
        return builder.emit(Identity(), node)
    if name == "avg_pool_3x3":
        return builder.emit(Pool("avg", 3, 1, 1), node)
    return _unit(builder, node, kernel=3 if name == "nor_conv_3x3" else 1)


def _unit(
    builder: GraphBuilder,
    node: int,
    *,
    kernel: int = 3,
    width: int = 0,
    stride: int = 1,
) -> int:
    """ReLU, convolution, batch norm; the width is the input's unless given."""
    node = builder.emit(Activation("relu"), node)
    channels = width or builder.shape(node)[0]
    node = builder.emit(Conv(channels, kernel, stride, kernel // 2), node)
    return builder.emit(BatchNorm(), node)


def _reduction(builder: GraphBuilder, node: int, width: int) -> int:
    """Residual block that halves the map; its shortcut pools, then projects."""
    body = _unit(builder, _unit(builder, node, width=width, stride=2))
    pooled = builder.emit(Pool("avg", 2, 2), node)
    return builder.emit(Add(), builder.emit(Conv(width, 1, 1, 0), pooled), body)


def cell_digest(cell: Cell) -> str:
    """Digest of one cell between its input and output: that of the architecture.

    The networks of two cells are one if and only if the cells are.
    """
    builder = GraphBuilder((WIDTHS[0], DATA_SETS["cifar10"].side, 32))
    _cell(builder, 0, cell)
    return digest(builder.graph())
