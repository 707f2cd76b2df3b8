"""Searches on the recorded trainings, method against method.

All methods of a draw meet the same networks in the same replicates. What an
incumbent is worth is its mean final accuracy over the other replicates and both
schedules, so that no method is judged by the training that it chose by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Final, TypeAlias

import numpy as np
from fidelity_ranks import BOTH, Measured, resampled
from fidelity_search import (
    Floats,
    Met,
    best_first,
    chosen,
    confirmed,
    epochs_until,
    everything,
    halving,
    held,
    meet,
)
from fidelity_trainings import COOLDOWN, EPOCHS, RUNGS
from numpy.typing import NDArray

#: by then every search that halves has an incumbent, cooled branches paid
FIRST: Final = EPOCHS + 1
#: epochs up to each rung from the one before, and up to the end
COSTS: Final = (RUNGS[0], RUNGS[1] - RUNGS[0], EPOCHS - RUNGS[1])
_COOLED: Final = (*(c + COOLDOWN * r for c, r in zip(COSTS, RUNGS, strict=False)), 6)
#: networks that no pruning has trained when its regret is the one to be reached
LEVELS: Final = (10, 20, 40)
BUDGETS: Final = (45, 90, 135)
#: networks that a search meets: more than any budget pays for
LENGTH: Final = 130
#: searches on the sample itself, and on each bootstrap draw
SEARCHES: Final = 1_000
DRAWN_SEARCHES: Final = 200


@dataclass(frozen=True, slots=True)
class Halving:
    """Successive halving by an early result.

    Attributes:
        signal: name of it.
        schedule: of the training.
        costs: epochs, as `halving` takes them.
    """

    signal: str
    schedule: str
    costs: Sequence[float] = COSTS


HALVINGS: Final[Mapping[str, Halving]] = {
    "halving by rungs": Halving("rung", "wsd"),
    "halving by raw weights": Halving("raw", "wsd"),
    "halving by training loss": Halving("loss", "wsd"),
    "halving by rung and loss": Halving("rung and loss", "wsd"),
    "halving by cooled branches": Halving("cooled", "wsd", _COOLED),
    "halving by one-cycle mid-run": Halving("mid-run", "one-cycle"),
}
RUNG: Final = "halving by rungs"
NONE: Final = "no pruning"
#: what `pruner.kind = "short"` does: of so many trials one finishes the best short run
CONFIRM: Final = 10
CONFIRMED: Final = "the best of ten rungs goes on"


@dataclass(frozen=True, slots=True)
class TopK:
    """Short trainings of the first networks, of which the best few are finished.

    Attributes:
        early: epochs of a short training.
        kept: networks that are finished.
        taken: networks that are trained shortly.
    """

    early: int
    kept: int
    taken: int


@dataclass(frozen=True, slots=True)
class Family:
    """A rival that trains all for some epochs and keeps the best few.

    Attributes:
        signal: early result.
        schedule: of the finished trainings.
        afresh: whether a finished training starts from nothing.
    """

    signal: str
    schedule: str
    afresh: bool

    def rest(self, early: int) -> int:
        """Epochs that a network costs that is finished."""
        return EPOCHS if self.afresh else EPOCHS - early


FAMILIES: Final[Mapping[str, Family]] = {
    "top K after short one-cycles": Family("in full", "one-cycle", True),
    "top K of a rung, going on": Family("rung", "wsd", False),
}
#: that successive halving must not lose against
RIVAL: Final = "top K after short one-cycles, best K"
#: numbers of one bootstrap draw: what is measured → value
Figures: TypeAlias = dict[str, float]
#: rival and budget → what it does
Rivals: TypeAlias = Mapping[tuple[str, int], tuple[Family, TopK]]


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Setting:
    """One sample of networks, and searches that meet them.

    Attributes:
        results: of the trainings.
        met: by the searches.
        best: worth of the sample's best network over all replicates.
    """

    results: Measured
    met: Met
    best: float

    def regret(self, worth: float) -> float:
        """Points that a worth is below the best."""
        return 100 * (self.best - worth)


def setting(
    results: Measured, networks: NDArray[np.int64], count: int, seed: int
) -> Setting:
    """A sample of networks, and so many searches that meet them."""
    generator = np.random.default_rng([seed, 11])
    met = meet(networks, results.shape[1], (count, LENGTH), generator)
    best = results.truths[BOTH][networks].mean(axis=1).max()
    return Setting(results, met, float(best))


def searched(given: Setting, method: str) -> Floats:
    """Worth of the incumbents after each number of epochs."""
    met, results = given.met, given.results
    kind = HALVINGS.get(method, Halving("rung", "wsd"))
    values = [met.of(results.signals[kind.signal, epoch]) for epoch in RUNGS]
    final, truth = met.of(results.finals[kind.schedule]), met.of(results.truths[BOTH])
    count, length = final.shape
    if method == NONE:
        search = everything(count, length, EPOCHS)
    elif method == CONFIRMED:
        place = confirmed(values[0], CONFIRM)
        final, truth = (np.take_along_axis(v, place, axis=1) for v in (final, truth))
        block = CONFIRM * RUNGS[0] + EPOCHS - RUNGS[0]
        search = everything(count, place.shape[1], block)
    else:
        search = halving(values, kind.costs)
    return held(search, final, truth, LEVELS[-1] * EPOCHS, first=FIRST)


def topped(given: Setting, family: Family, choice: TopK) -> float:
    """Worth of the networks that a rival of this kind chooses, the mean."""
    early = given.met.of(given.results.signals[family.signal, choice.early])
    finished = best_first(early, choice.taken, choice.kept)
    place = chosen(given.met.of(given.results.finals[family.schedule]), finished)
    truth = given.met.of(given.results.truths[BOTH])
    return float(np.take_along_axis(truth, place[:, None], axis=1).mean())


def choices(family: Family, budget: int) -> list[TopK]:
    """Every way to spend at most so many epochs."""
    found = []
    for early in RUNGS:
        for kept in range(1, budget // family.rest(early) + 1):
            taken = (budget - kept * family.rest(early)) // early
            if taken >= kept:
                found.append(TopK(early, kept, taken))
    return found


def plain_choice(family: Family, budget: int) -> TopK:
    """The first rung for all and the end for one in nine, as halving has it."""
    every = [c for c in choices(family, budget) if c.early == RUNGS[0]]
    return min(every, key=lambda c: abs(c.kept * EPOCHS - c.taken))


def best_choice(given: Setting, family: Family, budget: int) -> TopK:
    """The choice of the highest worth, in hindsight: an advantage for the rival."""
    every = choices(family, budget)
    return max(every, key=lambda choice: topped(given, family, choice))


def rivals(given: Setting) -> dict[tuple[str, int], tuple[Family, TopK]]:
    """What each rival does with each budget."""
    found = {}
    for (name, family), budget in product(FAMILIES.items(), BUDGETS):
        found[f"{name}, one in nine", budget] = family, plain_choice(family, budget)
        found[f"{name}, best K", budget] = family, best_choice(given, family, budget)
    return found


def figures(given: Setting, known: Rivals) -> Figures:
    """All numbers of one setting.

    Args:
        given: sample and searches.
        known: what the rivals do.
    """
    found: Figures = {}
    signals = given.results.signals
    curves = {
        name: searched(given, name)
        for name in (NONE, CONFIRMED, *HALVINGS)
        if name not in HALVINGS or (HALVINGS[name].signal, RUNGS[0]) in signals
    }
    for (name, curve), level in product(curves.items(), LEVELS):
        there = level * EPOCHS
        epochs = epochs_until(curve, curves[NONE][there - FIRST], first=FIRST)
        found[f"level {level}: {name}"] = epochs / there
    for (name, curve), budget in product(curves.items(), BUDGETS):
        found[f"at {budget}: {name}"] = given.regret(curve[budget - FIRST])
    for (name, budget), (family, choice) in known.items():
        found[f"at {budget}: {name}"] = given.regret(topped(given, family, choice))
    return found


def replay(
    results: Measured, draws: int, *, count: int = SEARCHES
) -> tuple[dict[str, Floats], Rivals]:
    """Numbers of the sample and of bootstrap draws of its networks.

    Args:
        results: of the trainings.
        draws: of the bootstrap.
        count: searches on the sample itself.

    Returns:
        What is measured → values, that of the sample first; and what the rivals do.
    """
    whole = setting(results, np.arange(results.shape[0]), count, 0)
    known = rivals(whole)
    told: list[Figures] = [figures(whole, known)]
    some = partial(setting, results, count=DRAWN_SEARCHES)
    for seed, networks in enumerate(resampled(results.shape[0], draws)[1:], start=1):
        told.append(figures(some(networks, seed=seed), known))
    return {name: np.array([each[name] for each in told]) for name in told[0]}, known
