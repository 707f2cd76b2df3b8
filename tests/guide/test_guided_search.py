"""Facts about guided searches as wholes: what they reach, over paired seeds."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState
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

from nasdepth.guide.pareto import hypervolume
from nasdepth.guide.pruner import ShortRuns
from nasdepth.guide.sampler import Cost, GuidedSampler, Settings

MANY = 25


OPERATIONS = ("none", "skip", "pool", "conv1", "conv3")
#: what each operation is worth on each of eight edges, and beside its neighbour
_generator = np.random.default_rng(0)
WORTH, BESIDE = _generator.normal(size=(8, 5)), _generator.normal(size=(5, 5))


def cell(trial: Any) -> float:
    """Accuracy of a cell of eight edges: 390,625 of them."""
    edges = [trial.suggest_categorical(f"edge{i}", OPERATIONS) for i in range(8)]
    codes = [OPERATIONS.index(edge) for edge in edges]
    alone = sum(WORTH[place, code] for place, code in enumerate(codes))
    return alone + sum(BESIDE[pair] for pair in pairwise(codes)) / 2


def counts(point: dict[str, Any]) -> dict[str, int]:
    return {name: list(point.values()).count(name) for name in OPERATIONS}


def best(sampler: BaseSampler) -> float:
    study = study_of(sampler)
    study.optimize(cell, n_trials=MANY)
    return study.best_value


@pytest.mark.slow
def test_guided_beats_random_and_tpe_on_paired_seeds():
    def led(seed: int) -> float:
        settings = Settings(start=5, pool=200, design=100)
        return best(GuidedSampler(cell, features=counts, seed=seed, settings=settings))

    seeds = range(10)

    own = np.array([led(seed) for seed in seeds])

    for other in (RandomSampler, TPESampler):
        theirs = np.array([best(other(seed=seed)) for seed in seeds])
        assert np.sum(own > theirs) >= 8
        assert np.median(own - theirs) > 1


def violations(sampler: BaseSampler) -> int:
    """Trials from the 16th of 32 on that run out of memory, as half the space does."""

    def limited(trial: optuna.Trial) -> float:
        result = objective(trial)
        over = trial.params["width0"] - 32
        if over > 0:
            trial.set_constraint("memory", over)
            raise optuna.TrialPruned
        return result

    study = study_of(sampler)
    study.optimize(limited, n_trials=32)
    return sum(trial.params["width0"] > 32 for trial in study.trials[15:])


@pytest.mark.slow
def test_unknown_constraint_is_learnt():
    led = [violations(guided(seed=seed)) for seed in range(3)]
    random = [violations(RandomSampler(seed)) for seed in range(3)]

    assert sum(led) < 0.5 * sum(random)


def test_infinite_violation_is_learnt_from_too():
    def limited(trial: optuna.Trial) -> float:
        result = objective(trial)
        if trial.params["depth"] == 1:
            trial.set_constraint("memory", math.inf if trial.number % 2 else 2.0)
            raise optuna.TrialPruned
        return result

    study = study_of(guided())

    study.optimize(limited, n_trials=16)

    assert study.trials[0].params != study.trials[15].params
    assert told(study)[15]["model"] == "gp"


def train(trial: optuna.Trial) -> float:
    """Three epochs, each of which says more."""
    final = objective(trial)
    for epoch in (1, 2, 3):
        trial.report(final - (3 - epoch) / 2, epoch)
        if epoch < 3 and trial.should_prune():
            raise optuna.TrialPruned
    return final


def short_study(confirm: int = 5, **options: Any) -> optuna.Study:
    settings = Settings(start=6, pool=100, design=50, short=1, confirm=confirm)
    sampler = GuidedSampler(layers, seed=0, settings=settings)
    return optuna.create_study(
        direction="maximize", sampler=sampler, pruner=ShortRuns(1), **options
    )


def test_every_so_many_trials_the_best_short_run_is_finished():
    study = short_study()

    study.optimize(train, n_trials=30)

    finished = [t for t in study.trials if t.state == TrialState.COMPLETE]
    assert [trial.number for trial in finished] == [9, 14, 19, 24, 29]
    assert {t.user_attrs["guide"]["origin"] for t in finished} == {"confirm"}
    for trial in finished:
        earlier = study.trials[: trial.number]
        assert trial.params in [each.params for each in earlier]
    assert all(
        max(trial.intermediate_values) == 1
        for trial in study.trials
        if trial.state == TrialState.PRUNED
    )


def test_the_best_short_runs_are_finished_when_all_are_there():
    settings = Settings(start=6, pool=100, design=50, short=1, confirm_from=25)
    sampler = GuidedSampler(layers, seed=0, settings=settings)
    study = optuna.create_study(
        direction="maximize", sampler=sampler, pruner=ShortRuns(1)
    )

    study.optimize(train, n_trials=30)

    finished = [t.number for t in study.trials if t.state == TrialState.COMPLETE]
    assert finished == [25, 26, 27, 28, 29]
    ranked = sorted((accuracy(t.params) for t in study.trials[:25]), reverse=True)
    assert accuracy(study.trials[25].params) in ranked[:2]


def test_what_is_finished_first_is_the_best_of_the_short_runs():
    study = short_study()

    study.optimize(train, n_trials=10)

    ranked = sorted((accuracy(t.params) for t in study.trials[:9]), reverse=True)
    assert accuracy(study.trials[9].params) in ranked[:2]


def test_best_value_is_of_a_finished_trial_and_its_prediction_of_finished_ones():
    study = short_study(confirm=3)

    study.optimize(train, n_trials=30)

    assert study.best_trial.state == TrialState.COMPLETE
    assert study.best_value == accuracy(study.best_trial.params)
    said = told(study)
    # until five are finished there is no scale on which a mean could be told
    done = np.cumsum([t.state == TrialState.COMPLETE for t in study.trials])
    means = [each["mean"] for each in said]
    assert all(m is None for m, n in zip(means[1:], done, strict=False) if n < 5)
    assert all(m is not None for m, n in zip(means[1:], done, strict=False) if n >= 5)


def test_enqueued_trial_is_never_short():
    study = short_study()
    study.enqueue_trial({"depth": 1, "kind0": "conv", "width0": 8})

    study.optimize(train, n_trials=2)

    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED]


def test_pruner_of_short_runs_needs_a_step():
    with pytest.raises(ValueError, match="step must be at least 1, but got 0"):
        ShortRuns(0)


def parameters(point: dict[str, Any]) -> float:
    return math.exp(measures(point)["size"])


def volume(study: optuna.Study) -> float:
    costs = np.array([parameters(trial.params) for trial in study.trials])
    gains = np.array([trial.value for trial in study.trials])
    return hypervolume(costs, gains, 4 * 64**2, -3.0)


def front(sampler: BaseSampler, count: int = 25) -> float:
    study = study_of(sampler)
    study.optimize(objective, n_trials=count)
    return volume(study)


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.slow
def test_front_of_a_guide_that_knows_the_cost_covers_more_than_random(slow):
    cost = Cost(parameters, (-3.0, 4 * 64**2), slow=slow)
    seeds = range(3 if slow else 5)

    led = [front(guided(seed=s, features=measures, cost=cost)) for s in seeds]
    random = [front(RandomSampler(s)) for s in seeds]

    assert sum(a > b for a, b in zip(led, random, strict=True)) >= len(seeds) - 1
    assert np.mean(led) > np.mean(random)


def test_minimised_response_has_the_front_of_its_negative():
    def run(sign: int) -> list[dict[str, Any]]:
        cost = Cost(parameters, (-3.0 * sign, None))
        study = study_of(guided(cost=cost), "maximize" if sign > 0 else "minimize")
        study.optimize(lambda trial: sign * objective(trial), n_trials=14)
        return [trial.params for trial in study.trials]

    assert run(1) == run(-1)


def test_slow_cost_is_found_out_once_and_for_few():
    asked: list[frozenset[Any]] = []

    def timed(point: dict[str, Any]) -> float:
        asked.append(frozenset(point.items()))
        return parameters(point)

    study = study_of(guided(cost=Cost(timed, slow=True)))

    study.optimize(objective, n_trials=16)

    assert len(asked) == len(set(asked))
    tried = {frozenset(trial.params.items()) for trial in study.trials[:15]}
    assert tried <= set(asked)
    assert len(asked) <= len(tried) + 6 * SMALL.shortlist


def test_most_expensive_of_a_shortlist_may_be_chosen():
    # the corner is of all candidates: within a shortlist the last would gain nothing
    shortlists: list[list[float]] = []

    def timed(point: dict[str, Any]) -> float:
        shortlists[-1].append(parameters(point))
        return parameters(point)

    def dear(trial: optuna.Trial) -> float:
        shortlists.append([])
        return math.log(parameters(layers(trial)))

    settings = Settings(start=10, pool=100, design=50, shortlist=2)
    cost = Cost(timed, slow=True)
    shortlists.append([])
    study = study_of(GuidedSampler(layers, seed=0, cost=cost, settings=settings))

    study.optimize(dear, n_trials=20)

    pairs = list(zip(study.trials[11:], shortlists[11:], strict=False))
    dearest = [parameters(t.params) >= max(costs) for t, costs in pairs if costs]
    assert any(dearest)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_cost_without_a_logarithm_is_refused(value):
    study = study_of(guided(cost=Cost(lambda point: value)))

    with pytest.raises(ValueError, match=r"must give a cost above 0 .* give log=False"):
        study.optimize(objective, n_trials=11)


def test_cost_of_0_is_one_where_no_logarithm_counts():
    cost = Cost(lambda point: measures(point)["skips"], log=False)
    study = study_of(guided(cost=cost))

    study.optimize(objective, n_trials=13)

    assert told(study)[12]["model"] == "gp"
