"""How much a model explains of rows that it has not seen, and what a predictor adds.

Ordinary least squares throughout. Cross-validation leaves groups whole: rows of one
network, or of one family, are never on both sides. AICc is that of Hurvich & Tsai
(1989, doi:10.1093/biomet/76.2.297) for the coefficients and the error variance.

The bootstrap interval of a difference of R-squared is DESCRIPTIVE ONLY: the
difference is above 0 in every resample, so the interval excludes 0 whether or not the
predictor says anything. No test may be read off it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold
from statsmodels.tools.eval_measures import aicc

from nasdepth.statistics.linear import (
    BLOCK,
    ROUNDING,
    Codes,
    Groups,
    Interval,
    Vector,
    basis,
    group_codes,
    group_sums,
    is_constant,
    residual,
)

FOLDS = 10
REPEATS = 5
# Below it a fold holds a row or two, and the sum of their errors says nothing.
LEAST_N = 8
# Share of the greatest eigenvalue below which rows do not identify a direction.
_SINGULAR = 1e-10

_Rows = npt.NDArray[np.intp]
_Fold = tuple[_Rows, _Rows]


@dataclass(frozen=True, slots=True)
class ModelFit:
    """A linear model in the sample and out of it.

    Attributes:
        name: The model's name.
        parameters: Independent coefficients, the constant counted.
        r2: Share of the response's variance that the fit explains.
        r2_cv: 1 - SSE/SST over the rows left out, SST about the mean of the rows
            trained on; mean over the repeats. Below 0 where the mean predicts better.
        r2_cv_sd: Standard deviation of it over the repeats, None with one repeat.
        aicc: Corrected Akaike criterion, smaller is better.
        problem: Why a value is missing, else empty.
    """

    name: str
    parameters: int
    r2: float | None = None
    r2_cv: float | None = None
    r2_cv_sd: float | None = None
    aicc: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DeltaR2:
    """What added columns explain beyond the base columns.

    Attributes:
        value: Difference of R-squared in the sample, never below 0.
        interval: Percentile bootstrap by group. Descriptive only: it excludes 0
            always.
        cv_value: Difference of cross-validated R-squared, of either sign.
        delta_aicc: AICc with the added columns minus AICc without: below 0 favours
            them.
        n: Rows.
        problem: Why a value is missing, else empty.
    """

    value: float | None = None
    interval: Interval | None = None
    cv_value: float | None = None
    delta_aicc: float | None = None
    n: int = 0
    problem: str = ""


def cross_validated(
    response: Vector,
    models: Mapping[str, Sequence[Vector]],
    *,
    groups: Groups | None = None,
    seed: int = 0,
    folds: int = FOLDS,
    repeats: int = REPEATS,
) -> tuple[ModelFit, ...]:
    """Fits of every model, cross-validated over the same folds.

    Args:
        response: One value per row.
        models: The columns of each model by its name; a constant is always added.
        groups: One label per row; a group is left out whole. None: every row stands
            alone.
        seed: Seed of the assignment of groups to folds.
        folds: Folds, at most one per group.
        repeats: Assignments drawn.

    Raises:
        ValueError: There is not one label per row.
    """
    n = len(response)
    codes, count = group_codes(groups, n)
    problem = _unusable(response, count)
    if problem:
        return tuple(
            ModelFit(name, 1 + len(columns), problem=problem)
            for name, columns in models.items()
        )
    states = np.random.SeedSequence(seed).generate_state(repeats)
    splits = [_split(codes, min(folds, count), int(state)) for state in states]
    return tuple(
        _fit(name, response, basis(columns, n), splits)
        for name, columns in models.items()
    )


def delta_r2(
    response: Vector,
    base: Sequence[Vector],
    added: Sequence[Vector],
    *,
    groups: Groups | None = None,
    seed: int = 0,
    draws: int = 2000,
    level: float = 0.05,
) -> DeltaR2:
    """Explained variance that the added columns bring beyond the base columns.

    Args:
        response: One value per row.
        base: Columns of the smaller model; a constant is always added.
        added: Columns of the greater model beyond the base.
        groups: One label per row; a group is drawn and left out whole.
        seed: Seed of the bootstrap and of the folds.
        draws: Bootstrap draws.
        level: The descriptive interval holds 1 - level of the draws.

    Raises:
        ValueError: There is not one label per row.
    """
    n = len(response)
    models = {"base": base, "full": [*base, *added]}
    small, large = cross_validated(response, models, groups=groups, seed=seed)
    problem = small.problem or large.problem
    if problem:
        return DeltaR2(n=n, problem=problem)
    if large.parameters == small.parameters:
        problem = "what is added is a linear function of the base"
        return DeltaR2(0.0, n=n, problem=problem)
    span = basis(models["full"], n)
    codes, _ = group_codes(groups, n)
    drawn = _resampled(
        response, span, base=small.parameters, codes=codes, draws=draws, seed=seed
    )
    low, high = np.quantile(drawn, [level / 2, 1 - level / 2])
    return DeltaR2(
        value=_difference(large.r2, small.r2),
        interval=(float(low), float(high)),
        cv_value=_difference(large.r2_cv, small.r2_cv),
        delta_aicc=_difference(large.aicc, small.aicc),
        n=n,
    )


def _unusable(response: Vector, groups: int) -> str:
    """Why no model can be fitted and tried, or empty."""
    if len(response) < LEAST_N:
        return f"{len(response)} rows, at least {LEAST_N} are needed"
    if groups < 2:
        return "all rows are one group, none can be left out"
    if is_constant(response):
        return "the response is constant"
    return ""


def _split(codes: Codes, folds: int, state: int) -> tuple[_Fold, ...]:
    """Rows trained on and rows left out, for every fold."""
    splitter = GroupKFold(folds, shuffle=True, random_state=state)
    return tuple(splitter.split(codes, groups=codes))


def _fit(
    name: str, response: Vector, span: Vector, splits: Sequence[Sequence[_Fold]]
) -> ModelFit:
    """One model's fit in the sample and over all splits."""
    n, parameters = span.shape
    if n < parameters + 3:
        problem = f"{n} rows, {parameters} coefficients need at least {parameters + 3}"
        return ModelFit(name, parameters, problem=problem)
    left, unexplained = residual(response, span)
    if not left.any():
        problem = "the response is an exact linear function of the columns"
        return ModelFit(name, parameters, 1.0, problem=problem)
    outside = [_outside(response, span, folds) for folds in splits]
    return ModelFit(
        name,
        parameters,
        r2=1 - unexplained,
        r2_cv=float(np.mean(outside)),
        r2_cv_sd=float(np.std(outside, ddof=1)) if len(outside) > 1 else None,
        aicc=_aicc(float(left @ left), n, parameters),
    )


