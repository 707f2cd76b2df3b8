"""A slope beside a random intercept per family: exploratory, from 20 families.

The model takes the families' effects as independent of the predictor. Where they are
not, its slope lies between that within and that between families (Mundlak 1978,
doi:10.2307/1913646); the fixed effects of `grouped` need no such thing.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from nasdepth.statistics.linear import (
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

UNIT = "standard deviations of the response per standard deviation of the predictor"
# With fewer families the random intercept's test is too liberal.
MIXED_LEAST = 20


@dataclass(frozen=True, slots=True)
class Mixed:
    """The slope beside a random intercept per family.

    Attributes:
        families: Families.
        n: Rows.
        value: The slope in the module's unit, None where it is not estimable.
        interval: By the slope's standard error and t with families - 2 degrees of
            freedom.
        share: Share of the unexplained variance that lies between families.
        problem: Why nothing could be estimated, else empty.
    """

    families: int
    n: int
    value: float | None = None
    interval: Interval | None = None
    share: float | None = None
    problem: str = ""


def mixed_model(
    response: Vector,
    predictor: Vector,
    covariates: Sequence[Vector],
    families: Groups,
) -> Mixed:
    """The slope beside a random intercept per family, by restricted likelihood.

    Takes the families' effects as independent of the predictor, which the fixed
    effects do not, and is therefore exploratory. Offered from 20 families.

    Args:
        response: One value per row.
        predictor: One value per row.
        covariates: Vectors of one value per row.
        families: The family of each row.
    """
    n = len(response)
    codes, count = group_codes(families, n)
    if count < MIXED_LEAST:
        return Mixed(count, n, problem=f"needs {MIXED_LEAST} families, got {count}")
    given = basis(covariates, n)
    problem = _mixed_problem(response, predictor, given, codes)
    if problem:
        return Mixed(count, n, problem=problem)
    # The slope is that of the predictor itself: only the other coefficients change
    # where the predictor is replaced by what the covariates leave of it.
    left, _ = residual(predictor, given)
    spread = float(np.std(left))
    design = np.column_stack([given * math.sqrt(n), left / spread])
    scaled = (response - np.mean(response)) / np.std(response)
    fit, problem = _restricted_likelihood(scaled, design, codes)
    if fit is None:
        return Mixed(count, n, problem=problem)
    unit = float(np.std(predictor)) / spread
    half = float(stats.t.isf(0.025, count - 2)) * fit.error
    interval = ((fit.slope - half) * unit, (fit.slope + half) * unit)
    return Mixed(count, n, fit.slope * unit, interval, fit.share)


@dataclass(frozen=True, slots=True)
class _MixedFit:
    """The last coefficient of a random-intercept model, and the intercepts' share."""

    slope: float
    error: float
    share: float


def _mixed_problem(
    response: Vector, predictor: Vector, given: Vector, codes: Codes
) -> str:
    """Why a random intercept cannot be fitted, or empty."""
    n, k = given.shape[0], given.shape[1] - 1
    if n < k + 4:
        return f"{n} rows, {k} covariates need at least {k + 4}"
    if int(codes.max()) + 1 == n:
        return "each family has one row"
    if is_constant(response):
        return "the response is constant"
    for name, values in (("it", predictor), ("the response", response)):
        if not residual(values, given)[0].any():
            return f"{name} is a linear function of the covariates"
    return ""


def _restricted_likelihood(
    response: Vector, design: Vector, codes: Codes
) -> tuple[_MixedFit | None, str]:
    """The fit of a random intercept, or why it did not come to one."""
    if not _families_vary(response, design, codes):
        return None, "the families' variance is estimated as 0: see the overall slope"
    with warnings.catch_warnings():
        # A variance that is merely small is warned of; convergence is asked below.
        warnings.simplefilter("ignore")
        try:
            # Near a variance of 0 optimisers by gradient stop short of convergence in
            # one fit of four: Powell's search takes over.
            fit = MixedLM(response, design, codes).fit(
                reml=True, method=["bfgs", "powell"], ftol=1e-9, xtol=1e-6
            )
        except np.linalg.LinAlgError:
            return None, "the random intercept could not be fitted: singular matrix"
    if not fit.converged:
        return None, "the random intercept's fit did not converge"
    spread, noise = float(fit.cov_re[0, 0]), float(fit.scale)
    slope, error = float(fit.params[design.shape[1] - 1]), float(fit.bse_fe[-1])
    return _MixedFit(slope, error, spread / (spread + noise)), ""


def _families_vary(response: Vector, design: Vector, codes: Codes) -> bool:
    """Whether the restricted likelihood rises from a families' variance of 0.

    Its derivative there is positive where the squared family sums of least squares'
    residuals exceed what their variance alone explains (Harville 1977,
    doi:10.1080/01621459.1977.10480998). Where it is not, an optimiser ends
    at the edge of the parameters without converging.
    """
    n = len(response)
    count = int(codes.max()) + 1
    columns, _ = np.linalg.qr(design)
    left = response - columns @ (columns.T @ response)
    noise = float(left @ left) / (n - columns.shape[1])
    between = float(np.sum(group_sums(left, codes, count) ** 2))
    explained = n - float(np.sum(group_sums(columns, codes, count) ** 2))
    return bool(between > noise * explained)
