"""Claim H1: what enters, what is said, and what is not said."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm

from nasdepth.analysis.claims import (
    Comparison,
    Preregistration,
    analyze,
    analyze_table,
)
from nasdepth.analysis.records import TrialRecord, write_csv

Study = Callable[..., list[TrialRecord]]
DRAWS = 199


def with_measures(row: TrialRecord, **values: float | None) -> TrialRecord:
    return replace(row, measures={**row.measures, **values})


def first_sentence(comparison: Comparison) -> str:
    return " ".join(str(comparison).split("\n\n")[0].split())


def test_headline_is_the_partial_correlation_given_depth_and_logs_of_size(
    study: Study,
) -> None:
    rows = study(40, slope=0.03)

    found = analyze(rows, draws=DRAWS).headline

    columns = {
        name: np.array([r.measures[name] for r in rows]) for name in rows[0].measures
    }
    y = np.array([-math.log(1 - row.accuracy) for row in rows])
    given = sm.add_constant(
        np.column_stack(
            [
                columns["nominal_depth"],
                np.log(columns["params"]),
                np.log(columns["macs"]),
            ]
        )
    )
    left = [sm.OLS(v, given).fit().resid for v in (y, columns["effective_depth"])]
    assert found.value == pytest.approx(np.corrcoef(*left)[0, 1])
    assert (found.n, found.covariates) == (40, 3)


def test_strong_effect_is_supported(study: Study) -> None:
    found = analyze(study(60, slope=0.05), draws=DRAWS)

    assert found.verdict == "supported"
    assert found.headline.interval[0] > 0


def test_opposite_effect_is_contradicted(study: Study) -> None:
    found = analyze(study(60, slope=-0.05), draws=DRAWS)

    assert found.verdict == "contradicted"
    assert found.headline.value < 0


def test_stated_direction_turns_the_verdict(study: Study) -> None:
    plan = Preregistration(direction="negative")

    assert analyze(study(60, slope=-0.05), plan, draws=DRAWS).verdict == "supported"
    assert analyze(study(60, slope=0.05), plan, draws=DRAWS).verdict == "contradicted"


def test_interval_over_zero_and_the_smallest_effect_is_undecided(study: Study) -> None:
    found = analyze(study(40), draws=DRAWS)

    low, high = found.headline.interval
    assert low < 0 < 0.2 < high
    assert found.verdict == "undecided"


def test_effect_above_zero_but_below_interest_is_contradicted(study: Study) -> None:
    rows = study(60, slope=0.03)
    low, high = analyze(rows, draws=DRAWS).headline.interval
    plan = Preregistration(smallest_effect=(1 + high) / 2)

    found = analyze(rows, plan, draws=DRAWS)

    assert low > 0
    assert found.verdict == "contradicted"


def test_seven_architectures_are_undecidable_without_a_coefficient(
    study: Study,
) -> None:
    found = analyze(study(7))

    assert found.verdict == "undecidable"
    assert found.headline is None
    assert found.mirror is None
    assert found.alone == ()
    assert first_sentence(found).startswith("These data cannot say it: 7 architectures")
    assert "197 to detect" in first_sentence(found)


def test_nothing_recorded_is_undecidable() -> None:
    found = analyze(())

    assert found.verdict == "undecidable"
    assert "0 recorded" in str(found)


def test_eight_rows_of_seven_architectures_are_too_few(study: Study) -> None:
    rows = study(7)

    found = analyze([*rows, replace(rows[0], number=7, seed=7)])

    assert (found.data.n, found.data.used, found.data.replicated) == (7, 8, 1)
    assert found.verdict == "undecidable"


def test_equal_depths_are_undecidable_and_named(study: Study) -> None:
    rows = [
        with_measures(row, effective_depth=row.measures["nominal_depth"])
        for row in study(20)
    ]

    found = analyze(rows, draws=DRAWS)

    assert found.verdict == "undecidable"
    assert found.headline.value is None
    assert "linear function of the covariates" in first_sentence(found)


def test_constant_effective_depth_is_undecidable_and_named(study: Study) -> None:
    found = analyze([with_measures(row, effective_depth=7.0) for row in study(20)])

    assert found.verdict == "undecidable"
    assert "is not estimable: it is constant" in first_sentence(found)
    assert "nan" not in str(found)


def test_constant_response_is_undecidable_and_named(study: Study) -> None:
    found = analyze([replace(row, accuracy=0.5) for row in study(20)])

    assert found.verdict == "undecidable"
    assert "the response is constant" in first_sentence(found)


def inseparable(rows: list[TrialRecord]) -> list[TrialRecord]:
    return [
        with_measures(
            row,
            effective_depth=row.measures["nominal_depth"] / 2 + row.number % 5,
        )
        for row in rows
    ]


def test_few_networks_with_nearly_equal_depths_are_undecidable(study: Study) -> None:
    found = analyze(inseparable(study(60)), draws=DRAWS)

    assert found.data.r_nominal > 0.9
    assert found.verdict == "undecidable"
    assert "cannot separate them" in first_sentence(found)


def test_many_networks_with_nearly_equal_depths_get_a_verdict_and_a_warning(
    study: Study,
) -> None:
    found = analyze(inseparable(study(200)), draws=DRAWS)

    assert found.verdict != "undecidable"
    assert any("hardly separate" in text for text in found.warnings)


def test_searched_pruned_and_failed_rows_are_left_out_and_counted(study: Study) -> None:
    rows = study(20)
    alone = analyze(rows, draws=DRAWS)
    others = [
        replace(rows[0], number=20, digest="s", arm="search", accuracy=0.99),
        replace(rows[0], number=23, digest="t", arm="search", state="pruned"),
        replace(rows[1], number=21, digest="p", state="pruned"),
        replace(rows[2], number=22, digest="f", state="failed", accuracy=None),
    ]

    found = analyze([*rows, *others], draws=DRAWS)

    assert found.fits == alone.fits
    assert dict(found.data.left_out) == {"search arm": 2, "pruned": 1, "failed": 1}
    assert any(text.startswith("2 rows or archi") for text in found.warnings)


def test_architecture_with_an_undefined_measure_is_left_out_and_counted(
    study: Study,
) -> None:
    rows = study(20)
    rows[3] = with_measures(rows[3], effective_depth=None)
    rows[4] = with_measures(rows[4], params=0.0)

    found = analyze(rows, draws=DRAWS)

    assert found.data.n == 18
    assert dict(found.data.left_out) == {
        "without effective depth": 1,
        "without log params": 1,
    }


def test_seeds_of_one_architecture_count_once(study: Study) -> None:
    rows = study(20)
    again = [replace(row, number=20 + row.number, seed=99) for row in rows]

    found = analyze([*rows, *again], draws=DRAWS)

    assert found.data.n == 20
    assert found.headline == analyze(rows, draws=DRAWS).headline
    assert not any("One seed" in text for text in found.warnings)


def test_one_seed_per_architecture_is_warned_of(study: Study) -> None:
    found = analyze(study(20), draws=DRAWS)

    assert any(text.startswith("One seed per architecture") for text in found.warnings)


def test_mixed_data_sets_are_warned_of(study: Study) -> None:
    rows = study(20)
    rows[0] = replace(rows[0], dataset="other")

    assert "Rows of several data sets are mixed." in analyze(rows, draws=DRAWS).warnings


@pytest.mark.parametrize("nominal", ["nominal_depth", "weighted_layers"])
def test_both_readings_of_nominal_depth_are_printed(study: Study, nominal: str) -> None:
    found = analyze(study(30), Preregistration(nominal=nominal), draws=DRAWS)

    assert [(fit.role, fit.preregistered) for fit in found.fits] == [
        ("headline", True),
        ("mirror", True),
        ("headline", False),
        ("mirror", False),
    ]
    assert found.fits[1].predictor == nominal
    assert {fit.predictor for fit in found.fits[1::2]} == {
        "nominal_depth",
        "weighted_layers",
    }
    assert "other reading, exploratory" in str(found)


def test_missing_other_reading_is_said(study: Study) -> None:
    rows = [
        replace(row, measures={k: v for k, v in row.measures.items() if k[0] != "w"})
        for row in study(20)
    ]

    found = analyze(rows, draws=DRAWS)

    assert found.headline.value is not None
    assert found.fits[2].result.problem.startswith("defined in 0 architectures")


def test_constant_measure_alone_is_said(study: Study) -> None:
    rows = [with_measures(row, nn_mass=0.0) for row in study(20)]

    (entry,) = (e for e in analyze(rows, draws=DRAWS).alone if e.measure == "nn_mass")

    assert entry.result.pearson is None
    assert entry.result.problem == "it is constant"


def test_measure_of_the_plan_that_nobody_recorded_is_refused(study: Study) -> None:
    plan = Preregistration(baselines=("parms",))

    with pytest.raises(ValueError, match=r"'parms' is in no usable row.*'params'\?"):
        analyze(study(20), plan)


@pytest.mark.parametrize("response", ["log_error", "accuracy", "rank"])
def test_same_seed_gives_the_same_comparison(study: Study, response: str) -> None:
    plan = Preregistration(response=response)

    first, second = (analyze(study(20), plan, seed=3, draws=DRAWS) for _ in range(2))

    assert first == second
    assert str(first) == str(second)


@pytest.mark.parametrize("n", [0, 5, 12, 60, 250])
def test_text_fits_the_page_and_opens_with_what_the_data_can_say(
    study: Study, n: int
) -> None:
    rows = [with_measures(row, **{"a_" * 30: 1.0 * row.number}) for row in study(n)]
    found = analyze(rows, draws=DRAWS)

    lines = str(found).splitlines()

    assert max(map(len, lines)) <= 88
    assert not any(line != line.rstrip() for line in lines)
    assert lines[0].startswith("These data can")
    assert str(found).isascii()


def test_large_sample_can_say_it(study: Study) -> None:
    found = analyze(study(250), draws=DRAWS)

    assert first_sentence(found).startswith("These data can say it: 250 architectures")


def test_dictionary_survives_json(study: Study) -> None:
    found = analyze(study(20), draws=DRAWS).as_dict()

    back = json.loads(json.dumps(found, allow_nan=False))

    assert back["format"] == 1
    assert back["fits"][0]["result"]["n"] == 20


def test_table_gives_the_comparison_of_its_rows(study: Study, tmp_path: Path) -> None:
    rows = study(12)
    write_csv(rows, tmp_path / "rows.csv")

    assert analyze_table(tmp_path / "rows.csv", draws=DRAWS) == analyze(
        rows, draws=DRAWS
    )


def test_table_with_fewer_than_eight_usable_rows_is_an_error(
    study: Study, tmp_path: Path
) -> None:
    rows = study(9)
    rows[:2] = [replace(row, state="pruned") for row in rows[:2]]
    write_csv(rows, tmp_path / "rows.csv")

    with pytest.raises(ValueError, match=r"at least 8 .* got 7 in 9 rows.*2 pruned"):
        analyze_table(tmp_path / "rows.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"response": "loss"}, "response must be one of log_error, accuracy, rank"),
        ({"nominal": "depth"}, "nominal must be one of nominal_depth, weighted_layers"),
        ({"direction": "up"}, "direction must be one of positive, negative"),
        (
            {"smallest_effect": 1.5},
            r"smallest_effect must lie in \(0, 1\), but got 1.5",
        ),
        ({"baselines": ("params", "params")}, "must name each measure once"),
        ({"baselines": ("effective_depth",)}, "none of the compared depths"),
    ],
)
def test_preregistration_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preregistration(**change)
