"""Worker processes of a study: started, watched, replaced, interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasdepth.search.retries import DIED, origin_of, repair
from nasdepth.search.status import Status, StatusFile, read_status
from nasdepth.search.study import POISONED

#: seconds that an interrupted worker has to save what it holds
_PATIENCE: Final = 30.0
#: seconds between two looks at the processes
_LOOK: Final = 0.05
#: trials in a row in which the workers of a place may be cut short, none finished. What
#: is counted is not the workers: a trial that kills four of them is refused, and goes.
_LOSSES: Final = 3
INTERRUPTED: Final = 130
#: signals by which someone asks a worker to end: it gets no successor
_ASKED: Final = (signal.SIGINT, signal.SIGTERM)

#: starts a worker that writes its log to the path, and its status beside it
Launch: TypeAlias = Callable[[Path], "subprocess.Popen[bytes]"]


@dataclass(slots=True)
class _Place:
    """One worker at a time; not frozen, for it outlives the worker in it."""

    number: int
    log: Path
    process: "subprocess.Popen[bytes]"
    since: datetime = field(default_factory=datetime.now)
    #: trials that its workers were killed in since the last that one finished
    losses: list[int | None] = field(default_factory=list)
    over: bool = False

    def close(self) -> None:
        self.over = True
        StatusFile(status_path(self.log)).remove()


class Fleet:
    """Worker processes, each in a place with a log of its own.

    It has a state, since a worker that is killed is replaced in its place.

    Args:
        launch: starts a worker.
        logs: one file a worker.
    """

    def __init__(self, launch: Launch, logs: Sequence[Path]) -> None:
        self._launch = launch
        self._places = [_Place(i, log, launch(log)) for i, log in enumerate(logs, 1)]

    @property
    def processes(self) -> tuple["subprocess.Popen[bytes]", ...]:
        """The last process of each place."""
        return tuple(place.process for place in self._places)

    def alive(self) -> int:
        """Number of places whose worker runs, or has ended untended."""
        return sum(not place.over for place in self._places)

    def statuses(self) -> dict[int, Status | None]:
        """What each worker is doing, by its number; None for one that starts."""
        running = (place for place in self._places if not place.over)
        return {p.number: read_status(status_path(p.log)) for p in running}

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Sleep until the time is over, a worker has ended, or it is time to stop."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and not (self._ended() or stop()):
            time.sleep(_LOOK)

    def tend(self, study: optuna.Study) -> list[str]:
        """Look after the workers that have ended, and replace those that were killed.

        One that an error ended in a trial is replaced as well. A trial that one of them
        held is queued again. A place whose workers were cut short in more than three
        trials, none finished in between, stays empty.

        Returns:
            One line for each that was cut short.
        """
        ended = self._ended()
        for place in ended:
            place.close()
        bad = [place for place in ended if _cause(place) or _failed(place)]
        if not bad:
            return []
        pairs = [(place, _held(study, place)) for place in bad]
        # an error outside of a trial would come again
        lost = [(place, trial) for place, trial in pairs if _cause(place) or trial]
        repair(study, cause=", ".join(sorted({_cause(p) for p in bad} - {""})) or DIED)
        return [
            f"{_end(place, trial)} {self._succeed(place, trial, study)}"
            for place, trial in lost
        ]

    def interrupt(self) -> None:
        """Ask every process to stop at once; end those that do not.

        One that has told nothing yet is still loading what it needs: it holds nothing
        to save, and is ended without asking.
        """
        for place in self._places:
            if place.process.poll() is not None:
                continue
            if status_path(place.log).exists():
                place.process.send_signal(signal.SIGINT)
            else:
                place.process.kill()
        limit = time.monotonic() + _PATIENCE
        for place in self._places:
            try:
                place.process.wait(max(0.1, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                place.process.kill()
                place.process.wait()
            place.close()

    def failure(self, missing: int = 0) -> str:
        """Why the fleet could not do its work; "" where all went well.

        That is the last log line of a worker that failed.

        Args:
            missing: trials that the study still lacks. Without any it does not matter
                that killed workers left a place empty.
        """
        for place in self._places:
            code = place.process.poll()
            if code in (None, 0, INTERRUPTED) or (_cause(place) and not missing):
                continue
            return f"A worker ended with code {code}: {_last_line(place)} ({place.log})"
        return ""

    def _ended(self) -> list[_Place]:
        return [p for p in self._places if not p.over and p.process.poll() is not None]

    def _succeed(
        self, place: _Place, trial: FrozenTrial | None, study: optuna.Study
    ) -> str:
        """Put a new worker in the place unless too many were killed; tells which."""
        if _has_finished(study, place):
            place.losses.clear()
        origin = None if trial is None else origin_of(trial)
        if origin is None or origin not in place.losses:
            place.losses.append(origin)
        if len(place.losses) > _LOSSES:
            return (
                f"No other takes its place: none there has finished a trial since "
                f"{len(place.losses)} were cut short so ({place.log})."
            )
        place.process, place.since = self._launch(place.log), datetime.now()
        place.over = False
        return "A new one takes its place."


def start(arguments: Sequence[str], count: int, folder: Path, threads: int) -> Fleet:
    """Start `count` processes of `nasdepth worker` with the arguments.

    Each leads a session of its own, so that an interrupt reaches it once, from us.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logs = [folder / f"worker-{os.getpid()}-{index}.log" for index in range(count)]
    for log in logs:  # of a process that had our number
        log.unlink(missing_ok=True)
        StatusFile(status_path(log)).remove()
    return Fleet(partial(_launch, arguments, threads), logs)


