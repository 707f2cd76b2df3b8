"""Short runs as evidence on finished ones: a monotone map with its error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

Vector: TypeAlias = NDArray[np.float64]
Fitted: TypeAlias = Callable[[Vector], Vector]
#: finished runs below which there is no map
LEAST: Final = 5
#: of the variance, for a short result outside those that the map was fitted to
_OUTSIDE: Final = 2.0


@dataclass(frozen=True, slots=True, eq=False)  # a function has no equality
class FinalScale:
    """Maps the result of a short run to what the finished run would give.

    Attributes:
        kind: "line" or "steps".
        function: short results to expected final ones, never falling.
        variance: of a final result about it, left-one-out.
        low: least short result that the map was fitted to.
        high: greatest.
    """

    kind: str
    function: Fitted
    variance: float
    low: float
    high: float

    def __call__(self, short: Vector) -> tuple[Vector, Vector]:
        """Expected final results and their variances, each `(runs,)`."""
        outside = (short < self.low) | (short > self.high)
        variance = np.where(outside, _OUTSIDE * self.variance, self.variance)
        return self.function(short), variance


def final_scale(short: Vector, final: Vector) -> FinalScale | None:
    """The map of runs of which both are known; None for fewer than five.

    The better of a rising line and isotonic steps by the left-one-out error. Outside
    the short results seen a line goes on, steps stay.

    Args:
        short: results at the shorter length, `(runs,)`.
        final: results at the end, `(runs,)`.
    """
    if len(short) < LEAST:
        return None
    fits = (("line", _line), ("steps", _steps))
    errors = [_left_one_out(fit, short, final) for _, fit in fits]
    kind, fit = fits[int(np.argmin(errors))]
    ends = float(short.min()), float(short.max())
    return FinalScale(kind, fit(short, final), min(errors), *ends)


def _line(short: Vector, final: Vector) -> Fitted:
    """Least squares with a slope of at least 0."""
    centre, level = float(short.mean()), float(final.mean())
    spread = float(((short - centre) ** 2).sum())
    common = float(((short - centre) * (final - level)).sum())
    slope = max(common / spread, 0.0) if spread > 0 else 0.0
    return lambda new: level + slope * (new - centre)


def _steps(short: Vector, final: Vector) -> Fitted:
    model = IsotonicRegression(out_of_bounds="clip").fit(short, final)
    return lambda new: np.asarray(model.predict(new), dtype=np.float64)


def _left_one_out(
    fit: Callable[[Vector, Vector], Fitted], short: Vector, final: Vector
) -> float:
    """Mean squared error of each run predicted from the others."""
    errors = []
    for left in range(len(short)):
        rest = np.arange(len(short)) != left
        predicted = fit(short[rest], final[rest])(short[left : left + 1])
        errors.append(float(predicted[0] - final[left]) ** 2)
    return float(np.mean(errors))
