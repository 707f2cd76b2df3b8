"""Figures of a search: what the best networks cost, and how networks learned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from nasdepth.analysis.plotting import (
    INK,
    STYLES,
    Key,
    Plot,
    blank,
    error_axis,
    key,
    log_axis,
    safe,
    thinned,
    thinned_text,
)
from nasdepth.evidence.observations import Observation
from nasdepth.evidence.records import TrialRecord
from nasdepth.evidence.responses import minus_log_error
from nasdepth.evidence.units import Unit, by_digest
from nasdepth.measures.catalogue import CATALOGUE
from nasdepth.statistics.linear import Vector

COSTS: Final = ("params", "macs")
# Curves that are drawn; more of them hide each other.
_CURVES: Final = 120
_BEATEN, _FRONT = Key("not on it", "#56B4E9", "circle"), key("on the front", 1)
_ARMS: Final = {
    "unselected": Key("unselected arm", STYLES[0][0], "line"),
    "search": Key("search arm", STYLES[1][0], "line"),
}
_CUT: Final = Key("pruned", INK, "dotted")


@dataclass(frozen=True, slots=True)
class Front:
    """Architectures that no other beats in both accuracy and a cost.

    Attributes:
        cost: Name of the measure.
        n: Architectures with that measure and an accuracy.
        units: Those on the front, the cheapest first.
    """

    cost: str
    n: int
    units: tuple[Unit, ...]


def undominated(costs: Vector, gains: Vector) -> npt.NDArray[np.bool_]:
    """Which points no other point beats: none costs as little and gains more.

    Of points equal in both the first is kept.
    """
    order = np.lexsort((np.arange(len(costs)), -gains, costs))
    best = np.maximum.accumulate(gains[order])
    before = np.concatenate([[-np.inf], best[:-1]])
    kept = np.zeros(len(costs), dtype=np.bool_)
    kept[order] = gains[order] > before
    return kept


def front(rows: Sequence[Observation], cost: str) -> Front:
    """The Pareto front of mean accuracy against a cost, over all arms."""
    units, costs, gains = _costed(rows, cost)
    kept = np.flatnonzero(undominated(costs, gains))
    ordered = sorted(kept, key=lambda place: float(costs[place]))
    return Front(cost, len(units), tuple(units[place] for place in ordered))


def pareto_plots(rows: Sequence[Observation]) -> tuple[Plot, ...]:
    """Accuracy against parameters and MACs, the front marked."""
    plots = (_pareto(rows, cost) for cost in COSTS)
    return tuple(plot for plot in plots if plot is not None)


def learning_plot(records: Sequence[TrialRecord]) -> Plot | None:
    """Validation accuracy over epochs of every trial, None where none has a curve."""
    rows = [row for row in records if row.curve]
    if not rows:
        return None
    shown = _most_telling(rows)
    figure = blank("epoch", "validation accuracy")
    figure.update_yaxes(tickformat=".0%")
    figure.update_xaxes(dtick=_step(max(len(row.curve) for row in shown)))
    figure.add_traces(list(_curves(shown)))
    pruned = sum(row.state == "pruned" for row in shown)
    reading = "Each line is one training."
    if pruned:
        reading += f" The {pruned} dotted ones that end in a cross were pruned."
    if len(shown) < len(rows):
        reading += f" Drawn are the best {len(shown)} of {len(rows):,} trainings."
    arms = {row.arm for row in shown}
    legend = [entry for arm, entry in _ARMS.items() if arm in arms]
    legend += [_CUT] if pruned else []
    title = "Validation accuracy over the epochs"
    return Plot("learning-curves", title, reading, figure, tuple(legend), wide=True)


def _pareto(rows: Sequence[Observation], cost: str) -> Plot | None:
    """Accuracy against one cost, None where fewer than two architectures have both."""
    units, costs, gains = _costed(rows, cost)
    if len(units) < 2:
        return None
    label = CATALOGUE[cost].label
    vertical = error_axis(gains, "accuracy (log error)")
    figure = blank(label, "", xaxis=log_axis(costs, label), yaxis=vertical)
    kept = undominated(costs, gains)
    rest = np.flatnonzero(~kept)[thinned(int((~kept).sum()))]
    figure.add_traces(list(_points(units, costs, gains, rest)))
    figure.add_trace(_front_line(units, costs, gains, np.flatnonzero(kept)))
    reading = (
        f"{int(kept.sum())} of {len(units):,} architectures are on the front: none that"
        f" needs no more {label} is more accurate."
    )
    name = f"pareto-{cost}"
    text = reading + thinned_text(int((~kept).sum()))
    title = f"Accuracy against {label}"
    return Plot(name, title, text, figure, (_FRONT, _BEATEN))


def _costed(
    rows: Sequence[Observation], cost: str
) -> tuple[list[Unit], Vector, Vector]:
    """Architectures with an accuracy and the cost, with both as vectors."""
    done = [
        row
        for row in rows
        if row.state == "complete"
        and row.outcomes.get("accuracy")
        and row.measures.get(cost)
    ]
    sample = by_digest(done, ())
    images = np.array([unit.images for unit in sample.units], dtype=np.float64)
    gains = minus_log_error(sample.outcome("accuracy"), images) if done else images
    return list(sample.units), sample.measure(cost), gains


def _points(
    units: Sequence[Unit],
    costs: Vector,
    gains: Vector,
    places: npt.NDArray[np.int64],
) -> Iterator[go.Scatter]:
    """Architectures off the front."""
    yield go.Scatter(
        x=costs[places].tolist(),
        y=gains[places].tolist(),
        mode="markers",
        name=_BEATEN.label,
        marker=_BEATEN.marker(len(places), opacity=0.7),
        text=[_told(units[place]) for place in places],
        hovertemplate="%{text}<extra></extra>",
    )


def _front_line(
    units: Sequence[Unit],
    costs: Vector,
    gains: Vector,
    places: npt.NDArray[np.int64],
) -> go.Scatter:
    """The front as steps: between two of its points the cheaper one is the best."""
    ordered = places[np.argsort(costs[places], kind="stable")]
    return go.Scatter(
        x=costs[ordered].tolist(),
        y=gains[ordered].tolist(),
        mode="lines+markers",
        name=_FRONT.label,
        line={"color": _FRONT.colour, "shape": "hv", "width": 1.6},
        marker=_FRONT.marker(size=11),
        text=[_told(units[place]) for place in ordered],
        hovertemplate="%{text}<extra></extra>",
    )


def _told(unit: Unit) -> str:
    """What is said of a point under the pointer."""
    lines = [safe(", ".join(unit.places[:3])), safe(unit.family)]
    lines.append(f"accuracy {unit.outcome('accuracy'):.2%}")
    lines += [
        f"{unit.measures[cost]:,.0f} {CATALOGUE[cost].label}"
        for cost in COSTS
        if cost in unit.measures
    ]
    return "<br>".join(line for line in lines if line)


def _most_telling(rows: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trainings of the best last epochs, in the order of their trials."""
    best = sorted(rows, key=lambda row: (-row.curve[-1], row.number))[:_CURVES]
    return sorted(best, key=lambda row: row.number)


def _step(epochs: int) -> int:
    """Epochs between two ticks."""
    return next(
        step for step in (1, 2, 5, 10, 20, 50, 100, epochs) if epochs <= 12 * step
    )


def _curves(rows: Sequence[TrialRecord]) -> Iterator[go.Scatter]:
    """A line for each training."""
    for row in rows:
        cut, colour = row.state != "complete", _ARMS[row.arm].colour
        yield go.Scatter(
            x=list(range(1, len(row.curve) + 1)),
            y=list(row.curve),
            mode="lines+markers" if cut or len(row.curve) == 1 else "lines",
            name=_ARMS[row.arm].label,
            opacity=0.75,
            line={"color": colour, "width": 1.4, "dash": "dot" if cut else "solid"},
            marker=_last_mark(len(row.curve), colour, cut=cut),
            text=[f"trial {row.number}"] * len(row.curve),
            hovertemplate="%{text}, epoch %{x}: %{y:.2%}<extra></extra>",
        )


def _last_mark(length: int, colour: str, *, cut: bool) -> dict[str, object]:
    """A mark at the last epoch alone."""
    sizes = [0] * (length - 1) + [8]
    return {"symbol": "x" if cut else "circle", "size": sizes, "color": colour}
