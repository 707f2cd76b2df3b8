"""What a study ends with."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import optuna

from nasdepth.analysis.answer import Analysis
from nasdepth.analysis.front import cost_label
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.records import TrialRecord
from nasdepth.measures.catalogue import SHOWN
from nasdepth.search.storage import DEFAULT_STORAGE, records
from nasdepth.tables import accuracy_text, quantity, shorthand, table


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
    further = {cost_label(name): name for name in costs if name not in SHOWN.values()}
    return {
        "trial": str(row.number),
        "arm": row.arm,
        "state": row.state,
        "accuracy": accuracy_text(row),
        **{
            head: quantity(row.measures.get(name))
            for head, name in (further | SHOWN).items()
        },
        "architecture": architecture,
    }