def _aicc(squares: float, n: int, parameters: int) -> float:
    """Corrected Akaike criterion of least squares with normal errors."""
    likelihood = -n / 2 * (math.log(2 * math.pi * squares / n) + 1)
    return float(aicc(likelihood, n, parameters + 1))


def _outside(response: Vector, span: Vector, folds: Sequence[_Fold]) -> float:
    """1 - SSE/SST over the rows left out of each fold, pooled."""
    errors = totals = 0.0
    for inside, outside in folds:
        centre = float(response[inside].mean())
        trained, y = span[inside], response[inside] - centre
        weights = _inverse(trained.T @ trained) @ (trained.T @ y)
        wanted = response[outside] - centre
        errors += float(np.sum((wanted - span[outside] @ weights) ** 2))
        totals += float(wanted @ wanted)
    return 1 - errors / totals


def _inverse(moments: Vector) -> Vector:
    """Pseudo-inverses of cross products: what the rows do not identify is 0."""
    return np.asarray(np.linalg.pinv(moments, rcond=_SINGULAR, hermitian=True))


def _resampled(
    response: Vector, span: Vector, *, base: int, codes: Codes, draws: int, seed: int
) -> Vector:
    """Difference of R-squared in each resample of groups.

    A resample is a vector of weights, and its fits need only the weighted cross
    products of the columns: one matrix product for all draws.
    """
    generator = np.random.default_rng(seed)
    y = response - response.mean()
    columns = np.column_stack([span, y / np.linalg.norm(y)])
    count = int(codes.max()) + 1
    upper = np.triu_indices(columns.shape[1])
    products = group_sums(columns[:, upper[0]] * columns[:, upper[1]], codes, count)
    found = []
    size = max(1, BLOCK // count)
    for start in range(0, draws, size):
        weights = _weights(count, min(size, draws - start), generator)
        moments = np.empty((len(weights), *(2 * columns.shape[1:])))
        moments[:, upper[0], upper[1]] = moments[:, upper[1], upper[0]] = (
            weights @ products
        )
        left = [_unexplained(moments, rank) for rank in (1, base, span.shape[1])]
        found.append(np.stack(left))
    total, small, large = np.concatenate(found, axis=1)
    varied = total > ROUNDING
    return np.asarray(np.maximum(small - large, 0)[varied] / total[varied])


def _weights(count: int, draws: int, generator: np.random.Generator) -> Vector:
    """How often each group is drawn, `(draws, count)`."""
    drawn = generator.integers(0, count, (draws, count))
    drawn += count * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * count)
    return np.asarray(counts.reshape(draws, count), dtype=np.float64)


def _unexplained(moments: Vector, rank: int) -> Vector:
    """Sum of squares that the first columns leave of the last, for each draw."""
    inside, across = moments[:, :rank, :rank], moments[:, :rank, -1:]
    explained = across.transpose(0, 2, 1) @ _inverse(inside) @ across
    return np.asarray(moments[:, -1, -1] - explained[:, 0, 0])


def _difference(one: float | None, other: float | None) -> float | None:
    """First minus second, None where either is missing."""
    return None if one is None or other is None else one - other
