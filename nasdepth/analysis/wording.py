"""What an analysis found, in sections of words and tables.

Each function words one part; numbers are printed with their intervals and n.
"""

from collections.abc import Sequence

from nasdepth.analysis.document import Section, Table
from nasdepth.analysis.exploratory import Alone
from nasdepth.claims.claim import bracketed
from nasdepth.claims.finding import Finding
from nasdepth.claims.headline import Contrast, Fit, Headline
from nasdepth.claims.scope import Reading, Scope
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.responses import response_named
from nasdepth.measures.catalogue import label_of
from nasdepth.statistics.grouped import Grouped, Slope
from nasdepth.statistics.nested import ModelFit


def number(value: float | None, spec: str = "+.3f") -> str:
    """A number, a dash where there is none."""
    return "–" if value is None else format(value, spec)


def p_text(value: float | None) -> str:
    """A p-value to three digits."""
    if value is None:
        return "–"
    return "<.001" if value < 0.001 else f"{value:.3f}".lstrip("0")


def counts(pairs: Sequence[tuple[str, int]]) -> str:
    """Counted things as text."""
    return ", ".join(f"{count:,} {name or 'unnamed'}" for name, count in pairs)


def scope_section(scope: Scope, plan: Preregistration, registered: str) -> Section:
    """What the data can say, before any verdict."""
    kind = response_named(plan.response)
    pairs = [
        ("plan", _registration(plan, registered)),
        ("data set", ", ".join(scope.datasets) or "not stated"),
        ("rows", f"{scope.rows:,} recorded, {scope.used:,} in the sample"),
        ("left out", counts(scope.left_out) or "none"),
        ("arms", counts(scope.arms) or "none"),
        ("architectures", _architectures(scope)),
    ]
    if any(name for name, _ in scope.families):
        pairs.append(("families", counts(scope.families)))
    if scope.outcome_range:
        form = ".2%" if kind.column == "accuracy" else ".4g"
        low, high = scope.outcome_range
        column = kind.column.replace("_", " ")
        pairs.append((column, f"{low:{form}} to {high:{form}}"))
        pairs += _spread(scope, plan)
    pairs.append(("reliability", _reliability(scope)))
    pairs += [(f"r, {label_of(r.nominal)}", _reading(r)) for r in scope.readings]
    if scope.detectable < 1:
        text = f"|partial r| ≥ {scope.detectable:.3f} with 80 % power"
        pairs.append(("detectable", text))
    effect = f"|partial r| = {plan.smallest_effect:.2f} with 80 % power"
    pairs.append(("needed", f"{scope.needed} architectures for {effect}"))
    return Section("What the data can say", pairs=tuple(pairs))


def _registration(plan: Preregistration, registered: str) -> str:
    if not registered:
        return "not fixed beforehand for this sample: everything below is exploratory"
    return f"{registered}, sha256 {plan.digest()[:12]}"


def _architectures(scope: Scope) -> str:
    diverged = f", {scope.diverged:,} more diverged" if scope.diverged else ""
    return (
        f"{scope.n:,} (distinct digests), {scope.replicated:,} with several trainings,"
        f" {scope.trainings:,} trainings{diverged}"
    )


def _spread(scope: Scope, plan: Preregistration) -> list[tuple[str, str]]:
    """Mean, and spread over the trainings of one architecture, where it is known."""
    if scope.spread is None or scope.outcome_mean is None:
        return []
    form = ".2%" if response_named(plan.response).column == "accuracy" else ".4g"
    told = f"{scope.spread:{form}} over the trainings of one architecture (pooled)"
    return [("mean", f"{scope.outcome_mean:{form}}"), ("standard deviation", told)]


def _reliability(scope: Scope) -> str:
    if scope.reliability is not None:
        return f"{scope.reliability:.2f} of the response's variance"
    if scope.replicated:
        return "unknown: the response does not vary"
    return "unknown: one training an architecture"


def replicates_section(scope: Scope, plan: Preregistration) -> Section | None:
    """What several trainings of one architecture tell, None where there are none."""
    spread = _spread(scope, plan)
    if not spread:
        return None
    column = response_named(plan.response).column.replace("_", " ")
    title = f"{column.capitalize()} over several trainings"
    return Section(title, pairs=(*spread, ("reliability", _reliability(scope))))


def _reading(reading: Reading) -> str:
    r, within = reading.r, reading.r_within
    unexplained, inflation = reading.unexplained, reading.inflation
    if r is None:
        few = "defined in too few architectures"
        return few if unexplained is None else "it or effective depth is constant"
    text = f"{r:+.3f} with effective depth"
    if within is not None:
        text += f" ({within:+.3f} within families)"
    if unexplained is None or inflation is None:
        return f"{text}; given the rest nothing of it is left to test"
    return f"{text}; {unexplained:.1%} left given the rest (inflation {inflation:.1f})"


def findings_section(findings: Sequence[Finding]) -> Section:
    """Each claim with its verdict."""
    pairs = []
    for found in findings:
        pairs.append((found.claim, found.words))
        pairs.append(("verdict", _verdict(found)))
        pairs += _facts(found)
    return Section("Verdict" if len(findings) == 1 else "Verdicts", pairs=tuple(pairs))


def _verdict(found: Finding) -> str:
    mark = " (exploratory)" if found.exploratory else ""
    return f"{found.verdict.upper()}{mark}: {found.reason}"


