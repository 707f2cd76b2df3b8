"""Correlations that hold their level: of a measure alone, and given covariates.

The signed partial correlation is the slope between what the covariates leave of
response and predictor, both scaled to unit deviation (Frisch & Waugh 1933). Its
interval holds every hypothesised slope that the wild bootstrap-t of `wild` does not
reject. Fisher's z with groups - k - 3 degrees of freedom stands beside it as a check.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from nasdepth.statistics.linear import (
    ROUNDING,
    Groups,
    Interval,
    Vector,
    basis,
    group_codes,
    is_constant,
    residual,
    tanh_interval,
)
from nasdepth.statistics.wild import Design, WildBootstrap

__all__ = [
    "DRAWS",
    "Correlation",
    "Interval",
    "PartialCorrelation",
    "Vector",
    "correlation",
    "detectable_effect",
    "fisher_interval",
    "partial_correlation",
    "required_n",
]

DRAWS = 1999


@dataclass(frozen=True, slots=True)
class Correlation:
    """A measure and the response, nothing held fixed.

    Attributes:
        n: Rows.
        pearson: Pearson's r, None where it is not estimable.
        pearson_interval: By Fisher's z.
        spearman: Spearman's rank correlation, ties averaged.
        spearman_interval: By Fisher's z with the standard error of Bonett & Wright
            (2000, doi:10.1007/BF02294183).
        problem: Why nothing could be estimated, else empty.
    """

    n: int
    pearson: float | None = None
    pearson_interval: Interval | None = None
    spearman: float | None = None
    spearman_interval: Interval | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PartialCorrelation:
    """A predictor and the response, the covariates held fixed.

    Attributes:
        n: Rows.
        covariates: Linearly independent covariates, the constant not counted.
        unexplained: Share of the predictor's variance that the covariates leave.
        value: Signed partial correlation, None where it is not estimable.
        interval: By inversion of the wild bootstrap-t with HC3.
        fisher: Interval by Fisher's z with clusters - k - 3, the check.
        p_value: Of a partial correlation of 0, by the test that the interval inverts.
        clusters: Groups of rows that are independent of each other, n where no groups
            were given; 0 where none were formed.
        problem: Why nothing could be estimated, else empty.
    """

    n: int
    covariates: int
    unexplained: float | None = None
    value: float | None = None
    interval: Interval | None = None
    fisher: Interval | None = None
    p_value: float | None = None
    clusters: int = 0
    problem: str = ""


def correlation(
    response: Vector, measure: Vector, *, level: float = 0.05
) -> Correlation:
    """Pearson's and Spearman's correlation of one measure with the response.

    Args:
        response: One value per row.
        measure: One value per row.
        level: The intervals cover with probability 1 - level.
    """
    n = len(response)
    if n < 4:
        return Correlation(n, problem=f"{n} rows, an interval needs at least 4")
    for name, values in (("the response", response), ("it", measure)):
        if is_constant(values):
            return Correlation(n, problem=f"{name} is constant")
    pearson = float(stats.pearsonr(measure, response).statistic)
    spearman = float(stats.spearmanr(measure, response).statistic)
    return Correlation(
        n,
        pearson,
        fisher_interval(pearson, n, level=level),
        spearman,
        tanh_interval(spearman, math.sqrt((1 + spearman**2 / 2) / (n - 3)), level),
    )


def fisher_interval(
    value: float, n: int, covariates: int = 0, *, level: float = 0.05
) -> Interval | None:
    """Interval of a (partial) correlation by Fisher's z, None if n - k - 3 < 1."""
    freedom = n - covariates - 3
    if freedom < 1:
        return None
    return tanh_interval(value, 1 / math.sqrt(freedom), level)


def partial_correlation(
    response: Vector,
    predictor: Vector,
    covariates: Sequence[Vector],
    *,
    groups: Groups | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    level: float = 0.05,
) -> PartialCorrelation:
    """Signed partial correlation of response and predictor given the covariates.

    Args:
        response: One value per row.
        predictor: One value per row.
        covariates: Vectors of one value per row; a constant is always added.
            Constant and collinear ones change nothing and are not counted.
        groups: One label per row; rows of one label may depend on each other. None:
            every row stands alone.
        seed: Seed of the bootstrap's signs.
        draws: Bootstrap draws; (draws + 1) * level is best an integer.
        level: The intervals cover with probability 1 - level.

    Raises:
        ValueError: There is not one label per row.
    """
    n = len(response)
    codes, clusters = group_codes(groups, n)
    if n < 4:
        problem = f"{n} rows, at least 4 are needed"
        return PartialCorrelation(
            n, len(covariates), clusters=clusters, problem=problem
        )
    span = basis(covariates, n)
    k = span.shape[1] - 1
    if clusters < k + 4:
        units = "rows" if clusters == n else "groups of rows"
        problem = f"{clusters} {units}, {k} covariates need at least {k + 4}"
        return PartialCorrelation(n, k, clusters=clusters, problem=problem)
    x, unexplained = residual(predictor, span)
    y, _ = residual(response, span)
    found = PartialCorrelation(n, k, unexplained, clusters=clusters)
    problem = _degenerate(response, predictor, x, y)
    if problem:
        return replace(found, problem=problem)
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    value = float(np.clip(x @ y, -1, 1))
    design = Design(x, span, codes, clusters)
    problem = design.problem or _exact(value)
    if problem:
        return replace(found, problem=problem)
    test = WildBootstrap(y, design, np.random.default_rng(seed), draws)
    return replace(
        found,
        value=value,
        interval=test.interval(level),
        fisher=fisher_interval(value, clusters, k, level=level),
        p_value=float(test.p_values(np.zeros(1))[0]),
    )


def required_n(
    effect: float, covariates: int, *, power: float = 0.8, level: float = 0.05
) -> int:
    """Rows at which a partial correlation is detected with the given power.

    By Fisher's z, two-sided.

    Args:
        effect: Size of the partial correlation, in (0, 1).
        covariates: Number of covariates.
        power: Wanted probability of detection.
        level: Level of the test.
    """
    if not 0 < abs(effect) < 1:
        raise ValueError(f"effect must lie in (0, 1), but got {effect}.")
    distance = _distance(power, level) / math.atanh(abs(effect))
    return math.ceil(distance**2) + covariates + 3


def detectable_effect(
    n: int, covariates: int, *, power: float = 0.8, level: float = 0.05
) -> float:
    """Smallest partial correlation that n rows detect with the given power.

    By Fisher's z, two-sided; 1 where n - k - 3 < 1: nothing is detectable.

    Args:
        n: Rows.
        covariates: Number of covariates.
        power: Wanted probability of detection.
        level: Level of the test.
    """
    freedom = n - covariates - 3
    if freedom < 1:
        return 1.0
    return math.tanh(_distance(power, level) / math.sqrt(freedom))


def _degenerate(response: Vector, predictor: Vector, x: Vector, y: Vector) -> str:
    """Why the correlation of the residuals x and y is not estimable, or empty."""
    if is_constant(response):
        return "the response is constant"
    if is_constant(predictor):
        return "it is constant"
    if not x.any():
        return "it is a linear function of the covariates"
    if not y.any():
        return "the response is a linear function of the covariates"
    return ""


def _exact(value: float) -> str:
    """Why a correlation of the residuals leaves nothing to test, or empty."""
    if abs(value) > 1 - ROUNDING:
        return "the response is an exact linear function of the measures"
    return ""


def _distance(power: float, level: float) -> float:
    """Standard errors between 0 and an effect detected with the given power."""
    return float(stats.norm.isf(level / 2) + stats.norm.ppf(power))
