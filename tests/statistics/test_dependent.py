"""Dependent correlations against published examples, and the level they hold."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from nasdepth.statistics.dependent import (
    compare_correlations,
    difference_interval,
    meng_z,
    williams_t,
)
from nasdepth.statistics.linear import Vector


def sample(n: int, seed: int) -> tuple[Vector, Vector, Vector]:
    """A response with two predictors that follow it equally well and each other."""
    draw = np.random.default_rng(seed)
    shared, *own = draw.standard_normal((4, n))
    return shared + own[0], shared + 0.5 * own[1], shared + 0.5 * own[2]


@pytest.mark.parametrize(
    ("first", "second", "between", "n", "z"),
    [
        (0.80, 0.75, 0.99, 10, 1.49),
        (0.80, 0.60, 0.73, 10, 1.11),
        (0.80, 0.75, 0.99, 40, 3.43),
        (0.80, 0.60, 0.73, 40, 2.55),
        # Meng, Rosenthal & Rubin (1992)
        (0.63, -0.03, -0.19, 15, 1.68),
        # May & Hittner (1997), Psychological Reports 80
        (0.50, 0.20, 0.00, 50, 1.62),
        (0.50, 0.20, 0.80, 50, 3.50),
        (0.70, 0.40, 0.50, 50, 2.66),
    ],
)
def test_meng_z_is_that_of_the_published_examples(
    first: float, second: float, between: float, n: int, z: float
) -> None:
    assert meng_z(first, second, between, n) == pytest.approx(z, abs=0.005)


def test_williams_t_is_that_of_a_published_example() -> None:
    # depcor: Silver, Hittner & May (2006), doi:10.1177/0146621605277132
    found = williams_t(0.3, 0.4, 0.5, 100)

    assert found == pytest.approx(-1.0767, abs=5e-5)
    assert 2 * stats.t.sf(abs(found), 97) == pytest.approx(0.2843, abs=5e-5)


def test_interval_is_that_of_zou() -> None:
    # Zou (2007), his example of overlapping correlations
    found = difference_interval(0.396, 0.179, 0.088, 66)

    assert found == pytest.approx((-0.093, 0.517), abs=5e-4)


def test_estimates_of_0_correlate_as_the_predictors_do() -> None:
    low, high = difference_interval(0.0, 0.0, 0.8, 40)

    one = math.tanh(1.959964 / math.sqrt(37))
    assert high == pytest.approx(one * math.sqrt(2 * (1 - 0.8)))
    assert low == pytest.approx(-high)


@pytest.mark.parametrize("statistic", [williams_t, meng_z])
def test_statistic_changes_its_sign_with_the_order(
    statistic: Callable[[float, float, float, int], float],
) -> None:
    one, other = (statistic(*pair, 0.4, 30) for pair in ((0.6, -0.2), (-0.2, 0.6)))

    assert one > 0
    assert other == pytest.approx(-one)


@pytest.mark.parametrize("statistic", [williams_t, meng_z])
def test_negative_correlations_are_compared_with_their_sign(
    statistic: Callable[[float, float, float, int], float],
) -> None:
    assert statistic(-0.9, 0.1, 0.0, 30) < 0
    assert statistic(-0.3, -0.6, 0.4, 30) == pytest.approx(statistic(0.6, 0.3, 0.4, 30))


def test_pearson_correlations_are_those_of_scipy() -> None:
    y, a, b = sample(30, 1)

    found = compare_correlations(y, a, b, ranks=False)

    expected = [stats.pearsonr(*p).statistic for p in ((y, a), (y, b), (a, b))]
    assert [found.first, found.second, found.between] == pytest.approx(expected)
    assert found.difference == pytest.approx(expected[0] - expected[1])


def test_rank_correlations_average_ties() -> None:
    y, a, b = (np.round(values) for values in sample(30, 1))

    found = compare_correlations(y, a, b)

    expected = [stats.spearmanr(*p).statistic for p in ((y, a), (y, b), (a, b))]
    assert [found.first, found.second, found.between] == pytest.approx(expected)


def test_p_values_are_those_of_the_statistics() -> None:
    y, a, b = sample(30, 2)

    found = compare_correlations(y, a, b)

    r = (found.first, found.second, found.between)
    assert found.williams_t == williams_t(*r, 30)
    assert found.williams_p == pytest.approx(
        2 * stats.t.cdf(-abs(found.williams_t), 27)
    )
    assert found.meng_z == meng_z(*r, 30)
    assert found.meng_p == pytest.approx(2 * stats.norm.cdf(-abs(found.meng_z)))


def test_meng_interval_ends_where_meng_z_rejects() -> None:
    found = compare_correlations(*sample(30, 2))

    low, high = found.meng_interval
    distance = math.atanh(found.first) - math.atanh(found.second)
    assert (low + high) / 2 == pytest.approx(distance)
    assert distance / (high - low) * 2 * 1.959964 == pytest.approx(found.meng_z)


def test_level_widens_both_intervals() -> None:
    y, a, b = sample(30, 2)

    wide, narrow = (compare_correlations(y, a, b, level=p) for p in (0.01, 0.2))

    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]
    assert wide.meng_interval[0] < narrow.meng_interval[0]


def test_rank_interval_is_wider_than_that_of_pearson() -> None:
    wide, narrow = (
        difference_interval(0.7, 0.5, 0.4, 40, ranks=ranks) for ranks in (True, False)
    )

    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("ranks", [True, False])
def test_interval_is_that_of_the_chosen_correlations(ranks: bool) -> None:
    found = compare_correlations(*sample(30, 2), ranks=ranks)

    r = (found.first, found.second, found.between)
    assert found.interval == difference_interval(*r, 30, ranks=ranks)


def test_ranks_see_only_the_order() -> None:
    y, a, b = sample(30, 3)

    assert compare_correlations(np.exp(y), a**3, b) == compare_correlations(y, a, b)


@pytest.mark.parametrize(
    ("name", "column"), [("the response", 0), ("the first", 1), ("the second", 2)]
)
def test_constant_column_is_named(name: str, column: int) -> None:
    columns = list(sample(20, 4))
    columns[column] = np.ones(20)

    found = compare_correlations(*columns)

    assert found.problem == f"{name} is constant"
    assert found.difference is None


def test_three_rows_are_too_few() -> None:
    found = compare_correlations(*sample(3, 4))

    assert found.problem == "3 rows, at least 4 are needed"


@pytest.mark.parametrize(("factor", "word"), [(2.0, "units"), (-2.0, "sign and units")])
def test_a_predictor_is_not_compared_with_itself(factor: float, word: str) -> None:
    y, a, _ = sample(20, 4)

    found = compare_correlations(y, a, factor * a + 1)

    assert found.problem == f"the two predictors are the same but for their {word}"
    assert found.between == pytest.approx(math.copysign(1, factor))
    assert found.williams_t is None


def test_exact_predictor_leaves_nothing_to_test() -> None:
    y, a, _ = sample(20, 4)

    found = compare_correlations(y, a, 3 * y)

    assert found.problem == "a predictor follows the response exactly"
    assert found.second == pytest.approx(1)


@pytest.mark.parametrize("ranks", [True, False])
@pytest.mark.parametrize("n", [20, 40])
def test_level_and_coverage_hold(n: int, ranks: bool) -> None:
    runs, counts = 1000, np.zeros(3)
    for run in range(runs):
        found = compare_correlations(*sample(n, run), ranks=ranks)

        low, high = found.interval
        counts += (found.williams_p <= 0.05, found.meng_p <= 0.05, not low <= 0 <= high)

    # three standard errors of 1,000 runs above the nominal .05; all are conservative
    assert np.all(counts / runs <= 0.07)
    assert np.all(counts / runs >= 0.01)
