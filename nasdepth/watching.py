"""A study while it runs: what its workers do, what is done and what is left."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import click
import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nasdepth.architecture.spec import Architecture
from nasdepth.search.status import Status
from nasdepth.search.stopping import StopFlag
from nasdepth.search.workers import Fleet
from nasdepth.tables import shorthand

_POLL: Final = 1.0  # seconds
#: seconds between two plain lines about one worker
_PULSE: Final = 30.0
_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)
_HEADS: Final = ("trial", "epoch", "loss", "accuracy", "images/s", "memory")


def watch(study: optuna.Study, fleet: Fleet, total: int) -> None:
    """Show progress on standard error, and tend the workers until all have ended.

    On a terminal there is one line for each worker, and one for the study; anywhere
    else a line for each finished trial and, at times, for each worker in training.

    Args:
        study: that the fleet works on.
        fleet: started.
        total: trials that the study is to have.

    Raises:
        KeyboardInterrupt: a signal asked to stop. It is looked for, not raised where
            it arrives: a callback of the storage's would swallow it there.
    """
    console = Console(stderr=True)
    on_terminal = console.is_terminal and not console.is_dumb_terminal
    stop = StopFlag()
    with stop.watching(), stop.armed():
        news = _news(study, fleet, total, stop)
        if on_terminal:
            _show(study, fleet, total, news, console)
        else:
            _print(fleet, news)


def missing(study: optuna.Study, total: int) -> int:
    """Number of trials that the study still lacks."""
    return max(0, total - len(_finished(study)))


def _show(
    study: optuna.Study,
    fleet: Fleet,
    total: int,
    news: Iterator[list[str]],
    console: Console,
) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for lines in news:
            for line in lines:
                console.print(line, markup=False, highlight=False)
            trials = study.get_trials(deepcopy=False)
            told = overall(study.study_name, trials, total, fleet.alive())
            shown = Group(workers_table(fleet.statuses(), trials), Text(told))
            live.update(shown, refresh=True)


def _print(fleet: Fleet, news: Iterator[list[str]]) -> None:
    pulse = Pulse(time.monotonic())
    for lines in news:
        for line in [*lines, *pulse.lines(fleet.statuses(), time.monotonic())]:
            click.echo(line, err=True)


def _news(
    study: optuna.Study, fleet: Fleet, total: int, stop: StopFlag
) -> Iterator[list[str]]:
    """Lines about what has happened since the last time, until no worker is left."""
    told = {trial.number for trial in _finished(study)}
    while not stop():
        lines = fleet.tend(study)
        for trial in _finished(study):
            if trial.number not in told:
                told.add(trial.number)
                lines.append(f"[{len(told)}/{total}] {_finished_line(trial)}")
        yield lines
        if not fleet.alive():
            return
        fleet.wait(_POLL, stop)


class Pulse:
    """Plain lines about workers in training, at most one of each in half a minute.

    Args:
        now: monotonic seconds; the first lines come half a minute later.
    """

    def __init__(self, now: float) -> None:
        self._start = now
        self._told: dict[int, tuple[float, Status]] = {}

    def lines(self, statuses: Mapping[int, Status | None], now: float) -> list[str]:
        """Lines that are due: of workers that have come on since their last."""
        due = []
        for worker, status in statuses.items():
            at, last = self._told.get(worker, (self._start, None))
            if status and status.epoch and status != last and now - at >= _PULSE:
                self._told[worker] = (now, status)
                due.append(_pulse_line(worker, status))
        return due


def overall(name: str, trials: Sequence[FrozenTrial], total: int, workers: int) -> str:
    """One line on a study: trials done, pruned and left, the best accuracy.

    Args:
        name: of the study.
        trials: all of them, in whatever state.
        total: that it is to have.
        workers: at work.
    """
    done = [trial for trial in trials if trial.state in _FINISHED]
    complete = [t.value or 0.0 for t in done if t.state == TrialState.COMPLETE]
    parts = [f"{len(done)}/{total} trials"]
    if done:
        parts.append(f"{1 - len(complete) / len(done):.0%} pruned")
    if complete:
        parts.append(f"best {max(complete):.4f}")
    left = seconds_left(trials, total, workers, datetime.now())
    if 0 < left < math.inf:
        parts.append(f"about {_duration(left)} left")
    return f"{name}: {', '.join(parts)}"


def seconds_left(
    trials: Sequence[FrozenTrial], total: int, workers: int, now: datetime
) -> float:
    """Seconds until the study has its total, by the finished trials of each arm.

    A trial to come counts as the mean finished one of its arm, so that the share of
    pruned ones, which are short, weighs as often as it was seen; where the arm has
    none, as the mean of all. What running trials have behind them is taken off.

    Args:
        trials: all of them, in whatever state.
        total: that the study is to have.
        workers: at work.
        now: to which running trials are counted, as `datetime_start` tells time.

    Returns:
        `inf` where nothing tells.
    """
    done = [trial for trial in trials if trial.state in _FINISHED]
    lacking = max(0, total - len(done))
    if not lacking:
        return 0.0
    if not (done and workers):
        return math.inf
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    queued = [trial for trial in trials if trial.state == TrialState.WAITING]
    arms = [_arm(trial) for trial in [*running, *queued]][:lacking]
    arms += ["search"] * (lacking - len(arms))
    means = {arm: _mean_seconds(done, arm) for arm in {*arms}}
    behind = (
        min(_seconds(trial, now), means[_arm(trial)]) for trial in running[:lacking]
    )
    return (sum(means[arm] for arm in arms) - sum(behind)) / workers


def workers_table(
    statuses: Mapping[int, Status | None], trials: Sequence[FrozenTrial]
) -> Table:
    """What each worker is doing, one row each; other processes' trials come last.

    Args:
        statuses: of our workers by their number; None for one that starts.
        trials: of the study.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("worker")
    for head in _HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("architecture", no_wrap=True, overflow="ellipsis", ratio=1)
    for worker, status in statuses.items():
        table.add_row(str(worker), *_cells(status))
    ours = {status.trial for status in statuses.values() if status}
    for trial in trials:
        if trial.state == TrialState.RUNNING and trial.number not in ours:
            table.add_row("other", *_cells(_status_of(trial)))
    return table


