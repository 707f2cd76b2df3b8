"""Facts about the unselected arm: how many, which, and what it separates."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdepth.guide.draws import NoCandidate
from nasdepth.search.candidates import Sieve, feasible
from nasdepth.search.design import (
    attainable,
    exchange,
    exchange_pairs,
    features,
    spread,
    unselected,
)
from nasdepth.search.siblings import backbone


@pytest.fixture(scope="module")
def planned(configure, space_of_digits):
    """An arm of twelve and its configuration."""
    config = configure(
        space={"depth": [1, 5], "width": [8, 32]},
        budget={"params": 60_000},
        design={"trials": 12, "candidates": 15},
    )
    return config, unselected(config, space_of_digits(config))


@st.composite
def clouds(draw):
    """Points of which some features may be constant, copied or multiplied."""
    count, seed = draw(st.integers(1, 12)), draw(st.integers(0, 2**32))
    points = np.random.default_rng(seed).normal(size=(count, 5))
    kind = draw(
        st.sampled_from(["free", "constant", "copied", "all constant", "twins"])
    )
    if kind == "constant":
        points[:, 1] = 3.0
    elif kind == "copied":
        points[:, 2] = 10 * points[:, 0]
    elif kind == "all constant":
        points[:] = 7.0
    elif kind == "twins":
        points[:] = points[np.arange(count) // 2]
    return points


@pytest.fixture(scope="module")
def dropping(configure, space_of_digits):
    """An arm of 24 residual networks, with and without dropping."""
    space = {"depth": [2, 5], "width": [8, 32], "topologies": ["residual"]}
    found = {}
    for dropped in (False, True):
        config = configure(
            space={**space, "dropped": dropped},
            budget={"params": 60_000},
            design={"trials": 24, "candidates": 8},
        )
        found[dropped] = unselected(config, space_of_digits(config))
    return found


def paired(candidates):
    shared = Counter(backbone(each.architecture) for each in candidates)
    return [count for count in shared.values() if count > 1]


def correlation(candidates):
    points = features(candidates)
    return abs(np.corrcoef(points[:, 0], points[:, 1])[0, 1])


def test_arm_has_as_many_as_wanted_all_distinct_and_feasible(planned):
    config, arm = planned

    assert len({each.digest for each in arm}) == len(arm) == 12
    assert all(each.measures["params"] <= config.budget.params for each in arm)


def test_arm_follows_from_the_seed(configure, space_of_digits):
    def digests(seed):
        config = configure(search={"seed": seed})
        return [each.digest for each in unselected(config, space_of_digits(config))]

    assert digests(0) == digests(0)
    assert set(digests(0)) != set(digests(1))


def test_arm_separates_effective_from_nominal_depth_more_than_its_pool(
    planned, space_of_digits
):
    config, arm = planned
    space = space_of_digits(config)
    sieve = Sieve(space, config.budget.limits())

    pool = feasible(config, space, 12 * 15, seed=(0, 1), sieve=sieve)

    assert {each.digest for each in arm} <= {each.digest for each in pool}
    assert correlation(arm) < correlation(pool) - 0.05


def test_arm_keeps_the_range_of_every_feature(planned, space_of_digits):
    config, arm = planned
    space = space_of_digits(config)
    sieve = Sieve(space, config.budget.limits())

    pool = feasible(config, space, 12 * 15, seed=(0, 1), sieve=sieve)

    assert (features(arm).std(axis=0) > 0.7 * features(pool).std(axis=0)).all()


def test_no_arm_is_wanted(configure, space_of_digits):
    config = configure(design={"trials": 0})

    assert unselected(config, space_of_digits(config)) == []


@pytest.mark.usefixtures("impatient")
def test_infeasible_space_is_an_error_even_where_no_arm_is_wanted(
    configure, space_of_digits
):
    config = configure(design={"trials": 0}, budget={"params": 10})

    with pytest.raises(NoCandidate, match="params must be at most 10"):
        unselected(config, space_of_digits(config))


@pytest.mark.usefixtures("impatient")
def test_space_of_few_networks_gives_a_shorter_arm(configure, space_of_digits):
    options = {"stages": [1, 1], "topologies": ["plain"], "width": [8, 8], "stem": [8]}
    config = configure(space=options, design={"trials": 9, "candidates": 2})

    arm = unselected(config, space_of_digits(config))

    assert sorted(each.params["stage1.depth"] for each in arm) == [1, 2, 3]


def test_networks_that_measure_alike_still_make_an_arm(configure, space_of_digits):
    options = {
        "stages": [1, 1],
        "depth": [2, 2],
        "topologies": ["plain"],
        "width": [8, 8],
        "stem": [8],
        "activation": ["relu", "gelu", "tanh"],
    }
    config = configure(space=options, design={"trials": 2, "candidates": 1})

    assert len(unselected(config, space_of_digits(config))) == 2


def test_undefined_feature_counts_as_a_number(planned):
    _, arm = planned

    assert np.isfinite(features(arm)).all()


@given(clouds(), st.integers(0, 15))
def test_spread_chooses_distinct_points_and_no_more_than_there_are(points, count):
    chosen = spread(points, count)

    assert len(set(chosen)) == len(chosen) == min(count, len(points))
    assert set(chosen) <= set(range(len(points)))


def test_spread_takes_corners_before_what_lies_between():
    line = np.array([[float(x)] for x in (0, 1, 2, 3, 4)])

    assert spread(line, 3) == [2, 0, 4]


@settings(max_examples=15)
@given(clouds(), st.integers(0, 15), st.integers(0, 9))
def test_exchange_keeps_the_number_and_no_point_twice(points, count, seed):
    start = spread(points, count)

    kept = exchange(points, start, np.random.default_rng(seed))

    assert len(set(kept)) == len(kept) == len(start)


def test_exchange_tells_correlated_features_apart():
    generator = np.random.default_rng(0)
    first = generator.normal(size=200)
    points = np.stack([first, first + 0.3 * generator.normal(size=200)], axis=1)
    start = list(range(12))

    kept = exchange(points, start, generator)

    before, after = (np.corrcoef(points[i].T)[0, 1] for i in (start, kept))
    assert after < 0.8 < before


# --- siblings


def test_half_of_an_arm_are_pairs_of_siblings(dropping):
    assert paired(dropping[True]) == [2] * 6
    assert paired(dropping[False]) == []


def test_arm_with_siblings_has_as_many_as_wanted_all_distinct_and_feasible(dropping):
    arm = dropping[True]

    assert len({each.digest for each in arm}) == len(arm) == 24
    assert all(each.measures["params"] <= 60_000 for each in arm)
    assert all(each.params and each.distributions for each in arm)


def test_siblings_leave_more_of_effective_depth_unexplained(dropping):
    before, after = (attainable(features(dropping[key])) for key in (False, True))

    assert before.unexplained < 0.05
    assert after.unexplained > 0.5
    assert after.inflation == pytest.approx(1 / after.unexplained)


def test_arm_with_siblings_follows_from_the_seed(configure, space_of_digits):
    def digests(seed):
        space = {"topologies": ["residual"], "dropped": True}
        config = configure(space=space, search={"seed": seed}, design={"trials": 8})
        return [each.digest for each in unselected(config, space_of_digits(config))]

    assert digests(0) == digests(0)
    assert set(digests(0)) != set(digests(1))


@pytest.mark.usefixtures("impatient")
def test_few_backbones_still_make_an_arm(configure, space_of_digits):
    few = {
        "stages": [1, 1],
        "depth": [4, 4],
        "topologies": ["residual"],
        "width": [8, 16],
        "stem": [8],
        "dropped": True,
    }
    config = configure(space=few, design={"trials": 9, "candidates": 2})

    arm = unselected(config, space_of_digits(config))

    # two widths, each with zero to three shortcuts dropped
    assert len({each.digest for each in arm}) == 8
    assert paired(arm) == [4, 4]


@settings(max_examples=15)
@given(st.integers(0, 12), st.integers(1, 9), st.integers(0, 9))
def test_exchange_of_pairs_takes_a_set_once_and_half_in_pairs(count, number, seed):
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 5, number)
    ends = np.cumsum(sizes)
    sets = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    points = generator.normal(size=(int(ends[-1]), 5))

    kept = exchange_pairs(points, sets, count, generator)

    pairs = min(count // 4, sum(size > 1 for size in sizes))
    assert len(set(kept)) == len(kept) == min(count, len(points))
    if count - pairs <= number:
        taken = sorted(len(set(own) & set(kept)) for own in sets)
        assert [size for size in taken if size] == [1] * (count - 2 * pairs) + [
            2
        ] * pairs


def test_exchange_of_pairs_separates_more_than_its_start():
    generator = np.random.default_rng(3)
    first = generator.normal(size=(200, 1))
    points = np.hstack([first, first + 0.3 * generator.normal(size=(200, 4))])
    sets = [range(i, i + 2) for i in range(0, 200, 2)]

    kept = exchange_pairs(points, sets, 24, generator)

    determinants = [
        np.linalg.slogdet(np.corrcoef(points[chosen].T))[1]
        for chosen in (range(24), kept)
    ]
    assert determinants[1] > determinants[0] + 1


# --- what is attainable


def test_attainable_is_what_least_squares_leave():
    points = np.random.default_rng(0).normal(size=(50, 5))
    points[:, 0] += points[:, 1] - points[:, 3]
    held = np.column_stack([np.ones(50), points[:, [1, 3, 4]]])

    found = attainable(points)

    left = points[:, 0] - held @ np.linalg.lstsq(held, points[:, 0], rcond=None)[0]
    correlations = np.corrcoef(points.T)[0]
    assert found.n == 50
    assert found.unexplained == pytest.approx(left.var() / points[:, 0].var())
    assert found.r_nominal == pytest.approx(correlations[1])
    assert found.r_weighted == pytest.approx(correlations[2])
    assert found.r_size == pytest.approx(correlations[3])


def test_nothing_is_attainable_where_depth_is_size_or_constant():
    line = np.linspace(1, 9, 9)
    same = np.column_stack([line, line, np.ones(9), line**2, line**3])
    constant = np.column_stack([np.ones(9), *same.T[1:]])

    assert (attainable(same).unexplained, attainable(same).inflation) == (0, None)
    assert attainable(same).r_weighted is None
    assert attainable(constant).unexplained is None
    assert attainable(constant).r_nominal is None
