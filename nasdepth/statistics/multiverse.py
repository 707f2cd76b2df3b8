"""Specification curves: one question under every reading of its measures.

A specification is a predictor (a convention of counting) and a response; the
baselines are the same in every specification of a curve, because a curve that varies
them mixes different questions and rejects without any effect. Whether the curve as a
whole shows more than chance is told by its largest |t| (Simonsohn, Simmons & Nelson
2020, doi:10.1038/s41562-020-0912-z, whose curves permute as one). The null draws are
those of Freedman & Lane (1983, doi:10.1080/07350015.1983.10509354; Winkler et al.
2014, doi:10.1016/j.neuroimage.2014.01.060): what the baselines leave of
each response is permuted, by the same permutation in all specifications, and the
slope of the predictor is fitted anew with the baselines in the model.

With e the residual of a response, x that of a predictor, both of unit length, Q an
orthonormal basis of the baselines and P a permutation, x is orthogonal to Q, so that
the partial correlation in a draw is r = x'Pe / sqrt(1 - |Q'Pe|^2): no refit.

Permutations take the noise as exchangeable. Where its spread follows the predictor
they reject too often (n = 20 and 40, eight predictors correlated at .9, three
responses, no effect, nominal .05, 2,000 runs each: .21 and .25, against .04 to .06
with normal, exponential and t3 noise of one spread). Beside them therefore stands the
same largest |t| with HC3 standard errors under signs flipped at random, which asks for
independent symmetric errors alone (Winkler et al. 2014, "ISE"; the wild bootstrap-t of
`wild`): .04 to .06 in all these cases. Where the two differ, the second counts.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nasdepth.statistics.linear import (
    BLOCK,
    ROUNDING,
    Groups,
    Interval,
    Vector,
    basis,
    group_codes,
    is_constant,
    residual,
)
from nasdepth.statistics.regression import fisher_interval

PERMUTATIONS = 999
# A draw within rounding of the observed maximum is a tie, and ties count.
_TIE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Specification:
    """One reading of the question: a predictor and a response, both by name.

    Attributes:
        convention: Name of the predictor, with the convention by which it counts.
        outcome: Name of the response, with its scale.
        predictor: One value per row.
        response: One value per row.
    """

    convention: str
    outcome: str
    predictor: Vector
    response: Vector


@dataclass(frozen=True, slots=True)
class Point:
    """One specification's result.

    Attributes:
        convention: Name of the predictor.
        outcome: Name of the response.
        value: Signed partial correlation given the baselines, None where it is not
            estimable.
        interval: By Fisher's z with n - k - 3: descriptive, not corrected for the
            number of specifications.
        t: The slope's t statistic with n - k - 2 degrees of freedom.
        problem: Why nothing could be estimated, else empty.
    """

    convention: str
    outcome: str
    value: float | None = None
    interval: Interval | None = None
    t: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """All specifications of one question and one joint test of them.

    Attributes:
        n: Rows.
        covariates: Linearly independent baselines, the constant not counted.
        points: One per specification, in the order given.
        median: Median partial correlation of the estimable points.
        share_positive: Share of them above 0.
        max_abs_t: Largest |t| among them.
        p_value: Probability of such a largest |t| without any effect, by shared
            Freedman-Lane permutations: noise of one spread.
        p_robust: The same of the largest |t| with HC3 errors, by shared sign flips:
            noise of any spread.
        draws: Permutations, and as many sign flips.
        problem: Why there is no joint test, else empty.
    """

    n: int
    covariates: int
    points: tuple[Point, ...] = ()
    median: float | None = None
    share_positive: float | None = None
    max_abs_t: float | None = None
    p_value: float | None = None
    p_robust: float | None = None
    draws: int = 0
    problem: str = ""


def specification_curve(
    specifications: Sequence[Specification],
    covariates: Sequence[Vector],
    *,
    seed: int,
    permutations: int = PERMUTATIONS,
    groups: Groups | None = None,
    level: float = 0.05,
) -> Curve:
    """Partial correlation under every specification, and one test of the largest.

    Args:
        specifications: Predictors and responses over the same rows.
        covariates: The baselines, the same in every specification; a constant is
            always added.
        seed: Seed of the permutations.
        permutations: Random permutations B, and as many sign flips;
            p = (1 + as extreme) / (1 + B).
        groups: The architecture of each row. Rows of one architecture are not
            exchangeable with others, so they have to be averaged beforehand.
        level: The intervals cover with probability 1 - level.

    Raises:
        ValueError: Vectors of different lengths, or no permutation.
    """
    n = _rows(specifications, covariates)
    if permutations < 1:
        raise ValueError(f"permutations must be positive, but got {permutations}.")
    problem = _problem(n, specifications, groups)
    if problem:
        return Curve(n, len(covariates), problem=problem)
    given = basis(covariates, n)
    k = given.shape[1] - 1
    if n < k + 4:
        problem = f"{n} rows, {k} covariates need at least {k + 4}"
        return Curve(n, k, problem=problem)
    if np.max(np.sum(given**2, axis=1)) > 1 - ROUNDING:
        return Curve(n, k, problem="one row alone decides a coefficient (leverage 1)")
    fits, places = _fits(specifications, given)
    points = tuple(
        _point(each, fits, place, level)
        for each, place in zip(specifications, places, strict=True)
    )
    values = np.array([point.value for point in points if point.value is not None])
    if not len(values):
        return Curve(n, k, points, problem="no specification is estimable")
    return Curve(
        n,
        k,
        points,
        median=float(np.median(values)),
        share_positive=float(np.mean(values > 0)),
        max_abs_t=max(abs(point.t) for point in points if point.t is not None),
        p_value=_permuted_p(fits, seed, permutations),
        p_robust=_flipped_p(fits, seed, permutations),
        draws=permutations,
    )


def _rows(specifications: Sequence[Specification], covariates: Sequence[Vector]) -> int:
    """The number of rows that all vectors have."""
    vectors = [*covariates]
    for each in specifications:
        vectors += [each.predictor, each.response]
    lengths = sorted({len(vector) for vector in vectors})
    if len(lengths) > 1:
        raise ValueError(
            "A specification curve must have the same rows in every vector, but got"
            f" vectors of {', '.join(map(str, lengths))} rows."
        )
    return lengths[0] if lengths else 0


def _problem(
    n: int, specifications: Sequence[Specification], groups: Groups | None
) -> str:
    """Why no curve can be drawn, whatever the baselines, or empty."""
    if not specifications:
        return "no specification was given"
    if n < 4:
        return f"{n} rows, at least 4 are needed"
    _, architectures = group_codes(groups, n)
    if architectures < n:
        return (
            f"{n} rows of {architectures} architectures are not exchangeable: average"
            " the rows of each"
        )
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class _Fits:
    """What the baselines leave of the distinct vectors of all specifications.

    Attributes:
        responses: Unit residuals, `(responses, n)`.
        predictors: Unit residuals, `(predictors, n)`.
        given: Orthonormal basis of the baselines, `(n, 1 + k)`.
        wanted: Which pairs are estimable specifications, `(responses, predictors)`.
    """

    responses: Vector
    predictors: Vector
    given: Vector
    wanted: npt.NDArray[np.bool_]

    def largest(self, squares: Vector) -> Vector:
        """Largest value of `(responses, draws, predictors)` in each draw."""
        where = self.wanted[:, None, :]
        return np.asarray(np.max(squares, axis=(0, 2), where=where, initial=0))

    def blocks(self, draws: int) -> Iterator[int]:
        """Numbers of draws, in blocks of bounded memory."""
        size = max(1, BLOCK // self.responses.size)
        for start in range(0, draws, size):
            yield min(size, draws - start)

    def robust_squares(self, responses: Vector) -> Vector:
        """Squared t with HC3 errors of `(responses, draws, n)` residuals.

        With a the slope of the unit residual x, the errors are v - a x and their
        weighted squares sum w (v - a x)^2 with w = (x / (1 - leverage))^2.
        """
        x = self.predictors
        leverage = np.sum(self.given**2, axis=1) + x**2
        weights = (x / np.maximum(1 - leverage, ROUNDING)) ** 2
        slopes = responses @ x.T
        variance = (responses**2) @ weights.T
        variance -= 2 * slopes * (responses @ (weights * x).T)
        variance += slopes**2 * np.sum(weights * x**2, axis=1)
        return np.asarray(slopes**2 / np.maximum(variance, ROUNDING**2))


def _fits(
    specifications: Sequence[Specification], given: Vector
) -> tuple[_Fits, list[tuple[int, int]]]:
    """The residuals, and the response's and the predictor's row of each."""
    responses, of_y = _residuals([each.response for each in specifications], given)
    predictors, of_x = _residuals([each.predictor for each in specifications], given)
    wanted = np.zeros((len(responses), len(predictors)), dtype=np.bool_)
    places = list(zip(of_y, of_x, strict=True))
    for each, (y, x) in zip(specifications, places, strict=True):
        wanted[y, x] = not _unestimable(each, predictors[x], responses[y], given)
    return _Fits(responses, predictors, given, wanted), places


def _residuals(vectors: Sequence[Vector], given: Vector) -> tuple[Vector, list[int]]:
    """Unit residuals of the distinct vectors as rows, and the row of each vector.

    A row of zeros stands for a vector of which the basis leaves nothing.
    """
    places: dict[bytes, int] = {}
    rows: list[Vector] = []
    index: list[int] = []
    for vector in vectors:
        key = np.asarray(vector, dtype=np.float64).tobytes()
        if key not in places:
            places[key] = len(rows)
            left, _ = residual(vector, given)
            rows.append(left / (np.linalg.norm(left) or 1.0))
        index.append(places[key])
    return np.array(rows), index


def _point(
    each: Specification, fits: _Fits, place: tuple[int, int], level: float
) -> Point:
    """The result of a specification."""
    y, x = fits.responses[place[0]], fits.predictors[place[1]]
    point = Point(each.convention, each.outcome)
    problem = _unestimable(each, x, y, fits.given)
    if problem:
        return replace(point, problem=problem)
    n, k, value = len(x), fits.given.shape[1] - 1, float(x @ y)
    return replace(
        point,
        value=value,
        interval=fisher_interval(value, n, k, level=level),
        t=value * math.sqrt((n - k - 2) / (1 - value**2)),
    )


def _unestimable(each: Specification, x: Vector, y: Vector, given: Vector) -> str:
    """Why a specification has no partial correlation, or empty."""
    if is_constant(each.response):
        return "the response is constant"
    if is_constant(each.predictor):
        return "the predictor is constant"
    if not x.any():
        return "the predictor is a linear function of the covariates"
    if not y.any():
        return "the response is a linear function of the covariates"
    if np.max(np.sum(given**2, axis=1) + x**2) > 1 - ROUNDING:
        return "one row alone decides a coefficient (leverage 1)"
    if abs(x @ y) > 1 - ROUNDING:
        return "the response is an exact linear function of the measures"
    return ""


def _permuted_p(fits: _Fits, seed: int, draws: int) -> float:
    """The p-value of the largest |t| by Freedman-Lane permutations.

    All specifications have the same degrees of freedom, so that |t| rises with |r|.
    """
    generator = np.random.default_rng(seed)
    columns = np.hstack([fits.given, fits.predictors.T])
    cut = fits.given.shape[1]
    n = len(columns)
    maxima = []
    for size in fits.blocks(draws):
        order = generator.permuted(np.tile(np.arange(n), (size, 1)), axis=1)
        products = fits.responses[:, order] @ columns
        left = 1 - np.sum(products[..., :cut] ** 2, axis=-1, keepdims=True)
        squares = products[..., cut:] ** 2 / np.maximum(left, ROUNDING)
        maxima.append(fits.largest(squares))
    observed = (fits.responses @ fits.predictors.T) ** 2
    return _p_value(fits.largest(observed[:, None, :]), maxima)


def _flipped_p(fits: _Fits, seed: int, draws: int) -> float:
    """The p-value of the largest |t| with HC3 errors by flipped signs.

    Residuals are rescaled by 1 / (1 - leverage) before their signs are drawn, as in
    the wild bootstrap-t.
    """
    generator = np.random.default_rng((seed, 1))
    n = len(fits.given)
    scaled = (fits.responses / (1 - np.sum(fits.given**2, axis=1)))[:, None, :]
    maxima = []
    for size in fits.blocks(draws):
        drawn = scaled * (generator.integers(0, 2, (size, n)) * 2.0 - 1)
        drawn -= (drawn @ fits.given) @ fits.given.T
        maxima.append(fits.largest(fits.robust_squares(drawn)))
    observed = fits.robust_squares(fits.responses[:, None, :])
    return _p_value(fits.largest(observed), maxima)


def _p_value(observed: Vector, maxima: Sequence[Vector]) -> float:
    """Share of the draws, the observed one included, that are as extreme."""
    drawn = np.concatenate(maxima)
    extreme = int(np.sum(drawn >= observed * (1 - _TIE)))
    return (1 + extreme) / (1 + len(drawn))
