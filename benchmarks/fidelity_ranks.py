"""How well early results rank networks: Spearman's correlation with the truth.

The truth for one replicate is the mean final accuracy of the network's other
replicates, so that no result is compared with itself. Correlations are means over the
replicates; networks are the unit of the bootstrap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

import numpy as np
from fidelity_trainings import EPOCHS, RECIPES, RUNGS, Row
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats: TypeAlias = NDArray[np.float64]
#: early result → recipe, field of its row; "{}" is the epoch
SIGNALS: Final[Mapping[str, tuple[str, str]]] = {
    "rung": ("wsd", "accuracies"),
    "raw": ("wsd", "raw"),
    "loss": ("wsd", "losses"),
    "mid-run": ("one-cycle", "accuracies"),
    "mid-run loss": ("one-cycle", "losses"),
    "in full": ("one-cycle-{}", "accuracies"),
    "cooled": ("cooled", "accuracies"),
}
#: signal of both accuracy and loss at a rung
TOGETHER: Final = "rung and loss"
#: known before any training
SIZES: Final = ("params", "macs")
SCHEDULES: Final = ("wsd", "one-cycle")
BOTH: Final = "both"
DRAWS: Final = 1_999


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Measured:
    """What the trainings gave; every array is `(networks, replicates)`.

    Attributes:
        signals: (name, epoch) → values, higher is better; sizes at epoch 0.
        finals: schedule → accuracy at the end.
        truths: schedule, or both → mean final accuracy of the other replicates.
        diverged: trainings that did.
        seconds: processor time of all trainings that count.
        rows: their number.
    """

    signals: Mapping[tuple[str, int], Floats]
    finals: Mapping[str, Floats]
    truths: Mapping[str, Floats]
    diverged: int
    seconds: float
    rows: int

    @property
    def shape(self) -> tuple[int, int]:
        """Networks and replicates."""
        networks, replicates = self.finals["wsd"].shape
        return networks, replicates


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % percentile interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def measured(rows: Sequence[Row]) -> Measured:
    """Results of the networks and replicates that have every training of a kind.

    Replicates are counted up to the first that lacks a network; a signal that lacks
    any of their trainings is left out.

    Raises:
        ValueError: fewer than two replicates are whole.
    """
    table = {(row.recipe, row.network, row.replicate): row for row in rows}
    networks = 1 + max((row.network for row in rows), default=-1)
    replicates = _whole(table, networks)
    if replicates < 2:
        raise ValueError(
            "The trainings must be whole in at least 2 replicates, but are in "
            f"{replicates}; go on with them first."
        )
    size = networks, replicates
    finals = {
        name: _values(table, size, name, "accuracies", EPOCHS) for name in SCHEDULES
    }
    truths = {name: of_others(final) for name, final in finals.items()}
    truths[BOTH] = np.mean([truths[name] for name in SCHEDULES], axis=0)
    counted = [row for row in rows if row.replicate < replicates]
    diverged = sum(len(row.accuracies) < RECIPES[row.recipe].last for row in counted)
    seconds = sum(row.seconds for row in counted)
    signals = _signals(table, size)
    return Measured(signals, finals, truths, diverged, seconds, len(counted))


def of_others(finals: Floats) -> Floats:
    """Mean of the other replicates, for each."""
    total = finals.sum(axis=1, keepdims=True)
    others: Floats = (total - finals) / (finals.shape[1] - 1)
    return others


def spread(finals: Floats) -> tuple[float, float]:
    """Standard deviations between networks, and between replicates of one network.

    That of the networks is free of the replicates' part (one-way random effects).
    """
    within = finals.var(axis=1, ddof=1).mean()
    between = finals.mean(axis=1).var(ddof=1) - within / finals.shape[1]
    return float(np.sqrt(max(between, 0.0))), float(np.sqrt(within))


def resampled(networks: int, draws: int = DRAWS) -> NDArray[np.int64]:
    """Bootstrap draws of networks, `(draws, networks)`; the first is the sample."""
    drawn = np.random.default_rng(0).integers(networks, size=(draws + 1, networks))
    drawn[0] = np.arange(networks)
    return drawn


def agreement(signal: Floats, truth: Floats, drawn: NDArray[np.int64]) -> Floats:
    """Spearman's correlation in each draw, the mean over the replicates.

    Args:
        signal: `(networks, replicates)`.
        truth: likewise.
        drawn: indices of networks, `(draws, networks)`.
    """
    found = [
        spearman(signal[drawn, replicate], truth[drawn, replicate])
        for replicate in range(signal.shape[1])
    ]
    return np.asarray(np.mean(found, axis=0))


def spearman(first: Floats, second: Floats) -> Floats:
    """Spearman's rank correlation along the last axis; 0 where one is constant."""
    ranks = [rankdata(each, axis=-1) for each in (first, second)]
    a, b = (each - each.mean(axis=-1, keepdims=True) for each in ranks)
    norm = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.asarray((a * b).sum(axis=-1) / np.where(norm > 0, norm, 1))


def estimate(values: Floats) -> Estimate:
    """The first value, with the interval of the others."""
    low, high = np.quantile(values[1:], [0.025, 0.975], method="inverted_cdf")
    return Estimate(float(values[0]), float(low), float(high))


def _whole(table: Mapping[tuple[str, int, int], Row], networks: int) -> int:
    """Replicates in which every network has every training but the cooled one."""
    needed = {recipe.format(e) for recipe, _ in SIGNALS.values() for e in RUNGS}
    needed.discard("cooled")
    count = 0
    while networks and all(
        (recipe, network, count) in table
        for recipe in needed
        for network in range(networks)
    ):
        count += 1
    return count


def _signals(
    table: Mapping[tuple[str, int, int], Row], size: tuple[int, int]
) -> dict[tuple[str, int], Floats]:
    """Early results of which no training is missing."""
    found: dict[tuple[str, int], Floats] = {}
    for (name, (recipe, field)), epoch in product(SIGNALS.items(), RUNGS):
        values = _values(table, size, recipe.format(epoch), field, epoch)
        if not np.isnan(values).any():
            found[name, epoch] = values
    for epoch in RUNGS:
        pair = (found["rung", epoch], found["loss", epoch])
        found[TOGETHER, epoch] = sum(rankdata(each, axis=0) for each in pair)
    for name in SIZES:
        found[name, 0] = np.empty(size)
        for place in np.ndindex(size):
            found[name, 0][place] = getattr(table["wsd", *place], name)
    return found


def _values(
    table: Mapping[tuple[str, int, int], Row],
    size: tuple[int, int],
    recipe: str,
    field: str,
    epoch: int,
) -> Floats:
    """Values of a field at an epoch; NaN where the training is not there."""
    values = np.full(size, np.nan)
    for network, replicate in np.ndindex(size):
        row = table.get((recipe, network, replicate))
        if row is not None:
            values[network, replicate] = _value(row, field, epoch)
    return values


def _value(row: Row, field: str, epoch: int) -> float:
    """Value at an epoch; of a training that has diverged the worst there is."""
    place = RUNGS.index(epoch) if field == "raw" else epoch - 1
    told = getattr(row, field)
    if field == "losses":
        return -told[place] if place < len(told) else -np.inf
    return told[place] if place < len(told) else 0.0
