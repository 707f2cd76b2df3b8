"""Figures of a study: accuracy against measures, fronts, and learning curves.

Drawn with matplotlib's object interface, so no global state and no display is needed;
the file's suffix (``.png``, ``.svg``, ``.pdf``) chooses the format. Colours are from
the palette of Okabe & Ito (2008), which colour-blind readers tell apart.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from nasdepth.analysis.front import WIDE, cost_label, costed
from nasdepth.evidence.observations import Observation
from nasdepth.evidence.units import by_digest, why_unused
from nasdepth.guide.pareto import undominated
from nasdepth.measures.catalogue import CATALOGUE, scale_of
from nasdepth.statistics.linear import Vector
from nasdepth.statistics.regression import correlation

_PANELS = (
    "nominal_depth",
    "weighted_layers",
    "effective_depth",
    "nn_mass",
    "params",
    "macs",
)
_BLUE, _ORANGE, _INK, _GREY = "#0072B2", "#D55E00", "#222222", "#6B6B6B"
_SKY = "#56B4E9"
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "text.color": _INK,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "svg.hashsalt": "nasdepth",
}
# Accuracies in percent that may carry a tick on the axis of log error.
_TICKS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98)
_FINE_TICKS = (98.5, 99, 99.3, 99.5, 99.7, 99.8, 99.9, 99.95, 99.99)
_PIXELS_PER_INCH = 160
_MARGINS = {"left": 0.11, "right": 0.97, "bottom": 0.13, "top": 0.83}
_FRONT = {
    "label": "on the front",
    "color": _ORANGE,
    "drawstyle": "steps-post",
    "linewidth": 1.4,
    "marker": "D",
    "markersize": 6,
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
}
_BEATEN = {
    "label": "not on it",
    "linestyle": "none",
    "marker": "o",
    "markersize": 6,
    "color": _SKY,
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
}


def scatter(rows: Iterable[Observation], path: str | Path, *, title: str = "") -> None:
    """Draws accuracy against six measures, complete trials alone.

    The vertical axis is log error, labelled in accuracy. The unselected arm is
    filled, the search arm hollow; Spearman's correlation is of the unselected arm
    with rows of one digest averaged.

    Args:
        rows: Rows of one source; those without an accuracy are left out.
        path: Where the figure goes.
        title: First line of the figure, before data set and numbers.
    """
    rows = [r for r in rows if r.state == "complete" and r.outcomes.get("accuracy")]
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # keys are rc names
        figure = Figure(figsize=(10.5, 6.6), layout="constrained")
        grid = figure.subplots(2, 3, sharey=True, gridspec_kw={"wspace": 0.05})
        for axes, name in zip(grid.flat, _PANELS, strict=True):
            _panel(axes, rows, name)
            axes.set_xlabel(CATALOGUE[name].label)
        for axes in grid[:, 0]:
            axes.set_ylabel("validation accuracy (log error)")
        _accuracy_axis(grid[0, 0], rows)
        _headings(figure, title or "Accuracy against each measure", _numbers(rows))
        _legend(figure, rows)
        _save(figure, path)


def fronts(
    rows: Iterable[Observation],
    path: str | Path,
    *,
    costs: Sequence[str],
    title: str = "",
) -> None:
    """Draws accuracy against each cost with the Pareto front, complete trials alone.

    The vertical axis is log error, labelled in accuracy; rows of one digest are
    averaged.

    Args:
        rows: Rows of one source; those without an accuracy are left out.
        path: Where the figure goes.
        costs: Names of the measures, a panel for each.
        title: First line of the figure, before data set and numbers.
    """
    rows = [r for r in rows if r.state == "complete" and r.outcomes.get("accuracy")]
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # keys are rc names
        width = 1.4 + 4.6 * len(costs)
        figure = Figure(figsize=(max(width, 7.0), 4.6), layout="constrained")
        (grid,) = figure.subplots(1, len(costs), sharey=True, squeeze=False)
        for axes, cost in zip(grid, costs, strict=True):
            _front_panel(axes, rows, cost)
        grid[0].set_ylabel("validation accuracy (log error)")
        drawn = [axes for axes in grid if axes.get_legend_handles_labels()[0]]
        for axes in drawn[:1]:
            axes.legend(loc="best", frameon=False)
        _accuracy_axis(grid[0], rows)
        _headings(figure, title or "Accuracy against cost", _numbers(rows))
        _save(figure, path)


def learning_curve(
    curve: Sequence[float], path: str | Path, *, title: str = "", dataset: str = ""
) -> None:
    """Draws validation accuracy over epochs, the best epoch marked.

    Args:
        curve: Validation accuracy in [0, 1] after each epoch.
        path: Where the figure goes.
        title: First line of the figure.
        dataset: Label of the data set, for the second line.
    """
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # keys are rc names
        # one a trial: margins that are given take half the time of found ones
        figure = Figure(figsize=(6.4, 3.8))
        axes = figure.subplots(gridspec_kw=_MARGINS)
        epochs = np.arange(1, len(curve) + 1)
        percent = 100 * np.asarray(curve, dtype=np.float64)
        axes.plot(epochs, percent, color=_BLUE, linewidth=1.8, marker="o", markersize=4)
        axes.grid(visible=True)
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation accuracy (%)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.margins(x=0.06, y=0.16)
        if len(curve):
            _mark_best(axes, percent)
        else:
            _say(axes, "no epoch finished")
        parts = (dataset, f"{len(curve)} epochs, one run")
        _headings(figure, title or "Learning curve", " · ".join(filter(None, parts)))
        _save(figure, path)


def _panel(axes: Axes, rows: Sequence[Observation], name: str) -> None:
    """One measure against accuracy."""
    scale = scale_of(name)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    known = [row for row in rows if row.measures.get(name) is not None]
    values = [row.measures[name] or 0.0 for row in known]
    if scale == "log" and values and min(values) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
    elif scale == "log1p" and values and max(values) > 10:
        axes.set_xscale("symlog", linthresh=10, linscale=0.5)
        axes.xaxis.set_minor_locator(NullLocator())
    if scale != "linear":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _short(x)))
    for arm in ("unselected", "search"):
        chosen = [i for i, row in enumerate(known) if row.arm == arm]
        axes.plot(
            [values[i] for i in chosen],
            [_error(known[i]) for i in chosen],
            **_marker(arm),  # type: ignore[arg-type]  # keywords of Line2D
        )
    if not known:
        _say(axes, "not recorded")
    axes.set_title(_spearman(known, name), fontsize=9, color=_GREY, loc="left")


def _front_panel(axes: Axes, rows: Sequence[Observation], cost: str) -> None:
    """Accuracy against one cost: the front as steps, the others behind it."""
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.set_xlabel(cost_label(cost))
    units, costs, gains = costed(rows, cost)
    if not units:
        _say(axes, "not recorded")
        return
    kept = undominated(costs, gains)
    errors = np.exp(-gains)
    axes.plot(costs[~kept], errors[~kept], **_BEATEN)  # type: ignore[arg-type]  # keywords of Line2D
    order = np.flatnonzero(kept)[np.argsort(costs[kept])]
    axes.plot(costs[order], errors[order], **_FRONT)  # type: ignore[arg-type]  # as above
    if costs.max() >= WIDE * costs.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _short(x)))
    words = f"{kept.sum()} of {len(units)} on the front"
    axes.set_title(words, fontsize=9, color=_GREY, loc="left")


def _spearman(rows: Sequence[Observation], name: str) -> str:
    """Spearman's correlation over the unselected architectures, in words."""
    units = by_digest((row for row in rows if not why_unused(row)), exact=())
    known = units.where([name in unit.measures for unit in units.units])
    found = correlation(known.outcome("accuracy"), known.measure(name))
    if found.spearman is None:
        return f"no Spearman: {found.problem}" if len(known) else "n = 0"
    return f"Spearman {found.spearman:+.2f}, n = {found.n}"


