"""The run: a study made or resumed, and the objective that trains its networks."""

import logging
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import optuna
import torch
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState

from nasdepth import __version__
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.records import TrialRecord
from nasdepth.guide.draws import Draw, NoCandidate
from nasdepth.guide.pruner import KeepFront, ShortRuns
from nasdepth.network.build import build
from nasdepth.search.candidates import Sieve
from nasdepth.search.config import LATENCY, StudyConfig
from nasdepth.search.design import unselected
from nasdepth.search.guided import StudyGuide, check_prior, prior_records
from nasdepth.search.screen import ScreenSampler
from nasdepth.search.space import Space
from nasdepth.search.storage import (
    WEIGHTS,
    is_absent,
    load_study,
    open_storage,
    record,
    registration,
    repair,
    requeue,
    study_exists,
    worker_identity,
)
from nasdepth.training.data import Dataset
from nasdepth.training.device import is_out_of_memory, pick_device
from nasdepth.training.loop import fit
from nasdepth.training.recipe import Diverged, Epoch, Fit
from nasdepth.training.weights import save_weights

_log = logging.getLogger(__name__)
UNSELECTED: Final = "unselected"
#: why a trial ended early, by the kind of pruner
_ENDED: Final = {
    "halving": "pruned by successive halving",
    "short": "a short run, not finished",
}

#: called at the end of every trial, its outcome recorded
Hook: TypeAlias = Callable[[Trial, TrialRecord, FileSystemArtifactStore], None]


@dataclass(frozen=True, slots=True)
class Worker:
    """What a process brings to a study.

    Attributes:
        config: of the study.
        dataset: as `load` returns it.
        device: to train on.
        store: of artifacts.
        hook: see `Hook`.
        deadline: `time.time()` after which no trial starts.
        parent: process whose end ends this one; 0 for none.
    """

    config: StudyConfig
    dataset: Dataset
    device: torch.device
    store: FileSystemArtifactStore
    hook: Hook
    deadline: float = float("inf")
    parent: int = 0


def space_of(config: StudyConfig, dataset: Dataset) -> Space:
    """Space of a study on its data."""
    return Space(config.space, dataset.input_shape, len(dataset.classes))


