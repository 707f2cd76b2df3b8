"""Correlations that hold their level: of a measure alone, and given covariates.

The signed partial correlation is the slope between what the covariates leave of
response and predictor, both scaled to unit deviation (Frisch & Waugh 1933). Its
interval holds every hypothesised slope that the wild bootstrap-t does not reject:
null imposed, restricted residuals rescaled by 1/(1 - leverage), Rademacher signs,
HC3 standard errors (Davidson & Flachaire 2008, doi:10.1016/j.jeconom.2008.08.003;
MacKinnon & White 1985, doi:10.1016/0304-4076(85)90158-7). Fisher's z with
n - k - 3 degrees of freedom stands beside it as a check.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

Vector: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

DRAWS = 1999
# Of a vector's norm, what least squares leaves by rounding alone.
_ROUNDING = 1e-7
# Hypothesised slopes that are tried before the ends are refined by bisection.
_SLOPES = 101
# Draws per block times rows: bounds memory at about 32 MB an array.
_BLOCK = 4_000_000


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
        fisher: Interval by Fisher's z with n - k - 3, the check.
        problem: Why nothing could be estimated, else empty.
    """

    n: int
    covariates: int
    unexplained: float | None = None
    value: float | None = None
    interval: Interval | None = None
    fisher: Interval | None = None
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
        if _constant(values):
            return Correlation(n, problem=f"{name} is constant")
    pearson = float(stats.pearsonr(measure, response).statistic)
    spearman = float(stats.spearmanr(measure, response).statistic)
    return Correlation(
        n,
        pearson,
        fisher_interval(pearson, n, level=level),
        spearman,
        _tanh_interval(spearman, math.sqrt((1 + spearman**2 / 2) / (n - 3)), level),
    )


def fisher_interval(
    value: float, n: int, covariates: int = 0, *, level: float = 0.05
) -> Interval | None:
    """Interval of a (partial) correlation by Fisher's z, None if n - k - 3 < 1."""
    freedom = n - covariates - 3
    if freedom < 1:
        return None
    return _tanh_interval(value, 1 / math.sqrt(freedom), level)


