"""NN-Mass backwards: the smallest network that keeps a measure of a reference.

[N] Bhardwaj, Li & Marculescu 2021 (arXiv:1910.00780) read a network's mass before it
is trained; turned round, the mass of a network that is known to train well names the
depths, widths and links of smaller ones. A mass is linear in the width, parameters are
quadratic: more and narrower blocks keep it at less cost, and a cell of d layers has
the mass m with t = m (d - 1) / (2 d) links while t <= w. That closed form starts the
table; an exact integer search over a stated box follows.

NN-Mass alone bounds no depth: without limits the answer is absurdly deep and narrow.
The box (depth at most twice the reference's and two more, widths from half of it) and
the budgets (by default no cost may grow) are part of the question.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Any, Final

from nasdepth.architecture.spec import Architecture
from nasdepth.inverse.bounds import CLOSE
from nasdepth.inverse.box import Choice, designed
from nasdepth.inverse.question import Question, ask
from nasdepth.inverse.routes import Found, Route, cheapest
from nasdepth.measures.mass import cell_mass, links_for_mass

_TOLERANCES: Final = (0.0, 0.005, 0.01, 0.02)
_ROUNDED: Final = 0.02  # off by so much, a formula's rounded integers will do


class Unreachable(ValueError):
    """No network of the box keeps the measure within the budgets."""


@dataclass(frozen=True, slots=True)
class Row:
    """One network of the trade table.

    Attributes:
        label: what it is.
        architecture: None where no network of the box is within the tolerance.
        values: measures, read off its graph; empty without a network.
        bound: no network of the box within tolerance and budgets costs less; None
            where nothing was searched.
    """

    label: str
    architecture: Architecture | None
    values: Mapping[str, float | None]
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Design:
    """A smaller network that keeps a measure, and what was traded for it.

    Attributes:
        keep: kept measure.
        minimize: minimised cost.
        tolerance: relative deviation of the kept measure.
        budgets: greatest values of measures.
        rows: the reference, the closed form, and the best of each tolerance.
        best: the row of the tolerance.
        proved: whether the search showed that no network of the box costs less.
    """

    keep: str
    minimize: str
    tolerance: float
    budgets: Mapping[str, float]
    rows: tuple[Row, ...]
    best: Row
    proved: bool


def design(
    reference: Architecture,
    keep: str = "nn_mass",
    minimize: str = "params",
    *,
    tolerance: float = 0.01,
    budgets: Mapping[str, float] | None = None,
    max_depth: int = 0,
    min_width: float = 0.5,
) -> Design:
    """The cheapest network of a box around a reference that keeps one of its measures.

    >>> from nasdepth.architecture.families import family
    >>> found = design(family("nn_mass_mlp:16:8:3"), tolerance=0)
    >>> found.best.values["params"] < found.rows[0].values["params"], found.proved
    (True, True)

    Args:
        reference: the network to be like.
        keep: graph measure that adds up over blocks (nn_mass, effective_depth, …).
        minimize: cost of the catalogue.
        tolerance: relative, of the kept measure, to both sides.
        budgets: greatest values of measures, beside the reference's own costs.
        max_depth: greatest depth of a stage; 0 is twice the reference's and two more.
        min_width: least width of a stage, as a share of the reference's.

    Raises:
        Unreachable: nothing in the box is within tolerance and budgets.
        ValueError: an option out of range, or nothing to keep.
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be in [0, 1), but got {tolerance}.")
    question = ask(reference, keep, minimize, budgets or {}, max_depth, min_width)
    known = Row("reference", reference, question.values), _closed_form(question)
    best, proved = _best(question, tolerance, known)
    if best.architecture is None:
        raise Unreachable(_nearest(question, tolerance))
    found = {t: _best(question, t, known)[0] for t in _TOLERANCES if t != tolerance}
    rows = [row for _, row in sorted({**found, tolerance: best}.items())]
    limits = question.budgets
    return Design(keep, minimize, tolerance, limits, (*known, *rows), best, proved)


def _best(
    question: Question, tolerance: float, known: Sequence[Row]
) -> tuple[Row, bool]:
    """Best network of one tolerance, and whether that is proved.

    Args:
        question: what is asked.
        tolerance: of the kept measure.
        known: networks to start from, where they are in the box and admitted.
    """
    label = f"within {tolerance * 100:g} %"
    fitting = [
        row
        for row in known
        if question.has(row.architecture) and question.admits(row.values, tolerance)
    ]
    start = min(fitting, key=lambda row: question.cost_of(row.values), default=None)
    upper = question.cost_of(start.values) if start else inf
    found = _searched(question, tolerance, upper)
    if found.route is None:
        if start is None:
            return Row(label, None, {}, found.bound), found.proved
        bound = min(found.bound, upper)
        return replace(start, label=label, bound=bound), found.bound >= upper
    architecture = _architecture(question, found.route)
    row = Row(label, architecture, question.measured(architecture), found.bound)
    if question.minimize == "peak_memory":
        row = replace(row, bound=question.cost_of(row.values) if found.proved else None)
    return row, found.proved


