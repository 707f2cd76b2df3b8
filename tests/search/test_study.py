"""Facts about the run, with a stub in the place of the training."""

import logging
import os
import time
from dataclasses import replace

import optuna
import pytest
import torch
from optuna.trial import TrialState

from nasdepth.architecture.spec import Architecture
from nasdepth.guide.draws import NoCandidate
from nasdepth.network.build import build
from nasdepth.search import design, objective, screen, study, trainer
from nasdepth.search.retries import worker_identity
from nasdepth.search.storage import (
    artifact_store,
    existing_storage,
    open_storage,
    records,
    weights_file,
)
from nasdepth.search.study import Worker, open_study, progress, space_of, work
from nasdepth.search.trainer import seed_of
from nasdepth.training.recipe import Diverged, Epoch, Fit
from nasdepth.training.weights import load_weights

GOOD, POOR = [0.5, 0.75, 0.875], [0.125, 0.125, 0.125]
OUT_OF_MEMORY = {
    "CPU": RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    "CUDA": torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 9 bytes"),
    "Python": MemoryError(),
}


def journal(folder):
    """A storage that is opened faster than a database."""
    return f"journal:///{folder}/study.log"


class Bench:
    """A study, and a training that goes as it is told, one plan a training."""

    def __init__(self, configure, dataset, folder, monkeypatch):
        self.configure, self.dataset, self.folder = configure, dataset, folder
        self.url = journal(folder)
        self.plans, self.trained, self.hooked = [], [], []
        monkeypatch.setattr(trainer, "fit", self._fit)

    def _fit(self, network, dataset, config, *, seed, on_epoch, **options):
        plan = self.plans.pop(0) if self.plans else GOOD
        self.trained.append((network, seed))
        curve = []
        for index, value in enumerate(plan, 1):
            if isinstance(value, BaseException):
                raise value
            curve.append(Epoch(index, 1.0, value, 1.0, 0.1, 100.0))
            on_epoch(curve[-1])
        kind = "fp32", "channels_last", 1, 0
        return Fit(tuple(curve), plan[-1], 0.1, 100.0, 0, *kind)

    def run(self, *plans, deadline=float("inf"), parent=0, dataset=None, **sections):
        """The study after some trainings of these plans."""
        self.plans = list(plans)
        config = self.configure(**sections)
        dataset = dataset or self.dataset
        opened, self.repaired = open_study(config, dataset, self.url)
        store = artifact_store(self.folder / "artifacts")
        device = torch.device("cpu")
        worker = Worker(config, dataset, device, store, self._hook, deadline, parent)
        work(opened, worker)
        return opened

    def _hook(self, trial, row, store):
        self.hooked.append((trial.number, row, store))

    def stored(self):
        return optuna.load_study(study_name="small", storage=existing_storage(self.url))


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    """The arm need not be the best there is."""
    monkeypatch.setattr(design, "_EXCHANGES", 20)


@pytest.fixture
def bench(configure, digits, tmp_path, monkeypatch):
    return Bench(configure, digits, tmp_path, monkeypatch)


@pytest.fixture
def opened(configure, digits, tmp_path):
    """Opener of the small study, sections overridden."""

    def make(images=digits, **sections):
        return open_study(configure(**sections), images, journal(tmp_path))

    return make


def states(of):
    return [trial.state.name for trial in of.trials]


def test_new_study_has_its_unselected_arm_queued(opened, digits):
    made, repaired = opened(design={"trials": 3})

    assert repaired == []
    assert states(made) == ["WAITING"] * 3
    for trial in made.trials:
        assert trial.user_attrs["arm"] == "unselected"
        assert trial.user_attrs["network"]["measures"]["params"] <= 20_000
    assert made.user_attrs["fingerprint"] == digits.fingerprint
    assert made.user_attrs["dataset"] == "digits"
    assert made.user_attrs["validation_images"] == len(digits.validation_labels)


def test_arm_is_trained_as_it_was_chosen(bench):
    queued, _ = open_study(bench.configure(), bench.dataset, bench.url)
    chosen = [trial.user_attrs["network"] for trial in queued.trials]

    ran = bench.run()

    space = space_of(bench.configure(), bench.dataset)
    for trial, network in zip(ran.trials, chosen, strict=False):
        assert trial.user_attrs["network"] == network
        drawn = space.sample(optuna.trial.FixedTrial(trial.params))
        assert drawn.to_json() == network["architecture"]


def test_study_runs_to_its_total_the_unselected_arm_first(bench):
    ran = bench.run()

    rows = records(ran)
    assert [row.arm for row in rows] == ["unselected"] * 2 + ["search"] * 2
    assert [row.state for row in rows] == ["complete"] * 4
    assert len({row.digest for row in rows}) == 4


