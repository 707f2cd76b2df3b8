"""Facts about pools: who is in one, and that it follows from the trial's number."""

from typing import Any

import numpy as np
import pytest
from problems import layers, measures

from nasdepth.guide.draws import FunctionSpace, NoCandidate
from nasdepth.guide.encoding import Encoder
from nasdepth.guide.pool import Block, Knowledge, Pool


def pool(seed: int = 0, size: int = 50, **known: Any) -> Pool:
    knowledge = Knowledge(features=known.pop("features", measures), **known)
    return Pool(FunctionSpace(layers), knowledge, Encoder(), seed, size)


def params(block: Block) -> list[dict[str, Any]]:
    return [point.params for point in block.points]


def test_pool_follows_from_seed_and_number_alone():
    kept = pool()
    for number in (0, 1, 2, 7):
        kept.at(number)

    fresh, again = pool().at(8), kept.at(8)

    assert params(fresh) == params(again)
    assert params(pool(seed=1).at(8)) != params(fresh)


def test_a_tenth_of_the_pool_is_new_for_each_trial():
    own = pool()

    before, after = params(own.at(3)), params(own.at(4))

    assert len(before) == len(after) == 50
    assert after[:45] == before[5:]


def test_rows_of_the_matrix_are_those_of_the_points_after_columns_were_added():
    own = pool()
    own.at(0)

    block = own.at(5)

    again = own.encoder.encode(block.points)
    np.testing.assert_array_equal(own.encoder.pad(block.matrix), again)


def test_infeasible_points_are_in_no_pool_and_no_neighbourhood():
    own = pool(feasible=lambda p: p["depth"] <= 2)
    block = own.at(0)

    near = own.neighbours(block.points[:5], 20, np.random.default_rng(0))

    assert len(block) == 50
    assert len(near) > 20
    assert {each["depth"] for each in params(block) + params(near)} == {1, 2}


def test_neighbours_are_drawn_of_each_parent():
    own = pool()
    parents = own.at(0).points[:3]

    near = own.neighbours(parents, 4, np.random.default_rng(0))

    assert len(near) == 12
    for place, each in enumerate(params(near)):
        old = parents[place // 4].params
        changed = [n for n in each.keys() & old.keys() if each[n] != old[n]]
        assert len(changed) == 1


def test_no_parents_have_no_neighbours():
    assert len(pool().neighbours((), 20, np.random.default_rng(0))) == 0


def test_space_without_a_feasible_point_says_so():
    own = pool(feasible=lambda p: False)

    with pytest.raises(
        NoCandidate, match=r"must hold a feasible point, but none of 1000 draws"
    ):
        own.at(0)


def test_pool_of_a_space_with_few_feasible_points_holds_those_found():
    def space(trial: Any) -> None:
        trial.suggest_int("seed", 0, 9999)

    own = pool(features=None, feasible=lambda p: p["seed"] < 5)
    own.space = FunctionSpace(space)

    block = own.at(0)

    assert 0 < len(block) < 10  # fewer than one in each tenth
    assert all(each["seed"] < 5 for each in params(block))


def test_costs_are_those_of_the_points():
    own = pool(cost=lambda p: 100.0 + p["depth"])

    block = own.at(0)

    assert block.costs.tolist() == [100 + each["depth"] for each in params(block)]
    assert own.joined([block, block]).costs.shape == (100,)


def test_cost_is_not_found_out_where_it_is_slow():
    calls = []
    own = pool(cost=calls.append)
    own.costed = False

    assert own.at(0).costs.shape == (0,)
    assert calls == []


def test_vector_of_features_is_named_by_place():
    own = pool(features=lambda p: np.array([p["depth"], 0.5]))

    point = own.at(0).points[0]

    depth = point.params["depth"]
    assert point.features == {"feature 0": depth, "feature 1": 0.5}


def test_identity_is_the_parameters_or_what_the_user_says():
    plain, own = Knowledge(), Knowledge(identity=lambda p: p["x"] % 2)

    assert plain.identity_of({"x": 1, "y": 2}) == plain.identity_of({"y": 2, "x": 1})
    assert plain.identity_of({"x": 1}) != plain.identity_of({"x": 3})
    assert own.identity_of({"x": 1}) == own.identity_of({"x": 3})
