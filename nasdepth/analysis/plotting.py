"""What all figures of a page share: styles, axes, words, and how they become HTML.

Drawn with plotly. Colours are from the palette of Okabe & Ito (2008), which
colour-blind readers tell apart, and every colour has its own symbol. Nothing depends on
the clock or on chance.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from nasdepth.statistics.linear import Vector

#: colour and symbol, in the order in which they are given away
STYLES: Final = (
    ("#0072B2", "circle"),
    ("#D55E00", "diamond"),
    ("#009E73", "square"),
    ("#CC79A7", "triangle-up"),
    ("#E69F00", "triangle-down"),
    ("#56B4E9", "star"),
    ("#000000", "x"),
)
#: style of what has none of its own
REST: Final = ("#767676", "circle-open")
_SIGNS: Final = {
    "circle": "●",
    "diamond": "◆",
    "square": "■",
    "triangle-up": "▲",
    "triangle-down": "▼",
    "star": "★",
    "x": "✖",
    "circle-open": "○",
    "line": "━",
    "dotted": "┅",
}
INK, GREY, RULE = "#1F2933", "#52606D", "#E4E7EB"
#: points of one figure; a browser draws more of them slowly
MOST: Final = 1500
# Points above which they are drawn small and thin.
_CROWD: Final = 300
_HEIGHT: Final = 400
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif"
# Errors that may carry a tick, as multiples of a power of ten: coarse, then finer.
_LEVELS: Final = (
    (1, 2, 5),
    tuple(range(1, 10)),
    tuple(part / 2 for part in range(2, 20)),
    tuple(part / 5 for part in range(5, 50)),
    tuple(part / 10 for part in range(10, 100)),
)
# Ticks of an axis of log error, at least and at most.
_FEW, _MANY = 4, 9


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: a label, and the colour and symbol that stand for it."""

    label: str
    colour: str
    symbol: str

    @property
    def sign(self) -> str:
        """The symbol as a character."""
        return _SIGNS[self.symbol]

    def marker(self, points: int = 0, **more: Any) -> dict[str, Any]:
        """Marker of the points that it stands for, small in a figure of many."""
        line = {"width": 0.7, "color": "#ffffff"}
        if self.symbol.endswith("-open"):
            line = {"width": 1.4, "color": self.colour}
        shape = {"color": self.colour, "symbol": self.symbol, "line": line}
        look = {"size": 9, "opacity": 0.85}
        if points > _CROWD:
            look = {"size": 5, "opacity": 0.5}
        return {**shape, **look, **more}


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """A figure with what stands around it.

    Attributes:
        name: Identity on a page.
        title: Over it.
        reading: Sentences that say what is drawn and what it shows.
        figure: Data and layout, without a legend.
        legend: Its entries.
        wide: Whether it needs the whole width of a page.
    """

    name: str
    title: str
    reading: str
    figure: go.Figure
    legend: tuple[Key, ...] = ()
    wide: bool = False


def library() -> str:
    """The JavaScript that draws the figures, whole, for a page without a network."""
    return str(get_plotlyjs())


def plot_html(plot: Plot, identity: str) -> str:
    """A figure as an element and the script that draws it, without the library.

    Args:
        plot: The figure.
        identity: Of the element, once on a page.
    """
    text = pio.to_html(
        plot.figure,
        full_html=False,
        include_plotlyjs=False,
        div_id=identity,
        config={"displaylogo": False, "responsive": True, "displayModeBar": False},
        default_height=f"{plot.figure.layout.height or _HEIGHT}px",
    )
    return " ".join(str(text).split())


