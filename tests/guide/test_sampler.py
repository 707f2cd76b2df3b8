"""Facts about the guided sampler: what it proposes, remembers, refuses and says."""

import logging
import math
import pickle
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import PartialFixedSampler
from optuna.trial import TrialState, create_trial
from problems import (
    SMALL,
    accuracy,
    guided,
    layers,
    measures,
    objective,
    study_of,
    told,
)

from nasdepth.guide.draws import FunctionSpace, NoCandidate
from nasdepth.guide.sampler import GuidedSampler


def values(study: optuna.Study) -> list[float]:
    return [trial.value for trial in study.trials]


def small(trial: Any) -> float:
    """Twelve points."""
    a = trial.suggest_int("a", 1, 3)
    return a + trial.suggest_categorical("b", (0.1, 0.2, 0.3, 0.4))


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def distinct(study: optuna.Study) -> int:
    return len({frozenset(each.items()) for each in params(study)})


def test_first_trials_are_spread_and_later_ones_led_by_the_model():
    study = study_of(guided(features=measures))

    study.optimize(objective, n_trials=14)

    said = told(study)
    assert [each["origin"] for each in said[:10]] == ["start"] * 10
    assert {each["origin"] for each in said[10:]} <= {"pool", "neighbour"}
    assert [each["n"] for each in said[10:]] == [10, 11, 12, 13]
    assert {each["model"] for each in said[10:]} == {"gp"}
    assert all(each["mean"] is None and each["sd"] is None for each in said[:10])


def test_start_is_farther_apart_than_random_points():
    def spread(sampler: optuna.samplers.BaseSampler) -> float:
        laws = {name: FloatDistribution(0, 1) for name in "xy"}
        study = study_of(sampler)
        for _ in range(10):
            study.tell(study.ask(laws), 0.0)
        points = np.array([[p["x"], p["y"]] for p in params(study)])
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
        return float(np.min(apart + 9 * np.eye(10)))

    def square(trial: Any) -> None:
        trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)

    ratios = [
        spread(guided(square, seed)) / spread(optuna.samplers.RandomSampler(seed))
        for seed in range(5)
    ]

    assert min(ratios) > 1.5


@pytest.mark.parametrize("sign", [1, -1])
def test_guide_tells_mean_and_deviation_in_the_unit_of_the_objective(sign):
    study = study_of(guided(features=measures), "maximize" if sign > 0 else "minimize")

    study.optimize(lambda trial: sign * (1000 + 10 * objective(trial)), n_trials=30)

    led = [trial for trial in study.trials if trial.user_attrs["guide"]["n"] >= 20]
    means = np.array([trial.user_attrs["guide"]["mean"] for trial in led])
    missed = means - [trial.value for trial in led]
    assert np.all(sign * means > 900)
    assert np.median(np.abs(missed)) < 10
    assert all(0 < trial.user_attrs["guide"]["sd"] < 20 for trial in led)


def test_minimising_is_maximising_the_negative():
    up, down = study_of(guided()), study_of(guided(), "minimize")

    up.optimize(objective, n_trials=14)
    down.optimize(lambda trial: -objective(trial), n_trials=14)

    assert params(up) == params(down)
    means = [(a["mean"], b["mean"]) for a, b in zip(told(up), told(down), strict=True)]
    assert all(a == (None if b is None else -b) for a, b in means)


def test_ask_and_tell_proposes_what_optimize_does():
    run, asked = study_of(guided()), study_of(guided())

    run.optimize(objective, n_trials=13)
    for _ in range(13):
        trial = asked.ask()
        asked.tell(trial, objective(trial))

    assert params(run) == params(asked)


def test_fresh_sampler_goes_on_with_a_study_as_the_old_one_would():
    # hyperparameters are fitted at 10 and 15 results: there both fit them
    whole, resumed = study_of(guided(features=measures)), study_of(guided())
    whole.optimize(objective, n_trials=18)

    resumed.add_trials(whole.trials[:15])
    resumed.sampler = guided(features=measures)
    resumed.optimize(objective, n_trials=3)

    assert params(resumed)[15:] == params(whole)[15:]


