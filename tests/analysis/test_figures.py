"""Figures: that they are drawn for any study, and state what they show."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nasdepth.analysis.figures import learning_curve, scatter
from nasdepth.analysis.records import TrialRecord

Study = Callable[..., list[TrialRecord]]


@pytest.fixture
def svg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path for an SVG whose words are kept as text."""
    monkeypatch.setattr("nasdepth.analysis.figures._STYLE", {"svg.fonttype": "none"})
    return tmp_path / "figure.svg"


def test_scatter_states_title_data_set_and_numbers(study: Study, svg: Path) -> None:
    rows = study(12)
    rows[0] = replace(rows[0], arm="search")

    scatter(rows, svg, title="My study")

    text = svg.read_text()
    assert "My study" in text
    assert (
        "invented · n = 12 trained networks (11 unselected, 1 from the search)" in text
    )
    assert "5,000 validation images" in text


def test_scatter_correlates_the_unselected_arm_alone(study: Study, svg: Path) -> None:
    rows = [
        replace(row, measures={"params": 10.0 + i}, accuracy=0.5 + i / 100)
        for i, row in enumerate(study(12))
    ]
    rows[0] = replace(rows[0], arm="search", accuracy=0.99)

    scatter(rows, svg)

    assert "Spearman +1.00, n = 11" in svg.read_text()


def test_scatter_says_what_was_not_recorded(study: Study, svg: Path) -> None:
    scatter(study(12), svg)

    assert svg.read_text().count("not recorded") == 1


@pytest.mark.parametrize(
    ("n", "accuracy"), [(0, None), (1, 0.5), (2, 0.0), (9, 1.0), (9, None)]
)
def test_scatter_is_drawn_for_any_study(
    study: Study, tmp_path: Path, n: int, accuracy: float | None
) -> None:
    rows = study(n)
    if accuracy is not None:
        rows = [replace(row, accuracy=accuracy) for row in rows]

    scatter(rows, tmp_path / "figure.svg")

    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_pruned_and_failed_rows_are_not_drawn(study: Study, svg: Path) -> None:
    rows = study(3)
    rows[0] = replace(rows[0], state="pruned")
    rows[1] = replace(rows[1], state="failed", accuracy=None)

    scatter(rows, svg)

    assert "n = 1 trained networks" in svg.read_text()


def test_same_rows_give_the_same_file(study: Study, tmp_path: Path) -> None:
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for file in files:
        scatter(study(9), file)

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
