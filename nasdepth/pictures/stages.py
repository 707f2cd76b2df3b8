r"""Stages and blocks of any network, read from the names of its modules.

A scope that holds nearly everything is opened, until the parts are balanced. A part
whose own parts are numbered, alike and in series is a stage of blocks; smaller parts
join their neighbours of the same map size, so that a flat list of blocks, as in
"features.0" to "features.18", falls into stages as well.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

#: share of the network above which a part is opened
_NEARLY_ALL: Final = 0.6
#: single layers in a row that are one stage, though their map sizes differ
_SINGLES: Final = 9
#: drawn nodes of a part that may join the stage behind it, as a transition does
_SMALL: Final = 2
#: names that say themselves what is one stage
_STAGE: Final = re.compile(r"stem|head|stage\d+")


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
class Drawn:
    """What of a drawn node says where it belongs.

    Attributes:
        scope: dotted name.
        kind: operation in words.
        inputs: drawn nodes that it reads.
        size: height and width of its map; () where it gives none.
    """

    scope: str
    kind: str
    inputs: Sequence[int]
    size: tuple[int, ...]

    @property
    def path(self) -> tuple[str, ...]:
        """The parts of the scope."""
        return tuple(self.scope.split("."))


def rows(drawn: Mapping[int, Drawn]) -> tuple[Row, ...]:
    """Nodes by stage and block; both are runs of nodes in their order.

    Args:
        drawn: nodes in order of flow.
    """
    if not drawn:
        return ()
    parts = _opened(_Part((), tuple(drawn)), drawn, len(drawn))
    return tuple(
        Row(_name(group, drawn), tuple(_units(group, drawn)))
        for group in _joined(parts, drawn)
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A run of nodes in one scope."""

    path: tuple[str, ...]
    nodes: tuple[int, ...]

    @property
    def is_named(self) -> bool:
        """Whether the name says that this is a stage."""
        return len(self.path) == 1 and bool(_STAGE.fullmatch(self.path[0]))

    @property
    def is_single(self) -> bool:
        """Whether this is one layer."""
        return len(self.nodes) == 1 and not self.is_named


def _parts(part: _Part, drawn: Mapping[int, Drawn]) -> list[_Part]:
    """What lies one level below, scopes with one part in them skipped."""
    depth = len(part.path) + 1
    found = [
        _Part(path, tuple(nodes))
        for path, nodes in groupby(part.nodes, lambda n: drawn[n].path[:depth])
    ]
    only = found[0]
    deeper = len(found) == 1 and len(drawn[only.nodes[0]].path) > depth
    return _parts(only, drawn) if deeper and len(only.nodes) > 1 else found


def _opened(part: _Part, drawn: Mapping[int, Drawn], total: int) -> list[_Part]:
    """The parts of a part, in place of any that holds nearly everything its own."""
    opened: list[_Part] = []
    for child in _parts(part, drawn):
        large = len(child.nodes) > _NEARLY_ALL * total and not child.is_named
        divisible = len(_parts(child, drawn)) > 1
        opened += _opened(child, drawn, total) if large and divisible else [child]
    return opened


def _joined(
    parts: Sequence[_Part], drawn: Mapping[int, Drawn]
) -> Iterator[tuple[_Part, ...]]:
    """Runs of parts that are one stage."""
    joined: list[list[_Part]] = []
    is_open = False  # whether the last group may go on
    for is_single, run in groupby(parts, lambda part: part.is_single):
        found = list(run)
        if is_single and 1 < len(found) <= _SINGLES:
            joined.append(found)
            is_open = False
            continue
        for part in found:
            if is_open and _belong(joined[-1], part, drawn):
                joined[-1].append(part)
            else:
                joined.append([part])
            is_open = True
    return map(tuple, joined)


def _belong(before: Sequence[_Part], part: _Part, drawn: Mapping[int, Drawn]) -> bool:
    """Whether a group of parts goes on in the part behind it."""
    last, size = before[-1], drawn[part.nodes[-1]].size
    if last.is_named or part.is_named or drawn[last.nodes[-1]].size != size:
        return False
    layers = bool(size) and last.is_single and part.is_single
    if last.path[:-1] != part.path[:-1] and not layers:
        return False
    if _is_stage(part, drawn):
        return len(before) == 1 and len(last.nodes) <= _SMALL
    return not _is_stage(last, drawn)


def _is_stage(part: _Part, drawn: Mapping[int, Drawn]) -> bool:
    """Whether the parts of a part are blocks: numbered, alike and in series."""
    if part.is_named:
        return True
    parts = _parts(part, drawn)
    blocks = [p for p in parts if drawn[p.nodes[0]].path != p.path]
    stems = {re.sub(r"\d+$", "", block.path[-1]) for block in blocks}
    # beside its blocks a stage may have a merge of its own
    if len(blocks) < 2 or len(stems) > 1 or 2 * len(blocks) <= len(parts):
        return False
    return all(
        _is_alike(one, other, drawn) and _feeds(one, other, drawn)
        for one, other in pairwise(blocks)
    )


def _is_alike(one: _Part, other: _Part, drawn: Mapping[int, Drawn]) -> bool:
    return not {drawn[n].kind for n in one.nodes}.isdisjoint(
        drawn[n].kind for n in other.nodes
    )


def _feeds(one: _Part, other: _Part, drawn: Mapping[int, Drawn]) -> bool:
    return not set(one.nodes).isdisjoint(
        i for n in other.nodes for i in drawn[n].inputs
    )


def _units(group: Sequence[_Part], drawn: Mapping[int, Drawn]) -> Iterator[Unit]:
    """The blocks of a stage."""
    for part in group:
        blocks = _parts(part, drawn) if _is_stage(part, drawn) else [part]
        yield from (Unit(block.nodes) for block in blocks)


def _name(group: Sequence[_Part], drawn: Mapping[int, Drawn]) -> str:
    """First and last name of a stage, "features.2 – 3", or what holds all of it."""
    first, last = group[0].path, group[-1].path
    name = ".".join(first) or "network"
    if len(group) == 1:
        return name
    if first[:-1] != last[:-1]:
        return f"{name} – {'.'.join(last)}"
    parent = first[:-1]
    held = sum(each.path[: len(parent)] == parent for each in drawn.values())
    is_all = held == sum(len(part.nodes) for part in group)
    return ".".join(parent) if parent and is_all else f"{name} – {last[-1]}"
