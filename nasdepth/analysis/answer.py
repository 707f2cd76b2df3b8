"""From evidence to an answer: what the data can say, verdicts and their grounds."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nasdepth.analysis.document import Section, as_markdown, as_text
from nasdepth.analysis.exploratory import Alone, Exploratory, alone, exploratory
from nasdepth.analysis.wording import (
    alone_section,
    findings_section,
    headline_section,
    replicates_section,
    scope_section,
)
from nasdepth.analysis.wording_exploratory import exploratory_section
from nasdepth.claims import depth as claims_depth
from nasdepth.claims import parallel as claims_parallel
from nasdepth.claims import training as claims_training
from nasdepth.claims import trends as claims_trends
from nasdepth.claims.claim import CLAIMS, Options
from nasdepth.claims.finding import Finding, corrected, marked_exploratory
from nasdepth.claims.headline import Headline, headline
from nasdepth.claims.scope import (
    INSEPARABLE,
    LEAST_N,
    Samples,
    Scope,
    samples_of,
    scope_of,
)
from nasdepth.claims.superiority import finding_of, undecided_by_design
from nasdepth.evidence.columns import evidence_of_csv
from nasdepth.evidence.observations import Evidence, observations_of
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.records import TrialRecord
from nasdepth.measures.catalogue import label_of

FORMAT = 2
#: the files whose import registers their claims
REGISTERED = (claims_depth, claims_training, claims_parallel, claims_trends)

DEFAULT_PLAN = Preregistration()
DEFAULT_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one body of evidence says of the claims; prints as text.

    Attributes:
        source: Name of the evidence.
        plan: What was tested.
        registered: Where the plan was fixed, empty where it was chosen afterwards.
        opening: Whether the data can say it at all, in one sentence.
        scope: What the data can say.
        findings: One per claim.
        headlines: Headline and confirmations by digest, then by row where the
            literature reports the table so; empty below 8 architectures.
        alone: Each measure alone.
        explored: Exploratory results, None where they were not asked for.
        warnings: What a reader has to know before quoting a number.
    """

    source: str
    plan: Preregistration
    registered: str
    opening: str
    scope: Scope
    findings: tuple[Finding, ...]
    headlines: tuple[Headline, ...]
    alone: tuple[Alone, ...]
    explored: Exploratory | None
    warnings: tuple[str, ...]

    def sections(self) -> tuple[Section, ...]:
        """Everything in words and tables, the opening first."""
        parts = [
            Section("", (self.opening,)),
            findings_section(self.findings),
        ]
        if self.warnings:
            parts.append(Section("Warnings", points=self.warnings))
        parts.append(scope_section(self.scope, self.plan, self.registered))
        parts += [headline_section(found, self.plan) for found in self.headlines]
        if self.alone:
            parts.append(alone_section(self.alone, self.plan))
        if self.explored is not None:
            parts.append(exploratory_section(self.explored, self.plan))
        return tuple(parts)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values that `json.dumps` takes."""
        return {"format": FORMAT, **asdict(self)}

    def summary(self) -> str:
        """The opening, the verdicts, the warnings and what replicates tell as text."""
        parts = self.sections()[: 2 + bool(self.warnings)]
        replicated = replicates_section(self.scope, self.plan)
        return as_text((*parts, replicated) if replicated else parts)

    def markdown(self) -> str:
        """The sections as Markdown under the name of the source."""
        return f"# {self.source}\n\n{as_markdown(self.sections())}"

    def __str__(self) -> str:
        return f"{self.source}\n\n{as_text(self.sections())}"


def analyze(
    source: Evidence | str | Path | Iterable[TrialRecord],
    plan: Preregistration | None = None,
    *,
    claims: Sequence[str] = ("H1",),
    options: Options = DEFAULT_OPTIONS,
    explore: bool = True,
) -> Analysis:
    """What evidence says of the claims.

    Args:
        source: Evidence, the path of a CSV, or the records of a study.
        plan: Tested instead of the evidence's own plan, which makes the analysis
            exploratory where it differs.
        claims: Names in `CLAIMS`.
        options: Seeds and draws, and whether rows chosen by a sampler may enter.
        explore: Whether to add the exploratory results.

    Raises:
        ValueError: An unknown claim, a measure of the plan in no row, or rows of one
            digest that contradict each other.
    """
    return analyze_all(
        [evidence_of(source, plan)], claims=claims, options=options, explore=explore
    )[0]


def analyze_all(
    sources: Sequence[Evidence],
    *,
    claims: Sequence[str] = ("H1",),
    options: Options = DEFAULT_OPTIONS,
    explore: bool = True,
) -> tuple[Analysis, ...]:
    """Several bodies of evidence, corrected for the number of claims and sources.

    Args:
        sources: At least one.
        claims: Names in `CLAIMS`.
        options: Seeds and draws, and whether rows chosen by a sampler may enter.
        explore: Whether to add the exploratory results.

    Raises:
        ValueError: As `analyze`.
    """
    for name in claims:
        CLAIMS[name]
    answers = [_answer(each, claims, options, explore=explore) for each in sources]
    pooled = iter(corrected([found for each in answers for found in each.findings]))
    return tuple(
        replace(each, findings=tuple(_told(next(pooled), each) for _ in each.findings))
        for each in answers
    )


def _told(found: Finding, analysis: Analysis) -> Finding:
    """The finding, marked where its plan was not fixed beforehand."""
    return found if analysis.registered else marked_exploratory(found)


def evidence_of(
    source: Evidence | str | Path | Iterable[TrialRecord],
    plan: Preregistration | None = None,
) -> Evidence:
    """Evidence of records or a CSV, or evidence under another plan.

    A plan that is not the evidence's own was chosen afterwards.
    """
    if isinstance(source, str | Path):
        return evidence_of_csv(source, plan=plan)
    if not isinstance(source, Evidence):
        threshold = (plan or DEFAULT_PLAN).threshold
        rows = observations_of(source, threshold)
        return Evidence("the records", rows, plan or DEFAULT_PLAN)
    if plan is None or plan == source.plan:
        return source
    return replace(source, plan=plan, registered="")


def _answer(
    evidence: Evidence, claims: Sequence[str], options: Options, *, explore: bool
) -> Analysis:
    """One body of evidence, its p-values not yet corrected."""
    samples = samples_of(evidence, allow_selected=options.allow_selected)
    scope = scope_of(evidence, samples)
    if _selected(scope, options):
        evidence = replace(evidence, registered="")
    enough = scope.n >= LEAST_N
    headlines = _headlines(evidence, samples, options) if enough else ()
    main = finding_of(evidence, scope, headlines[0] if headlines else None)
    findings = tuple(
        main if name == "H1" else CLAIMS[name].test(evidence, options)
        for name in sorted(set(claims), key=_number)
    )
    plan, sample = evidence.plan, samples.digests
    return Analysis(
        source=evidence.name,
        plan=plan,
        registered=evidence.registered,
        opening=_opening(scope, main, plan, findings, headlines[:1]),
        scope=scope,
        findings=findings,
        headlines=headlines,
        alone=alone(sample, plan) if enough else (),
        explored=exploratory(sample, plan, options) if explore and enough else None,
        warnings=(*_warnings(evidence, scope, options), *_cautions(headlines)),
    )


def _number(claim: str) -> int:
    """Place of a claim among the ten."""
    return int(claim.removeprefix("H"))


def _cautions(headlines: Sequence[Headline]) -> tuple[str, ...]:
    """What the headline by digest has to say of its own methods."""
    return headlines[0].cautions if headlines else ()


def _headlines(
    evidence: Evidence, samples: Samples, options: Options
) -> tuple[Headline, ...]:
    """By digest, then by row where the evidence is reported so."""
    plan = evidence.plan
    first = headline(samples.digests, plan, options, unit="architectures")
    if samples.rows is None:
        return (first,)
    return (first, headline(samples.rows, plan, options, unit="rows of the table"))


def _selected(scope: Scope, options: Options) -> bool:
    """Whether rows that a sampler chose are in the sample."""
    return options.allow_selected and any(arm != "unselected" for arm, _ in scope.arms)


def _opening(
    scope: Scope,
    main: Finding,
    plan: Preregistration,
    findings: Sequence[Finding],
    headlines: Sequence[Headline],
) -> str:
    """Whether the data can say it at all."""
    if main not in findings:
        return _opening_of_others(findings)
    if main.verdict == "undecidable":
        return f"These data cannot say it: {main.reason}"
    design = undecided_by_design(headlines[0])
    if design:
        return (
            f"These data cannot say it: {design}; {scope.needed} architectures that"
            " differ in effective depth within families could."
        )
    found = f"{scope.n:,} architectures detect a partial correlation of"
    found += f" {scope.detectable:.3f} with 80 % power"
    smallest = f"{plan.smallest_effect:.2f}"
    if scope.n < scope.needed:
        return (
            f"These data can say it of a large effect only: {found}; the smallest"
            f" effect of interest, {smallest}, needs {scope.needed}."
        )
    return (
        f"These data can say it: {found}, and the smallest effect of interest is"
        f" {smallest}."
    )


def _opening_of_others(findings: Sequence[Finding]) -> str:
    """The same where H1 was not asked for."""
    lacking = [found for found in findings if found.verdict == "undecidable"]
    if len(lacking) == len(findings):
        return f"These data cannot say it: {findings[0].reason}"
    tested = [found.claim for found in findings if found not in lacking]
    text = f"These data can say something of {', '.join(tested)}"
    without = f", not of {', '.join(found.claim for found in lacking)}"
    return f"{text}{without if lacking else ''}."


def _warnings(evidence: Evidence, scope: Scope, options: Options) -> tuple[str, ...]:
    """What a reader has to know before quoting a number."""
    texts = list(evidence.caveats)
    if not evidence.registered:
        texts.append(
            "The plan was not fixed beforehand for this sample: all is exploratory."
        )
    if _selected(scope, options):
        texts.append(
            "Rows that a sampler chose are in the sample: their correlations are not"
            " those of the space."
        )
    if not evidence.plan.baselines:
        texts.append(
            "No measure of size is held fixed: what is found may be the size's effect."
        )
    r = scope.primary.r
    if r is not None and abs(r) > INSEPARABLE:
        name = label_of(scope.primary.nominal)
        texts.append(
            f"{name[:1].upper()}{name[1:]} and effective depth correlate at {r:.3f}:"
            " these networks hardly separate them."
        )
    if LEAST_N <= scope.n < scope.needed:
        texts.append(
            f"{scope.n} architectures are few: an effect below {scope.detectable:.2f}"
            " would mostly be missed, and one that is found is overestimated."
        )
    if scope.n and not scope.replicated:
        texts.append(
            "One training per architecture: seed noise is part of every residual, and"
            " the reliability of the response is unknown."
        )
    texts += _losses(evidence, scope, options)
    if len(scope.datasets) > 1:
        texts.append(
            "Rows of several data sets are mixed, those of one network averaged over"
            " them: analyse each data set alone."
        )
    return tuple(texts)


def _losses(evidence: Evidence, scope: Scope, options: Options) -> list[str]:
    """What of the trainings is not in the sample."""
    texts = []
    if scope.diverged:
        texts.append(
            "Trainings that diverged in architectures of the sample:"
            f" {scope.diverged:,}. These are judged by the trainings that ended, which"
            " flatters them; --response diverged counts all."
        )
    never = {"search arm", *(reason for reason, _ in evidence.left_out)}
    cut = sum(number for reason, number in scope.left_out if reason not in never)
    if cut:
        arm = "" if _selected(scope, options) else " of the unselected arm"
        texts.append(
            f"{cut:,} rows{arm} are not in the sample: if they failed for their depth,"
            " the estimate is biased."
        )
    return texts
