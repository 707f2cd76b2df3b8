"""Facts about trials whose process ended before they did."""

import os
import socket
import subprocess
import sys

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import TrialState, create_trial

from nasdepth.search.retries import (
    LastAttempts,
    origin_of,
    repair,
    requeue,
    worker_identity,
)
from nasdepth.search.storage import open_storage, records
from nasdepth.training.ledger import born

NETWORK = {
    "architecture": '{"format":1,"stages":[{}]}',
    "digest": "abc",
    "measures": {"params": 12},
}
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def study(tmp_path):
    """A study without trials."""
    storage = open_storage(f"journal:///{tmp_path}/study.log")
    return optuna.create_study(storage=storage, direction="maximize")


@pytest.fixture
def dead():
    """Identity of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    identity = {"host": socket.gethostname(), "pid": process.pid, "born": -5}
    process.wait()
    return identity


def start(study, worker=None, network=NETWORK):
    """A trial left running by a worker."""
    attributes = {"worker": worker, "network": network}
    made = optuna.create_trial(
        state=TrialState.RUNNING,
        params={"depth": 3},
        distributions={"depth": IntDistribution(1, 9)},
        user_attrs={k: v for k, v in attributes.items() if v is not None},
    )
    study.add_trial(made)
    return study.trials[-1]


def die_again(study, dead):
    """The waiting trial runs, and its process dies."""
    waiting = next(t for t in study.trials if t.state == TrialState.WAITING)
    storage = study._storage
    storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
    storage.set_trial_user_attr(waiting._trial_id, "worker", dead)
    repair(study, "killed by signal 9")


@ON_LINUX
def test_trial_of_a_dead_process_fails_and_is_queued_again(study, dead):
    trial = start(study, dead)

    numbers = repair(study)

    failed, waiting = study.trials
    assert numbers == [0]
    assert failed.state == TrialState.FAIL
    assert waiting.state == TrialState.WAITING
    assert waiting.params == trial.params
    assert waiting.user_attrs["network"] == NETWORK


@ON_LINUX
def test_trial_of_a_living_process_is_left_running(study):
    start(study, worker_identity())

    assert repair(study) == []
    assert study.trials[0].state == TrialState.RUNNING


@ON_LINUX
def test_process_that_took_over_the_number_of_another_is_not_it(study):
    start(study, {**worker_identity(), "born": 1})

    assert repair(study) == [0]


@ON_LINUX
def test_process_that_nobody_has_collected_is_dead(study):
    waiting = "import sys; sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", waiting], stdin=subprocess.PIPE)
    since = born(process.pid)
    start(study, {"host": socket.gethostname(), "pid": process.pid, "born": since})
    assert repair(study) == []

    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert repair(study) == [0]
    process.communicate()


@pytest.mark.parametrize("worker", [None, {"host": "elsewhere", "pid": 1, "born": 1}])
def test_process_of_another_machine_is_not_judged(study, worker):
    start(study, worker)

    assert repair(study) == []


@ON_LINUX
def test_trial_that_had_not_chosen_its_network_is_not_queued_again(study, dead):
    start(study, dead, network=None)

    repair(study)

    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


@ON_LINUX
def test_cause_of_a_death_is_recorded_where_it_happened(study, dead):
    start(study, dead)

    repair(study, "killed by signal 9")

    failed = records(study)[0]
    assert (failed.state, failed.reason) == ("failed", "killed by signal 9")


@ON_LINUX
def test_attempts_keep_the_number_of_the_first(study, dead):
    start(study, dead)
    repair(study, "killed by signal 9")
    die_again(study, dead)

    last = study.trials[-1]
    assert [origin_of(trial) for trial in study.trials] == [0, 0, 0]
    assert [each["trial"] for each in last.user_attrs["attempts"]] == [0, 1]
    assert last.system_attrs["retry_history"] == [0, 1]
    assert "worker" not in last.user_attrs


@ON_LINUX
def test_trial_is_refused_after_its_third_retry(study, dead):
    start(study, dead)
    repair(study, "killed by signal 9")
    for _ in range(2):
        die_again(study, dead)
    assert "refused" not in study.trials[-1].user_attrs

    die_again(study, dead)

    assert len(study.trials) == 5
    assert study.trials[-1].user_attrs["refused"] == "killed by signal 9, 4 times"


def test_interruptions_are_not_the_trial_s_fault(study):
    trial = start(study)

    for _ in range(9):
        requeue(study, trial, "interrupted", blamed=False)
        trial = study.trials[-1]

    assert "refused" not in trial.user_attrs
    assert len(trial.user_attrs["attempts"]) == 9


@pytest.mark.parametrize("once", [True, False])
def test_attempts_that_failed_do_not_prune_others(study, once):
    halving = SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study.pruner = LastAttempts(halving) if once else halving
    for state, value in [(TrialState.FAIL, 0.9)] * 3 + [(TrialState.COMPLETE, 0.5)]:
        study.add_trial(
            create_trial(
                state=state,
                value=value if state == TrialState.COMPLETE else None,
                system_attrs={"completed_rung_0": value},
            )
        )
    trial = study.ask()
    trial.report(0.6, 1)

    assert trial.should_prune() is not once
    kept = study.get_trials()[-1].system_attrs
    assert kept["completed_rung_0"] == 0.6  # as the next ones will see it


@pytest.mark.parametrize(("blamed", "count"), [(True, 1), (False, 0)])
def test_repair_blames_a_trial_or_not(study, dead, blamed, count):
    trial = study.ask()
    trial.set_user_attr("worker", dead)
    trial.set_user_attr("network", NETWORK)

    assert repair(study, "interrupted", blamed=blamed) == [0]

    attempts = study.trials[1].user_attrs["attempts"]
    assert sum(each["blamed"] for each in attempts) == count
