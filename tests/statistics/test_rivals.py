"""Rival models against statsmodels and plain refits, and the sizes they hold."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.diagnostic import compare_j

from nasdepth.statistics import rivals
from nasdepth.statistics.linear import Vector
from nasdepth.statistics.rivals import JTest, j_test, limits, vuong


def sample(
    n: int, seed: int, *, own: int = 3
) -> tuple[list[Vector], list[Vector], list[Vector], Vector]:
    """Columns of two rival models that follow each other, a covariate, and noise."""
    draw = np.random.default_rng(seed)
    first = draw.standard_normal((own, n))
    second = 0.5 * first + math.sqrt(0.75) * draw.standard_normal((own, n))
    covariate, noise = draw.standard_normal((2, n))
    return list(first), list(second), [covariate], noise


def response_of(first: list[Vector], covariate: Vector, noise: Vector) -> Vector:
    """A response in which the first model holds."""
    return np.sum(first, axis=0) / len(first) + covariate + noise


def design(*columns: Vector) -> Vector:
    return np.asarray(sm.add_constant(np.column_stack(columns)))


def plain_t(y: Vector, own: Vector, rival: Vector) -> float:
    """T of the rival's fitted values in the model, fitted by statsmodels."""
    fitted = sm.OLS(y, rival).fit().fittedvalues
    fit = sm.OLS(y, np.column_stack([own, fitted])).fit(cov_type="HC3")
    return float(fit.tvalues[-1])


def test_t_is_that_of_the_rivals_fitted_values() -> None:
    first, second, z, noise = sample(50, 1)
    y = response_of(first, z[0], noise)

    found = j_test(y, first, second, z, draws=9)

    one, other = design(*z, *first), design(*z, *second)
    assert found.t_first == pytest.approx(plain_t(y, one, other))
    assert found.t_second == pytest.approx(plain_t(y, other, one))


def test_statistic_is_that_of_statsmodels_but_for_the_standard_error() -> None:
    first, second, z, noise = sample(2000, 2)
    y = response_of(first, z[0], noise)

    found = j_test(y, first, second, z, draws=9)

    fits = [sm.OLS(y, design(*z, *own)).fit() for own in (second, first)]
    expected = compare_j(*fits, result_object=True).statistic
    assert found.t_first == pytest.approx(expected, rel=0.1)


def test_bootstrap_p_is_that_of_plain_refits() -> None:
    first, second, z, noise = sample(45, 3)
    y = response_of(first, z[0], noise)

    found = j_test(y, first, second, z, draws=99, seed=8)

    one, other = design(*z, *first), design(*z, *second)
    fit = sm.OLS(y, one).fit()
    rescaled = fit.resid / (1 - fit.get_influence().hat_matrix_diag)
    signs = np.random.default_rng(8).integers(0, 2, (99, 45)) * 2.0 - 1
    drawn = [plain_t(fit.fittedvalues + s * rescaled, one, other) for s in signs]
    extreme = sum(abs(t) >= abs(plain_t(y, one, other)) for t in drawn)
    assert found.p_first == (1 + extreme) / 100


def test_one_column_of_its_own_has_the_t_of_that_column() -> None:
    (first,), (second,), z, noise = sample(50, 4, own=1)
    y = response_of([first], z[0], noise)

    found = j_test(y, first, second, z, draws=9)

    fit = sm.OLS(y, design(*z, first, second)).fit(cov_type="HC3")
    assert abs(found.t_first) == pytest.approx(abs(fit.tvalues[-1]))
    assert abs(found.t_second) == pytest.approx(abs(fit.tvalues[-2]))


def test_exchanged_models_exchange_the_answers() -> None:
    first, second, z, noise = sample(50, 5)
    y = response_of(first, z[0], noise)

    found = j_test(y, first, second, z, draws=99)
    other = j_test(y, second, first, z, draws=99)

    assert (found.t_first, found.p_first) == (other.t_second, other.p_second)


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, z, noise = sample(50, 6)
    whole = j_test(noise, first, second, z, draws=99)

    monkeypatch.setattr(rivals, "BLOCK", 50 * 7)

    assert j_test(noise, first, second, z, draws=99) == whole


def test_units_and_level_of_the_response_do_not_matter() -> None:
    first, second, z, noise = sample(50, 7)
    y = response_of(first, z[0], noise)

    plain = j_test(y, first, second, z, draws=99)
    moved = j_test(1e-3 * y + 1e4, first, second, z, draws=99)

    assert moved.t_first == pytest.approx(plain.t_first, rel=1e-6)
    assert moved.p_first == plain.p_first


@pytest.mark.parametrize(
    ("weights", "reading"),
    [
        ((2, 0), "the second model is rejected, the first is not"),
        ((0, 2), "the first model is rejected, the second is not"),
        ((2, 2), "both models are rejected: each misses what the other has"),
        ((0, 0), "neither model is rejected: the data do not tell them apart"),
    ],
)
def test_reading_tells_the_four_outcomes(
    weights: tuple[int, int], reading: str
) -> None:
    first, second, z, noise = sample(100, 10)
    y = weights[0] * first[0] + weights[1] * second[1] + noise

    found = j_test(y, first, second, z, draws=199)

    assert found.reading() == reading


