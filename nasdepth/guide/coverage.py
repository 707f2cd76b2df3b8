"""Whether predictions held: how many results fell into their intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import binomtest, norm

from nasdepth.statistics.linear import Interval


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was expected of a trial before it ran, and what came out.

    Attributes:
        number: of the trial.
        mean: expected, in the unit of the result.
        sd: standard deviation of what was expected, above 0.
        result: that came out.
    """

    number: int
    mean: float
    sd: float
    result: float

    @property
    def z(self) -> float:
        """Deviations by which the result lies above what was expected."""
        return (self.result - self.mean) / self.sd


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many results fell into central intervals of a normal prediction.

    Attributes:
        level: probability that the intervals claim.
        inside: results within theirs.
        n: predictions.
        interval: of the share, 95 % (Wilson 1927, doi:10.2307/2276774), as if the
            predictions were independent.
    """

    level: float
    inside: int
    n: int
    interval: Interval

    @property
    def share(self) -> float:
        """Share of the results within their intervals."""
        return self.inside / self.n


def coverage_of(predictions: Sequence[Prediction], level: float) -> Coverage:
    """Coverage of the central intervals of a level.

    Args:
        predictions: at least one.
        level: in (0, 1).

    >>> found = coverage_of([Prediction(0, 0.5, 0.1, 0.6)] * 10, 0.95)
    >>> found.inside, [round(end, 3) for end in found.interval]
    (10, [0.722, 1.0])
    """
    reach = half_width(level)
    inside = sum(abs(each.z) <= reach for each in predictions)
    test = binomtest(inside, len(predictions))
    ends = test.proportion_ci(confidence_level=0.95, method="wilson")
    interval = float(ends.low), float(ends.high)
    return Coverage(level, inside, len(predictions), interval)


def half_width(level: float) -> float:
    """Deviations from the mean to the ends of a normal law's central interval.

    >>> round(half_width(0.95), 2)
    1.96
    """
    return float(norm.ppf(0.5 + level / 2))


def prediction(number: int, told: object, result: float | None) -> Prediction | None:
    """What a trial keeps of its prediction; None where that is no prediction.

    Args:
        number: of the trial.
        told: mapping with `mean` and `sd`, as a guide keeps it.
        result: of a trial that ran to its end, None otherwise.
    """
    if not isinstance(told, Mapping) or result is None:
        return None
    mean, sd = told.get("mean"), told.get("sd")
    if mean is None or sd is None:  # the guide had no model yet
        return None
    found = Prediction(number, float(mean), float(sd), float(result))
    finite = all(map(math.isfinite, (found.mean, found.sd, found.result)))
    return found if finite and found.sd > 0 else None
