"""Claims H6, H7 and H8 on stacks of known truth."""

import math
from dataclasses import replace

import numpy as np
import pytest
from ladders import dropped_skips, evidence, figures, network, selected, stacks
from scipy import stats

from nasdepth.claims import parallel as claims_parallel
from nasdepth.claims import trends as claims_trends
from nasdepth.claims.claim import CLAIMS, Options
from nasdepth.claims.finding import Finding
from nasdepth.claims.parallel import equivalence
from nasdepth.evidence.observations import Evidence

OPTIONS = Options(draws=499)
assert claims_parallel.__doc__
assert claims_trends.__doc__  # their import registers the claims


def found(name: str, source: Evidence, options: Options = OPTIONS) -> Finding:
    return CLAIMS[name].test(source, options)


def test_equal_losses_support_h6():
    finding = found("H6", stacks(0.0, 0.0))

    assert finding.verdict == "supported"
    assert finding.n == 32
    assert finding.p_value < 0.001


def test_losses_that_differ_by_a_fifth_contradict_h6():
    finding = found("H6", stacks(0.2, 0.0))

    assert finding.verdict == "contradicted"
    assert finding.value == pytest.approx(0.2, abs=0.02)


def test_scattered_losses_leave_h6_undecided():
    assert found("H6", stacks(0.0, 0.0, noise=0.3)).verdict == "undecided"


def test_one_bin_outside_the_margin_contradicts_h6():
    even, odd = stacks(0.0, 0.0).observations, stacks(0.3, 0.0).observations

    finding = found("H6", evidence([*even[:48], *odd[48:]]))

    assert finding.verdict == "contradicted"
    assert "at Q in [10, inf)" in finding.reason


def test_h6_needs_equivalence_in_all_bins_after_holm():
    even, wide = stacks(0.0, 0.0).observations, stacks(0.0, 0.0, noise=0.1).observations
    losses = np.array([row.outcomes["validation_loss"][0] for row in wide[48:]])
    p_value = equivalence(np.log(losses[::2] / losses[1::2]))[1]

    finding = found("H6", evidence([*even[:48], *wide[48:]]))

    assert p_value > 0.05
    assert finding.p_value == pytest.approx(p_value)
    assert finding.verdict == "undecided"


def test_h6_bins_by_the_determination_ratio():
    details = dict(found("H6", stacks(0.0, 0.0)).details)

    for name in ("[0, 1)", "[1, 3)", "[3, 10)", "[10, inf)"):
        assert details[f"validation loss, Q in {name}"].endswith("8 pairs")


def test_a_bin_of_few_pairs_is_not_tested():
    rows = stacks(0.0, 0.0).observations

    finding = found("H6", evidence(rows[:24]))

    assert finding.verdict == "supported"
    assert dict(finding.details)["Q in [1, 3)"] == "4 pairs, not tested"
    assert finding.n == 8


def test_h6_without_training_images_knows_no_ratio():
    rows = [
        replace(row, measures={**row.measures, "train_images": None})
        for row in stacks(0.0, 0.0).observations
    ]

    finding = found("H6", evidence(rows))

    assert finding.verdict == "undecidable"
    assert "32 pairs" in finding.lacks
    assert "0 of known determination ratio" in finding.lacks


def test_equivalence_is_two_one_sided_t_tests():
    values = np.array([0.01, -0.02, 0.03, 0.0, 0.015])
    margin = math.log(1.05)

    interval, p_value = equivalence(values)

    low = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    high = stats.ttest_1samp(values, margin, alternative="less").pvalue
    assert p_value == pytest.approx(max(low, high))
    assert interval == pytest.approx(
        stats.ttest_1samp(values, 0).confidence_interval(0.95)
    )


def test_pairs_are_found_by_their_paths_where_no_column_names_them():
    rows = []
    for row in stacks(0.0, 0.0).observations:
        layers, branches = row.measures["layers"], row.measures["branches"]
        sequential = branches == 1
        paths = {
            "shortest_path": 2.0,
            "longest_path": 2 + (layers if sequential else 1),
            "log2_paths": layers if sequential else math.log2(layers + 1),
        }
        kept = {
            k: v for k, v in row.measures.items() if k not in ("layers", "branches")
        }
        rows.append(replace(row, measures=kept | paths))

    assert found("H6", evidence(rows)).n == 32


def test_partly_parallel_networks_are_in_no_pair():
    rows = [
        replace(row, measures={**row.measures, "branches": 2.0})
        if row.measures["branches"] > 1
        else row
        for row in stacks(0.0, 0.0).observations
    ]

    assert "0 pairs" in found("H6", evidence(rows)).lacks


