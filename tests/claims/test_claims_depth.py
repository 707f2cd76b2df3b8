"""Claims H5, H9 and H10 on networks of known truth."""

from dataclasses import replace

import numpy as np
import pytest
from ladders import (
    boxes,
    dense_nets,
    diverged,
    dropped_skips,
    evidence,
    network,
    selected,
)

from nasdepth.claims import depth as claims_depth
from nasdepth.claims.claim import CLAIMS, Options
from nasdepth.claims.finding import Finding
from nasdepth.evidence.observations import Evidence

OPTIONS = Options(draws=499)
assert claims_depth.__doc__  # its import registers the claims


def found(name: str, source: Evidence, options: Options = OPTIONS) -> Finding:
    return CLAIMS[name].test(source, options)


def test_lower_effective_depth_that_helps_supports_h5():
    finding = found("H5", dropped_skips(-0.2))

    assert finding.verdict == "supported"
    assert finding.n == 40


def test_h5_is_the_correlation_of_deviations_from_group_means():
    source = dropped_skips(-0.1)
    deff = np.array([row.measures["effective_depth"] for row in source.observations])
    errors = [1 - row.outcomes["accuracy"][0] for row in source.observations]
    by_group = [part.reshape(8, 5) for part in (deff, -np.log(errors))]
    first, second = (part - part.mean(1, keepdims=True) for part in by_group)

    finding = found("H5", source)

    expected = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert finding.value == pytest.approx(expected, abs=1e-9)


def test_lower_effective_depth_that_hurts_contradicts_h5():
    assert found("H5", dropped_skips(0.2)).verdict == "contradicted"


def test_effective_depth_without_effect_leaves_h5_undecided():
    assert found("H5", dropped_skips(0.0)).verdict == "undecided"


def test_h5_sees_nothing_between_groups():
    source = dropped_skips(0.0)
    rows = [row for row in source.observations if row.measures["dropped"] == 0]

    finding = found("H5", evidence(rows))

    assert finding.verdict == "undecidable"
    assert finding.lacks.startswith("0 networks in groups")


def test_h5_keeps_groups_of_different_cost_apart():
    source = dropped_skips(-0.2)
    rows = [
        replace(row, measures={**row.measures, "macs": 9000.0 + number})
        for number, row in enumerate(source.observations)
    ]

    assert found("H5", evidence(rows)).verdict == "undecidable"


def test_parallel_groups_are_no_primary_evidence_of_h5():
    source = dropped_skips(-0.2)
    rows = [replace(row, family="parallel") for row in source.observations]

    finding = found("H5", evidence(rows))

    assert finding.verdict == "undecidable"
    assert "partial parallelisation (secondary)" in dict(finding.details)


def test_h5_names_what_moves_with_effective_depth():
    source = dropped_skips(-0.2)
    rows = [
        replace(
            row, measures={**row.measures, "log2_paths": 9 - row.measures["dropped"]}
        )
        for row in source.observations
    ]

    line = dict(found("H5", evidence(rows)).details)[
        "r of effective depth within groups"
    ]

    assert "number of paths -1.000" in line
    assert "longest path constant" in line


def test_h5_counts_diverged_trainings():
    source = dropped_skips(-0.2)
    rows = [*source.observations, diverged(source.observations[0])]

    line = dict(found("H5", evidence(rows)).details)

    assert line["diverged trainings, without a response"] == "1"


def test_h5_counts_each_diverged_replicate():
    first, second, *others = dropped_skips(-0.2).observations
    all_lost = replace(diverged(first), outcomes={"diverged": (1.0, 1.0)})
    accuracy = second.outcomes["accuracy"]
    outcomes = {"accuracy": accuracy, "diverged": (0.0, 1.0)}
    rows = [first, all_lost, replace(second, outcomes=outcomes), *others]

    line = dict(found("H5", evidence(rows)).details)

    assert line["diverged trainings, without a response"] == "3"


