"""Claims H2, H3 and H4 on ladders of known truth."""

from dataclasses import replace

import numpy as np
import pytest
from ladders import diverged, dropped_skips, evidence, kinds, plain_ladder, selected

from nasdepth.claims import training as claims_training
from nasdepth.claims.claim import CLAIMS, Options
from nasdepth.claims.finding import Finding
from nasdepth.evidence.observations import Evidence, Observation

OPTIONS = Options(draws=499)
SLOPE, EPOCHS = "initial_gradient_slope", "epochs_to_threshold"
assert claims_training.__doc__  # its import registers the claims


def found(name: str, source: Evidence, options: Options = OPTIONS) -> Finding:
    return CLAIMS[name].test(source, options)


def test_a_concave_ladder_supports_h2():
    finding = found("H2", plain_ladder(-0.05))

    assert finding.verdict == "supported"
    assert finding.n == 36


def test_a_convex_ladder_contradicts_h2():
    assert found("H2", plain_ladder(0.05)).verdict == "contradicted"


def test_a_straight_ladder_leaves_h2_undecided():
    assert found("H2", plain_ladder(0.0)).verdict == "undecided"


def test_h2_is_a_partial_correlation_of_squared_log_depth():
    source = plain_ladder(-0.02, seeds=3)
    rows = source.observations
    logs = np.log([row.measures["nominal_depth"] for row in rows[::3]])
    errors = np.log([1 - row.outcomes["accuracy"][0] for row in rows])
    accuracy = np.mean(1 - np.exp(errors).reshape(-1, 3), axis=1)
    z = logs - logs.mean()
    ladders = np.repeat(np.eye(6), 6, axis=0)
    given = np.column_stack([ladders, z])
    hat = given @ np.linalg.pinv(given)
    first, second = (v - hat @ v for v in (z**2, -np.log(1 - accuracy)))

    finding = found("H2", source)

    assert finding.value == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "lacks"),
    [
        ({"depths": (2, 4, 8, 16, 32)}, "5 with norm batch and 5 with norm none"),
        ({"seeds": 2}, "0 with norm batch and 0 with norm none"),
        ({"norms": ("batch",)}, "there are 0 with norm none"),
    ],
)
def test_h2_says_how_many_depths_there_are(options, lacks):
    finding = found("H2", plain_ladder(-0.05, **options))

    assert finding.verdict == "undecidable"
    assert lacks in finding.lacks


def test_h2_counts_plain_networks_alone():
    rows = [
        replace(row, family="residual", measures={**row.measures, "log2_paths": 3.0})
        for row in plain_ladder(-0.05).observations
    ]

    assert "0 with norm batch" in found("H2", evidence(rows)).lacks


def test_h2_prints_each_norm_and_the_trend():
    details = dict(found("H2", plain_ladder(-0.05)).details)

    assert details["norm batch"].startswith("-0.")
    assert details["norm none"].startswith("-0.")
    assert details["log depth alone"].startswith("+0.")


def test_attenuation_in_plain_networks_alone_supports_h3():
    finding = found("H3", kinds(0.2, 0.0, outcome=SLOPE))

    assert finding.verdict == "supported"
    assert finding.n == 32


def test_attenuation_in_networks_with_shortcuts_alone_contradicts_h3():
    assert found("H3", kinds(0.0, 0.2, outcome=SLOPE)).verdict == "contradicted"


def test_equal_attenuation_leaves_h3_undecided():
    assert found("H3", kinds(0.2, 0.2, outcome=SLOPE)).verdict == "undecided"


def test_h3_prints_slopes_at_initialization_and_after_training():
    rows = [
        replace(
            row,
            outcomes={
                **row.outcomes,
                "gradient_slope": (0.2 - row.outcomes[SLOPE][0],),
            },
        )
        for row in kinds(0.2, 0.0, outcome=SLOPE).observations
    ]

    details = dict(found("H3", evidence(rows)).details)

    assert details["after training"].startswith("-0.")
    assert details["initial gradient slope, plain, norm batch"].startswith("+0.198")
    assert details["gradient slope, plain, norm batch"].startswith("+0.002")


def test_h3_uses_diverged_trainings_whose_slope_was_measured_before():
    rows = [
        replace(diverged(row), outcomes={SLOPE: row.outcomes[SLOPE]})
        for row in kinds(0.2, 0.0, outcome=SLOPE).observations
    ]

    assert found("H3", evidence(rows)).n == 32


