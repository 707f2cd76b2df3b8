"""Exploratory results in sections of words and tables, marked as such."""

from collections.abc import Sequence

from nasdepth.analysis.document import Section, Table
from nasdepth.analysis.exploratory import Added, Exploratory
from nasdepth.analysis.wording import number, p_text
from nasdepth.claims.claim import bracketed
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.measures.catalogue import label_of
from nasdepth.statistics.multiverse import Curve, Point
from nasdepth.statistics.regression import PartialCorrelation
from nasdepth.statistics.rivals import JTest, Vuong

# Points of a specification curve that text shows; figures show all.
_SHOWN = 24


def exploratory_section(found: Exploratory, plan: Preregistration) -> Section:
    """All exploratory results on one sample."""
    return Section(
        "Exploratory",
        ("No verdict rests on what follows.",),
        tables=(
            _added(found.added),
            _rivals(found.j_test, found.vuong, plan),
            _subsets(found, plan),
            curve_table(found.curve),
        ),
        points=found.notes,
    )


def _added(added: Sequence[Added]) -> Table:
    rows = []
    for entry in added:
        names = [label_of(name) for name in entry.given]
        given = " + ".join(("size", *names))
        found = entry.result
        problem = f": {found.problem}" if found.problem else ""
        rows.append(
            (
                f"{label_of(entry.depth)} beyond {given}{problem}",
                number(found.value, ".4f"),
                bracketed(found.interval, ".4f"),
                number(found.cv_value, "+.4f"),
                number(found.delta_aicc, "+.1f"),
            )
        )
    return Table(
        "R² that a depth adds to size",
        ("depth", "ΔR²", "95 %", "out of sample", "ΔAICc"),
        tuple(rows),
        "The interval is descriptive: ΔR² is above 0 in every resample.",
    )


def _rivals(j: JTest, likelihood: Vuong, plan: Preregistration) -> Table:
    nominal = label_of(plan.nominal)
    problem = f": {j.problem}" if j.problem else ""
    rows = [
        (
            f"J-test, effective depth added to {nominal}{problem}",
            number(j.t_first, "+.2f"),
            p_text(j.p_first),
        ),
        (
            f"J-test, {nominal} added to effective depth{problem}",
            number(j.t_second, "+.2f"),
            p_text(j.p_second),
        ),
    ]
    problem = f": {likelihood.problem}" if likelihood.problem else ""
    rows.append(
        (
            f"Vuong, {nominal} against effective depth{problem}",
            number(likelihood.z, "+.2f"),
            p_text(likelihood.p_value),
        )
    )
    return Table(
        "Models that are not nested, size in both",
        ("test", "statistic", "p"),
        tuple(rows),
        _reading(j, nominal),
    )


def _reading(j: JTest, nominal: str) -> str:
    """What the J-test says, and of which models."""
    if j.problem:
        return ""
    models = f"the first model has {nominal}, the second effective depth"
    return f"{j.reading()[:1].upper()}{j.reading()[1:]}; {models}."


def _subsets(found: Exploratory, plan: Preregistration) -> Table:
    name = label_of(plan.baselines[0]) if plan.baselines else label_of(plan.nominal)
    name = name.removeprefix("log ")
    bands = found.bands.bands
    rows = [
        _part(f"{name} {band.range[0]:,.0f} to {band.range[1]:,.0f}", band.result)
        for band in bands
        if not band.result.problem
    ]
    if bands and not rows:
        worst = bands[0].result
        rows.append(_part(f"each of {len(bands)} bands of {name}", worst))
    top = found.top
    rows.append(_part(f"best {top.share:.0%} ({top.label})", top.result))
    return Table(
        f"Effective depth inside parts of the sample ({found.bands.label})",
        ("part", "n", "partial r", "95 %"),
        tuple(rows),
        found.bands.problem,
    )


def _part(name: str, found: PartialCorrelation) -> tuple[str, ...]:
    problem = f": {found.problem}" if found.problem else ""
    values = number(found.value), bracketed(found.interval)
    return (f"{name}{problem}", f"{found.n:,}", *values)


def curve_table(curve: Curve) -> Table:
    """The specification curve, from the least to the greatest."""
    points = sorted(curve.points, key=_value)
    cut = len(points) - _SHOWN
    shown = points if cut <= 0 else [*points[: _SHOWN // 2], *points[-_SHOWN // 2 :]]
    rows = tuple(
        (
            f"{point.convention}, {point.outcome}"
            + (f": {point.problem}" if point.problem else ""),
            number(point.value),
            bracketed(point.interval),
        )
        for point in shown
    )
    note = curve.problem
    if not note:
        note = (
            f"{len(points)} specifications, median {number(curve.median)},"
            f" {number(curve.share_positive, '.0%')} positive; largest |t|"
            f" {number(curve.max_abs_t, '.2f')}, p {p_text(curve.p_robust)} by shared"
            f" sign flips with HC3 (noise of any spread), {p_text(curve.p_value)} by"
            " shared Freedman–Lane permutations (one spread). Intervals are not"
            " corrected for the number of specifications."
        )
        note += f" {cut} in the middle are not shown." if cut > 0 else ""
    return Table(
        "Specification curve: every definition of effective depth and scale of the"
        " response, baselines fixed",
        ("specification", "partial r", "95 %"),
        rows,
        note,
    )


def _value(point: Point) -> float:
    return point.value if point.value is not None else float("inf")
