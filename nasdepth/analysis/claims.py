"""Claim H1 as a test: does effective depth say more than nominal depth, given size?

The sample, what it can say, each measure alone, the signed partial correlations for
both readings of nominal depth, and a verdict by rules fixed beforehand: with the
effect counted positive in the stated direction, *supported* if the interval lies above
0 and reaches the smallest effect of interest, *contradicted* if it lies below that
effect, else *undecided*. *Undecidable* is said of the sample and not of the response:
too few architectures, depths that cannot be told apart, or nothing to estimate.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nasdepth.analysis.comparison import (
    EFFECTIVE,
    Alone,
    Comparison,
    Fit,
    Nominal,
    Preregistration,
    Role,
    Scope,
    Verdict,
    counts_text,
    interval_text,
)
from nasdepth.analysis.records import TrialRecord, read_csv
from nasdepth.analysis.regression import (
    DRAWS,
    PartialCorrelation,
    Vector,
    correlation,
    detectable_effect,
    partial_correlation,
    required_n,
)
from nasdepth.analysis.sample import (
    Unit,
    count,
    reliability_of,
    response_of,
    units_of,
    values_of,
    why_unused,
)
from nasdepth.measures.catalogue import CATALOGUE, Scale, label_of, scale_of

__all__ = ["Comparison", "Preregistration", "analyze", "analyze_table"]

DEFAULT_PLAN = Preregistration()
# Below it no interval of a partial correlation is worth printing.
LEAST_N = 8
# Above it the two depths say nearly the same of every network.
INSEPARABLE = 0.9

_NOMINALS: tuple[Nominal, ...] = ("nominal_depth", "weighted_layers")


def analyze(
    records: Iterable[TrialRecord],
    plan: Preregistration = DEFAULT_PLAN,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Comparison:
    """Compares effective with nominal depth on the unselected, complete trials.

    Args:
        records: All rows of a study; what is left out is counted.
        plan: What was preregistered.
        seed: Seed of the bootstrap.
        draws: Bootstrap draws.

    Raises:
        ValueError: A measure of the plan is in no row, or rows of one digest
            contradict each other.
    """
    rows = tuple(records)
    chosen = [row for row in rows if not why_unused(row)]
    _check_measures(chosen, plan)
    units, undefined = _complete(chosen, plan)
    sample = _Sample(units, plan, seed, draws)
    enough = len(units) >= LEAST_N
    fits = _fits(sample) if enough else ()
    left_out = (*count(map(why_unused, rows)), *undefined)
    scope = _scope(rows, left_out, sample, fits)
    verdict, reason = _verdict(scope, fits, plan)
    return Comparison(
        claim=_claim(plan),
        plan=plan,
        opening=_opening(scope, verdict, reason, plan),
        data=scope,
        alone=_alone(sample) if enough else (),
        fits=fits,
        verdict=verdict,
        reason=reason,
        warnings=_warnings(scope, plan),
    )


def analyze_table(
    path: str | Path,
    plan: Preregistration = DEFAULT_PLAN,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Comparison:
    """Compares effective with nominal depth on a CSV of records.

    Raises:
        ValueError: The file is no CSV of records, or fewer than 8 architectures in
            it are usable.
    """
    comparison = analyze(read_csv(path), plan, seed=seed, draws=draws)
    data = comparison.data
    if data.n < LEAST_N:
        left = counts_text(data.left_out)
        raise ValueError(
            f"{path} must hold at least {LEAST_N} architectures that are unselected,"
            f" complete and fully measured, but got {data.n} in {data.rows} rows"
            f"{f' (left out: {left})' if left else ''}."
        )
    return comparison


@dataclass(frozen=True, slots=True)
class _Sample:
    """The units of a test with what the test was asked for."""

    units: tuple[Unit, ...]
    plan: Preregistration
    seed: int
    draws: int

    def response(self) -> Vector:
        """The preregistered response, one value per unit."""
        accuracy = np.array([unit.accuracy for unit in self.units])
        images = np.array([unit.images for unit in self.units])
        return response_of(accuracy, images, self.plan.response)

    def values(self, name: str) -> Vector:
        """A measure on the scale of the fits: logarithms of the baselines."""
        scale: Scale = "log" if name in self.plan.baselines else "linear"
        return values_of(self.units, name, scale)


def _check_measures(rows: Sequence[TrialRecord], plan: Preregistration) -> None:
    """Raises if a measure of the plan is recorded in no row."""
    recorded = sorted({name for row in rows for name in row.measures})
    for name in (EFFECTIVE, plan.nominal, *plan.baselines):
        if rows and name not in recorded:
            near = difflib.get_close_matches(name, recorded, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"Measure {name!r} is in no usable row; recorded are:"
                f" {', '.join(recorded) or 'none'}.{hint}"
            )


def _complete(
    rows: Sequence[TrialRecord], plan: Preregistration
) -> tuple[tuple[Unit, ...], tuple[tuple[str, int], ...]]:
    """Units in which every measure of the test is defined, and the count of others."""
    names = (EFFECTIVE, plan.nominal, *plan.baselines)
    units = units_of(rows, exact=(*names, *_NOMINALS))
    sample = _Sample(units, plan, 0, 0)
    reasons = [""] * len(units)
    for name in names:
        for index in np.flatnonzero(np.isnan(sample.values(name))):
            reasons[index] = f"without {label_of(name)}"
    known = (unit for unit, reason in zip(units, reasons, strict=True) if not reason)
    return tuple(known), count(reasons)


def _fits(sample: _Sample) -> tuple[Fit, ...]:
    """Headline and mirror for both readings, the preregistered one first."""
    plan = sample.plan
    others = tuple(name for name in _NOMINALS if name != plan.nominal)
    fits = []
    for nominal in (plan.nominal, *others):
        size = tuple(name for name in plan.baselines if name != nominal)
        pairs: tuple[tuple[Role, str, str], ...] = (
            ("headline", EFFECTIVE, nominal),
            ("mirror", nominal, EFFECTIVE),
        )
        for role, predictor, other in pairs:
            given = (other, *size)
            result = _partial(sample, predictor, given)
            fits.append(Fit(role, nominal == plan.nominal, predictor, given, result))
    return tuple(fits)


def _partial(
    sample: _Sample, predictor: str, given: Sequence[str]
) -> PartialCorrelation:
    """Partial correlation by names, over the units where all of them are defined."""
    columns = np.array([sample.values(name) for name in (predictor, *given)])
    known = ~np.isnan(columns).any(axis=0)
    n = int(known.sum())
    if n < LEAST_N:
        problem = f"defined in {n} architectures, at least {LEAST_N} are needed"
        return PartialCorrelation(n, len(given), problem=problem)
    first, *rest = columns[:, known]
    response = sample.response()[known]
    return partial_correlation(
        response, first, rest, seed=sample.seed, draws=sample.draws
    )


def _alone(sample: _Sample) -> tuple[Alone, ...]:
    """Every recorded measure alone, the known ones first."""
    recorded = {name for unit in sample.units for name in unit.measures}
    known = [name for name in CATALOGUE if name in recorded]
    response = sample.response()
    entries = []
    for name in (*known, *sorted(recorded - set(known))):
        values = values_of(sample.units, name, scale_of(name))
        defined = ~np.isnan(values)
        result = correlation(response[defined], values[defined])
        entries.append(Alone(name, label_of(name), result))
    return tuple(entries)


def _scope(
    rows: Sequence[TrialRecord],
    left_out: tuple[tuple[str, int], ...],
    sample: _Sample,
    fits: Sequence[Fit],
) -> Scope:
    """What the sample can say."""
    units, plan = sample.units, sample.plan
    accuracies = [unit.accuracy for unit in units]
    found = fits[0].result if fits else None
    k = found.covariates if found else 1 + len(plan.baselines)
    return Scope(
        rows=len(rows),
        used=sum(len(unit.accuracies) for unit in units),
        left_out=left_out,
        arms=count(row.arm for row in rows),
        n=len(units),
        replicated=sum(len(unit.accuracies) > 1 for unit in units),
        datasets=tuple(sorted({r.dataset for r in rows if r.dataset})),
        accuracy_range=(min(accuracies), max(accuracies)) if units else None,
        reliability=reliability_of(units, plan.response),
        r_nominal=_depths(sample, "nominal_depth"),
        r_weighted=_depths(sample, "weighted_layers"),
        unexplained=found.unexplained if found else None,
        detectable=detectable_effect(len(units), k),
        needed=required_n(plan.smallest_effect, k),
    )


def _depths(sample: _Sample, nominal: str) -> float | None:
    """Pearson's r of a nominal with the effective depth, None below 8 units."""
    first, second = (
        values_of(sample.units, name, "linear") for name in (nominal, EFFECTIVE)
    )
    known = ~np.isnan(first + second)
    if known.sum() < LEAST_N:
        return None
    return correlation(second[known], first[known]).pearson


