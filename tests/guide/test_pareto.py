"""The front, its hypervolume and what may be added to it, against brute force."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdepth.guide.pareto import (
    expected_hypervolume_improvement,
    hypervolume,
    hypervolumes,
    undominated,
)

small = st.integers(1, 9)
pairs = st.lists(st.tuples(small, small), min_size=1, max_size=12)
#: cost and gain, so that every point of `pairs` counts
REFERENCE = (10.0, 0.0)


def columns(points: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Costs and gains; the last number of a point is its gain."""
    table = np.array(points, dtype=np.float64).reshape(len(points), -1)
    costs = table[:, :-1]
    return (costs[:, 0] if costs.shape[1] == 1 else costs), table[:, -1]


def expected(
    points: list[tuple[float, float]],
    mean: float,
    sd: float,
    cost: float,
    reference: tuple[float, float] = REFERENCE,
) -> float:
    """The closed form of one candidate beside a front given as (cost, gain)."""
    table = np.array(points, dtype=np.float64).reshape(-1, 2)
    (value,) = expected_hypervolume_improvement(
        np.array([mean]),
        np.array([sd]),
        np.array([cost]),
        front_costs=table[:, 0],
        front_gains=table[:, 1],
        reference=reference,
    )
    return float(value)


def counted(points: list[tuple[int, int]], limit: int = 10, least: int = 0) -> int:
    """Unit squares that a front of whole numbers covers: no formula at all.

    The squares lie below the cost and above the gain of a reference point.
    """
    return sum(
        any(cost <= x and gain >= y for cost, gain in points)
        for x in range(1, limit)
        for y in range(least + 1, 10)
    )


# --- the front


@given(pairs)
def test_front_of_one_cost_holds_exactly_what_no_other_point_beats(
    points: list[tuple[int, int]],
) -> None:
    assert list(undominated(*columns(points))) == unbeaten(points)


@given(st.lists(st.tuples(small, small, small, small), min_size=1, max_size=12))
def test_front_of_several_costs_holds_exactly_what_no_other_point_beats(
    points: list[tuple[int, ...]],
) -> None:
    assert list(undominated(*columns(points))) == unbeaten(points)


def unbeaten(points: list[tuple[int, ...]]) -> list[bool]:
    """By comparison of each with each; of equal points the first stays."""
    return [
        not any(
            all(c <= d for c, d in zip(other[:-1], point[:-1], strict=True))
            and other[-1] >= point[-1]
            and (other != point or j < i)
            for j, other in enumerate(points)
            if j != i
        )
        for i, point in enumerate(points)
    ]


@given(pairs)
def test_a_column_of_costs_is_one_cost(points: list[tuple[int, int]]) -> None:
    costs, gains = columns(points)

    assert list(undominated(costs[:, None], gains)) == list(undominated(costs, gains))


def test_front_of_no_points_is_empty() -> None:
    assert undominated(np.empty(0), np.empty(0)).tolist() == []
    assert undominated(np.empty((0, 2)), np.empty(0)).tolist() == []


# --- the hypervolume


@given(pairs, small, small)
def test_hypervolume_is_the_number_of_squares_below_the_front(
    points: list[tuple[int, int]], limit: int, least: int
) -> None:
    found = hypervolume(*columns(points), limit, least, log=False)

    assert found == counted(points, limit, least)


def test_hypervolume_over_the_logarithm_counts_factors_of_cost() -> None:
    costs, gains = np.array([1e6, 2e6]), np.array([0.8, 0.9])

    found = hypervolume(costs, gains, 8e6, 0.5)

    assert found == pytest.approx(0.3 * math.log(8) + 0.1 * math.log(4))


def test_points_beyond_the_reference_cover_nothing() -> None:
    costs, gains = np.array([1.0, 11.0, 10.0]), np.array([0.2, 0.9, 0.9])

    assert hypervolume(costs, gains, 10, 0.2) == 0


def test_no_points_cover_nothing() -> None:
    assert hypervolume(np.empty(0), np.empty(0), 10, 0) == 0


@pytest.mark.parametrize("cost", [0.0, -1.0, math.nan])
def test_cost_without_a_logarithm_is_refused(cost: float) -> None:
    with pytest.raises(ValueError, match=r"must be positive .* but got .*log=False"):
        hypervolume(np.array([1.0, cost]), np.array([0.5, 0.6]), 10, 0)


@given(pairs)
def test_hypervolumes_are_those_of_the_points_so_far(
    points: list[tuple[int, int]],
) -> None:
    costs, gains = columns(points)

    found = hypervolumes(costs, gains, 10, 0, log=False)

    assert found.tolist() == [counted(points[:n]) for n in range(1, len(points) + 1)]


# --- what a point adds


