"""Points as vectors: the active choices, and what is known of them without training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

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
    _places: dict[str, int] = field(default_factory=dict)

    def encode(self, points: Sequence[Point]) -> Matrix:
        """`(points, columns)`, every column met so far."""
        rows = [self._row(point) for point in points]
        matrix = self.pad(np.empty((len(points), 0)))
        for own, cells in zip(matrix, rows, strict=True):
            own[[place for place, _ in cells]] = [value for _, value in cells]
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

    def _row(self, point: Point) -> list[tuple[int, float]]:
        """Columns of a point with their values."""
        row = []
        if self.choices:
            for name, law in point.distributions.items():
                if not law.single():
                    row += self._choice(name, law, point.params[name])
        for name, value in point.features.items():
            column = self._places.get(name)
            if column is None:
                column = self._column(name, math.nan)
                self.measured.add(name)
            if value is None:
                continue
            if math.isfinite(value):
                row.append((column, float(value)))
            else:
                self.broken.add(name)
        return row

    def _choice(
        self, name: str, law: BaseDistribution, value: object
    ) -> list[tuple[int, float]]:
        if isinstance(law, CategoricalDistribution):
            # as it stands among the choices: 1 and True are equal
            taken = f"{name}={law.choices[law.choices.index(value)]!r}"
            if taken not in self._places:
                for choice in law.choices:
                    self._column(f"{name}={choice!r}", 0.0)
            return [(self._places[taken], 1.0)]
        where, active = f"{name}:", f"{name}?"
        if active not in self._places:
            self._column(where, math.nan)
            self._column(active, 0.0)
        return [(self._places[where], place(law, value)), (self._places[active], 1.0)]

    def _column(self, name: str, fill: float) -> int:
        """Place of a column, which is new or known."""
        self.fills.setdefault(name, fill)
        return self._places.setdefault(name, len(self._places))


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
