"""Facts about what goes wrong in a study: it is recorded, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import torch
from optuna.trial import TrialState, create_trial

from nasdepth.search.objective import Worker
from nasdepth.search.retries import origin_of, requeue
from nasdepth.search.storage import artifact_store, records, weights_file
from nasdepth.search.study import DevicePoisoned, open_study, work

SECTIONS = {
    "design": {"trials": 3, "candidates": 1},
    "search": {"n_trials": 3, "sampler": "random"},
    "training": {"epochs": 4, "batch_size": 64},
}


@dataclass
class Sending:
    """A place for the status of a worker that sends its process a signal."""

    name: signal.Signals
    epoch: int
    sent: list = field(default_factory=list)

    def write(self, status):
        if status.epoch == self.epoch and not self.sent:
            self.sent.append(status.trial)
            os.kill(os.getpid(), self.name)


@pytest.fixture
def run(configure, digits, tmp_path):
    """A study on the CPU, gone on with at each call."""

    def make(folder, status=None, hook=lambda *told: None, **sections):
        config = configure(**{**SECTIONS, **sections})
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        study, _ = open_study(config, digits, f"journal:///{place}/study.log")
        store = artifact_store(place / "artifacts")
        options = {"folder": place, **({"status": status} if status else {})}
        cpu = torch.device("cpu")
        worker = Worker(config, digits, cpu, store, hook, **options)
        with suppress(KeyboardInterrupt):
            work(study, worker)
        return study

    return make


def weights(study, trial, folder):
    return weights_file(trial, study, folder / "artifacts").read_bytes()


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_interrupted_study_ends_as_one_that_was_not(run, tmp_path, name):
    whole = run("whole")
    sending = Sending(name, epoch=2)
    stopped = run("stopped", sending)
    assert sending.sent == [0]
    assert [t.state.name for t in stopped.trials] == ["FAIL", *["WAITING"] * 3]
    assert list(tmp_path.glob("stopped/checkpoints/*/*"))

    resumed = run("stopped")

    before = [t for t in whole.trials if t.state == TrialState.COMPLETE]
    after = [t for t in resumed.trials if t.state == TrialState.COMPLETE]
    assert len(before) == len(after) == 3
    first = next(trial for trial in after if origin_of(trial) == 0)
    assert first.value == before[0].value
    assert first.intermediate_values == before[0].intermediate_values
    assert weights(resumed, first, tmp_path / "stopped") == weights(
        whole, before[0], tmp_path / "whole"
    )
    assert list(tmp_path.glob("stopped/checkpoints/*/*")) == []


def test_trial_that_ends_its_processes_is_refused_and_constrained(run):
    one = {"design": {"trials": 1, "candidates": 1}}
    study = run("refused", **one, search={"n_trials": 1, "sampler": "random"})
    first = study.trials[0]
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=first.params,
            distributions=first.distributions,
            user_attrs={
                "arm": "search",
                "network": first.user_attrs["network"],
                "refused": "killed by signal 9, 4 times",
            },
        )
    )

    again = run("refused", **one, search={"n_trials": 2, "sampler": "random"})

    row = records(again)[1]
    assert row.state == "pruned"
    assert row.reason == "ended its process: killed by signal 9, 4 times"
    assert again.trials[1].constraints["ended its process"] > 0


def test_signal_behind_a_training_waits_until_its_result_is_stored(run):
    sent = []

    def hook(*told):
        sent.append(told)
        os.kill(os.getpid(), signal.SIGINT)

    study = run("behind", hook=hook)

    assert len(sent) == 1
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "WAITING", "WAITING"]


def test_error_ends_the_worker_and_the_trial_is_queued_again(run, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("a kernel is missing\nmore")

    monkeypatch.setattr("nasdepth.search.trainer.fit", fail)
    with pytest.raises(RuntimeError, match="a kernel is missing"):
        run("failed")
    monkeypatch.undo()

    study = run("failed")

    states = [trial.state.name for trial in study.trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    (attempt,) = study.trials[3].user_attrs["attempts"]
    assert attempt["cause"] == "it failed: a kernel is missing"


def test_ruined_device_ends_the_worker_and_the_trial_is_queued_again(run, monkeypatch):
    def ruin(*arguments, **options):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered\nmore")

    monkeypatch.setattr("nasdepth.search.trainer.fit", ruin)
    with pytest.raises(DevicePoisoned, match="device-side assert"):
        run("ruined")
    monkeypatch.undo()

    study = run("ruined")

    states = [trial.state.name for trial in study.trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    (attempt,) = study.trials[3].user_attrs["attempts"]
    assert attempt["cause"] == "it ruined the device's context"


# Every third network asks the allocator for more than there is, for good or until its
# batches are small; every fifth gives what is not a number.
FIFTY = """
import ctypes, gc, json, resource, sys
from pathlib import Path
import torch
from torch import nn
from nasdepth.search import trainer
from nasdepth.search.config import StudyConfig
from nasdepth.search.objective import Worker
from nasdepth.search.storage import artifact_store, records
from nasdepth.search.study import open_study, prepare_process, work
from nasdepth.training.data import DataConfig, load

