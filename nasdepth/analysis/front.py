"""Pareto fronts of a source: its costs, and who is not beaten in them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nasdepth.architecture.registry import unknown
from nasdepth.evidence.observations import Observation
from nasdepth.evidence.records import TrialRecord
from nasdepth.evidence.responses import minus_log_error
from nasdepth.evidence.units import Unit, by_digest
from nasdepth.guide.pareto import hypervolumes, undominated
from nasdepth.measures.catalogue import CATALOGUE
from nasdepth.statistics.linear import Vector

#: what every front is in
GAIN: Final = "accuracy"
#: costs of a source that names none
COSTS: Final = ("params", "macs")
#: from least to greatest, the factor at which costs are drawn by their logarithm: any
#: such range holds two of the ticks 1, 2 and 5 times powers of ten
WIDE: Final = 5.0
#: measured costs, which the catalogue of what a graph says does not have
_MEASURED: Final = {"latency": "latency"}


@dataclass(frozen=True, slots=True)
class Front:
    """Architectures that no other beats in both accuracy and a cost.

    Attributes:
        cost: Name of the measure.
        n: Architectures with that measure and an accuracy.
        units: Those on the front, the cheapest first.
    """

    cost: str
    n: int
    units: tuple[Unit, ...]


@dataclass(frozen=True, slots=True)
class TrialFront:
    """Trials that no other beats in accuracy and all of some costs.

    Attributes:
        costs: Names of the measures.
        n: Complete trials that have them all.
        trials: Those on the front, by the first cost and the others after it.
    """

    costs: tuple[str, ...]
    n: int
    trials: tuple[TrialRecord, ...]


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Progress:
    """Hypervolume of a study after each finished trial.

    Attributes:
        cost: Name of the measure.
        gain: Accuracy of the reference point.
        limit: Cost of the reference point.
        given: Whether the reference was set beforehand.
        numbers: Trials in the order in which they finished.
        areas: Accuracy times cost, or its natural logarithm, after each of them.
        log: Whether the logarithm of the cost counts.
    """

    cost: str
    gain: float
    limit: float
    given: bool
    numbers: tuple[int, ...]
    areas: Vector
    log: bool = True


def costs_of(objectives: Sequence[str]) -> tuple[str, ...]:
    """Costs among a study's objectives; parameters and MACs where there is none."""
    return tuple(name for name in objectives if name != GAIN) or COSTS


def is_cost(name: str) -> bool:
    """Whether a measure is a cost: less of it is better for who deploys a network."""
    return CATALOGUE[name].cost if name in CATALOGUE else name in _MEASURED


def cost_label(name: str) -> str:
    """A cost in words."""
    return CATALOGUE[name].label if name in CATALOGUE else _MEASURED.get(name, name)


def chosen_costs(text: str, records: Sequence[TrialRecord]) -> tuple[str, ...]:
    """Costs of objectives that someone names, as `accuracy,macs`.

    Args:
        text: Names between commas.
        records: Trials, whose recorded costs are the choices.

    Raises:
        ValueError: An unknown name, or not accuracy and at least one cost.
    """
    known = {name for row in records for name in row.measures if is_cost(name)}
    choices = [GAIN, *sorted(known or COSTS)]
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if name not in choices:
            raise ValueError(unknown("objective", name, choices))
    if GAIN not in names or len(names) < 2:
        raise ValueError(
            f"Objectives must be {GAIN} and at least one cost, but got {text!r};"
            f" choose from: {', '.join(sorted(choices))}."
        )
    return costs_of(names)


def front(rows: Sequence[Observation], cost: str) -> Front:
    """The Pareto front of mean accuracy against a cost, over all arms."""
    units, costs, gains = costed(rows, cost)
    kept = np.flatnonzero(undominated(costs, gains))
    ordered = sorted(kept, key=lambda place: float(costs[place]))
    return Front(cost, len(units), tuple(units[place] for place in ordered))


def trial_front(records: Iterable[TrialRecord], costs: Sequence[str]) -> TrialFront:
    """The complete trials of the Pareto front in accuracy and all costs."""
    done = [row for row in records if _finals(row, costs) is not None]
    table = np.array([_finals(row, costs) for row in done], dtype=np.float64)
    table = table.reshape(len(done), 1 + len(costs))
    kept = np.flatnonzero(undominated(table[:, 1:], table[:, 0]))
    ordered = sorted(kept, key=lambda place: (*table[place, 1:], -table[place, 0]))
    return TrialFront(tuple(costs), len(done), tuple(done[place] for place in ordered))


def progress(
    records: Iterable[TrialRecord],
    cost: str,
    *,
    order: Sequence[int],
    reference: tuple[float, float] | None = None,
    log: bool = True,
) -> Progress | None:
    """Hypervolume after each finished trial, None where none is complete.

    Args:
        records: Trials of a study.
        cost: Name of the measure.
        order: Numbers of the complete and pruned ones, as they finished.
        reference: Accuracy and cost; None takes the worst accuracy and the greatest
            cost of the complete trials.
        log: Whether the logarithm of the cost counts.
    """
    known = {row.number: found for row in records if (found := _finals(row, (cost,)))}
    told = [number for number in order if number in known]
    if not told:
        return None
    gains, costs = np.array([known[number] for number in told]).T
    gain, limit = reference or (float(gains.min()), float(costs.max()))
    after = hypervolumes(costs, gains, limit, gain, log=log)
    # a pruned trial leaves the area as it was
    counts = np.cumsum([number in known for number in order])
    areas = np.append(0.0, after)[counts]
    given = reference is not None
    return Progress(cost, gain, limit, given, tuple(order), areas, log)


def costed(rows: Sequence[Observation], cost: str) -> tuple[list[Unit], Vector, Vector]:
    """Architectures with an accuracy and a cost, their costs and minus log errors."""
    done = [
        row
        for row in rows
        if row.state == "complete" and row.outcomes.get(GAIN) and row.measures.get(cost)
    ]
    sample = by_digest(done, ())
    images = np.array([unit.images for unit in sample.units], dtype=np.float64)
    gains = minus_log_error(sample.outcome(GAIN), images) if done else images
    return list(sample.units), sample.measure(cost), gains


def _finals(row: TrialRecord, costs: Sequence[str]) -> tuple[float, ...] | None:
    """Accuracy and costs of a complete trial, None where one is missing or no cost."""
    if row.state != "complete" or row.accuracy is None:
        return None
    values = [row.measures.get(name) for name in costs]
    known = [value for value in values if value is not None and value > 0]
    return (row.accuracy, *known) if len(known) == len(values) else None
