"""Facts about inferred spaces: conditions and ranges are learnt from trials."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from nasdepth.guide.inferred import InferredSpace, inferred

SEEDS = range(60)


def conditional(trial: Any) -> float:
    """y where x holds, z where it does not."""
    if trial.suggest_categorical("x", (True, False)):
        return trial.suggest_float("y", 0, 1)
    return trial.suggest_int("z", 1, 9)


def trials_of(objective: Callable[[Any], float], count: int = 20) -> list[FrozenTrial]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=count, catch=(ValueError,))
    return study.trials


def space_of(objective: Callable[[Any], float]) -> InferredSpace:
    space = inferred(trials_of(objective))
    assert space is not None
    return space


def sampled(space: InferredSpace) -> list[dict[str, Any]]:
    return [space.sample(np.random.default_rng(seed)).params for seed in SEEDS]


def test_no_trial_has_no_space():
    assert inferred([]) is None


def test_trials_without_an_open_choice_have_no_space():
    assert inferred(trials_of(lambda trial: trial.suggest_int("x", 3, 3))) is None


def test_running_trial_that_has_not_suggested_all_makes_no_space():
    study = optuna.create_study()
    study.ask().suggest_float("x", 0, 1)

    assert inferred(study.trials) is None


def test_trial_that_failed_halfway_makes_no_shape():
    def objective(trial: Any) -> float:
        if trial.suggest_float("x", 0, 1) < 0.3:
            raise ValueError
        return trial.suggest_float("y", 0, 1)

    trials = trials_of(objective)

    assert TrialState.FAIL in {trial.state for trial in trials}
    assert {frozenset(p) for p in sampled(inferred(trials))} == {frozenset("xy")}


def test_draws_keep_to_the_conditions_seen():
    space = space_of(conditional)

    params = sampled(space)

    shapes = {frozenset(each) for each in params}
    assert shapes == {frozenset("xy"), frozenset("xz")}
    assert all(("y" in each) == each["x"] for each in params)


def test_neighbours_keep_to_the_conditions_seen():
    space = space_of(conditional)

    near = [
        space.perturb(params, np.random.default_rng(seed)).params
        for seed, params in enumerate(sampled(space))
    ]

    assert all(("y" in each) == each["x"] for each in near)
    assert {each["x"] for each in near} == {True, False}


def test_neighbour_within_a_shape_differs_in_one_choice():
    space = space_of(lambda t: t.suggest_int("a", 0, 9) + t.suggest_int("b", 0, 9))

    for seed, old in enumerate(sampled(space)):
        new = space.perturb(old, np.random.default_rng(seed)).params
        assert sum(new[name] != old[name] for name in old) == 1


def test_point_of_no_known_shape_has_a_random_neighbour():
    space = space_of(conditional)

    near = space.perturb({"other": 1}, np.random.default_rng(0)).params

    assert "x" in near


def test_choice_that_no_trial_took_may_lead_anywhere():
    def objective(trial: Any) -> float:
        kind = trial.suggest_categorical("kind", ("a", "b", "never"))
        return trial.suggest_float(f"of {kind}", 0, 1)

    trials = trials_of(objective, 40)
    known = [each for each in trials if each.params["kind"] != "never"]

    space = inferred(known)

    allowed = [shape.allowed["kind"] for shape in space.shapes]
    assert all("never" in choices for choices in allowed)


def test_all_choices_are_open_where_all_trials_have_one_shape():
    def objective(trial: Any) -> float:
        trial.suggest_categorical("kind", ("a", "b", "c"))
        return trial.suggest_float("x", 0, 1)

    trials = [each for each in trials_of(objective) if each.params["kind"] == "a"]

    assert {each["kind"] for each in sampled(inferred(trials))} == {"a", "b", "c"}


def test_range_of_the_latest_trial_counts():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for high in (9, 99):
        trial = study.ask()
        study.tell(trial, trial.suggest_int("x", 0, high))

    space = inferred(study.trials)

    (shape,) = space.shapes
    assert shape.distributions == {"x": IntDistribution(0, 99)}
    assert max(each["x"] for each in sampled(space)) > 50


def test_parameter_with_one_value_is_left_to_optuna():
    def objective(trial: Any) -> float:
        trial.suggest_categorical("only", ("a",))
        return trial.suggest_categorical("x", (1, 2))

    (shape,) = space_of(objective).shapes

    assert shape.distributions == {"x": CategoricalDistribution((1, 2))}