class Wild(nn.Module):
    def __init__(self, network, limit, factor):
        super().__init__()
        self.network, self.limit, self.factor = network, limit, factor
    def forward(self, x):
        if self.training and len(x) > self.limit:
            torch.empty(2**60)
        return self.network(x) * self.factor

count, wild = 0, False
build = trainer.build
def injected(architecture, *, seed):
    global count
    count += wild
    if not wild:
        return build(architecture, seed=seed)
    if count % 3 == 0:
        return Wild(build(architecture, seed=seed), (8, 40)[count % 2], 1.0)
    if count % 5 == 0:
        return Wild(build(architecture, seed=seed), 10**6, float("nan"))
    return build(architecture, seed=seed)
trainer.build = injected

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

place, sections = Path(sys.argv[1]), json.loads(sys.argv[2])
device = prepare_process(1, "cpu")
dataset = load(DataConfig("digits"))
def study(name, total):
    config = StudyConfig.model_validate(
        sections | {"name": name, "search": {"n_trials": total, "sampler": "random"}})
    made, _ = open_study(config, dataset, f"journal:///{place}/study.log")
    work(made, Worker(config, dataset, device, artifact_store(place / "artifacts"),
                      lambda *told: None, folder=place))
    return made
held = []
for total in (5, 25):
    study("tame", total)
    held.append(resident())
wild = True
for total in (30, 50):
    made = study("wild", total)
    held.append(resident())
left = len(list(place.glob("checkpoints/*/*")))
rows = records(made)
print(json.dumps({
    "states": [row.state for row in rows], "reasons": [row.reason for row in rows],
    "parts": [t.user_attrs["outcome"].get("parts") for t in made.trials],
    "held": held, "left": left}))
