"""The table of claims, and which rows their tests take."""

from dataclasses import replace

import numpy as np
import pytest
from ladders import diverged, evidence, network

from nasdepth.claims import depth as claims_depth
from nasdepth.claims import parallel as claims_parallel
from nasdepth.claims import training as claims_training
from nasdepth.claims import trends as claims_trends
from nasdepth.claims.claim import (
    CLAIMS,
    Effect,
    Options,
    concluded,
    concluded_partial,
    empty,
)
from nasdepth.claims.rows import (
    arrangement_of,
    cells,
    chosen,
    kind_of,
    matched,
    network_of,
    networks_of,
    norm_of,
    sample_details,
    varied,
)
from nasdepth.statistics.regression import PartialCorrelation

FILES = (claims_depth, claims_parallel, claims_training, claims_trends)
OURS = tuple(f"H{number}" for number in range(2, 11))
OPTIONS = Options()
SLOW = network(0, learning_rate=0.1)


def test_an_unknown_claim_names_the_choices():
    with pytest.raises(ValueError, match=r"Unknown claim 'H77'; choose from: .*H10"):
        CLAIMS["H77"]


@pytest.mark.parametrize("name", OURS)
def test_every_claim_says_what_it_says_and_needs(name):
    claim = CLAIMS[name]

    assert claim.name == name
    assert claim.words.endswith(".")
    assert claim.needs


@pytest.mark.parametrize("name", OURS)
def test_a_test_returns_words_needs_and_source(name):
    finding = CLAIMS[name].test(evidence([network(0)]), OPTIONS)

    assert (finding.claim, finding.source) == (name, "the ladder")
    assert (finding.words, finding.needs) == (CLAIMS[name].words, CLAIMS[name].needs)
    assert finding.quote == f"the ladder cannot say it: {finding.lacks}."


@pytest.mark.parametrize("name", OURS)
def test_constant_and_identical_rows_raise_nothing(name):
    everything = dict.fromkeys(
        (
            "validation_loss",
            "train_loss",
            "generalization_gap",
            "epochs_to_threshold",
            "initial_gradient_slope",
            "gradient_slope",
        ),
        1.0,
    )
    measures = dict.fromkeys(
        ("nominal_depth", "weighted_layers", "effective_depth", "params", "macs"), 4.0
    )
    more = {"layers": 4.0, "filters": 1.0, "train_images": 10.0, "outputs": 2.0}
    rows = [
        network(
            number,
            family=family,
            outcomes=everything,
            norm=norm,
            branches=branches,
            **measures,
            **more,
        )
        for number, (family, branches, norm) in enumerate(
            (family, branches, norm)
            for family in ("plain", "residual", "parallel", "cell")
            for branches in (1, 4)
            for norm in ("batch", "none")
        )
    ]

    finding = CLAIMS[name].test(evidence(rows), OPTIONS)

    assert finding.verdict == "undecidable"
    assert finding.lacks


@pytest.mark.parametrize(
    ("interval", "direction", "verdict", "why"),
    [
        ((0.1, 0.4), "positive", "supported", "excludes 0 and reaches"),
        ((-0.4, -0.1), "negative", "supported", "effect of interest, -0.2."),
        ((-0.3, 0.1), "positive", "contradicted", "lies below"),
        ((-0.1, 0.3), "negative", "contradicted", "lies above"),
        ((-0.1, 0.3), "positive", "undecided", "holds both 0 and"),
    ],
)
def test_a_verdict_comes_with_its_reason(interval, direction, verdict, why):
    effect = Effect("slope", 9, 0.1, interval, 0.04, 0.2, direction, "pairs")

    finding = concluded(empty("H7", evidence([])), effect)

    assert finding.verdict == verdict
    assert why in finding.reason
    assert f"(n = 9 pairs) H7 is {verdict}: slope +0.100" in finding.quote


def test_a_correlation_without_value_is_undecidable():
    nothing = PartialCorrelation(5, 1, problem="it is constant")

    finding = concluded_partial(
        empty("H5", evidence([])),
        nothing,
        statistic="partial correlation",
        direction="negative",
        smallest=0.2,
    )

    assert finding.verdict == "undecidable"
    assert finding.lacks == "partial correlation not estimable, it is constant"
    assert finding.n == 5


@pytest.mark.parametrize(
    ("covariates", "verdict"), [(3, "supported"), (12, "undecidable")]
)
def test_a_test_that_was_not_simulated_at_so_few_rows_gives_no_verdict(
    covariates, verdict
):
    few = PartialCorrelation(
        16, covariates, 0.5, 0.9, (0.5, 1.0), (0.5, 1.0), 0.01, clusters=16
    )

    finding = concluded_partial(
        empty("H9", evidence([])),
        few,
        statistic="partial correlation",
        direction="positive",
        smallest=0.2,
    )

    assert finding.verdict == verdict
    assert ("7 rows are fewer than" in finding.lacks) == (verdict == "undecidable")


def rows_of(*observations):
    return chosen(evidence(observations), OPTIONS, "log_error")


