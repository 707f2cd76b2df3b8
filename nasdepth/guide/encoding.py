"""Points as vectors: the active choices, and what is known of them without training."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from nasdepth.guide.draws import Distributions, Params

Matrix: TypeAlias = NDArray[np.float64]
#: name → value; None where it is undefined
Features: TypeAlias = Mapping[str, float | None]
#: spread below which a column is constant, relative to its size
_CONSTANT: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Point:
    """Parameters with the distributions they come from, and their features."""

    params: Params
    distributions: Distributions
    features: Features


@dataclass(slots=True)  # not frozen: columns are added as they are met
class Encoder:
    """Columns by name, in the order in which they were met.

    A categorical choice is a column of its own, 1 where it is taken. A number is its
    place in its range, in [0, 1], beside a flag that it is active. A feature is itself.

    Attributes:
        choices: whether the parameters have columns, or the features alone.
        fills: name → value of a point that says nothing of the column: 0 for flags,
            NaN for numbers, which `Standard` puts at the mean.
        measured: columns of features.
        broken: features that were NaN or infinite somewhere.
    """

    choices: bool = True
    fills: dict[str, float] = field(default_factory=dict)
    measured: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def encode(self, points: Sequence[Point]) -> Matrix:
        """`(points, columns)`, every column met so far."""
        rows = [dict(self._cells(point)) for point in points]
        matrix = self.pad(np.empty((len(points), 0)))
        places = {name: place for place, name in enumerate(self.fills)}
        for row, cells in enumerate(rows):
            for name, value in cells.items():
                matrix[row, places[name]] = value
        return matrix

    def pad(self, matrix: Matrix) -> Matrix:
        """The matrix with the columns that were met since it was encoded."""
        missing = list(self.fills.values())[matrix.shape[1] :]
        if not missing:
            return matrix
        return np.hstack([matrix, np.tile(missing, (len(matrix), 1))])

    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.fills)

    def _cells(self, point: Point) -> Iterator[tuple[str, float]]:
        if self.choices:
            for name, law in point.distributions.items():
                if not law.single():
                    yield from self._choice(name, law, point.params[name])
        for name, value in point.features.items():
            self.fills.setdefault(name, math.nan)
            self.measured.add(name)
            if value is None:
                continue
            if not math.isfinite(value):
                self.broken.add(name)
                continue
            yield name, float(value)

    def _choice(
        self, name: str, law: BaseDistribution, value: Any
    ) -> Iterator[tuple[str, float]]:
        if isinstance(law, CategoricalDistribution):
            for choice in law.choices:
                self.fills.setdefault(f"{name}={choice!r}", 0.0)
            # 1, 1.0 and True are one choice, whichever of them was enqueued
            own = law.choices[int(law.to_internal_repr(value))]
            yield f"{name}={own!r}", 1.0
            return
        self.fills.setdefault(f"{name}:", math.nan)
        self.fills.setdefault(f"{name}?", 0.0)
        yield f"{name}:", place(law, value)
        yield f"{name}?", 1.0


def place(law: BaseDistribution, value: object) -> float:
    """Place of a number in its range, in [0, 1].

    >>> place(IntDistribution(8, 64), 36)
    0.5
    >>> place(FloatDistribution(0.01, 1, log=True), 0.1)
    0.5
    """
    assert isinstance(law, IntDistribution | FloatDistribution)
    assert isinstance(value, int | float)
    low, high, own = float(law.low), float(law.high), float(value)
    if law.log:
        low, high, own = math.log(low), math.log(high), math.log(own)
    return (own - low) / (high - low)


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Standard:
    """Centre and spread of each column, and which ones vary.

    Attributes:
        centre: `(columns,)`, over the values that are there.
        spread: `(columns,)`, 1 for a column that is left out.
        kept: `(columns,)`, whether it varies and is finite.
    """

    centre: Matrix
    spread: Matrix
    kept: NDArray[np.bool_]

    @staticmethod
    def of(matrix: Matrix, left_out: Sequence[int] = ()) -> "Standard":
        """Standard of the columns of a matrix, NaN where it says nothing."""
        there = ~np.isnan(matrix)
        count = np.maximum(there.sum(axis=0), 1)
        filled = np.where(there, matrix, 0.0)
        centre = filled.sum(axis=0) / count
        square = np.where(there, (filled - centre) ** 2, 0.0).sum(axis=0) / count
        spread = np.sqrt(square)
        kept = spread > _CONSTANT * np.maximum(1.0, np.abs(centre))
        kept[list(left_out)] = False
        return Standard(centre, np.where(kept, spread, 1.0), kept)

    def __call__(self, matrix: Matrix) -> Matrix:
        """Kept columns with mean 0 and standard deviation 1; what is missing is 0."""
        scaled = (matrix - self.centre) / self.spread
        return np.nan_to_num(scaled[:, self.kept], nan=0.0)
