"""Facts about guided studies with several workers: what they share, when they end."""

import logging
import multiprocessing
import time
from typing import Any

import optuna
import pytest
from problems import close, guided, objective, storage_of, study_of, told, work


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_processes_share_a_study_and_try_nothing_twice(kind, tmp_path):
    storage = storage_of(kind, tmp_path)
    study = optuna.create_study(
        study_name="shared", storage=storage, direction="maximize"
    )
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(kind, tmp_path, 8)) for _ in range(2)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)

    assert [worker.exitcode for worker in workers] == [0, 0]
    tried = [frozenset(trial.params.items()) for trial in study.trials]
    assert len(tried) == 16
    # both ask at the same instant now and then: neither is stored yet
    assert len(set(tried)) >= 13
    assert told(study)[15]["n"] >= 12
    close(storage)


def test_running_trial_of_another_process_is_not_proposed():
    study = study_of(guided())
    study.optimize(objective, n_trials=12)
    running = study.ask()
    objective(running)
    # another process has a sampler of its own
    study.sampler = guided()

    others = [study.ask() for _ in range(5)]

    tried = [objective(trial) and frozenset(trial.params.items()) for trial in others]
    assert len({*tried, frozenset(running.params.items())}) == 6


def test_threads_share_a_study_and_try_nothing_twice():
    study = study_of(guided())

    study.optimize(objective, n_trials=16, n_jobs=2)

    tried = {frozenset(trial.params.items()) for trial in study.trials}
    assert len(tried) == len(study.trials) == 16


def small(trial: Any) -> float:
    return trial.suggest_int("a", 1, 3) + trial.suggest_categorical("b", (0.1, 0.2))


def small_and_slow(trial: Any) -> float:
    time.sleep(0.02)  # not in the space: that is drawn from without an end
    return small(trial)


@pytest.mark.parametrize("seed", range(5))
def test_used_up_space_ends_the_study_of_threads_too(seed, caplog):
    study = study_of(guided(small, seed))

    with caplog.at_level(logging.WARNING):
        study.optimize(small_and_slow, n_trials=50, n_jobs=3)

    done = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert len({frozenset(trial.params.items()) for trial in done}) == 6
    assert "no unseen feasible point is left, 6 distinct ones were tried" in caplog.text
