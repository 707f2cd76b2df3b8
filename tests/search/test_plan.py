"""Plans: the arm that a search trains, how it separates, and its simulated power."""

import numpy as np
import pytest

from nasdepth.search.design import attainable, features, unselected
from nasdepth.search.plan import LEAST_UNEXPLAINED, design_matrix, kinds, plan
from nasdepth.search.siblings import backbone
from nasdepth.statistics.power import simulated_power
from nasdepth.statistics.regression import required_n

SPACE = {
    "depth": [2, 5],
    "width": [8, 32],
    "topologies": ["residual", "plain"],
    "dropped": True,
}
BUDGET = {"params": 60_000}


@pytest.fixture(scope="module")
def config(configure):
    return configure(space=SPACE, budget=BUDGET, design={"candidates": 4})


@pytest.fixture(scope="module")
def planned(config, space_of_digits):
    """A plan for a large effect, which few architectures detect."""
    return plan(config, space_of_digits(config), effect=0.5)


def test_arm_is_the_one_that_a_study_of_so_many_trials_draws(
    planned, configure, space_of_digits
):
    design = {"candidates": 4, "trials": len(planned.arm)}
    config = configure(space=SPACE, budget=BUDGET, design=design)

    drawn = unselected(config, space_of_digits(config))

    assert [each.digest for each in planned.arm] == [each.digest for each in drawn]


def test_arm_has_as_many_as_are_needed_by_simulation(planned):
    assert planned.needed.formula == required_n(0.5, 3)
    assert planned.needed.n == len(planned.arm)
    assert abs(planned.needed.formula - planned.needed.n) < 6


def test_power_of_the_arm_is_the_one_wanted(planned, config):
    matrix = design_matrix(planned.arm, config.preregistration)

    assert planned.at_arm == simulated_power(matrix, 0.5)
    assert planned.at_arm.value == pytest.approx(0.8, abs=0.06)


def test_matrix_holds_what_the_test_takes(planned, configure):
    registered = configure(
        preregistration={
            "nominal": "weighted_layers",
            "baselines": ["macs"],
            "covariates": ["receptive_field"],
        }
    ).preregistration

    matrix = design_matrix(planned.arm, registered)

    first = planned.arm[0].measures
    names = ("effective_depth", "weighted_layers", "receptive_field")
    expected = [*(first[name] for name in names), np.log(first["macs"])]
    assert matrix[0].tolist() == expected


def test_design_separates_more_than_a_random_sample(planned):
    assert planned.attained == attainable(features(planned.arm))
    assert planned.attained.unexplained > planned.sampled.unexplained + 0.1
    assert planned.sampled.n >= 4 * len(planned.arm)
    assert planned.drawn >= planned.sampled.n
    assert planned.looked_at > planned.sampled.n


def test_half_of_the_arm_is_paired(planned):
    assert planned.paired == 2 * (len(planned.arm) // 4)
    assert (planned.problem, planned.shortage) == ("", "")


def test_kinds_count_networks_with_a_stage_of_each(planned):
    found = {kind.topology: kind for kind in kinds(planned.arm)}

    blocks = [{s.family for s in each.architecture.stages} for each in planned.arm]
    shared = [backbone(each.architecture) for each in planned.arm]
    for name in ("plain", "residual"):
        own = [name in each for each in blocks]
        twins = [b for b, has in zip(shared, own, strict=True) if has]
        assert found[name].architectures == sum(own)
        assert found[name].paired == sum(shared.count(b) > 1 for b in twins)


def test_effect_is_the_preregistered_one_unless_told(configure, space_of_digits):
    config = configure(
        space=SPACE, budget=BUDGET, preregistration={"smallest_effect": 0.6}
    )

    found = plan(config, space_of_digits(config), trials=12)

    assert (found.effect, len(found.arm)) == (0.6, 12)
    assert found.at_arm.n == 12
    assert found.needed.formula == required_n(0.6, 3)


@pytest.mark.parametrize(
    ("space", "cure"),
    [
        (
            {"topologies": ["plain"]},
            'add "residual" to the topologies of [space] and set dropped = true',
        ),
        (
            {"topologies": ["residual"]},
            "unexplained; set dropped = true in [space]",
        ),
        (
            {"topologies": ["residual"], "depth": [1, 1], "dropped": True},
            "let more stages have a depth above 1",
        ),
    ],
)
def test_space_that_cannot_tell_depths_apart_says_what_would(
    space, cure, configure, space_of_digits
):
    config = configure(space={**SPACE, "dropped": False, **space}, budget=BUDGET)

    found = plan(config, space_of_digits(config))

    assert (found.attained.unexplained or 0) < LEAST_UNEXPLAINED
    assert found.needed.n is None
    assert found.problem.startswith("This space cannot tell effective depth")
    assert cure in found.problem


@pytest.mark.usefixtures("impatient")
def test_space_of_few_networks_says_how_many_it_has(configure, space_of_digits):
    few = {"stages": [1, 1], "width": [8, 16], "stem": [8]}
    config = configure(space={**SPACE, **few}, budget=BUDGET)

    found = plan(config, space_of_digits(config))

    assert found.problem == ""
    assert f"{len(found.arm)} were found" in found.shortage
    assert 10 < len(found.arm) < 40


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"effect": 1.5}, r"effect must lie in \(0, 1\), but got 1.5"),
        ({"effect": 0.0}, r"effect must lie in \(0, 1\), but got 0.0"),
        ({"power": 1.0}, r"power must lie in \(0.05, 1\), but got 1.0"),
    ],
)
def test_bad_value_is_refused(options, told, config, space_of_digits):
    with pytest.raises(ValueError, match=told):
        plan(config, space_of_digits(config), **options)
