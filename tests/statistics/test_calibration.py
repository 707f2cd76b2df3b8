"""The table of levels, the rule that reads it, and a short form of its study."""

import importlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from nasdepth.statistics import calibration
from nasdepth.statistics.calibration import Cell, Offer, least_n, offered, table
from nasdepth.statistics.simulation import NOISES

STUDY = Path(__file__).parents[2] / "studies" / "calibration"
#: samples of the short form
RUNS = 200


def cell(
    n: int,
    rate: float,
    *,
    kind: str = "size",
    noise: str = "normal",
    effect: float = 0.0,
) -> Cell:
    error = math.sqrt(rate * (1 - rate) / 2000)
    return Cell("test", kind, n, 0.95, noise, effect, 0, 2000, rate, error)


Asked = Callable[..., Offer]


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts cells in place of the table."""

    def put(*cells: Cell) -> None:
        monkeypatch.setattr(calibration, "table", lambda: cells)

    return put


# --- the rule


@pytest.mark.parametrize(("rate", "expected"), [(0.065, True), (0.0651, False)])
def test_a_size_up_to_six_and_a_half_percent_is_offered(
    made_up: Callable[..., None], rate: float, expected: bool
) -> None:
    made_up(cell(20, rate))

    assert offered("test", 20).offered is expected


@pytest.mark.parametrize(("rate", "expected"), [(0.935, True), (0.9349, False)])
def test_a_coverage_from_ninety_three_and_a_half_percent_is_offered(
    made_up: Callable[..., None], rate: float, expected: bool
) -> None:
    made_up(cell(20, rate, kind="coverage"))

    assert offered("test", 20).offered is expected


def test_one_bad_population_is_enough_to_refuse(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(20, 0.05), cell(20, 0.08, noise="heavy"), cell(20, 0.04))

    found = offered("test", 20)

    assert not found.offered
    assert found.size == 0.08
    assert found.holds == ("normal",)


def test_the_largest_simulated_n_that_is_not_above_decides(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(20, 0.05), cell(40, 0.09), cell(100, 0.05))

    asked = {n: offered("test", n) for n in (20, 39, 40, 99, 100, 10_000)}

    assert [n for n, found in asked.items() if found.offered] == [20, 39, 100, 10_000]
    assert asked[99].simulated == 40


def test_below_the_least_simulated_n_nothing_is_offered(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(20, 0.05))

    found = offered("test", 19)

    assert not found.offered
    assert found.simulated is None
    assert found.size is None
    assert found.reason == "test: 19 rows are fewer than the 20 that were simulated"


def test_a_size_and_a_coverage_can_be_asked_for_apart(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(20, 0.05), cell(20, 0.9, kind="coverage"))

    asked = {
        kind: offered("test", 20, kind=kind).offered
        for kind in ("size", "coverage", "both")
    }

    assert asked == {"size": True, "coverage": False, "both": False}


def test_effects_beyond_the_one_asked_about_do_not_count(
    made_up: Callable[..., None],
) -> None:
    made_up(
        cell(20, 0.95, kind="coverage", effect=0.2),
        cell(20, 0.9, kind="coverage", effect=-0.5),
    )

    asked = {effect: offered("test", 20, effect=effect) for effect in (0.2, 0.5)}

    assert asked[0.2].offered
    assert not asked[0.5].offered
    assert not offered("test", 20).offered
    assert least_n("test", effect=0.2) == 20
    assert least_n("test") is None


def test_a_size_below_four_percent_is_labelled_conservative(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(20, 0.0399), cell(20, 0.05), cell(40, 0.04), cell(100, 0.96))

    assert offered("test", 20).conservative
    assert not offered("test", 40).conservative
    assert "conservative" in offered("test", 20).reason
    assert "conservative" not in offered("test", 40).reason


def test_a_method_that_fails_is_not_called_conservative(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(20, 0.01), cell(20, 0.09, noise="heavy"))

    assert not offered("test", 20).conservative


def test_the_reason_of_a_refusal_names_the_worst_population(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(20, 0.07), cell(20, 0.1, noise="heavy"), cell(20, 0.05))

    assert offered("test", 33).reason == (
        "test at 20 rows: size .100 ± .007 (heavy noise, r = 0.95), above .065;"
        " 2 of 3 cells fail"
    )


def test_the_reason_of_an_offer_states_rates_and_their_error(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(20, 0.045), cell(20, 0.055), cell(20, 0.95, kind="coverage"))

    assert offered("test", 20).reason == (
        "test at 20 rows: size .045 to .055, coverage .950 to .950 (± .005 each)"
    )


def test_the_least_n_is_that_from_which_on_all_are_offered(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(10, 0.05), cell(20, 0.09), cell(40, 0.05), cell(100, 0.06))

    assert least_n("test") == 40


def test_a_method_that_fails_at_the_largest_n_has_no_least_n(
    made_up: Callable[..., None],
) -> None:
    made_up(cell(10, 0.05), cell(20, 0.09))

    assert least_n("test") is None


def test_an_unknown_method_is_named_with_the_choices() -> None:
    with pytest.raises(ValueError, match="Unknown method 'anova'; choose from: bet"):
        offered("anova", 20)


def test_an_unknown_kind_is_named_with_the_choices() -> None:
    with pytest.raises(ValueError, match="Unknown kind 'power'; choose from: size"):
        offered("meng", 20, kind="power")  # type: ignore[arg-type]


def test_a_kind_that_was_not_simulated_is_an_error() -> None:
    with pytest.raises(ValueError, match="No size of 'delta_r2' was simulated"):
        offered("delta_r2", 40, kind="size")


# --- the committed table


def test_the_headline_rests_on_two_thousand_runs_in_each_cell() -> None:
    names = ("partial_correlation", "fisher_z", "williams_pearson", "meng_pearson")
    found = {
        (each.method, each.n, each.r, each.noise): each.runs
        for each in table()
        if each.method in names and each.kind == "size"
    }

    wanted = {
        (name, n, r, noise)
        for name in names
        for n in (8, 10, 20, 40, 100, 400)
        for r in (0.0, 0.5, 0.95, 0.99)
        for noise in NOISES
    }
    assert set(found) == wanted
    assert min(found.values()) >= 2000


def test_ranks_of_equal_depths_leave_runs_without_a_result_below_twenty_rows() -> None:
    runs = [each for each in table() if each.method == "williams"]

    assert min(each.runs for each in runs if each.n >= 20) > 1990
    assert min(each.runs for each in runs if each.n < 20) < 1990


def test_each_error_is_that_of_its_rate() -> None:
    for each in table():
        expected = math.sqrt(each.rate * (1 - each.rate) / each.runs)
        assert each.error == pytest.approx(expected, abs=6e-5)


def test_the_primary_test_holds_its_level_at_every_simulated_n() -> None:
    assert least_n("partial_correlation", kind="size") == 8


def test_the_primary_interval_holds_under_normal_and_unequal_noise_alone() -> None:
    for n in (40, 100, 400):
        found = offered("partial_correlation", n, kind="coverage")

        assert not found.offered
        assert {"heteroscedastic", "normal"} <= set(found.holds)
        assert "heavy" not in found.holds


def test_the_interval_of_added_variance_is_never_offered() -> None:
    assert least_n("delta_r2") is None


def test_least_squares_that_ignores_families_is_never_offered() -> None:
    assert least_n("ols_ignoring_families") is None


# --- the short form of the study


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(STUDY)
    return importlib.import_module("run")


@pytest.mark.slow
def test_a_short_form_of_the_study_agrees_with_the_table(study: ModuleType) -> None:
    lines = study.read(study.TABLE)

    found = [
        line
        for each in study.SHORT
        for line in study.disagreements(each, lines, runs=RUNS)
    ]

    assert found == []


def test_an_anticonservative_method_disagrees_with_the_table(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def eager(each: Cell, seed: int) -> dict[tuple[str, str], bool]:
        """Least squares that ignores families, under the name of the fixed effects."""
        found = study.EXPERIMENTS["families"](each, seed)
        return {
            ("within_families", "size"): found["ols_ignoring_families", "size"],
            ("within_families", "coverage"): found["within_families", "coverage"],
        }

    short = next(each for each in study.SHORT if each.experiment == "families")
    lines = [
        line for line in study.read(study.TABLE) if line["method"] == "within_families"
    ]
    monkeypatch.setitem(study.EXPERIMENTS, "eager", eager)
    lines = [{**line, "experiment": "eager"} for line in lines]

    found = study.disagreements(replace(short, experiment="eager"), lines, runs=RUNS)

    assert len(found) == 1
    assert found[0].startswith("within_families size")


def test_the_table_holds_the_cells_of_the_study(study: ModuleType) -> None:
    lines = study.read(study.TABLE)
    found = {
        (line["experiment"], *(line[name] for name in study.PLACE)) for line in lines
    }

    wanted = {
        (name, *study.place(each))
        for name in study.EXPERIMENTS
        for each in study.cells(name)
    }
    assert found == wanted
