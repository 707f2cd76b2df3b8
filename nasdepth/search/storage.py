"""Storages, and studies read as records."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import (
    BaseStorage,
    JournalStorage,
    RDBStorage,
)
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from nasdepth.architecture.registry import unknown
from nasdepth.evidence.observations import Evidence, observations_of
from nasdepth.evidence.records import TrialRecord
from nasdepth.search.config import StudyConfig
from nasdepth.search.retries import repair as repair
from nasdepth.search.retries import requeue as requeue

DEFAULT_STORAGE: Final = "sqlite:///nasdepth.db"
WEIGHTS: Final = "model.safetensors"
_HEARTBEAT: Final = 30  # seconds
#: what the opening of a storage fails with
_UNOPENED: Final = (
    SQLAlchemyError,
    StorageInternalError,
    OSError,
    ImportError,
    RuntimeError,
)
_STATES: Final = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def open_storage(url: str) -> BaseStorage:
    """Storage of an Optuna URL, or of `journal:///path`.

    A SQLite file gets a write-ahead log, so that readers and a writer do not wait for
    each other; relational storages a heartbeat that requeues trials of dead processes.

    Raises:
        ValueError: it cannot be opened; one line.
    """
    try:
        if url.startswith("journal:///"):
            return _journal(url.removeprefix("journal:///"))
        if url.startswith("sqlite:") and _path(url) in (None, "", ":memory:"):
            raise OSError("it must be a file, which processes can share")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = RDBStorage(
                url,
                heartbeat_interval=_HEARTBEAT,
                grace_period=4 * _HEARTBEAT,
                heartbeat_stale_trial_callback=requeue,
            )
    except _UNOPENED as error:
        raise ValueError(
            f"Storage {url!r} cannot be opened: {_short(error)}"
        ) from error
    if storage.engine.dialect.name == "sqlite":
        _write_ahead(storage)
    return storage


def existing_storage(url: str) -> BaseStorage:
    """Storage that is there already: reading makes no empty file.

    Raises:
        ValueError: the file is missing, or the storage cannot be opened.
    """
    if is_absent(url):
        path = _path(url)
        raise ValueError(f"Storage {url!r} cannot be opened: no file {path!r}.")
    return open_storage(url)


def is_absent(url: str) -> bool:
    """Whether a storage would be a file that is not there yet."""
    path = _path(url)
    return path is not None and not Path(path).is_file()


def study_exists(storage: BaseStorage, name: str) -> bool:
    """Whether the storage holds a study of that name."""
    return name in _names(storage)


def load_study(storage: BaseStorage, name: str) -> optuna.Study:
    """Study of that name.

    Raises:
        ValueError: there is none, or it is not a study of ours; the message has the
            names there are.
    """
    names = _names(storage)
    if name not in names:
        raise ValueError(
            unknown("study", name, names)
            if names
            else f"Unknown study {name!r}: the storage is empty."
        )
    study = optuna.load_study(study_name=name, storage=storage)
    if "config" not in study.user_attrs:
        raise ValueError(f"Study {name!r} was not made by nasdepth.")
    return study


def study_config(study: optuna.Study) -> StudyConfig:
    """Configuration that the study was made with."""
    return StudyConfig.from_json(study.user_attrs["config"])


def artifact_directory(url: str, given: Path | None = None) -> Path:
    """Folder of the artifacts: as given, or `nasdepth-artifacts` beside the storage."""
    if given is not None:
        return given
    return Path(_path(url) or "").parent / "nasdepth-artifacts"


def artifact_store(directory: Path) -> FileSystemArtifactStore:
    """Store of weights and pictures; the folder is made where it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(str(directory))


def weights_file(trial: FrozenTrial, study: optuna.Study, directory: Path) -> Path:
    """File of a complete trial's weights.

    Raises:
        ValueError: the trial kept none, or the file is gone.
    """
    metas = get_all_artifact_meta(study_or_trial=trial, storage=study._storage)
    for meta in metas:
        path = directory / meta.artifact_id
        if meta.filename == WEIGHTS and path.is_file():
            return path
    raise ValueError(f"The weights of trial {trial.number} are not in {directory}.")


def records(study: optuna.Study) -> tuple[TrialRecord, ...]:
    """Finished trials of a study, in their order."""
    trials = study.get_trials(deepcopy=False, states=tuple(_STATES))
    return tuple(record(trial, study.user_attrs) for trial in trials)


