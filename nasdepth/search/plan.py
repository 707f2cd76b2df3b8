"""What a study's space and budget can settle: how many architectures, of which kind.

The arm that a study would train is drawn as `search` draws it, and the power of the
preregistered test is simulated on its measures, before anything is trained.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.search.candidates import Candidate, Sieve, feasible
from nasdepth.search.config import StudyConfig
from nasdepth.search.design import (
    Attainable,
    attainable,
    designed,
    features,
    seed_of,
)
from nasdepth.search.siblings import Known, as_candidate, backbone, with_siblings
from nasdepth.search.space import Space
from nasdepth.search.space_config import TOPOLOGIES
from nasdepth.statistics.power import (
    Needed,
    Power,
    check_power,
    n_for_power,
    simulated_power,
)
from nasdepth.statistics.regression import required_n

#: share of effective depth's variance below which depths count as one measure
LEAST_UNEXPLAINED: Final = 0.01
#: architectures below which a share says nothing
_FEWEST: Final = 8
#: size of the arm that is looked at first: whether depths can be told apart at all
_FIRST: Final = 40
#: architectures looked at, as a multiple of what Fisher's formula needs
_ROOM: Final = 1.15


@dataclass(frozen=True, slots=True)
class Kind:
    """Architectures of an arm with a stage of one topology.

    Attributes:
        topology: key of `TOPOLOGIES`.
        architectures: how many.
        paired: of them, how many with a sibling in the arm: a network that differs in
            nothing but the number of dropped shortcuts.
    """

    topology: str
    architectures: int
    paired: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How many architectures, of which kind, settle a study's question.

    Attributes:
        effect: partial correlation to be detected.
        power: with this probability.
        drawn: architectures drawn, with those that are not feasible.
        looked_at: feasible ones, siblings included, that the arm is chosen from.
        sampled: what a plain random sample of the space attains.
        attained: what the arm attains.
        needed: architectures needed; nothing simulated where there is a problem.
        at_arm: power of the arm.
        kinds: of the arm.
        arm: the architectures, in the order that `search` trains them.
        problem: why the space cannot settle the question, else empty.
        shortage: that the space holds too few architectures, else empty.
    """

    effect: float
    power: float
    drawn: int
    looked_at: int
    sampled: Attainable
    attained: Attainable
    needed: Needed
    at_arm: Power
    kinds: tuple[Kind, ...]
    arm: tuple[Candidate, ...]
    problem: str = ""
    shortage: str = ""

    @property
    def paired(self) -> int:
        """Architectures of the arm with a sibling in it."""
        return sum(siblings(self.arm).values())


def plan(
    config: StudyConfig,
    space: Space,
    *,
    effect: float | None = None,
    power: float = 0.8,
    trials: int | None = None,
) -> Plan:
    """Plan of a study's unselected arm.

    Args:
        config: of the study; its `design.trials` is what is looked for.
        space: of the study on its data.
        effect: partial correlation to be detected; None: the preregistered one.
        power: wanted probability of detection.
        trials: architectures of the arm; None: as many as are needed.

    Raises:
        NoCandidate: no feasible architecture in the space.
        ValueError: effect or power is out of range.
    """
    check_power(power)
    registered, seed = config.preregistration, config.search.seed
    wanted = registered.smallest_effect if effect is None else effect
    held = (registered.nominal, *registered.baselines, *registered.covariates)
    formula = required_n(wanted, len(held), power=power)
    first = min(trials or formula, _FIRST)
    pool = _Pool(config, space, first)
    needed = Needed(formula, problem=_inseparable(config, pool.arm(first)))
    if not needed.problem:
        pool = _Pool(config, space, max(trials or 0, ceil(_ROOM * formula)))
        needed = n_for_power(
            lambda n: design_matrix(pool.arm(n), registered),
            wanted,
            power=power,
            seed=seed,
        )
    size = trials or needed.n or first
    arm = [as_candidate(known, space) for known in pool.arm(size)]
    matrix = design_matrix(arm, registered)
    at_arm = simulated_power(matrix, wanted, seed=seed)
    return Plan(
        wanted,
        power,
        pool.drawn,
        pool.looked_at,
        attainable(features(pool.sampled)),
        attainable(features(arm)),
        needed,
        at_arm,
        kinds(arm),
        tuple(arm),
        needed.problem,
        _too_few(len(arm), size),
    )


