"""Claim H1: does effective depth say more than nominal depth, given size?

The verdict comes from effective depth's interval given the preregistered nominal depth,
size and covariates. Where the networks form families, the contrast within families
has to agree, since a handful of families differs in more than depth: the test rejects
only where both do (an intersection-union test, Berger 1982,
doi:10.1080/00401706.1982.10487790). Without a contrast within families the one between
their means has to agree, and fewer than ten of them decide nothing.
"""

from dataclasses import dataclass, replace

from nasdepth.claims.claim import CLAIMS, Claim, Options, bracketed
from nasdepth.claims.finding import Finding, Verdict, verdict_of
from nasdepth.claims.headline import Headline, headline
from nasdepth.claims.scope import INSEPARABLE, LEAST_N, Scope, samples_of, scope_of
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.responses import response_named
from nasdepth.measures.catalogue import label_of
from nasdepth.statistics.calibration import offered
from nasdepth.statistics.grouped import BETWEEN_LEAST
from nasdepth.statistics.linear import Interval

WORDS = (
    "Effective depth predicts accuracy or trainability better than nominal depth:"
    " larger effective depth goes with higher accuracy among networks equal in nominal"
    " depth and size."
)
NEEDS = (
    f"at least {LEAST_N} unselected architectures with effective depth, a nominal"
    " depth and size, which separate the depths; about 200 for a partial correlation"
    " of .2"
)


@dataclass(frozen=True, slots=True)
class _Second:
    """The contrast that has to agree where there are families.

    Attributes:
        place: "Within families" or "Between the means of 12 families".
        value: Partial correlation.
        interval: Of it.
        p_value: Of none.
    """

    place: str
    value: float
    interval: Interval
    p_value: float


def words_of(plan: Preregistration) -> str:
    """H1 in words, as a plan states it."""
    gain = response_named(plan.response).gain
    sign = "larger" if plan.direction == "positive" else "smaller"
    names = (plan.nominal, *plan.baselines, *plan.covariates)
    given = ", ".join(label_of(name) for name in names)
    return f"{sign} effective depth goes with {gain} among networks equal in {given}."


def finding_of(evidence: Evidence, scope: Scope, found: Headline | None) -> Finding:
    """H1's finding from what has been computed.

    Args:
        evidence: Its name and plan are read.
        scope: What the sample can say.
        found: The headline on the sample by digest, None where n is too small.
    """
    plan = evidence.plan
    empty = Finding("H1", evidence.name, words_of(plan), NEEDS, n=scope.n)
    impossible = _impossible(scope, found, plan)
    if impossible or found is None:
        return replace(empty, lacks=impossible, reason=impossible, quote=impossible)
    primary = found.primary
    assert primary.interval is not None
    assert primary.p_value is not None
    second = _second(found)
    verdict, why = _verdict(primary.interval, second, found, plan)
    p_value = max(primary.p_value, second.p_value if second else 0.0)
    value = f"partial r {primary.value:+.3f} {bracketed(primary.interval)}"
    return replace(
        empty,
        statistic="signed partial correlation of effective depth",
        value=primary.value,
        interval=primary.interval,
        p_value=p_value,
        verdict=verdict,
        reason=f"{value}, n {primary.n}: {why}",
        quote=_quote(evidence, found, verdict),
        details=_details(found),
    )


def _impossible(scope: Scope, found: Headline | None, plan: Preregistration) -> str:
    """Why no verdict is possible whatever the response, with the n that would do."""
    enough = f"{scope.needed} could detect a partial correlation of"
    enough += f" {plan.smallest_effect:.2f}"
    if found is None:
        return (
            f"{scope.n} architectures, at least {LEAST_N} are needed for any estimate;"
            f" {enough}."
        )
    primary = found.primary
    if primary.value is None or primary.interval is None:
        given = ", ".join(label_of(name) for name in found.fits[0].covariates)
        return f"effective depth given {given} is not estimable: {primary.problem}."
    # as simulated: with three covariates, a further one costs a row
    offer = offered("verdict", scope.n - max(0, scope.held - 2))
    if not offer.offered:
        return f"{offer.reason}; {enough}."
    r = scope.primary.r
    if r is not None and abs(r) > INSEPARABLE and scope.n < scope.needed:
        return (
            f"r = {r:.3f} between {label_of(plan.nominal)} and effective depth:"
            f" {scope.n} architectures cannot separate them, {enough}."
        )
    return ""


