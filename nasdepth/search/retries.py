"""Trials whose process ended before they did: seen, recorded, tried again."""

import os
import socket
from datetime import datetime
from typing import Any, Final, cast

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from nasdepth.training.ledger import born

#: times that a trial is tried again after its process died
MAX_RETRY: Final = 3
#: keys of a trial's attributes that are of one attempt alone
_OWN: Final = ("worker", "outcome")
#: seconds that no choice of a network takes
_CHOOSING: Final = 300
DIED: Final = "its process died"


def worker_identity() -> dict[str, str | int]:
    """What tells whether the process that runs a trial is still alive."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "born": born(pid)}


def origin_of(trial: Trial | FrozenTrial) -> int:
    """Number of a trial's first attempt: it names its seed and its checkpoints."""
    return int(trial.user_attrs.get("origin", trial.number))


def repair(study: optuna.Study, cause: str = DIED, *, blamed: bool = True) -> list[int]:
    """Fail and requeue the running trials whose process on this machine is dead.

    Args:
        study: one of ours.
        cause: of the deaths, in words.
        blamed: whether the trials themselves may be the cause.

    Returns:
        Their numbers.
    """
    repaired = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        dead = _is_dead(trial.user_attrs.get("worker")) or _is_unclaimed(trial)
        if dead and _failed(study, trial, cause):
            requeue(study, trial, cause, blamed=blamed)
            repaired.append(trial.number)
    return repaired


def requeue_lost(study: optuna.Study) -> list[int]:
    """Queue the failed trials again whose process died before it could do so.

    To be called where no other process works on the study.

    Returns:
        Their numbers.
    """
    trials = study.get_trials(deepcopy=False)
    followed = {
        number
        for trial in trials
        for number in trial.system_attrs.get("retry_history", ())
    }
    lost = [
        trial
        for trial in trials
        if trial.state == TrialState.FAIL
        and trial.number not in followed
        and "network" in trial.user_attrs
        and "refused" not in trial.user_attrs
    ]
    for trial in lost:
        requeue(study, trial)
    return [trial.number for trial in lost]


class LastAttempts(BasePruner):
    """Another pruner, to which a trial that was tried again counts once.

    Its earlier attempts have failed, but their results at the rungs are in the storage.

    Args:
        pruner: that proposes whom to end.
    """

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the other pruner ends a trial among the last attempts."""
        return self._pruner.prune(cast(optuna.Study, _LastAttempts(study)), trial)


class _LastAttempts:
    """A study without the failed trials: each is queued again, or has no network."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(self, **options: Any) -> list[FrozenTrial]:
        trials = self._study.get_trials(**options)
        return [trial for trial in trials if trial.state != TrialState.FAIL]


def claim(study: optuna.Study, trial: FrozenTrial) -> None:
    """Note that this process runs a trial, before its network is chosen."""
    identity = worker_identity()
    study._storage.set_trial_user_attr(trial._trial_id, "worker", identity)


def _failed(study: optuna.Study, trial: FrozenTrial, cause: str) -> bool:
    """Whether it was this process that told of a trial's end."""
    try:
        storage = study._storage
        storage.set_trial_user_attr(trial._trial_id, "outcome", {"reason": cause})
        return storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:  # another one was faster
        return False


def requeue(
    study: optuna.Study, trial: FrozenTrial, cause: str = DIED, *, blamed: bool = True
) -> None:
    """Queue a failed trial again, with its parameters, seed and checkpoint.

    After three deaths it is queued a last time, to be refused: a trial that ends its
    processes is a result, and no sampler should propose the like.

    Args:
        study: of the trial.
        trial: one that ended before its network was chosen has nothing to repeat.
        cause: of the failure, in words.
        blamed: whether the trial itself may be the cause.
    """
    if "network" not in trial.user_attrs:
        return
    attempt = {"trial": trial.number, "cause": cause, "blamed": blamed}
    attempts = [*trial.user_attrs.get("attempts", ()), attempt]
    kept = {k: v for k, v in trial.user_attrs.items() if k not in _OWN}
    kept |= {"attempts": attempts, "origin": origin_of(trial)}
    if sum(each["blamed"] for each in attempts) > MAX_RETRY:
        kept["refused"] = f"{cause}, {MAX_RETRY + 1} times"
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=kept,
            system_attrs=_followed(trial),
        )
    )


def _followed(trial: FrozenTrial) -> dict[str, Any]:
    """System attributes by which Optuna too knows a retried trial."""
    before = trial.system_attrs.get("retry_history", [])
    return {
        "failed_trial": trial.number,
        **trial.system_attrs,
        "retry_history": [*before, trial.number],
    }


def _is_dead(worker: dict[str, Any] | None) -> bool:
    if worker is None or worker["host"] != socket.gethostname():
        return False  # not ours to judge: the heartbeat will
    return bool(born(worker["pid"]) != worker["born"])


def _is_unclaimed(trial: FrozenTrial) -> bool:
    """Whether a process died while its trial's network was still being chosen."""
    if "worker" in trial.user_attrs or trial.datetime_start is None:
        return False
    age = datetime.now() - trial.datetime_start
    return age.total_seconds() > _CHOOSING