def test_start_is_the_same_wherever_it_is_resumed():
    whole, resumed = study_of(guided()), study_of(guided())
    whole.optimize(objective, n_trials=9)

    resumed.add_trials(whole.trials[:4])
    resumed.optimize(objective, n_trials=5)

    assert params(resumed) == params(whole)


def test_pickled_sampler_proposes_the_same():
    study = study_of(guided())
    study.optimize(objective, n_trials=12)
    sampler = pickle.loads(pickle.dumps(study.sampler))
    again = optuna.create_study(
        study_name=study.study_name, direction="maximize", sampler=sampler
    )
    again.add_trials(study.trials)

    again.optimize(objective, n_trials=2)
    study.optimize(objective, n_trials=2)

    assert params(again)[12:] == params(study)[12:]


@pytest.mark.parametrize("names", [("one", "two"), ("same", "same")])
def test_sampler_used_on_two_studies_mixes_nothing(names):
    sampler = guided(features=measures)
    studies = [
        optuna.create_study(study_name=name, direction=direction, sampler=sampler)
        for name, direction in zip(names, ("maximize", "minimize"), strict=True)
    ]
    fresh = study_of(guided(features=measures), "minimize")

    for study in (*studies, fresh):
        study.optimize(objective, n_trials=13)

    assert params(studies[1]) == params(fresh)


def test_no_architecture_is_tried_twice():
    def identity(point: dict[str, Any]) -> Any:
        return point["depth"], point["width0"]  # 32 of them

    study = study_of(guided(identity=identity))

    study.optimize(objective, n_trials=30)

    assert len({identity(each) for each in params(study)}) == 30


def test_infeasible_point_never_becomes_a_trial():
    study = study_of(guided(feasible=lambda p: p["width0"] <= 24))

    study.optimize(objective, n_trials=16)

    assert max(each["width0"] for each in params(study)) <= 24


def test_space_may_be_distributions_by_name():
    laws = {"x": FloatDistribution(-1, 1), "n": IntDistribution(1, 9)}
    study = study_of(guided(laws))

    for _ in range(12):
        study.tell(study.ask(laws), 0.0)

    assert {frozenset(each) for each in params(study)} == {frozenset(laws)}
    assert told(study)[11]["n"] == 11


def test_space_may_be_an_object_that_samples_and_perturbs():
    class Own:
        def sample(self, generator: np.random.Generator) -> Any:
            return FunctionSpace(layers).sample(generator)

        def perturb(self, point: Any, generator: np.random.Generator) -> Any:
            return FunctionSpace(layers).perturb(point, generator)

    own, plain = study_of(guided(Own())), study_of(guided())

    own.optimize(objective, n_trials=13)
    plain.optimize(objective, n_trials=13)

    assert params(own) == params(plain)


def test_what_is_no_space_is_refused():
    with pytest.raises(ValueError, match=r"space must be a function .* but got 3"):
        GuidedSampler(3)


def test_parameter_unknown_to_the_space_is_drawn_apart_and_the_rest_is_learnt():
    study = study_of(guided())

    study.optimize(lambda t: objective(t) + t.suggest_float("extra", 0, 1), n_trials=14)

    assert told(study)[13]["n"] == 13
    assert len({each["extra"] for each in params(study)}) == 14


def test_enqueued_trials_are_left_alone_and_learnt_from():
    study = study_of(guided())
    given = {"depth": 1, "kind0": "conv", "width0": 24}
    study.optimize(objective, n_trials=11)
    study.enqueue_trial(given)

    study.optimize(objective, n_trials=2)

    assert params(study)[11] == given
    assert "guide" not in study.trials[11].user_attrs
    assert study.trials[12].user_attrs["guide"]["n"] == 12


