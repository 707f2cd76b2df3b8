"""What the data can say, known before any coefficient is looked at."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nasdepth.architecture.registry import unknown
from nasdepth.evidence.observations import Evidence, Observation
from nasdepth.evidence.preregistration import EFFECTIVE, Preregistration
from nasdepth.evidence.responses import RESPONSES, response_named
from nasdepth.evidence.units import (
    Sample,
    by_digest,
    by_row,
    count,
    lost_trainings,
    reliability_of,
    spread_of,
    why_unused,
)
from nasdepth.measures.catalogue import label_of
from nasdepth.statistics.linear import Interval, Vector, basis, residual
from nasdepth.statistics.regression import correlation, detectable_effect, required_n

# Below it no interval of a partial correlation is worth printing.
LEAST_N = 8
# Above it the two depths say nearly the same of every network.
INSEPARABLE = 0.9


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of nominal depth beside effective depth.

    Attributes:
        nominal: The measure.
        r: Pearson's r with effective depth.
        r_within: The same within families, None where there is one family.
        unexplained: Share of effective depth's variance that this reading, the
            baselines and the covariates leave: 1 / variance inflation.
    """

    nominal: str
    r: float | None
    r_within: float | None
    unexplained: float | None

    @property
    def inflation(self) -> float | None:
        """Variance inflation factor of effective depth."""
        return 1 / self.unexplained if self.unexplained else None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a sample can say.

    Attributes:
        rows: Rows recorded.
        used: Rows in the sample.
        left_out: Reason and number of rows left out.
        arms: Arm and number of its rows.
        n: Architectures in the sample (digests): the unit of replication.
        replicated: Architectures with more than one training.
        trainings: Trainings behind the sample.
        diverged: Trainings that diverged where others of the same row ended, so that
            the row is in the sample without them.
        families: Family and number of its architectures.
        datasets: Labels of the data sets.
        outcome_range: Least and greatest mean outcome.
        outcome_mean: Mean of the architectures' mean outcomes.
        spread: Standard deviation of the outcome over trainings of one architecture,
            None where none has several.
        reliability: Share of the response's variance that is no seed noise.
        readings: Both readings of nominal depth, the preregistered one first.
        held: Columns held fixed beside a nominal depth, the constant not counted.
        detectable: Smallest |partial r| that n detects with 80 % power.
        needed: Architectures that detect the smallest effect with 80 % power.
    """

    rows: int
    used: int
    left_out: tuple[tuple[str, int], ...]
    arms: tuple[tuple[str, int], ...]
    n: int
    replicated: int
    trainings: int
    diverged: int
    families: tuple[tuple[str, int], ...]
    datasets: tuple[str, ...]
    outcome_range: Interval | None
    outcome_mean: float | None
    spread: float | None
    reliability: float | None
    readings: tuple[Reading, ...]
    held: int
    detectable: float
    needed: int

    @property
    def primary(self) -> Reading:
        """The preregistered reading."""
        return self.readings[0]


@dataclass(frozen=True, slots=True)
class Samples:
    """The sample of a plan by digest, and by row where the literature has it so."""

    digests: Sample
    rows: Sample | None
    left_out: tuple[tuple[str, int], ...]
    used: int


def samples_of(evidence: Evidence, *, allow_selected: bool = False) -> Samples:
    """The rows of the evidence that its plan can use.

    Raises:
        ValueError: A name of the plan is in no usable row, or rows of one digest
            contradict each other.
    """
    plan = evidence.plan
    reasons = [
        why_unused(row, plan.response, allow_selected=allow_selected)
        for row in evidence.observations
    ]
    chosen = [
        row
        for row, reason in zip(evidence.observations, reasons, strict=True)
        if not reason
    ]
    _check_names(evidence, chosen)
    exact = (EFFECTIVE, *plan.readings, *plan.baselines)
    every = by_digest(chosen, exact)
    missing = undefined(every, plan)
    known = every.where([not reason for reason in missing])
    lost = [
        reason
        for reason, unit in zip(missing, every.units, strict=True)
        for _ in unit.places
    ]
    kept = {place for unit in known.units for place in unit.places}
    rows = [row for row in chosen if row.place in kept]
    return Samples(
        known,
        by_row(rows) if evidence.by_row else None,
        (*count(reasons), *count(lost), *evidence.left_out),
        len(rows),
    )


def held_fixed(sample: Sample, plan: Preregistration) -> tuple[Vector, ...]:
    """Baselines (as logarithms) and covariates of a plan, column by column."""
    return sample.covariates(plan.baselines, plan.covariates)


def undefined(sample: Sample, plan: Preregistration) -> list[str]:
    """Why each unit cannot be used, empty where every name of the plan is known."""
    columns = {EFFECTIVE: sample.measure(EFFECTIVE)}
    columns[plan.nominal] = sample.measure(plan.nominal)
    columns |= {name: sample.measure(name, "log") for name in plan.baselines}
    columns |= {
        name: sample.stated(name) if sample.is_factor(name) else sample.measure(name)
        for name in plan.covariates
    }
    reasons = [""] * len(sample)
    for name, values in columns.items():
        for index in np.flatnonzero(np.isnan(values)):
            reasons[index] = reasons[index] or f"without {label_of(name)}"
    for index in np.flatnonzero(np.isnan(sample.response(plan.response))):
        reasons[index] = reasons[index] or f"without {plan.response}"
    return reasons


def scope_of(
    evidence: Evidence, samples: Samples, smallest_effect: float | None = None
) -> Scope:
    """What the sample can say.

    Args:
        evidence: All rows.
        samples: What of them is used.
        smallest_effect: Effect to plan for; the preregistered one by default.
    """
    sample, plan = samples.digests, evidence.plan
    column = response_named(plan.response).column
    outcome = sample.outcome(column)
    held = basis(held_fixed(sample, plan), len(sample)).shape[1] - 1 if sample else 0
    least = len(plan.baselines) + len(plan.covariates)
    k = 1 + (held if len(sample) >= LEAST_N else least)
    return Scope(
        rows=len(evidence.observations) + sum(n for _, n in evidence.left_out),
        used=samples.used,
        left_out=samples.left_out,
        arms=count(row.arm for row in evidence.observations),
        n=len(sample),
        replicated=sum(_trainings(unit.outcomes, plan) > 1 for unit in sample.units),
        trainings=sum(_trainings(unit.outcomes, plan) for unit in sample.units),
        diverged=_diverged(sample, column),
        families=tuple(Counter(sample.families).most_common()),
        datasets=_datasets(evidence.observations),
        outcome_range=(float(outcome.min()), float(outcome.max())) if sample else None,
        outcome_mean=float(outcome.mean()) if sample else None,
        spread=spread_of(sample, column),
        reliability=reliability_of(sample, plan.response),
        readings=tuple(_reading(sample, plan, name) for name in plan.readings),
        held=k - 1,
        detectable=detectable_effect(len(sample), k),
        needed=required_n(smallest_effect or plan.smallest_effect, k),
    )


def _trainings(outcomes: object, plan: Preregistration) -> int:
    """Trainings behind a unit's response."""
    column = response_named(plan.response).column
    return len(outcomes.get(column, ()))  # type: ignore[attr-defined]  # a mapping


