"""The run: a study made or resumed, and trials until it is full."""

import logging
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import optuna
import torch
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState

from nasdepth.guide.draws import Draw, NoCandidate
from nasdepth.guide.pruner import KeepFront, ShortRuns
from nasdepth.search.candidates import Sieve
from nasdepth.search.config import LATENCY, StudyConfig
from nasdepth.search.design import unselected
from nasdepth.search.guided import StudyGuide, check_prior, prior_records
from nasdepth.search.objective import UNSELECTED as UNSELECTED
from nasdepth.search.objective import Hook as Hook
from nasdepth.search.objective import Introduce, Objective
from nasdepth.search.objective import Worker as Worker
from nasdepth.search.objective import versions as versions
from nasdepth.search.retries import LastAttempts, repair, requeue, requeue_lost
from nasdepth.search.screen import ScreenSampler
from nasdepth.search.space import Space
from nasdepth.search.stopping import StopFlag
from nasdepth.search.storage import (
    is_absent,
    load_study,
    open_storage,
    registration,
    study_exists,
)
from nasdepth.training.data import Dataset
from nasdepth.training.device import is_poisoned, pick_device

_log = logging.getLogger(__name__)
#: exit code of a worker whose device can compute no more
POISONED: Final = 75


class DevicePoisoned(RuntimeError):
    """A kernel has ruined the device's context: only a new process can go on."""


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
            return study, [*repair(study), *requeue_lost(study)]
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
    study.set_user_attr("first_rung", config.rungs(len(dataset.train_labels))[0])
    study.set_user_attr("identity", uuid4().hex)
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
    worker = replace(worker, config=_with_rungs(study, worker))
    config = worker.config
    space = space_of(config, worker.dataset)
    sampler = _sampler(study, worker, space)
    study.sampler = sampler
    rung = config.rungs(len(worker.dataset.train_labels))[0]
    study.pruner = _pruner(config, rung, sampler)
    if _is_finished(study, worker):
        return
    stop = StopFlag()
    introduce = _introduce(config, space, sampler)
    folder = _checkpoints(study, worker)
    objective = Objective(worker, space.sample, introduce, stop, folder)
    with stop.watching():  # until a trial that is cut short is queued again
        _optimize(study, worker, objective)


def _optimize(study: optuna.Study, worker: Worker, objective: Objective) -> None:
    callbacks = [objective.ended, _stop_when(worker)]
    try:
        while not _is_optimized(study, objective, callbacks):
            _log.warning(
                "Trial %s was taken over by another process.", objective.number
            )
    except NoCandidate as error:
        # the trial that found nothing is no result: it stays a failed one
        _log.warning("%s", error)
    except KeyboardInterrupt:
        _hand_back(study, objective, "interrupted", blamed=False)
        raise
    except RuntimeError as error:
        told = (str(error).splitlines() or [""])[0]
        if is_poisoned(error):
            _hand_back(study, objective, "it ruined the device's context", blamed=True)
            raise DevicePoisoned(told) from None
        _hand_back(study, objective, f"it failed: {told}", blamed=True)
        raise


def _is_optimized(
    study: optuna.Study, objective: Objective, callbacks: list[Callable[..., None]]
) -> bool:
    """Whether the study ran to its end; False where a trial was lost on the way.

    A process that stood still for long is taken for dead, and its trial is failed and
    queued again by others: what it has trained since is theirs.
    """
    try:
        study.optimize(objective, callbacks=callbacks)
    except (UpdateFinishedTrialError, ValueError) as error:
        finished = isinstance(error, UpdateFinishedTrialError)
        if finished or str(error).startswith("Cannot tell a"):
            return False
        raise
    return True


def _checkpoints(study: optuna.Study, worker: Worker) -> Path | None:
    """Folder of a study's checkpoints: another study of that name has another."""
    if worker.folder is None:
        return None
    if "identity" not in study.user_attrs:
        study.set_user_attr("identity", uuid4().hex)
    return worker.folder / "checkpoints" / str(study.user_attrs["identity"])


