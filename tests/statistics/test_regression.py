"""Correlations against independent computation, and the level they hold."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nasdepth.statistics.regression import (
    Vector,
    correlation,
    detectable_effect,
    fisher_interval,
    partial_correlation,
    required_n,
)


def sample(
    n: int, seed: int, effect: float = 0.0
) -> tuple[Vector, Vector, list[Vector]]:
    """Response, predictor and three covariates, the predictor close to the first."""
    draw = np.random.default_rng(seed)
    covariates = draw.standard_normal((3, n))
    own = draw.standard_normal(n)
    predictor = 0.95 * covariates[0] + math.sqrt(1 - 0.95**2) * own
    response = covariates.sum(axis=0) + effect * own + draw.standard_normal(n)
    return response, predictor, list(covariates)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 10**6), st.integers(9, 60))
def test_partial_correlation_is_that_of_the_precision_matrix(seed: int, n: int) -> None:
    y, x, z = sample(n, seed, effect=0.5)

    found = partial_correlation(y, x, z, draws=19)

    precision = np.linalg.inv(np.cov([y, x, *z]))
    expected = -precision[0, 1] / math.sqrt(precision[0, 0] * precision[1, 1])
    assert found.value == pytest.approx(expected, abs=1e-6)


def test_unexplained_share_is_one_over_the_variance_inflation() -> None:
    y, x, z = sample(30, 1)

    found = partial_correlation(y, x, z, draws=19)

    fit = sm.OLS(x, sm.add_constant(np.column_stack(z))).fit()
    assert found.unexplained == pytest.approx(1 - fit.rsquared)


def test_sign_follows_the_predictor() -> None:
    y, x, z = sample(30, 2, effect=1.0)

    up, down = (partial_correlation(y, s * x, z, draws=199) for s in (1, -1))

    assert up.value is not None
    assert up.value > 0
    assert down.value == pytest.approx(-up.value)
    assert down.interval == pytest.approx(tuple(-end for end in up.interval[::-1]))


@settings(deadline=None)  # a busy machine is no failure
@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_units_of_measurement_do_not_matter(shift: float, scale: float) -> None:
    y, x, z = sample(20, 3, effect=0.5)

    plain = partial_correlation(y, x, z, draws=99)
    moved = partial_correlation(3 * y - 1, scale * x + shift, z, draws=99)

    assert moved.value == pytest.approx(plain.value)
    assert moved.interval == pytest.approx(plain.interval, abs=1e-4)


def brute_force_p(
    y: Vector, x: Vector, z: list[Vector], slope: float, signs: Vector
) -> float:
    """The wild bootstrap-t as textbooks write it, fitted anew for each draw."""
    small = sm.add_constant(np.column_stack(z))
    full = np.column_stack([small, x])
    restricted = sm.OLS(y - slope * x, small).fit()
    leverage = restricted.get_influence().hat_matrix_diag
    residual = restricted.resid / (1 - leverage)

    def t_of(response: Vector) -> float:
        fit = sm.OLS(response, full).fit(cov_type="HC3")
        return float((fit.params[-1] - slope) / fit.bse[-1])

    fitted = restricted.fittedvalues + slope * x
    observed = abs(t_of(y))
    extreme = sum(abs(t_of(fitted + residual * s)) >= observed for s in signs)
    return float((1 + extreme) / (1 + len(signs)))


@pytest.mark.parametrize("end", [0, 1])
def test_interval_ends_where_the_brute_force_bootstrap_rejects(end: int) -> None:
    y, x, z = sample(18, 4, effect=0.5)
    found = partial_correlation(y, x, z, seed=9, draws=199)
    signs = np.random.default_rng(9).integers(0, 2, (199, 18)) * 2.0 - 1
    small = sm.add_constant(np.column_stack(z))
    unit = np.linalg.norm(sm.OLS(y, small).fit().resid) / np.linalg.norm(
        sm.OLS(x, small).fit().resid
    )
    outward = 1e-4 if end else -1e-4
    assert -1 < found.interval[0] < found.interval[1] < 1

    inside, outside = (
        brute_force_p(y, x, z, (found.interval[end] + step) * unit, signs)
        for step in (-outward, outward)
    )

    assert outside <= 0.05 < inside


@pytest.mark.parametrize(
    ("n", "seed", "value", "interval"),
    [
        (18, 11, 0.6350776071933032, (0.13077133136285923, 1.0)),
        (40, 12, 0.29853039097827333, (0.004327343911939629, 0.6750471149935742)),
        (300, 13, 0.44846427210934625, (0.33809666973499874, 0.5590575537767757)),
    ],
)
def test_estimate_and_interval_stay_what_they_were(
    n: int, seed: int, value: float, interval: tuple[float, float]
) -> None:
    found = partial_correlation(*sample(n, seed, effect=0.5), seed=seed)

    assert found.value == pytest.approx(value, rel=1e-12)
    assert found.interval == pytest.approx(interval, rel=1e-9)


@pytest.mark.parametrize("effect", [0.0, 0.6])
def test_p_value_is_that_of_the_brute_force_bootstrap(effect: float) -> None:
    y, x, z = sample(18, 4, effect=effect)
    signs = np.random.default_rng(9).integers(0, 2, (199, 18)) * 2.0 - 1

    found = partial_correlation(y, x, z, seed=9, draws=199)

    assert found.p_value == brute_force_p(y, x, z, 0.0, signs)


def test_p_value_rejects_where_the_interval_leaves_out_0() -> None:
    rejected = 0
    for seed in range(40):
        found = partial_correlation(*sample(20, seed, effect=0.5), draws=199, seed=seed)

        low, high = found.interval
        assert (found.p_value <= 0.05) == (not low <= 0 <= high)
        rejected += found.p_value <= 0.05
    assert 0 < rejected < 40


def test_groups_of_one_row_change_nothing() -> None:
    y, x, z = sample(30, 14, effect=0.5)

    found = partial_correlation(y, x, z, groups=[f"digest{i}" for i in range(30)])

    assert found == partial_correlation(y, x, z)
    assert found.clusters == 30


def doubled(n: int, seed: int) -> tuple[Vector, Vector, list[Vector], list[int]]:
    """n networks without effect, two rows each: equal measures, shared noise."""
    y, x, z = sample(n, seed)
    draw = np.random.default_rng(seed + 10**6)
    rows = np.repeat(np.arange(n), 2)
    noise = 0.3 * draw.standard_normal(2 * n)
    return y[rows] + noise, x[rows], [c[rows] for c in z], rows.tolist()


def test_rows_of_one_group_count_once() -> None:
    y, x, z, groups = doubled(30, 15)

    found = partial_correlation(y, x, z, groups=groups)
    apart = partial_correlation(y, x, z)

    assert found.value == apart.value
    assert found.clusters == 30
    assert found.fisher == fisher_interval(found.value, 30, 3)
    assert np.ptp(found.interval) > 1.2 * np.ptp(apart.interval)


@pytest.mark.slow
def test_groups_hold_the_level_that_rows_do_not() -> None:
    runs, together, apart = 1000, 0, 0
    for run in range(runs):
        y, x, z, groups = doubled(25, run)

        with_groups = partial_correlation(y, x, z, groups=groups, draws=199, seed=run)
        without = partial_correlation(y, x, z, draws=199, seed=run)

        together += with_groups.p_value <= 0.05
        apart += without.p_value <= 0.05
    # three standard errors of 1,000 runs around the nominal .05
    assert 0.03 <= together / runs <= 0.07
    assert apart / runs > 0.1


def test_too_few_groups_are_not_estimable() -> None:
    y, x, z = sample(20, 8)

    found = partial_correlation(y, x, z, groups=[i % 6 for i in range(20)])

    assert found.problem == "6 groups of rows, 3 covariates need at least 7"
    assert found.value is None


def test_same_seed_gives_the_same_interval_and_another_one_does_not() -> None:
    y, x, z = sample(20, 6)
    first, again, other = (
        partial_correlation(y, x, z, draws=99, seed=seed).interval for seed in (0, 0, 1)
    )

    assert first == again
    assert first != other


def test_interval_holds_the_estimate_and_stays_within_one() -> None:
    for seed in range(20):
        found = partial_correlation(*sample(8, seed, effect=2.0), draws=199)

        low, high = found.interval
        assert -1 <= low <= found.value <= high <= 1


def test_fisher_interval_without_covariates_is_that_of_scipy() -> None:
    y, x, _ = sample(25, 7)
    expected = stats.pearsonr(x, y).confidence_interval(0.95)

    found = fisher_interval(float(np.corrcoef(x, y)[0, 1]), 25)

    assert found == pytest.approx((expected.low, expected.high))


def test_each_covariate_costs_fisher_one_row() -> None:
    assert fisher_interval(0.4, 30, 5) == fisher_interval(0.4, 25)


def test_fisher_interval_needs_a_degree_of_freedom() -> None:
    assert fisher_interval(0.4, 6, 3) is None


def test_predictor_in_the_span_of_the_covariates_is_not_estimable() -> None:
    y, _, z = sample(20, 8)

    found = partial_correlation(y, 2 * z[0] - z[1] + 5, z)

    assert found.value is None
    assert found.interval is None
    assert found.problem == "it is a linear function of the covariates"


def test_constant_predictor_is_not_estimable() -> None:
    y, _, z = sample(20, 8)

    found = partial_correlation(y, np.full(20, 0.1), z)

    assert found.value is None
    assert found.problem == "it is constant"


def test_constant_response_is_not_estimable() -> None:
    _, x, z = sample(20, 8)

    assert partial_correlation(np.ones(20), x, z).problem == "the response is constant"


def test_response_in_the_span_of_the_covariates_is_not_estimable() -> None:
    _, x, z = sample(20, 8)

    problem = partial_correlation(z[0] + z[2], x, z).problem

    assert problem == "the response is a linear function of the covariates"


def test_exact_fit_is_not_estimable() -> None:
    _, x, z = sample(20, 8)

    problem = partial_correlation(x + z[1], x, z).problem

    assert problem == "the response is an exact linear function of the measures"


def test_row_that_alone_decides_a_covariate_is_not_estimable() -> None:
    y, x, z = sample(20, 8)

    problem = partial_correlation(y, x, [*z, np.eye(20)[0]]).problem

    assert problem == "one row alone decides a coefficient (leverage 1)"


def test_too_few_rows_are_not_estimable() -> None:
    y, x, z = sample(6, 8)

    assert (
        partial_correlation(y, x, z).problem == "6 rows, 3 covariates need at least 7"
    )
    assert (
        partial_correlation(y[:0], x[:0], []).problem == "0 rows, at least 4 are needed"
    )


def test_constant_and_collinear_covariates_change_nothing() -> None:
    y, x, z = sample(20, 9, effect=1.0)
    more = [*z, np.full(20, 3.0), z[0] - 2 * z[1] + 7]

    assert partial_correlation(y, x, more, draws=99) == partial_correlation(
        y, x, z, draws=99
    )


def test_spearman_averages_ties() -> None:
    response = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    measure = np.array([1.0, 1.0, 2.0, 2.0, 3.0])

    found = correlation(response, measure)

    ranks = np.array([1.5, 1.5, 3.5, 3.5, 5.0])
    assert found.spearman == pytest.approx(np.corrcoef(ranks, response)[0, 1])


def test_spearman_interval_is_that_of_bonett_and_wright() -> None:
    y, x, _ = sample(25, 10)

    found = correlation(y, x)

    error = math.sqrt((1 + found.spearman**2 / 2) / 22)
    ends = [
        math.tanh(math.atanh(found.spearman) + s * 1.959964 * error) for s in (-1, 1)
    ]
    assert found.spearman_interval == pytest.approx(tuple(ends), abs=1e-6)


def test_perfect_correlation_has_an_interval_without_warning() -> None:
    values = np.arange(10.0)

    found = correlation(values, values)

    assert found.pearson == pytest.approx(1)
    assert found.pearson_interval[1] == pytest.approx(1)


def test_measure_alone_says_why_it_has_no_correlation() -> None:
    values = np.arange(10.0)

    assert correlation(values, np.ones(10)).problem == "it is constant"
    assert correlation(np.ones(10), values).problem == "the response is constant"
    assert "at least 4" in correlation(values[:3], values[:3]).problem


@pytest.mark.parametrize(("effect", "n"), [(0.1, 783), (0.2, 194), (0.3, 85)])
def test_required_n_is_that_of_published_tables(effect: float, n: int) -> None:
    # Hulley et al., Designing Clinical Research, table 6C: two-sided .05, power .8
    assert abs(required_n(effect, 0) - n) <= 1


@settings(deadline=None)  # a busy machine is no failure
@given(st.floats(0.05, 0.9), st.integers(0, 5))
def test_required_n_is_the_first_that_detects_the_effect(effect: float, k: int) -> None:
    n = required_n(effect, k)

    assert detectable_effect(n, k) <= effect + 1e-12
    assert detectable_effect(n - 1, k) > effect - 1e-12


def test_nothing_is_detectable_without_a_degree_of_freedom() -> None:
    assert detectable_effect(6, 3) == 1


@pytest.mark.parametrize("effect", [0.0, 1.0, 1.5])
def test_required_n_refuses_an_effect_that_is_none(effect: float) -> None:
    with pytest.raises(ValueError, match=r"effect must lie in \(0, 1\)"):
        required_n(effect, 3)


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 40])
@pytest.mark.parametrize("noise", ["normal", "heteroscedastic"])
def test_bootstrap_holds_its_level(n: int, noise: str) -> None:
    draw = np.random.default_rng(n)
    runs, rejected = 2000, 0
    for run in range(runs):
        z = draw.standard_normal((3, n))
        own = draw.standard_normal(n)
        x = 0.95 * z[0] + math.sqrt(1 - 0.95**2) * own
        spread = np.abs(own) if noise == "heteroscedastic" else 1.0
        y = z.sum(axis=0) + spread * draw.standard_normal(n)

        low, high = partial_correlation(y, x, list(z), seed=run, draws=399).interval

        rejected += not low <= 0 <= high
    # four standard errors of 2,000 runs around the nominal .05
    assert 0.03 <= rejected / runs <= 0.07