def test_a_smaller_gap_of_parallel_networks_supports_h7():
    finding = found("H7", stacks(0.0, -0.1))

    assert finding.verdict == "supported"
    assert finding.value == pytest.approx(-0.1, abs=0.02)
    assert finding.n == 32


def test_a_larger_gap_of_parallel_networks_contradicts_h7():
    assert found("H7", stacks(0.0, 0.1)).verdict == "contradicted"


def test_equal_gaps_leave_h7_undecided():
    assert found("H7", stacks(0.0, -0.002)).verdict == "undecided"


def test_h7_holds_the_training_loss_equal():
    rows = []
    for row in stacks(0.0, 0.0).observations:
        # the gap of the parallel network is smaller only as far as it fits less
        loss = row.outcomes["train_loss"][0] * (1 + (row.measures["branches"] > 1))
        gap = 1 - 0.2 * math.log(loss)
        outcomes = {"train_loss": (loss,), "generalization_gap": (gap,)}
        rows.append(replace(row, outcomes={**row.outcomes, **outcomes}))
    rows[0] = replace(rows[0], outcomes={**rows[0].outcomes, "train_loss": (9.0,)})

    finding = found("H7", evidence(rows))

    assert dict(finding.details)["unadjusted mean difference"].startswith("-0.1")
    assert finding.verdict != "supported"


def test_h7_is_undecidable_where_no_training_losses_match():
    rows = [
        replace(
            row,
            outcomes={
                **row.outcomes,
                "train_loss": (
                    row.outcomes["train_loss"][0]
                    * (1 if row.measures["branches"] == 1 else 5),
                ),
            },
        )
        for row in stacks(0.0, -0.1).observations
    ]

    finding = found("H7", evidence(rows))

    assert finding.verdict == "undecidable"
    assert "above the sequential one's in every pair" in finding.lacks


def test_h7_without_gaps_says_what_is_missing():
    finding = found("H7", dropped_skips(-0.2))

    assert finding.verdict == "undecidable"
    assert finding.lacks.startswith("0 pairs")


def test_trends_as_in_the_figures_support_h8():
    finding = found("H8", figures(-0.3, -0.3, 0.3))

    assert finding.verdict == "supported"


@pytest.mark.parametrize(
    ("trends", "weakest"),
    [
        ((0.3, -0.3, 0.3), "layers at 1 filter"),
        ((-0.3, 0.3, 0.3), "filters at 16 layers"),
        ((-0.3, -0.3, -0.3), "layers / filters at product 32"),
    ],
)
def test_one_trend_the_other_way_contradicts_h8(trends, weakest):
    finding = found("H8", figures(*trends))

    assert finding.verdict == "contradicted"
    assert f"weakest series ({weakest})" in finding.statistic


def test_one_series_without_trend_leaves_h8_undecided():
    finding = found("H8", figures(-0.3, 0.0, 0.3))

    assert finding.verdict == "undecided"
    assert finding.p_value > 0.05


def test_a_series_without_any_variation_leaves_no_verdict_on_h8():
    rows = [
        replace(row, outcomes={**row.outcomes, "validation_loss": (1.0,)})
        if row.measures["layers"] == 16
        else row
        for row in figures(-0.3, -0.3, 0.3).observations
    ]

    finding = found("H8", evidence(rows))

    assert finding.verdict == "undecidable"
    assert finding.lacks.endswith("not estimable, the response is constant")


def test_h8_without_a_series_says_which():
    rows = [
        row
        for row in figures(-0.3, -0.3, 0.3).observations
        if row.measures["layers"] != 16
    ]

    finding = found("H8", evidence(rows))

    assert finding.verdict == "undecidable"
    assert finding.lacks.startswith("0 levels of filters at 16 layers, at least 4")


def test_h8_needs_stacks():
    rows = [
        network(n, outcomes={"validation_loss": 1.0}, layers=2.0**n, filters=1)
        for n in range(8)
    ]

    assert "0 levels of layers at 1 filter" in found("H8", evidence(rows)).lacks


@pytest.mark.parametrize("name", ["H6", "H7", "H8"])
def test_no_rows_are_undecidable(name):
    assert found(name, evidence([])).verdict == "undecidable"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("H6", stacks(0.0, 0.0)),
        ("H7", stacks(0.0, -0.1)),
        ("H8", figures(-0.3, -0.3, 0.3)),
    ],
)
def test_selected_rows_enter_only_on_request(name, source):
    chosen = selected(source)

    assert found(name, chosen).verdict == "undecidable"
    allowed = found(name, chosen, replace(OPTIONS, allow_selected=True))
    assert allowed.verdict == "supported"
