"""Rows as tables for people, and as JSON and CSV for programs."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from shutil import get_terminal_size
from typing import Any, Final, Literal, TypeAlias

from nasdepth.architecture.spec import Architecture, Stage
from nasdepth.evidence.records import TrialRecord

Form: TypeAlias = Literal["table", "json", "csv"]
Rows: TypeAlias = Sequence[Mapping[str, Any]]
_UNITS: Final = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))


def render(rows: Rows, form: Form) -> str:
    """Rows of equal keys in one of the three forms."""
    if form == "json":
        return json.dumps(list(rows), indent=2)
    if form == "csv":
        return _csv(rows)
    return table([{k: _cell(v) for k, v in row.items()} for row in rows])


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Aligned columns; on a terminal lines are cut to what fits, and end in "…".

    >>> print(table([{"name": "a", "n": "1"}, {"name": "bb", "n": "12"}]))
    name   n
    a      1
    bb    12
    """
    if not rows:
        return "(none)"
    heads = list(rows[0])
    widths = {h: max(len(h), *(len(row[h]) for row in rows)) for h in heads}
    right = {h for h in heads if all(_is_number(row[h]) for row in rows)}
    lines = []
    for row in ({h: h for h in heads}, *rows):
        cells = (
            row[h].rjust(widths[h]) if h in right else row[h].ljust(widths[h])
            for h in heads
        )
        lines.append("  ".join(cells).rstrip())
    limit = get_terminal_size().columns if sys.stdout.isatty() else None
    return "\n".join(_cut(line, limit) for line in lines)


def _cut(line: str, limit: int | None) -> str:
    return line if limit is None or len(line) <= limit else f"{line[: limit - 1]}…"


def quantity(value: float | None) -> str:
    """Number as a person reads it; – where there is none.

    >>> quantity(1_234_567), quantity(26.0), quantity(None)
    ('1.23M', '26', '–')
    """
    if value is None:
        return "–"
    for least, unit, letter in _UNITS:
        if abs(value) >= least:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.5g}"


def accuracy_text(row: TrialRecord, form: str = ".4f") -> str:
    """A trial's accuracy; with replicates mean ± standard deviation (number).

    Args:
        row: The trial.
        form: How a number is written: ".4f" or ".2%".

    Returns:
        "0.9123", "0.9123 ± 0.0040 (3)", "0.9123 ± 0.0040 (3 of 4)" where one of four
        replicates diverged, "–" where there is no accuracy.
    """
    if row.accuracy is None:
        return "–"
    text = f"{row.accuracy:{form}}"
    if row.spread is not None:
        text += f" ± {row.spread:{form}}"
    if row.replicates == 1:
        return text
    lost = row.diverged_replicates
    told = f"{len(row.ended)} of {row.replicates}" if lost else str(row.replicates)
    return f"{text} ({told})"


def shorthand(architecture: Architecture) -> str:
    """One line that a person reads as the architecture.

    >>> shorthand(Architecture((Stage(depth=2, width=8),)))
    'plain 2×8'
    """
    parts = [f"stem {architecture.stem.width}"] if architecture.stem else []
    parts += [_stage(stage) for stage in architecture.stages]
    if architecture.activation != "relu":
        parts.append(architecture.activation)
    if architecture.norm != "batch":
        parts.append(f"norm {architecture.norm}")
    return " · ".join(parts)


def _stage(stage: Stage) -> str:
    name = stage.family
    if stage.block not in ("conv", name):
        name = stage.block if name == "residual" else f"{name}/{stage.block}"
    extra = {
        "cell": f" t{stage.links}",
        "parallel": f" p{stage.branches}",
        "inception": f" b{stage.branches}",
        "residual": f" drop {stage.dropped}" if stage.dropped else "",
    }.get(stage.family, "")
    extra += f" k{stage.kernel}" if stage.kernel != 3 else ""
    return f"{name} {stage.depth}×{stage.width}{extra}"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value:.6g}"
    return str(value)


def _is_number(text: str) -> bool:
    bare = text.rstrip("kMG%").replace(".", "", 1).lstrip("-")
    return bare.isdigit() or text in ("–", "")


def _csv(rows: Rows) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().rstrip("\n")
