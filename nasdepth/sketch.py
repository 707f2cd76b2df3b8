"""What of a network is drawn, and where: boxes, merges and wires in rows of blocks.

Transformations and poolings are boxes, merges circles; norm and activation are bars at
the box they follow or lead; everything else is part of a wire. A row holds the blocks
of one stage, unless it is too long and may be broken between them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from math import ceil, log2
from typing import Final, Literal, TypeAlias

from nasdepth.architecture.graph import Graph
from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Concat,
    Conv,
    GroupNorm,
    Input,
    Op,
    Pool,
    Select,
    Shape,
)

#: boxes above which equal blocks are drawn once
MOST_BOXES: Final = 66
#: width at which a row ends
PAGE: Final = 1180.0
BOX: Final = 50.0
RADIUS: Final = 9.0  # of a merge
GAP: Final = 16.0  # between columns
PAD: Final = 14.0  # between a frame and what is in it

Bar: TypeAlias = Literal["norm", "activation"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A wire between drawn nodes; `channels` is 0 where it carries all of them."""

    source: int
    target: int
    channels: int = 0


@dataclass(frozen=True, slots=True)
class Unit:
    """Drawn nodes of one block, and how many such blocks follow each other."""

    nodes: tuple[int, ...]
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """Blocks of one stage that stand in one line."""

    name: str
    units: tuple[Unit, ...]

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes of all blocks, in order of flow."""
        return tuple(node for unit in self.units for node in unit.nodes)


@dataclass(frozen=True, slots=True)
class Place:
    """Centre and size of a drawn node; a row is entered at the origin."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """Where wires come in."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """Where wires go out."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """Upper side."""
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        """Lower side."""
        return self.y + self.height / 2

    @property
    def fork(self) -> float:
        """Where wires that go elsewhere leave the one straight on."""
        return self.right + GAP * 0.4


@dataclass(frozen=True)  # no slots: what the wires say is cached on the instance
class Sketch:
    """A network as it is drawn.

    Attributes:
        graph: the network.
        shapes: of every node's output.
        edges: the wires.
        before: bars in front of a box.
        after: bars behind a box or a merge.
        rows: drawn nodes by stage and block.
    """

    graph: Graph
    shapes: tuple[Shape, ...]
    edges: tuple[Edge, ...]
    before: Mapping[int, tuple[Bar, ...]]
    after: Mapping[int, tuple[Bar, ...]]
    rows: tuple[Row, ...]

    def op(self, node: int) -> Op:
        """Operation of a node."""
        return self.graph.nodes[node].op

    def is_merge(self, node: int) -> bool:
        """Whether a node is drawn as a circle."""
        return isinstance(self.op(node), Add | Concat)

    def inputs(self, node: int) -> list[int]:
        """Drawn nodes that a node reads."""
        return self._inputs.get(node, [])

    def readers(self, node: int) -> int:
        """Number of wires that leave a node."""
        return self._readers[node]

    @cached_property
    def _inputs(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for edge in self.edges:
            found.setdefault(edge.target, []).append(edge.source)
        return found

    @cached_property
    def _readers(self) -> Counter[int]:
        return Counter(edge.source for edge in self.edges)


def sketch(graph: Graph) -> Sketch:
    """The drawn part of a graph, deep networks with equal blocks drawn once."""
    full = _contracted(graph)
    boxes = sum(full.op(n).transforms for row in full.rows for n in row.nodes)
    drawn = full if boxes <= MOST_BOXES else _collapsed(full)
    return replace(
        drawn, rows=tuple(r for row in drawn.rows for r in _broken(drawn, row))
    )


def places(sketch: Sketch, row: Row) -> dict[int, Place]:
    """Where the nodes of a row stand: in columns, the arms of a merge side by side."""
    columns = _columns(sketch, row)
    pitch = 14 + max(_size(sketch, node)[1] for node in row.nodes)
    found = {node: Place(x, 0.0, *_size(sketch, node)) for node, x in columns.items()}
    for merge in filter(sketch.is_merge, row.nodes):
        arms = _arms(sketch, row, merge)
        longest = max(map(len, arms), default=0)
        lanes = _lanes(sketch.op(merge), [len(arm) for arm in arms])
        start = min((found[n].left for arm in arms for n in arm), default=0.0)
        room = found[merge].left - GAP - start
        for lane, arm in zip(lanes, arms, strict=True):
            for rank, node in enumerate(arm):
                spread = start + room * (rank + 0.5) / len(arm)
                x = columns[node] if len(arm) == longest else spread
                found[node] = replace(found[node], x=x, y=lane * pitch)
    return found


def words(op: Op) -> str:
    """An operation in words, without its channels."""
    match op:
        case Conv(kernel=kernel, stride=stride, groups=groups):
            options = (("stride", stride), ("groups", groups))
            given = [f"{name} {value}" for name, value in options if value > 1]
            return ", ".join([f"convolution {kernel}x{kernel}", *given])
        case Pool(kind=kind, kernel=kernel, stride=stride):
            return f"{kind} pooling {kernel}x{kernel}, stride {stride}"
        case AdaptivePool(grid=grid):
            return f"average pooling to {grid}x{grid}"
        case Activation(kind=kind):
            return kind
        case Select(channels=channels):
            return f"link of {len(channels)} channels"
    return type(op).__name__.lower().replace("norm", " norm")


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
    trails: list[_Trail] = []
    edges: dict[Edge, None] = {}
    before: dict[int, tuple[Bar, ...]] = {}
    after: dict[int, tuple[Bar, ...]] = {}
    readers = graph.consumers()
    for index, node in enumerate(graph.nodes):
        divides = len(readers[index]) > 1
        if not _is_drawn(node.op):
            trails.append(_passed(trails[node.inputs[0]], node.op, divides))
            continue
        trails.append(_Trail(index))
        for source in node.inputs:
            trail = trails[source]
            edges[Edge(trail.root, index, trail.channels)] = None
            behind = graph.nodes[trail.root].op.transforms
            alone = behind and len(readers[trail.root]) == 1 and not trail.shared
            if trail.own and node.op.transforms and not alone:
                before[index] = trail.own
            if bars := trail.shared or (() if index in before else trail.own):
                after[trail.root] = bars
    return Sketch(graph, graph.shapes(), tuple(edges), before, after, _rows(graph))


def _passed(trail: _Trail, op: Op, divides: bool) -> _Trail:
    """The trail behind a further operation that is not drawn."""
    channels = len(op.channels) if isinstance(op, Select) else trail.channels
    own = (*trail.own, *_bars(op))
    if divides:
        return _Trail(trail.root, channels, (*trail.shared, *own))
    return _Trail(trail.root, channels, trail.shared, own)


def _is_drawn(op: Op) -> bool:
    return op.transforms or isinstance(op, Input | Pool | AdaptivePool | Add | Concat)


def _bars(op: Op) -> tuple[Bar, ...]:
    if isinstance(op, BatchNorm | GroupNorm):
        return ("norm",)
    return ("activation",) if isinstance(op, Activation) else ()


def _rows(graph: Graph) -> tuple[Row, ...]:
    """Drawn nodes by the first part of their scope and, in it, by the second."""
    drawn = [
        (node.scope.split("."), index)
        for index, node in enumerate(graph.nodes)
        if _is_drawn(node.op) and not isinstance(node.op, Input)
    ]
    rows = []
    for name, stage in groupby(drawn, key=lambda pair: pair[0][0]):
        blocks = groupby(stage, key=lambda pair: pair[0][:2])
        units = tuple(Unit(tuple(index for _, index in block)) for _, block in blocks)
        rows.append(Row(name, units))
    return tuple(rows)


def _collapsed(sketch: Sketch) -> Sketch:
    """Equal blocks drawn once; who read one of them reads the one drawn."""
    stands: dict[int, int] = {}
    rows = []
    for row in sketch.rows:
        units: list[Unit] = []
        for unit in row.units:
            last = units[-1] if units else Unit(())
            if _signature(sketch, unit) == _signature(sketch, last):
                stands.update(zip(unit.nodes, last.nodes, strict=True))
                units[-1] = replace(last, repeat=last.repeat + 1)
            else:
                units.append(unit)
        rows.append(Row(row.name, tuple(units)))
    edges = (
        replace(edge, source=stands.get(edge.source, edge.source))
        for edge in sketch.edges
        if edge.target not in stands
    )
    return replace(sketch, edges=tuple(dict.fromkeys(edges)), rows=tuple(rows))


def _signature(sketch: Sketch, unit: Unit) -> tuple[object, ...]:
    """What equal blocks share; how many features a merge reads is left out."""
    own = {node: place for place, node in enumerate(unit.nodes)}
    return tuple(
        (
            sketch.op(node),
            sketch.shapes[node][0] if sketch.op(node).transforms else 0,
            sketch.shapes[node][1:],
            frozenset(own.get(source, -1) for source in sketch.inputs(node)),
        )
        for node in unit.nodes
    )


def _broken(sketch: Sketch, row: Row) -> Iterator[Row]:
    """The row, broken between blocks where it is too long and no wire reaches over."""
    block = {node: place for place, unit in enumerate(row.units) for node in unit.nodes}
    linked = any(
        block.get(edge.target, 0) - block[edge.source] > 1
        for edge in sketch.edges
        if edge.source in block
    )
    end = max(_columns(sketch, row).values())
    lines = 1 if linked else min(ceil(end / PAGE), len(row.units))
    each = ceil(len(row.units) / lines)
    for first in range(0, len(row.units), each):
        name = f"{row.name}, continued" if first else row.name
        yield Row(name, row.units[first : first + each])


def _columns(sketch: Sketch, row: Row) -> dict[int, float]:
    """Centre of the column of every node."""
    rank: dict[int, int] = {}
    widths: dict[int, float] = {}
    for node in row.nodes:
        rank[node] = 1 + max((rank.get(i, 0) for i in sketch.inputs(node)), default=0)
        widths[rank[node]] = max(widths.get(rank[node], 0), _size(sketch, node)[0])
    centre: dict[int, float] = {}
    x = PAD + GAP / 2
    for column in sorted(widths):
        centre[column] = x + widths[column] / 2
        x += widths[column] + GAP
    return {node: centre[rank[node]] for node in row.nodes}


def _size(sketch: Sketch, node: int) -> tuple[float, float]:
    """Width and height; a box is higher by 4 points each time its channels double."""
    if sketch.is_merge(node):
        return 2 * RADIUS, 2 * RADIUS
    height = 26 + 4 * (log2(max(8, sketch.shapes[node][0])) - 3)
    return BOX if sketch.op(node).transforms else BOX - 8, min(height, 62.0)


def _arms(sketch: Sketch, row: Row, merge: int) -> list[tuple[int, ...]]:
    """The chains of boxes that end in a merge, each in order of flow."""
    arms, own = [], set(row.nodes)
    for node in sketch.inputs(merge):
        arm: list[int] = []
        while node in own and not sketch.is_merge(node):
            if sketch.readers(node) > 1:
                break
            arm.append(node)
            node = sketch.inputs(node)[0]
        if arm:
            arms.append(tuple(reversed(arm)))
    return arms


def _lanes(merge: Op, lengths: Sequence[int]) -> list[float]:
    """Height of each arm: around the middle, but a projection above its block."""
    if isinstance(merge, Add) and len(lengths) == 2 and lengths[0] != lengths[1]:
        return [0.0 if length == max(lengths) else -1.0 for length in lengths]
    return [place - (len(lengths) - 1) / 2 for place in range(len(lengths))]
