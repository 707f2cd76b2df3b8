"""Facts about candidates: what the sieve drops and why, and how a pool is scored."""

import json
from dataclasses import replace
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture
from nasdepth.guide.draws import Draw, draw_random
from nasdepth.measures.catalogue import CATALOGUE, measure
from nasdepth.search.candidates import (
    Candidate,
    NoCandidate,
    Sieve,
    feasible,
    score,
    z_scores,
)


@pytest.fixture(scope="module")
def space(configure, space_of_digits):
    return space_of_digits(configure())


@pytest.fixture(scope="module")
def widest(configure, space_of_digits):
    """Everything that a space may leave open, in three stages."""
    options = {
        "stages": [3, 3],
        "kernel": [1, 3],
        "stem_stride": [1, 2],
        "activation": ["relu", "gelu"],
        "norm": ["batch", "none"],
        "width": [16, 24],
    }
    config = configure(space=options, budget={"params": None})
    return config, space_of_digits(config)


def draws(seed, count):
    generator = np.random.default_rng(seed)
    return [Draw(draw_random(generator)) for _ in range(count)]


def fixed(**params):
    """A draw of given parameters, the least value elsewhere."""
    return Draw(
        lambda name, d: params.get(name, getattr(d, "low", None) or d.choices[0])
    )


def candidate(**measures):
    architecture = Architecture.from_json('{"format":1,"stages":[{}]}')
    return Candidate("random", {}, {}, architecture, "", measures)


def sifted(space, limits, seed=0, count=60):
    sieve = Sieve(space, limits)
    found = [sieve.admit("random", draw) for draw in draws(seed, count)]
    return sieve, [each for each in found if each is not None]


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(2_000, 30_000))
def test_sieve_admits_no_repeated_digest_and_nothing_over_budget(space, seed, most):
    sieve, found = sifted(space, {"params": most}, seed, 12)

    assert all(each.measures["params"] <= most for each in found)
    assert len({each.digest for each in found}) == len(found)
    assert sieve.drawn == len(found) + sieve.dropped.total() == 12


def test_every_limit_of_a_budget_holds(space):
    limits = {"params": 20_000, "macs": 300_000, "peak_memory": 10_000}

    sieve, found = sifted(space, limits)

    assert found
    assert {f"over {name}" for name in limits} <= set(sieve.dropped)
    for each in found:
        assert all(each.measures[name] <= limits[name] for name in limits)


def test_candidate_carries_all_that_is_known_of_its_network(space):
    _, found = sifted(space, {})

    for each in found[:5]:
        graph = lower(each.architecture)
        assert each.digest == digest(graph)
        assert dict(each.measures) == pytest.approx(measure(graph), rel=1e-12)
        assert space.params_of(each.architecture) == each.params
        assert each.distributions.keys() == each.params.keys()


def test_attributes_of_a_candidate_are_json(space):
    _, (first, *_) = sifted(space, {})

    kept = json.loads(json.dumps(first.attributes()))

    assert Architecture.from_json(kept["architecture"]) == first.architecture
    assert kept["digest"] == first.digest
    assert kept["measures"].keys() == set(CATALOGUE)


def test_network_on_the_limit_is_admitted_and_one_above_is_not(space):
    _, (first, *_) = sifted(space, {})
    exact = int(first.measures["params"])
    again = Draw(lambda name, distribution: first.params[name])

    at = Sieve(space, {"params": exact}).admit("random", again)
    over = Sieve(space, {"params": exact - 1}).admit("random", again)

    assert at is not None
    assert at.digest == first.digest
    assert over is None


def test_known_network_is_dropped_as_repeated(space):
    draw, twin = draws(0, 1) + draws(0, 1)
    sieve = Sieve(space, {})

    first, second = sieve.admit("random", draw), sieve.admit("random", twin)

    assert first is not None
    assert second is None
    assert sieve.dropped == {"repeated": 1}
    assert Sieve(space, {}, seen=[first.digest]).admit("random", draw) is None


def test_other_parameters_of_the_same_network_are_a_repetition(space):
    # one layer has no earlier ones to draw links from
    cell = {"stages": 1, "stage1.topology": "cell", "stage1.depth": 1}
    sieve = Sieve(space, {})

    first = sieve.admit("random", fixed(**cell, **{"stage1.links": 1}))
    second = sieve.admit("random", fixed(**cell, **{"stage1.links": 9}))

    assert first is not None
    assert second is None
    assert sieve.dropped == {"repeated": 1}


def test_combination_that_is_no_network_is_dropped_as_invalid(space):
    narrow = {"stage1.topology": "inception", "stage1.width": 8, "stage1.branches": 4}
    sieve = Sieve(space, {})

    assert sieve.admit("random", fixed(stages=1, **narrow)) is None
    assert sieve.dropped == {"invalid": 1}


def test_error_names_each_limit_and_the_smallest_value_found(space):
    limits = {"params": 10, "macs": 20}
    sieve, found = sifted(space, limits)
    _, whole = sifted(space, {})
    least = {name: min(each.measures[name] for each in whole) for name in limits}

    told = str(sieve.nothing())

    assert not found
    assert "\n" not in told
    for name, most in limits.items():
        rule = f"{name} must be at most {most}, but the smallest value found is"
        assert f"{rule} {least[name]:.0f}" in told