def _facts(found: Finding) -> list[tuple[str, str]]:
    """Needs and quote; the statistic is in the reason."""
    facts = []
    if found.lacks:
        facts.append(("needs", f"{found.needs}. Missing: {found.lacks}"))
    if found.p_value is not None:
        holm = f", Holm {p_text(found.holm)}" if found.holm != found.p_value else ""
        facts.append(("p (no effect)", f"{p_text(found.p_value)}{holm}"))
    if found.quote and found.quote != found.reason:
        facts.append(("to quote", found.quote))
    return [*facts, *found.details]


def alone_section(alone: Sequence[Alone], plan: Preregistration) -> Section:
    """Each measure alone with the response."""
    rows = []
    for entry in alone:
        found = entry.result
        cells = (found.pearson, found.pearson_interval)
        ranks = (found.spearman, found.spearman_interval)
        label = f"{entry.label}: {found.problem}" if found.problem else entry.label
        rows.append(
            (
                label,
                f"{found.n:,}",
                number(cells[0]),
                bracketed(cells[1]),
                number(ranks[0]),
                bracketed(ranks[1]),
            )
        )
    table = Table(
        f"Each measure alone with {response_named(plan.response).label}",
        ("measure", "n", "Pearson", "95 %", "Spearman", "95 %"),
        tuple(rows),
    )
    return Section("Each measure alone", tables=(table,))


def headline_section(found: Headline, plan: Preregistration) -> Section:
    """The headline with its three confirmations."""
    tables = [_fits(found.fits), _contrasts(found.contrasts)]
    tables.append(_models(found))
    if found.families is not None:
        tables.append(_families(found.families))
    first: tuple[str, ...] = ()
    if found.families is not None and found.families.reversal:
        first = (found.families.headline,)
    title = f"Headline and confirmations, n = {found.n:,} {found.unit}"
    return Section(title, first, tables=tuple(tables), points=found.notes)


def _fits(fits: Sequence[Fit]) -> Table:
    checked = any(fit.result.fisher for fit in fits)
    rows = []
    for fit in fits:
        found = fit.result
        names = ", ".join(label_of(name) for name in fit.covariates)
        mark = "" if fit.preregistered else " (exploratory)"
        problem = f": {found.problem}" if found.problem else ""
        cells = (
            f"{label_of(fit.predictor)} given {names}{mark}{problem}",
            number(found.value),
            bracketed(found.interval),
            p_text(found.p_value),
        )
        rows.append((*cells, bracketed(found.fisher)) if checked else cells)
    head = ("predictor", "r", "95 % wild bootstrap-t", "p")
    return Table(
        "(i) Signed partial correlation",
        (*head, "check: Fisher z") if checked else head,
        tuple(rows),
    )


def _contrasts(contrasts: Sequence[Contrast]) -> Table:
    rows = []
    for each in contrasts:
        found, tested = each.ranks, each.linear
        problem = f": {found.problem}" if found.problem else ""
        rows.append(
            (
                f"effective depth − {label_of(each.rival)}{problem}",
                number(found.first),
                number(found.second),
                bracketed(found.interval),
                number(tested.difference),
                p_text(tested.williams_p),
                p_text(tested.meng_p),
            )
        )
    return Table(
        "(ii) Difference of the raw correlations with the response",
        ("pair", "ranks", "rival", "95 % of diff.", "Pearson", "Williams", "Meng"),
        tuple(rows),
        "Spearman's correlations with Zou's interval of their difference; difference of"
        " Pearson's with the p-values of Williams and Meng, whose tests do not hold"
        " their level on ranks.",
    )


def _models(found: Headline) -> Table:
    rows = [_model(model) for model in found.models]
    return Table(
        f"(iii) Nested models, cross-validated by {found.folds}",
        ("model", "parameters", "R²", "R² out of sample", "sd", "AICc − least"),
        tuple(_aicc(rows, found.models)),
    )


def _model(model: ModelFit) -> tuple[str, ...]:
    name = " + ".join(label_of(part) for part in model.name.split(" + "))
    problem = f": {model.problem}" if model.problem else ""
    return (
        f"{name}{problem}",
        str(model.parameters),
        number(model.r2, ".3f"),
        number(model.r2_cv, ".3f"),
        number(model.r2_cv_sd, ".3f"),
    )


def _aicc(
    rows: Sequence[tuple[str, ...]], models: Sequence[ModelFit]
) -> list[tuple[str, ...]]:
    """Rows with AICc above the least."""
    values = [model.aicc for model in models if model.aicc is not None]
    least = min(values, default=0.0)
    return [
        (*row, number(None if m.aicc is None else m.aicc - least, ".1f"))
        for row, m in zip(rows, models, strict=True)
    ]


def _families(found: Grouped) -> Table:
    rows = [
        ("overall (families ignored)", *_slope(found.overall)),
        ("within families (fixed effects)", *_slope(found.slope_within)),
        ("between families (means)", *_slope(found.between)),
    ]
    mixed = found.mixed
    rows.append(
        (
            "mixed model (exploratory)",
            f"{mixed.n:,}",
            number(mixed.value),
            bracketed(mixed.interval),
        )
    )
    notes = [found.headline, found.problem, found.between.problem]
    notes += [f"mixed model: {mixed.problem}" if mixed.problem else ""]
    return Table(
        f"(iv) {found.families} families, {found.informative} of them informative",
        ("slope of effective depth", "n", "slope", "95 %"),
        tuple(rows),
        " ".join(
            f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in notes if note
        ),
    )


def _slope(slope: Slope) -> tuple[str, str, str]:
    return f"{slope.n:,}", number(slope.value), bracketed(slope.interval)
