"""Two correlations with one response, measured on the same rows, compared.

Williams's t is the primary test (Williams 1959; Steiger 1980, equation 7,
doi:10.1037/0033-2909.87.2.245), the Z of Meng, Rosenthal & Rubin (1992,
doi:10.1037/0033-2909.111.1.172) stands beside it, and the interval of the difference
is that of Zou (2007, doi:10.1037/1082-989X.12.4.399). The *signed* correlations are
compared: a predictor at -.9 lies below one at .1. On ranks all three are
approximations, whose level the tests of this file measure.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from nasdepth.statistics.linear import (
    ROUNDING,
    Interval,
    Vector,
    is_constant,
    tanh_interval,
)

# The tests have n - 3 degrees of freedom.
LEAST_N = 4


@dataclass(frozen=True, slots=True)
class DependentCorrelations:
    """The correlations of two predictors with one response, and their difference.

    Attributes:
        n: Rows.
        first: Correlation of the first predictor with the response.
        second: Correlation of the second predictor with the response.
        between: Correlation of the two predictors.
        difference: First minus second.
        interval: Of the difference (Zou).
        williams_t: With n - 3 degrees of freedom, positive if the first is greater.
        williams_p: Two-sided.
        meng_z: Standard normal, positive if the first is greater.
        meng_p: Two-sided.
        meng_interval: Of the difference of the two Fisher z, not of the correlations.
        problem: Why nothing could be compared, else empty.
    """

    n: int
    first: float | None = None
    second: float | None = None
    between: float | None = None
    difference: float | None = None
    interval: Interval | None = None
    williams_t: float | None = None
    williams_p: float | None = None
    meng_z: float | None = None
    meng_p: float | None = None
    meng_interval: Interval | None = None
    problem: str = ""


def compare_correlations(
    response: Vector,
    first: Vector,
    second: Vector,
    *,
    ranks: bool = True,
    level: float = 0.05,
) -> DependentCorrelations:
    """Difference of the correlations of two predictors with the response.

    Args:
        response: One value per row.
        first: One value per row.
        second: One value per row.
        ranks: Spearman's correlations (ties averaged) in place of Pearson's.
        level: The intervals cover with probability 1 - level.
    """
    n = len(response)
    columns = {"the response": response, "the first": first, "the second": second}
    problem = _unusable(n, columns)
    if problem:
        return DependentCorrelations(n, problem=problem)
    data = np.array(list(columns.values()))
    matrix = np.corrcoef(stats.rankdata(data, axis=1) if ranks else data)
    r1, r2, between = (
        float(np.clip(matrix[i], -1, 1)) for i in ((0, 1), (0, 2), (1, 2))
    )
    found = DependentCorrelations(n, r1, r2, between)
    problem = _degenerate(r1, r2, between)
    if problem:
        return replace(found, problem=problem)
    t, z = williams_t(r1, r2, between, n), meng_z(r1, r2, between, n)
    distance = math.atanh(r1) - math.atanh(r2)
    half = float(stats.norm.isf(level / 2)) * _meng_error(r1, r2, between, n)
    return replace(
        found,
        difference=r1 - r2,
        interval=difference_interval(r1, r2, between, n, ranks=ranks, level=level),
        williams_t=t,
        williams_p=float(2 * stats.t.sf(abs(t), n - 3)),
        meng_z=z,
        meng_p=float(2 * stats.norm.sf(abs(z))),
        meng_interval=(distance - half, distance + half),
    )


def williams_t(first: float, second: float, between: float, n: int) -> float:
    """Williams's t of the difference, with n - 3 degrees of freedom.

    t = (r1 - r2) sqrt((n - 1)(1 + r12) / (2 |R| (n - 1)/(n - 3) + m^2 (1 - r12)^3))
    with m = (r1 + r2)/2 and |R| the determinant of the three correlations (Steiger
    1980, equation 7).

    Args:
        first: Correlation of the first predictor with the response.
        second: Correlation of the second predictor with the response.
        between: Correlation of the two predictors, in (-1, 1).
        n: Rows, at least 4.
    """
    mean = (first + second) / 2
    determinant = 1 - first**2 - second**2 - between**2 + 2 * first * second * between
    spread = (
        2 * max(determinant, 0.0) * (n - 1) / (n - 3) + mean**2 * (1 - between) ** 3
    )
    return (first - second) * math.sqrt((n - 1) * (1 + between) / spread)


def meng_z(first: float, second: float, between: float, n: int) -> float:
    """Z of Meng, Rosenthal and Rubin of the difference, standard normal.

    Z = (z1 - z2) sqrt((n - 3) / (2 (1 - r12) h)), h = (1 - f m)/(1 - m), with m the
    mean of the squared correlations and f = (1 - r12)/(2 (1 - m)), at most 1 (Meng,
    Rosenthal & Rubin 1992).

    Args:
        first: Correlation of the first predictor with the response, in (-1, 1).
        second: Correlation of the second predictor with the response, in (-1, 1).
        between: Correlation of the two predictors, in [-1, 1).
        n: Rows, at least 4.
    """
    distance = math.atanh(first) - math.atanh(second)
    return distance / _meng_error(first, second, between, n)


def difference_interval(
    first: float,
    second: float,
    between: float,
    n: int,
    *,
    ranks: bool = False,
    level: float = 0.05,
) -> Interval:
    """Interval of the difference of two correlations with one response.

    Each end joins those of the two Fisher intervals: with (l, u) the interval of each
    correlation and c the correlation of the two estimates, the lower end is
    d - sqrt((r1 - l1)^2 + (u2 - r2)^2 - 2 c (r1 - l1)(u2 - r2)) (Zou 2007).

    Args:
        first: Correlation of the first predictor with the response.
        second: Correlation of the second predictor with the response.
        between: Correlation of the two predictors.
        n: Rows, at least 4.
        ranks: Rank correlations, with the standard error of Bonett & Wright (2000,
            doi:10.1007/BF02294183).
        level: The interval covers with probability 1 - level.
    """
    ends = []
    for value in (first, second):
        excess = value**2 / 2 if ranks else 0.0
        ends.append(tanh_interval(value, math.sqrt((1 + excess) / (n - 3)), level))
    (low1, high1), (low2, high2) = ends
    shared = _shared(first, second, between)

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(one**2 + other**2 - 2 * shared * one * other, 0.0))

    difference = first - second
    return (
        difference - reach(first - low1, high2 - second),
        difference + reach(high1 - first, second - low2),
    )


def _shared(first: float, second: float, between: float) -> float:
    """Correlation of the two estimated correlations, for normal data (Zou 2007)."""
    squares = first**2 + second**2 + between**2
    numerator = (between - first * second / 2) * (1 - squares) + between**3
    return numerator / ((1 - first**2) * (1 - second**2))


def _meng_error(first: float, second: float, between: float, n: int) -> float:
    """Standard error of the difference of the two Fisher z."""
    mean = (first**2 + second**2) / 2
    f = min((1 - between) / (2 * (1 - mean)), 1.0)
    h = (1 - f * mean) / (1 - mean)
    return math.sqrt(2 * (1 - between) * h / (n - 3))


def _unusable(n: int, columns: dict[str, Vector]) -> str:
    """Why the columns have no correlations to compare, or empty."""
    if n < LEAST_N:
        return f"{n} rows, at least {LEAST_N} are needed"
    for name, values in columns.items():
        if is_constant(values):
            return f"{name} is constant"
    return ""


def _degenerate(first: float, second: float, between: float) -> str:
    """Why the correlations leave nothing to test, or empty."""
    if between > 1 - ROUNDING:
        return "the two predictors are the same but for their units"
    if between < ROUNDING - 1:
        return "the two predictors are the same but for their sign and units"
    if max(abs(first), abs(second)) > 1 - ROUNDING:
        return "a predictor follows the response exactly"
    return ""
