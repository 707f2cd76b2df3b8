"""Siblings: what they share, which there are, and studies from before them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasdepth.architecture.spec import FAMILIES, Architecture, Stage, Stem
from nasdepth.guide.draws import Draw, draw_random
from nasdepth.search.candidates import Sieve, feasible
from nasdepth.search.config import StudyConfig
from nasdepth.search.siblings import (
    Sibling,
    as_candidate,
    backbone,
    ladder,
    with_siblings,
)
from nasdepth.search.space import Space
from nasdepth.search.space_config import TOPOLOGIES, SpaceConfig
from nasdepth.search.study import open_study

RESIDUAL = {"topologies": ["residual", "bottleneck", "plain"], "dropped": True}


def stage(depth: int, dropped: int = 0, **options: object) -> Stage:
    return Stage(depth=depth, skip="add", span=2, dropped=dropped, **options)


def of(*depths: int) -> Architecture:
    """Residual stages of the depths; a plain one of two for each 0."""
    return Architecture(tuple(stage(d) if d else Stage(depth=2) for d in depths))


def sets(config: StudyConfig, space: Space, count: int = 20):
    limits = config.budget.limits()
    pool = feasible(config, space, count, seed=(0, 1), sieve=Sieve(space, limits))
    return pool, with_siblings(pool, space, limits)


# --- ladders


@given(st.lists(st.integers(0, 9), min_size=1, max_size=3))
def test_a_ladder_goes_from_all_shortcuts_to_none_that_a_space_drops(depths) -> None:
    rungs = ladder(of(*depths))

    droppable = sum(max(0, depth - 1) for depth in depths)
    dropped = [sum(s.dropped for s in rung.stages) for rung in rungs]
    assert dropped == sorted(set(dropped))
    assert (dropped[0], dropped[-1]) == (0, droppable)
    assert len(rungs) == min(droppable, 4) + 1
    assert {backbone(rung) for rung in rungs} == {of(*depths)}


@given(st.lists(st.integers(1, 9), min_size=2, max_size=3))
def test_stages_share_what_is_dropped_in_proportion(depths) -> None:
    for rung in ladder(of(*depths)):
        total = sum(s.dropped for s in rung.stages)
        wanted = [(d - 1) * total / max(1, sum(depths) - len(depths)) for d in depths]
        apart = [abs(s.dropped - w) for s, w in zip(rung.stages, wanted, strict=True)]
        assert max(apart) <= 1


def test_a_network_without_shortcuts_stands_alone() -> None:
    plain = Architecture((Stage(depth=4),))

    assert ladder(plain) == [plain]


def test_a_backbone_keeps_all_else() -> None:
    lacking = Architecture((stage(4, dropped=2, kernel=5),), Stem(8), norm="group")

    assert backbone(lacking) == replace(lacking, stages=(stage(4, kernel=5),))


# --- sets


def test_siblings_differ_in_effective_depth_at_one_cost(
    configure, space_of_digits
) -> None:
    config = configure(space=RESIDUAL)

    _, found = sets(config, space_of_digits(config))

    several = [own for own in found if len(own) > 1]
    assert len(several) > 5
    for own in several:
        for name in ("params", "macs", "nominal_depth", "weighted_layers"):
            assert len({each.measures[name] for each in own}) == 1, name
        deep = {each.measures["effective_depth"] for each in own}
        # a drawn one may drop as many as a rung, but elsewhere
        assert len(deep) >= len(own) - 1
        assert len({each.architecture for each in own}) == len(own)


def test_no_backbone_is_in_two_sets(configure, space_of_digits) -> None:
    few = {"stages": [1, 1], "width": [8, 8], "stem": [8], "depth": [3, 5], **RESIDUAL}
    config = configure(space=few)

    _, found = sets(config, space_of_digits(config), 15)

    shared = [{backbone(each.architecture) for each in own} for own in found if own]
    assert all(len(one) == 1 for one in shared)
    assert len(set.union(*shared)) == len(shared)
    assert () in found


def test_sets_of_fewer_candidates_are_the_first_of_more(
    configure, space_of_digits
) -> None:
    config = configure(space=RESIDUAL)
    space = space_of_digits(config)
    pool, found = sets(config, space)

    fewer = with_siblings(pool[:7], space, config.budget.limits())

    assert fewer == found[:7]


def test_without_dropping_every_candidate_stands_alone(
    configure, space_of_digits
) -> None:
    config = configure()

    pool, found = sets(config, space_of_digits(config))

    assert found == [(candidate,) for candidate in pool]


def test_siblings_keep_to_the_limits(configure, space_of_digits) -> None:
    config = configure(space={**RESIDUAL, "depth": [3, 3]})
    space = space_of_digits(config)
    pool, free = sets(config, space)
    memory = {each.measures["peak_memory"] for own in free for each in own}
    limits = {"peak_memory": sorted(memory)[len(memory) // 2]}

    bound = with_siblings(pool, space, limits)

    siblings = [each for own in bound for each in own if isinstance(each, Sibling)]
    assert siblings
    assert all(s.measures["peak_memory"] <= limits["peak_memory"] for s in siblings)
    assert len(siblings) < sum(isinstance(e, Sibling) for own in free for e in own)


def test_a_sibling_becomes_the_candidate_of_its_parameters(
    configure, space_of_digits
) -> None:
    config = configure(space={**RESIDUAL, "topologies": ["residual"], "depth": [3, 3]})
    space = space_of_digits(config)
    pool, found = sets(config, space)
    sibling = next(e for own in found for e in own if isinstance(e, Sibling))

    candidate = as_candidate(sibling, space)

    assert as_candidate(pool[0], space) is pool[0]
    assert candidate.architecture == sibling.architecture
    assert candidate.measures == sibling.measures
    assert space.params_of(candidate.architecture) == candidate.params
    drawn = Draw(lambda name, law: candidate.params[name])
    assert space.sample(drawn) == sibling.architecture


# --- spaces


@pytest.mark.parametrize("topology", TOPOLOGIES)
@given(seed=st.integers(0, 2**32))
def test_only_blocks_with_a_shortcut_have_the_parameter(topology, seed) -> None:
    config = SpaceConfig(topologies=(topology,), dropped=True, depth=(1, 5))
    space = Space(config, (3, 32, 32), 10)

    draw = Draw(draw_random(np.random.default_rng(seed)))
    architecture = space.sample(draw)

    names = {f"stage{i}.dropped" for i in range(1, len(architecture.stages) + 1)}
    droppable = FAMILIES[TOPOLOGIES[topology][0]].droppable
    assert names & draw.params.keys() == (names if droppable else set())
    assert space.params_of(architecture) == draw.params
    for place, own in enumerate(architecture.stages, 1):
        most = draw.distributions.get(f"stage{place}.dropped")
        assert most is None or most.high == own.depth - 1


def test_droppable_topologies_are_named() -> None:
    names = ("plain", "inverted", "residual", "parallel", "bottleneck", "dense")

    found = SpaceConfig(topologies=names).droppable

    assert found == ("inverted", "residual", "bottleneck")


# --- studies from before


def test_a_study_stored_before_dropping_is_resumed(configure, digits, url) -> None:
    config = configure(design={"trials": 0})
    study, _ = open_study(config, digits, url)
    stored = json.loads(study.user_attrs["config"])
    assert stored["space"].pop("dropped") is False
    study.set_user_attr("config", json.dumps(stored))

    again, _ = open_study(config, digits, url)

    assert again.study_name == study.study_name
    assert again.user_attrs["config_digest"] == config.digest()


def test_a_study_stored_before_dropping_refuses_it(configure, digits, url) -> None:
    study, _ = open_study(configure(design={"trials": 0}), digits, url)
    stored = json.loads(study.user_attrs["config"])
    del stored["space"]["dropped"]
    study.set_user_attr("config", json.dumps(stored))

    with pytest.raises(ValueError, match=r"space\.dropped was False, is True"):
        open_study(
            configure(design={"trials": 0}, space={"dropped": True}), digits, url
        )