def _with_rungs(study: optuna.Study, worker: Worker) -> StudyConfig:
    """The configuration with the first rung that the study began with.

    Trials are compared at rungs, so that they may not move. Studies that are older than
    the rule of `schedule.rungs` had the first at a third of the epochs.
    """
    config = worker.config
    first = study.user_attrs.get("first_rung", -(-config.training.epochs // 3))
    if config.pruner.first_rung:
        first = config.pruner.first_rung
    pruner = config.pruner.model_copy(update={"first_rung": first})
    return config.model_copy(update={"pruner": pruner})


def _hand_back(
    study: optuna.Study, objective: Objective, cause: str, *, blamed: bool
) -> None:
    """Queue the trial at hand again, unless it has a result or still counts as run."""
    if objective.number is not None:
        trial = study.get_trials(deepcopy=False)[objective.number]
        if trial.state == TrialState.FAIL:
            requeue(study, trial, cause, blamed=blamed)


def _sampler(
    study: optuna.Study, worker: Worker, space: Space
) -> StudyGuide | ScreenSampler:
    config = worker.config
    if config.search.sampler != "guided":
        return ScreenSampler(config, space)
    prior = prior_records(config, study._storage)
    return StudyGuide(
        config,
        space,
        prior=prior,
        images=len(worker.dataset.validation_labels),
        device=worker.device,
        rung=config.rungs(len(worker.dataset.train_labels))[0],
    )


def _pruner(
    config: StudyConfig, rung: int, sampler: StudyGuide | ScreenSampler
) -> BasePruner:
    if config.pruner.kind != "halving":
        return ShortRuns(rung)
    halving = SuccessiveHalvingPruner(
        min_resource=rung,
        reduction_factor=config.pruner.factor,
        min_early_stopping_rate=0,
    )
    if isinstance(sampler, StudyGuide) and config.search.cost is not None:
        return LastAttempts(KeepFront(halving, sampler.sight.cost))
    return LastAttempts(halving)


def progress(study: optuna.Study) -> dict[TrialState, int]:
    """Number of trials in each state."""
    counts = dict.fromkeys(TrialState, 0)
    for trial in study.get_trials(deepcopy=False):
        counts[trial.state] += 1
    return counts


def _introduce(
    config: StudyConfig, space: Space, sampler: StudyGuide | ScreenSampler
) -> Introduce:
    """Keeps architecture, digest and measures, once, before the training."""

    def introduce(trial: Trial) -> None:
        screened = sampler.screened(trial.number)
        if screened is not None:
            trial.set_user_attr("arm", "search")
            keep(trial, screened.chosen.attributes())
            trial.set_user_attr("screen", dict(screened.report))
        elif "network" not in trial.user_attrs:  # enqueued by someone else
            draw = Draw(lambda name, distribution: trial.params[name])
            given = Sieve(space, {}).admit("given", draw)
            assert given is not None  # it has been sampled
            keep(trial, given.attributes())
        elif config.search.cost == LATENCY:
            keep(trial, dict(trial.user_attrs["network"]))

    def keep(trial: Trial, network: dict[str, Any]) -> None:
        if isinstance(sampler, StudyGuide) and config.search.cost == LATENCY:
            seconds = sampler.sight.cost(trial.params)
            if math.isfinite(seconds):
                network["measures"] = {**network["measures"], LATENCY: seconds}
        trial.set_user_attr("network", network)

    return introduce


def prepare_process(threads: int, device: str) -> torch.device:
    """Device to train on, with the process's threads set."""
    torch.set_num_threads(threads)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    chosen = pick_device(device)
    if chosen.type == "cuda":
        # cuBLAS reads it once, before its first product: deterministic ones need it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.cuda.set_device(chosen.index or 0)
    return chosen


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
