"""The specification curve against refits, and the level of its joint tests."""

import math
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from nasdepth.statistics import multiverse
from nasdepth.statistics.linear import Vector
from nasdepth.statistics.multiverse import Specification, specification_curve
from nasdepth.statistics.regression import fisher_interval, partial_correlation


def sample(
    n: int, seed: int, *, effect: float = 0.0, spread: str = "equal"
) -> tuple[list[Specification], list[Vector]]:
    """Three readings of a predictor, two of a response, and two baselines."""
    draw = np.random.default_rng(seed)
    baselines = draw.standard_normal((2, n))
    core = draw.standard_normal(n)
    own = math.sqrt(0.1) * draw.standard_normal((3, n))
    predictors = math.sqrt(0.9) * core + own + 0.5 * baselines.sum(axis=0)
    scale = np.abs(core) if spread == "follows the predictor" else 1.0
    noise = scale * draw.standard_normal(n)
    response = effect * core + baselines.sum(axis=0) + noise
    ranks = np.argsort(np.argsort(response)).astype(np.float64)
    specifications = [
        Specification(f"reading {i}", name, predictor, values)
        for i, predictor in enumerate(predictors)
        for name, values in (("raw", response), ("rank", ranks))
    ]
    return specifications, list(baselines)


def test_points_are_partial_correlations() -> None:
    specifications, baselines = sample(30, 1, effect=0.5)

    curve = specification_curve(specifications, baselines, seed=0, permutations=19)

    expected = [
        partial_correlation(each.response, each.predictor, baselines, draws=19).value
        for each in specifications
    ]
    assert [point.value for point in curve.points] == pytest.approx(expected)
    assert [point.interval for point in curve.points] == [
        fisher_interval(point.value, 30, 2) for point in curve.points
    ]


def test_points_keep_their_names_and_order() -> None:
    specifications, baselines = sample(30, 1)

    curve = specification_curve(specifications, baselines, seed=0, permutations=19)

    assert [(point.convention, point.outcome) for point in curve.points] == [
        (each.convention, each.outcome) for each in specifications
    ]


def test_t_is_that_of_least_squares() -> None:
    specifications, baselines = sample(30, 2, effect=0.5)

    curve = specification_curve(specifications, baselines, seed=0, permutations=19)

    small = sm.add_constant(np.column_stack(baselines))
    expected = [
        sm.OLS(each.response, np.column_stack([small, each.predictor])).fit().tvalues[3]
        for each in specifications
    ]
    assert [point.t for point in curve.points] == pytest.approx(expected)
    assert curve.max_abs_t == pytest.approx(max(map(abs, expected)))


def test_summary_is_that_of_the_points() -> None:
    specifications, baselines = sample(30, 3)

    curve = specification_curve(specifications, baselines, seed=0, permutations=19)

    values = [point.value for point in curve.points]
    assert (curve.n, curve.covariates, curve.draws) == (30, 2, 19)
    assert curve.median == pytest.approx(np.median(values))
    assert curve.share_positive == sum(value > 0 for value in values) / 6
    assert 0 < curve.share_positive < 1


def brute_force_p(
    specifications: list[Specification],
    baselines: list[Vector],
    drawn: list[list[Vector]],
    kind: str,
) -> float:
    """The joint p-value with every model fitted anew, one list of responses a draw."""
    small = sm.add_constant(np.column_stack(baselines))

    def largest(responses: list[Vector]) -> float:
        fits = [
            sm.OLS(y, np.column_stack([small, each.predictor])).fit(cov_type=kind)
            for each, y in zip(specifications, responses, strict=True)
        ]
        return max(abs(float(fit.tvalues[-1])) for fit in fits)

    observed = largest([each.response for each in specifications])
    extreme = sum(largest(responses) >= observed for responses in drawn)
    return (1 + extreme) / (1 + len(drawn))


def restricted(each: Specification, baselines: list[Vector]) -> tuple[Vector, ...]:
    """Fitted values, residuals and leverages of a response on the baselines."""
    fit = sm.OLS(each.response, sm.add_constant(np.column_stack(baselines))).fit()
    return fit.fittedvalues, fit.resid, fit.get_influence().hat_matrix_diag