def design_matrix(arm: Sequence[Known], plan: Preregistration) -> NDArray[np.float64]:
    """`(n, 1 + k)`: effective depth and what the preregistered test holds fixed."""
    raw = ("effective_depth", plan.nominal, *plan.covariates)
    rows = [
        [each.measures[name] or 0.0 for name in raw]
        + [np.log(each.measures[name] or 1.0) for name in plan.baselines]
        for each in arm
    ]
    return np.array(rows, dtype=float)


def kinds(arm: Sequence[Known]) -> tuple[Kind, ...]:
    """Kinds of an arm, the most frequent first; a network may be of several."""
    names = {row: name for name, row in TOPOLOGIES.items()}
    paired = siblings(arm)
    every: Counter[str] = Counter()
    twins: Counter[str] = Counter()
    for each in arm:
        own = {names[s.family, s.block] for s in each.architecture.stages}
        every.update(own)
        twins.update(own if backbone(each.architecture) in paired else ())
    return tuple(Kind(name, count, twins[name]) for name, count in every.most_common())


def siblings(arm: Iterable[Known]) -> dict[Architecture, int]:
    """What siblings of an arm share, and how many share it; two at least."""
    counts = Counter(backbone(each.architecture) for each in arm)
    return {shared: count for shared, count in counts.items() if count > 1}


class _Pool:
    """Feasible architectures, drawn once, from which arms of any size are taken."""

    def __init__(self, config: StudyConfig, space: Space, most: int) -> None:
        self._config, self._space = config, space
        self._draw(most)

    def arm(self, count: int) -> list[Known]:
        """The arm of a study of so many `design.trials`."""
        if count > self._most:
            self._draw(count)
        if count not in self._arms:
            sets = self._sets[: count * self._config.design.candidates]
            self._arms[count] = designed(sets, count, seed=seed_of(self._config))
        return self._arms[count]

    def _draw(self, most: int) -> None:
        limits = self._config.budget.limits()
        sieve = Sieve(self._space, limits)
        count, seed = most * self._config.design.candidates, seed_of(self._config)
        self.sampled = feasible(
            self._config, self._space, count, seed=seed, sieve=sieve
        )
        self._sets = with_siblings(self.sampled, self._space, limits)
        self._most, self._arms = most, dict[int, list[Known]]()
        self.drawn, self.looked_at = sieve.drawn, sum(map(len, self._sets))


def _inseparable(config: StudyConfig, arm: Sequence[Known]) -> str:
    """Why an arm cannot tell effective depth from nominal depth and size, or empty."""
    if len(arm) < _FEWEST:
        return ""
    unexplained = attainable(features(arm)).unexplained or 0.0
    if unexplained >= LEAST_UNEXPLAINED:
        return ""
    space = config.space
    cure = "set dropped = true in [space]"
    if not space.droppable:
        cure = f'add "residual" to the topologies of [space] and {cure}'
    elif space.dropped:
        cure = 'let more stages have a depth above 1 in [space], or add "parallel"'
    return (
        "This space cannot tell effective depth from nominal depth and size: they "
        f"leave {unexplained:.1%} of its variance unexplained; {cure}."
    )


def _too_few(found: int, wanted: int) -> str:
    """That a space holds too few architectures, or empty."""
    if found >= wanted:
        return ""
    return (
        f"This space cannot give {wanted} different architectures under its budget: "
        f"{found} were found; widen its ranges, add topologies or raise the budget."
    )