def _marker(arm: str) -> dict[str, object]:
    """How an arm's points look: filled if unselected, hollow if searched."""
    filled = arm == "unselected"
    return {
        "linestyle": "none",
        "marker": "o" if filled else "D",
        "markersize": 6 if filled else 5,
        "markerfacecolor": _BLUE if filled else "none",
        "markeredgecolor": "white" if filled else _ORANGE,
        "markeredgewidth": 0.6 if filled else 1.1,
        "alpha": 0.85,
    }


def _accuracy_axis(axes: Axes, rows: Sequence[Observation]) -> None:
    """Log error upside down, so that better is higher, with ticks in accuracy."""
    errors = [_error(row) for row in rows] or [0.1, 0.5]
    low, high = min(errors), max(errors)
    room = max(0.08 * math.log(high / low), 0.05)
    axes.set_yscale("log")
    axes.set_ylim(high * math.exp(room), low * math.exp(-room))
    low, high = low * math.exp(-room), high * math.exp(room)
    inside = [t for t in (*_TICKS, *_FINE_TICKS) if low <= 1 - t / 100 <= high]
    kept: list[float] = []
    for tick in inside:
        gap = math.log(high / low) / 14
        if not kept or math.log((100 - kept[-1]) / (100 - tick)) >= gap:
            kept.append(tick)
    if len(kept) < 2:
        kept = [100 * (1 - error) for error in (high, (high * low) ** 0.5, low)]
    axes.yaxis.set_major_locator(FixedLocator([1 - tick / 100 for tick in kept]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda e, _: f"{100 * (1 - e):.4g} %"))


