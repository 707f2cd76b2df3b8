"""Facts about rows as tables, JSON and CSV."""

import csv
import io
import json
import os
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import architectures

from nasdepth import tables
from nasdepth.architecture.spec import Architecture, Stage, Stem
from nasdepth.tables import accuracy_text, quantity, render, shorthand, table

ROWS = [
    {"name": "first", "value": 0.123456789, "there": None},
    {"name": 'a "b", c\nd', "value": 2, "there": True},
]


def test_json_is_what_went_in():
    assert json.loads(render(ROWS, "json")) == ROWS


def test_csv_keeps_every_cell():
    back = list(csv.DictReader(io.StringIO(render(ROWS, "csv"), newline="")))

    assert back == [
        {"name": "first", "value": "0.123456789", "there": ""},
        {"name": 'a "b", c\nd', "value": "2", "there": "True"},
    ]


def test_table_rounds_and_marks_what_is_missing():
    first = render(ROWS[:1], "table").splitlines()[1]

    assert first.split() == ["first", "0.123457", "–"]


@pytest.mark.parametrize(
    ("form", "text"), [("table", "(none)"), ("json", "[]"), ("csv", "")]
)
def test_no_rows_are_said_to_be_none(form, text):
    assert render([], form) == text


def test_columns_are_aligned_numbers_to_the_right():
    rows = [
        {"name": "a", "n": "1.5k"},
        {"name": "long", "n": "–"},
        {"name": "", "n": "12"},
    ]

    lines = table(rows).splitlines()

    assert lines == ["name     n", "a     1.5k", "long     –", "        12"]


def test_table_is_cut_to_a_terminal_and_to_nothing_else(monkeypatch):
    rows = [{"name": "x" * 200}]
    wide = table(rows)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    size = os.terminal_size((40, 10))
    monkeypatch.setattr(tables, "get_terminal_size", lambda: size)

    narrow = table(rows)

    assert max(map(len, wide.splitlines())) == 200
    assert max(map(len, narrow.splitlines())) == 40


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (26.0, "26"),
        (2.25, "2.25"),
        (9_999, "9999"),
        (10_000, "10k"),
        (25_557_032, "25.6M"),
        (4_089_184_256, "4.09G"),
        (-12_000, "-12k"),
    ],
)
def test_quantity_is_short(value, text):
    assert quantity(value) == text


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((), "0.7500"),
        ((0.75,), "0.7500"),
        ((0.74, 0.76), "0.7500 ± 0.0141 (2)"),
        ((0.74, None, 0.76), "0.7500 ± 0.0141 (2 of 3)"),
        ((0.75, None), "0.7500 (1 of 2)"),
    ],
)
def test_accuracy_stands_with_the_spread_of_its_replicates(record, ends, text):
    row = replace(record, accuracies=ends, seeds=tuple(range(len(ends))))

    assert accuracy_text(row) == text


def test_accuracy_is_told_in_percent_and_its_lack_by_a_dash(record):
    row = replace(record, accuracies=(0.74, 0.76), seeds=(1, 2))

    assert accuracy_text(row, ".2%") == "75.00% ± 1.41% (2)"
    assert accuracy_text(replace(record, state="failed", accuracy=None)) == "–"


@given(st.floats(1e-3, 1e12))
def test_quantity_is_right_to_three_digits(value):
    text = quantity(value)
    unit = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1], 1.0)

    assert float(text.rstrip("kMGT")) * unit == pytest.approx(value, rel=6e-3)
    assert len(text) <= 11


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        (Stage(depth=2, width=8), "plain 2×8"),
        (Stage(depth=2, width=8, skip="add", span=2), "residual 2×8"),
        (Stage("bottleneck", 2, 8, skip="add"), "bottleneck 2×8"),
        (Stage("bottleneck", 4, 8, skip="add", dropped=3), "bottleneck 4×8 drop 3"),
        (Stage("inverted", 2, 8, skip="add", kernel=5), "inverted 2×8 k5"),
        (Stage(depth=4, width=8, skip="add", branches=2), "parallel 4×8 p2"),
        (Stage("inception", 1, 16, branches=3), "inception 1×16 b3"),
        (Stage(depth=3, width=8, skip="concat", links="all"), "dense 3×8"),
        (
            Stage("bottleneck", 3, 8, skip="concat", links="all"),
            "dense/bottleneck 3×8",
        ),
        (Stage("depthwise", 3, 8, skip="concat", links=5), "cell/depthwise 3×8 t5"),
    ],
)
def test_shorthand_of_a_stage(stage, text):
    assert shorthand(Architecture((stage,))) == text


def test_shorthand_tells_what_is_not_the_default():
    stages = (Stage(width=8), Stage(width=16, stride=2))
    network = Architecture(stages, Stem(12), activation="gelu", norm="none")

    assert shorthand(network) == "stem 12 · plain 1×8 · plain 1×16 · gelu · norm none"


@given(architectures())
def test_every_architecture_has_a_shorthand_of_one_line(architecture):
    text = shorthand(architecture)

    assert text
    assert "\n" not in text