def test_record_says_all_of_a_trial(bench):
    row = records(bench.run())[3]

    assert row.accuracy == 0.875
    assert row.curve == tuple(GOOD)
    assert row.dataset == "digits"
    assert row.validation_images == len(bench.dataset.validation_labels)
    assert row.seed == seed_of(bench.configure(), 3) == bench.trained[3][1]
    assert row.config_digest == bench.configure().digest()
    assert "torch" in row.versions
    assert row.seconds > 0


def test_total_counts_what_was_finished_before(bench):
    bench.run(search={"n_trials": 3})

    ran = bench.run(search={"n_trials": 5})

    assert states(ran) == ["COMPLETE"] * 5


def test_finished_study_trains_nothing_more(bench):
    bench.run()
    before = len(bench.trained)

    bench.run()

    assert len(bench.trained) == before == 4


def test_same_seed_gives_the_same_trials_and_seeds(bench, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    other = Bench(bench.configure, bench.dataset, tmp_path / "other", monkeypatch)

    second = other.run()
    monkeypatch.setattr(trainer, "fit", bench._fit)
    first = bench.run()

    assert [t.params for t in first.trials] == [t.params for t in second.trials]
    assert [seed for _, seed in bench.trained] == [seed for _, seed in other.trained]


def test_every_trial_has_a_seed_of_its_own(configure):
    seeds = [seed_of(configure(), number) for number in range(100)]

    assert len(set(seeds)) == 100
    assert seed_of(configure(search={"seed": 1}), 0) != seeds[0]


def test_poor_trial_is_pruned_with_its_reason_and_without_accuracy(bench):
    ran = bench.run(GOOD, GOOD, GOOD, POOR)

    row = records(ran)[3]
    assert (row.state, row.accuracy) == ("pruned", None)
    assert row.reason == "pruned by successive halving"
    assert row.curve == (0.125,)


def test_unselected_trial_is_never_pruned(bench):
    ran = bench.run(GOOD, *[POOR] * 4, design={"trials": 5}, search={"n_trials": 5})

    assert [row.state for row in records(ran)] == ["complete"] * 5
    assert all(len(row.curve) == 3 for row in records(ran))


def test_no_trial_is_pruned_before_the_first_rung(bench):
    ran = bench.run(GOOD, GOOD, GOOD, POOR, pruner={"first_rung": 2})

    assert records(ran)[3].curve == (0.125, 0.125)


def test_trial_that_reaches_its_last_epoch_is_complete(bench):
    ran = bench.run(GOOD, GOOD, GOOD, POOR, pruner={"first_rung": 3})

    assert records(ran)[3].state == "complete"


def test_diverged_trial_is_pruned_and_constrained_with_its_reason(bench):
    ran = bench.run(GOOD, GOOD, [0.5, Diverged(2, ())], GOOD)

    row, trial = records(ran)[2], ran.trials[2]
    assert (row.state, row.accuracy) == ("pruned", None)
    assert row.reason == "diverged: The loss became non-finite in epoch 2."
    assert trial.constraints["diverged"] > 0
    assert states(ran) == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]


def test_diverged_unselected_trial_is_pruned_too(bench):
    ran = bench.run([Diverged(1, ())])

    row = records(ran)[0]
    assert (row.arm, row.state) == ("unselected", "pruned")
    assert "diverged" in row.reason


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_trial_out_of_memory_is_pruned_and_constrained_in_one_line(bench, kind):
    ran = bench.run(GOOD, GOOD, [OUT_OF_MEMORY[kind]])

    row, trial = records(ran)[2], ran.trials[2]
    assert row.state == "pruned"
    assert row.reason.startswith("out of memory: ")
    assert "\n" not in row.reason
    assert trial.constraints["out of memory"] > 0
    assert states(ran)[3] == "COMPLETE"


def test_other_error_ends_the_run_and_is_no_result(bench):
    with pytest.raises(RuntimeError, match="a bug"):
        bench.run(GOOD, [RuntimeError("a bug")])

    assert states(bench.stored()) == ["COMPLETE", "FAIL", "WAITING"]


def test_interrupted_trial_is_queued_again_and_what_is_finished_kept(bench):
    with pytest.raises(KeyboardInterrupt):
        bench.run(GOOD, [0.5, KeyboardInterrupt()])

    stored = bench.stored()
    assert states(stored) == ["COMPLETE", "FAIL", "WAITING"]
    _, failed, waiting = stored.trials
    assert waiting.user_attrs["network"] == failed.user_attrs["network"]
    assert records(stored)[0].accuracy == 0.875


