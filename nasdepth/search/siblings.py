"""Siblings: residual architectures that differ in their dropped shortcuts alone.

Their parameters, MACs, weighted layers and nominal depth are equal; only their
effective depth differs, so that a difference between them is no effect of size.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from nasdepth.architecture.spec import FAMILIES, Architecture
from nasdepth.guide.draws import Draw
from nasdepth.measures.summaries import summarize
from nasdepth.search.candidates import Candidate, Sieve
from nasdepth.search.space import Space

#: steps from all shortcuts to none
_STEPS: Final = 4


@dataclass(frozen=True, slots=True)
class Sibling:
    """An architecture that was not drawn, but follows from one that was.

    Attributes:
        architecture: the architecture.
        measures: all graph measures of the catalogue.
    """

    architecture: Architecture
    measures: Mapping[str, float | None]


#: what an arm is chosen from: a digest takes longer than all measures
Known: TypeAlias = Candidate | Sibling


def backbone(architecture: Architecture) -> Architecture:
    """The architecture with all its shortcuts: what siblings share."""
    return _without(architecture, [0] * len(architecture.stages))


def ladder(architecture: Architecture) -> list[Architecture]:
    """Siblings from all shortcuts to none that a space can drop, at most five.

    What is dropped is shared out among the stages in proportion to what each has to
    drop: its blocks but the first, whose shortcut may be a projection.

    >>> from nasdepth.architecture.spec import Stage
    >>> stages = [Stage(depth=d, skip="add", span=2) for d in (3, 7)]
    >>> found = ladder(Architecture(tuple(stages)))
    >>> [[stage.dropped for stage in each.stages] for each in found]
    [[0, 0], [1, 1], [1, 3], [2, 4], [2, 6]]
    """
    most = [
        stage.depth - 1 if FAMILIES[stage.family].droppable else 0
        for stage in architecture.stages
    ]
    total = sum(most)
    steps = min(total, _STEPS)
    rungs = [round(total * step / steps) for step in range(steps + 1)] if steps else [0]
    return [_without(architecture, _shared(most, rung)) for rung in rungs]


def with_siblings(
    drawn: Sequence[Candidate], space: Space, limits: Mapping[str, int]
) -> list[tuple[Known, ...]]:
    """Each candidate with its siblings behind it; () for one that came as a sibling.

    The sets of fewer candidates are the first ones of more.

    Args:
        drawn: distinct feasible candidates.
        space: that they were drawn from.
        limits: measure → greatest value.
    """
    if not space.config.dropped:
        return [(candidate,) for candidate in drawn]
    seen: set[Architecture] = set()
    sets: list[tuple[Known, ...]] = []
    for candidate in drawn:
        own = backbone(candidate.architecture)
        others = _siblings(candidate, limits)
        sets.append(() if own in seen else (candidate, *others))
        seen.add(own)
    return sets


def as_candidate(known: Known, space: Space) -> Candidate:
    """The candidate itself, or that of a sibling."""
    if isinstance(known, Candidate):
        return known
    params = space.params_of(known.architecture)
    found = Sieve(space, {}).admit("design", Draw(lambda name, law: params[name]))
    assert found is not None  # it has been measured
    return found


def _siblings(candidate: Candidate, limits: Mapping[str, int]) -> Iterator[Sibling]:
    for architecture in ladder(candidate.architecture):
        measures = summarize(architecture)
        fits = all((measures[name] or 0.0) <= most for name, most in limits.items())
        if fits and architecture != candidate.architecture:
            yield Sibling(architecture, measures)


def _shared(most: Sequence[int], dropped: int) -> list[int]:
    """What every stage drops, in proportion to the most that it can."""
    total, before, passed = sum(most), 0, 0
    shares = []
    for each in most:
        passed += each
        up_to = (2 * passed * dropped + total) // (2 * total) if total else 0
        shares.append(up_to - before)
        before = up_to
    return shares


def _without(architecture: Architecture, dropped: Sequence[int]) -> Architecture:
    pairs = zip(architecture.stages, dropped, strict=True)
    stages = tuple(replace(stage, dropped=count) for stage, count in pairs)
    return replace(architecture, stages=stages)
