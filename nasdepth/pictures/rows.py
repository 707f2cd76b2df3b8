"""The rows of a picture: stages, long ones broken, with letters for far wires."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Final

from nasdepth.pictures.layout import FORK, GAP, Panel, Pen, Port, Tag
from nasdepth.pictures.series import Link, series
from nasdepth.pictures.sketch import Edge, Sketch
from nasdepth.pictures.stages import Row, Unit

#: width at which a row ends
PAGE: Final = 1180.0
PAD: Final = 14.0  # between a frame and what is in it
#: numbers of where the wire from the row before comes in, and where one goes out
ENTRY: Final = -1
EXIT: Final = -2


def panels(sketch: Sketch) -> list[Panel]:
    """The rows of a sketch, laid out; long ones broken between blocks."""
    rows = [part for row in sketch.rows for part in _broken(sketch, row)]
    heads = [0, *(row.nodes[-1] for row in rows)]
    homes = {node: i for i, row in enumerate(rows) for node in row.nodes}
    far = _far(sketch, heads, homes)
    goes_on = {
        homes[e.target] for e in sketch.edges if e.source == heads[homes[e.target]]
    }
    ends = [i + 1 in goes_on or i + 1 == len(rows) for i in range(len(rows))]
    return [
        _panel(sketch, row, head, far, leaves=leaves)
        for row, head, leaves in zip(rows, heads, ends, strict=False)
    ]


def letters(found: Sequence[Panel]) -> dict[int, str]:
    """A letter for every node that another row reads from afar."""
    nodes = dict.fromkeys(tag.node for panel in found for tag, _ in panel.tags)
    return {
        node: chr(ord("A") + i % 26) + (str(i // 26) if i >= 26 else "")
        for i, node in enumerate(nodes)
    }


def _far(
    sketch: Sketch, heads: Sequence[int], homes: Mapping[int, int]
) -> frozenset[int]:
    """Nodes that are read in another row than theirs and the one behind it."""
    return frozenset(
        edge.source
        for edge in sketch.edges
        if homes.get(edge.source) != homes[edge.target]
        and edge.source != heads[homes[edge.target]]
    )


def _panel(
    sketch: Sketch, row: Row, head: int, far: frozenset[int], *, leaves: bool
) -> Panel:
    panel = Panel(row, leaves=leaves)
    graph = _RowGraph(sketch, row, head, far, leaves=leaves)
    panel.enters = any(link.source == ENTRY and link.edge for link in graph.links)
    pen = Pen(sketch, panel, graph.tags)
    whole = series(graph.order, ENTRY, EXIT, graph.links)
    extent = pen.measure(whole)
    panel.width = max(extent.width + 2 * PAD + GAP, _label_width(sketch, row))
    panel.up, panel.down = extent.up, extent.down
    start = (panel.width - extent.width) / 2
    end = start + extent.width
    entry = Port(start - GAP + FORK, ((0.0, 0.0),))
    pen.draw(whole, start, 0.0, entry, Port(end + FORK, ((panel.width, 0.0),)))
    return panel


class _RowGraph:
    """The nodes of a row and letters for what is far, in order, and links.

    Attributes:
        order: of nodes and letters, so that links lead onward.
        links: between them, and from the entry and to the exit.
        tags: what the numbers of letters stand for.

    Args:
        sketch: what is drawn.
        row: of it.
        head: node that the wire from the row before comes from; None where all
            that lies outside comes in by that wire.
        far: nodes that other rows read by letter.
        leaves: whether a wire goes on to the row behind.
    """

    def __init__(
        self,
        sketch: Sketch,
        row: Row,
        head: int | None,
        far: frozenset[int],
        *,
        leaves: bool,
    ) -> None:
        self.order: list[int] = []
        self.links: list[Link] = []
        self.tags: dict[int, Tag] = {}
        own = set(row.nodes)
        edges: dict[int, list[Edge]] = {}
        for edge in sketch.edges:
            edges.setdefault(edge.target, []).append(edge)
        waiting: dict[int, int] = {}  # letters whose reader has not come yet
        for node in row.nodes:
            for edge in edges.get(node, []):
                self._enter(edge, own, head)
            self.order.append(node)
            for edge in edges.get(node, []):
                if edge.source in waiting:
                    letter = waiting.pop(edge.source)
                    self.links.append(Link(letter, node, shows=False))
            if node in far:
                waiting[node] = self._letter(Tag(node, leaves=True))
                self.links.append(Link(node, waiting[node]))
                self.order.append(waiting[node])
        self.links += [Link(letter, EXIT, shows=False) for letter in waiting.values()]
        self._close(row.nodes[-1], leaves=leaves)

    def _enter(self, edge: Edge, own: set[int], head: int | None) -> None:
        """The link of an edge, from a letter where its source is far away."""
        source = edge.source
        if source not in own:
            source = ENTRY
        if source == ENTRY and head is not None and edge.source != head:
            source = self._letter(Tag(edge.source, leaves=False))
            before = self.order[-1] if self.order else ENTRY
            self.links.append(Link(before, source, shows=False))
            self.order.append(source)
        self.links.append(Link(source, edge.target, edge))

    def _letter(self, tag: Tag) -> int:
        number = EXIT - 1 - len(self.tags)
        self.tags[number] = tag
        return number

    def _close(self, last: int, *, leaves: bool) -> None:
        """Keep what nothing leads to, or leads on from, between entry and exit."""
        self.links.append(Link(last, EXIT, shows=leaves))
        entered = {link.target for link in self.links}
        left = {link.source for link in self.links}
        before = ENTRY
        for node in self.order:
            if node not in entered:
                self.links.append(Link(before, node, shows=False))
            if node not in left:
                self.links.append(Link(node, EXIT, shows=False))
            before = node


def _broken(sketch: Sketch, row: Row) -> Iterator[Row]:
    """The row, broken between blocks where it is too long and one wire passes."""
    lengths = [_width(sketch, Row(row.name, (u,))) + GAP for u in row.units]
    held = _held(sketch, row)
    lines = ceil(sum(lengths) / PAGE)
    room = sum(lengths) / lines
    units: list[Unit] = []
    length, name = 0.0, row.name
    for i, unit in enumerate(row.units):
        if units and i not in held and lines > 1 and length + lengths[i] / 2 > room:
            yield Row(name, tuple(units))
            units, length, name = [], 0.0, f"{row.name}, continued"
            lines -= 1
            room = sum(lengths[i:]) / lines  # shared by the lines that are left
        units.append(unit)
        length += lengths[i]
    yield Row(name, tuple(units))


def _held(sketch: Sketch, row: Row) -> set[int]:
    """Blocks of a row that more than the block before them leads past or into."""
    home = {node: i for i, unit in enumerate(row.units) for node in unit.nodes}
    held: set[int] = set()
    for edge in sketch.edges:
        start, end = home.get(edge.source), home.get(edge.target)
        if start is None or end is None or start >= end:
            continue
        last = edge.source == row.units[start].nodes[-1]
        held.update(range(start + 1 + last, end + 1))
    return held


def _width(sketch: Sketch, row: Row) -> float:
    """Width of a row, letters aside."""
    graph = _RowGraph(sketch, row, None, frozenset(), leaves=True)
    pen = Pen(sketch, Panel(row), graph.tags)
    return pen.measure(series(graph.order, ENTRY, EXIT, graph.links)).width


def _label_width(sketch: Sketch, row: Row) -> float:
    """Room for a row's name and the size of its output."""
    shape = " × ".join(map(str, sketch.shapes[row.nodes[-1]]))
    return 6.9 * len(row.name) + 6.4 * len(shape) + 30
