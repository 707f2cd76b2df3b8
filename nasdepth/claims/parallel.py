"""Claims H6 and H7: one-convolution residual layers in sequence or in parallel.

Bermeitinger, Hrycej & Handschuh 2023 (arXiv:2309.08414). A pair is the same layers once
in sequence and once in one group, equal in setting, weighted layers and params; seeds
are averaged before. H6 is an equivalence test: two one-sided paired t tests at the
margin log 1.05 (Schuirmann 1987, doi:10.1007/BF01068419) in each bin of the
determination ratio Q = K M / P (training images x outputs / params), Holm's correction
over the bins. H7 is the mean difference of the generalisation gap where the training
losses are equal: the constant of a regression of the differences on the difference of
log training loss, HC3 with t.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import statsmodels.api as sm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from nasdepth.claims.claim import (
    CLAIMS,
    Claim,
    Details,
    Effect,
    Options,
    bracketed,
    concluded,
    empty,
    lacking,
)
from nasdepth.claims.finding import LEVEL, Finding, Verdict
from nasdepth.claims.rows import cells, chosen, level, sample_details
from nasdepth.claims.scope import LEAST_N
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.units import Sample, Unit
from nasdepth.statistics.linear import Interval, Vector

_LOSS, _TRAIN, _GAP = "validation_loss", "train_loss", "generalization_gap"
_MARGIN = math.log(1.05)
_EDGES = (0.0, 1.0, 3.0, 10.0, math.inf)
# Pairs below which a bin of the determination ratio is not tested.
_LEAST_PAIRS = 5


@dataclass(frozen=True, slots=True)
class Pair:
    """The same layers in sequence and in one parallel group."""

    sequential: Unit
    parallel: Unit

    def ratio(self) -> float:
        """Determination ratio Q = K M / P, NaN where one of them is unknown."""
        of = self.sequential.measures
        images, outputs, params = (
            of.get(name, math.nan) for name in ("train_images", "outputs", "params")
        )
        return images * outputs / params

    def log_ratio(self, loss: str) -> float:
        """Log of the sequential over the parallel loss."""
        return math.log(self.sequential.outcome(loss) / self.parallel.outcome(loss))

    def difference(self, outcome: str) -> float:
        """Parallel minus sequential."""
        return self.parallel.outcome(outcome) - self.sequential.outcome(outcome)


@dataclass(frozen=True, slots=True)
class Bin:
    """Equivalence in one bin of the determination ratio.

    Attributes:
        name: The bin's bounds.
        n: Pairs.
        mean: Mean log ratio of the losses.
        interval: Its 95 % interval.
        p_value: Of the two one-sided tests.
    """

    name: str
    n: int
    mean: float
    interval: Interval
    p_value: float


def pairs_of(sample: Sample) -> tuple[Pair, ...]:
    """Every sequential cell with its parallel one, where there is one of each."""
    groups: dict[object, dict[str, list[Unit]]] = {}
    for unit in sample.units:
        measures = unit.measures
        place = (
            level(unit, "setting"),
            measures.get("weighted_layers"),
            measures.get("params"),
        )
        if None not in place:
            sides = groups.setdefault(place, {})
            sides.setdefault(level(unit, "arrangement"), []).append(unit)
    return tuple(
        Pair(*first, *second)
        for sides in groups.values()
        if len(first := sides.get("sequential", [])) == 1
        and len(second := sides.get("parallel", [])) == 1
    )


def equivalence(values: Vector) -> tuple[Interval, float]:
    """95 % interval of a mean, and the p-value of two one-sided tests at the margin.

    Args:
        values: At least two log ratios, not all equal.
    """
    described = DescrStatsW(values)
    low, high = described.tconfint_mean()
    p_value = described.ttost_mean(-_MARGIN, _MARGIN)[0]
    return (float(low), float(high)), float(p_value)


def _h6(evidence: Evidence, options: Options) -> Finding:
    """Equivalence of losses in every bin of the determination ratio."""
    found = empty("H6", evidence)
    rows = chosen(evidence, options, _LOSS)
    pairs = _pairs(cells(rows), (_LOSS,))
    inside = [pair for pair in pairs if math.isfinite(pair.ratio())]
    bins, thin = _bins(inside, _LOSS)
    train, _ = _bins([p for p in inside if _positive(p, (_TRAIN,))], _TRAIN)
    details = (
        *_bin_lines(bins, "validation loss"),
        *thin,
        *_bin_lines(train, "training loss"),
        *sample_details(evidence, options, _LOSS, rows),
    )
    if not bins:
        lacks = (
            f"{len(pairs)} pairs of sequential and parallel networks with validation"
            f" losses, {len(inside)} of known determination ratio, at least"
            f" {_LEAST_PAIRS} in one bin of it are needed"
        )
        return replace(lacking(found, lacks, n=len(inside)), details=details)
    return replace(_equivalent(found, bins, inside), details=details)


def _equivalent(found: Finding, bins: Sequence[Bin], pairs: Sequence[Pair]) -> Finding:
    """The finding that the bins give together."""
    adjusted = multipletests([b.p_value for b in bins], alpha=LEVEL, method="holm")[1]
    worst = max(bins, key=lambda each: abs(each.mean))
    outside = [b for b in bins if b.interval[0] > _MARGIN or b.interval[1] < -_MARGIN]
    p_value = float(max(adjusted))
    verdict: Verdict = "undecided"
    reason = f"not shown in all {len(bins)} bins (greatest Holm p {p_value:.3f})"
    if outside:
        verdict = "contradicted"
        names = ", ".join(each.name for each in outside)
        reason = (
            f"the interval lies outside the margin of {_MARGIN:.3f} at Q in {names}"
        )
    elif p_value <= LEVEL:
        verdict = "supported"
        reason = f"equivalent in all {len(bins)} bins (greatest Holm p {p_value:.3f})"
    n = sum(each.n for each in bins)
    statistic = f"mean log(sequential / parallel validation loss) at Q in {worst.name}"
    value = f"{worst.mean:+.3f} {bracketed(worst.interval)}"
    return replace(
        found,
        statistic=f"{statistic}, the bin farthest from 0",
        n=n,
        value=worst.mean,
        interval=worst.interval,
        p_value=p_value,
        verdict=verdict,
        reason=f"{value}, {n} pairs: {reason}.",
        quote=(
            f"On {found.source} (n = {n} pairs, {len(bins)} bins of Q) H6 is {verdict}:"
            f" {statistic}, the bin farthest from 0, {value}, margin {_MARGIN:.3f}."
        ),
    )


def _pairs(sample: Sample, outcomes: tuple[str, ...]) -> tuple[Pair, ...]:
    """Pairs in which the outcomes are positive numbers."""
    return tuple(pair for pair in pairs_of(sample) if _positive(pair, outcomes))


def _positive(pair: Pair, outcomes: tuple[str, ...]) -> bool:
    values = [
        unit.outcome(name)
        for unit in (pair.sequential, pair.parallel)
        for name in outcomes
    ]
    return all(value > 0 for value in values)


def _bins(pairs: Sequence[Pair], loss: str) -> tuple[list[Bin], Details]:
    """Bins with enough pairs, and a line for each of the others."""
    found, thin = [], []
    for low, high in pairwise(_EDGES):
        name = f"[{low:g}, {high:g})" if math.isfinite(high) else f"[{low:g}, inf)"
        own = [pair.log_ratio(loss) for pair in pairs if low <= pair.ratio() < high]
        if len(own) < _LEAST_PAIRS or np.ptp(own) == 0:
            thin.append((f"Q in {name}", f"{len(own)} pairs, not tested"))
            continue
        values = np.array(own)
        interval, p_value = equivalence(values)
        found.append(Bin(name, len(own), float(values.mean()), interval, p_value))
    return found, tuple(thin)


def _bin_lines(bins: Sequence[Bin], loss: str) -> Details:
    return tuple(
        (
            f"{loss}, Q in {each.name}",
            f"mean log ratio {each.mean:+.3f} {bracketed(each.interval)}, equivalence p"
            f" {each.p_value:.3f}, {each.n} pairs",
        )
        for each in bins
    )


def _h7(evidence: Evidence, options: Options) -> Finding:
    """Difference of generalisation gaps at equal training loss."""
    found = empty("H7", evidence)
    rows = chosen(evidence, options, _GAP)
    pairs = _pairs(cells(rows), (_TRAIN,))
    gaps = np.array([pair.difference(_GAP) for pair in pairs])
    losses = np.array([-pair.log_ratio(_TRAIN) for pair in pairs])
    details = sample_details(evidence, options, _GAP, rows)
    lacks = _lacking_gaps(gaps, losses)
    if lacks:
        return replace(lacking(found, lacks, n=len(pairs)), details=details)
    fit = sm.OLS(gaps, sm.add_constant(losses)).fit(cov_type="HC3", use_t=True)
    low, high = (float(each) for each in fit.conf_int()[0])
    # the partial correlation that a mean of d residual deviations has: d / sqrt(1 + d²)
    least = evidence.plan.smallest_effect
    smallest = least / math.sqrt(1 - least**2) * math.sqrt(fit.mse_resid)
    effect = Effect(
        "mean generalisation gap of parallel less that of sequential networks at equal"
        " training loss, in nats",
        len(pairs),
        float(fit.params[0]),
        (low, high),
        float(fit.pvalues[0]),
        smallest,
        "negative",
        "pairs",
    )
    lines = (
        ("unadjusted mean difference", f"{gaps.mean():+.4f} nats"),
        (
            "difference of log training loss (parallel less sequential)",
            f"mean {losses.mean():+.3f}, from {losses.min():+.3f} to"
            f" {losses.max():+.3f}; slope of the gap {float(fit.params[1]):+.4f}",
        ),
        ("smallest effect of interest", f"{smallest:.4f} nats"),
    )
    return concluded(found, effect, (*lines, *details))


def _lacking_gaps(gaps: Vector, losses: Vector) -> str:
    """What H7 lacks, empty where nothing."""
    if len(gaps) < LEAST_N:
        return (
            f"{len(gaps)} pairs of sequential and parallel networks with training loss"
            f" and generalisation gap, at least {LEAST_N} are needed"
        )
    if np.ptp(losses) == 0 or np.ptp(gaps) == 0:
        return "the training losses or the gaps of all pairs differ alike"
    if not losses.min() <= 0 <= losses.max():
        side = "above" if losses.min() > 0 else "below"
        return (
            f"no pair matches in training loss: the parallel one's is {side} the"
            " sequential one's in every pair"
        )
    return ""


_PAIRED = (
    "pairs of one-convolution residual networks, in sequence and in one parallel group,"
    " equal in setting, weighted layers and params"
)
CLAIMS.register("H6")(
    Claim(
        "H6",
        "Layers in sequence and the same layers in parallel reach about equal losses"
        " (within 5 %), whatever the ratio of examples to parameters.",
        f"{_PAIRED}, with validation loss, training images and outputs; at least"
        f" {_LEAST_PAIRS} in a bin of the determination ratio",
        _h6,
    )
)
CLAIMS.register("H7")(
    Claim(
        "H7",
        "Parallel layers generalise better than the same layers in sequence: their"
        " generalisation gap is smaller at equal training loss.",
        f"{_PAIRED}, with training loss and generalisation gap; at least {LEAST_N}",
        _h7,
    )
)
