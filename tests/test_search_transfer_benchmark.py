"""The benchmark of prior studies: its ratios, and its committed rows."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(FOLDER))  # last: its coverage.py is not the package of that name

import search_transfer as script  # noqa: E402  # found by the line above


def test_ratio_is_of_means_over_paired_seeds():
    cold = [1.0, 2.0, 3.0, 4.0]

    value, low, high = script.ratio([0.5 * each for each in cold], cold)

    assert value == pytest.approx(0.5)
    assert (low, high) == pytest.approx((0.5, 0.5))  # paired: no spread is left


def test_committed_rows_have_every_pair_and_at_least_thirty_seeds():
    rows = script.read(FOLDER / "search_transfer.csv")

    for source, target, permuted in script.PAIRS:
        warm = {
            row.seed
            for row in rows
            if (row.source, row.target, row.permuted) == (source, target, permuted)
        }
        cold = {row.seed for row in rows if row.target == target and not row.source}
        assert len(warm & cold) >= 30


def test_page_tells_the_figures_of_the_rows():
    page = (FOLDER.parent / "docs" / "search.md").read_text(encoding="utf-8")
    told = script.report(script.read(FOLDER / "search_transfer.csv"))

    seen = [line.split(" | ")[6] for line in told.splitlines()[2:]]

    assert len(seen) == 6
    assert all(ratio in page for ratio in seen)