def test_reading_without_a_test_is_the_problem() -> None:
    assert JTest(5, problem="5 rows").reading() == "5 rows"


def test_j_test_is_not_offered_below_its_limit() -> None:
    first, second, z, noise = sample(39, 11)

    found = j_test(noise, first, second, z)

    assert found.problem == (
        "39 rows, the J-test needs at least 40: its asymptotic size is .08 at 20 rows"
        " with three regressors"
    )
    assert found.p_first is None


def test_vuong_is_not_offered_below_its_limit() -> None:
    first, second, z, noise = sample(99, 11)

    found = vuong(noise, first, second, z)

    assert found.problem == (
        "99 rows, Vuong's z needs at least 100: its size is .11, .08 and .065 at 10, 20"
        " and 40 rows"
    )
    assert found.z is None


def test_limits_are_read_when_a_test_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second, z, noise = sample(30, 12)

    monkeypatch.setattr(rivals, "J_TEST_LEAST", 30)
    monkeypatch.setattr(rivals, "VUONG_LEAST", 31)

    assert limits() == rivals.Limits(j_test=30, vuong=31)
    assert j_test(noise, first, second, z, draws=9).problem == ""
    assert "at least 31" in vuong(noise, first, second, z).problem


def test_vuong_is_that_of_the_likelihoods_of_statsmodels() -> None:
    first, second, z, noise = sample(120, 13)
    y = response_of(first, z[0], noise)

    found = vuong(y, first, second[:1], z)

    each, parameters = [], []
    for own in (first, second[:1]):
        fit = sm.OLS(y, design(*z, *own)).fit()
        scale = math.sqrt(fit.ssr / 120)
        each.append(stats.norm.logpdf(y, fit.fittedvalues, scale))
        parameters.append(len(fit.params))
        assert each[-1].sum() == pytest.approx(fit.llf)
    difference = each[0] - each[1]
    corrected = difference.sum() - (parameters[0] - parameters[1]) / 2 * math.log(120)
    assert found.z == pytest.approx(corrected / math.sqrt(120) / np.std(difference))
    assert found.p_value == pytest.approx(2 * stats.norm.cdf(-abs(found.z)))


def test_vuong_prefers_the_model_that_holds() -> None:
    first, second, z, noise = sample(200, 14)
    y = response_of([2 * c for c in first], z[0], noise)

    assert vuong(y, first, second, z).z > 2
    assert vuong(y, second, first, z).z < -2


@pytest.mark.parametrize("test", [j_test, vuong])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("constant", "the response is constant"),
        ("exact", "the second model fits the response exactly"),
        ("part", "the second model is part of the other"),
        ("row", "one row alone decides a coefficient (leverage 1)"),
    ],
)
def test_models_that_are_no_rivals_say_so(
    test: object, change: str, problem: str
) -> None:
    first, second, z, noise = sample(120, 15)
    y = noise
    if change == "constant":
        y = np.ones(120)
    elif change == "exact":
        y = second[0] - z[0]
    elif change == "part":
        second = [first[0] + first[1]]
    else:
        first = [np.eye(120)[3]]

    found = test(y, first, second, z)

    assert found.problem == problem


def test_models_that_fit_alike_have_no_vuong() -> None:
    # each own column is orthogonal to the response and to the covariate
    draw = np.random.default_rng(16)
    q, _ = np.linalg.qr(np.column_stack([np.ones(120), draw.standard_normal((120, 4))]))

    found = vuong(q[:, 1] + q[:, 2], q[:, 3], q[:, 4], [q[:, 1]])

    assert found.problem == "the two models fit every row alike"


@pytest.mark.slow
@pytest.mark.parametrize("own", [1, 3])
def test_bootstrapped_j_test_holds_its_size_at_its_limit(own: int) -> None:
    runs, bootstrapped = 600, 0
    for run in range(runs):
        first, second, z, noise = sample(rivals.J_TEST_LEAST, run, own=own)
        y = response_of(first, z[0], (1 + (own == 3) * np.abs(z[0])) * noise)

        found = j_test(y, first, second, z, draws=199, seed=run)

        bootstrapped += found.p_first <= 0.05

    # three standard errors of 600 runs around the nominal .05
    assert 0.023 <= bootstrapped / runs <= 0.077


@pytest.mark.slow
def test_vuong_holds_its_size_at_its_limit() -> None:
    runs, rejected = 800, 0
    for run in range(runs):
        first, second, z, noise = sample(rivals.VUONG_LEAST, run)
        y = response_of(first + second, z[0], noise)

        rejected += vuong(y, first, second, z).p_value <= 0.05

    # three standard errors of 800 runs around .06
    assert 0.035 <= rejected / runs <= 0.085
