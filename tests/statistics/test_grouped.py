"""Slopes within, between and regardless of families, against least squares."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.optimize import minimize_scalar

from nasdepth.statistics.grouped import (
    FamilySummary,
    Grouped,
    Slope,
    family_summary,
    mixed_model,
    within_families,
)
from nasdepth.statistics.linear import Vector
from nasdepth.statistics.regression import partial_correlation

Sample = tuple[Vector, Vector, list[Vector], list[str]]


def sample(
    families: int,
    size: int,
    seed: int,
    *,
    within: float = 0.0,
    between: float = 0.0,
    share: float = 0.5,
) -> Sample:
    """Response, predictor, one covariate and families, each with a family effect.

    Args:
        families: Number of families.
        size: Rows of each.
        seed: Of the draws.
        within: Slope inside families.
        between: Slope of what families share.
        share: Share of every variance that lies between families.
    """
    draw = np.random.default_rng(seed)
    codes = np.repeat(np.arange(families), size)

    def parts() -> tuple[Vector, Vector]:
        common = math.sqrt(share) * draw.standard_normal(families)[codes]
        return common, math.sqrt(1 - share) * draw.standard_normal(len(codes))

    (x_common, x_own), (y_common, y_own) = parts(), parts()
    covariate = sum(parts())
    response = between * x_common + within * x_own + y_common + y_own + covariate
    labels = [f"family {code}" for code in codes]
    return response, x_common + x_own, [covariate], labels


def slope_of(y: Vector, x: Vector, z: list[Vector]) -> float:
    """Least squares' coefficient of x beside a constant and z."""
    design = np.column_stack([np.ones(len(y)), *z, x])
    return float(np.linalg.lstsq(design, y, rcond=None)[0][-1])


def demeaned(values: Vector, families: list[str]) -> Vector:
    """What the family's mean leaves."""
    labels = np.array(families)
    left = values.copy()
    for label in set(families):
        left[labels == label] -= values[labels == label].mean()
    return left


def means(values: Vector, families: list[str]) -> Vector:
    """One mean per family, by first appearance."""
    labels = np.array(families)
    return np.array([values[labels == f].mean() for f in dict.fromkeys(families)])


def excludes_zero(slope: Slope) -> bool:
    assert slope.interval is not None
    return not slope.interval[0] <= 0 <= slope.interval[1]


# --- the slopes


def test_slope_within_is_that_of_deviations_from_family_means() -> None:
    y, x, z, families = sample(5, 8, 1, within=0.5)

    found = within_families(y, x, z, families, draws=19)

    raw = slope_of(*(demeaned(v, families) for v in (y, x)), [demeaned(z[0], families)])
    assert found.slope_within.value == pytest.approx(raw * np.std(x) / np.std(y))


def test_within_is_the_partial_correlation_given_family_indicators() -> None:
    y, x, z, families = sample(4, 10, 2, within=0.5)
    indicators = [
        np.array([family == f"family {code}" for family in families], dtype=float)
        for code in range(4)
    ]

    found = within_families(y, x, z, families, seed=7, draws=99)

    expected = partial_correlation(y, x, [*z, *indicators], seed=7, draws=99)
    assert found.within.value == pytest.approx(expected.value)
    assert found.within.interval == pytest.approx(expected.interval, abs=1e-5)
    assert found.within.covariates == 4


def test_overall_slope_is_that_of_least_squares_without_families() -> None:
    y, x, z, families = sample(5, 8, 1, within=0.5)

    found = within_families(y, x, z, families, draws=19)

    expected = slope_of(y, x, z) * np.std(x) / np.std(y)
    assert found.overall.value == pytest.approx(expected)


def test_slope_between_is_that_of_unweighted_family_means() -> None:
    y, x, z, families = sample(12, 5, 3, between=1.0)
    y, x, families = y[3:], x[3:], families[3:]
    z = [z[0][3:]]

    found = within_families(y, x, z, families, draws=19)

    raw = slope_of(*(means(v, families) for v in (y, x)), [means(z[0], families)])
    assert found.between.n == 12
    assert found.between.value == pytest.approx(raw * np.std(x) / np.std(y))