def test_p_value_is_that_of_freedman_lane_refits() -> None:
    specifications, baselines = sample(14, 4, effect=0.4)
    rows = np.tile(np.arange(14), (99, 1))
    orders = np.random.default_rng(5).permuted(rows, axis=1)
    fits = [restricted(each, baselines) for each in specifications]
    drawn = [[fitted + left[o] for fitted, left, _ in fits] for o in orders]

    curve = specification_curve(specifications, baselines, seed=5, permutations=99)

    expected = brute_force_p(specifications, baselines, drawn, "nonrobust")
    assert curve.p_value == pytest.approx(expected)
    assert 0.02 < curve.p_value < 0.5


def test_robust_p_is_that_of_sign_flipped_refits() -> None:
    specifications, baselines = sample(14, 4, effect=0.4)
    signs = np.random.default_rng((5, 1)).integers(0, 2, (99, 14)) * 2.0 - 1
    fits = [restricted(each, baselines) for each in specifications]
    drawn = [[fit + left / (1 - h) * s for fit, left, h in fits] for s in signs]

    curve = specification_curve(specifications, baselines, seed=5, permutations=99)

    expected = brute_force_p(specifications, baselines, drawn, "HC3")
    assert curve.p_robust == pytest.approx(expected)
    assert 0.02 < curve.p_robust < 0.5


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    specifications, baselines = sample(20, 6, effect=0.3)
    whole = specification_curve(specifications, baselines, seed=0, permutations=99)

    monkeypatch.setattr(multiverse, "BLOCK", 2 * 20 * 7)

    found = specification_curve(specifications, baselines, seed=0, permutations=99)
    assert found == whole
    assert 0.02 < found.p_value < 1


def test_another_seed_gives_other_p_values() -> None:
    specifications, baselines = sample(20, 7)

    first, second = (
        specification_curve(specifications, baselines, seed=seed, permutations=999)
        for seed in (0, 1)
    )

    assert first.p_value != second.p_value
    assert first.p_robust != second.p_robust
    assert first.points == second.points


def test_draws_are_shared_so_that_a_reading_said_twice_changes_nothing() -> None:
    specifications, baselines = sample(20, 8, effect=0.3)
    first = specifications[0]
    again = replace(first, predictor=3 - 2 * first.predictor, response=-first.response)

    alone = specification_curve([first], baselines, seed=0)
    twice = specification_curve([first, again], baselines, seed=0)

    assert (twice.p_value, twice.p_robust) == (alone.p_value, alone.p_robust)
    assert 0.002 < alone.p_value < 1


def test_more_readings_raise_the_p_value_of_the_same_largest_t() -> None:
    draw = np.random.default_rng(9)
    response = draw.standard_normal(40)
    strong = Specification("x", "y", response + draw.standard_normal(40) * 3, response)
    weak = [
        Specification(f"z{i}", "y", draw.standard_normal(40), response)
        for i in range(30)
    ]

    alone = specification_curve([strong], [], seed=0)
    among = specification_curve([strong, *weak], [], seed=0)

    assert among.max_abs_t == alone.max_abs_t
    assert among.p_value > 3 * alone.p_value
    assert among.p_robust > alone.p_robust


def test_no_draw_reaches_a_strong_effect() -> None:
    specifications, baselines = sample(40, 10, effect=3.0)

    curve = specification_curve(specifications, baselines, seed=0, permutations=99)

    assert curve.p_value == curve.p_robust == 1 / 100


def test_what_is_not_estimable_says_why_and_enters_nothing() -> None:
    specifications, baselines = sample(20, 11)
    y, x = specifications[0].response, specifications[0].predictor
    spike = np.eye(20)[0]
    broken = [
        Specification("constant", "raw", np.full(20, 0.1), y),
        Specification("of the baselines", "raw", baselines[0] - 2 * baselines[1], y),
        Specification("one row", "raw", spike, y),
        Specification("reading", "constant", x, np.ones(20)),
        Specification("reading", "of the baselines", x, baselines[0] + 1),
        Specification("reading", "exact", x, 2 * x + baselines[1]),
    ]
    alone = specification_curve(specifications, baselines, seed=0, permutations=99)

    curve = specification_curve(
        [*specifications, *broken], baselines, seed=0, permutations=99
    )

    assert [point.problem for point in curve.points[6:]] == [
        "the predictor is constant",
        "the predictor is a linear function of the covariates",
        "one row alone decides a coefficient (leverage 1)",
        "the response is constant",
        "the response is a linear function of the covariates",
        "the response is an exact linear function of the measures",
    ]
    assert all(point.value is point.t is None for point in curve.points[6:])
    assert replace(curve, points=()) == replace(alone, points=())