def _searched(question: Question, tolerance: float, upper: float) -> Found:
    """Cheapest network below a known cost."""
    peak = question.most_peak
    if question.minimize != "peak_memory":
        return _within(question, tolerance, peak, upper=upper)
    found = _within(question, tolerance, peak)
    if found.route is None:
        return found
    peaks = [p for p in question.parts.peaks if p <= peak]
    low, high = -1, len(peaks) - 1  # nothing below peaks[low], something at peaks[high]
    proved = True
    while high - low > 1:
        middle = (low + high) // 2
        tried = _within(question, tolerance, peaks[middle])
        proved &= tried.route is not None or tried.proved
        low, high = (low, middle) if tried.route else (middle, high)
        found = tried if tried.route else found
    return Found(found.route, found.bound if proved else -inf)


def _within(question: Question, tolerance: float, peak: float, **search: Any) -> Found:
    """Cheapest network whose parts keep a peak memory."""
    layers = question.parts.layers(peak)
    if not layers:
        return Found(None, inf)

    def accept(route: Route) -> bool:
        return question.admits(
            question.measured(_architecture(question, route)), tolerance
        )

    window = (question.target * (1 - tolerance), question.target * (1 + tolerance))
    limits = [question.budgets.get(name, inf) for name in question.names[1:]]
    return cheapest(layers, window, limits, accept, **search)


def _architecture(question: Question, route: Route) -> Architecture:
    return designed(question.reference, question.parts.choices(route.choices))


def _nearest(question: Question, tolerance: float) -> str:
    """Why there is nothing, and the least tolerance at which there is something."""
    limits = ", ".join(f"{name} <= {most:g}" for name, most in question.budgets.items())
    text = (
        f"Found no network in the box with {question.keep} {question.target:g} ± "
        f"{tolerance * 100:g} % and {limits}"
    )
    found = _within(question, 1.0, question.most_peak).route
    if found is None:
        return f"{text}; none within 100 % either."
    low, high = tolerance, 1.0
    for _ in range(10):
        middle = (low + high) / 2
        tried = _within(question, middle, question.most_peak, thorough=False).route
        low, high = (low, middle) if tried else (middle, high)
        found = tried or found
    return f"{text}; the nearest found has {found.kept:g}."


def _closed_form(question: Question) -> Row:
    """Best of the networks that a formula gives, whatever it lacks."""

    def order(row: Row) -> tuple[bool, float]:
        inside = question.admits(row.values, _ROUNDED)
        off = abs((row.values[question.keep] or 0.0) - question.target)
        return not inside, question.cost_of(row.values) if inside else off

    rows = []
    for choices in _formulas(question):
        architecture = designed(question.reference, choices)
        rows.append(Row("closed form", architecture, question.measured(architecture)))
    return min(rows, key=order)


def _formulas(question: Question) -> Iterator[list[Choice]]:
    """Choices of the closed form, one for every number of blocks more per stage."""
    stages, box = question.reference.stages, question.box
    if all(stage.family == "cell" for stage in stages):
        yield _narrow_cells(question)
        return
    for more in range(max(box.deepest)):
        depths = [
            min(stage.depth + more, most)
            for stage, most in zip(stages, box.deepest, strict=True)
        ]
        deep, thin = _scaled(question, depths, 1.0), _scaled(question, depths, 0.0)
        high, low = (
            question.measured(designed(question.reference, each))[question.keep] or 0.0
            for each in (deep, thin)
        )
        # what no width changes is kept by the narrowest, a mass is linear in it
        depends = high > low * (1 + CLOSE)
        yield _scaled(question, depths, question.target / high) if depends else thin
        if all(d >= most for d, most in zip(depths, box.deepest, strict=True)):
            return


def _scaled(question: Question, depths: list[int], share: float) -> list[Choice]:
    """Stages of the depths, of the widths nearest to a share of the reference's."""
    found: list[Choice] = []
    for stage, depth in zip(question.reference.stages, depths, strict=True):
        off = {abs(w - share * stage.width): w for w in question.box.widths(stage)}
        found.append((depth, off[min(off)], stage.links))
    return found


def _narrow_cells(question: Question) -> list[Choice]:
    """Cells of the same depth and mass, no wider than their links need."""
    found: list[Choice] = []
    for stage in question.reference.stages:
        # an MLP's classifier is a layer of its cell
        layers = stage.depth + (stage.block == "linear")
        mass = cell_mass(stage.width, layers, int(stage.links))
        links = ceil(links_for_mass(mass, layers) - CLOSE)
        wide = [w for w in question.box.widths(stage) if w >= links]
        narrow = (stage.depth, wide[0], links) if wide else None
        found.append(narrow or (stage.depth, stage.width, stage.links))
    return found
