"""Facts about the seeds of a study's trainings, one and several a trial."""

import itertools
import os
import shutil
import signal
from statistics import fmean

import pytest
import torch

from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.records import read_csv, write_csv
from nasdepth.network.build import build
from nasdepth.search import trainer
from nasdepth.search.objective import Worker
from nasdepth.search.status import StatusFile
from nasdepth.search.storage import artifact_store, records, weights_file
from nasdepth.search.study import open_study, work
from nasdepth.search.trainer import seed_of
from nasdepth.training import population, steps
from nasdepth.training.loop import evaluate
from nasdepth.training.weights import load_weights

LITTLE = {
    "design": {"trials": 1, "candidates": 1, "replicates": 3},
    "search": {"n_trials": 2, "sampler": "random"},
    "space": {"stages": [1, 1], "depth": [1, 1], "width": [8, 8], "stem": [8, 16]},
}


@pytest.fixture
def run(configure, digits, tmp_path):
    """The little study, worked on the CPU."""

    def make(*, folder=".", status=None, **sections):
        config = configure(**{**LITTLE, **sections})
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        study, _ = open_study(config, digits, f"journal:///{place}/study.log")
        worker = Worker(
            config,
            digits,
            torch.device("cpu"),
            artifact_store(place / "artifacts"),
            lambda *told: None,
            folder=place,
            status=status or StatusFile(),
        )
        try:
            work(study, worker)
        except KeyboardInterrupt:
            assert status is not None
        return study

    return make


def test_unselected_trial_is_the_mean_of_its_replicates(run, configure):
    study = run()

    unselected, searched = records(study)
    config = configure(**LITTLE)
    assert unselected.seeds == tuple(seed_of(config, 0, i) for i in range(3))
    assert len(set(unselected.seeds)) == 3
    assert len(set(unselected.accuracies)) > 1
    assert unselected.accuracy == pytest.approx(fmean(unselected.accuracies))
    assert study.trials[0].value == unselected.accuracy
    assert unselected.curve[-1] == pytest.approx(unselected.accuracy)
    assert searched.accuracies == searched.seeds == ()


def test_replicates_survive_the_file(run, tmp_path):
    rows = records(run())
    path = tmp_path / "records.csv"

    write_csv(rows, path)

    assert read_csv(path) == rows


@pytest.fixture
def ruin(monkeypatch):
    """Lets networks diverge, by their places among those that are built."""

    def those(*places):
        built, count = trainer.build, itertools.count()

        def sometimes(architecture, *, seed):
            network = built(architecture, seed=seed)
            if next(count) in places:
                torch.nn.init.constant_(next(network.parameters()), torch.nan)
            return network

        monkeypatch.setattr(trainer, "build", sometimes)

    return those


@pytest.fixture(params=[1, 3], ids=["one by one", "at once"])
def at_once(request, monkeypatch):
    """Replicates trained at the same time, whatever is faster here."""
    monkeypatch.setattr(population, "members_at_once", lambda *_, **__: request.param)


@pytest.mark.usefixtures("at_once")
def test_diverged_replicate_is_counted_and_left_out_of_the_mean(run, ruin):
    ruin(1)

    row = records(run())[0]

    first, second, third = row.accuracies
    assert second is None
    assert row.accuracy == pytest.approx((first + third) / 2)
    assert (row.state, row.diverged_replicates) == ("complete", 1)


@pytest.mark.usefixtures("at_once")
def test_trial_whose_replicates_all_diverge_is_pruned_with_the_reason(run, ruin):
    ruin(0, 1, 2)

    row = records(run(search={"n_trials": 1}))[0]

    assert (row.state, row.accuracy) == ("pruned", None)
    assert row.reason.startswith("diverged")
    assert row.accuracies == (None, None, None)


class Interrupting:
    """A place for the status of a worker that interrupts its process once.

    Args:
        told: epochs, of all replicates, before it does.
    """

    def __init__(self, told):
        self.left = told

    def write(self, status):
        self.left -= status.epoch > 0
        if self.left == 0:
            self.left = -1
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def taken(monkeypatch):
    """Has one value for each step that a training takes."""
    found, step = [], steps.take_step
    monkeypatch.setattr(
        steps, "take_step", lambda *given: [found.append(1), step(*given)]
    )
    return found


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("told", [1, 5])
def test_interrupted_replicates_go_on_where_they_were(run, taken, tmp_path, told):
    one = {"n_trials": 1}
    (whole,) = records(run(search=one))
    wanted, place = len(taken), tmp_path / "again"
    run(folder="again", status=Interrupting(told), search=one)
    for file in list(place.glob("checkpoints/*/*")):  # as second trainings leave them
        shutil.copy(file, f"{file}.again")
    assert list(place.glob("checkpoints/*/*"))

    row = records(run(folder="again", search=one))[-1]

    assert (row.seeds, row.accuracies) == (whole.seeds, whole.accuracies)
    assert len(taken) == 2 * wanted
    assert list(place.glob("checkpoints/*/*")) == []


@pytest.mark.parametrize(("ruined", "first"), [((), 0), ((0,), 1)])
def test_kept_weights_are_those_of_the_first_replicate_that_ended(
    run, digits, tmp_path, ruin, ruined, first
):
    ruin(*ruined)
    study = run()

    path = weights_file(study.trials[0], study, tmp_path / "artifacts")
    network = build(Architecture.from_json(records(study)[0].architecture), seed=0)
    load_weights(network, path)
    images, labels = digits.validation_images, digits.validation_labels
    found = evaluate(network, images, labels, digits, device="cpu").accuracy
    assert found == records(study)[0].accuracies[first]


def test_no_checkpoint_is_left_of_what_is_finished(run, tmp_path):
    run()

    assert list(tmp_path.glob("checkpoints/*/*")) == []


def test_first_replicate_has_the_seed_that_a_single_training_has(configure):
    config = configure()

    assert seed_of(config, 3, 0) == seed_of(config, 3)
    assert len({seed_of(config, n, i) for n in range(20) for i in range(20)}) == 400
