"""Samples: which rows enter, how they are averaged, what the response is."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdepth.analysis.records import TrialRecord
from nasdepth.analysis.sample import (
    reliability_of,
    response_of,
    units_of,
    values_of,
    why_unused,
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"arm": "search"}, "search arm"),
        ({"state": "pruned"}, "pruned"),
        ({"state": "failed"}, "failed"),
        ({"accuracy": None}, "no accuracy"),
    ],
)
def test_only_complete_unselected_rows_enter(
    record: TrialRecord, change: dict[str, object], reason: str
) -> None:
    assert why_unused(replace(record, **change)) == reason


def test_rows_of_one_digest_are_averaged_and_counted(record: TrialRecord) -> None:
    rows = [
        replace(record, number=i, accuracy=a, measures={"depth": 5.0, "time": t})
        for i, (a, t) in enumerate([(0.5, 1.0), (0.75, 3.0)])
    ]

    (unit,) = units_of(rows, exact=("depth",))

    assert unit.accuracy == 0.625
    assert unit.accuracies == (0.5, 0.75)
    assert unit.measures == {"depth": 5.0, "time": 2.0}


def test_rows_without_digest_are_units_of_their_own(record: TrialRecord) -> None:
    rows = [replace(record, number=i, digest="") for i in range(3)]

    assert len(units_of(rows, exact=())) == 3


@pytest.mark.parametrize("other", [6.0, None])
def test_contradictory_measures_under_one_digest_are_refused(
    record: TrialRecord, other: float | None
) -> None:
    rows = [
        replace(record, number=i, measures={"depth": value})
        for i, value in enumerate([5.0, other])
    ]

    with pytest.raises(ValueError, match=r"depth must be the same in all rows of one"):
        units_of(rows, exact=("depth",))


def test_measure_undefined_in_one_row_is_undefined_for_the_unit(
    record: TrialRecord,
) -> None:
    rows = [replace(record, measures={"time": value}) for value in (1.0, None)]

    (unit,) = units_of(rows, exact=())

    assert "time" not in unit.measures


def test_log_of_nothing_is_undefined(record: TrialRecord) -> None:
    rows = [
        replace(record, digest=name, measures=measures)
        for name, measures in [("a", {"m": 0.0}), ("b", {}), ("c", {"m": 1.0})]
    ]
    units = units_of(rows, exact=())

    assert values_of(units, "m", "log") == pytest.approx(
        [math.nan] * 2 + [0], nan_ok=True
    )
    assert values_of(units, "m", "log1p")[0] == 0
    assert values_of(units, "m", "linear")[2] == 1


def test_log_error_is_clipped_at_half_an_image() -> None:
    accuracy, images = np.array([1.0, 0.9]), np.array([500, 500])

    found = response_of(accuracy, images, "log_error")

    assert found == pytest.approx([math.log(1000), math.log(10)])


def test_log_error_is_clipped_at_half_the_least_error_where_images_are_unknown() -> (
    None
):
    accuracy, images = np.array([1.0, 0.9, 0.8]), np.zeros(3, dtype=int)

    found = response_of(accuracy, images, "log_error")

    assert found == pytest.approx([math.log(20), math.log(10), math.log(5)])


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(0, 1000), min_size=2, unique=True))
def test_every_response_grows_with_accuracy(correct: list[int]) -> None:
    accuracy = np.sort(correct) / 1000
    images = np.full(len(correct), 1000)

    for kind in ("log_error", "accuracy", "rank"):
        assert (np.diff(response_of(accuracy, images, kind)) > 0).all()


def test_rank_averages_ties() -> None:
    accuracy = np.array([0.5, 0.9, 0.5])

    assert response_of(accuracy, np.zeros(3), "rank").tolist() == [1.5, 3, 1.5]


def test_reliability_is_the_share_that_is_no_seed_noise(record: TrialRecord) -> None:
    pairs = {"a": (0.4, 0.6), "b": (0.7, 0.9)}
    rows = [
        replace(record, digest=name, accuracy=value)
        for name, values in pairs.items()
        for value in values
    ]

    found = reliability_of(units_of(rows, exact=()), "accuracy")

    # s^2 = .02 in both, two seeds each; means .5 and .8 have variance .045
    assert found == pytest.approx(1 - 0.02 / 2 / 0.045)


def test_reliability_is_unknown_with_one_seed_each(record: TrialRecord) -> None:
    rows = [replace(record, digest=name) for name in "abc"]

    assert reliability_of(units_of(rows, exact=()), "log_error") is None
    assert reliability_of((), "log_error") is None