def open_study(
    config: StudyConfig, dataset: Dataset, url: str
) -> tuple[optuna.Study, list[int]]:
    """Study of the configuration, made with its unselected arm queued, or resumed.

    Args:
        config: of the study.
        dataset: as `load` returns it.
        url: of the storage, as `open_storage` takes it.

    Returns:
        The study, and the numbers of the trials that dead processes had left running.

    Raises:
        ValueError: a study of that name is there with another space, data set, split,
            training or preregistration; the message says what differs. Or the storage
            cannot be opened, or the prior study does not fit.
        NoCandidate: the space holds nothing under the budget.
    """
    storage = None if is_absent(url) else open_storage(url)
    check_prior(config, storage)
    if storage is not None and study_exists(storage, config.name):
        if not _is_half_made(storage, config.name):
            study = load_study(storage, config.name)
            _refuse_changes(study, config, dataset)
            study.set_user_attr("config", config.to_json())
            return study, repair(study)
        optuna.delete_study(study_name=config.name, storage=storage)
    # before anything is written: this fails where the space is empty
    arm = unselected(config, space_of(config, dataset))[: config.design.trials]
    study = optuna.create_study(
        storage=storage or open_storage(url),
        study_name=config.name,
        direction="maximize",
    )
    study.set_user_attr("config_digest", config.digest())
    study.set_user_attr("preregistration", registration(config))
    study.set_user_attr("fingerprint", dataset.fingerprint)
    study.set_user_attr("dataset", dataset.label)
    study.set_user_attr("validation_images", len(dataset.validation_labels))
    study.set_user_attr("train_images", len(dataset.train_labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(["validation accuracy"])
    for candidate in arm:
        attributes = {"arm": UNSELECTED, "network": candidate.attributes()}
        study.enqueue_trial(candidate.params, user_attrs=attributes)
    study.set_user_attr("config", config.to_json())  # last: now it is whole
    return study, []


def work(study: optuna.Study, worker: Worker) -> None:
    """Run trials until the study's total is reached, time is up or nothing is left.

    Raises:
        KeyboardInterrupt: interrupted; the trial at hand is queued again.
    """
    config = worker.config
    space = space_of(config, worker.dataset)
    sampler = _sampler(study, worker, space)
    study.sampler = sampler
    study.pruner = _pruner(config, sampler)
    if _is_finished(study, worker):
        return
    objective = _Objective(worker, space, sampler)
    try:
        study.optimize(objective, callbacks=[_stop_when(worker)])
    except NoCandidate as error:
        # the trial that found nothing is no result: it stays a failed one
        _log.warning("%s", error)
    except KeyboardInterrupt:
        if objective.number is not None:
            requeue(study, study.get_trials(deepcopy=False)[objective.number])
        raise


def _sampler(
    study: optuna.Study, worker: Worker, space: Space
) -> StudyGuide | ScreenSampler:
    config = worker.config
    if config.search.sampler != "guided":
        return ScreenSampler(config, space)
    prior = prior_records(config, study._storage)
    images = len(worker.dataset.validation_labels)
    return StudyGuide(config, space, prior=prior, images=images, device=worker.device)


def _pruner(config: StudyConfig, sampler: StudyGuide | ScreenSampler) -> BasePruner:
    if config.pruner.kind == "short":
        return ShortRuns(config.first_rung)
    halving = SuccessiveHalvingPruner(
        min_resource=config.first_rung,
        reduction_factor=config.pruner.factor,
        min_early_stopping_rate=0,
    )
    if isinstance(sampler, StudyGuide) and config.search.cost is not None:
        return KeepFront(halving, sampler.sight.cost)
    return halving


def progress(study: optuna.Study) -> dict[TrialState, int]:
    """Number of trials in each state."""
    counts = dict.fromkeys(TrialState, 0)
    for trial in study.get_trials(deepcopy=False):
        counts[trial.state] += 1
    return counts


def seed_of(config: StudyConfig, number: int) -> int:
    """Seed of a trial's weights and data order."""
    return int(
        np.random.SeedSequence([config.search.seed, number]).generate_state(1)[0]
    )


class _Objective:
    """Trains the network of a trial; called by Optuna."""

    def __init__(
        self, worker: Worker, space: Space, sampler: StudyGuide | ScreenSampler
    ) -> None:
        self._worker, self._space, self._sampler = worker, space, sampler
        self.number: int | None = None

    def __call__(self, trial: Trial) -> float:
        self.number = trial.number
        trial.set_user_attr("worker", worker_identity())
        architecture = self._space.sample(trial)  # the sampler screens at this point
        self._record_network(trial)
        seed = seed_of(self._worker.config, trial.number)
        outcome: dict[str, Any] = {"seed": seed, "versions": versions()}
        start = time.perf_counter()
        try:
            accuracy = self._train(trial, architecture, outcome)
        except optuna.TrialPruned:
            self._close(trial, outcome, start)
            raise
        self._close(trial, outcome, start)
        return accuracy

    def _train(
        self, trial: Trial, architecture: Architecture, outcome: dict[str, Any]
    ) -> float:
        """Validation accuracy of the trained network; the outcome is filled in.

        Raises:
            TrialPruned: by the pruner, or because the network cannot be trained here.
        """
        try:
            module = build(architecture, seed=outcome["seed"])
            result = self._fit(trial, module, outcome["seed"])
            self._keep(trial, module)
        except optuna.TrialPruned:
            outcome["reason"] = _ENDED[self._worker.config.pruner.kind]
            raise
        except Diverged as error:
            raise _infeasible(trial, outcome, "diverged", str(error)) from None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # from None: the traceback holds the tensors that filled the memory
            raise _infeasible(trial, outcome, "out of memory", str(error)) from None
        outcome |= _result(result)
        return result.accuracy

    def _record_network(self, trial: Trial) -> None:
        """Keep architecture, digest and measures, once, before the training."""
        screened = self._sampler.screened(trial.number)
        if screened is not None:
            trial.set_user_attr("arm", "search")
            self._set_network(trial, screened.chosen.attributes())
            trial.set_user_attr("screen", dict(screened.report))
        elif "network" not in trial.user_attrs:  # enqueued by someone else
            draw = Draw(lambda name, distribution: trial.params[name])
            given = Sieve(self._space, {}).admit("given", draw)
            assert given is not None  # it has been sampled
            self._set_network(trial, given.attributes())
        elif self._worker.config.search.cost == LATENCY:
            self._set_network(trial, dict(trial.user_attrs["network"]))

    def _set_network(self, trial: Trial, network: dict[str, Any]) -> None:
        """Keep what is known of the network, its time where that is an objective."""
        if isinstance(self._sampler, StudyGuide) and (
            self._worker.config.search.cost == LATENCY
        ):
            seconds = self._sampler.sight.cost(trial.params)
            if math.isfinite(seconds):
                network["measures"] = {**network["measures"], LATENCY: seconds}
        trial.set_user_attr("network", network)

    def _fit(self, trial: Trial, module: torch.nn.Module, seed: int) -> Fit:
        prunable = trial.user_attrs.get("arm") != UNSELECTED
        rung = self._worker.config.first_rung

        def on_epoch(epoch: Epoch) -> None:
            trial.report(epoch.validation_accuracy, epoch.index)
            if self._worker.parent and os.getppid() != self._worker.parent:
                raise KeyboardInterrupt
            last = epoch.index == self._worker.config.training.epochs
            if prunable and not last and epoch.index >= rung and trial.should_prune():
                raise optuna.TrialPruned

        return fit(
            module,
            self._worker.dataset,
            self._worker.config.training,
            seed=seed,
            device=self._worker.device,
            on_epoch=on_epoch,
        )

    def _keep(self, trial: Trial, module: torch.nn.Module) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / WEIGHTS
            save_weights(module, path)
            upload_artifact(
                artifact_store=self._worker.store,
                file_path=str(path),
                study_or_trial=trial,
            )

    def _close(self, trial: Trial, outcome: dict[str, Any], start: float) -> None:
        outcome["seconds"] = time.perf_counter() - start
        trial.set_user_attr("outcome", outcome)
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        row = record(frozen, trial.study.user_attrs)
        _log.info("trial %d %s: %s", row.number, row.state, row.accuracy or row.reason)
        self._worker.hook(trial, row, self._worker.store)
        self.number = None


def _infeasible(
    trial: Trial, outcome: dict[str, Any], reason: str, text: str
) -> optuna.TrialPruned:
    """A network that cannot be trained here: constrained and pruned."""
    outcome["reason"] = f"{reason}: {text.splitlines()[0] if text else 'no message'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        trial.set_constraint(reason, 1.0)
    return optuna.TrialPruned(reason)


def versions() -> str:
    """Software behind a trial."""
    parts = {
        "nasdepth": __version__,
        "torch": torch.__version__,
        "optuna": optuna.__version__,
    }
    return ", ".join(f"{name} {version}" for name, version in parts.items())


def prepare_process(threads: int, device: str) -> torch.device:
    """Device to train on, with the process's threads set."""
    torch.set_num_threads(threads)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return pick_device(device)


def _result(result: Fit) -> dict[str, Any]:
    return {
        "accuracy": result.accuracy,
        "images_per_second": result.images_per_second,
        "precision": result.precision,
        "epochs": [asdict(epoch) for epoch in result.curve],
    }


def _is_half_made(storage: BaseStorage, name: str) -> bool:
    """Whether the making of a study of ours was cut short."""
    attributes = storage.get_study_user_attrs(storage.get_study_id_from_name(name))
    return "config_digest" in attributes and "config" not in attributes


def _refuse_changes(study: optuna.Study, config: StudyConfig, dataset: Dataset) -> None:
    old = StudyConfig.from_json(study.user_attrs["config"]).fixed()
    new = config.fixed()
    changed = [key for key in new if old.get(key) != new[key]]
    if changed:
        told = "; ".join(f"{k} was {old.get(k)!r}, is {new[k]!r}" for k in changed[:3])
        raise ValueError(
            f"Study {config.name!r} exists with another setting: {told}. Give the new "
            "study another name."
        )
    if study.user_attrs["fingerprint"] != dataset.fingerprint:
        raise ValueError(
            f"Study {config.name!r} exists with other images or another split of "
            f"{study.user_attrs['dataset']}. Give the new study another name."
        )


def _is_finished(study: optuna.Study, worker: Worker) -> bool:
    counts = progress(study)
    finished = counts[TrialState.COMPLETE] + counts[TrialState.PRUNED]
    total = worker.config.search.n_trials
    full = finished + counts[TrialState.RUNNING] >= total
    orphaned = worker.parent and os.getppid() != worker.parent
    return full or time.time() >= worker.deadline or bool(orphaned)


def _stop_when(worker: Worker) -> Callable[[optuna.Study, Any], None]:
    def stop(study: optuna.Study, trial: object) -> None:
        if _is_finished(study, worker):
            study.stop()

    return stop