def status_path(log: Path) -> Path:
    """File of a worker's status, beside its log."""
    return log.with_suffix(".json")


def _launch(
    arguments: Sequence[str], threads: int, log: Path
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "nasdepth", "worker", *arguments]
    command += ["--status", str(status_path(log)), "--parent", str(os.getpid())]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
    }
    with log.open("ab") as stream:  # a successor does not wipe out why it is one
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment,
            start_new_session=True,
        )


def _cause(place: _Place) -> str:
    """What killed the worker that was in the place; "" for one that ended itself."""
    code = place.process.returncode
    if code == POISONED:
        return "lost its device"
    if code is None or code >= 0 or -code in _ASKED:
        return ""
    return f"killed by signal {-code}"


def _failed(place: _Place) -> bool:
    """Whether an error ended the worker that was in the place."""
    code = place.process.returncode
    return code is not None and code > 0 and code not in (2, INTERRUPTED)


def _last_line(place: _Place) -> str:
    """What the worker that was in the place said last."""
    lines = place.log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"


def _end(place: _Place, trial: FrozenTrial | None) -> str:
    """Line about a worker that was cut short and the trial that it held."""
    cause = _cause(place).replace("killed", "was killed")
    if not cause:
        cause = f"ended with code {place.process.returncode} ({_last_line(place)})"
    if -place.process.returncode == signal.SIGKILL:
        cause += ", as the system does where memory runs out"
    if trial is None:
        return f"Worker {place.number} {cause}."
    # without a network there is nothing to repeat
    fate = "is queued again" if "network" in trial.user_attrs else "had just begun"
    return f"Worker {place.number} {cause}; its trial {trial.number} {fate}."


def _held(study: optuna.Study, place: _Place) -> FrozenTrial | None:
    """Trial that the worker in the place was running when it ended.

    One that lost its device has had the time to fail its trial itself.
    """
    trials = study.get_trials(deepcopy=False)
    last = next((t for t in reversed(trials) if _is_of(t, place)), None)
    cut = last is not None and last.state in (TrialState.RUNNING, TrialState.FAIL)
    return last if cut else None


def _has_finished(study: optuna.Study, place: _Place) -> bool:
    """Whether the worker in the place has brought a trial to its end.

    To refuse one that has ended other processes is no sign of health.
    """
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    done = study.get_trials(deepcopy=False, states=states)
    return any(_is_of(t, place) and "refused" not in t.user_attrs for t in done)


def _is_of(trial: FrozenTrial, place: _Place) -> bool:
    # numbers of processes come round again: the trial must be younger than ours
    started = trial.datetime_start
    pid = trial.user_attrs.get("worker", {}).get("pid")
    return bool(pid == place.process.pid and started and started >= place.since)