def test_networks_of_another_size_are_not_compared():
    rows = [
        replace(row, measures={**row.measures, "params": 2 * row.measures["params"]})
        if row.family == "plain"
        else row
        for row in kinds(0.2, 0.0, outcome=SLOPE).observations
    ]

    finding = found("H3", evidence(rows))

    assert finding.verdict == "undecidable"
    assert finding.lacks.startswith("0 plain networks and 0 with shortcut")


def test_residual_networks_without_some_shortcuts_are_of_no_kind():
    rows = [
        replace(row, measures={**row.measures, "dropped": 1.0})
        for row in kinds(0.2, 0.0, outcome=SLOPE).observations
    ]

    assert "0 with shortcut" in found("H3", evidence(rows)).lacks


@pytest.mark.parametrize("family", ["residual", "inception"])
def test_plain_networks_that_slow_down_with_depth_support_h4(family):
    finding = found("H4", kinds(0.5, 0.0, outcome=EPOCHS, family=family))

    assert finding.verdict == "supported"


def test_plain_networks_that_alone_keep_their_speed_contradict_h4():
    assert found("H4", kinds(0.0, 0.5, outcome=EPOCHS)).verdict == "contradicted"


def test_equal_loss_of_speed_leaves_h4_undecided():
    assert found("H4", kinds(0.2, 0.2, outcome=EPOCHS)).verdict == "undecided"


def test_a_diverged_training_counts_as_the_slowest_in_h4():
    rows = [
        diverged(row)
        if row.family == "plain" and row.measures["weighted_layers"] > 12
        else row
        for row in kinds(0.0, 0.0, outcome=EPOCHS).observations
    ]

    finding = found("H4", evidence(rows))

    assert finding.verdict == "supported"
    assert dict(finding.details)["diverged trainings"].startswith(
        "plain 8 of 16, others 0 of 16, Fisher's p 0.002"
    )


def test_a_diverged_replicate_counts_as_the_slowest_in_h4():
    def replicated(row: Observation, *lost: float) -> Observation:
        ended = row.outcomes["accuracy"] * lost.count(0.0)
        outcomes = {**row.outcomes, "accuracy": ended, "diverged": lost}
        return replace(row, outcomes=outcomes)

    sound = kinds(0.0, 0.0, outcome=EPOCHS).observations
    rows = [
        replicated(row, 0.0, 1.0, 1.0)
        if row.family == "plain" and row.measures["weighted_layers"] > 12
        else replicated(row, 0.0, 0.0, 0.0)
        for row in sound
    ]

    finding = found("H4", evidence(rows))

    assert found("H4", evidence(sound)).verdict == "undecided"
    assert finding.verdict == "supported"
    assert dict(finding.details)["diverged trainings"].startswith(
        "plain 16 of 48, others 0 of 48"
    )


def test_h4_prints_the_largest_learning_rate_without_divergence():
    rows = []
    for row in kinds(0.5, 0.0, outcome=EPOCHS).observations:
        for rate in (0.1, 1.0, 9.0):
            own = replace(
                row,
                place=f"{row.place} at {rate}",
                measures={**row.measures, "learning_rate": rate},
            )
            # a training that is dead at once need not diverge
            lost = rate == 1.0 and row.family == "plain"
            rows.append(diverged(own) if lost else own)

    details = dict(found("H4", evidence(rows)).details)

    assert details["largest stable learning rate, plain"] == "16 at 0.1"
    assert details["largest stable learning rate, shortcut"] == "16 at 9"
    assert details["rows at hand"] == "96 of 96"


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("H2", "0 with norm batch"),
        ("H3", "with the gradient's slope at initialization"),
        ("H4", "with epochs to the threshold"),
    ],
)
def test_what_is_missing_is_said(name, lacks):
    finding = found(name, dropped_skips(-0.2))

    assert finding.verdict == "undecidable"
    assert lacks in finding.lacks
    assert finding.value is None


@pytest.mark.parametrize("name", ["H2", "H3", "H4"])
def test_no_rows_are_undecidable(name):
    assert found(name, evidence([])).verdict == "undecidable"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("H2", plain_ladder(-0.05)),
        ("H3", kinds(0.2, 0.0, outcome=SLOPE)),
        ("H4", kinds(0.5, 0.0, outcome=EPOCHS)),
    ],
)
def test_selected_rows_enter_only_on_request(name, source):
    chosen = selected(source)

    assert found(name, chosen).verdict == "undecidable"
    allowed = found(name, chosen, replace(OPTIONS, allow_selected=True))
    assert allowed.verdict == "supported"