@pytest.mark.parametrize("name", ["overall", "slope_within", "between"])
def test_interval_is_that_of_the_correlation_in_the_unit_of_the_slope(
    name: str,
) -> None:
    y, x, z, families = sample(12, 5, 4, within=0.5, between=0.5)

    slope = getattr(within_families(y, x, z, families, draws=199), name)

    assert slope.interval[0] < slope.value < slope.interval[1]
    if name != "slope_within":
        rows = (y, x, z[0])
        if name == "between":
            rows = tuple(means(row, families) for row in rows)
        found = partial_correlation(rows[0], rows[1], [rows[2]], draws=199)
        ratio = slope.value / found.value
        assert slope.correlation == pytest.approx(found.value)
        assert slope.interval == pytest.approx(
            tuple(end * ratio for end in found.interval)
        )


def test_slopes_do_not_depend_on_units_of_measurement() -> None:
    y, x, z, families = sample(12, 5, 4, within=0.5, between=0.5)

    plain = within_families(y, x, z, families, draws=19)
    moved = within_families(10 * y - 3, 0.1 * x + 7, z, families, draws=19)

    for name in ("overall", "slope_within", "between"):
        first, second = getattr(plain, name), getattr(moved, name)
        assert second.value == pytest.approx(first.value)


def test_one_family_has_the_same_slope_within_and_overall() -> None:
    y, x, z, families = sample(1, 20, 5, within=0.5)

    found = within_families(y, x, z, families, draws=19)

    assert found.families == 1
    assert found.slope_within == found.overall
    assert found.between.value is None


# --- what cannot be told


def test_family_of_one_row_says_nothing_within() -> None:
    y, x, z, families = sample(4, 8, 6, within=0.5)
    lone = [*families, "lone", "alone"]
    more = [np.append(v, [50.0, -50.0]) for v in (y, x, *z)]

    found = within_families(more[0], more[1], more[2:], lone, draws=99)

    assert (found.families, found.n, found.singles, found.informative) == (6, 34, 2, 4)
    assert found.within == within_families(y, x, z, families, draws=99).within


def test_family_in_which_the_predictor_is_constant_is_not_informative() -> None:
    y, x, z, families = sample(4, 8, 6)
    x[:8] = 3.5

    assert within_families(y, x, z, families, draws=19).informative == 3


def test_predictor_that_varies_between_families_alone_has_no_slope_within() -> None:
    y, _, z, families = sample(5, 6, 6)
    x = np.repeat(np.arange(5.0), 6)

    found = within_families(y, x, z, families, draws=19)

    assert found.informative == 0
    assert found.problem == "no family has two rows that differ in the predictor"
    assert found.within.problem == found.slope_within.problem == found.problem
    assert found.within.value is found.slope_within.value is None
    assert found.overall.value is not None
    assert found.reversal is False
    assert found.headline.startswith("No slope within families (no family has two")


def test_constant_response_has_no_slope() -> None:
    _, x, z, families = sample(5, 6, 6)

    found = within_families(np.ones(30), x, z, families, draws=19)

    assert found.problem == "the response is constant"
    assert found.overall.value is found.between.value is None


def test_no_rows_have_no_slope() -> None:
    none = np.zeros(0)

    found = within_families(none, none, [none], [])

    assert (found.families, found.n, found.singles) == (0, 0, 0)
    assert found.problem == "no family has two rows that differ in the predictor"
    assert found.overall.problem == "0 rows, at least 4 are needed"


def test_fewer_than_ten_families_leave_between_undecided() -> None:
    found = within_families(*sample(9, 5, 7), draws=19)

    assert found.between.value is not None
    assert found.between.interval is found.between.p_value is None
    assert found.between.problem == (
        "between fewer than 10 families: undecided by design"
    )


def test_ten_families_have_an_interval_between() -> None:
    found = within_families(*sample(10, 5, 7), draws=19)

    assert found.between.interval is not None
    assert found.between.problem == ""


def test_fewer_means_than_covariates_need_leave_no_slope_between() -> None:
    found = within_families(*sample(4, 5, 7), draws=19)

    assert found.between.value is None
    assert found.between.problem == (
        "between fewer than 10 families: undecided by design"
    )


def test_labels_must_be_one_per_row() -> None:
    y, x, z, families = sample(4, 5, 7)

    with pytest.raises(ValueError, match="one label per row, 20, not 19"):
        within_families(y, x, z, families[1:])


def test_architectures_are_the_clusters_of_every_slope_over_rows() -> None:
    y, x, z, families = sample(4, 10, 8, within=0.5)
    groups = [f"digest{row // 2}" for row in range(40)]

    plain, found = (
        within_families(y, x, z, families, groups=g, draws=99) for g in (None, groups)
    )

    assert found.within.clusters == 20
    assert found.within.value == pytest.approx(plain.within.value)
    assert found.overall.interval != plain.overall.interval


