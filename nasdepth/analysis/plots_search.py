"""Figures of a search: how networks learned, and whether that was foretold."""

from collections.abc import Iterator, Sequence
from typing import Final

import plotly.graph_objects as go

from nasdepth.analysis.plotting import (
    GREY,
    INK,
    STYLES,
    Key,
    Plot,
    axis,
    blank,
    key,
)
from nasdepth.evidence.records import TrialRecord
from nasdepth.guide.coverage import Coverage, Prediction, coverage_of, half_width

#: levels of the intervals that predictions are judged by
LEVELS: Final = (0.95, 0.5)
#: predictions below which a coverage says nothing
LEAST: Final = 5
# Curves that are drawn; more of them hide each other.
_CURVES: Final = 120
_ARMS: Final = {
    "unselected": Key("unselected arm", STYLES[0][0], "line"),
    "search": Key("search arm", STYLES[1][0], "line"),
}
_CUT: Final = Key("pruned", INK, "dotted")
_HELD, _MISSED = key("within its 95 % interval", 0), key("outside of it", 1)
_EQUAL: Final = Key("came out as expected", GREY, "line")


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


def prediction_plot(predictions: Sequence[Prediction]) -> Plot | None:
    """What was expected against what came out, None for fewer than five trials."""
    if len(predictions) < LEAST:
        return None
    ends = _ends(predictions)
    percent = {"tickformat": ".3~%", "range": ends}
    figure = blank(
        "",
        "",
        xaxis=axis("validation accuracy expected before the trial", **percent),
        yaxis=axis("validation accuracy that came out", **percent),
    )
    line = {"color": GREY, "width": 1.2}
    equal = go.Scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip")
    figure.add_trace(equal)
    reach = half_width(LEVELS[0])
    legend = [_EQUAL]
    for entry, held in ((_HELD, True), (_MISSED, False)):
        chosen = [each for each in predictions if (abs(each.z) <= reach) is held]
        if chosen:
            figure.add_trace(_predicted(chosen, entry))
            legend.append(entry)
    title = "Accuracy that came out against accuracy expected"
    text = _coverage_text(predictions)
    return Plot("predictions", title, text, figure, tuple(legend), wide=True)


def _ends(predictions: Sequence[Prediction]) -> list[float]:
    """Range of both axes: results and intervals, which may leave [0, 1]."""
    reach = half_width(LEVELS[0])
    low = min(min(each.result, each.mean - reach * each.sd) for each in predictions)
    high = max(max(each.result, each.mean + reach * each.sd) for each in predictions)
    room = 0.04 * (high - low) or 0.01
    return [low - room, high + room]


def _predicted(predictions: Sequence[Prediction], entry: Key) -> go.Scatter:
    """Points with the intervals that were expected."""
    reach = half_width(LEVELS[0])
    widths = [reach * each.sd for each in predictions]
    bars = {"array": widths, "color": entry.colour, "thickness": 1, "width": 0}
    return go.Scatter(
        x=[each.mean for each in predictions],
        y=[each.result for each in predictions],
        error_x=bars,
        mode="markers",
        name=entry.label,
        marker=entry.marker(len(predictions)),
        text=[_prediction_text(each) for each in predictions],
        hovertemplate="%{text}<extra></extra>",
    )


def _prediction_text(told: Prediction) -> str:
    width = half_width(LEVELS[0]) * told.sd
    return (
        f"trial {told.number}<br>expected {told.mean:.2%} ± {100 * width:.2f} points"
        f"<br>came out {told.result:.2%}"
    )


def _coverage_text(predictions: Sequence[Prediction]) -> str:
    """What is drawn, what the intervals held, and what that says of them."""
    found = [coverage_of(predictions, level) for level in LEVELS]
    error = sum(each.result - each.mean for each in predictions) / len(predictions)
    side = "above" if error >= 0 else "below"
    verdicts = [words for each in found if (words := _verdict(each))]
    return " ".join(
        (
            "Each point is a trial that ran to its end; its bar is the 95 % interval"
            " that the guide gave before it ran.",
            *(f"{_share(each)}." for each in found),
            *(verdicts or ["Neither share contradicts its level."]),
            f"On average results lay {100 * abs(error):.2f} points {side} what was"
            " expected. The ranges of the shares take the trials as independent.",
        )
    )


def _share(found: Coverage) -> str:
    low, high = found.interval
    return (
        f"{found.inside} of {found.n} results ({found.share:.0%}, 95 % Wilson interval"
        f" {low:.0%} to {high:.0%}) fell into their {100 * found.level:.0f} % interval"
    )


def _verdict(found: Coverage) -> str:
    """Whether intervals are wrong beyond chance; empty where they need not be."""
    low, high = found.interval
    if low <= found.level <= high:
        return ""
    word = "narrow" if high < found.level else "wide"
    return f"The {100 * found.level:.0f} % intervals are too {word}."


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
