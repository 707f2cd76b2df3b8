"""A study while it runs, and what it ends with."""

import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import click
import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live
from rich.table import Table

from nasdepth.analysis.answer import Analysis
from nasdepth.analysis.front import cost_label
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.records import TrialRecord
from nasdepth.measures.catalogue import SHOWN
from nasdepth.search.storage import DEFAULT_STORAGE, records
from nasdepth.search.workers import Fleet
from nasdepth.tables import quantity, shorthand, table

_POLL: Final = 1.0  # seconds
_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)


def watch(study: optuna.Study, fleet: Fleet, total: int) -> None:
    """Show progress on standard error until every worker has ended."""
    console = Console(stderr=True)
    if not console.is_terminal:
        _watch_plainly(study, fleet, total)
        return
    start = time.monotonic()
    before = len(_finished(study))
    with Live(console=console, refresh_per_second=2) as live:
        while fleet.alive():
            live.update(_progress(study, total, before, time.monotonic() - start))
            time.sleep(_POLL)
        live.update(_progress(study, total, before, time.monotonic() - start))


def _watch_plainly(study: optuna.Study, fleet: Fleet, total: int) -> None:
    """One line for each trial that finishes."""
    told = {trial.number for trial in _finished(study)}
    running = True
    while running:
        running = fleet.alive() > 0
        for trial in _finished(study):
            if trial.number not in told:
                told.add(trial.number)
                click.echo(f"[{len(told)}/{total}] {_line(trial)}", err=True)
        time.sleep(_POLL if running else 0)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=_FINISHED)


def _line(trial: FrozenTrial) -> str:
    arm = trial.user_attrs.get("arm", "search")
    outcome = trial.user_attrs.get("outcome", {})
    result = outcome.get("reason") or f"{trial.value:.4f}"
    seconds = outcome.get("seconds", 0.0)
    return f"trial {trial.number} {arm}: {result}, {seconds:.0f} s, {_short(trial)}"


def _short(trial: FrozenTrial) -> str:
    network = trial.user_attrs.get("network")
    if not network:
        return "starting"
    return shorthand(Architecture.from_json(network["architecture"]))


def _progress(study: optuna.Study, total: int, before: int, seconds: float) -> Table:
    trials = study.get_trials(deepcopy=False)
    done = [t for t in trials if t.state in _FINISHED]
    complete = [t for t in done if t.state == TrialState.COMPLETE]
    best = max((t.value or 0.0 for t in complete), default=0.0)
    title = (
        f"{study.study_name}: {len(done)}/{total} trials, "
        f"{len(done) - len(complete)} pruned, best {best:.4f}"
        f"{_left(len(done) - before, total - len(done), seconds)}"
    )
    grid = Table(title=title, title_justify="left")
    for head in ("trial", "arm", "epoch", "accuracy", "architecture"):
        grid.add_column(head)
    running = [t for t in trials if t.state == TrialState.RUNNING]
    for trial in [*_latest(done), *running]:
        grid.add_row(*_progress_row(trial))
    return grid


def _latest(done: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    dated = sorted(done, key=lambda t: t.datetime_complete or t.datetime_start)  # type: ignore[arg-type,return-value]  # finished trials have a date
    return dated[-4:]


def _progress_row(trial: FrozenTrial) -> tuple[str, ...]:
    curve = trial.intermediate_values
    ended = {TrialState.PRUNED: " pruned", TrialState.COMPLETE: " done"}
    return (
        str(trial.number),
        trial.user_attrs.get("arm", ""),
        f"{max(curve, default=0)}{ended.get(trial.state, '')}",
        f"{curve[max(curve)]:.4f}" if curve else "–",
        _short(trial),
    )


def _left(done: int, open_: int, seconds: float) -> str:
    if not done:
        return ""
    return f", about {seconds / done * open_ / 60:.0f} min left"


def summary(
    study: optuna.Study, analysis: Analysis, study_file: Path, storage: str
) -> str:
    """What a search ends with: the best, the regression so far, the next commands."""
    rows = records(study)
    done = [row for row in rows if row.state == "complete"]
    if not done:
        return "No trial is complete yet; the same command goes on."
    best = sorted(done, key=lambda row: -(row.accuracy or 0.0))[:5]
    parts = (
        f"Best by validation accuracy on {rows[0].dataset}",
        table([readable(row) for row in best]),
        "",
        analysis.summary(),
        "",
        "Next:",
        *(f"  {c}" for c in _next_commands(study.study_name, study_file, storage)),
    )
    return "\n".join(parts)


def _next_commands(name: str, study_file: Path, storage: str) -> Sequence[str]:
    where = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(storage)}"
    study = f"--study-name {shlex.quote(name)}{where}"
    return (
        f"nasdepth best {study} -o best.json",
        f"nasdepth train best.json --data {shlex.quote(str(study_file))} --seeds 3",
        f"nasdepth export {study} -o best/",
        f"nasdepth analyze {study}",
        f"nasdepth report {study} -o report.html",
        f"nasdepth dashboard {study}",
    )


def readable(row: TrialRecord, costs: Sequence[str] = ()) -> dict[str, str]:
    """One record as a line of a table.

    Args:
        row: The record.
        costs: Measures that are shown beside the usual ones.
    """
    architecture = "–"
    if row.architecture:
        architecture = shorthand(Architecture.from_json(row.architecture))
    accuracy = row.accuracy
    further = {cost_label(name): name for name in costs if name not in SHOWN.values()}
    return {
        "trial": str(row.number),
        "arm": row.arm,
        "state": row.state,
        "accuracy": f"{accuracy:.4f}" if accuracy is not None else "–",
        **{
            head: quantity(row.measures.get(name))
            for head, name in (further | SHOWN).items()
        },
        "architecture": architecture,
    }