# --- reversals


def reversed_families() -> Sample:
    """Three families on a rising line, in each of which the response falls."""
    draw = np.random.default_rng(9)
    codes = np.repeat(np.arange(3), 10)
    own = np.tile(np.linspace(-1, 1, 10), 3)
    x = 3.0 * codes + own
    y = 3.0 * codes - own + 0.2 * draw.standard_normal(30)
    return y, x, [], [f"family {code}" for code in codes]


def test_reversal_is_headlined_with_both_slopes() -> None:
    found = within_families(*reversed_families(), draws=199)

    assert found.reversal is True
    assert found.headline == (
        "Simpson's reversal: the slope is -0.97 [-1.02, -0.82] within families but"
        " +0.87 [+0.70, +1.00] over all rows."
    )


def test_reversal_is_the_same_with_every_sign_turned() -> None:
    y, x, z, families = reversed_families()

    found = within_families(-y, x, z, families, draws=199)

    assert found.reversal is True
    assert found.slope_within.value > 0 > found.overall.value


def test_reversal_against_ten_families_names_the_slope_between() -> None:
    found = within_families(*sample(20, 20, 10, within=-1.0, between=3.0), draws=199)

    assert found.reversal is True
    assert "between families." in found.headline


def test_signs_that_differ_within_noise_are_no_reversal() -> None:
    found = within_families(*sample(4, 10, 3), draws=199)

    assert found.slope_within.value * found.overall.value < 0
    assert found.reversal is False
    assert found.headline == (
        "The slopes differ in sign, -0.21 [-0.86, +0.23] within families,"
        " +0.02 [-0.31, +0.33] over all rows, but no two intervals exclude 0 on"
        " opposite sides: a Simpson's reversal is possible, not shown."
    )


def test_slopes_of_one_sign_are_said_side_by_side() -> None:
    found = within_families(*sample(12, 8, 12, within=1.0, between=1.0), draws=199)

    assert found.reversal is False
    assert found.headline.startswith("The slopes have one sign: +")
    for place in ("within families", "between families", "over all rows"):
        assert place in found.headline


# --- levels


def null_runs(runs: int) -> list[Grouped]:
    """Four families of ten with correlation .5 and no effect."""
    return [
        within_families(*sample(4, 10, seed), seed=seed, draws=199)
        for seed in range(runs)
    ]


@pytest.mark.slow
def test_within_families_holds_its_level_where_the_overall_slope_does_not() -> None:
    found = null_runs(600)

    within = np.mean([excludes_zero(each.slope_within) for each in found])
    overall = np.mean([excludes_zero(each.overall) for each in found])
    reversals = np.mean([each.reversal for each in found])
    # four standard errors of 600 runs around the nominal .05
    assert 0.014 <= within <= 0.086
    assert overall > 0.2
    assert reversals < 0.02


@pytest.mark.slow
def test_random_intercept_of_twenty_families_holds_its_level() -> None:
    found = [mixed_model(*sample(20, 5, seed)) for seed in range(150)]

    intervals = [each.interval for each in found if each.interval is not None]
    rejected = np.mean([not low <= 0 <= high for low, high in intervals])
    # four standard errors of 150 runs above the nominal .05
    assert len(intervals) > 140
    assert rejected <= 0.12


# --- the random intercept


def profiled(
    y: Vector, x: Vector, z: list[Vector], families: list[str]
) -> tuple[float, float]:
    """Slope and share of the families by the profiled restricted likelihood."""
    n = len(y)
    design = np.column_stack([np.ones(n), *z, x])
    same = np.equal.outer(families, families).astype(float)

    def fit(log_ratio: float) -> tuple[float, float]:
        inverse = np.linalg.inv(np.eye(n) + math.exp(log_ratio) * same)
        information = design.T @ inverse @ design
        beta = np.linalg.solve(information, design.T @ inverse @ y)
        left = y - design @ beta
        noise = left @ inverse @ left / (n - design.shape[1])
        criterion = np.linalg.slogdet(information)[1] - np.linalg.slogdet(inverse)[1]
        return criterion + (n - design.shape[1]) * math.log(noise), beta[-1]

    best = minimize_scalar(
        lambda log_ratio: fit(log_ratio)[0], bounds=(-9, 6), method="bounded"
    ).x
    return fit(best)[1], 1 / (1 + math.exp(-best))


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_random_intercept_has_the_greatest_restricted_likelihood(share: float) -> None:
    y, x, z, families = sample(20, 5, 5, within=0.5, between=0.5, share=share)

    found = mixed_model(y, x, z, families)

    slope, between = profiled(y, x, z, families)
    assert found.value == pytest.approx(slope * np.std(x) / np.std(y), rel=1e-4)
    assert found.share == pytest.approx(between, rel=1e-3)


