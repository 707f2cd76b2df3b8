"""What optuna-dashboard shows of a study: pictures, curves, tables and notes.

Notes and artifacts are for people: a picture that cannot be drawn is a warning, never
a lost trial.
"""

import errno
import json
import logging
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import optuna_dashboard
from optuna import Study
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage
from optuna.trial import Trial
from optuna_dashboard.artifact import get_artifact_path
from sqlalchemy.exc import SQLAlchemyError

from nasdepth.analysis.answer import Analysis, analyze
from nasdepth.analysis.figures import fronts, learning_curve, scatter
from nasdepth.analysis.front import (
    COSTS,
    TrialFront,
    cost_label,
    costs_of,
    trial_front,
)
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.observations import observations_of
from nasdepth.evidence.records import TrialRecord
from nasdepth.measures.catalogue import CATALOGUE, SHOWN
from nasdepth.pictures.network import architecture_svg, layer_table
from nasdepth.search.storage import study_config

_log = logging.getLogger(__name__)
#: what drawing and storing may fail with; anything else is a bug
_TROUBLE: Final = (
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    OptunaError,
    SQLAlchemyError,
)
_SCATTER: Final = "accuracy-against-measures.png"
_FRONTS: Final = "pareto-front.png"
_BEST: Final = 5
# Trials of a front that a note names.
_NAMED: Final = 12
_COLUMNS: Final = tuple(SHOWN.values())


def annotate(trial: Trial, record: TrialRecord, store: FileSystemArtifactStore) -> None:
    """Show a trial's architecture, learning curve, layers and measures.

    What fails is left out with a warning in the log.

    Args:
        trial: still running: a finished one takes no note.
        record: its outcome.
        store: of artifacts.
    """
    shown: dict[str, str] = {}
    title = f"trial {record.number}"
    files: dict[str, Callable[[Path], object]] = {
        "architecture.svg": lambda path: path.write_text(
            architecture_svg(Architecture.from_json(record.architecture), title=title),
            encoding="utf-8",
        ),
        "learning-curve.svg": lambda path: learning_curve(
            record.curve, path, title=title.capitalize(), dataset=record.dataset
        ),
        "layers.csv": lambda path: path.write_text(
            layer_table(Architecture.from_json(record.architecture)), encoding="utf-8"
        ),
    }
    for name, draw in files.items():
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / name
                draw(path)
                artifact = upload_artifact(
                    artifact_store=store, file_path=str(path), study_or_trial=trial
                )
            shown[name] = get_artifact_path(trial, artifact)
        except _TROUBLE as error:
            _warn(f"{name} of trial {record.number}", error)
    try:
        optuna_dashboard.save_note(trial, trial_note(record, shown))
    except _TROUBLE as error:
        _warn(f"the note of trial {record.number}", error)


def annotate_study(
    study: Study,
    records: Sequence[TrialRecord],
    store: FileSystemArtifactStore,
    figure_title: str,
    *,
    analysis: Analysis | None = None,
) -> None:
    """Show on a study its figures, best architectures and what they say.

    A figure from before is replaced. What fails is left out with a warning in the log.

    Args:
        study: a live one.
        records: its finished trials.
        store: of artifacts.
        figure_title: first line of the figures.
        analysis: of the records; None computes it with the default plan.
    """
    opening = ""
    rows, costs = observations_of(records), _costs(study)
    figures: dict[str, Callable[[Path], None]] = {
        _SCATTER: lambda path: scatter(rows, path, title=figure_title)
    }
    if trial_front(records, costs[:1]).n > 1:
        figures[_FRONTS] = lambda path: fronts(
            rows, path, costs=costs, title=figure_title
        )
    shown = {}
    for name, draw in figures.items():
        try:
            shown[name] = _place_figure(study, store, name, draw)
        except _TROUBLE as error:
            _warn(f"{name} of study {study.study_name!r}", error)
    try:
        opening = (analysis or analyze(records, explore=False)).opening
    except _TROUBLE as error:
        _warn(f"the analysis of study {study.study_name!r}", error)
    try:
        note = study_note(study, records, opening, shown, costs=costs)
        optuna_dashboard.save_note(study, note)
    except _TROUBLE as error:
        _warn(f"the note of study {study.study_name!r}", error)