def blank(x: str, y: str, **more: Any) -> go.Figure:
    """A figure without data.

    Args:
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        **more: Further settings of the layout, which replace those made here.
    """
    settings: dict[str, Any] = {
        "template": "none",
        "height": _HEIGHT,
        "margin": {"l": 64, "r": 14, "t": 12, "b": 48},
        "font": {"family": _FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "hoverlabel": {"bgcolor": "#ffffff", "font": {"color": INK}},
        "showlegend": False,
        "xaxis": axis(x),
        "yaxis": axis(y),
    }
    return go.Figure(layout={**settings, **more})


def axis(label: str, **more: Any) -> dict[str, Any]:
    """An axis with a label and quiet lines."""
    return {
        "title": {"text": label, "standoff": 10, "font": {"color": GREY}},
        "gridcolor": RULE,
        "linecolor": "#9AA5B1",
        "ticks": "outside",
        "tickcolor": "#9AA5B1",
        "tickfont": {"color": GREY},
        "zeroline": False,
        "automargin": True,
        **more,
    }


def error_axis(values: Vector, label: str) -> dict[str, Any]:
    """Axis of minus log errors whose ticks are accuracies in percent."""
    low, high = float(np.min(values)), float(np.max(values))
    room = 0.06 * (high - low) or 0.1
    low, high = low - room, high + room
    found = (_ticks(low, high, level) for level in _LEVELS)
    kept = next((ticks for ticks in found if len(ticks) >= _FEW), None)
    if kept is None:
        kept = [float(place) for place in np.linspace(low + room, high - room, _FEW)]
    texts = [f"{100 * (1 - math.exp(-place)):.7g} %" for place in kept]
    return axis(label, range=[low, high], tickvals=kept, ticktext=texts)


def _ticks(low: float, high: float, level: Sequence[float]) -> list[float]:
    """Places of round errors between two ends, far enough from each other."""
    errors = {part * 10.0**-power for part in level for power in range(1, 7)} | {1.0}
    kept: list[float] = []
    for place in sorted(-math.log(error) for error in errors):
        last = kept[-1] if kept else -math.inf
        if low <= place <= high and place - last >= (high - low) / _MANY:
            kept.append(place)
    return kept


def log_axis(values: Vector, label: str) -> dict[str, Any]:
    """Logarithmic axis of positive values, its ticks 1, 2 and 5 times powers of ten."""
    low, high = math.log10(float(values.min())), math.log10(float(values.max()))
    room = 0.06 * (high - low) or 0.2
    low, high = low - room, high + room
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [part * 10.0**power for power in powers for part in (1, 2, 5)]
    kept = [tick for tick in ticks if low <= math.log10(tick) <= high]
    if len(kept) > _MANY:
        kept = [tick for tick in kept if f"{tick:e}".startswith("1")]
    texts = [_short(tick) for tick in kept]
    return axis(label, type="log", range=[low, high], tickvals=kept, ticktext=texts)


def _short(value: float) -> str:
    """A number with k, M or G: 20k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def thinned(n: int) -> npt.NDArray[np.int64]:
    """Places of the points that are drawn: all, or `MOST` of them, always the same."""
    if n <= MOST:
        return np.arange(n)
    chosen = np.random.default_rng(0).choice(n, MOST, replace=False)
    return np.sort(chosen)


def thinned_text(n: int) -> str:
    """What is to be said of a figure that does not draw all its points."""
    if n <= MOST:
        return ""
    return f" Drawn are {MOST:,} of the {n:,}, taken at random."


def keys(labels: Sequence[str], rest: str) -> dict[str, Key]:
    """The entry of each label; the commonest have their own, the others share one.

    Args:
        labels: One per point.
        rest: Label of the shared entry.
    """
    ranked = [name for name, _ in Counter(sorted(labels)).most_common()]
    own = ranked if len(ranked) <= len(STYLES) else ranked[: len(STYLES) - 1]
    found = {name: Key(name, *STYLES[i]) for i, name in enumerate(own)}
    return {name: found.get(name, Key(rest, *REST)) for name in ranked}


def key(label: str, index: int) -> Key:
    """The entry with the style of that place."""
    return Key(label, *STYLES[index % len(STYLES)])


def safe(text: str) -> str:
    """Text for a figure, in which plotly would read tags and links."""
    return escape(text, quote=False)
