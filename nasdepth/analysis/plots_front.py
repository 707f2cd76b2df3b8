"""Figures of Pareto fronts: accuracy against cost, and how a front grew."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from nasdepth.analysis.front import COSTS, WIDE, Progress, cost_label, costed
from nasdepth.analysis.plotting import (
    STYLES,
    Key,
    Plot,
    axis,
    blank,
    error_axis,
    key,
    log_axis,
    safe,
    thinned,
    thinned_text,
)
from nasdepth.evidence.observations import Observation
from nasdepth.evidence.units import Unit
from nasdepth.guide.pareto import undominated
from nasdepth.statistics.linear import Vector

_BEATEN, _FRONT = Key("not on it", "#56B4E9", "circle"), key("on the front", 1)
#: finished trials below which an area over time says nothing
LEAST: Final = 5


def pareto_plots(
    rows: Sequence[Observation], costs: Sequence[str] = COSTS
) -> tuple[Plot, ...]:
    """Accuracy against each cost, the front marked."""
    plots = (_pareto(rows, cost) for cost in costs)
    return tuple(plot for plot in plots if plot is not None)


def progress_plot(found: Progress) -> Plot | None:
    """Hypervolume over finished trials, None for fewer than five or an area of none."""
    if len(found.numbers) < LEAST or not found.areas[-1] > 0:
        return None
    figure = blank("finished trials", "hypervolume")
    figure.update_yaxes(rangemode="tozero")
    figure.add_trace(
        go.Scatter(
            x=list(range(1, len(found.numbers) + 1)),
            y=found.areas.tolist(),
            mode="lines",
            name="hypervolume",
            line={"color": STYLES[0][0], "shape": "hv", "width": 1.8},
            text=[f"trial {number}" for number in found.numbers],
            hovertemplate="%{text}, finished as number %{x}: %{y:.4g}<extra></extra>",
        )
    )
    label = cost_label(found.cost)
    title = f"Hypervolume of accuracy and {label} over time"
    return Plot(f"hypervolume-{found.cost}", title, _progress_text(found), figure)


def _progress_text(found: Progress) -> str:
    """What is drawn, from which point it is counted, and when half of it was there."""
    label, last = cost_label(found.cost), float(found.areas[-1])
    scale = f"natural logarithm of {label}" if found.log else label
    half = 1 + int(np.argmax(found.areas >= last / 2))
    origin = "set beforehand"
    if not found.given:
        origin = "the worst accuracy and the greatest cost of the complete trials"
    unit = " One point of accuracy over a tenfold range of the cost counts 0.023."
    return (
        "The area between the front and a reference point, accuracy times"
        f" {scale}, after each finished trial: {last:.3g} after"
        f" {len(found.numbers):,}, half of it after {half:,}. The reference point is"
        f" {found.gain:.2%} accuracy and {plain(found.limit)} {label}, {origin}."
        f"{unit if found.log else ''}"
    )


def plain(value: float) -> str:
    """A cost as a number that a person reads.

    >>> plain(60_000), plain(0.00123456)
    ('60,000', '0.001235')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def _pareto(rows: Sequence[Observation], cost: str) -> Plot | None:
    """Accuracy against one cost, None where fewer than two architectures have both."""
    units, costs, gains = costed(rows, cost)
    if len(units) < 2:
        return None
    label = cost_label(cost)
    vertical = error_axis(gains, "accuracy (log error)")
    figure = blank(label, "", xaxis=_cost_axis(costs, label), yaxis=vertical)
    kept = undominated(costs, gains)
    rest = np.flatnonzero(~kept)[thinned(int((~kept).sum()))]
    names = tuple(dict.fromkeys((cost, *COSTS)))
    texts = [_told(unit, names) for unit in units]
    figure.add_traces(list(_points(texts, costs, gains, rest)))
    figure.add_trace(_front_line(texts, costs, gains, np.flatnonzero(kept)))
    reading = (
        f"{int(kept.sum())} of {len(units):,} architectures are on the front: none that"
        f" needs no more {label} is more accurate."
    )
    name = f"pareto-{cost}"
    text = reading + thinned_text(int((~kept).sum()))
    title = f"Accuracy against {label}"
    return Plot(name, title, text, figure, (_FRONT, _BEATEN))


def _cost_axis(costs: Vector, label: str) -> dict[str, Any]:
    """Logarithmic where costs span enough for ticks of it."""
    if costs.max() >= WIDE * costs.min():
        return log_axis(costs, label)
    return axis(label)


def _points(
    texts: Sequence[str], costs: Vector, gains: Vector, places: npt.NDArray[np.int64]
) -> Iterator[go.Scatter]:
    """Architectures off the front."""
    yield go.Scatter(
        x=costs[places].tolist(),
        y=gains[places].tolist(),
        mode="markers",
        name=_BEATEN.label,
        marker=_BEATEN.marker(len(places), opacity=0.7),
        text=[texts[place] for place in places],
        hovertemplate="%{text}<extra></extra>",
    )


def _front_line(
    texts: Sequence[str], costs: Vector, gains: Vector, places: npt.NDArray[np.int64]
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
        text=[texts[place] for place in ordered],
        hovertemplate="%{text}<extra></extra>",
    )


def _told(unit: Unit, costs: Sequence[str]) -> str:
    """What is said of a point under the pointer."""
    lines = [safe(", ".join(unit.places[:3])), safe(unit.family)]
    lines.append(f"accuracy {unit.outcome('accuracy'):.2%}")
    lines += [
        f"{plain(unit.measures[cost])} {cost_label(cost)}"
        for cost in costs
        if cost in unit.measures
    ]
    return "<br>".join(line for line in lines if line)
