"""Samples: which rows enter, how they are averaged, what a column holds."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nasdepth.evidence.observations import Evidence, Observation
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

Source = Callable[..., Evidence]


def trained(row: Observation, digest: str, *accuracies: float) -> list[Observation]:
    return [
        replace(row, digest=digest, outcomes={"accuracy": (a,)}) for a in accuracies
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"arm": "search"}, "search arm"),
        ({"state": "pruned"}, "pruned"),
        ({"state": "failed"}, "failed"),
        ({"state": "pruned", "reason": "diverged: loss is inf"}, "diverged"),
        ({"state": "failed", "reason": "out of memory: 3 GB"}, "out of memory"),
        ({"outcomes": {}}, "no accuracy"),
        ({"outcomes": {"accuracy": ()}}, "no accuracy"),
    ],
)
def test_only_complete_unselected_rows_enter(
    row: Observation, change: dict[str, object], reason: str
) -> None:
    assert why_unused(replace(row, **change)) == reason  # type: ignore[arg-type]


def test_searched_rows_enter_where_they_are_let_in(row: Observation) -> None:
    searched = replace(row, arm="search")
    pruned = replace(searched, state="pruned")

    assert why_unused(searched, allow_selected=True) == ""
    assert why_unused(pruned, allow_selected=True) == "pruned"


@pytest.mark.parametrize(
    ("response", "reason"), [("diverged", ""), ("log_error", "diverged")]
)
def test_diverged_training_is_an_outcome_of_divergence_alone(
    row: Observation, response: str, reason: str
) -> None:
    outcomes = {"diverged": (1.0,)}
    diverged = replace(row, state="pruned", reason="diverged: inf", outcomes=outcomes)

    assert why_unused(diverged, response) == reason


def test_pruned_training_is_no_outcome_of_divergence(row: Observation) -> None:
    pruned = replace(row, state="pruned", outcomes={"diverged": (0.0,)})

    assert why_unused(pruned, "diverged") == "pruned"


def test_rows_of_one_digest_are_averaged_and_counted(row: Observation) -> None:
    rows = [
        replace(
            row,
            place=f"row {i}",
            outcomes={"accuracy": (accuracy,)},
            measures={"depth": 5.0, "time": time},
        )
        for i, (accuracy, time) in enumerate([(0.5, 1.0), (0.75, 3.0)])
    ]

    (unit,) = by_digest(rows, exact=("depth",)).units

    assert unit.outcome("accuracy") == 0.625
    assert unit.outcomes["accuracy"] == (0.5, 0.75)
    assert unit.measures == {"depth": 5.0, "time": 2.0}
    assert unit.places == ("row 0", "row 1")


def test_twenty_rows_of_one_digest_are_one_unit_or_twenty_of_one_group(
    row: Observation,
) -> None:
    rows = [replace(row, place=f"row {i}") for i in range(20)]

    assert len(by_digest(rows, exact=())) == 1
    assert len(by_row(rows)) == 20
    assert set(by_row(rows).digests) == {"digest0"}


def test_rows_without_digest_are_units_of_their_own(row: Observation) -> None:
    rows = [replace(row, digest="", place="a network") for _ in range(3)]

    assert len(by_digest(rows, exact=())) == 3


def test_row_without_digest_is_not_taken_for_a_digest_called_like_its_place(
    row: Observation,
) -> None:
    rows = [replace(row, digest="resnet50"), replace(row, digest="", place="resnet50")]

    assert len(by_digest(rows, exact=())) == 2


@pytest.mark.parametrize("other", [6.0, 5.0001, None])
def test_contradictory_measures_under_one_digest_are_refused_in_one_line(
    row: Observation, other: float | None
) -> None:
    rows = [
        replace(row, place=f"row {i}", measures={"depth": value})
        for i, value in enumerate([5.0, other])
    ]

    with pytest.raises(ValueError, match=r"^depth must be the same in all") as caught:
        by_digest(rows, exact=("depth",))

    told = str(caught.value)
    assert "digest0 in row 0, row 1." in told
    assert "5.0" in told
    assert str(other) in told
    assert "\n" not in told


def test_measures_under_one_digest_may_differ_by_rounding(row: Observation) -> None:
    rows = [replace(row, measures={"depth": value}) for value in (5.0, 5.0 + 1e-9)]

    assert len(by_digest(rows, exact=("depth",))) == 1


def test_measure_undefined_in_one_row_is_undefined_for_the_unit(
    row: Observation,
) -> None:
    rows = [replace(row, measures={"time": value}) for value in (1.0, None)]

    (unit,) = by_digest(rows, exact=()).units

    assert "time" not in unit.measures


@pytest.mark.parametrize(
    ("scale", "values"),
    [
        ("linear", [-2.0, 0.0, math.nan, 1.0]),
        ("log1p", [math.nan, 0.0, math.nan, math.log(2)]),
        ("log", [math.nan, math.nan, math.nan, 0.0]),
    ],
)
def test_log_of_what_has_none_is_undefined(
    row: Observation, scale: str, values: list[float]
) -> None:
    measures = [{"m": -2.0}, {"m": 0.0}, {}, {"m": 1.0}]
    rows = [
        replace(row, digest=str(i), measures=each) for i, each in enumerate(measures)
    ]

    found = by_digest(rows, exact=()).measure("m", scale)  # type: ignore[arg-type]

    assert found == pytest.approx(values, nan_ok=True)


def recipes(row: Observation) -> list[Observation]:
    return [
        replace(row, digest=digest, factors={"recipe": recipe})
        for digest, levels in {"a": "v1 v2 v2 v2", "b": "v1", "c": "v2 v3"}.items()
        for recipe in levels.split()
    ]


def test_factor_of_a_digest_is_the_share_of_its_rows_at_each_level(
    row: Observation,
) -> None:
    sample = by_digest(recipes(row), exact=())

    second, third = sample.factor("recipe")

    assert second.tolist() == [0.75, 0, 0.5]
    assert third.tolist() == [0, 0, 0.5]


def test_covariates_are_logs_then_measures_and_factors(row: Observation) -> None:
    rows = [replace(r, measures={"params": math.e, "res": 3.0}) for r in recipes(row)]

    found = by_digest(rows, exact=()).covariates(("params",), ("res", "recipe"))

    assert [values[0] for values in found] == [1.0, 3.0, 0.75, 0.0]


def test_factor_that_one_row_lacks_is_not_stated(row: Observation) -> None:
    rows = [*recipes(row), replace(row, digest="b"), replace(row, digest="d")]

    found = by_digest(rows, exact=()).stated("recipe")

    assert found.tolist() == pytest.approx([1, math.nan, 1, math.nan], nan_ok=True)


def test_sample_keeps_the_units_of_a_mask(source: Source) -> None:
    sample = by_digest(source(4, families=2).observations, exact=())

    found = sample.where([True, False, False, True])

    assert found.digests == ("digest0", "digest3")
    assert found.families == ("family 0", "family 1")


def test_recorded_measures_are_those_that_any_unit_has(row: Observation) -> None:
    rows = [
        replace(row, digest=str(i), measures=each)
        for i, each in enumerate([{"a": 1.0}, {"b": None, "c": 1.0}])
    ]

    assert by_digest(rows, exact=()).recorded() == ("a", "c")


def test_rank_is_recomputed_over_units(row: Observation) -> None:
    rows = [*trained(row, "a", 0.5, 0.9), *trained(row, "b", 0.6)]

    assert by_digest(rows, exact=()).response("rank").tolist() == [2, 1]


def test_reliability_is_the_share_that_is_no_seed_noise(row: Observation) -> None:
    rows = [*trained(row, "a", 0.4, 0.6), *trained(row, "b", 0.7, 0.9)]

    found = reliability_of(by_digest(rows, exact=()), "accuracy")

    # s^2 = .02 in both, two seeds each; means .5 and .8 have variance .045
    assert found == pytest.approx(1 - 0.02 / 2 / 0.045)


def test_reliability_of_the_rank_is_that_of_accuracy(row: Observation) -> None:
    rows = [*trained(row, "a", 0.4, 0.6), *trained(row, "b", 0.7, 0.9)]
    sample = by_digest(rows, exact=())

    assert reliability_of(sample, "rank") == reliability_of(sample, "accuracy")


@pytest.mark.parametrize("accuracies", [{}, {"a": [0.5, 0.6]}, {"a": [0.5], "b": [1]}])
def test_reliability_is_unknown_without_several_trainings_of_several_networks(
    row: Observation, accuracies: dict[str, list[float]]
) -> None:
    rows = [r for name, each in accuracies.items() for r in trained(row, name, *each)]

    assert reliability_of(by_digest(rows, exact=()), "log_error") is None


def test_reliability_of_a_response_that_does_not_vary_is_unknown(
    row: Observation,
) -> None:
    rows = [*trained(row, "a", 0.5, 0.5), *trained(row, "b", 0.5, 0.5)]

    assert reliability_of(by_digest(rows, exact=()), "log_error") is None


def test_spread_is_pooled_over_units_of_several_trainings(row: Observation) -> None:
    rows = [
        *trained(row, "a", 0.4, 0.6),
        *trained(row, "b", 0.6, 0.7, 0.8),
        *trained(row, "c", 0.1),
    ]

    found = spread_of(by_digest(rows, exact=()), "accuracy")

    # squares .02 and .02 over 1 + 2 degrees of freedom
    assert found == pytest.approx(math.sqrt(0.04 / 3))


def test_spread_of_one_training_each_is_unknown(row: Observation) -> None:
    rows = [*trained(row, "a", 0.4), *trained(row, "b", 0.6)]

    assert spread_of(by_digest(rows, exact=()), "accuracy") is None


@pytest.mark.parametrize(
    ("outcomes", "lost"),
    [
        ({"accuracy": (0.5, 0.6), "diverged": (0.0, 1.0, 0.0)}, 1),
        ({"accuracy": (0.5,), "diverged": (0.0,)}, 0),
        ({"diverged": (1.0, 1.0)}, 2),
        # pruned, not diverged
        ({"diverged": (0.0,)}, 0),
        # a table that tells the accuracy of a training and that it diverged
        ({"accuracy": (0.1,), "diverged": (1.0,)}, 0),
        ({"accuracy": (0.1, 0.2)}, 0),
    ],
)
def test_lost_training_diverged_and_has_no_accuracy(
    outcomes: dict[str, tuple[float, ...]], lost: int
) -> None:
    assert lost_trainings(outcomes) == lost


def test_reasons_are_counted_the_commonest_first_and_none_left_out() -> None:
    assert count(["", "b", "a", "a"]) == (("a", 2), ("b", 1))


def test_empty_sample_has_empty_columns() -> None:
    sample = Sample(())

    assert len(sample) == 0
    assert sample.response("log_error").size == 0
    assert sample.measure("params", "log").size == 0
    assert np.array(sample.covariates(("params",), ("recipe",))).size == 0
