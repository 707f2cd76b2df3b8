"""Two models of which neither holds the other, set against each other. Exploratory.

The J-test (Davidson & MacKinnon 1981, doi:10.2307/1911522) asks of each model whether
the fitted values of the other add to it; both may be rejected, or neither. Its
asymptotic size is too large in small samples, so the p value is that of a wild
bootstrap under the model that is tested (Davidson & MacKinnon, Bootstrap J tests of
nonnested linear regression models, Journal of Econometrics 109, 2002), with HC3
standard errors. Where each model has one column of its own, the statistic is the t of
the other's column but for its sign. Vuong's z (1989, doi:10.2307/1912557) compares
the two likelihoods; it gives no verdict, least of all where neither model's own
columns say anything: the two then coincide and z has no normal law.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import stats

from nasdepth.statistics.linear import (
    BLOCK,
    ROUNDING,
    Vector,
    basis,
    is_constant,
    residual,
)

DRAWS = 999
# Below it the asymptotic J-test rejects a true model too often.
J_TEST_LEAST = 40
# Below it Vuong's z is far from normal.
VUONG_LEAST = 100

Columns: TypeAlias = Vector | Sequence[Vector]


@dataclass(frozen=True, slots=True)
class Limits:
    """Rows from which on each test is offered.

    Attributes:
        j_test: Rows for the J-test.
        vuong: Rows for Vuong's z.
    """

    j_test: int
    vuong: int


@dataclass(frozen=True, slots=True)
class JTest:
    """Whether each of two models leaves something that the other explains.

    Attributes:
        n: Rows.
        t_first: HC3 t of the second model's fitted values in the first model.
        p_first: Bootstrap p: small where the second adds to the first.
        t_second: HC3 t of the first model's fitted values in the second model.
        p_second: Bootstrap p: small where the first adds to the second.
        problem: Why nothing was tested, else empty.
    """

    n: int
    t_first: float | None = None
    p_first: float | None = None
    t_second: float | None = None
    p_second: float | None = None
    problem: str = ""

    def reading(self, *, level: float = 0.05) -> str:
        """What the two tests say together, in words."""
        if self.p_first is None or self.p_second is None:
            return self.problem
        first, second = self.p_first <= level, self.p_second <= level
        if first and second:
            return "both models are rejected: each misses what the other has"
        if first:
            return "the first model is rejected, the second is not"
        if second:
            return "the second model is rejected, the first is not"
        return "neither model is rejected: the data do not tell them apart"


@dataclass(frozen=True, slots=True)
class Vuong:
    """Mean difference of two log likelihoods, never a verdict.

    Attributes:
        n: Rows.
        z: Positive where the first model is closer to the data, with the Schwarz
            correction where the models differ in columns.
        p_value: Two-sided.
        problem: Why nothing was computed, else empty.
    """

    n: int
    z: float | None = None
    p_value: float | None = None
    problem: str = ""


def limits() -> Limits:
    """Rows from which on the tests of this file are offered."""
    return Limits(J_TEST_LEAST, VUONG_LEAST)


def j_test(
    response: Vector,
    first: Columns,
    second: Columns,
    covariates: Sequence[Vector],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> JTest:
    """J-test of two linear models, each against the other, with bootstrapped p.

    Args:
        response: One value per row.
        first: Columns that only the first model has.
        second: Columns that only the second model has.
        covariates: Columns of both; a constant is always added.
        draws: Bootstrap draws.
        seed: Seed of the bootstrap's signs, shared by the two directions.
    """
    n, least = len(response), limits().j_test
    if n < least:
        problem = (
            f"{n} rows, the J-test needs at least {least}: its asymptotic size is .08"
            " at 20 rows with three regressors"
        )
        return JTest(n, problem=problem)
    models = [basis([*covariates, *_columns(own)], n) for own in (first, second)]
    problem = _problem(response, *models)
    if problem:
        return JTest(n, problem=problem)
    centred = response - response.mean()
    t_first, p_first = _against(centred, models[0], models[1], draws, seed)
    t_second, p_second = _against(centred, models[1], models[0], draws, seed)
    return JTest(n, t_first, p_first, t_second, p_second)


def vuong(
    response: Vector, first: Columns, second: Columns, covariates: Sequence[Vector]
) -> Vuong:
    """Vuong's z of two linear models with normal errors.

    z = (sum m_i - (p - q) log(n) / 2) / (sqrt(n) sd(m)), with m_i the difference of
    the log likelihoods of row i and p, q the numbers of coefficients (Vuong 1989).

    Args:
        response: One value per row.
        first: Columns that only the first model has.
        second: Columns that only the second model has.
        covariates: Columns of both; a constant is always added.
    """
    n, least = len(response), limits().vuong
    if n < least:
        problem = (
            f"{n} rows, Vuong's z needs at least {least}: its size is .11, .08 and .065"
            " at 10, 20 and 40 rows"
        )
        return Vuong(n, problem=problem)
    models = [basis([*covariates, *_columns(own)], n) for own in (first, second)]
    problem = _problem(response, *models)
    if problem:
        return Vuong(n, problem=problem)
    one, other = (_log_likelihoods(response, model) for model in models)
    difference = one - other
    spread = float(np.std(difference))
    if spread < ROUNDING:
        return Vuong(n, problem="the two models fit every row alike")
    excess = models[0].shape[1] - models[1].shape[1]
    total = float(difference.sum()) - excess * np.log(n) / 2
    z = float(total / (np.sqrt(n) * spread))
    return Vuong(n, z, float(2 * stats.norm.sf(abs(z))))


def _columns(own: Columns) -> list[Vector]:
    """One vector or several, as a list."""
    return list(np.atleast_2d(np.asarray(own, dtype=np.float64)))


def _problem(response: Vector, first: Vector, second: Vector) -> str:
    """Why the models with these bases are no rivals, or empty."""
    if is_constant(response):
        return "the response is constant"
    for name, model, other in (
        ("first", first, second),
        ("second", second, first),
    ):
        if np.max(np.sum(model**2, axis=1)) > 1 - ROUNDING:
            return "one row alone decides a coefficient (leverage 1)"
        if not residual(response, model)[0].any():
            return f"the {name} model fits the response exactly"
        if np.linalg.norm(model - other @ (other.T @ model)) < ROUNDING:
            return f"the {name} model is part of the other"
    return ""


def _against(
    response: Vector, model: Vector, rival: Vector, draws: int, seed: int
) -> tuple[float, float]:
    """T of the rival's fitted values in the model, and its bootstrap p."""
    generator = np.random.default_rng(seed)
    observed = float(_statistics(response[None, :], model, rival)[0])
    fitted = model @ (model.T @ response)
    factor = 1 - np.sum(model**2, axis=1)
    rescaled = (response - fitted) / factor
    extreme = 0
    size = max(1, BLOCK // len(response))
    for start in range(0, draws, size):
        shape = min(size, draws - start), len(response)
        signs = generator.integers(0, 2, shape) * 2.0 - 1
        drawn = _statistics(fitted + signs * rescaled, model, rival)
        extreme += int(np.sum(np.abs(drawn) >= abs(observed)))
    return observed, (1 + extreme) / (1 + draws)


def _statistics(responses: Vector, model: Vector, rival: Vector) -> Vector:
    """HC3 t of the rival's fitted values in the model, for each row of responses.

    0 where the model already holds the rival's fitted values.
    """
    fitted = (responses @ rival) @ rival.T
    own = fitted - (fitted @ model) @ model.T
    norms = np.linalg.norm(own, axis=1, keepdims=True)
    scale = np.linalg.norm(responses, axis=1, keepdims=True)
    present = norms > ROUNDING * scale
    own = np.divide(own, norms, out=np.zeros_like(own), where=present)
    left = responses - (responses @ model) @ model.T
    slopes = np.sum(own * left, axis=1)
    room = 1 - np.sum(model**2, axis=1) - own**2
    errors = (left - slopes[:, None] * own) * own / np.maximum(room, ROUNDING)
    error = np.linalg.norm(errors, axis=1)
    found = np.divide(slopes, error, out=np.zeros_like(slopes), where=error > 0)
    return np.asarray(found)


def _log_likelihoods(response: Vector, model: Vector) -> Vector:
    """Log likelihood of each row at the estimates, normal errors."""
    left, _ = residual(response, model)
    return np.asarray(stats.norm.logpdf(left, scale=np.sqrt(np.mean(left**2))))