def test_random_intercept_has_the_errors_of_statsmodels_with_t() -> None:
    y, x, z, families = sample(25, 6, 13, within=0.5, between=0.5)

    found = mixed_model(y, x, z, families)

    design = np.column_stack([np.ones(150), z[0], x])
    fit = sm.MixedLM(y, design, families).fit(reml=True)
    unit = np.std(x) / np.std(y)
    half = stats.t.isf(0.025, 23) * fit.bse_fe[2]
    ends = ((fit.params[2] + side * half) * unit for side in (-1, 1))
    assert found.interval == pytest.approx(tuple(ends), rel=1e-3)


def test_random_intercept_lies_between_the_slopes_within_and_between() -> None:
    found = within_families(*sample(25, 4, 14, within=0.0, between=2.0), draws=19)

    assert found.slope_within.value < found.mixed.value < found.between.value


def test_random_intercept_needs_twenty_families() -> None:
    assert mixed_model(*sample(7, 5, 15)).problem == "needs 20 families, got 7"
    assert mixed_model(*sample(19, 5, 15)).problem == "needs 20 families, got 19"
    assert mixed_model(*sample(20, 5, 15)).problem == ""


def test_families_without_variance_are_said_and_not_warned_of() -> None:
    y, x, z, families = sample(25, 6, 16, share=0.0)
    level, x, *z = (demeaned(v, families) for v in (y, x, *z))

    found = mixed_model(level, x, z, families)

    assert found.value is None
    assert found.problem == (
        "the families' variance is estimated as 0: see the overall slope"
    )


def test_variance_of_0_is_said_exactly_where_the_likelihood_is_greatest_there() -> None:
    samples = [sample(20, 5, seed, share=0.02) for seed in range(12)]

    said = ["as 0" in mixed_model(*each).problem for each in samples]

    assert said == [profiled(*each)[1] < 1e-3 for each in samples]
    assert 0 < sum(said) < 12


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("constant response", "the response is constant"),
        ("predictor", "it is a linear function of the covariates"),
        ("response", "the response is a linear function of the covariates"),
        ("single rows", "each family has one row"),
        ("few rows", "20 rows, 17 covariates need at least 21"),
    ],
)
def test_random_intercept_says_what_stands_in_its_way(
    change: str, problem: str
) -> None:
    y, x, z, families = sample(20, 5, 17)
    if change == "constant response":
        y = np.ones(100)
    if change == "predictor":
        x = 2 * z[0] + 1
    if change == "response":
        y = 2 * z[0] + 1
    if change == "single rows":
        families = [str(row) for row in range(100)]
    if change == "few rows":
        keep = slice(None, None, 5)
        y, x, families = y[keep], x[keep], families[keep]
        z = list(np.random.default_rng(0).standard_normal((17, 20)))

    found = mixed_model(y, x, z, families)

    assert found.value is found.interval is None
    assert found.problem == problem


# --- the summary


def test_summary_has_one_line_per_family_the_largest_first() -> None:
    y = np.array([1.0, 5.0, 2.0, 4.0, 3.0, 9.0, 9.0, 9.0, 7.0, 9.0])
    x = np.array([1.0, 8.0, 2.0, 6.0, 4.0, 1.0, 2.0, 3.0, 0.0, 2.0])
    families = ["a", "b", "a", "b", "b", "c", "c", "c", "a", "c"]

    found = family_summary(y, x, families)

    r = sm.OLS(y[[0, 2, 8]], sm.add_constant(x[[0, 2, 8]])).fit()
    assert [line.family for line in found] == ["c", "a", "b"]
    assert found[0] == FamilySummary("c", 4, (1.0, 3.0), (9.0, 9.0), None)
    assert found[1].correlation == pytest.approx(-math.sqrt(r.rsquared))
    assert found[2] == FamilySummary("b", 3, (4.0, 8.0), (3.0, 5.0), pytest.approx(1))


def test_summary_of_two_rows_has_no_correlation() -> None:
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0])

    small, large = sorted(
        family_summary(y, y**2, ["a", "a", "b", "b", "b"]), key=lambda line: line.n
    )

    assert small.correlation is None
    assert large.correlation is not None