def _diverged(sample: Sample, column: str) -> int:
    """Trainings that the response lacks because they diverged."""
    if column == "diverged":
        return 0
    return sum(lost_trainings(unit.outcomes) for unit in sample.units)


def _datasets(rows: Sequence[Observation]) -> tuple[str, ...]:
    return tuple(sorted({row.dataset for row in rows if row.dataset}))


def _reading(sample: Sample, plan: Preregistration, nominal: str) -> Reading:
    """How one reading of nominal depth and effective depth go together."""
    first, second = sample.measure(nominal), sample.measure(EFFECTIVE)
    known = ~np.isnan(first)
    if known.sum() < LEAST_N:
        return Reading(nominal, None, None, None)
    part = sample.where(known)
    held = [first[known], *held_fixed(part, plan)]
    _, unexplained = residual(second[known], basis(held, len(part)))
    return Reading(
        nominal,
        correlation(second[known], first[known]).pearson,
        _within(part.families, first[known], second[known]),
        unexplained,
    )


def _within(families: Sequence[str], first: Vector, second: Vector) -> float | None:
    """Correlation after each family's mean is taken off, None for one family."""
    kinds = sorted(set(families))
    if len(kinds) < 2:
        return None
    labels = np.array(families)
    dummies = basis([(labels == kind) * 1.0 for kind in kinds[1:]], len(labels))
    left, right = residual(first, dummies)[0], residual(second, dummies)[0]
    if not left.any() or not right.any():
        return None
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


def _check_names(evidence: Evidence, rows: Sequence[Observation]) -> None:
    """Raises if a name of the plan is recorded in no row."""
    plan = evidence.plan
    recorded = {name for row in rows for name in row.measures}
    factors = {name for row in rows for name in row.factors}
    wanted = (EFFECTIVE, plan.nominal, *plan.baselines)
    for name in wanted if rows else ():
        if name not in recorded:
            hint = " --columns maps the names of a CSV." if _is_csv(evidence) else ""
            told = unknown("measure", name, recorded)
            raise ValueError(f"{evidence.name}: {told}{hint}")
    for name in plan.covariates if rows else ():
        if name not in recorded | factors:
            choices = recorded | factors
            raise ValueError(f"{evidence.name}: {unknown('covariate', name, choices)}")
    column = response_named(plan.response).column
    outcomes = {name for row in evidence.observations for name in row.outcomes}
    if evidence.observations and column not in outcomes:
        names = {name for name, row in RESPONSES.items() if row.column in outcomes}
        choices = names | outcomes
        raise ValueError(
            f"{evidence.name}: {unknown('response', plan.response, choices)}"
        )


def _is_csv(evidence: Evidence) -> bool:
    return evidence.name.endswith(".csv")
