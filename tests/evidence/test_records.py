"""Records: what they refuse, and that their CSV gives back what it took."""

import csv
import io
import pickle
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdepth.evidence.records import Measures, TrialRecord, read_csv, write_csv

COLUMNS = {field.name for field in fields(TrialRecord)} | {"format"}
finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = texts.filter(lambda name: name != "" and name not in COLUMNS)
records = st.builds(
    TrialRecord,
    number=st.integers(0, 10**6),
    arm=st.sampled_from(["unselected", "search"]),
    state=st.sampled_from(["complete", "pruned", "failed"]),
    architecture=texts,
    digest=texts,
    measures=st.dictionaries(names, st.none() | finite, max_size=3),
    curve=st.lists(finite, max_size=4).map(tuple),
    accuracy=st.none() | st.floats(0, 1),
    validation_images=st.integers(0, 10**6),
    seconds=st.floats(0, 1e9),
    seed=st.integers(-(2**63), 2**64),
    reason=texts,
    dataset=texts,
    config_digest=texts,
    versions=texts,
)


def text_of(*rows: TrialRecord) -> str:
    stream = io.StringIO()
    write_csv(rows, stream)
    return stream.getvalue()


def changed(record: TrialRecord, **cells: str) -> io.StringIO:
    """The CSV of two equal rows with cells of the second one replaced."""
    header, first, second = csv.reader(io.StringIO(text_of(record, record)))
    second = [cells.get(name, cell) for name, cell in zip(header, second, strict=True)]
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([header, first, second])
    stream.seek(0)
    return stream


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(records, max_size=4))
def test_csv_gives_back_what_it_took(rows: list[TrialRecord]) -> None:
    text = text_of(*rows)

    assert read_csv(io.StringIO(text, newline="")) == tuple(rows)


def test_csv_file_gives_back_what_it_took(record: TrialRecord, tmp_path: Path) -> None:
    row = replace(record, reason='a "quoted"\r\nreason, näher', measures={"a": 0.1})

    write_csv([row], tmp_path / "records.csv")

    assert read_csv(tmp_path / "records.csv") == (row,)


def test_spreadsheet_byte_order_mark_is_ignored(
    record: TrialRecord, tmp_path: Path
) -> None:
    file = tmp_path / "records.csv"
    file.write_text(text_of(record), encoding="utf-8-sig")

    assert read_csv(file) == (record,)


def test_measure_is_a_column_of_its_own_name(record: TrialRecord) -> None:
    row = replace(record, measures={"effective_depth": 10.5, "nn_mass": None})

    (cells,) = csv.DictReader(io.StringIO(text_of(row)))

    assert (cells["effective_depth"], cells["nn_mass"]) == ("10.5", "NA")
    assert cells["format"] == "1"


def test_undefined_measure_differs_from_a_missing_one(record: TrialRecord) -> None:
    rows = (replace(record, measures={"a": None}), record)

    back = read_csv(io.StringIO(text_of(*rows), newline=""))

    assert [dict(row.measures) for row in back] == [{"a": None}, {}]


def test_every_line_ends_with_a_bare_newline(record: TrialRecord) -> None:
    assert "\r" not in text_of(record)


def test_records_are_hashable_and_survive_pickling(record: TrialRecord) -> None:
    row = replace(record, measures={"a": 1.0, "b": None})
    same = replace(record, measures={"b": None, "a": 1.0})

    assert len({row, same, pickle.loads(pickle.dumps(row))}) == 1


def test_measures_cannot_be_changed_from_outside(record: TrialRecord) -> None:
    mine = {"a": 1.0}
    row = replace(record, measures=mine)

    mine["a"] = 2.0

    assert row.measures["a"] == 1.0
    assert not hasattr(Measures, "__setitem__")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm": "guided"}, "arm must be one of unselected, search, but got 'guided'"),
        ({"state": "done"}, "state must be one of complete, pruned, failed"),
        ({"accuracy": float("nan")}, r"accuracy must lie in \[0, 1\].*got nan"),
        ({"accuracy": 93.5}, r"accuracy must lie in \[0, 1\].*got 93.5"),
        ({"number": -1}, "number must be at least 0, but got -1"),
        ({"validation_images": -1}, "validation_images must be at least 0"),
        ({"seconds": -0.5}, "seconds must be at least 0, but got -0.5"),
        ({"seconds": float("inf")}, "seconds must be a finite number, but got inf"),
        ({"curve": (0.1, float("nan"))}, "curve must be a finite number"),
        ({"measures": {"a": float("nan")}}, r"measures\['a'\] must be a finite"),
        ({"measures": {"paths": 2**1500}}, r"measures\['paths'\] must be a finite"),
        (
            {"measures": {"seed": 1.0}},
            "named like a column of the record, but got seed",
        ),
        ({"measures": {"": 1.0}}, "but got an empty name"),
    ],
)
def test_record_refuses(
    record: TrialRecord, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(record, **change)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"accuracy": "nan"}, "row 2, column accuracy must be a finite number.*'nan'"),
        ({"accuracy": "1.5"}, r"row 2: TrialRecord.accuracy must lie in \[0, 1\]"),
        ({"seed": "1.5"}, "row 2, column seed must be an integer, but got '1.5'"),
        ({"curve": "0.1 x"}, "row 2, column curve must be a finite number.*'x'"),
        ({"depth": "deep"}, "row 2, column depth must be a finite number.*'deep'"),
        ({"format": "2"}, "row 2 has format 2, newer than 1.*newer nasdepth"),
        ({"format": "0"}, "row 2, column format must be 1, but got 0"),
        ({"arm": ""}, "row 2: TrialRecord.arm must be one of"),
    ],
)
def test_csv_error_names_row_and_column(
    record: TrialRecord, cells: dict[str, str], message: str
) -> None:
    stream = changed(replace(record, measures={"depth": 1.0}), **cells)

    with pytest.raises(ValueError, match=message):
        read_csv(stream)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a CSV of records, but it is empty"),
        (b"a,b\n1,2\n", "must have .* misses format, number, arm, state, .*, versions"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not a CSV file: not UTF-8 text"),
        (b"PK\x03\x04\0\0", "is not a CSV file: it holds binary data"),
        (b'a,"b\n', "is not a CSV file: unexpected end of data"),
    ],
)
def test_foreign_file_is_refused_by_name(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(content)

    with pytest.raises(ValueError, match=f"mine.csv {message}"):
        read_csv(file)


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mine.csv cannot be read: No such file"):
        read_csv(tmp_path / "mine.csv")


def test_column_named_twice_is_refused(record: TrialRecord) -> None:
    header, row = text_of(record).splitlines()

    with pytest.raises(ValueError, match="names a column twice: depth"):
        read_csv(io.StringIO(f"{header},depth,depth\n{row},1,2\n"))


def test_row_of_wrong_length_is_refused(record: TrialRecord) -> None:
    with pytest.raises(ValueError, match="row 2 must have 15 cells, but got 2"):
        read_csv(io.StringIO(text_of(record) + "1,2\n"))