def serve(
    storage: BaseStorage,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    artifact_directory: Path,
) -> None:
    """Serve optuna-dashboard until it is interrupted; it asks for no password.

    Args:
        storage: with the studies.
        host: address to listen at; others than 127.0.0.1 let other machines in.
        port: to listen at.
        artifact_directory: where the artifacts are.

    Raises:
        ValueError: it cannot listen there; one line.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"The dashboard's port must be 1 to 65535, but got {port}.")
    try:
        # bound once before the server announces itself
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family):
            pass
        store = FileSystemArtifactStore(str(artifact_directory))
        optuna_dashboard.run_server(storage, host, port, store)
    except OSError as error:
        raise ValueError(
            f"The dashboard cannot listen at {host}:{port}: {_reason(error)}; choose "
            "another host or port."
        ) from error


def trial_note(record: TrialRecord, shown: Mapping[str, str]) -> str:
    """Markdown of a trial: outcome, measures, pictures.

    Args:
        record: of the trial.
        shown: addresses of its artifacts by file name.
    """
    lines = [
        f"## Trial {record.number}: {_outcome(record)}",
        "",
        _circumstances(record),
    ]
    if record.reason:
        lines += ["", f"Why it was {record.state}: {record.reason}"]
    if "architecture.svg" in shown:
        lines += ["", f"![architecture]({shown['architecture.svg']})"]
    lines += ["", "| measure | value | unit |", "| :--- | ---: | :--- |"]
    for name, value in record.measures.items():
        row = CATALOGUE.get(name)
        label, unit = (row.label, row.unit) if row else (name, "")
        lines.append(f"| {label} | {_number(value)} | {unit} |")
    if "layers.csv" in shown:
        lines += ["", f"[Layer table (CSV)]({shown['layers.csv']})"]
    if "learning-curve.svg" in shown:
        lines += ["", f"![learning curve]({shown['learning-curve.svg']})"]
    return "\n".join(lines) + "\n"


def study_note(
    study: Study,
    records: Sequence[TrialRecord],
    opening: str,
    shown: Mapping[str, str],
    *,
    costs: Sequence[str] = COSTS,
) -> str:
    """Markdown of a study: counts, what the data can say, figures, best architectures.

    Args:
        study: whose trials are linked to.
        records: its finished trials.
        opening: first sentence of the analysis, or empty.
        shown: addresses of its figures by file name.
        costs: of its Pareto fronts.
    """
    states = Counter(record.state for record in records)
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    datasets = ", ".join(sorted({r.dataset for r in records if r.dataset}))
    summary = ": ".join(filter(None, (datasets, counts or "no finished trial yet")))
    lines = [f"## {study.study_name}", "", f"{summary}."]
    if opening:
        lines += ["", f"**Effective against nominal depth.** {opening}"]
    if _SCATTER in shown:
        lines += ["", f"![accuracy against measures]({shown[_SCATTER]})"]
    told = [_front_line(study, trial_front(records, (cost,))) for cost in costs]
    if any(told):
        lines += ["", f"**Pareto front.** {' '.join(filter(None, told))}"]
    if _FRONTS in shown:
        lines += ["", f"![accuracy against cost]({shown[_FRONTS]})"]
    labels = [CATALOGUE[name].label for name in _COLUMNS]
    done = [r for r in records if r.state == "complete" and r.accuracy is not None]
    if not done:
        return "\n".join(lines) + "\n"
    lines += ["", f"| trial | arm | validation accuracy | {' | '.join(labels)} |"]
    lines.append(f"| --- | --- |{' ---: |' * (1 + len(_COLUMNS))}")
    best = sorted(done, key=lambda record: -(record.accuracy or 0.0))[:_BEST]
    for record in best:
        values = [_number(record.measures.get(name)) for name in _COLUMNS]
        cells = [record.arm, f"{record.accuracy:.2%}", *values]
        lines.append(f"| {_link(study, record.number)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _costs(study: Study) -> tuple[str, ...]:
    """Costs of a study's fronts; the usual ones of a study that is not ours."""
    if "config" not in study.user_attrs:
        return COSTS
    return costs_of(study_config(study).search.objectives)


def _front_line(study: Study, found: TrialFront) -> str:
    """How many trials are on a front, and which; empty where it is of no two."""
    if found.n < 2:
        return ""
    numbers = [_link(study, row.number) for row in found.trials[-_NAMED:]]
    more = "… " if len(found.trials) > _NAMED else ""
    return (
        f"Of {found.n} complete trials {len(found.trials)} are beaten by none in"
        f" accuracy and {cost_label(found.costs[0])}: {more}{', '.join(numbers)}."
    )


def _link(study: Study, number: int) -> str:
    """A trial's number that leads to it."""
    address = f"/dashboard/studies/{study._study_id}/trials?numbers={number}"
    return f"[{number}]({address})"


def _place_figure(
    study: Study,
    store: FileSystemArtifactStore,
    name: str,
    draw: Callable[[Path], None],
) -> str:
    """Address of a figure, drawn anew in the place of an earlier one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        draw(path)
        artifact = _artifact(study, name)
        if artifact is None:
            artifact = upload_artifact(
                artifact_store=store, file_path=str(path), study_or_trial=study
            )
        else:
            with path.open("rb") as file:
                store.write(artifact, file)
    return str(get_artifact_path(study, artifact))


def _artifact(study: Study, name: str) -> str | None:
    """Identity of a study's artifact of that name.

    Read from the attributes: `get_all_artifact_meta` fails on an artifact that was
    deleted in the dashboard, which leaves null in its place.
    """
    attributes = study._storage.get_study_system_attrs(study._study_id)
    for key, text in attributes.items():
        meta = json.loads(text) if key.startswith("artifacts:") else None
        if meta is not None and meta["filename"] == name:
            return str(meta["artifact_id"])
    return None


def _outcome(record: TrialRecord) -> str:
    if record.accuracy is not None:
        return f"{record.accuracy:.2%} validation accuracy"
    if record.curve:
        return f"{record.state}, {record.curve[-1]:.2%} after epoch {len(record.curve)}"
    return record.state


def _circumstances(record: TrialRecord) -> str:
    parts = [
        record.dataset,
        f"{record.validation_images:,} validation images",
        f"{record.arm} arm",
        f"{record.seconds:.1f} s",
        f"seed {record.seed}",
    ]
    return " · ".join(filter(None, parts))


def _number(value: float | None) -> str:
    if value is None:
        return "undefined"
    text = f"{value:,.3f}"
    return text.rstrip("0").rstrip(".")


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is taken"
    return error.strerror or type(error).__name__


def _warn(what: str, error: BaseException) -> None:
    text = " ".join(str(error).split()) or type(error).__name__
    _log.warning("Not shown on the dashboard: %s (%s).", what, text.rstrip("."))
