"""The objective of a study: trains a trial's network, records what became of it."""

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final, TypeAlias

import optuna
import torch
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, Trial, TrialState

from nasdepth import __version__
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.records import TrialRecord
from nasdepth.search.config import StudyConfig
from nasdepth.search.retries import origin_of
from nasdepth.search.status import Status, StatusFile, used_memory
from nasdepth.search.stopping import StopFlag
from nasdepth.search.storage import WEIGHTS, record
from nasdepth.search.trainer import Replicate, Trainer
from nasdepth.training.data import Dataset
from nasdepth.training.device import is_out_of_memory
from nasdepth.training.recipe import Diverged, DoesNotFit, Epoch, Fit, Stopped
from nasdepth.training.weights import save_weights

_log = logging.getLogger(__name__)
UNSELECTED: Final = "unselected"
_SHORT: Final = "a short run, not finished"
#: why a trial ended early, by the kind of pruner
_ENDED: Final = {
    "halving": "pruned by successive halving",
    "short": _SHORT,
    "top": _SHORT,
}

#: called at the end of every trial, its outcome recorded
Hook: TypeAlias = Callable[[Trial, TrialRecord, FileSystemArtifactStore], None]
#: keeps what is known of a trial's network before it is trained
Introduce: TypeAlias = Callable[[Trial], None]


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
        folder: of the checkpoints; None keeps none.
        status: where it tells what it is doing.
    """

    config: StudyConfig
    dataset: Dataset
    device: torch.device
    store: FileSystemArtifactStore
    hook: Hook
    deadline: float = float("inf")
    parent: int = 0
    folder: Path | None = None
    status: StatusFile = StatusFile()  # noqa: RUF009 -- a frozen value


class Objective:
    """Trains the network of a trial; called by Optuna.

    Args:
        worker: the process.
        sample: the space.
        introduce: see `Introduce`.
        stop: asked between steps.
        folder: of the study's checkpoints; None keeps none.
    """

    def __init__(
        self,
        worker: Worker,
        sample: Callable[[Trial], Architecture],
        introduce: Introduce,
        stop: StopFlag,
        folder: Path | None = None,
    ) -> None:
        self._worker, self._sample, self._introduce = worker, sample, introduce
        self._stop = stop
        self._trainer = Trainer(
            worker.config, worker.dataset, worker.device, folder, stop
        )
        #: of the trial at hand
        self.number: int | None = None

    def __call__(self, trial: Trial) -> float:
        self.number = trial.number
        architecture = self._sample(trial)  # the sampler chooses at this point
        self._introduce(trial)
        outcome: dict[str, Any] = {"versions": versions(), "epochs": []}
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
        self._stop.arm()  # until the storage holds what became of the trial
        if refused := trial.user_attrs.get("refused"):
            raise _infeasible(trial, outcome, "ended its process", refused)
        try:
            found = self._trained(trial, architecture, outcome)
        except optuna.TrialPruned:
            outcome["reason"] = _ENDED[self._worker.config.pruner.kind]
            raise
        except Stopped:
            raise KeyboardInterrupt from None
        except Diverged as error:
            raise _infeasible(trial, outcome, "diverged", str(error)) from None
        except DoesNotFit as error:
            raise _infeasible(trial, outcome, "does not fit", str(error)) from None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # from None: the traceback holds the tensors that filled the memory
            raise _infeasible(trial, outcome, "out of memory", str(error)) from None
        outcome |= _told(found)
        self._keep(trial, found)
        return float(outcome["accuracy"])

    def _trained(
        self, trial: Trial, architecture: Architecture, outcome: dict[str, Any]
    ) -> tuple[Replicate, ...]:
        """The trainings of a trial: one, or those of the unselected arm.

        Raises:
            Diverged: every one did.
        """
        self._worker.status.write(
            Status(
                trial=trial.number,
                architecture=architecture.to_json(),
                epochs=self._worker.config.training.epochs,
                memory=used_memory(self._worker.device),
            )
        )
        origin = self._origin(trial)
        trial.set_user_attr("trained", origin)
        outcome["seed"] = self._trainer.seed(origin)
        arm, config = trial.user_attrs.get("arm"), self._worker.config
        if arm != UNSELECTED or config.design.replicates == 1:
            told = _Told(trial, self._worker, architecture, outcome["epochs"])
            return (self._trainer.train(architecture, origin, told),)
        told = _Told(trial, self._worker, architecture, [], reported=False)
        found = self._trainer.replicate(architecture, origin, told)
        outcome["accuracies"] = [each.accuracy for each in found]
        outcome["seeds"] = [each.seed for each in found]
        _report_mean(trial, found)
        return found

    def _origin(self, trial: Trial) -> int:
        """Trial that names seed and checkpoint; of a confirmation, the short run."""
        if self._worker.config.pruner.kind != "halving":
            digest = trial.user_attrs.get("network", {}).get("digest")
            done = trial.study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
            for other in done:
                same = other.user_attrs.get("network", {}).get("digest") == digest
                if same and self._trainer.has_checkpoint(origin_of(other)):
                    return origin_of(other)
        return origin_of(trial)

    def _keep(self, trial: Trial, found: Sequence[Replicate]) -> None:
        """Keep the weights of the first training that ended."""
        network = next(each.network for each in found if each.network is not None)
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / WEIGHTS
                save_weights(network, path)
                upload_artifact(
                    artifact_store=self._worker.store,
                    file_path=str(path),
                    study_or_trial=trial,
                )
        except OSError as error:  # what it has learnt of the network is not lost
            told = "The weights of trial %d could not be kept: %s."
            _log.warning(told, trial.number, error.strerror or error)

    def _close(self, trial: Trial, outcome: dict[str, Any], start: float) -> None:
        # a training that was gone on with has taken longer than this attempt
        trained = sum(epoch["seconds"] for epoch in outcome["epochs"])
        outcome["seconds"] = max(time.perf_counter() - start, trained)
        trial.set_user_attr("outcome", outcome)
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        row = record(frozen, trial.study.user_attrs)
        _log.info("trial %d %s: %s", row.number, row.state, row.accuracy or row.reason)
        self._worker.hook(trial, row, self._worker.store)
        self._worker.status.write(Status())

    def ended(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Forget the checkpoints of a trial whose result the storage holds.

        Raises:
            KeyboardInterrupt: a signal came since its training began.
        """
        self.number = None
        reason = trial.user_attrs.get("outcome", {}).get("reason")
        if trial.state != TrialState.FAIL and reason != _SHORT:
            self._trainer.forget(trial.user_attrs.get("trained", trial.number))
        self._stop.disarm()