def test_seeds_of_one_network_are_one_cell():
    rows = rows_of(network(0, 1.0), network(0, 3.0, seed=1), network(1))

    sample = cells(rows)

    assert [len(unit.places) for unit in sample.units] == [2, 1]
    assert networks_of(sample) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(SLOW, dataset="another"),
        replace(SLOW, factors={"norm": "batch", "recipe": "long"}),
        replace(SLOW, factors={"norm": "none"}),
        network(0, learning_rate=0.5),
    ],
)
def test_another_setting_is_another_cell_of_the_same_network(other):
    sample = cells(rows_of(SLOW, other))

    assert len(sample) == 2
    assert networks_of(sample) == ("digest 0", "digest 0")
    assert {network_of(unit) for unit in sample.units} == {"digest 0"}


def test_diverged_trainings_enter_only_on_request():
    rows = evidence([network(0), diverged(network(1))])

    assert len(chosen(rows, OPTIONS, "log_error")) == 1
    assert len(chosen(rows, OPTIONS, "log_error", diverged=True)) == 2


def test_rows_left_out_are_counted_with_their_reason():
    rows = (
        network(0),
        replace(network(1), state="failed", reason="out of memory"),
        replace(network(2), arm="search"),
        network(3, outcomes={"validation_loss": 1.0}),
    )

    lines = sample_details(evidence(rows), OPTIONS, "log_error", rows[:1])

    text = "1 of 4 (unused: 1 out of memory, 1 search arm, 1 of another kind)"
    assert lines == (("rows at hand", text),)


def test_pruned_and_failed_trainings_never_enter():
    rows = evidence(
        [replace(network(n), state="pruned", reason="rung") for n in (0, 1)]
    )

    assert chosen(rows, OPTIONS, "log_error", diverged=True) == ()


def test_batch_norm_is_read_from_its_measure_where_no_factor_names_it():
    row = replace(network(0), factors={})

    assert norm_of(row) == ""
    assert norm_of(replace(row, measures={"batch_norm": 1.0})) == "batch"
    assert norm_of(replace(row, measures={"batch_norm": 0.0})) == "none"


@pytest.mark.parametrize(
    ("family", "measures", "kind"),
    [
        ("plain", {"log2_paths": 0.0}, "plain"),
        ("cell", {"log2_paths": 0.0}, "plain"),
        ("plain", {}, "plain"),
        ("residual", {"log2_paths": 4.0}, "shortcut"),
        ("residual", {"log2_paths": 4.0, "dropped": 1.0}, ""),
        ("dense", {}, "shortcut"),
        ("inception", {"log2_paths": 2.0}, "branch"),
        ("parallel", {"layers": 4.0, "branches": 4.0}, "branch"),
        ("parallel", {"layers": 4.0, "branches": 2.0}, "branch"),
        ("parallel", {"layers": 4.0, "branches": 1.0}, "shortcut"),
        ("parallel", {"layers": 1.0, "branches": 1.0}, "branch"),
        ("", {"log2_paths": 4.0}, ""),
        ("", {}, ""),
    ],
)
def test_the_kind_of_a_network(family, measures, kind):
    row = replace(network(0), family=family, measures=measures)

    assert kind_of(row) == kind


@pytest.mark.parametrize(
    ("paths", "arrangement"),
    [
        ((8.0, 10.0, 2.0), "sequential"),
        ((float(np.log2(9)), 3.0, 2.0), "parallel"),
        ((float(np.log2(25)), 4.0, 2.0), ""),
        ((1.0, 3.0, 2.0), ""),
    ],
)
def test_the_arrangement_is_read_from_the_paths(paths, arrangement):
    names = ("log2_paths", "longest_path", "shortest_path")
    measures = dict(zip(names, paths, strict=True))
    row = replace(network(0), family="parallel", measures=measures)

    assert arrangement_of(row) == arrangement


def test_a_factor_names_the_arrangement_first():
    row = network(0, family="parallel", layers=4.0, branches=1.0)

    assert arrangement_of(row) == "sequential"
    named = replace(row, factors={"arrangement": "parallel"})
    assert arrangement_of(named) == "parallel"


def test_varied_keeps_the_groups_that_vary():
    rows = rows_of(
        network(0, params=1.0, macs=2.0),
        network(1, params=1.0, macs=3.0),
        network(2, params=2.0, macs=2.0),
        network(3, params=2.0),
    )

    kept, groups = varied(cells(rows), lambda unit: unit.measures["params"], "macs")

    assert [network_of(unit) for unit in kept.units] == ["digest 0", "digest 1"]
    assert groups == (1.0, 1.0)


@pytest.mark.parametrize(("params", "n"), [(104.0, 2), (107.0, 0)])
def test_matched_compares_networks_of_about_one_size(params, n):
    rows = rows_of(
        network(0, weighted_layers=4.0, params=100.0),
        network(1, family="residual", weighted_layers=4.0, params=params),
    )

    assert len(matched(cells(rows), "plain", frozenset(("shortcut",)))) == n


def test_matched_needs_the_same_number_of_layers():
    rows = rows_of(
        network(0, weighted_layers=4.0, params=100.0),
        network(1, family="residual", weighted_layers=5.0, params=100.0),
    )

    assert len(matched(cells(rows), "plain", frozenset(("shortcut",)))) == 0
