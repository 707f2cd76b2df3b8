"""A stage taken apart where one wire is all that passes.

What lies between two such places is arms, each taken apart further; what cannot be is
a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nasdepth.pictures.sketch import Edge


@dataclass(frozen=True, slots=True)
class Link:
    """An edge of a row's own graph, whose ends are nodes, letters, entry and exit.

    Attributes:
        source: before it.
        target: behind it.
        edge: of the network; None for a letter's wire and for the way out.
        shows: whether it is drawn; others only keep letters at their place.
    """

    source: int
    target: int
    edge: Edge | None = None
    shows: bool = True


@dataclass(frozen=True, slots=True)
class Gap:
    """What lies between two places that every wire passes: arms, and direct wires."""

    start: int
    arms: tuple["Series | Line", ...]
    direct: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """Nodes that every wire passes, and the gaps before, between and behind them."""

    cuts: tuple[int, ...]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """Nodes in one line that cannot be taken apart; the links include both ends."""

    nodes: tuple[int, ...]
    links: tuple[Link, ...]


Piece: TypeAlias = Series | Line


def series(order: Sequence[int], start: int, end: int, links: Sequence[Link]) -> Series:
    """The nodes taken apart where one wire is all that passes."""
    place = {node: i for i, node in enumerate([start, *order, end])}
    furthest = [0] * (len(order) + 2)
    for link in links:
        source = place[link.source]
        furthest[source] = max(furthest[source], place[link.target])
    cuts, inner = [], [[]]  # type: tuple[list[int], list[list[int]]]
    reach = furthest[0]
    for i, node in enumerate(order, start=1):
        if reach <= i:
            cuts.append(node)
            inner.append([])
        else:
            inner[-1].append(node)
        reach = max(reach, furthest[i])
    ends = [start, *cuts, end]
    homes = {node: i for i, nodes in enumerate(inner) for node in nodes}
    numbers = {node: i for i, node in enumerate(ends)}
    shares: list[list[Link]] = [[] for _ in inner]
    for link in links:
        ahead = homes.get(link.target, numbers.get(link.target, 0) - 1)
        shares[homes.get(link.source, ahead)].append(link)
    gaps = [
        _gap(nodes, ends[i], ends[i + 1], shares[i]) for i, nodes in enumerate(inner)
    ]
    return Series(tuple(cuts), tuple(gaps))


def _gap(order: Sequence[int], start: int, end: int, links: Sequence[Link]) -> Gap:
    """The arms between two ends, each taken apart further or else a line."""
    direct = tuple(x for x in links if (x.source, x.target) == (start, end))
    parts = _components(order, links)
    line = Line(tuple(order), tuple(links))
    if len(parts) == 1 and not direct:
        return Gap(start, (line,), ())
    arms: list[Series] = []
    for part in parts:
        own = [x for x in links if x.source in part or x.target in part]
        arms.append(series([n for n in order if n in part], start, end, own))
    if len(arms) == 1 and not arms[0].cuts:
        return Gap(start, (line,), ())
    return Gap(start, tuple(arms), direct)


def _components(order: Sequence[int], links: Sequence[Link]) -> list[set[int]]:
    """Nodes that hang together without the two ends, by their first nodes."""
    group = {node: {node} for node in order}
    for link in links:
        if link.source in group and link.target in group:
            one, other = group[link.source], group[link.target]
            if one is not other:
                one |= other
                group.update(dict.fromkeys(other, one))
    return list({id(group[node]): group[node] for node in order}.values())


def sides(piece: Series, gap: int) -> int:
    """Number of nodes that a gap lies between."""
    return (gap > 0) + (gap < len(piece.cuts))
