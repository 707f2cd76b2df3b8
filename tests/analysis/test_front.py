"""Fronts of records: costs by name, trials that none beats, areas over time."""

import math
import re
from dataclasses import replace

import pytest

from nasdepth.analysis.front import (
    chosen_costs,
    cost_label,
    costs_of,
    is_cost,
    progress,
    trial_front,
)
from nasdepth.evidence.records import TrialRecord


def trial(
    record: TrialRecord, number: int, accuracy: float, *costs: float | None, **more
) -> TrialRecord:
    """A complete trial of some params, and of a latency where there are two costs."""
    measures = dict(zip(("params", "latency"), costs, strict=False))
    measures |= {"effective_depth": 3.0}
    changes = {"number": number, "accuracy": accuracy, "measures": measures}
    return replace(record, **(changes | more))


# --- costs by name


def test_costs_are_what_is_weighed_against_accuracy() -> None:
    assert costs_of(("accuracy", "latency")) == ("latency",)
    assert costs_of(("macs", "accuracy", "params")) == ("macs", "params")


def test_accuracy_alone_is_weighed_against_params_and_macs() -> None:
    assert costs_of(("accuracy",)) == ("params", "macs")


@pytest.mark.parametrize("name", ["params", "macs", "peak_memory", "latency"])
def test_costs_are_known_as_such(name: str) -> None:
    assert is_cost(name)


@pytest.mark.parametrize("name", ["effective_depth", "nn_mass", "accuracy", "other"])
def test_other_measures_are_no_costs(name: str) -> None:
    assert not is_cost(name)


def test_costs_have_words() -> None:
    assert cost_label("macs") == "MACs"
    assert cost_label("latency") == "latency"


def test_objectives_are_read_from_text(record: TrialRecord) -> None:
    rows = [trial(record, 1, 0.5, 10, 0.1)]

    assert chosen_costs("accuracy, latency,params", rows) == ("latency", "params")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "accuracy,latncy",
            "Unknown objective 'latncy'; choose from: accuracy, latency, params. Did"
            " you mean 'latency'?",
        ),
        ("accuracy,macs", "Unknown objective 'macs'; choose from: accuracy, latency,"),
        ("accuracy,effective_depth", "Unknown objective 'effective_depth'"),
        ("", "Unknown objective ''"),
        ("accuracy", "must be accuracy and at least one cost, but got 'accuracy'"),
        ("params", "must be accuracy and at least one cost, but got 'params'; choose"),
    ],
)
def test_objectives_that_cannot_be_are_refused(
    record: TrialRecord, text: str, message: str
) -> None:
    rows = [trial(record, 1, 0.5, 10, 0.1)]

    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        chosen_costs(text, rows)

    assert "\n" not in str(caught.value)


def test_study_without_trials_offers_params_and_macs() -> None:
    assert chosen_costs("accuracy,macs", ()) == ("macs",)


# --- trials on a front


def test_trials_of_the_front_are_the_cheapest_first(record: TrialRecord) -> None:
    rows = [
        trial(record, 1, 0.9, 30),
        trial(record, 2, 0.5, 10),
        trial(record, 3, 0.7, 20),
        trial(record, 4, 0.6, 20),
        trial(record, 5, 0.9, 40),
    ]

    found = trial_front(rows, ("params",))

    assert found.n == 5
    assert [row.number for row in found.trials] == [2, 3, 1]


def test_front_in_two_costs_holds_who_is_best_in_either(record: TrialRecord) -> None:
    rows = [
        trial(record, 1, 0.9, 30, 0.1),
        trial(record, 2, 0.9, 10, 0.2),
        trial(record, 3, 0.9, 20, 0.3),
        trial(record, 4, 0.95, 40, 0.4),
    ]

    found = trial_front(rows, ("params", "latency"))

    assert [row.number for row in found.trials] == [2, 1, 4]


def test_trials_that_cannot_be_compared_are_left_out(record: TrialRecord) -> None:
    rows = [
        trial(record, 1, 0.9, 30),
        trial(record, 2, 0.99, 10, state="pruned"),
        trial(record, 3, None, 10),
        trial(record, 4, 0.99, None),
        trial(record, 5, 0.99),
        trial(record, 6, 0.99, 0),
    ]

    found = trial_front(rows, ("params",))

    assert (found.n, [row.number for row in found.trials]) == (1, [1])


def test_no_trials_have_no_front() -> None:
    assert trial_front((), ("params", "macs")).trials == ()


# --- areas over time


def test_area_grows_in_the_order_in_which_trials_finished(record: TrialRecord) -> None:
    rows = [
        trial(record, 1, 0.8, 10),
        trial(record, 2, 0.6, 10),
        trial(record, 3, 0.5, 100),
        trial(record, 4, 0.9, 10, state="pruned"),
    ]

    found = progress(rows, "params", order=(4, 3, 2, 1))

    # from the worst accuracy and the greatest cost: 0.5, 100
    assert (found.gain, found.limit, found.given) == (0.5, 100, False)
    log = math.log(10)
    assert found.areas == pytest.approx([0, 0, 0.1 * log, 0.3 * log])
    assert found.numbers == (4, 3, 2, 1)


def test_area_counts_from_a_reference_that_is_given(record: TrialRecord) -> None:
    rows = [trial(record, 1, 0.8, 10), trial(record, 2, 0.6, 1)]

    found = progress(rows, "params", order=(2, 1), reference=(0.7, 20.0))

    assert found.given
    assert found.areas == pytest.approx([0, 0.1 * math.log(2)])


def test_area_may_be_over_the_cost_itself(record: TrialRecord) -> None:
    rows = [trial(record, 1, 0.8, 10), trial(record, 2, 0.6, 1)]

    found = progress(rows, "params", order=(2, 1), reference=(0.5, 20.0), log=False)

    assert found.areas == pytest.approx([1.9, 3.9])
    assert not found.log


def test_nothing_complete_has_no_area(record: TrialRecord) -> None:
    cut = trial(record, 1, 0.9, 10, state="pruned")

    assert progress([cut], "params", order=(1,)) is None
    assert progress((), "params", order=()) is None