def _verdict(
    data: Scope, fits: Sequence[Fit], plan: Preregistration
) -> tuple[Verdict, str]:
    """The verdict by the rules of the module, with its reason."""
    if not fits:
        return "undecidable", (
            f"{data.n} architectures, at least {LEAST_N} are needed for any estimate"
            f" and {data.needed} to detect a partial correlation of"
            f" {plan.smallest_effect:.2f}."
        )
    found = fits[0].result
    if found.value is None or found.interval is None:
        given = ", ".join(label_of(name) for name in fits[0].covariates)
        return "undecidable", (
            f"effective depth given {given} is not estimable: {found.problem}."
        )
    r = _primary_r(data, plan)
    if r is not None and abs(r) > INSEPARABLE and data.n < data.needed:
        return "undecidable", (
            f"r = {r:.3f} between nominal and effective depth: {data.n} architectures"
            f" cannot separate them, {data.needed} could detect a partial correlation"
            f" of {plan.smallest_effect:.2f}."
        )
    quote = f"partial r {found.value:+.3f} {interval_text(found.interval)}, n {found.n}"
    low, high = found.interval
    if plan.direction == "negative":
        low, high = -high, -low
    effect = f"the smallest effect of interest, {plan.smallest_effect:.2f}"
    if high < plan.smallest_effect:
        return "contradicted", f"{quote}: the interval lies below {effect}."
    if low > 0:
        return "supported", f"{quote}: the interval excludes 0 and reaches {effect}."
    return "undecided", f"{quote}: the interval holds both 0 and {effect}."