def test_partly_enqueued_trial_keeps_what_was_given():
    study = study_of(guided())
    study.optimize(objective, n_trials=11)
    study.enqueue_trial({"depth": 3})

    study.optimize(objective, n_trials=2)

    assert params(study)[11]["depth"] == 3
    assert study.trials[12].user_attrs["guide"]["n"] == 12


def test_enqueued_value_that_equals_a_choice_is_read_as_it():
    def space(trial: Any) -> float:
        return trial.suggest_categorical("x", (1, 2, 3)) * trial.suggest_float(
            "y", 0, 1
        )

    study = study_of(guided(space))
    study.optimize(space, n_trials=11)
    study.enqueue_trial({"x": 1.0, "y": 0.5})
    study.enqueue_trial({"x": True, "y": 0.25})

    study.optimize(space, n_trials=3)

    assert study.trials[13].user_attrs["guide"]["n"] == 13


def test_waiting_trial_that_cannot_be_measured_stops_nobody():
    def known(point: dict[str, Any]) -> dict[str, float]:
        if point["a"] == 3:
            raise ZeroDivisionError
        return {"a": point["a"]}

    study = study_of(guided(small, features=known, feasible=lambda p: p["a"] < 3))
    study.enqueue_trial({"a": 1, "b": 0.1})
    study.enqueue_trial({"a": 3, "b": 0.1})

    study.optimize(small, n_trials=1)

    assert params(study)[0]["a"] == 1


def test_retried_trial_keeps_its_parameters():
    study = study_of(guided())
    study.optimize(objective, n_trials=11)
    lost = study.trials[5]
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=lost.params,
            distributions=lost.distributions,
            system_attrs={"failed_trial": 5, **lost.system_attrs},
        )
    )

    study.optimize(objective, n_trials=2)

    assert params(study)[11] == lost.params
    assert study.trials[12].user_attrs["guide"]["n"] == 11  # one architecture, once


def test_partial_fixed_sampler_keeps_its_value_and_the_rest_goes_on():
    def space(trial: Any) -> float:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return -((x - 0.5) ** 2) - (y - 0.5) ** 2

    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        sampler = PartialFixedSampler({"x": 0.25}, guided(space))
    study = study_of(sampler)

    study.optimize(space, n_trials=14)

    assert {each["x"] for each in params(study)} == {0.25}
    assert len({each["y"] for each in params(study)}) > 10
    fixed = sampler._base_sampler._known.values()
    assert {point.params["x"] for point, _ in fixed} == {0.25}


def test_point_that_fails_is_tried_once_more_and_no_oftener():
    failed = []

    def breaks(trial: Any) -> float:
        result = objective(trial)
        if trial.params["depth"] == 4:
            failed.append(frozenset(trial.params.items()))
            raise RuntimeError
        return result

    study = study_of(guided())

    study.optimize(breaks, n_trials=25, catch=(RuntimeError,))

    assert max(failed.count(each) for each in failed) <= 2
    assert sum(each == TrialState.COMPLETE for each in (t.state for t in study.trials))


def test_broken_and_constant_features_are_named_once_and_left_out(caplog):
    def known(point: dict[str, Any]) -> dict[str, float | None]:
        return {
            **measures(point),
            "same": 0.1,
            "nan": math.nan if point["depth"] == 1 else 1.0 * point["depth"],
            "inf": -math.inf if point["depth"] == 2 else 1.0 * point["depth"],
            "none": None if point["depth"] == 3 else 1.0 * point["depth"],
        }

    study = study_of(guided(features=known))

    with caplog.at_level(logging.WARNING):
        study.optimize(objective, n_trials=16)

    assert sorted(record.getMessage() for record in caplog.records) == [
        "Feature 'inf' is NaN or infinite somewhere: it is left out.",
        "Feature 'nan' is NaN or infinite somewhere: it is left out.",
        "Feature 'same' is constant: it is left out.",
    ]
    assert told(study)[15]["model"] == "gp"