def test_mass_that_predicts_at_equal_params_supports_h9():
    finding = found("H9", dense_nets(1.0, 0.0))

    assert finding.verdict == "supported"
    assert finding.value == pytest.approx(0.945, abs=0.02)


def test_mass_that_hurts_contradicts_h9():
    assert found("H9", dense_nets(-1.0, 1.0)).verdict == "contradicted"


def test_mass_without_effect_leaves_h9_undecided_and_prints_the_reverse():
    finding = found("H9", dense_nets(0.0, 1.0))

    assert finding.verdict == "undecided"
    assert dict(finding.details)["log params given log NN-Mass"].startswith("+0.9")


def test_h9_leaves_out_networks_without_mass_and_says_so():
    source = dense_nets(1.0, 0.0)
    massless = network(99, family="cell", params=100.0, nn_mass=0.0)

    finding = found("H9", evidence([*source.observations, massless]))

    assert finding.n == 40
    assert dict(finding.details)["without mass"] == "1 of 41"


def test_h9_holds_the_setting_fixed():
    rows = [
        replace(row, dataset="hard", outcomes={"accuracy": (0.1 + number / 1000,)})
        if row.measures["nn_mass"] < 150
        else row
        for number, row in enumerate(dense_nets(0.0, 0.0).observations)
    ]

    assert found("H9", evidence(rows)).verdict == "undecided"


def test_h9_needs_dense_networks():
    finding = found("H9", dropped_skips(-0.2))

    assert finding.verdict == "undecidable"
    assert "0 networks of the families dense and cell" in finding.lacks


def test_depth_that_takes_epochs_at_equal_params_supports_h10():
    assert found("H10", boxes(0.5)).verdict == "supported"


def test_depth_that_saves_epochs_contradicts_h10():
    assert found("H10", boxes(-0.5)).verdict == "contradicted"


def test_depth_without_effect_leaves_h10_undecided():
    assert found("H10", boxes(0.0, n=30)).verdict == "undecided"


def test_h10_without_learning_curves_says_what_is_missing():
    finding = found("H10", dropped_skips(-0.2))

    assert finding.verdict == "undecidable"
    assert finding.lacks.startswith("0 networks with epochs to the threshold")


def test_depth_that_params_decide_is_not_estimable_in_h10():
    rows = [
        replace(row, measures={**row.measures, "params": row.measures["nominal_depth"]})
        for row in boxes(0.5).observations
    ]

    finding = found("H10", evidence(rows))

    assert finding.verdict == "undecidable"
    assert "linear function of the covariates" in finding.lacks


@pytest.mark.parametrize(
    ("name", "source"),
    [("H5", dropped_skips(-0.2)), ("H9", dense_nets(1, 0)), ("H10", boxes(0.5))],
)
def test_selected_rows_enter_only_on_request_and_are_exploratory(name, source):
    chosen = selected(source)

    refused = found(name, chosen)
    allowed = found(name, chosen, replace(OPTIONS, allow_selected=True))

    assert refused.verdict == "undecidable"
    assert allowed.verdict == "supported"
    assert dict(allowed.details)["sample"].startswith("exploratory")


@pytest.mark.parametrize("name", ["H5", "H9", "H10"])
def test_no_rows_are_undecidable(name):
    assert found(name, evidence([])).verdict == "undecidable"


def test_a_quote_names_source_number_interval_and_verdict():
    quote = found("H5", dropped_skips(-0.2)).quote

    assert quote.startswith("On the ladder (n = 40 networks) H5 is supported: partial")
    assert quote.endswith("].")


def test_h5_supports_a_null_no_more_often_than_its_level():
    runs = 120
    wrong = 0
    for seed in range(runs):
        source = dropped_skips(0.0, groups=4, seed=seed)
        wrong += found("H5", source, Options(draws=199)).verdict == "supported"

    assert wrong <= 8  # at the nominal 2.5 % more have probability .003
