"""What a claim's test found: a frozen value with a verdict by rules fixed beforehand.

With the effect counted positive in the stated direction, *supported* if the interval
lies above 0 and reaches the smallest effect of interest, *contradicted* if it lies
below that effect, else *undecided*. *Undecidable* is said of the data and not of the
response: they are not there, too few, or cannot tell the compared things apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from statsmodels.stats.multitest import multipletests

from nasdepth.evidence.preregistration import Direction
from nasdepth.statistics.linear import Interval

Verdict: TypeAlias = Literal["supported", "contradicted", "undecided", "undecidable"]

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """One claim on one body of evidence.

    Attributes:
        claim: "H1" to "H10".
        source: Name of the evidence.
        words: The claim in words.
        needs: The data it needs, in words.
        lacks: What of that is missing; empty where the data are there.
        statistic: What `value` is, in words.
        n: Units behind it (architectures, pairs or cells).
        value: The statistic.
        interval: Its 95 % interval.
        p_value: Of the primary test.
        holm: The p-value after Holm's correction over claims and data sets; equal to
            `p_value` where one test was made.
        verdict: See the module.
        reason: The verdict in one sentence.
        quote: One sentence that a reader can quote.
        details: Further lines, name and text.
        exploratory: Whether the plan was not fixed beforehand for this sample.
    """

    claim: str
    source: str
    words: str
    needs: str
    lacks: str = ""
    statistic: str = ""
    n: int = 0
    value: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    holm: float | None = None
    verdict: Verdict = "undecidable"
    reason: str = ""
    quote: str = ""
    details: tuple[tuple[str, str], ...] = ()
    exploratory: bool = False


def verdict_of(
    interval: Interval, smallest: float, direction: Direction = "positive"
) -> Verdict:
    """The verdict that an interval gives.

    Args:
        interval: 95 % interval of the effect.
        smallest: Smallest effect of interest, above 0, on the interval's scale.
        direction: Sign that the claim expects.
    """
    low, high = interval
    if direction == "negative":
        low, high = -high, -low
    if high < smallest:
        return "contradicted"
    return "supported" if low > 0 else "undecided"


def corrected(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings with Holm's correction over all primary tests of one call.

    A claim that is supported alone but not after the correction is undecided
    (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).
    """
    tested = [i for i, found in enumerate(findings) if found.p_value is not None]
    if not tested:
        return tuple(findings)
    raw = np.array([findings[i].p_value for i in tested], dtype=np.float64)
    adjusted = raw  # one test: nothing to correct, and no collection of garbage
    if len(tested) > 1:
        adjusted = multipletests(raw, alpha=LEVEL, method="holm")[1]
    result = list(findings)
    for place, value in zip(tested, adjusted, strict=True):
        result[place] = _with_holm(findings[place], float(value), len(tested))
    return tuple(result)


def _with_holm(found: Finding, holm: float, tests: int) -> Finding:
    """The finding with its corrected p-value, and the verdict that follows."""
    if found.verdict != "supported" or holm <= LEVEL:
        return replace(found, holm=holm)
    reason = (
        f"{found.reason} After Holm's correction over {tests} tests p = {holm:.3f}."
    )
    before, supported, after = found.quote.rpartition("supported")
    quote = found.quote
    if supported:
        quote = f"{before}undecided after Holm's correction over {tests} tests{after}"
    return replace(found, holm=holm, verdict="undecided", reason=reason, quote=quote)


def marked_exploratory(found: Finding) -> Finding:
    """The finding under a plan that was not fixed beforehand for its sample."""
    quote = found.quote
    if quote and found.verdict != "undecidable":
        quote = f"{quote.rstrip('.')} (exploratory)."
    return replace(found, quote=quote, exploratory=True)