def _cells(status: Status | None) -> tuple[str, ...]:
    if status is None:
        return *["–"] * len(_HEADS), "starting"
    if status.trial is None:
        return *["–"] * len(_HEADS), "between trials"
    return (
        str(status.trial),
        f"{status.epoch}/{status.epochs}" if status.epochs else str(status.epoch),
        _number(status.loss, ".4f"),
        _number(status.accuracy, ".4f"),
        _number(status.images_per_second, ",.0f"),
        _megabytes(status.memory),
        _short(status.architecture),
    )


def _status_of(trial: FrozenTrial) -> Status:
    """What the storage tells of a running trial."""
    curve = trial.intermediate_values
    last = max(curve, default=0)
    architecture = trial.user_attrs.get("network", {}).get("architecture", "")
    return Status(trial.number, architecture, last, accuracy=curve.get(last))


def _pulse_line(worker: int, status: Status) -> str:
    trial, epoch, loss, accuracy, speed, memory, short = _cells(status)
    return (
        f"worker {worker}: trial {trial}, epoch {epoch}, loss {loss}, accuracy "
        f"{accuracy}, {speed} images/s, {memory}, {short}"
    )


def _finished_line(trial: FrozenTrial) -> str:
    outcome = trial.user_attrs.get("outcome", {})
    result = outcome.get("reason") or _number(trial.value, ".4f")
    seconds = outcome.get("seconds", 0.0)
    network = trial.user_attrs.get("network", {}).get("architecture", "")
    return (
        f"trial {trial.number} {_arm(trial)}: {result}, {seconds:.0f} s, "
        f"{_short(network)}"
    )


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=_FINISHED)


def _arm(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("arm", "search"))


def _short(architecture: str) -> str:
    return shorthand(Architecture.from_json(architecture)) if architecture else "–"


def _mean_seconds(done: Sequence[FrozenTrial], arm: str) -> float:
    seconds = [_seconds(trial) for trial in done if _arm(trial) == arm]
    seconds = seconds or [_seconds(trial) for trial in done]
    return sum(seconds) / len(seconds)


def _seconds(trial: FrozenTrial, now: datetime | None = None) -> float:
    """From a trial's start to its end, its screening too, or till now."""
    end = trial.datetime_complete or now
    if trial.datetime_start is None or end is None:
        return 0.0
    return max(0.0, (end - trial.datetime_start).total_seconds())


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size else "–"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