@pytest.mark.parametrize("finished", [1, 2])
def test_interrupted_study_resumes_with_the_same_network(bench, finished):
    with pytest.raises(KeyboardInterrupt):
        bench.run(*[GOOD] * finished, [KeyboardInterrupt()])

    ran = bench.run()

    again = records(ran)
    rows = [row for row in again if row.digest == again[finished].digest]
    assert [row.state for row in rows] == ["failed", "complete"]
    assert progress(ran)[TrialState.COMPLETE] == 4
    assert progress(ran)[TrialState.RUNNING] == progress(ran)[TrialState.WAITING] == 0
    assert [row.arm for row in again].count("unselected") == 2 + (finished == 1)


@pytest.mark.parametrize(
    ("sampler", "step"),
    [
        ("tpe", "nasdepth.search.screen.score"),
        ("guided", "nasdepth.guide.proposal.Guide.propose"),
    ],
)
def test_interruption_while_choosing_leaves_nothing_behind(
    bench, monkeypatch, sampler, step
):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench.run(search={"sampler": sampler})

    assert states(bench.stored())[-1] == "FAIL"
    assert progress(bench.run(search={"sampler": sampler}))[TrialState.COMPLETE] == 4


def test_trial_of_a_dead_worker_is_told_and_trained_at_the_next_start(bench):
    with pytest.raises(KeyboardInterrupt):
        bench.run([KeyboardInterrupt()])
    stored = bench.stored()
    running = stored._storage
    waiting = next(t for t in stored.trials if t.state == TrialState.WAITING)
    running.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
    worker = {**worker_identity(), "born": 1}
    running.set_trial_user_attr(waiting._trial_id, "worker", worker)

    ran = bench.run()

    assert bench.repaired == [waiting.number]
    assert progress(ran)[TrialState.COMPLETE] == 4
    assert progress(ran)[TrialState.RUNNING] == 0


def test_hook_sees_every_finished_trial_as_it_is_recorded(bench):
    ran = bench.run(GOOD, GOOD, GOOD, POOR, search={"n_trials": 5})

    assert [number for number, _, _ in bench.hooked] == [0, 1, 2, 3, 4]
    assert tuple(row for _, row, _ in bench.hooked) == records(ran)
    assert {row.state for _, row, _ in bench.hooked} == {"complete", "pruned"}


def test_weights_of_a_complete_trial_are_those_that_were_trained(bench):
    ran = bench.run()

    for trial, (network, _) in zip(ran.trials, bench.trained, strict=True):
        path = weights_file(trial, ran, bench.folder / "artifacts")
        architecture = trial.user_attrs["network"]["architecture"]
        loaded = build(Architecture.from_json(architecture), seed=99)
        load_weights(loaded, path)
        for name, value in network.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value)


def test_pruned_trial_keeps_no_weights(bench):
    ran = bench.run(GOOD, GOOD, GOOD, POOR)

    with pytest.raises(ValueError, match="weights of trial 3"):
        weights_file(ran.trials[3], ran, bench.folder / "artifacts")


def test_no_trial_starts_after_the_deadline(bench):
    ran = bench.run(deadline=time.time() - 1)

    assert states(ran) == ["WAITING", "WAITING"]


