"""A claim as a value, and what its test returns with or without the data it needs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from nasdepth.architecture.registry import Registry
from nasdepth.claims.finding import Finding, Verdict, verdict_of
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.preregistration import Direction
from nasdepth.statistics.calibration import offered
from nasdepth.statistics.linear import Interval
from nasdepth.statistics.regression import DRAWS, PartialCorrelation

Details: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Options:
    """How a test is run.

    Attributes:
        seed: Of every bootstrap.
        draws: Of every bootstrap.
        allow_selected: Whether rows that a sampler chose may enter, which makes the
            finding exploratory.
    """

    seed: int = 0
    draws: int = DRAWS
    allow_selected: bool = False


Test: TypeAlias = Callable[[Evidence, Options], Finding]


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of the table of claims.

    Attributes:
        name: "H1" to "H10".
        words: The claim in words.
        needs: The data it needs, in words.
        test: Its one primary test; never raises for want of data.
    """

    name: str
    words: str
    needs: str
    test: Test


CLAIMS = Registry[Claim]("claim")
# Held fixed where the test's level was simulated; more of them cost as many rows.
_SIMULATED_COVARIATES = 3


@dataclass(frozen=True, slots=True)
class Effect:
    """What a primary test measured, before the verdict.

    Attributes:
        statistic: What `value` is, in words.
        n: Units behind it.
        value: In the unit of `statistic`.
        interval: Its 95 % interval.
        p_value: Of no effect.
        smallest: Smallest effect of interest, above 0, in the same unit.
        direction: Sign that the claim expects.
        units: What is counted by `n`.
    """

    statistic: str
    n: int
    value: float
    interval: Interval
    p_value: float
    smallest: float
    direction: Direction = "positive"
    units: str = "networks"


def empty(name: str, evidence: Evidence) -> Finding:
    """A claim's finding before anything is known: its words, needs and source."""
    claim = CLAIMS[name]
    return Finding(claim.name, evidence.name, claim.words, claim.needs)


def lacking(found: Finding, lacks: str, *, n: int = 0) -> Finding:
    """The finding where data are missing, and what of them."""
    quote = f"{found.source} cannot say it: {lacks}."
    return replace(found, n=n, lacks=lacks, reason=f"{lacks}.", quote=quote)


def concluded(found: Finding, effect: Effect, details: Details = ()) -> Finding:
    """The finding with the verdict that an effect's interval gives."""
    verdict = verdict_of(effect.interval, effect.smallest, effect.direction)
    value = f"{effect.value:+.3f} {bracketed(effect.interval)}"
    return replace(
        found,
        statistic=effect.statistic,
        n=effect.n,
        value=effect.value,
        interval=effect.interval,
        p_value=effect.p_value,
        verdict=verdict,
        reason=f"{value}, n {effect.n}: {_why(verdict, effect)}.",
        quote=(
            f"On {found.source} (n = {effect.n} {effect.units}) {found.claim} is"
            f" {verdict}: {effect.statistic} {value}."
        ),
        details=details,
    )


def concluded_partial(
    found: Finding,
    result: PartialCorrelation,
    *,
    statistic: str,
    direction: Direction,
    smallest: float,
) -> Finding:
    """The finding that a partial correlation gives, or why there is none.

    There is none where its test was not simulated at so few rows, or does not hold its
    level there.
    """
    if result.value is None or result.interval is None or result.p_value is None:
        lacks = f"{statistic} not estimable, {result.problem}"
        return lacking(found, lacks, n=result.n)
    spent = max(0, result.covariates - _SIMULATED_COVARIATES)
    offer = offered("verdict", (result.clusters or result.n) - spent)
    if not offer.offered:
        return lacking(found, f"no verdict, {offer.reason}", n=result.n)
    effect = Effect(
        statistic,
        result.n,
        result.value,
        result.interval,
        result.p_value,
        smallest,
        direction,
    )
    return concluded(found, effect)


def partial_text(result: PartialCorrelation) -> str:
    """A partial correlation in a line, or why there is none."""
    if result.value is None or result.interval is None or result.p_value is None:
        return f"not estimable, {result.problem}"
    value = f"{result.value:+.3f} {bracketed(result.interval)}"
    return f"{value}, p {result.p_value:.3f}, n {result.n}"


def bracketed(interval: Interval | None, spec: str = "+.3f") -> str:
    """An interval in brackets, a dash where there is none."""
    if interval is None:
        return "–"
    return f"[{interval[0]:{spec}}, {interval[1]:{spec}}]"


def _why(verdict: Verdict, effect: Effect) -> str:
    """What the interval has to do with the verdict."""
    less = "below" if effect.direction == "positive" else "above"
    signed = effect.smallest if effect.direction == "positive" else -effect.smallest
    smallest = f"the smallest effect of interest, {signed:+.3g}"
    if verdict == "supported":
        return f"the interval excludes 0 and reaches {smallest}"
    if verdict == "contradicted":
        return f"the interval lies {less} {smallest}"
    return f"the interval holds both 0 and {smallest}"