def _error(row: Observation) -> float:
    """A row's error, clipped at half a validation image."""
    accuracies = row.outcomes["accuracy"]
    mean = sum(accuracies) / len(accuracies)
    return max(1 - mean, 0.5 / (row.images or 10_000))


def _numbers(rows: Sequence[Observation]) -> str:
    """Data set and sample in words."""
    datasets = ", ".join(sorted({row.dataset for row in rows if row.dataset}))
    images = sorted({row.images for row in rows if row.images})
    unselected = sum(row.arm == "unselected" for row in rows)
    arms = f"{unselected} unselected, {len(rows) - unselected} from the search"
    parts = [datasets, f"n = {len(rows)} trained networks ({arms})"]
    if len(images) == 1:
        parts.append(f"{images[0]:,} validation images")
    return " · ".join(filter(None, parts))


def _legend(figure: Figure, rows: Sequence[Observation]) -> None:
    """Names the arms that are in the figure, below the panels."""
    words = {
        "unselected": "unselected arm (quasi-random, never pruned)",
        "search": "search arm (chosen by the sampler)",
    }
    handles = [
        Line2D([], [], label=text, **_marker(arm))  # type: ignore[arg-type]  # as above
        for arm, text in words.items()
        if any(row.arm == arm for row in rows)
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)


def _mark_best(axes: Axes, percent: Vector) -> None:
    """Rings the best epoch and writes its accuracy beside it."""
    best = int(np.argmax(percent))
    axes.plot(
        best + 1,
        percent[best],
        marker="o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor=_ORANGE,
        markeredgewidth=1.6,
    )
    late = best > len(percent) / 2
    axes.annotate(
        f"best {percent[best]:.2f} % (epoch {best + 1})",
        (best + 1, percent[best]),
        xytext=(6 if late else -6, 9),
        textcoords="offset points",
        ha="right" if late else "left",
        color=_ORANGE,
    )


def _headings(figure: Figure, title: str, numbers: str) -> None:
    """A bold first line and a grey second one, both flush left."""
    figure.suptitle(" \n ", fontsize=13)  # keeps their room free in the layout
    inch = 1 / figure.get_figheight()
    figure.text(0.01, 1 - 0.08 * inch, title, fontsize=13, fontweight="bold", va="top")
    figure.text(0.01, 1 - 0.33 * inch, numbers, color=_GREY, va="top")


def _say(axes: Axes, words: str) -> None:
    """Words in the middle of an empty panel, which has no ticks to read."""
    axes.set_xticks([])
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", color=_GREY)


def _short(value: float) -> str:
    """A number with k, M or G: 20k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _save(figure: Figure, path: str | Path) -> None:
    """Writes the figure in the format of its suffix, without a date."""
    suffix = Path(path).suffix.lower()
    dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    figure.savefig(path, dpi=_PIXELS_PER_INCH, metadata=dated.get(suffix))
