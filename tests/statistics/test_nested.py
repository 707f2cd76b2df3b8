"""Nested models against refits, fold by fold and resample by resample."""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold

from nasdepth.statistics import nested
from nasdepth.statistics.linear import Vector, basis
from nasdepth.statistics.nested import cross_validated, delta_r2


def sample(
    n: int, seed: int, effect: float = 0.5
) -> tuple[Vector, list[Vector], Vector]:
    """Response, two base columns, and a third column of the given effect."""
    draw = np.random.default_rng(seed)
    base, own = draw.standard_normal((2, n)), draw.standard_normal(n)
    added = base[0] + own
    return base.sum(axis=0) + effect * own + draw.standard_normal(n), list(base), added


def test_fit_is_that_of_statsmodels() -> None:
    y, base, _ = sample(30, 1)

    (found,) = cross_validated(y, {"size": base})

    fit = sm.OLS(y, sm.add_constant(np.column_stack(base))).fit()
    # the error variance is a parameter too: 3 coefficients and 1
    corrected = fit.aic + 2 + 2 * 4 * 5 / (30 - 4 - 1)
    assert found.name == "size"
    assert found.parameters == 3
    assert found.r2 == pytest.approx(fit.rsquared)
    assert found.aicc == pytest.approx(corrected)


def test_aicc_is_that_of_hurvich_and_tsai() -> None:
    y, base, added = sample(25, 2)

    small, large = cross_validated(y, {"small": base, "large": [*base, added]})

    def written(columns: list[Vector]) -> float:
        # Hurvich & Tsai (1989): n log(s^2) + n (1 + m/n) / (1 - (m + 2)/n)
        fit = sm.OLS(y, sm.add_constant(np.column_stack(columns))).fit()
        m = len(columns) + 1
        penalty = 25 * (1 + m / 25) / (1 - (m + 2) / 25)
        return float(25 * np.log(fit.ssr / 25) + penalty)

    expected = written([*base, added]) - written(base)
    assert large.aicc - small.aicc == pytest.approx(expected)


def test_r2_outside_is_that_of_refits_about_the_mean_of_the_training_rows() -> None:
    y, base, _ = sample(31, 3)
    groups = [str(i % 13) for i in range(31)]

    (found,) = cross_validated(
        y, {"size": base}, groups=groups, seed=4, folds=5, repeats=2
    )

    x, outside = np.column_stack(base), []
    codes = [int(group) for group in groups]
    for state in np.random.SeedSequence(4).generate_state(2):
        errors = totals = 0.0
        folds = GroupKFold(5, shuffle=True, random_state=int(state))
        for inside, left in folds.split(x, groups=codes):
            fit = LinearRegression().fit(x[inside], y[inside])
            errors += float(np.sum((y[left] - fit.predict(x[left])) ** 2))
            totals += float(np.sum((y[left] - y[inside].mean()) ** 2))
        outside.append(1 - errors / totals)
    assert found.r2_cv == pytest.approx(np.mean(outside))
    assert found.r2_cv_sd == pytest.approx(np.std(outside, ddof=1))


def test_groups_are_left_out_whole() -> None:
    # noise columns that are constant inside a group learn the groups by heart
    draw = np.random.default_rng(5)
    labels = np.repeat(np.arange(12), 6)
    y = draw.standard_normal(12)[labels] + 0.1 * draw.standard_normal(72)
    columns = [column[labels] for column in draw.standard_normal((10, 12))]

    (whole,) = cross_validated(y, {"noise": columns}, groups=labels.tolist())
    (rows,) = cross_validated(y, {"noise": columns})

    assert rows.r2_cv > 0.5
    assert whole.r2_cv < 0


def test_mean_alone_explains_nothing_outside() -> None:
    y, _, _ = sample(40, 6)

    (found,) = cross_validated(y, {"mean": []})

    assert found.parameters == 1
    assert found.r2 == pytest.approx(0, abs=1e-12)
    assert found.r2_cv == pytest.approx(0, abs=1e-12)


def test_models_share_their_folds() -> None:
    y, base, _ = sample(40, 7)

    one, other = cross_validated(y, {"one": base, "other": [-base[1], 2 * base[0]]})

    assert other.r2_cv == pytest.approx(one.r2_cv, rel=1e-9)


def test_fewer_groups_than_folds_are_left_out_one_by_one() -> None:
    y, base, _ = sample(40, 8)

    (found,) = cross_validated(y, {"size": base}, groups=[i % 4 for i in range(40)])

    assert found.r2_cv_sd == pytest.approx(0, abs=1e-12)


def test_one_repeat_has_no_spread() -> None:
    y, base, _ = sample(40, 8)

    (found,) = cross_validated(y, {"size": base}, repeats=1)

    assert found.r2_cv is not None
    assert found.r2_cv_sd is None


def test_seed_decides_the_folds() -> None:
    y, base, _ = sample(40, 9)

    first, again, other = (
        cross_validated(y, {"size": base}, seed=seed)[0].r2_cv for seed in (0, 0, 1)
    )

    assert first == again
    assert first != other


def test_column_that_the_training_rows_do_not_vary_in_predicts_nothing() -> None:
    y, base, _ = sample(40, 10)
    family = np.arange(40) // 10
    dummy = np.equal(family, 2) * 1.0

    (found,) = cross_validated(y, {"with": [*base, dummy]}, groups=family, repeats=1)

    columns = basis([*base, dummy], 40)
    errors = totals = 0.0
    for label in range(4):
        inside, left = family != label, family == label
        centre = y[inside].mean()
        least = np.linalg.lstsq(columns[inside], y[inside] - centre)[0]
        errors += float(np.sum((y[left] - centre - columns[left] @ least) ** 2))
        totals += float(np.sum((y[left] - centre) ** 2))
    assert found.r2_cv == pytest.approx(1 - errors / totals)


