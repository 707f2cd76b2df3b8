"""Facts about draws: they keep to their distributions, a neighbour is one step off."""

import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from problems import layers

from nasdepth.guide.draws import (
    FunctionSpace,
    Space,
    at_quantile,
    draw_random,
    drawn,
    fixed,
    holds,
    perturbed,
)

QUANTILES = st.floats(0, 1, exclude_max=True)
SEEDS = st.integers(0, 2**32 - 1)
LAST = math.nextafter(1.0, 0.0)


@st.composite
def laws(draw: st.DrawFn) -> BaseDistribution:
    """Distributions of every kind."""
    kind = draw(st.sampled_from(("choices", "int", "int log", "float", "float log")))
    if kind == "choices":
        values = st.one_of(st.none(), st.booleans(), st.integers(2), st.text())
        return CategoricalDistribution(
            draw(st.lists(values, min_size=1, max_size=5, unique=True))
        )
    if kind.startswith("int"):
        log = kind.endswith("log")
        low = draw(st.integers(1 if log else -99, 99))
        step = 1 if log else draw(st.integers(1, 7))
        return IntDistribution(
            low, low + step * draw(st.integers(0, 99)), log=log, step=step
        )
    if kind.endswith("log"):
        low = draw(st.floats(1e-9, 1.0))
        return FloatDistribution(low, low * draw(st.floats(1, 1e6)), log=True)
    low, steps = draw(st.integers(-99, 99)) / 10, draw(st.integers(0, 50))
    step = draw(st.sampled_from((None, 0.1, 0.25)))
    high = round(low + steps * (step or 0.1), 6)  # an end that the steps meet
    return FloatDistribution(low, high, step=step)


def contains(law: BaseDistribution, value: Any) -> bool:
    return law._contains(law.to_internal_repr(value))


@given(laws(), QUANTILES)
def test_every_quantile_is_a_member(law, quantile):
    value = at_quantile(law, quantile)

    assert contains(law, value)
    assert holds(law, value)


@given(laws())
def test_first_and_last_quantile_are_the_ends(law):
    first, last = at_quantile(law, 0.0), at_quantile(law, LAST)

    if isinstance(law, CategoricalDistribution):
        assert (first, last) == (law.choices[0], law.choices[-1])
    else:
        assert first == pytest.approx(law.low, rel=1e-9)
        assert last == pytest.approx(law.high, rel=1e-9, abs=1e-9)


@given(laws(), QUANTILES, QUANTILES)
def test_quantiles_of_numbers_never_fall(law, one, other):
    if isinstance(law, CategoricalDistribution):
        return
    low, high = sorted((one, other))

    assert at_quantile(law, low) <= at_quantile(law, high)


def test_quantiles_of_a_logarithmic_number_are_uniform_in_the_logarithm():
    floats = FloatDistribution(1e-4, 1.0, log=True)
    ints = IntDistribution(1, 100, log=True)

    below = [at_quantile(ints, (i + 0.5) / 1000) <= 10 for i in range(1000)]

    assert at_quantile(floats, 0.25) == pytest.approx(1e-3)
    share = math.log(10.5 / 0.5) / math.log(100.5 / 0.5)
    assert np.mean(below) == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize(
    ("law", "value"),
    [
        (IntDistribution(8, 64, step=8), 12),
        (IntDistribution(8, 64, step=8), 72),
        (FloatDistribution(0.0, 1.0), -0.01),
        (FloatDistribution(0.0, 1.0, step=0.25), 0.3),
        (CategoricalDistribution(("a", "b")), "c"),
    ],
)
def test_distribution_does_not_hold_what_it_cannot_give(law, value):
    assert not holds(law, value)


@given(SEEDS, SEEDS)
def test_neighbour_differs_in_one_choice_and_its_children(seed, other):
    old = drawn(layers, draw_random(np.random.default_rng(seed))).params

    new = perturbed(layers, old, np.random.default_rng(other)).params

    changed = [name for name in new.keys() & old.keys() if new[name] != old[name]]
    assert len(changed) == 1
    assert new.keys() == old.keys() or changed == ["depth"]


def test_children_that_appear_are_drawn_anew_and_those_that_vanish_are_gone():
    old = {"depth": 2, "kind0": "conv", "width0": 8, "kind1": "skip", "width1": 64}
    near = [
        perturbed(layers, old, np.random.default_rng(seed)).params for seed in range(99)
    ]

    three = [each for each in near if each["depth"] == 3]
    one = [each for each in near if each["depth"] == 1]

    assert len({(each["kind2"], each["width2"]) for each in three}) > 3
    assert {frozenset(each) for each in one} == {
        frozenset(("depth", "kind0", "width0"))
    }


def test_child_under_another_law_is_drawn_anew_where_its_value_no_longer_fits():
    def space(trial: Any) -> None:
        wide = trial.suggest_categorical("wide", (True, False))
        trial.suggest_int("width", *((64, 128) if wide else (8, 16)))

    generator = np.random.default_rng(0)
    near = [
        perturbed(space, {"wide": True, "width": 100}, generator) for _ in range(40)
    ]

    changed = [each.params["width"] for each in near if not each.params["wide"]]
    assert changed
    assert all(8 <= width <= 16 for width in changed)


def test_space_without_an_open_choice_has_itself_as_neighbour():
    space = fixed({"one": IntDistribution(3, 3), "only": CategoricalDistribution("a")})

    near = perturbed(space, {"one": 3, "only": "a"}, np.random.default_rng(0))

    assert near.params == {"one": 3, "only": "a"}


def test_name_suggested_twice_has_one_value():
    def space(trial: Any) -> list[int]:
        return [trial.suggest_int("x", 0, 10**9) for _ in range(2)]

    draw = drawn(space, draw_random(np.random.default_rng(0)))

    assert len(set(space(draw))) == 1


def test_draw_and_optuna_trial_make_the_same_distributions():
    def space(trial: Any) -> None:
        trial.suggest_float("plain", 0, 1)
        trial.suggest_float("log", 1e-3, 1, log=True)
        trial.suggest_float("step", 0, 1, step=0.25)
        trial.suggest_int("int", 1, 9, log=True)
        trial.suggest_categorical("kind", ("a", None, True))

    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    space(trial)

    draw = drawn(space, draw_random(np.random.default_rng(0)))

    assert draw.distributions == trial.distributions


def test_function_space_is_a_space():
    assert isinstance(FunctionSpace(layers), Space)
    assert not isinstance(layers, Space)