def test_curve_without_an_estimable_point_has_no_test() -> None:
    specifications, baselines = sample(20, 11)
    flat = [replace(each, response=np.ones(20)) for each in specifications]

    curve = specification_curve(flat, baselines, seed=0)

    assert curve.problem == "no specification is estimable"
    assert curve.median is curve.p_value is curve.p_robust is None
    assert len(curve.points) == 6


@pytest.mark.parametrize(
    ("n", "problem"),
    [
        (0, "0 rows, at least 4 are needed"),
        (3, "3 rows, at least 4 are needed"),
        (5, "5 rows, 2 covariates need at least 6"),
    ],
)
def test_too_few_rows_have_no_curve(n: int, problem: str) -> None:
    specifications, baselines = sample(n, 12)

    assert specification_curve(specifications, baselines, seed=0).problem == problem


def test_no_specification_has_no_curve() -> None:
    _, baselines = sample(20, 12)

    curve = specification_curve([], baselines, seed=0)

    assert curve.problem == "no specification was given"


def test_row_that_alone_decides_a_baseline_leaves_no_curve() -> None:
    specifications, baselines = sample(20, 12)

    curve = specification_curve(specifications, [*baselines, np.eye(20)[0]], seed=0)

    assert curve.problem == "one row alone decides a coefficient (leverage 1)"


def test_rows_of_one_architecture_have_to_be_averaged() -> None:
    specifications, baselines = sample(20, 13)
    groups = [f"digest{row // 2}" for row in range(20)]

    curve = specification_curve(specifications, baselines, seed=0, groups=groups)

    assert curve.problem == (
        "20 rows of 10 architectures are not exchangeable: average the rows of each"
    )


def test_one_row_per_architecture_changes_nothing() -> None:
    specifications, baselines = sample(20, 13)

    plain, grouped = (
        specification_curve(
            specifications, baselines, seed=0, permutations=99, groups=groups
        )
        for groups in (None, [f"digest{row}" for row in range(20)])
    )

    assert grouped == plain
    assert grouped.problem == ""


def test_vectors_of_different_lengths_are_refused() -> None:
    specifications, baselines = sample(20, 14)

    with pytest.raises(ValueError, match="but got vectors of 19, 20 rows"):
        specification_curve(specifications, [baselines[0][1:]], seed=0)


def test_no_permutation_is_refused() -> None:
    specifications, baselines = sample(20, 14)

    with pytest.raises(ValueError, match="permutations must be positive, but got 0"):
        specification_curve(specifications, baselines, seed=0, permutations=0)


def rejections(n: int, spread: str, runs: int) -> tuple[float, float]:
    """Share of curves without any effect that each test rejects at .05."""
    counts = np.zeros(2)
    for run in range(runs):
        specifications, baselines = sample(n, 1000 * n + run, spread=spread)
        curve = specification_curve(
            specifications, baselines, seed=run, permutations=199
        )
        counts += (curve.p_value <= 0.05, curve.p_robust <= 0.05)
    plain, robust = counts / runs
    return float(plain), float(robust)


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 40])
def test_both_tests_hold_their_level(n: int) -> None:
    plain, robust = rejections(n, "equal", 1000)

    # four standard errors of 1,000 runs around the nominal .05
    assert 0.022 <= plain <= 0.078
    assert 0.022 <= robust <= 0.078


@pytest.mark.slow
def test_where_the_spread_follows_the_predictor_only_the_robust_test_holds() -> None:
    plain, robust = rejections(40, "follows the predictor", 1000)

    assert plain > 0.15
    assert 0.022 <= robust <= 0.078