def test_limit_that_dropped_nothing_is_not_blamed(space):
    sieve, _ = sifted(space, {"params": 10, "macs": 10**9})

    assert "macs" not in str(sieve.nothing())


def test_used_up_space_is_said_to_hold_nothing_unseen(space):
    _, (first, *_) = sifted(space, {})
    sieve = Sieve(space, {}, seen=[first.digest])
    sieve.admit("random", Draw(lambda name, distribution: first.params[name]))

    told = str(sieve.nothing())

    assert told == "No unseen architecture is left in 1 draws (1 repeated)."


def test_feasible_candidates_are_as_many_as_wanted_and_distinct(configure, space):
    limits = configure().budget.limits()

    found = feasible(configure(), space, 30, seed=[0], sieve=Sieve(space, limits))

    assert len({each.digest for each in found}) == len(found) == 30
    assert all(each.measures["params"] <= limits["params"] for each in found)
    assert {each.origin for each in found} == {"design"}


def test_feasible_candidates_follow_from_the_seed(configure, space):
    def digests(*seed):
        found = feasible(configure(), space, 10, seed=seed, sieve=Sieve(space, {}))
        return [each.digest for each in found]

    assert digests(0, 1) == digests(0, 1)
    assert digests(0, 1) != digests(0, 2)


def test_feasible_candidates_cover_every_topology_evenly(configure, space):
    found = feasible(configure(), space, 110, seed=[0], sieve=Sieve(space, {}))

    counts = np.bincount(
        [space.config.topologies.index(c.params["stage1.topology"]) for c in found],
        minlength=11,
    )
    assert counts.min() >= 4


def test_widest_space_can_be_drawn_from(widest):
    config, space = widest

    found = feasible(config, space, 60, seed=[0], sieve=Sieve(space, {}))

    assert len(found) == 60


@pytest.mark.usefixtures("impatient")
def test_space_of_few_networks_gives_those_it_has(configure, space_of_digits):
    options = {"stages": [1, 1], "topologies": ["plain"], "depth": [1, 2]}
    config = configure(space={**options, "width": [8, 8], "stem": [8]})
    space = space_of_digits(config)

    found = feasible(config, space, 10, seed=[0], sieve=Sieve(space, {}))

    assert sorted(each.params["stage1.depth"] for each in found) == [1, 2]


@pytest.mark.usefixtures("impatient")
def test_space_without_a_feasible_network_is_an_error(configure, space):
    sieve = Sieve(space, {"params": 10})

    with pytest.raises(NoCandidate, match="params must be at most 10, but the small"):
        feasible(configure(), space, 3, seed=[0], sieve=sieve)


VALUES = st.lists(
    st.one_of(st.none(), st.integers(-(10**6), 10**6).map(float)), min_size=1
)


@given(VALUES)
def test_z_scores_are_those_of_the_defined_values_and_0_elsewhere(values):
    pool = [candidate(macs=value) for value in values]
    defined = np.array([nan if value is None else value for value in values])
    spread = np.nanstd(defined) if any(v is not None for v in values) else 0.0

    scores = z_scores(pool, "macs")

    for value, own in zip(values, scores, strict=True):
        if value is None or spread == 0:
            assert own == 0
        else:
            assert own == pytest.approx((value - np.nanmean(defined)) / spread)


def test_z_scores_by_hand():
    pool = [candidate(macs=value) for value in (1.0, None, 3.0)]

    assert z_scores(pool, "macs").tolist() == [-1, 0, 1]


def test_constant_measure_scores_0():
    pool = [candidate(macs=0.1 + 0.2), candidate(macs=0.1 + 0.2), candidate(macs=0.3)]

    assert np.abs(z_scores(pool[:2], "macs")).tolist() == [0, 0]


def test_positive_weight_prefers_more_and_negative_less():
    pool = [candidate(macs=value) for value in (2.0, 5.0, 3.0)]

    assert np.argmax(score(pool, {"macs": 1.0})) == 1
    assert np.argmax(score(pool, {"macs": -1.0})) == 0


def test_score_is_the_weighted_sum_of_z_scores():
    pool = [
        candidate(macs=m, params=p) for m, p in ((1.0, 4.0), (2.0, None), (6.0, 3.0))
    ]

    total = score(pool, {"macs": 0.5, "params": -2.0})

    expected = 0.5 * z_scores(pool, "macs") - 2 * z_scores(pool, "params")
    assert total.tolist() == expected.tolist()


def test_no_weights_score_all_alike():
    pool = [candidate(macs=1.0), candidate(macs=2.0)]

    assert score(pool, {}).tolist() == [0, 0]


def test_score_does_not_depend_on_the_unit():
    pool = [candidate(macs=value) for value in (1.0, 2.0, 6.0)]
    larger = [replace(c, measures={"macs": 1000 * c.measures["macs"]}) for c in pool]

    assert z_scores(larger, "macs") == pytest.approx(z_scores(pool, "macs"))
