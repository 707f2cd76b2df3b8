"""The path-length law of a network as a small plot.

Counts of paths grow as 2 to the number of blocks: they are exact integers, and only
their ratios become floats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Final

from nasdepth.architecture.graph import Graph
from nasdepth.measures.depth import path_counts, weighted_layers
from nasdepth.measures.structure import Structure, Undefined
from nasdepth.pictures.svg import ACCENT, GREY, INK, MARGIN, page, words

_WIDTH: Final = 520.0
_HEIGHT: Final = 84.0  # of the highest bar
_ROW: Final = 15.0  # of a marker's label
_TICKS: Final = 8
#: weights above which the law is one filled shape
_MOST_BARS: Final = 80
_BAR, _EDGE = "#7FB2DF", "#2F6BA3"


@dataclass(frozen=True, slots=True)
class Law:
    """How likely each weight of an input-output path is, every path equally likely.

    Attributes:
        shares: by weight, in ascending order; they add up to 1.
        log2_paths: logarithm to base 2 of the number of paths.
        layers: transformations on any path (W); 0 where unknown.
    """

    shares: Mapping[int, float]
    log2_paths: float
    layers: int = 0

    @property
    def longest(self) -> int:
        """Greatest weight: the nominal depth under the default convention."""
        return max(self.shares)

    @property
    def mean(self) -> float:
        """Effective depth."""
        return sum(weight * share for weight, share in self.shares.items())

    @property
    def deviation(self) -> float:
        """Standard deviation of the weight."""
        mean = self.mean
        parts = (share * (w - mean) ** 2 for w, share in self.shares.items())
        return float(sum(parts) ** 0.5)

    @property
    def midrange(self) -> float:
        """Middle between the least and the greatest weight."""
        return (min(self.shares) + max(self.shares)) / 2


def law(counts: Mapping[int, int], layers: int = 0) -> Law:
    """Shares of exact counts of paths, of any size.

    >>> law({1: 2**1500, 3: 2**1500}).shares
    {1: 0.5, 3: 0.5}

    Raises:
        Undefined: no path.
    """
    total = sum(counts.values())
    if total < 1:
        raise Undefined("No path leads from input to output.")
    shares = {weight: counts[weight] / total for weight in sorted(counts)}
    return Law(shares, log2(total), layers)


def path_law(graph: Graph) -> Law:
    """The exact law of a network.

    Raises:
        Undefined: no path leads from input to output.
    """
    structure = Structure(graph)
    return law(path_counts(structure), weighted_layers(structure))


def path_law_svg(found: Law, *, title: str = "") -> str:
    """The law as a picture of its own.

    Args:
        found: of `path_law` or `law`.
        title: a line above it.
    """
    body, width, height = law_plot(found)
    head = words(title, MARGIN, 32, "t v") if title else ""
    top = 50.0 if title else 20.0
    body = f'{head}<g transform="translate({MARGIN} {top})">{body}</g>'
    name = f"{title}: {caption(found)}" if title else caption(found)
    return page(body, width + 2 * MARGIN, top + height + 14, name)


def caption(found: Law) -> str:
    """The law in one line."""
    layers = f" · W {found.layers}" if found.layers else ""
    return (
        f"Dnom {found.longest}{layers} · Deff {found.mean:.4g} · "
        f"sd {found.deviation:.3g} · log₂ paths {found.log2_paths:.4g}"
    )


def law_plot(found: Law) -> tuple[str, float, float]:
    """SVG of the plot with its upper left corner at the origin, width and height."""
    reach = max(found.longest, 1) + 0.5
    unit = _WIDTH / (reach + 0.5)

    def at(weight: float) -> float:
        return (weight + 0.5) * unit

    base = 3 * _ROW + 22 + _HEIGHT
    peak = max(found.shares.values())
    body = words("Weight of the input-output paths", 0, 10, "n")
    body += f'<text class="g e" x="{_WIDTH:.1f}" y="10">peak {_percent(peak)}</text>'
    wide = found.longest > _MOST_BARS
    body += (_steps if wide else _bars)(found, at, base, peak)
    body += f'<path stroke="{GREY}" d="M0 {base:.1f}H{_WIDTH:.1f}"/>'
    for tick in _ticks(found.longest):
        x = at(tick)
        body += f'<path stroke="{GREY}" d="M{x:.1f} {base:.1f}v4"/>'
        body += words(f"{tick}", x, base + 15, "b")
    body += _markers(found, at, base)
    return body + words(caption(found), 0, base + 34), _WIDTH, base + 40


def _bars(found: Law, at: Callable[[float], float], base: float, peak: float) -> str:
    """A bar a weight, with its share as a tooltip."""
    wide = min(18.0, 0.76 * (at(1) - at(0)))
    body = ""
    for weight, share in found.shares.items():
        high = _HEIGHT * share / peak
        body += (
            f'<rect class="bar" x="{at(weight) - wide / 2:.2f}" y="{base - high:.2f}" '
            f'width="{wide:.2f}" height="{high:.2f}" fill="{_BAR}" stroke="{_EDGE}" '
            f'stroke-width=".6"><title>weight {weight}: {_percent(share)} of the paths'
            f"</title></rect>"
        )
    return body


def _steps(found: Law, at: Callable[[float], float], base: float, peak: float) -> str:
    """One filled shape with a step a weight."""
    way = f"M{at(min(found.shares) - 0.5):.2f} {base:.2f}"
    for weight in range(min(found.shares), found.longest + 1):
        high = _HEIGHT * found.shares.get(weight, 0.0) / peak
        way += f"V{base - high:.2f}H{at(weight + 0.5):.2f}"
    return (
        f'<path class="steps" fill="{_BAR}" stroke="{_EDGE}" stroke-width=".6" '
        f'd="{way}V{base:.2f}z"/>'
    )


def _markers(found: Law, at: Callable[[float], float], base: float) -> str:
    """A line and a label for each number that is read off the law."""
    marks = (
        ("nominal depth", float(found.longest), f'stroke="{INK}"', ""),
        ("midrange", found.midrange, f'stroke="{GREY}" stroke-dasharray="4 3"', "g"),
        ("effective depth", found.mean, f'stroke="{ACCENT}" stroke-width="2"', "v"),
    )
    lines = labels = ""
    # from the right, each one lower: no label to the left of its line meets another
    order = sorted(marks, key=lambda mark: -mark[1])
    for row, (name, value, stroke, kind) in enumerate(order):
        x, y = at(value), 30 + row * _ROW
        lines += f'<path class="mark" {stroke} d="M{x:.1f} {y - 9:.1f}V{base:.1f}"/>'
        left = x > 150
        style = f"halo {kind}{' e' if left else ''}"
        labels += words(f"{name} {value:.4g}", x + (-5 if left else 5), y, style)
    return lines + labels


def _ticks(longest: int) -> Sequence[int]:
    """Round weights from 0 on, about as many as there is room for."""
    for step in (10**power * digit for power in range(9) for digit in (1, 2, 5)):
        if longest / step <= _TICKS:
            return range(0, longest + 1, step)
    return (0, longest)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