"""
FEW = {
    "name": "wild",
    "data": {"name": "digits"},
    "space": {"stages": [1, 2], "depth": [1, 2], "width": [8, 16], "stem": [8]},
    "design": {"trials": 0},
    "training": {"epochs": 2, "precision": "fp32"},
    "pruner": {"first_rung": 2},
}


def test_study_of_fifty_survives_networks_that_exceed_memory_or_diverge(tmp_path):
    command = [sys.executable, "-c", FIFTY, str(tmp_path), json.dumps(FEW)]

    # kernels that the library keeps for networks to come are no memory lost
    environment = {**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    )

    assert "Traceback" not in done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    causes = [reason.split(":")[0] for reason in told["reasons"]]
    assert len(told["states"]) == 50
    assert set(told["states"]) == {"complete", "pruned"}
    assert causes.count("does not fit") == 8
    assert causes.count("diverged") == 7
    assert told["parts"].count(4) == 8
    assert told["left"] == 0
    # twenty networks leave what is known of them, and no more if some of them fail
    first, tame, before, after = told["held"]
    assert after - before <= max(tame - first, 0.01 * before)


def test_confirmed_short_run_goes_on_from_its_rung(run, tmp_path):
    short = {
        "design": {"trials": 0},
        "guide": {"start": 2, "pool": 20},
        "pruner": {"kind": "short", "confirm": 4, "first_rung": 2},
        "search": {"n_trials": 4, "sampler": "guided"},
    }

    study = run("short", **short)

    finished = study.trials[3]
    same = [
        trial
        for trial in study.trials[:3]
        if trial.user_attrs["network"] == finished.user_attrs["network"]
    ]
    assert [trial.state.name for trial in study.trials] == ["PRUNED"] * 3 + ["COMPLETE"]
    assert len(same) == 1
    outcomes = [t.user_attrs["outcome"] for t in (same[0], finished)]
    assert outcomes[0]["seed"] == outcomes[1]["seed"]
    assert outcomes[1]["epochs"][:2] == outcomes[0]["epochs"]  # to the microsecond
    assert len(list(tmp_path.glob("short/checkpoints/*/*"))) == 2


def test_checkpoint_that_cannot_be_used_is_told_and_the_trial_starts_afresh(
    run, tmp_path, caplog
):
    stopped = run("stopped", Sending(signal.SIGTERM, epoch=2))
    (path,) = tmp_path.glob("stopped/checkpoints/*/*")
    path.write_bytes(path.read_bytes()[:100])

    resumed = run("stopped")

    assert len(stopped.trials) == 4
    assert "Trial 0 starts afresh: " in caplog.text
    done = [t for t in resumed.trials if t.state == TrialState.COMPLETE]
    assert len(done) == 3
    assert len(next(t for t in done if origin_of(t) == 0).intermediate_values) == 4


def test_weights_that_cannot_be_kept_cost_no_trial(run, monkeypatch, caplog):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nasdepth.search.objective.save_weights", full)

    study = run("full")

    assert [row.state for row in records(study)] == ["complete"] * 3
    assert "could not be kept: No space left on device" in caplog.text


def test_second_signal_does_not_cut_the_handing_back_short(run, monkeypatch):
    def twice(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return requeue(*arguments, **options)

    monkeypatch.setattr("nasdepth.search.study.requeue", twice)

    stopped = run("stopped", Sending(signal.SIGTERM, epoch=2))

    assert [t.state.name for t in stopped.trials] == ["FAIL", *["WAITING"] * 3]


def test_failed_trial_that_nobody_queued_again_is_at_the_next_start(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("nasdepth.search.study.requeue", lambda *told, **more: None)
        run("killed", Sending(signal.SIGTERM, epoch=2))

    study = run("killed")

    done = [t for t in study.trials if t.state == TrialState.COMPLETE]
    assert sorted(origin_of(trial) for trial in done) == [0, 1, 2]


def test_rungs_stay_where_the_study_began(run):
    study = run("old", search={"n_trials": 1, "sampler": "random"})
    assert study.user_attrs["first_rung"] == 1
    study.set_user_attr("first_rung", 3)

    again = run("old", pruner={"first_rung": 0})

    assert again.pruner._pruner._min_resource == 3


class Usurped:
    """A place for the status of a worker whose trial others take for dead."""

    def __init__(self):
        self.study, self.done = None, False

    def write(self, status):
        if self.study is not None and status.epoch == 2 and not self.done:
            self.done = True
            trial = self.study.trials[status.trial]
            self.study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def test_trial_that_another_process_took_ends_no_worker(run, monkeypatch, caplog):
    usurped = Usurped()
    opened = open_study

    def opening(*arguments):
        usurped.study, repaired = opened(*arguments)
        return usurped.study, repaired

    monkeypatch.setitem(globals(), "open_study", opening)

    study = run("usurped", usurped)

    assert "was taken over by another process" in caplog.text
    assert [t.state.name for t in study.trials].count("FAIL") == 1
    assert [t.state.name for t in study.trials].count("COMPLETE") >= 2