def partial_correlation(
    response: Vector,
    predictor: Vector,
    covariates: Sequence[Vector],
    *,
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
        seed: Seed of the bootstrap's signs.
        draws: Bootstrap draws; (draws + 1) * level is best an integer.
        level: The intervals cover with probability 1 - level.
    """
    n = len(response)
    if n < 4:
        problem = f"{n} rows, at least 4 are needed"
        return PartialCorrelation(n, len(covariates), problem=problem)
    basis = _basis(covariates, n)
    k = basis.shape[1] - 1
    if n < k + 4:
        problem = f"{n} rows, {k} covariates need at least {k + 4}"
        return PartialCorrelation(n, k, problem=problem)
    x, unexplained = _residual(predictor, basis)
    y, _ = _residual(response, basis)
    problem = _problem(response, predictor, x, y)
    if problem:
        return PartialCorrelation(n, k, unexplained, problem=problem)
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    value = float(np.clip(x @ y, -1, 1))
    leverage = np.sum(basis**2, axis=1)
    if np.max(leverage + x**2) > 1 - _ROUNDING:
        problem = "one row alone decides a coefficient (leverage 1)"
        return PartialCorrelation(n, k, unexplained, problem=problem)
    if abs(value) > 1 - _ROUNDING:
        problem = "the response is an exact linear function of the measures"
        return PartialCorrelation(n, k, unexplained, problem=problem)
    test = _WildBootstrap(x, y, basis, np.random.default_rng(seed), draws)
    interval = test.interval(level)
    fisher = fisher_interval(value, n, k, level=level)
    return PartialCorrelation(n, k, unexplained, value, interval, fisher)


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


class _WildBootstrap:
    """Test of hypothesised slopes by one set of Rademacher draws.

    The bootstrap response under slope b is (y - b x) f s, with signs s and
    f = 1/(1 - leverage). Its t statistic is (a - b c) / sqrt(p - 2 b q + b^2 r)
    with one a, c, p, q, r per draw, so a further slope costs one pass over the draws.
    """

    def __init__(
        self,
        x: Vector,
        y: Vector,
        basis: Vector,
        generator: np.random.Generator,
        draws: int,
    ) -> None:
        self.slope = float(x @ y)
        full = np.column_stack([basis, x])
        room = 1 - np.sum(full**2, axis=1)
        weight = (x / room) ** 2
        self.error = math.sqrt(float(weight @ (y - self.slope * x) ** 2))
        factor = 1 / (1 - np.sum(basis**2, axis=1))
        parts = []
        size = max(1, _BLOCK // len(x))
        for start in range(0, draws, size):
            rows = min(size, draws - start)
            signs = generator.integers(0, 2, (rows, len(x))) * 2.0 - 1
            of_y, of_x = signs * (y * factor), signs * (x * factor)
            left_y = of_y - (of_y @ full) @ full.T
            left_x = of_x - (of_x @ full) @ full.T
            moments = (left_y**2, left_y * left_x, left_x**2)
            parts.append((of_y @ x, of_x @ x, *(m @ weight for m in moments)))
        self.a, self.c, self.p, self.q, self.r = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )

    def rejects(self, slopes: Vector, level: float) -> npt.NDArray[np.bool_]:
        """Whether each slope is rejected by the symmetric test at the level."""
        b = slopes[:, None]
        variance = self.p - 2 * b * self.q + b**2 * self.r
        drawn = (self.a - b * self.c) ** 2
        observed = ((self.slope - b) / self.error) ** 2
        extreme = np.sum(drawn >= observed * variance, axis=1)
        p_value = (1 + extreme) / (1 + len(self.a))
        return np.asarray(p_value <= level)

    def interval(self, level: float) -> Interval:
        """Least and greatest correlation in [-1, 1] that is not rejected."""
        return self._end(-1.0, level), self._end(1.0, level)

    def _end(self, outermost: float, level: float) -> float:
        """The slope nearest to `outermost` that is not rejected, to 1e-6."""
        slopes = np.linspace(outermost, self.slope, _SLOPES)
        first = int(np.argmin(self.rejects(slopes, level)))
        if first == 0:
            return outermost
        outside, inside = float(slopes[first - 1]), float(slopes[first])
        while abs(outside - inside) > 1e-6:
            middle = (outside + inside) / 2
            if self.rejects(np.array([middle]), level)[0]:
                outside = middle
            else:
                inside = middle
        return inside


def _problem(response: Vector, predictor: Vector, x: Vector, y: Vector) -> str:
    """Why the correlation of the residuals x and y is not estimable, or empty."""
    if _constant(response):
        return "the response is constant"
    if _constant(predictor):
        return "it is constant"
    if not x.any():
        return "it is a linear function of the covariates"
    if not y.any():
        return "the response is a linear function of the covariates"
    return ""


def _basis(covariates: Sequence[Vector], n: int) -> Vector:
    """Orthonormal basis of the constant and the covariates, dependent ones left out."""
    basis = np.full((n, 1), 1 / math.sqrt(n))
    for covariate in covariates:
        left, _ = _residual(covariate, basis)
        if left.any():
            basis = np.column_stack([basis, left / np.linalg.norm(left)])
    return basis


def _residual(values: Vector, basis: Vector) -> tuple[Vector, float]:
    """What the basis leaves of the values, and the share of their variance in it.

    Projected twice, so that what is left is orthogonal to rounding error; exactly 0
    where only rounding error is left.
    """
    centred = values - values.mean()
    total = float(np.linalg.norm(centred))
    if _constant(values):
        return np.zeros_like(centred), 0.0
    left = centred - basis @ (basis.T @ centred)
    left -= basis @ (basis.T @ left)
    share = float(np.linalg.norm(left)) / total
    if share < _ROUNDING:
        return np.zeros_like(centred), 0.0
    return left, share**2


def _constant(values: Vector) -> bool:
    """Whether the values differ by rounding error alone."""
    return bool(np.ptp(values) <= _ROUNDING * np.max(np.abs(values)))


def _tanh_interval(value: float, error: float, level: float) -> Interval:
    """Interval of a correlation whose Fisher z has the given standard error."""
    centre = math.atanh(min(max(value, -1 + 1e-15), 1 - 1e-15))
    half = float(stats.norm.isf(level / 2)) * error
    return math.tanh(centre - half), math.tanh(centre + half)


def _distance(power: float, level: float) -> float:
    """Standard errors between 0 and an effect detected with the given power."""
    return float(stats.norm.isf(level / 2) + stats.norm.ppf(power))