def undecided_by_design(found: Headline | None) -> str:
    """Why families leave no contrast to decide by, empty where they do or are none."""
    if found is None or found.families is None or _second(found) is not None:
        return ""
    grouped = found.families
    between = "nothing is decided"
    if grouped.families >= BETWEEN_LEAST:
        between = grouped.between.problem or "the slope is 0"
    return (
        f"between {grouped.families} families {between}, and within them:"
        f" {grouped.within.problem}"
    )


def _second(found: Headline) -> _Second | None:
    """The contrast within families, else between their means; None without either."""
    if found.families is None:
        return None
    within, between = found.families.within, found.families.between
    if within.value is not None and within.interval and within.p_value is not None:
        return _Second("Within families", within.value, within.interval, within.p_value)
    r, slope, interval = between.correlation, between.value, between.interval
    if not r or not slope or interval is None or between.p_value is None:
        return None
    low, high = (end * r / slope for end in interval)
    place = f"Between the means of {found.families.families} families"
    return _Second(place, r, (low, high), between.p_value)


def _verdict(
    interval: Interval,
    second: _Second | None,
    found: Headline,
    plan: Preregistration,
) -> tuple[Verdict, str]:
    """The verdict by the rules of the module, with its reason."""
    verdict = verdict_of(interval, plan.smallest_effect, plan.direction)
    why = _why(verdict, plan)
    design = undecided_by_design(found)
    if design:
        return "undecided", f"{why} Undecided by design: {design}."
    if second is None:
        return verdict, why
    other = f"{second.value:+.3f} {bracketed(second.interval)}"
    if verdict_of(second.interval, plan.smallest_effect, plan.direction) != verdict:
        why = f"{why} {second.place} it is {other}, which does not agree."
        return "undecided", why
    reads = "lies below it too" if verdict == "contradicted" else "agrees"
    return verdict, f"{why} {second.place} {other} {reads}."


def _why(verdict: Verdict, plan: Preregistration) -> str:
    """What the interval has to do with the verdict."""
    positive = plan.direction == "positive"
    signed = plan.smallest_effect if positive else -plan.smallest_effect
    effect = f"the smallest effect of interest, {signed:+.2f}"
    if verdict == "supported":
        return f"the interval excludes 0 and reaches {effect}."
    if verdict == "contradicted":
        return f"the interval lies {'below' if positive else 'above'} {effect}."
    return f"the interval holds both 0 and {effect}."


def _quote(evidence: Evidence, found: Headline, verdict: Verdict) -> str:
    """One sentence that a reader can quote."""
    plan, primary, mirror = evidence.plan, found.primary, found.mirror
    held = (plan.nominal, *plan.baselines, *plan.covariates)
    names = ", ".join(map(label_of, held))
    other = (
        f"{mirror.value:+.2f} {bracketed(mirror.interval)}"
        if mirror.value is not None
        else "not estimable"
    )
    return (
        f"On {evidence.name} (n = {primary.n} architectures) the partial correlation of"
        f" effective depth with {response_named(plan.response).label}, given"
        f" {names}, is {primary.value:+.2f}"
        f" {bracketed(primary.interval)}, and that of {label_of(plan.nominal)} given"
        f" effective depth {other}: {verdict}."
    )


def _details(found: Headline) -> tuple[tuple[str, str], ...]:
    """The mirror, and both under the other reading of nominal depth."""
    lines = []
    for fit in found.fits[1:]:
        result, name = fit.result, label_of(fit.reading)
        value = f"{result.value:+.3f} " if result.value is not None else ""
        problem = f": {result.problem}" if result.problem else ""
        role = f"{name} instead" if fit.role == "mirror" else f"given {name}"
        lines.append((role, f"{value}{bracketed(result.interval)}{problem}"))
    return tuple(lines)


def _test(evidence: Evidence, options: Options) -> Finding:
    """H1 on its own."""
    samples = samples_of(evidence, allow_selected=options.allow_selected)
    scope = scope_of(evidence, samples)
    found = None
    if scope.n >= LEAST_N:
        found = headline(samples.digests, evidence.plan, options, unit="architectures")
    return finding_of(evidence, scope, found)


CLAIMS.register("H1")(Claim("H1", WORDS, NEEDS, _test))
