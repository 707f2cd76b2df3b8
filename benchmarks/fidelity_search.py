"""Searches replayed on recorded trainings: who goes on, what is paid, what is chosen.

A search meets networks drawn from a sample, as from a large space of which the sample
is the picture, each in one of its replicates, and holds the best finished one as its
incumbent. All arrays are `(searches, length)`; column j is the j-th network that a
search meets.

Successive halving is the asynchronous rule of Optuna's `SuccessiveHalvingPruner` with
one worker: of the networks that have reached a rung, the new one included, those in the
best third go on, and while fewer than three have, only the best so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
FACTOR: Final = 3


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Met:
    """The networks that searches meet, with a replicate of each.

    Attributes:
        networks: indices into the sample.
        replicates: likewise, of the trainings that the search sees.
    """

    networks: NDArray[np.int64]
    replicates: NDArray[np.int64]

    def of(self, values: Floats) -> Floats:
        """Values `(networks, replicates)` in the order in which searches meet them."""
        found: Floats = values[self.networks, self.replicates]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What searches paid and finished.

    Attributes:
        paid: epochs when the j-th network had ended, rising along the columns.
        finished: whether it was trained to the end.
    """

    paid: Floats
    finished: Bools


def meet(
    networks: NDArray[np.int64],
    replicates: int,
    size: tuple[int, int],
    generator: np.random.Generator,
) -> Met:
    """Networks drawn with replacement.

    Args:
        networks: to draw from; one may be there more than once.
        replicates: of each network.
        size: searches, and networks of each.
        generator: draws them.
    """
    return Met(
        generator.choice(networks, size=size),
        generator.integers(replicates, size=size),
    )


def halving(values: Sequence[Floats], costs: Sequence[float]) -> Search:
    """Asynchronous successive halving.

    Args:
        values: at each rung, higher is better.
        costs: epochs up to each rung from the one before, and up to the end.
    """
    here = np.ones(values[0].shape, dtype=bool)
    paid = np.zeros(values[0].shape)
    for value, cost in zip(values, costs, strict=False):
        paid += cost * here
        here = promoted(value, here)
    paid += costs[-1] * here
    return Search(paid.cumsum(axis=1), here)


def promoted(values: Floats, here: Bools) -> Bools:
    """Networks that go on from a rung.

    Args:
        values: at the rung.
        here: whether a network reached the rung.
    """
    met_before = np.tri(values.shape[1], k=-1, dtype=bool)
    rivals = here[:, None, :] & met_before
    better = (rivals & (values[:, None, :] > values[:, :, None])).sum(axis=2)
    places = np.maximum(here.cumsum(axis=1) // FACTOR, 1)
    result: Bools = here & (better < places)
    return result


def everything(count: int, length: int, epochs: float) -> Search:
    """Every network trained to its end."""
    paid = np.tile(epochs * np.arange(1, length + 1), (count, 1))
    return Search(paid.astype(float), np.ones((count, length), dtype=bool))


def confirmed(early: Floats, every: int) -> NDArray[np.int64]:
    """Columns of the networks that are finished, in their order.

    After each so many networks the best of all met that is not finished is finished.

    Args:
        early: values after a short training.
        every: networks from one to the next.
    """
    left = early.copy()
    rows = np.arange(len(early))
    found = []
    for met in range(every, early.shape[1] + 1, every):
        best = left[:, :met].argmax(axis=1)
        left[rows, best] = -np.inf
        found.append(best)
    return np.stack(found, axis=1)


def best_first(early: Floats, taken: int, kept: int) -> Bools:
    """The best few of the first networks that are met.

    Args:
        early: values after a short training.
        taken: networks that are trained shortly.
        kept: of them that are trained to their end.
    """
    rank = np.argsort(np.argsort(-early[:, :taken], axis=1, kind="stable"), axis=1)
    result = np.zeros(early.shape, dtype=bool)
    result[:, :taken] = rank < kept
    return result


def chosen(final: Floats, finished: Bools) -> NDArray[np.int64]:
    """Column of the best finished network of each search."""
    place: NDArray[np.int64] = np.where(finished, final, -np.inf).argmax(axis=1)
    return place


def held(
    search: Search, final: Floats, truth: Floats, epochs: int, *, first: int
) -> Floats:
    """Worth of the incumbent after each number of epochs, the mean over searches.

    Args:
        search: who finished when.
        final: by which the incumbent is chosen.
        truth: what it is worth.
        epochs: of the last value.
        first: epochs of the first value.

    Returns:
        One value for each number of epochs; -inf where a search has no incumbent.
    """
    count, length = final.shape
    best = np.maximum.accumulate(np.where(search.finished, final, -np.inf), axis=1)
    leads = search.finished & (final >= best)
    place = np.maximum.accumulate(np.where(leads, np.arange(length), 0), axis=1)
    worth = np.take_along_axis(truth, place, axis=1)
    last = np.full((count, epochs + 1), -1)
    when = np.ceil(search.paid).astype(int)
    rows, columns = np.nonzero(when <= epochs)
    np.maximum.at(last, (rows, when[rows, columns]), columns)
    last = np.maximum.accumulate(last, axis=1)
    known = np.take_along_axis(worth, np.maximum(last, 0), axis=1)
    means: Floats = np.where(last < 0, -np.inf, known).mean(axis=0)[first:]
    return means


def epochs_until(worth: Floats, level: float, *, first: int) -> float:
    """Epochs after which a worth, as `held` gives it, is at a level; infinite if never.

    Args:
        worth: of incumbents, from `first` epochs on.
        level: to reach.
        first: epochs of the first value.
    """
    there = np.flatnonzero(worth >= level - 1e-12)
    return float(first + there[0]) if len(there) else float("inf")
