"""Rows of a study as observations: outcomes, families, thresholds."""

from dataclasses import replace

import pytest

from nasdepth.evidence.observations import family_of, observations_of
from nasdepth.evidence.records import TrialRecord


def test_row_of_a_study_keeps_what_a_statistic_needs(record: TrialRecord) -> None:
    (found,) = observations_of([replace(record, measures={"params": 3.0, "a": None})])

    assert (found.place, found.digest, found.images) == ("trial 0", "digest0", 5000)
    assert (found.arm, found.state, found.dataset) == (
        "unselected",
        "complete",
        "invented",
    )
    assert {name: found.measures[name] for name in ("params", "a")} == {
        "params": 3.0,
        "a": None,
    }
    assert found.outcomes["accuracy"] == (0.75,)
    assert found.family == "plain"


def test_recorded_outcome_is_no_predictor(record: TrialRecord) -> None:
    measures = {"validation_loss": 0.5, "train_loss": None, "params": 3.0}

    (found,) = observations_of([replace(record, measures=measures)])

    assert found.measures["params"] == 3.0
    assert not {"validation_loss", "train_loss"} & set(found.measures)
    assert found.outcomes["validation_loss"] == (0.5,)
    assert "train_loss" not in found.outcomes


@pytest.mark.parametrize(
    ("threshold", "epochs"), [(0.1, 1), (0.5, 1), (0.51, 3), (0.75, 3), (0.9, 4)]
)
def test_epochs_are_counted_to_the_threshold_and_one_more_where_it_is_missed(
    record: TrialRecord, threshold: float, epochs: int
) -> None:
    row = replace(record, curve=(0.5, 0.4, 0.8), accuracy=0.8)

    (found,) = observations_of([row], threshold)

    assert found.outcomes["epochs_to_threshold"] == (float(epochs),)


def test_threshold_is_by_default_the_median_of_the_unselected_arm(
    record: TrialRecord,
) -> None:
    rows = [
        replace(record, number=i, accuracy=a, curve=(0.3, 0.6))
        for i, a in enumerate((0.2, 0.6, 0.7))
    ]
    searched = [replace(record, number=9, arm="search", accuracy=0.1)] * 5

    found = observations_of([*rows, *searched])

    assert found[0].outcomes["epochs_to_threshold"] == (2.0,)


def test_training_without_a_curve_has_no_epochs(record: TrialRecord) -> None:
    (found,) = observations_of([replace(record, curve=())])

    assert "epochs_to_threshold" not in found.outcomes


@pytest.mark.parametrize(
    ("state", "reason", "diverged"),
    [
        ("complete", "", 0.0),
        ("pruned", "diverged: the loss is inf in epoch 2", 1.0),
        ("pruned", "slower than its rung", 0.0),
        ("failed", "", 0.0),
    ],
)
def test_diverged_training_is_an_outcome(
    record: TrialRecord, state: str, reason: str, diverged: float
) -> None:
    row = replace(record, state=state, reason=reason, accuracy=None)

    (found,) = observations_of([row])

    assert found.outcomes["diverged"] == (diverged,)
    assert "accuracy" not in found.outcomes
    assert found.reason == reason


def test_each_replicate_is_an_outcome(record: TrialRecord) -> None:
    row = replace(record, accuracy=0.92, accuracies=(0.91, None, 0.93), seeds=(4, 5, 6))

    (found,) = observations_of([row])

    assert found.outcomes["accuracy"] == (0.91, 0.93)
    assert found.outcomes["diverged"] == (0.0, 1.0, 0.0)


def test_replicates_that_all_diverged_are_counted(record: TrialRecord) -> None:
    row = replace(
        record,
        state="pruned",
        reason="diverged: the loss is inf",
        accuracy=None,
        accuracies=(None, None),
        seeds=(4, 5),
    )

    (found,) = observations_of([row])

    assert found.outcomes["diverged"] == (1.0, 1.0)
    assert "accuracy" not in found.outcomes


def test_replicates_share_the_epochs_of_one_curve(record: TrialRecord) -> None:
    row = replace(
        record, curve=(0.5, 0.8), accuracy=0.8, accuracies=(0.7, 0.9), seeds=(4, 5)
    )

    (found,) = observations_of([row], threshold=0.6)

    assert found.outcomes["epochs_to_threshold"] == (2.0,)


def test_family_joins_those_of_the_stages() -> None:
    residual = '{"span":2,"skip":"add"}'
    stages = f"[{residual},{{}},{residual}]"

    assert family_of(f'{{"format":1,"stages":{stages}}}') == "plain+residual"
    assert family_of("") == ""


def test_architecture_that_cannot_be_read_is_named_with_its_trial(
    record: TrialRecord,
) -> None:
    with pytest.raises(ValueError, match=r"^Trial 7: Architecture.format must be 1"):
        observations_of(
            [replace(record, number=7, architecture='{"format":9,"stages":[{}]}')]
        )


def test_other_conventions_of_effective_depth_are_measured_where_rows_are_unselected(
    record: TrialRecord,
) -> None:
    rows = [record, replace(record, number=1, arm="search")]

    unselected, searched = observations_of(rows)

    # a convolution, a pool and the classifier
    assert unselected.measures["effective_depth (projections)"] == 2.0
    assert unselected.measures["effective_depth (pooling)"] == 3
    assert not any("(" in name for name in searched.measures)
