"""Facts about the ends of guided studies: what is left is run, finished, given up."""

import logging

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from nasdepth.guide.draws import drawn, perturbed
from nasdepth.guide.pruner import ShortRuns
from nasdepth.guide.sampler import GuidedSampler, Settings

FEW = {"x": optuna.distributions.IntDistribution(1, 8)}
QUICK = Settings(start=2, pool=50, design=20)


def study_of(settings=QUICK, **options):
    sampler = GuidedSampler(FEW, seed=0, settings=settings)
    return optuna.create_study(direction="maximize", sampler=sampler, **options)


def states(study):
    return [trial.state.name for trial in study.trials]


def test_what_is_queued_runs_before_a_used_up_space_ends_the_study():
    study = study_of()
    for x in range(1, 9):
        study.enqueue_trial({"x": x})

    study.optimize(lambda trial: trial.suggest_int("x", 1, 8), n_trials=12)

    assert states(study) == ["COMPLETE"] * 8


def test_short_runs_of_a_used_up_space_are_finished(caplog):
    settings = Settings(start=2, pool=50, design=20, short=1, confirm=100)
    study = study_of(settings, pruner=ShortRuns(1))

    def objective(trial):
        x = trial.suggest_int("x", 1, 8)
        trial.report(x / 10, 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        return x / 5

    with caplog.at_level(logging.WARNING):
        study.optimize(objective, n_trials=30)

    done = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert sorted(trial.params["x"] for trial in done) == list(range(1, 9))
    assert len(study.trials) == 16
    assert "8 distinct ones were tried" in caplog.text


def test_confirmation_that_fails_twice_is_given_up():
    settings = Settings(start=2, pool=50, design=20, short=1, confirm=3)
    study = study_of(settings, pruner=ShortRuns(1))

    def objective(trial):
        x = trial.suggest_int("x", 1, 8)
        trial.report(x / 10, 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        if x == 8:
            raise RuntimeError("it cannot be finished")
        return x / 5

    study.optimize(objective, n_trials=24, catch=(RuntimeError,))

    failed = [t.params["x"] for t in study.trials if t.state == TrialState.FAIL]
    assert failed == [8, 8]
    assert "COMPLETE" in states(study)


@pytest.mark.parametrize("choices", [(1, True), (0, False, 2)])
def test_neighbour_takes_another_choice_even_where_choices_are_equal(choices):
    def space(trial):
        trial.suggest_categorical("k", choices)

    old = drawn(space, lambda name, law: choices[0])
    near = perturbed(space, old.params, np.random.default_rng(0))

    assert near.params["k"] is not choices[0]
