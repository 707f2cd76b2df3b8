"""Two sides measured in turn, and the interval of the median of their pairs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np

#: resamples of the bootstrap, its seed and its level
RESAMPLES: Final = 10_000
SEED: Final = 0
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured.

    Args:
        pairs: measurements of each side, after a warm-up.
        quick: as little of each as runs at all: says that it runs, not how fast.
    """

    pairs: int = 7
    quick: bool = False

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError(f"--pairs must be at least 1, but got {self.pairs}.")


@dataclass(frozen=True, slots=True)
class Measured:
    """One value a pair, and what must be said beside them."""

    values: tuple[float, ...]
    note: str = ""


def interval(values: Sequence[float], *, mean: bool = False) -> tuple[float, float]:
    """Percentile bootstrap of the median (Efron 1979, doi 10.1214/aos/1176344552).

    Args:
        values: independent ones.
        mean: of the mean instead.
    """
    generator = np.random.default_rng(SEED)
    drawn = generator.choice(np.asarray(values), (RESAMPLES, len(values)))
    middles = drawn.mean(1) if mean else np.median(drawn, axis=1)
    low, high = np.quantile(middles, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def in_turn(
    ours: Callable[[], float], theirs: Callable[[], float], pairs: int
) -> list[tuple[float, float]]:
    """Values of both sides, one pair after the other, their order alternating.

    A first pair warms up and is left out.
    """
    found = []
    for turn in range(pairs + 1):
        if turn % 2:
            second = theirs()
            found.append((ours(), second))
        else:
            first = ours()
            found.append((first, theirs()))
    return found[1:]


def ratios(pairs: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """First over second, of each pair."""
    return tuple(first / second for first, second in pairs)


def rates(pairs: Sequence[tuple[float, float]], unit: str = "images/s") -> str:
    """Medians of both sides, in words."""
    first, second = (median(side) for side in zip(*pairs, strict=True))
    return f"{first:,.0f} against {second:,.0f} {unit}"


def seconds_of(steps: Iterator[object], count: int) -> float:
    """Time that a number of steps of an iterator take."""
    start = perf_counter()
    for _ in range(count):
        next(steps)
    return perf_counter() - start
