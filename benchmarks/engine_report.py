"""The page of the engine's figures."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

from engine_pairs import LEVEL, RESAMPLES, SEED
from engine_rows import ROWS, Result, Row, meets

_SIGNS = {">=": "≥", "<=": "≤", "+-": "±"}


def report(results: Sequence[Result]) -> str:
    """Markdown: the table, where it was measured, and the rows that are not there."""
    found = {result.row: result for result in results}
    there = [row for row in ROWS if row.name in found]
    missing = [row.name for row in ROWS if row.name not in found]
    lines = [
        "# The training engine, measured",
        "",
        "`python benchmarks/engine.py`; a row alone: `--rows NAME`. Both sides run in "
        "turn in one run, a warm-up is left out. Medians (of points the mean) over n "
        f"pairs, with the {LEVEL:.0%} interval of {RESAMPLES:,} bootstrap resamples "
        f"(seed {SEED}); networks and orders have the seed 0.",
        "",
        "| row | what | value | n | goal | met | beside it |",
        "| --- | --- | ---: | ---: | --- | --- | --- |",
        *(_line(row, found[row.name]) for row in there),
        "",
        *_places(list(found.values())),
    ]
    if missing:
        lines += ["", f"Not measured here: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def write_report(file: Path, results: Sequence[Result]) -> None:
    """Write the page."""
    file.write_text(report(results), encoding="utf-8")


def shown(row: Row, result: Result) -> str:
    """Middle and interval with their unit."""
    digits = 1 if row.unit == "ms" else 2 if row.unit else 3
    low, high = (f"{value:.{digits}f}" for value in (result.low, result.high))
    unit = f" {row.unit}" if row.unit else ""
    return f"{result.middle:.{digits}f}{unit} [{low}, {high}]"


def middle(row: Row, values: Sequence[float]) -> float:
    """What stands for the values of a row."""
    return fmean(values) if row.unit == "points" else median(values)


def _line(row: Row, result: Result) -> str:
    sign, _, limit = row.goal.partition(" ")
    unit = f" {row.unit}" if row.goal and row.unit else ""
    goal = f"{_SIGNS[sign]} {limit}{unit}" if row.goal else "–"
    met = ("yes" if meets(row, result) else "**no**") if row.goal else "–"
    cells = [row.name, row.compares, shown(row, result), str(result.n), goal, met]
    return f"| {' | '.join([*cells, result.note])} |"


def _codes(results: Sequence[Result]) -> str:
    """Digests of the code, and which rows are of which where there are several."""
    rows: dict[str, list[str]] = {}
    for each in results:
        rows.setdefault(each.digest, []).append(each.row)
    if len(rows) == 1:
        return f"All rows are of one code, digest {next(iter(rows))}."
    told = "; ".join(f"{digest}: {', '.join(names)}" for digest, names in rows.items())
    return f"Rows by the digest of the code: {told}."


def _places(results: Sequence[Result]) -> list[str]:
    """Where and with what the rows were measured."""
    places = sorted({(each.hardware, each.torch) for each in results})
    loads = [each.load for each in results]
    took = sum(each.seconds for each in results)
    return [
        *(f"{hardware}, torch {version}." for hardware, version in places),
        _codes(results),
        f"Load before a row: {min(loads):.1f} to {max(loads):.1f}; all rows took "
        f"{took / 60:.0f} minutes.",
    ]
