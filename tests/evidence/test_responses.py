"""Responses: larger is better, on the scale that is stated."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdepth.evidence.responses import RESPONSES, minus_log_error, response_named


def test_log_error_is_clipped_at_half_an_image() -> None:
    found = minus_log_error(np.array([1.0, 0.9]), np.array([500.0, 500.0]))

    assert found == pytest.approx([math.log(1000), math.log(10)])


def test_log_error_is_clipped_at_half_the_least_error_where_images_are_unknown() -> (
    None
):
    found = minus_log_error(np.array([1.0, 0.9, 0.8]), np.zeros(3))

    assert found == pytest.approx([math.log(20), math.log(10), math.log(5)])


def test_rows_without_any_error_are_equally_good() -> None:
    found = minus_log_error(np.ones(2), np.zeros(2))

    assert found == pytest.approx([math.log(2)] * 2)


def test_unknown_accuracy_has_no_log_error() -> None:
    found = minus_log_error(np.array([math.nan, 0.9]), np.zeros(2))

    assert math.isnan(found[0])
    assert found[1] == pytest.approx(math.log(10))


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(0, 1000), min_size=2, unique=True))
def test_every_scale_of_accuracy_grows_with_it(correct: list[int]) -> None:
    accuracy = np.sort(correct) / 1000
    images = np.full(len(correct), 1000.0)

    for name in ("log_error", "accuracy", "rank"):
        found = response_named(name).transform(accuracy, images)
        assert (np.diff(found) > 0).all()


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("validation_loss", 0.1, 0.2),
        ("train_loss", 0.1, 0.2),
        ("epochs_to_threshold", 3.0, 9.0),
        ("diverged", 0.0, 1.0),
        ("generalization_gap", -0.1, 0.3),
        ("gradient_slope", -0.01, -0.2),
        ("gradient_slope", 0.01, 0.2),
    ],
)
def test_larger_is_better_on_every_scale(
    name: str, better: float, worse: float
) -> None:
    first, second = response_named(name).transform(
        np.array([better, worse]), np.zeros(2)
    )

    assert first > second


def test_rank_averages_ties_and_passes_over_what_is_unknown() -> None:
    accuracy = np.array([0.5, math.nan, 0.9, 0.5])

    found = RESPONSES["rank"].transform(accuracy, np.zeros(4))

    assert found.tolist() == pytest.approx([1.5, math.nan, 3, 1.5], nan_ok=True)


@pytest.mark.parametrize("value", [0.0, -0.5])
def test_log_of_a_loss_that_is_not_above_zero_is_unknown(value: float) -> None:
    found = response_named("train_loss").transform(np.array([value, 1.0]), np.zeros(2))

    assert math.isnan(found[0])
    assert found[1] == 0


def test_name_outside_the_table_is_a_column_taken_as_it_is() -> None:
    found = response_named("top5_accuracy")

    assert found.column == "top5_accuracy"
    assert found.gain == "larger top5 accuracy"
    values = np.array([-1.0, 2.0])
    assert found.transform(values, np.zeros(2)) is values
