"""A report on evidence: question, verdict, what it rests on, how to repeat it."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from nasdepth import __version__
from nasdepth.analysis.answer import Analysis
from nasdepth.analysis.document import Section
from nasdepth.analysis.plots import added_variable_plots, curve_plot, depth_plots
from nasdepth.analysis.plots_search import learning_plot
from nasdepth.analysis.wording import alone_section, headline_section, scope_section
from nasdepth.analysis.wording_exploratory import exploratory_section
from nasdepth.claims.claim import Options
from nasdepth.claims.scope import samples_of
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.records import TrialRecord
from nasdepth.evidence.responses import response_named
from nasdepth.report_front import foresight_part, front_data, pareto_part
from nasdepth.report_page import Listing, Part, Report
from nasdepth.report_study import (
    StudyFacts,
    best_part,
    compute_part,
    fate_part,
    repeat_pairs,
    study_listings,
)

FORMAT: Final = 1
_PACKAGES: Final = (
    *("torch", "optuna", "numpy", "scipy", "statsmodels", "scikit-learn", "plotly"),
)


@dataclass(frozen=True, slots=True)
class Body:
    """One source with all that a report says of it.

    Attributes:
        evidence: Its rows.
        analysis: What they say.
        records: Its trials, where it is a study or a CSV of one.
        study: What a study keeps beside them.
    """

    evidence: Evidence
    analysis: Analysis
    records: tuple[TrialRecord, ...] = ()
    study: StudyFacts | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """How a report was made.

    Attributes:
        made: Its date.
        command: That made it, without passwords.
        options: Of the analysis.
    """

    made: str
    command: str
    options: Options = Options()  # noqa: RUF009 -- a frozen value


def report_of(bodies: Sequence[Body], origin: Origin) -> Report:
    """The report on one source or several.

    Args:
        bodies: At least one.
        origin: How it is made.
    """
    many = len(bodies) > 1
    parts = [
        _named(part, body.analysis.source if many else "")
        for body in bodies
        for part in (*_answer_parts(body, origin), *_study_parts(body))
    ]
    return Report(
        title=_question(bodies),
        sources=tuple(body.analysis.source for body in bodies),
        findings=tuple(found for body in bodies for found in body.analysis.findings),
        parts=(*parts, _environment(), _repeat(bodies, origin)),
        data=_data(bodies, origin),
        made=origin.made,
    )


def environment() -> tuple[tuple[str, str], ...]:
    """Software that computes here, name and version."""
    rows = [
        ("nasdepth", __version__),
        ("Python", platform.python_version()),
        ("system", f"{platform.system()} {platform.machine()}"),
    ]
    return (*rows, *((name, _version(name)) for name in _PACKAGES))


def _question(bodies: Sequence[Body]) -> str:
    claims = dict.fromkeys(f.claim for body in bodies for f in body.analysis.findings)
    if "H1" not in claims:
        return f"What the data say of {', '.join(claims)}"
    gains = {response_named(body.analysis.plan.response).gain for body in bodies}
    gain = gains.pop() if len(gains) == 1 else "the response"
    return f"Does effective depth go with {gain} beyond nominal depth and size?"


def _named(part: Part, source: str) -> Part:
    """The part, its title with the source where there are several."""
    if not source:
        return part
    section = part.section
    titled = Section(
        f"{section.title}: {source}",
        section.paragraphs,
        section.pairs,
        section.tables,
        section.points,
    )
    return Part(titled, part.plots, part.pictures, part.listings)


def _answer_parts(body: Body, origin: Origin) -> list[Part]:
    """What the data can say, warnings, tests and their figures."""
    found = body.analysis
    scope = scope_section(found.scope, found.plan, found.registered)
    opening = Section(scope.title, (found.opening,), scope.pairs, scope.tables)
    sections = [opening]
    if found.warnings:
        sections.append(Section("Warnings", points=found.warnings))
    sections += [headline_section(each, found.plan) for each in found.headlines]
    parts = [Part(section) for section in sections]
    parts += _fits(body, origin)
    if found.alone:
        parts.append(Part(alone_section(found.alone, found.plan)))
    if found.explored is not None:
        plot = curve_plot(found.explored.curve)
        section = exploratory_section(found.explored, found.plan)
        parts.append(Part(section, (plot,) if plot else ()))
    return parts


def _fits(body: Body, origin: Origin) -> list[Part]:
    """The fits as figures."""
    found, plan = body.analysis, body.analysis.plan
    selected = origin.options.allow_selected
    sample = samples_of(body.evidence, allow_selected=selected).digests
    raw = depth_plots(sample, plan)
    parts = [Part(Section("The response against each depth"), raw)] if raw else []
    if found.headlines:
        added = added_variable_plots(sample, plan, found.headlines[0])
        parts += [Part(Section("What each depth adds"), added)] if added else []
    return parts


def _study_parts(body: Body) -> list[Part]:
    """Networks and trials; of a published table the Pareto front alone."""
    records, parts = body.records, []
    best = best_part(records) if records else None
    if best is not None:
        parts.append(best)
    fronts = pareto_part(body.evidence.observations, records, body.study)
    if fronts is not None:
        parts.append(fronts)
    if not records:
        return parts
    foresight = foresight_part(body.study.predictions if body.study else ())
    if foresight is not None:
        parts.append(foresight)
    parts.append(fate_part(records, body.study.screens if body.study else ()))
    curves = learning_plot(records)
    if curves is not None:
        parts.append(Part(Section("Learning curves"), (curves,)))
    parts.append(compute_part(records, body.study))
    return parts


def _environment() -> Part:
    text = "The software that made this page; trials record their own."
    return Part(Section("Environment", (text,), environment()))


def _repeat(bodies: Sequence[Body], origin: Origin) -> Part:
    """Commands, seeds and digests."""
    options = origin.options
    pairs = [
        ("analysis", f"seed {options.seed}, {options.draws:,} bootstrap draws"),
    ]
    listings = [Listing("This page", origin.command)]
    for body in bodies:
        pairs.append((f"plan of {body.analysis.source}", _plan(body)))
        if body.study is not None:
            pairs += repeat_pairs(body.study)
            listings += study_listings(body.study)
    return Part(
        Section("How to repeat it", pairs=tuple(pairs)), listings=tuple(listings)
    )


def _plan(body: Body) -> str:
    found = body.analysis
    told = found.registered or "not fixed beforehand"
    return f"sha256 {found.plan.digest()}, {told}"


def _data(bodies: Sequence[Body], origin: Origin) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "format": FORMAT,
        "made": origin.made,
        "command": origin.command,
        "environment": dict(environment()),
        "sources": [_body_data(body) for body in bodies],
    }


def _body_data(body: Body) -> dict[str, Any]:
    rows = body.evidence.observations
    return {
        "analysis": body.analysis.as_dict(),
        "plan_sha256": body.analysis.plan.digest(),
        **front_data(rows, body.records, body.study),
        "trials": [row.as_dict() for row in body.records],
        "study": body.study.as_dict() if body.study else None,
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
