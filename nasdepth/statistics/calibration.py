"""Which method holds its level at which n: a simulated table and its reading.

`calibration.csv` beside this file is made by studies/calibration: for each method the
share of false rejections (size) or of intervals that hold the truth (coverage), at a
nominal 5 and 95 %, in populations that differ in rows, correlation of the depths,
noise, effect and families. A method is offered at n where no cell at the largest
simulated n' <= n has a size above 6.5 % or a coverage below 93.5 %. The rates are
compared as they were found; each has a Monte Carlo error, which is stated. Whoever
decides by an interval that is set against 0 and a smallest effect may ask for the cells
up to that effect alone.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["size", "coverage", "both"]

#: greatest size and least coverage with which a method is offered
SIZE_LIMIT, COVERAGE_LIMIT = 0.065, 0.935
#: a size below or a coverage above is labelled conservative
CONSERVATIVE_SIZE, CONSERVATIVE_COVERAGE = 0.04, 0.96


@dataclass(frozen=True, slots=True)
class Cell:
    """What one method did in one population.

    Attributes:
        method: Name of the method.
        kind: "size" or "coverage".
        n: Rows of a sample.
        r: Correlation of the two depths.
        noise: Kind of noise.
        effect: True partial correlation (of the index, below a ceiling).
        families: Families, 0 for independent rows.
        runs: Samples in which the method gave a result.
        rate: Share of them with a false rejection, or with the truth in the interval.
        error: Monte Carlo standard error of the rate.
    """

    method: str
    kind: str
    n: int
    r: float
    noise: str
    effect: float
    families: int
    runs: int
    rate: float
    error: float

    @property
    def holds(self) -> bool:
        """Whether the rate is within the limit of its kind."""
        if self.kind == "size":
            return self.rate <= SIZE_LIMIT
        return self.rate >= COVERAGE_LIMIT

    @property
    def conservative(self) -> bool:
        """Whether the method errs less often than it may."""
        if self.kind == "size":
            return self.rate < CONSERVATIVE_SIZE
        return self.rate > CONSERVATIVE_COVERAGE


@dataclass(frozen=True, slots=True)
class Offer:
    """Whether a method may be used at n, and what is known of it there.

    Attributes:
        method: Name of the method.
        n: Rows that were asked about.
        offered: Whether it holds in every cell at `simulated`.
        simulated: Largest simulated number of rows that is at most n, None below all.
        size: Greatest size of the cells there, None where it was not simulated.
        coverage: Least coverage of the cells there, None where it was not simulated.
        conservative: Whether it is offered and errs less than 4 % in some cell.
        holds: Kinds of noise under which every cell there holds.
        reason: The above in one line.
    """

    method: str
    n: int
    offered: bool
    simulated: int | None
    size: float | None
    coverage: float | None
    conservative: bool
    holds: tuple[str, ...]
    reason: str


def offered(method: str, n: int, *, kind: Kind = "both", effect: float = 1.0) -> Offer:
    """Whether the method holds its level, its coverage or both at n rows.

    Args:
        method: Name of a simulated method.
        n: Rows.
        kind: What has to hold: the test's size, the interval's coverage or, of the
            two, what was simulated.
        effect: Largest true effect at which it has to hold.

    Raises:
        ValueError: The method or the kind was not simulated.
    """
    known = _of(method, kind, effect)
    simulated = max((cell.n for cell in known if cell.n <= n), default=None)
    here = [cell for cell in known if cell.n == simulated]
    within = bool(here) and all(cell.holds for cell in here)
    failing = {cell.noise for cell in here if not cell.holds}
    return Offer(
        method,
        n,
        offered=within,
        simulated=simulated,
        size=max((cell.rate for cell in here if cell.kind == "size"), default=None),
        coverage=min(
            (cell.rate for cell in here if cell.kind == "coverage"), default=None
        ),
        conservative=within and any(cell.conservative for cell in here),
        holds=tuple(sorted({cell.noise for cell in here} - failing)),
        reason=_reason(n, known, here),
    )


def least_n(method: str, *, kind: Kind = "both", effect: float = 1.0) -> int | None:
    """Rows from which the method is offered at every larger n too, None if never.

    Args:
        method: Name of a simulated method.
        kind: What has to hold, as in `offered`.
        effect: Largest true effect at which it has to hold.

    Raises:
        ValueError: The method or the kind was not simulated.
    """
    least = None
    for n in sorted({cell.n for cell in _of(method, kind, effect)}, reverse=True):
        if not offered(method, n, kind=kind, effect=effect).offered:
            break
        least = n
    return least


@cache
def table() -> tuple[Cell, ...]:
    """All simulated cells."""
    place = resources.files("nasdepth.statistics") / "calibration.csv"
    with place.open(encoding="utf-8") as file:
        return tuple(_cell(line) for line in csv.DictReader(file))


def _cell(line: dict[str, str]) -> Cell:
    """The cell of a line of the table."""
    return Cell(
        line["method"],
        line["kind"],
        int(line["n"]),
        float(line["r"]),
        line["noise"],
        float(line["effect"]),
        int(line["families"]),
        int(line["runs"]),
        float(line["rate"]),
        float(line["mc_error"]),
    )


def _of(method: str, kind: Kind, effect: float) -> list[Cell]:
    """The cells of a method and kind up to an effect, of which there is one or more."""
    if kind not in get_args(Kind):
        choices = ", ".join(get_args(Kind))
        raise ValueError(f"Unknown kind {kind!r}; choose from: {choices}.")
    found = [cell for cell in table() if cell.method == method]
    if not found:
        choices = ", ".join(sorted({cell.method for cell in table()}))
        raise ValueError(f"Unknown method {method!r}; choose from: {choices}.")
    found = [cell for cell in found if kind in ("both", cell.kind)]
    found = [cell for cell in found if abs(cell.effect) <= effect]
    if not found:
        what = "size and coverage" if kind == "both" else kind
        raise ValueError(
            f"No {what} of {method!r} was simulated at effects up to {effect:g}."
        )
    return found


def _reason(n: int, known: list[Cell], here: list[Cell]) -> str:
    """Why the method is offered at n or not, in one line."""
    method = known[0].method
    if not here:
        least = min(cell.n for cell in known)
        return f"{method}: {n} rows are fewer than the {least} that were simulated"
    failing = [cell for cell in here if not cell.holds]
    at = f"{method} at {here[0].n} rows"
    if failing:
        worst = max(failing, key=_distance)
        limit = SIZE_LIMIT if worst.kind == "size" else COVERAGE_LIMIT
        side = "above" if worst.kind == "size" else "below"
        return (
            f"{at}: {worst.kind} {_share(worst.rate)} ± {_share(worst.error)}"
            f" ({_population(worst)}), {side} {_share(limit)};"
            f" {len(failing)} of {len(here)} cells fail"
        )
    rates = [_range([c for c in here if c.kind == kind]) for kind in get_args(Kind)]
    error = max(cell.error for cell in here)
    return f"{at}: {', '.join(filter(None, rates))} (± {_share(error)} each)"


def _distance(cell: Cell) -> float:
    """How far a rate lies beyond its limit."""
    if cell.kind == "size":
        return cell.rate - SIZE_LIMIT
    return COVERAGE_LIMIT - cell.rate


def _range(cells: list[Cell]) -> str:
    """Least and greatest rate of cells of one kind, empty without any."""
    if not cells:
        return ""
    rates = [cell.rate for cell in cells]
    label = ", conservative in places" if any(c.conservative for c in cells) else ""
    return f"{cells[0].kind} {_share(min(rates))} to {_share(max(rates))}{label}"


def _population(cell: Cell) -> str:
    """What a cell's population is, in words."""
    words = [f"{cell.noise} noise", f"r = {cell.r:g}"]
    if cell.effect:
        words.append(f"effect {cell.effect:g}")
    if cell.families:
        words.append(f"{cell.families} families")
    return ", ".join(words)


def _share(value: float) -> str:
    """A share without its leading zero."""
    return f"{value:.3f}".removeprefix("0")
