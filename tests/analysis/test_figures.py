"""Figures: that they are drawn for any study, and state what they show."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nasdepth.analysis.figures import fronts, learning_curve, scatter
from nasdepth.evidence.observations import Evidence, Observation

Source = Callable[..., Evidence]


@pytest.fixture
def svg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path for an SVG whose words are kept as text."""
    monkeypatch.setattr("nasdepth.analysis.figures._STYLE", {"svg.fonttype": "none"})
    return tmp_path / "figure.svg"


def accurate(row: Observation, accuracy: float, **changes: object) -> Observation:
    outcomes = {"accuracy": (accuracy,)}
    return replace(row, outcomes=outcomes, **changes)  # type: ignore[arg-type]


def costed(row: Observation, place: str, accuracy: float, params: float) -> Observation:
    changes = {"place": place, "digest": place, "measures": {"params": params}}
    return accurate(row, accuracy, **changes)


def test_fronts_state_title_numbers_and_who_is_on_them(
    source: Source, svg: Path
) -> None:
    row = source(1).observations[0]
    rows = [
        costed(row, "a", 0.5, 10),
        costed(row, "b", 0.9, 50),
        costed(row, "c", 0.8, 60),
        replace(costed(row, "d", 0.99, 5), state="pruned"),
    ]

    fronts(rows, svg, costs=("params", "macs"), title="My study")

    text = svg.read_text()
    assert "My study" in text
    assert "n = 3 trained networks" in text
    assert "2 of 3 on the front" in text
    assert text.count("on the front") == 2  # the panel and the legend
    assert "not recorded" in text
    assert ">params<" in text
    assert ">MACs<" in text


@pytest.mark.parametrize(("dearest", "ticks"), [(0.9, 0.5), (0.12, 0.115)])
def test_costs_of_any_span_have_ticks(
    source: Source, svg: Path, dearest: float, ticks: float
) -> None:
    row = source(1).observations[0]
    rows = [costed(row, "a", 0.5, 0.1), costed(row, "b", 0.9, dearest)]

    fronts(rows, svg, costs=("params",))

    assert f">{ticks}<" in svg.read_text()


def test_front_of_nothing_is_drawn(tmp_path: Path) -> None:
    fronts([], tmp_path / "a.png", costs=("params",))

    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_scatter_states_title_data_set_and_numbers(source: Source, svg: Path) -> None:
    rows = list(source(12).observations)
    rows[0] = replace(rows[0], arm="search")

    scatter(rows, svg, title="My study")

    text = svg.read_text()
    assert "My study" in text
    assert (
        "invented · n = 12 trained networks (11 unselected, 1 from the search)" in text
    )
    assert "5,000 validation images" in text


def test_scatter_correlates_the_unselected_arm_alone(source: Source, svg: Path) -> None:
    rows = [
        accurate(row, 0.5 + i / 100, measures={"params": 10.0 + i})
        for i, row in enumerate(source(12).observations)
    ]
    rows[0] = accurate(rows[0], 0.99, arm="search")

    scatter(rows, svg)

    assert "Spearman +1.00, n = 11" in svg.read_text()


def test_scatter_correlates_architectures_and_not_trainings(
    source: Source, svg: Path
) -> None:
    rows = source(12).observations

    scatter([*rows, *rows], svg)

    text = svg.read_text()
    assert "n = 24 trained networks" in text
    assert text.count(", n = 12<") == 5
    assert ", n = 24<" not in text


def test_scatter_says_what_was_not_recorded(source: Source, svg: Path) -> None:
    scatter(source(12).observations, svg)

    assert svg.read_text().count("not recorded") == 1


@pytest.mark.parametrize(
    ("n", "accuracy"), [(0, None), (1, 0.5), (2, 0.0), (9, 1.0), (9, None)]
)
def test_scatter_is_drawn_for_any_study(
    source: Source, tmp_path: Path, n: int, accuracy: float | None
) -> None:
    rows = list(source(n).observations)
    if accuracy is not None:
        rows = [accurate(row, accuracy) for row in rows]

    scatter(rows, tmp_path / "figure.svg")

    assert (tmp_path / "figure.svg").stat().st_size > 1000


@pytest.mark.parametrize("value", [-5.0, 0.0])
def test_scatter_draws_sizes_that_have_no_logarithm(
    source: Source, tmp_path: Path, value: float
) -> None:
    rows = [
        replace(row, measures={"params": value, "nn_mass": 50.0, "macs": None})
        for row in source(9).observations
    ]

    scatter(rows, tmp_path / "figure.svg")

    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_pruned_failed_and_other_rows_are_not_drawn(source: Source, svg: Path) -> None:
    rows = list(source(4).observations)
    rows[0] = replace(rows[0], state="pruned")
    rows[1] = replace(rows[1], state="failed", outcomes={})
    rows[2] = replace(rows[2], outcomes={"train_loss": (0.5,)})

    scatter(rows, svg)

    assert "n = 1 trained networks" in svg.read_text()


def test_same_rows_give_the_same_file(source: Source, tmp_path: Path) -> None:
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for file in files:
        scatter(source(9).observations, file)

    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("curve", [(), (0.5,), (0.5, 0.5), (0.1, 0.9, 0.8)])
def test_learning_curve_is_drawn_for_any_length(
    curve: tuple[float, ...], tmp_path: Path
) -> None:
    learning_curve(curve, tmp_path / "curve.png")

    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_learning_curve_names_the_best_epoch(svg: Path) -> None:
    learning_curve((0.1, 0.9, 0.8), svg, dataset="digits")

    text = svg.read_text()
    assert "best 90.00 % (epoch 2)" in text
    assert "digits · 3 epochs, one run" in text