def test_trial_under_way_at_the_deadline_is_finished(bench, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(study.time, "time", lambda: clock[0])

    def late(trial, row, store):
        clock[0] = 100.0

    monkeypatch.setattr(bench, "_hook", late)
    ran = bench.run(deadline=50.0)

    assert states(ran) == ["COMPLETE", "WAITING"]


def test_worker_whose_parent_is_gone_trains_nothing(bench):
    ran = bench.run(parent=os.getpid())  # nobody is the parent of itself

    assert states(ran) == ["WAITING", "WAITING"]


def test_worker_whose_parent_dies_hands_its_trial_back(bench, monkeypatch):
    parent = os.getppid()
    original = bench._fit

    def orphaned(*arguments, **options):
        monkeypatch.setattr(objective.os, "getppid", lambda: 1)
        return original(*arguments, **options)

    monkeypatch.setattr(trainer, "fit", orphaned)
    with pytest.raises(KeyboardInterrupt):
        bench.run(parent=parent)

    assert states(bench.stored()) == ["FAIL", "WAITING", "WAITING"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("sampler", "told"),
    [
        ("tpe", "No unseen architecture is left"),
        ("guided", "no unseen feasible point is left, 3 distinct ones were tried"),
    ],
)
def test_used_up_space_ends_the_study_with_a_warning(
    bench, caplog, monkeypatch, sampler, told
):
    monkeypatch.setattr(screen, "_REFILLS", 2)
    few = {"stages": [1, 1], "topologies": ["plain"], "width": [8, 8], "stem": [8]}

    with caplog.at_level(logging.WARNING, logger="nasdepth"):
        ran = bench.run(space=few, search={"n_trials": 9, "sampler": sampler})

    assert told in caplog.text
    assert progress(ran)[TrialState.COMPLETE] == 3
    assert progress(ran)[TrialState.RUNNING] == 0


def test_enqueued_trial_is_recorded_with_its_network(bench):
    made, _ = open_study(bench.configure(), bench.dataset, bench.url)
    given = {
        "stages": 1,
        "stem": 16,
        "stage1.topology": "plain",
        "stage1.depth": 2,
        "stage1.width": 24,
    }
    made.enqueue_trial(given)

    row = records(bench.run())[2]

    stage = Architecture.from_json(row.architecture).stages[0]
    assert (row.arm, row.state) == ("search", "complete")
    assert (stage.depth, stage.width, stage.family) == (2, 24, "plain")
    assert row.digest
    assert row.measures["params"] > 0


CHANGED = {
    "space": ({"space": {"depth": [1, 4]}}, "space.depth was [1, 3], is [1, 4]"),
    "budget": ({"budget": {"params": 9_999}}, "budget.params was 20000, is 9999"),
    "data": ({"data": {"seed": 3}}, "data.seed was 0, is 3"),
    "training": ({"training": {"epochs": 4}}, "training.epochs was 3, is 4"),
    "design": ({"design": {"trials": 3}}, "design.trials was 2, is 3"),
    "seed": ({"search": {"seed": 3}}, "search.seed was 0, is 3"),
    "preregistration": (
        {"preregistration": {"direction": "negative"}},
        "preregistration.direction was 'positive', is 'negative'",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_changed_study_is_refused_with_what_differs(opened, case):
    sections, difference = CHANGED[case]
    made, _ = opened()
    before = made.user_attrs["config"]

    with pytest.raises(ValueError, match="'small' exists with another") as caught:
        opened(**sections)

    told = str(caught.value)
    assert difference in told
    assert "\n" not in told
    assert "another name" in told
    assert made.user_attrs["config"] == before


def test_changed_images_are_refused(opened, digits):
    opened()

    with pytest.raises(ValueError, match="other images or another split of digits"):
        opened(replace(digits, fingerprint="other"))


@pytest.mark.parametrize(
    "sections",
    [
        {"search": {"n_trials": 99}},
        {"search": {"workers": 3, "threads": 2, "sampler": "random"}},
        {"screen": {"pool": 3}},
        {"pruner": {"factor": 5}},
        {"data": {"path": "/elsewhere"}},
    ],
    ids=str,
)
def test_what_may_change_is_taken_over_at_the_next_start(opened, configure, sections):
    opened()

    made, _ = opened(**sections)

    assert made.user_attrs["config"] == configure(**sections).to_json()
    assert states(made) == ["WAITING", "WAITING"]


def test_study_of_others_is_refused_and_left_alone(opened, tmp_path):
    storage = open_storage(journal(tmp_path))
    theirs = optuna.create_study(storage=storage, study_name="small")

    with pytest.raises(ValueError, match="'small' was not made by nasdepth"):
        opened()

    assert theirs.user_attrs == {}


def test_study_whose_making_was_cut_short_is_made_anew(opened, monkeypatch):
    def cut(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", cut)
        with pytest.raises(KeyboardInterrupt):
            opened()

    made, _ = opened()

    assert states(made) == ["WAITING", "WAITING"]


@pytest.mark.usefixtures("impatient")
def test_infeasible_space_writes_nothing(opened, tmp_path):
    with pytest.raises(NoCandidate, match="params must be at most 10"):
        opened(budget={"params": 10})

    assert not list(tmp_path.iterdir())


def test_database_carries_a_study_too(bench, url):
    bench.url = url

    ran = bench.run(GOOD, GOOD, GOOD, POOR, search={"n_trials": 5})

    assert states(ran) == ["COMPLETE"] * 3 + ["PRUNED", "COMPLETE"]
    assert tuple(row for _, row, _ in bench.hooked) == records(ran)


def test_interrupted_study_in_a_database_resumes(bench, url):
    bench.url = url
    with pytest.raises(KeyboardInterrupt):
        bench.run(GOOD, [0.5, KeyboardInterrupt()])

    ran = bench.run()

    assert progress(ran)[TrialState.COMPLETE] == 4
    assert progress(ran)[TrialState.RUNNING] == progress(ran)[TrialState.WAITING] == 0
