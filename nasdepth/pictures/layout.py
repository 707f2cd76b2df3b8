"""Where the boxes, merges and wires of a stage stand.

What passes one wire after the other stands in series, arms one above the other, and
what cannot be taken apart in one line, with arcs over it. So no box lies on another
and no straight wire runs through one, whatever the graph.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from typing import Final

from nasdepth.architecture.ops import Add, Concat, Op
from nasdepth.pictures.series import Gap, Line, Link, Piece, sides
from nasdepth.pictures.sketch import Edge, Sketch, caption
from nasdepth.pictures.stages import Row
from nasdepth.pictures.svg import Point

BOX: Final = 50.0
RADIUS: Final = 9.0  # of a merge
GAP: Final = 16.0  # between columns
FORK: Final = GAP * 0.4  # from a box to where its wires divide
_LANE: Final = 14.0  # between arms
_OVER: Final = 11.0  # between a wire and the boxes under it


@dataclass(frozen=True, slots=True)
class Place:
    """Centre and size of a drawn node."""

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


@dataclass(frozen=True, slots=True)
class Wire:
    """The way of an edge: straight to a point, maybe an arc, and straight on.

    Attributes:
        edge: what it draws; None for a letter's wire and the way out.
        before: corners up to the arc, or all of them.
        over: the highest point of the arc; None without one.
        after: corners from the end of the arc on.
    """

    edge: Edge | None
    before: tuple[Point, ...]
    over: float | None = None
    after: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Tag:
    """A letter that stands for a wire to or from another row.

    Attributes:
        node: whose output it is.
        leaves: whether the wire goes out here.
    """

    node: int
    leaves: bool


@dataclass(slots=True)
class Panel:
    """A row as it is drawn, relative to where its wire comes in.

    Attributes:
        row: what is drawn.
        places: of the nodes.
        tags: letters and their places.
        wires: in order of drawing.
        forks: where wires divide.
        width: from the point of entry to that of exit.
        up: how far it extends above them.
        down: and below.
        enters: whether a wire comes in from the row before.
        leaves: whether one goes on to the row behind.
    """

    row: Row
    places: dict[int, Place] = field(default_factory=dict)
    tags: list[tuple[Tag, Place]] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    forks: dict[Point, None] = field(default_factory=dict)
    width: float = 0.0
    up: float = 0.0
    down: float = 0.0
    enters: bool = True
    leaves: bool = True


@dataclass(frozen=True, slots=True)
class Size:
    """How far a piece extends, above and below the level of its wire."""

    width: float
    up: float
    down: float


@dataclass(frozen=True, slots=True)
class Port:
    """One end of a gap.

    Attributes:
        turn: where wires leave the level, or come back to it.
        way: corners of the way to the gap, or behind it, in order of flow.
        place: of a merge, which wires may enter from above and below.
    """

    turn: float
    way: tuple[Point, ...]
    place: Place | None = None

    def lane(self, level: float, y: float) -> tuple[Point, ...]:
        """The way out of a gap from a lane at height `y`."""
        if y == level:
            return self.way
        if self.place:
            side = self.place.top if y < level else self.place.bottom
            return ((self.place.x, y), (self.place.x, side))
        return ((self.turn, y), (self.turn, level), *self.way)

    def landing(self, level: float) -> tuple[Point, ...]:
        """The way out of a gap for what comes from above."""
        if self.place:
            return ((self.place.x, self.place.top),)
        return ((self.turn, level), *self.way)


class Pen:
    """Measures pieces of a row and draws them into its panel."""

    def __init__(self, sketch: Sketch, panel: Panel, tags: Mapping[int, Tag]) -> None:
        self._sketch, self._panel, self._tags = sketch, panel, tags

    def measure(self, piece: Piece) -> Size:
        """Extent of a piece around the level of its wire."""
        if isinstance(piece, Line):
            return self._line_size(piece)
        width = up = down = 0.0
        for i, gap in enumerate(piece.gaps):
            inside = self._gap_size(gap, sides(piece, i))
            width += inside.width
            up, down = max(up, inside.up), max(down, inside.down)
        for node in piece.cuts:
            wide, high = self._box(node)
            width += wide
            up, down = max(up, high / 2), max(down, high / 2)
        return Size(width, up, down)

    def draw(self, piece: Piece, x: float, y: float, entry: Port, leave: Port) -> None:
        """Place a piece with its left end at (x, y), and its wires."""
        if isinstance(piece, Line):
            self._draw_line(piece, x, y, entry, leave)
            return
        last = len(piece.cuts)
        for i, gap in enumerate(piece.gaps):
            number = sides(piece, i)
            end = x + self._gap_size(gap, number).width
            first = x + GAP * (i > 0)
            ahead = self._place(piece.cuts[i], end, y) if i < last else None
            port = self._port(piece.cuts[i], ahead) if ahead else leave
            self._draw_gap(gap, first, end - GAP * (i < last), y, entry, port)
            if ahead:
                x = ahead.right
                entry = Port(x + FORK, ((x, y),))

    def _box(self, node: int) -> tuple[float, float]:
        """Width and height of a node or a letter."""
        if node in self._tags:
            return 2 * RADIUS, 2 * RADIUS
        return size(self._sketch, node)

    def _place(self, node: int, left: float, y: float) -> Place:
        width, height = self._box(node)
        place = Place(left + width / 2, y, width, height)
        if node in self._tags:
            self._panel.tags.append((self._tags[node], place))
        else:
            self._panel.places[node] = place
        return place

    def _port(self, node: int, place: Place) -> Port:
        merges = node not in self._tags and self._sketch.is_merge(node)
        way = ((place.left, place.y),)
        return Port(place.left - FORK, way, place if merges else None)

    def _wire(
        self,
        link: Link,
        before: Sequence[Point],
        over: float | None = None,
        after: Sequence[Point] = (),
    ) -> None:
        if link.shows:
            self._panel.wires.append(Wire(link.edge, tuple(before), over, tuple(after)))

    # --- between two places that every wire passes

    def _gap_size(self, gap: Gap, number: int) -> Size:
        """Extent of a gap with the room to its neighbours, none, one or two."""
        if not gap.arms:
            over = max(self._heights(gap, 0.0, GAP), default=0.0)
            return Size(GAP if number == 2 else 0.0, over, 0.0)
        sizes = [self.measure(arm) for arm in gap.arms]
        lanes = self._lanes(gap, sizes)
        width = max(s.width for s in sizes)
        up = max(s.up - lane for s, lane in zip(sizes, lanes, strict=True))
        down = max(s.down + lane for s, lane in zip(sizes, lanes, strict=True))
        over = max(self._heights(gap, up, width + 2 * GAP), default=0.0)
        return Size(width + GAP * number, max(up, over), down)

    def _heights(self, gap: Gap, roof: float, width: float) -> list[float]:
        """How high each direct wire of a gap passes; 0 for one straight on."""
        found: list[float] = []
        straight = not gap.arms
        for link in gap.direct:
            gates = link.edge is not None and link.edge.gates
            if not link.shows or (straight and not gates):
                found.append(0.0)
                straight = straight and not link.shows
            elif self._arches(link):
                found.append(roof + _arch(width))
            else:
                found.append(max(roof + _OVER, 2 * _OVER))
            # one above the other, where there are several
            found[-1] += 7 * sum(height > 0 for height in found[:-1] if found[-1])
        return found

    def _arches(self, link: Link) -> bool:
        """Whether a wire over boxes is an arc: what is concatenated is."""
        if link.edge is None:
            return False
        op = self._sketch.op(link.edge.target)
        return bool(link.edge.channels) or isinstance(op, Concat)

    def _lanes(self, gap: Gap, sizes: Sequence[Size]) -> list[float]:
        """Level of each arm: about the middle, but a projection above its block."""
        counts = [self._nodes(arm) for arm in gap.arms]
        most = max(counts)
        body = counts.index(most)
        adds = any(isinstance(op, Add) for op in self._ends(gap.arms[body]))
        letters = sum(count > 0 for count in counts) == 1
        if len(counts) == 2 and counts.count(most) == 1 and (adds or letters):
            over, under = sizes[1 - body], sizes[body]
            lanes = [0.0, 0.0]
            lanes[1 - body] = -(under.up + _LANE + over.down)
            return lanes
        pitch = _LANE + max(s.up + s.down for s in sizes)
        if all(s.up == s.down for s in sizes):
            return [pitch * (i - (len(sizes) - 1) / 2) for i in range(len(sizes))]
        lanes, y = [], 0.0
        for each in sizes:
            lanes.append(y + each.up)
            y += each.up + each.down + _LANE
        middle = min(lanes, key=lambda lane: abs(lane - (y - _LANE) / 2))
        return [lane - middle for lane in lanes]

    def _nodes(self, piece: Piece) -> int:
        """Number of nodes of a piece, letters aside."""
        if isinstance(piece, Line):
            return sum(node not in self._tags for node in piece.nodes)
        inside = sum(self._nodes(arm) for gap in piece.gaps for arm in gap.arms)
        return inside + sum(node not in self._tags for node in piece.cuts)

    def _ends(self, piece: Piece) -> Iterator[Op]:
        """Operations that read what comes out of a piece."""
        links = piece.links if isinstance(piece, Line) else piece.gaps[-1].direct
        for link in links:
            if link.edge:
                yield self._sketch.op(link.edge.target)

    def _draw_gap(
        self, gap: Gap, x: float, end: float, y: float, entry: Port, leave: Port
    ) -> None:
        sizes = [self.measure(arm) for arm in gap.arms]
        lanes = self._lanes(gap, sizes) if sizes else []
        roof = max((s.up - a for s, a in zip(sizes, lanes, strict=True)), default=0.0)
        heights = self._heights(gap, roof, end - x + 2 * GAP if sizes else GAP)
        starts = sum(link.shows for link in gap.direct)
        starts += sum(any(_starts(arm, gap.start)) for arm in gap.arms)
        if starts > 1:
            self._panel.forks[entry.turn, y] = None
        for link, height in zip(gap.direct, heights, strict=True):
            self._draw_direct(link, y, height, entry, leave)
        for arm, inside, lane in zip(gap.arms, sizes, lanes, strict=True):
            left = x + (end - x - inside.width) / 2
            level = y + lane
            turned = ((entry.turn, y), (entry.turn, level)) if lane else ()
            way = leave.lane(y, level)
            self.draw(
                arm,
                left,
                level,
                Port(left - GAP + FORK, (*entry.way, *turned)),
                Port(left + inside.width + FORK, way, None if lane else leave.place),
            )

    def _draw_direct(
        self, link: Link, y: float, height: float, entry: Port, leave: Port
    ) -> None:
        if not height:
            self._wire(link, (*entry.way, *leave.way))
            return
        fork, landing = (entry.turn, y), leave.landing(y)
        if self._arches(link):
            self._wire(link, (*entry.way, fork), y - height, landing)
            return
        corners = ((entry.turn, y - height), (landing[0][0], y - height))
        self._wire(link, (*entry.way, fork, *corners, *landing))

    # --- in a line

    def _line_size(self, line: Line) -> Size:
        boxes = [self._box(node) for node in line.nodes]
        width = sum(wide for wide, _ in boxes) + GAP * (len(boxes) - 1)
        half = max(high for _, high in boxes) / 2
        _, overs = self._arcs(line, 0.0, -GAP + FORK, width + GAP + RADIUS)
        return Size(width, max([half, *overs]), half)

    def _arcs(
        self, line: Line, x: float, first: float, last: float
    ) -> tuple[list[Link], list[float]]:
        """Links of a line, and how high each goes over it; 0 for one straight on."""
        at = {node: i for i, node in enumerate(line.nodes)}
        boxes = [self._box(node) for node in line.nodes]
        lefts = [x]
        for wide, _ in boxes:
            lefts.append(lefts[-1] + wide + GAP)
        straight: set[tuple[int, int]] = set()
        links = [link for link in line.links if link.shows]
        heights = []
        for link in links:
            i, j = at.get(link.source, -1), at.get(link.target, len(boxes))
            gates = link.edge is not None and link.edge.gates
            if j == i + 1 and (i, j) not in straight and not gates:
                straight.add((i, j))
                heights.append(0.0)
                continue
            begin = first if i < 0 else lefts[i] + boxes[i][0] + FORK
            end = last if j == len(boxes) else lefts[j] + boxes[j][0] / 2
            roof = max((high / 2 for _, high in boxes[i + 1 : j]), default=_OVER)
            heights.append(roof + _arch(end - begin))
        return links, heights

    def _draw_line(
        self, line: Line, x: float, y: float, entry: Port, leave: Port
    ) -> None:
        found: dict[int, Place] = {}
        left = x
        for node in line.nodes:
            found[node] = self._place(node, left, y)
            left = found[node].right + GAP
        final = leave.place.x if leave.place else leave.turn
        links, heights = self._arcs(line, x, entry.turn, final)
        starts = Counter(link.source for link in links)
        for link, height in zip(links, heights, strict=True):
            source, target = found.get(link.source), found.get(link.target)
            before = ((source.right, y),) if source else entry.way
            fork = (source.right + FORK if source else entry.turn, y)
            if starts[link.source] > 1:
                self._panel.forks[fork] = None
            if height:
                top = ((target.x, target.top),) if target else leave.landing(y)
                self._wire(link, (*before, fork), y - height, top)
            else:
                ahead = ((target.left, y),) if target else leave.way
                self._wire(link, (*before, *ahead))


def size(sketch: Sketch, node: int) -> tuple[float, float]:
    """Width and height; a box is higher by 4 points each time its channels double."""
    if sketch.is_merge(node):
        return 2 * RADIUS, 2 * RADIUS
    first, second = caption(sketch, node)
    bars = 8 * (bool(sketch.before.get(node)) + bool(sketch.after.get(node)))
    text = max(6.8 * len(first), 5.9 * len(second)) + 6 + bars
    height = 26 + 4 * (log2(max(8, sketch.features(node))) - 3)
    least = BOX if sketch.op(node).transforms else BOX - 8
    return max(least, text), min(height, 62.0)


def _starts(piece: Piece, start: int) -> Iterator[bool]:
    """Whether the wires into a piece from the node before it are drawn."""
    if isinstance(piece, Line):
        yield from (link.shows for link in piece.links if link.source == start)
        return
    gap = piece.gaps[0]
    yield from (link.shows for link in gap.direct)
    for arm in gap.arms:
        yield from _starts(arm, start)


def _arch(width: float) -> float:
    """Height of an arc over what it spans."""
    return 10 + 7 * float((width / (BOX + GAP)) ** 0.85)
