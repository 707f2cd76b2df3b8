"""The parts of a report about fronts and foresight: what was weighed, what expected."""

from collections.abc import Sequence
from typing import Any, Final

from nasdepth.analysis.document import Section, Table
from nasdepth.analysis.front import (
    COSTS,
    Progress,
    cost_label,
    costs_of,
    front,
    progress,
)
from nasdepth.analysis.plots_front import pareto_plots, progress_plot
from nasdepth.analysis.plots_search import LEVELS, prediction_plot
from nasdepth.evidence.observations import Observation
from nasdepth.evidence.records import TrialRecord
from nasdepth.evidence.units import Unit
from nasdepth.guide.coverage import Coverage, Prediction, coverage_of
from nasdepth.measures.catalogue import SHOWN
from nasdepth.report_page import Part
from nasdepth.report_study import StudyFacts
from nasdepth.tables import quantity

# Rows of a table of a Pareto front.
_MOST: Final = 12


def costs_shown(facts: StudyFacts | None) -> tuple[str, ...]:
    """Costs of the figures: a study's own, then parameters and MACs."""
    own = costs_of(facts.objectives) if facts else ()
    return tuple(dict.fromkeys((*own, *COSTS)))


def pareto_part(
    rows: Sequence[Observation],
    records: Sequence[TrialRecord],
    facts: StudyFacts | None,
) -> Part | None:
    """Accuracy against cost: fronts, how they grew, and who is on them.

    Args:
        rows: Evidence of one source.
        records: Its trials, where it has any.
        facts: What a study keeps beside them.

    Returns:
        None where no cost is recorded.
    """
    costs = costs_shown(facts)
    plots = pareto_plots(rows, costs)
    if not plots:
        return None
    grown = (progress_plot(each) for each in _grown(records, facts))
    plots += tuple(plot for plot in grown if plot is not None)
    tables = tuple(
        table for cost in costs if (table := _front_table(rows, cost)) is not None
    )
    return Part(Section("Pareto front", tables=tables), plots)


def foresight_part(predictions: Sequence[Prediction]) -> Part | None:
    """Whether the guide's intervals held, None where it foretold too few trials."""
    plot = prediction_plot(predictions)
    if plot is None:
        return None
    found = (coverage_of(predictions, level) for level in LEVELS)
    table = Table(
        "Results within the interval that the guide gave beforehand",
        ("interval", "within it", "trials", "share", "95 % Wilson interval"),
        tuple(_coverage_row(each) for each in found),
    )
    return Part(Section("What the guide expected", tables=(table,)), (plot,))


def front_data(
    rows: Sequence[Observation],
    records: Sequence[TrialRecord],
    facts: StudyFacts | None,
) -> dict[str, Any]:
    """Fronts and their growth as plain values."""
    return {
        "pareto": {
            cost: [_unit_data(unit, cost) for unit in front(rows, cost).units]
            for cost in costs_shown(facts)
        },
        "hypervolume": {
            each.cost: {
                "reference": {"accuracy": each.gain, each.cost: each.limit},
                "trials": list(each.numbers),
                "areas": each.areas.tolist(),
            }
            for each in _grown(records, facts)
        },
    }


def _grown(
    records: Sequence[TrialRecord], facts: StudyFacts | None
) -> tuple[Progress, ...]:
    """Hypervolume of a study over its trials, for each of its costs."""
    if facts is None:
        return ()
    costs = costs_of(facts.objectives)
    # a reference of one cost says nothing of another
    reference = facts.reference if len(costs) == 1 else None
    found = (
        progress(
            records,
            cost,
            order=facts.finished,
            reference=reference,
            log=facts.log_cost,
        )
        for cost in costs
    )
    return tuple(each for each in found if each is not None)


def _front_table(rows: Sequence[Observation], cost: str) -> Table | None:
    """Who is on a front, the dearest where they are many."""
    units = front(rows, cost).units
    if not units:
        return None
    shown = units[-_MOST:]
    cut = len(units) - len(shown)
    own = () if cost in SHOWN.values() else (cost,)
    return Table(
        f"Front of accuracy against {cost_label(cost)}",
        ("architecture", "accuracy", *map(cost_label, own), *SHOWN),
        tuple(_front_row(unit, (*own, *SHOWN.values())) for unit in shown),
        f"{cut} cheaper ones are not listed." if cut else "",
    )


def _front_row(unit: Unit, names: Sequence[str]) -> tuple[str, ...]:
    values = (quantity(unit.measures.get(name)) for name in names)
    return (unit.places[0], f"{unit.outcome('accuracy'):.2%}", *values)


def _unit_data(unit: Unit, cost: str) -> dict[str, Any]:
    return {
        "digest": unit.digest,
        "places": list(unit.places),
        "accuracy": unit.outcome("accuracy"),
        cost: unit.measures[cost],
    }


def _coverage_row(found: Coverage) -> tuple[str, ...]:
    low, high = found.interval
    ends = f"{low:.0%} to {high:.0%}"
    counts = (str(found.inside), str(found.n), f"{found.share:.0%}")
    return (f"{100 * found.level:.0f} %", *counts, ends)