def record(trial: FrozenTrial, attributes: dict[str, Any]) -> TrialRecord:
    """Row of a trial.

    Args:
        trial: finished, or at its end with its outcome recorded.
        attributes: the study's.
    """
    network = trial.user_attrs.get("network", {})
    outcome = trial.user_attrs.get("outcome", {})
    complete = trial.state in (TrialState.COMPLETE, TrialState.RUNNING)
    curve = [trial.intermediate_values[k] for k in sorted(trial.intermediate_values)]
    return TrialRecord(
        number=trial.number,
        arm=trial.user_attrs.get("arm", "search"),
        # at its end a trial still runs for Optuna; a reason says that it was cut
        state=_STATES.get(trial.state, "pruned" if "reason" in outcome else "complete"),
        architecture=network.get("architecture", ""),
        digest=network.get("digest", ""),
        measures=network.get("measures", {}),
        curve=tuple(curve),
        accuracy=outcome.get("accuracy") if complete else None,
        accuracies=tuple(outcome.get("accuracies", ())),
        seeds=tuple(outcome.get("seeds", ())),
        validation_images=attributes.get("validation_images", 0),
        seconds=outcome.get("seconds", 0.0),
        seed=outcome.get("seed", 0),
        reason=outcome.get("reason", ""),
        dataset=attributes.get("dataset", ""),
        config_digest=attributes.get("config_digest", ""),
        versions=outcome.get("versions", ""),
    )


def registration(config: StudyConfig) -> dict[str, str]:
    """What a study keeps of its preregistration before its first trial."""
    return {
        "sha256": config.preregistration.digest(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def evidence(study: optuna.Study, *, threshold: float | None = None) -> Evidence:
    """A study's trials with what was preregistered.

    The plan counts as registered where its hash is the one kept before the first
    trial; studies older than that kept the hash of their whole configuration.

    Args:
        study: one of ours.
        threshold: accuracy to which epochs are counted; None takes the plan's.
    """
    config = study_config(study)
    plan = config.preregistration
    kept = study.user_attrs.get("preregistration")
    if kept is not None:
        unchanged = kept["sha256"] == plan.digest()
        told = f"hashed before the first trial, {kept['at']}"
    else:
        unchanged = study.user_attrs.get("config_digest") == config.digest()
        told = "hashed with the configuration before the first trial"
    return Evidence(
        name=f"study {study.study_name}",
        observations=observations_of(
            records(study), plan.threshold if threshold is None else threshold
        ),
        plan=plan,
        registered=told if unchanged else "",
    )


def best_trial(study: optuna.Study, number: int | None = None) -> FrozenTrial:
    """Complete trial of the best validation accuracy, or the one of that number.

    Raises:
        ValueError: no trial is complete, or not that one.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if number is None:
        if not done:
            raise ValueError(f"Study {study.study_name!r} has no complete trial yet.")
        return max(done, key=lambda trial: trial.value or 0.0)
    for trial in study.get_trials(deepcopy=False):
        if trial.number == number:
            if trial.state == TrialState.COMPLETE:
                return trial
            state = trial.state.name.lower()
            raise ValueError(f"Trial {number} must be complete, but it is {state}.")
    raise ValueError(f"Study {study.study_name!r} has no trial {number}.")


def _path(url: str) -> str | None:
    """File of a storage; None for one that is no file."""
    for prefix in ("sqlite:///", "journal:///"):
        if url.startswith(prefix):
            return url.removeprefix(prefix).split("?")[0]
    return None


def _journal(path: str) -> JournalStorage:
    try:
        return JournalStorage(JournalFileBackend(path))
    except (KeyError, TypeError):  # JSON, but no operations of Optuna
        raise OSError("file is not a journal") from None


def _write_ahead(storage: RDBStorage) -> None:
    def pragmas(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA busy_timeout=60000")
        cursor.close()

    event.listen(storage.engine, "connect", pragmas)
    storage.engine.dispose()  # connections opened before the listener was attached


def _names(storage: BaseStorage) -> Sequence[str]:
    return optuna.get_all_study_names(storage)


def _short(error: BaseException) -> str:
    text = str(error.__cause__ or error).strip().splitlines()
    return f"{text[0].rstrip('.')}." if text else f"{type(error).__name__}."
