"""Rows of the search benchmark, and the statistics made of them.

A ratio is guided over other, of medians over seeds, with the 95 % percentile interval
of 1,999 bootstrap draws of paired seeds. A run that never reached a target counts as
its cap, so that a median at the cap bounds the ratio.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np

DRAWS: Final = 1_999
#: full trainings that the area under the regret goes to
SPAN: Final = 100
Values: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Line = TypeVar("Line", "Row", "Speed")


@dataclass(frozen=True, slots=True)
class Row:
    """One search.

    Attributes:
        task: Its name.
        method: Likewise.
        seed: Of the method and of all trainings.
        until: What ended it: targets "found", or "held" by the incumbent.
        cap: Cost at which it ended at the latest.
        networks: Trained in full.
        shorts: Trained for 12 epochs.
        epochs: Of all trainings.
        blind: Regret of the median network.
        unit: Cost of a full training; costs are networks, or epochs.
        found_half: Cost until a network within 0.5 points was trained.
        found_top: Likewise of the top 0.1 %.
        held_half: Cost until the incumbent, the best seen, was within 0.5 points.
        held_top: Likewise of the top 0.1 %.
        asked: Trials, free ones included.
        fallbacks: Networks that were drawn at random after free trials in a row.
        seconds: Of the method per trial asked.
        trace: Cost and regret of each incumbent.
    """

    task: str
    method: str
    seed: int
    until: str
    cap: int
    networks: int
    shorts: int
    epochs: int
    blind: float
    unit: int
    found_half: int | None
    found_top: int | None
    held_half: int | None
    held_top: int | None
    asked: int
    fallbacks: int
    seconds: float
    trace: str

    @property
    def spent(self) -> int:
        """Cost of the search."""
        return self.networks if self.unit == 1 else self.epochs


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of a suggestion after a number of finished trials.

    Attributes:
        task: On whose networks.
        method: Its name.
        trials: That were finished.
        first: Suggestion, setting up included.
        median: Of those after it.
        mean: Likewise.
        longest: Likewise.
    """

    task: str
    method: str
    trials: int
    first: float
    median: float
    mean: float
    longest: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """Guided over other, with its interval; `sign` says where it is a bound."""

    value: float
    low: float
    high: float
    sign: str = ""

    def __str__(self) -> str:
        return f"{self.sign}{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def read(path: Path, kind: type[Line]) -> list[Line]:
    """Rows of a file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return [_parsed(kind, values) for values in csv.DictReader(stream)]


def _parsed(kind: type[Line], values: Mapping[str, str]) -> Line:
    parts: dict[str, Any] = {}
    for entry in fields(kind):
        text = values[entry.name]
        if entry.type in (str, float, int):
            parts[entry.name] = entry.type(text)
        else:
            parts[entry.name] = int(text) if text else None
    return kind(**parts)


def write(path: Path, rows: Sequence[Row]) -> None:
    """A file of rows."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        names = [entry.name for entry in fields(Row)]
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


Runs: TypeAlias = Mapping[int, Row]


def by_task(rows: Iterable[Row]) -> dict[str, dict[str, dict[int, Row]]]:
    """Rows by task, method and seed; the first of equal ones counts."""
    found: dict[str, dict[str, dict[int, Row]]] = defaultdict(dict)
    for row in rows:
        found[row.task].setdefault(row.method, {}).setdefault(row.seed, row)
    return found


def times(rows: Sequence[Row], name: str, cap: int) -> Values | None:
    """Costs to a target, one row a seed, at most the cap.

    None where a search ended before the cap for another reason and left it open.
    """
    costs = [getattr(row, name) for row in rows]
    for row, cost in zip(rows, costs, strict=True):
        if cost is None and row.spent < min(row.cap, cap):
            return None
    return np.array([[min(cost or cap, cap)] for cost in costs], dtype=float)


def regrets(rows: Sequence[Row]) -> Values:
    """Regret of the incumbent after 1 to 100 full trainings' cost, one row a seed."""
    return np.array([_steps(row) for row in rows])


def _steps(row: Row) -> Values:
    """Before the first incumbent a network is as good as the median one."""
    known = [point.split(":") for point in row.trace.split()]
    costs = np.array([int(cost) for cost, _ in known])
    levels = np.array([row.blind, *(float(regret) for _, regret in known)])
    grid = row.unit * np.arange(1, SPAN + 1)
    return np.asarray(levels[np.searchsorted(costs, grid, side="right")])


def summary(values: Values) -> Values:
    """Median over seeds, summed over columns: of `(..., seeds, columns)`."""
    return np.asarray(np.median(values, axis=-2).sum(axis=-1))


def measured(rows: Sequence[Row], metric: str, cap: int) -> Values | None:
    """What a metric is the summary of: `area`, or costs to a target."""
    return regrets(rows) if metric == "area" else times(rows, metric, cap)


def ratio(ours: Runs, others: Sequence[Runs], metric: str) -> Ratio | None:
    """Ours over the best of the others; None where they cannot be compared."""
    seeds = sorted(set(ours).intersection(*others)) if others else []
    if len(seeds) < 2:
        return None
    chosen = [[runs[seed] for seed in seeds] for runs in (ours, *others)]
    cap = min(row.cap for rows in chosen for row in rows)
    values = [measured(rows, metric, cap) for rows in chosen]
    if any(part is None for part in values):
        return None
    known = [part for part in values if part is not None]
    index = np.random.default_rng(0).integers(len(seeds), size=(DRAWS, len(seeds)))
    drawn = _over([summary(part[index]) for part in known])
    low, high = np.percentile(drawn, [2.5, 97.5])
    points = [summary(part) for part in known]
    sign = "" if metric == "area" else _sign([float(point) for point in points], cap)
    return Ratio(float(_over(points)), float(low), float(high), sign)


def _over(parts: Sequence[Values]) -> Values:
    return np.asarray(parts[0] / np.min(parts[1:], axis=0))


def _sign(points: Sequence[float], cap: int) -> str:
    """At the cap a median is at least that, so the ratio is bounded."""
    ours, theirs = points[0] >= cap, min(points[1:]) >= cap
    return {(False, True): "≤ ", (True, False): "≥ "}.get((ours, theirs), "")


def area(rows: Sequence[Row]) -> float:
    """Area under the median regret, in points x networks."""
    return float(summary(regrets(rows)))


def cost_cell(rows: Sequence[Row], metric: str) -> str:
    """Median cost to a target with quartiles, and how many never reached it."""
    cap = min(row.cap for row in rows)
    values = times(rows, metric, cap)
    if values is None:
        return "–"
    low, middle, high = np.percentile(values, [25, 50, 75])
    missed = sum(getattr(row, metric) is None for row in rows)
    mark = "> " if middle >= cap and missed else ""
    text = f"{mark}{middle:,.0f} ({low:,.0f}–{high:,.0f})"
    return f"{text}, {missed} never" if missed else text