@dataclass(frozen=True, slots=True)
class _Told:
    """Whom the end of an epoch concerns: the study, its pruner, and who watches.

    Attributes:
        trial: that trains.
        worker: the process.
        architecture: of the network.
        epochs: takes each epoch as JSON values.
        reported: whether the study hears of it, and may prune.
    """

    trial: Trial
    worker: Worker
    architecture: Architecture
    epochs: list[dict[str, Any]]
    reported: bool = True

    def __call__(self, epoch: Epoch) -> None:
        self.epochs.append(asdict(epoch))
        self._write(epoch)
        if self.reported:
            self.trial.report(epoch.validation_accuracy, epoch.index)
        if self.worker.parent and os.getppid() != self.worker.parent:
            raise KeyboardInterrupt
        if self.reported and self._is_prunable(epoch) and self.trial.should_prune():
            raise optuna.TrialPruned

    def _is_prunable(self, epoch: Epoch) -> bool:
        if self.trial.user_attrs.get("arm") == UNSELECTED:
            return False
        rungs = self.worker.config.rungs(len(self.worker.dataset.train_labels))
        return rungs[0] <= epoch.index < rungs[-1]

    def _write(self, epoch: Epoch) -> None:
        self.worker.status.write(
            Status(
                trial=self.trial.number,
                architecture=self.architecture.to_json(),
                epoch=epoch.index,
                epochs=self.worker.config.training.epochs,
                loss=epoch.loss,
                accuracy=epoch.validation_accuracy,
                images_per_second=epoch.images_per_second,
                memory=used_memory(self.worker.device),
            )
        )


def _report_mean(trial: Trial, found: Sequence[Replicate]) -> None:
    """Report the mean curve of the trainings that ended.

    Raises:
        Diverged: none did.
    """
    ended = [each.result for each in found if isinstance(each.result, Fit)]
    if not ended:
        raise next(each.result for each in found if isinstance(each.result, Diverged))
    for epochs in zip(*(result.curve for result in ended), strict=True):
        mean = fmean(epoch.validation_accuracy for epoch in epochs)
        trial.report(mean, epochs[0].index)


def _told(found: Sequence[Replicate]) -> dict[str, Any]:
    """What a trial keeps of its trainings."""
    ended = [each.result for each in found if isinstance(each.result, Fit)]
    first = ended[0]
    return {
        "accuracy": fmean(result.accuracy for result in ended),
        "images_per_second": fmean(result.images_per_second for result in ended),
        "precision": first.precision,
        "layout": first.layout,
        "parts": first.parts,
        "halvings": first.halvings,
        "epochs": [asdict(epoch) for epoch in first.curve],
    }


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