@pytest.mark.parametrize(
    ("n", "label", "problem"),
    [
        (7, None, "7 rows, at least 8 are needed"),
        (20, "a", "all rows are one group, none can be left out"),
    ],
)
def test_sample_without_folds_says_so(n: int, label: str | None, problem: str) -> None:
    y, base, _ = sample(n, 11)
    groups = [label] * n if label else None

    (found,) = cross_validated(y, {"size": base}, groups=groups)

    assert found.problem == problem
    assert found.parameters == 3
    assert found.r2 is None


def test_constant_response_says_so() -> None:
    _, base, _ = sample(20, 11)

    (found,) = cross_validated(np.ones(20), {"size": base})

    assert found.problem == "the response is constant"


def test_more_coefficients_than_rows_allow_say_so() -> None:
    columns = list(np.random.default_rng(0).standard_normal((8, 10)))

    (found,) = cross_validated(columns[0] + columns[1] ** 2, {"all": columns})

    assert found.problem == "10 rows, 9 coefficients need at least 12"


def test_exact_fit_says_so() -> None:
    _, base, _ = sample(20, 11)

    (found,) = cross_validated(base[0] - base[1], {"size": base})

    assert found.problem == "the response is an exact linear function of the columns"
    assert found.r2 == 1
    assert found.aicc is None


def test_delta_is_the_difference_of_the_fits() -> None:
    y, base, added = sample(40, 12)

    found = delta_r2(y, base, [added], draws=50, seed=3)

    small, large = cross_validated(y, {"base": base, "full": [*base, added]}, seed=3)
    assert found.n == 40
    assert found.value == pytest.approx(large.r2 - small.r2)
    assert found.cv_value == pytest.approx(large.r2_cv - small.r2_cv)
    assert found.delta_aicc == pytest.approx(large.aicc - small.aicc)


@pytest.mark.parametrize("labels", [None, [i // 2 for i in range(30)]])
def test_interval_is_that_of_refitted_resamples(labels: list[int] | None) -> None:
    y, base, added = sample(30, 13)
    count = 30 if labels is None else 15

    found = delta_r2(y, base, [added], groups=labels, draws=80, seed=6)

    drawn = np.random.default_rng(6).integers(0, count, (80, count))
    codes = np.arange(30) if labels is None else np.array(labels)
    deltas = []
    for groups in drawn:
        rows = np.concatenate([np.flatnonzero(codes == group) for group in groups])
        small, large = (
            sm.OLS(y[rows], sm.add_constant(np.column_stack(c)[rows])).fit().rsquared
            for c in (base, [*base, added])
        )
        deltas.append(large - small)
    assert found.interval == pytest.approx(tuple(np.quantile(deltas, [0.025, 0.975])))


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    y, base, added = sample(30, 14)
    whole = delta_r2(y, base, [added], draws=50)

    monkeypatch.setattr(nested, "BLOCK", 30 * 7)

    assert delta_r2(y, base, [added], draws=50).interval == pytest.approx(
        whole.interval
    )


def test_interval_excludes_0_although_nothing_is_added() -> None:
    # why it is descriptive only
    excluded, worse = 0, 0
    for seed in range(30):
        y, base, _ = sample(40, seed)
        noise = np.random.default_rng(seed + 1000).standard_normal(40)

        found = delta_r2(y, base, [noise], draws=200, seed=seed)

        excluded += found.interval[0] > 0
        worse += found.cv_value < 0
    assert excluded == 30
    assert worse > 15


def test_level_narrows_the_interval() -> None:
    y, base, added = sample(30, 15)

    wide, narrow = (
        delta_r2(y, base, [added], draws=100, level=level).interval
        for level in (0.05, 0.5)
    )

    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_resamples_that_do_not_identify_a_column_are_fitted_without_it() -> None:
    draw = np.random.default_rng(16)
    y, *columns = draw.standard_normal((5, 9))

    found = delta_r2(y, columns[:3], columns[3:], draws=200, seed=6)

    deltas = []
    for rows in np.random.default_rng(6).integers(0, 9, (200, 9)):
        left = [y[rows].var() * 9]
        for count in (3, 4):
            design = np.column_stack([np.ones(9), *columns[:count]])[rows]
            fitted = design @ np.linalg.lstsq(design, y[rows])[0]
            left.append(float(np.sum((y[rows] - fitted) ** 2)))
        deltas.append((left[1] - left[2]) / left[0])
    expected = np.quantile(deltas, [0.025, 0.975])
    assert found.interval == pytest.approx(tuple(expected), abs=1e-6)


def test_resamples_without_variation_are_left_out() -> None:
    _, base, added = sample(9, 16)

    found = delta_r2(np.eye(9)[3], base, [added], draws=200)

    assert 0 <= found.interval[0] <= found.interval[1] <= 1


def test_added_column_in_the_span_of_the_base_adds_nothing() -> None:
    y, base, _ = sample(30, 17)

    found = delta_r2(y, base, [base[0] - 2 * base[1]])

    assert found.value == 0
    assert found.interval is None
    assert found.problem == "what is added is a linear function of the base"


def test_delta_of_too_few_rows_says_so() -> None:
    y, base, added = sample(7, 18)

    found = delta_r2(y, base, [added])

    assert found.problem == "7 rows, at least 8 are needed"
    assert found.n == 7
    assert found.value is None
