"""Figures of an analysis: raw relations, added-variable plots, specification curve.

An added-variable plot (Mosteller & Tukey 1977, Data Analysis and Regression, ch. 12)
shows what all covariates leave of the response against what they leave of a predictor:
the correlation of its points is the partial correlation, its slope the coefficient of
the full regression (Frisch & Waugh 1933).
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go

from nasdepth.analysis.plotting import (
    GREY,
    INK,
    Key,
    Plot,
    axis,
    blank,
    error_axis,
    key,
    keys,
    safe,
    thinned,
    thinned_text,
)
from nasdepth.analysis.wording import number, p_text
from nasdepth.claims.claim import bracketed
from nasdepth.claims.headline import Fit, Headline
from nasdepth.evidence.preregistration import EFFECTIVE, Preregistration
from nasdepth.evidence.responses import response_named
from nasdepth.evidence.units import Sample, Unit
from nasdepth.measures.catalogue import label_of
from nasdepth.statistics.linear import Vector, basis, residual
from nasdepth.statistics.multiverse import Curve, Point
from nasdepth.statistics.regression import correlation

_OTHER: Final = "other families"
# Pixels of a row of the variants below a specification curve.
_ROW: Final = 19


def depth_plots(sample: Sample, plan: Preregistration) -> tuple[Plot, ...]:
    """The response against effective depth and both readings of nominal depth."""
    names = dict.fromkeys((EFFECTIVE, *plan.readings))
    families = _families(sample)
    found = (_against(sample, plan, name, families) for name in names)
    return tuple(plot for plot in found if plot is not None)


def added_variable_plots(
    sample: Sample, plan: Preregistration, found: Headline
) -> tuple[Plot, ...]:
    """What the covariates of each fit leave of the response and of its predictor.

    Args:
        sample: The units that the headline was computed on.
        plan: What is tested.
        found: The headline, whose fits are drawn.
    """
    families = _families(sample)
    plots = (_added_variable(sample, plan, fit, families) for fit in found.fits)
    return tuple(plot for plot in plots if plot is not None)


def curve_plot(curve: Curve) -> Plot | None:
    """Every specification from the least to the greatest, its variant marked below."""
    points = sorted(
        (point for point in curve.points if point.value is not None),
        key=lambda point: point.value or 0.0,
    )
    if not points:
        return None
    outcomes = list(dict.fromkeys(point.outcome for point in curve.points))
    conventions = list(dict.fromkeys(point.convention for point in curve.points))
    figure = _curve_axes(len(points), [*conventions, *outcomes])
    legend = tuple(key(outcome, i) for i, outcome in enumerate(outcomes))
    figure.add_traces([_estimates(points, entry) for entry in legend])
    figure.add_trace(_variants(points, conventions, outcomes))
    figure.update_layout(yaxis_range=_with_zero(points))
    reading = _curve_reading(curve)
    name, title = "specification-curve", "Specification curve"
    return Plot(name, title, reading, figure, legend, wide=True)


def _families(sample: Sample) -> dict[str, Key]:
    """The legend of a sample, the same in all its figures."""
    return keys([unit.family for unit in sample.units], _OTHER)


def _against(
    sample: Sample, plan: Preregistration, name: str, families: dict[str, Key]
) -> Plot | None:
    """The response against a measure, None where fewer than two units have both."""
    every, response = sample.measure(name), sample.response(plan.response)
    known = ~np.isnan(every) & ~np.isnan(response)
    if known.sum() < 2:
        return None
    part, x, y = sample.where(known), every[known], response[known]
    label = response_named(plan.response).label
    vertical = axis(label)
    if plan.response == "log_error":
        vertical = error_axis(y, "accuracy (log error)")
    figure = blank(label_of(name), label, yaxis=vertical)
    figure.add_traces(list(_by_family(part.units, x, y, families)))
    found = correlation(y, x)
    rank = f"Spearman's correlation is {number(found.spearman)}"
    if found.spearman is None:
        rank = f"there is no rank correlation: {found.problem}"
    reading = f"Each point is one of {len(x):,} architectures; {rank}."
    return Plot(
        f"against-{_identity(name)}",
        f"{_capital(label)} against {label_of(name)}",
        reading + thinned_text(len(x)),
        figure,
        _entries(families),
    )


def _added_variable(
    sample: Sample, plan: Preregistration, fit: Fit, families: dict[str, Key]
) -> Plot | None:
    """Residuals of the response against those of a predictor."""
    other, *rest = fit.covariates
    logs = [name for name in rest if name in plan.baselines]
    columns = [sample.measure(fit.predictor), sample.measure(other)]
    columns += sample.covariates(logs, plan.covariates)
    known = ~np.isnan(np.array(columns)).any(axis=0)
    if fit.result.value is None or known.sum() < 2:
        return None
    part = sample.where(known)
    first, *held = (column[known] for column in columns)
    given = basis(held, len(part))
    x, _ = residual(first, given)
    y, _ = residual(part.response(plan.response), given)
    kind, label = response_named(plan.response), label_of(fit.predictor)
    figure = blank(f"what is left of {label}", f"what is left of {kind.label}")
    figure.add_traces([*_by_family(part.units, x, y, families), _line(x, y)])
    names = ", ".join(label_of(name) for name in fit.covariates)
    tail = "" if fit.preregistered else " (exploratory reading)"
    return Plot(
        f"added-{fit.role}-{_identity(fit.reading)}",
        f"{_capital(label)} given {label_of(other)} and size{tail}",
        _added_reading(fit, names, kind.gain) + thinned_text(len(x)),
        figure,
        _entries(families),
    )


def _added_reading(fit: Fit, names: str, gain: str) -> str:
    """What an added-variable plot shows, in words."""
    found, label = fit.result, label_of(fit.predictor)
    text = (
        f"Held fixed: {names}. The line is the regression's own; the correlation of the"
        f" {found.n:,} points is the partial correlation {number(found.value)}"
        f" {bracketed(found.interval)}"
    )
    if found.interval is None or found.interval[0] <= 0 <= found.interval[1]:
        return f"{text}, which leaves the sign open."
    sign = "more" if (found.value or 0.0) > 0 else "less"
    return f"{text}: {sign} {label} goes with {gain} where the rest is equal."


def _entries(families: dict[str, Key]) -> tuple[Key, ...]:
    """Entries of a legend, each once; none where all is one family."""
    entries = tuple(dict.fromkeys(families.values()))
    return entries if len(entries) > 1 else ()


def _by_family(
    units: Sequence[Unit], x: Vector, y: Vector, families: dict[str, Key]
) -> Iterator[go.Scatter]:
    """Points of each family in its own colour and symbol."""
    shown = thinned(len(units))
    own = [families[units[i].family] for i in shown]
    for entry in dict.fromkeys(families.values()):
        chosen = [i for i, found in zip(shown, own, strict=True) if found == entry]
        yield go.Scatter(
            x=x[chosen].tolist(),
            y=y[chosen].tolist(),
            mode="markers",
            name=safe(entry.label),
            marker=entry.marker(len(shown)),
            text=[_hover(units[i]) for i in chosen],
            hovertemplate="%{text}<br>%{xaxis.title.text} %{x:.4g}<extra></extra>",
        )


def _hover(unit: Unit) -> str:
    """What is said of a point under the pointer."""
    accuracy = unit.outcome("accuracy")
    lines = [safe(unit.places[0]), safe(unit.family)]
    lines += [f"accuracy {accuracy:.2%}"] if accuracy == accuracy else []
    return "<br>".join(line for line in lines if line)


def _line(x: Vector, y: Vector) -> go.Scatter:
    """The regression line of residuals, which goes through the origin."""
    slope = float(x @ y / (x @ x)) if x.any() else 0.0
    ends = [float(x.min()), float(x.max())]
    return go.Scatter(
        x=ends,
        y=[slope * end for end in ends],
        mode="lines",
        name="regression",
        line={"color": INK, "width": 2},
        hoverinfo="skip",
    )


def _curve_axes(count: int, variants: Sequence[str]) -> go.Figure:
    """Estimates above, one row for each variant below."""
    lower = _ROW * len(variants)
    height = 250 + lower + 40
    share = lower / (250 + lower)
    rows = [safe(name) for name in variants]
    across = {"range": [-0.7, count - 0.3], "showticklabels": False, "ticks": ""}
    return blank(
        "",
        "",
        height=height,
        xaxis=axis("", **across, anchor="y2", showgrid=False),
        yaxis=axis("partial correlation", domain=[share + 0.03, 1], zeroline=True)
        | {"zerolinecolor": GREY, "zerolinewidth": 1.5},
        yaxis2=axis("", domain=[0, share])
        | {
            "tickvals": list(range(len(rows))),
            "ticktext": rows,
            "range": [len(rows) - 0.4, -0.6],
            "tickfont": {"size": 11, "color": GREY},
        },
    )


def _with_zero(points: Sequence[Point]) -> list[float]:
    """Range that holds every interval and 0."""
    ends = [end for point in points for end in point.interval or (point.value or 0.0,)]
    low, high = min([*ends, 0.0]), max([*ends, 0.0])
    return [low - 0.04 * (high - low), high + 0.04 * (high - low)]


def _curve_reading(curve: Curve) -> str:
    """What a specification curve shows, in words."""
    points = [point for point in curve.points if point.value is not None]
    text = (
        f"{len(points)} definitions of effective depth and scales of the response, from"
        " the least partial correlation to the greatest, with Fisher's intervals, not"
        " corrected for their number; the squares below say which is which."
    )
    if curve.problem:
        return f"{text} No joint test: {curve.problem}."
    return (
        f"{text} Median {number(curve.median)}, {number(curve.share_positive, '.0%')}"
        f" positive; the largest |t| has p {p_text(curve.p_value)} by"
        f" {curve.draws:,} shared permutations."
    )


def _estimates(points: Sequence[Point], entry: Key) -> go.Scatter:
    """The estimates of one response, with their intervals."""
    places = [i for i, point in enumerate(points) if point.outcome == entry.label]
    chosen = [points[i] for i in places]
    value = [point.value or 0.0 for point in chosen]
    ends = [point.interval or (v, v) for point, v in zip(chosen, value, strict=True)]
    return go.Scatter(
        x=places,
        y=value,
        mode="markers",
        name=safe(entry.label),
        marker=entry.marker(size=8),
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [high - v for (_, high), v in zip(ends, value, strict=True)],
            "arrayminus": [v - low for (low, _), v in zip(ends, value, strict=True)],
            "color": entry.colour,
            "thickness": 1,
            "width": 2,
        },
        text=[
            f"{safe(point.convention)}<br>{safe(point.outcome)}<br>"
            f"{number(point.value)} {bracketed(point.interval)}"
            for point in chosen
        ],
        hovertemplate="%{text}<extra></extra>",
    )


def _variants(
    points: Sequence[Point], conventions: Sequence[str], outcomes: Sequence[str]
) -> go.Scatter:
    """A mark in the rows of each specification's convention and of its response."""
    rows = {("convention", name): i for i, name in enumerate(conventions)}
    rows |= {("outcome", name): len(rows) + i for i, name in enumerate(outcomes)}
    upper = [rows["convention", point.convention] for point in points]
    lower = [rows["outcome", point.outcome] for point in points]
    return go.Scatter(
        x=[*range(len(points)), *range(len(points))],
        y=[*upper, *lower],
        yaxis="y2",
        mode="markers",
        marker={"symbol": "square", "size": 7, "color": INK},
        hoverinfo="skip",
    )


def _identity(name: str) -> str:
    return name.replace("_", "-")


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