@given(pairs, small, small, small, small)
def test_gain_that_is_known_adds_the_difference_of_two_hypervolumes(
    points: list[tuple[int, int]], cost: int, gain: int, limit: int, least: int
) -> None:
    before = counted(points, limit, least)
    added = counted([*points, (cost, gain)], limit, least) - before

    assert expected(points, gain, 0.0, cost, (limit, least)) == added


@pytest.mark.parametrize("cost", [0.5, 3.5])
@pytest.mark.parametrize(("mean", "sd"), [(0.5, 0.1), (0.75, 0.05), (0.3, 0.3)])
def test_closed_form_is_the_mean_of_drawn_differences(
    cost: float, mean: float, sd: float
) -> None:
    points = [(1.0, 0.4), (2.0, 0.6), (4.0, 0.7), (12.0, 0.99)]
    draws = np.random.default_rng(7).normal(mean, sd, 10_000)
    reference = (10.0, 0.2)

    added = np.array([added_by(points, (cost, draw), reference) for draw in draws])

    error = added.std(ddof=1) / math.sqrt(len(draws))
    found = expected(points, mean, sd, cost, reference)
    assert abs(found - added.mean()) < 4 * error
    assert 0 < error < 0.05 * max(found, 0.05)


def added_by(
    points: list[tuple[float, float]],
    point: tuple[float, float],
    reference: tuple[float, float],
) -> float:
    """Difference of the areas with and without a point."""
    areas = [
        hypervolume(*columns(each), *reference, log=False)
        for each in (points, [*points, point])
    ]
    return areas[1] - areas[0]


def test_one_step_is_the_expected_improvement_times_its_length() -> None:
    # E[max(N(0, 1), 0)] = 1/sqrt(2 pi)
    found = expected([(1.0, 0.5)], 0.5, 0.1, 4.0)

    assert found == pytest.approx(6 * 0.1 / math.sqrt(2 * math.pi))


def test_without_a_front_the_reference_is_what_is_improved_on() -> None:
    found = expected([], 0.7, 0.0, 4.0, (10.0, 0.2))

    assert found == pytest.approx(6 * 0.5)


@settings(max_examples=60)
@given(
    pairs,
    st.floats(0.0, 9.0),
    st.floats(1e-3, 3.0),
    st.lists(st.floats(-5.0, 15.0), min_size=2, max_size=6, unique=True),
)
def test_more_mean_is_never_less_improvement(
    points: list[tuple[int, int]], cost: float, sd: float, means: list[float]
) -> None:
    found = [expected(points, mean, sd, cost) for mean in sorted(means)]

    assert all(b >= a - 1e-12 for a, b in pairwise(found))


@settings(max_examples=60)
@given(pairs, st.floats(0.0, 9.0), st.floats(-5.0, 15.0))
def test_less_sure_is_never_less_improvement(
    points: list[tuple[int, int]], cost: float, mean: float
) -> None:
    found = [expected(points, mean, sd, cost) for sd in (0.0, 1e-3, 0.1, 1.0, 3.0)]

    assert all(b >= a - 1e-9 for a, b in pairwise(found))


@given(pairs, small)
def test_beaten_points_change_nothing(points: list[tuple[int, int]], cost: int) -> None:
    kept = undominated(*columns(points))
    front = [point for point, stays in zip(points, kept, strict=True) if stays]

    assert expected(points, 5.0, 2.0, cost) == pytest.approx(
        expected(front, 5.0, 2.0, cost), rel=1e-12
    )


@pytest.mark.parametrize("cost", [10.0, 10.5, 1e9])
def test_beyond_the_reference_nothing_is_added(cost: float) -> None:
    assert expected([(1.0, 0.5)], 50.0, 3.0, cost) == 0


@pytest.mark.parametrize("sd", [1e-12, 1e-9])
def test_deviation_next_to_nothing_gives_the_plain_improvement(sd: float) -> None:
    assert expected([(1.0, 0.5)], 0.6, sd, 2.0) == pytest.approx(8 * 0.1)
    assert expected([(1.0, 0.5)], 0.4, sd, 2.0) == 0


@pytest.mark.parametrize("below", [1.0, 3.0, 8.0, 20.0, 37.0, 39.0])
def test_far_below_the_front_nothing_negative_is_added(below: float) -> None:
    assert expected([(1.0, 0.5)], 0.5 - 0.1 * below, 0.1, 2.0) >= 0


def test_candidates_do_not_see_each_other() -> None:
    generator = np.random.default_rng(3)
    mean, sd, cost = generator.uniform(0.1, 1, (3, 50))
    front = {"front_costs": np.array([0.2, 0.5]), "front_gains": np.array([0.3, 0.8])}

    together = expected_hypervolume_improvement(
        mean, sd, cost, **front, reference=(0.9, 0.1)
    )

    alone = [
        expected([(0.2, 0.3), (0.5, 0.8)], *each, (0.9, 0.1))
        for each in zip(mean, sd, cost, strict=True)
    ]
    assert together == pytest.approx(alone, rel=1e-12)