def _primary_r(data: Scope, plan: Preregistration) -> float | None:
    """Correlation of effective depth with the preregistered nominal depth."""
    return data.r_nominal if plan.nominal == "nominal_depth" else data.r_weighted


def _claim(plan: Preregistration) -> str:
    """H1 in words."""
    higher = "higher" if plan.direction == "positive" else "lower"
    given = ", ".join(label_of(name) for name in (plan.nominal, *plan.baselines))
    return (
        f"H1: larger effective depth goes with {higher} accuracy among networks equal"
        f" in {given}."
    )


def _opening(data: Scope, verdict: Verdict, reason: str, plan: Preregistration) -> str:
    """Whether the data can say it at all."""
    if verdict == "undecidable":
        return f"These data cannot say it: {reason}"
    if data.n < data.needed:
        return (
            f"These data can say it of a large effect only: {data.n} architectures"
            f" detect a partial correlation of {data.detectable:.2f} with 80 % power;"
            f" the preregistered {plan.smallest_effect:.2f} needs {data.needed}."
        )
    return (
        f"These data can say it: {data.n} architectures detect a partial correlation"
        f" of {data.detectable:.2f} with 80 % power, the preregistered smallest effect"
        f" is {plan.smallest_effect:.2f}."
    )


def _warnings(data: Scope, plan: Preregistration) -> tuple[str, ...]:
    """What a reader has to know before quoting a number."""
    texts = []
    r = _primary_r(data, plan)
    if r is not None and abs(r) > INSEPARABLE:
        texts.append(
            f"Nominal and effective depth correlate at {r:.3f}: these networks hardly"
            " separate them."
        )
    if LEAST_N <= data.n < data.needed:
        texts.append(
            f"{data.n} architectures are few: an effect below {data.detectable:.2f}"
            " would mostly be missed, and one that is found is overestimated."
        )
    if data.n and not data.replicated:
        texts.append(
            "One seed per architecture: seed noise is part of every residual, and the"
            " reliability of the response is unknown."
        )
    cut = sum(number for reason, number in data.left_out if reason != "search arm")
    if cut:
        texts.append(
            f"{cut} rows or architectures of the unselected arm are not in the sample:"
            " if they failed for their depth, the estimate is biased."
        )
    if len(data.datasets) > 1:
        texts.append("Rows of several data sets are mixed.")
    return tuple(texts)