def test_broken_features_of_an_inferred_space_are_named_once(caplog):
    def conditional(trial: Any) -> float:
        if trial.suggest_categorical("x", (True, False)):
            return trial.suggest_float("y", 0, 1)
        return trial.suggest_int("z", 1, 9 + trial.number)

    study = study_of(guided(None, features=lambda p: {"one": 1.0, "x": p["x"]}))

    with caplog.at_level(logging.WARNING):
        study.optimize(conditional, n_trials=25)

    assert [record.getMessage() for record in caplog.records] == [
        "Feature 'one' is constant: it is left out."
    ]


def test_features_are_asked_of_no_half_suggested_point():
    def known(point: dict[str, Any]) -> dict[str, float]:
        return {"sum": point["x"] + point["y"]}

    def space(trial: Any) -> float:
        return trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)

    study = study_of(guided(None, features=known))
    study.optimize(space, n_trials=12)
    half = study.ask()
    half.suggest_float("x", 0, 1)
    # another process knows only what is stored
    study.sampler = guided(None, features=known)

    study.optimize(space, n_trials=2)

    assert study.trials[14].user_attrs["guide"]["n"] == 13
    half.suggest_float("y", 0, 1)
    study.tell(half, 0.0)
    study.optimize(space, n_trials=1)
    assert study.trials[15].user_attrs["guide"]["n"] == 15


def test_space_without_a_feasible_point_is_an_error_that_says_so():
    study = study_of(guided(feasible=lambda p: False))

    with pytest.raises(NoCandidate, match="must hold a feasible point"):
        study.optimize(objective, n_trials=1)


def test_used_up_space_ends_the_study_with_a_warning(caplog):
    study = study_of(guided(small))

    with caplog.at_level(logging.WARNING):
        study.optimize(small, n_trials=50)

    assert len(study.trials) == distinct(study) == 12
    assert [each for each in caplog.messages if "ends" in each] == [
        f"Study {study.study_name!r} ends: no unseen feasible point is left, 12"
        " distinct ones were tried."
    ]


def test_used_up_space_is_an_error_to_whoever_asks_on():
    study = study_of(guided(small))
    for _ in range(12):
        trial = study.ask()
        study.tell(trial, small(trial))

    with pytest.raises(NoCandidate, match="is left: 12 distinct ones were tried"):
        small(study.ask())


def test_several_objectives_are_refused_and_the_option_is_named():
    study = optuna.create_study(directions=["maximize"] * 2, sampler=guided())

    with pytest.raises(ValueError, match=r"--objectives accuracy,macs"):
        study.optimize(lambda trial: (objective(trial), 1.0), n_trials=1)


def test_infinite_results_stop_nothing():
    def endless(trial: Any) -> float:
        result = objective(trial)
        return -math.inf if trial.params["depth"] == 4 else result

    study = study_of(guided())

    study.optimize(endless, n_trials=15)

    assert told(study)[14]["model"] == "gp"


def test_equal_results_stop_nothing():
    study = study_of(guided())

    study.optimize(lambda trial: 0.0 * objective(trial) + 0.7, n_trials=14)

    assert distinct(study) == 14
    assert told(study)[13]["mean"] == pytest.approx(0.7)


def test_without_an_open_choice_there_is_one_trial():
    study = study_of(guided({"x": IntDistribution(3, 3)}))

    study.optimize(lambda trial: trial.suggest_int("x", 3, 3), n_trials=2)

    assert params(study) == [{"x": 3}]


def test_other_seeds_start_elsewhere():
    studies = [study_of(guided(seed=seed)) for seed in (0, 1)]
    drawn = study_of(GuidedSampler(layers, settings=SMALL))

    for study in (*studies, drawn):
        study.optimize(objective, n_trials=1)

    assert params(studies[0]) != params(studies[1])
    assert accuracy(params(drawn)[0]) <= 0
