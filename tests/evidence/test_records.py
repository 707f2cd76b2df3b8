"""Records: what they refuse, and that their CSV gives back what it took."""

import csv
import io
import json
import pickle
from dataclasses import fields, replace
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdepth.evidence.records import Measures, TrialRecord, read_csv, write_csv

COLUMNS = {field.name for field in fields(TrialRecord)} | {"format"}
finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = texts.filter(lambda name: name != "" and name not in COLUMNS)
STUDIES = Path(__file__).parents[2] / "studies"
RECORDED = [
    path
    for path in sorted(STUDIES.glob("*/*.csv"))
    if path.read_text(encoding="utf-8").startswith("format,")
]
#: what nasdepth wrote before trials had replicates
FIRST = (
    "format,number,arm,state,architecture,digest,curve,accuracy,validation_images,"
    "seconds,seed,reason,dataset,config_digest,versions,params\n"
    "1,3,search,complete,,d,0.5 0.75,0.75,5000,1.5,9,,digits,abc,nasdepth 0.1.0,12.0\n"
)


def with_replicates(row: TrialRecord, *ends: tuple[float | None, int]) -> TrialRecord:
    """The record with the accuracy and seed of each replicate, and their mean."""
    accuracies, seeds = zip(*ends, strict=True) if ends else ((), ())
    known = [value for value in accuracies if value is not None]
    mean = fmean(known) if known else None
    return replace(
        row,
        accuracy=mean if ends else row.accuracy,
        accuracies=accuracies,
        seeds=seeds,
    )


single = st.builds(
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
ends = st.tuples(st.none() | st.floats(0, 1), st.integers(0, 2**64))
records = st.builds(
    lambda row, found: with_replicates(row, *found), single, st.lists(ends, max_size=3)
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
    assert cells["format"] == "2"


def test_replicates_are_cells_at_the_end_of_the_fixed_columns(
    record: TrialRecord,
) -> None:
    row = replace(record, measures={"params": 3.0})
    row = with_replicates(row, (0.91, 4), (None, 5), (0.93, 2**63))

    header, cells = csv.reader(io.StringIO(text_of(row)))

    assert header[-4:] == ["versions", "accuracies", "seeds", "params"]
    assert cells[-3:-1] == ["0.91 NA 0.93", "4 5 9223372036854775808"]


def test_replicates_are_summed_up(record: TrialRecord) -> None:
    row = with_replicates(record, (0.91, 4), (None, 5), (0.93, 6))

    assert row.accuracy == pytest.approx(0.92)
    assert (row.ended, row.replicates) == ((0.91, 0.93), 3)
    assert row.diverged_replicates == 1
    # two values .02 apart: .02 / sqrt(2)
    assert row.spread == pytest.approx(0.0141421356)


@pytest.mark.parametrize("ends", [(), ((0.75, 1),), ((0.75, 1), (None, 2))])
def test_one_training_that_ended_has_no_spread(
    record: TrialRecord, ends: tuple[tuple[float | None, int], ...]
) -> None:
    row = with_replicates(record, *ends)

    assert row.ended == (0.75,)
    assert row.spread is None


@pytest.mark.parametrize(
    ("state", "reason", "diverged"),
    [
        ("complete", "", 0),
        ("pruned", "diverged: the loss is inf", 1),
        ("pruned", "out of memory: 3 GB", 0),
        ("failed", "", 0),
    ],
)
def test_trial_without_replicates_is_one_training(
    record: TrialRecord, state: str, reason: str, diverged: int
) -> None:
    row = replace(record, state=state, reason=reason, accuracy=None)

    assert (row.replicates, row.diverged_replicates) == (1, diverged)
    assert (row.ended, row.spread) == ((), None)


def test_trial_whose_replicates_all_diverged_has_no_accuracy(
    record: TrialRecord,
) -> None:
    row = replace(record, state="pruned", reason="diverged: inf")

    row = with_replicates(row, (None, 1), (None, 2))

    assert (row.accuracy, row.ended, row.diverged_replicates) == (None, (), 2)


def test_trial_that_was_cut_keeps_the_replicates_that_ended(
    record: TrialRecord,
) -> None:
    row = with_replicates(record, (0.5, 1), (0.75, 2))

    row = replace(row, state="failed", accuracy=None)

    assert row.ended == (0.5, 0.75)


def test_file_of_the_first_format_is_read_as_ever() -> None:
    (row,) = read_csv(io.StringIO(FIRST, newline=""))

    assert (row.number, row.accuracy, row.curve) == (3, 0.75, (0.5, 0.75))
    assert dict(row.measures) == {"params": 12.0}
    assert (row.accuracies, row.seeds, row.seed) == ((), (), 9)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_committed_study_is_the_same_in_this_format(path: Path) -> None:
    rows = read_csv(path)

    assert rows
    assert read_csv(io.StringIO(text_of(*rows), newline="")) == rows


def test_column_of_replicates_in_the_first_format_is_not_taken_for_a_measure() -> None:
    text = FIRST.replace(",params", ",seeds")

    with pytest.raises(ValueError, match=r"like a column of the record.*seeds"):
        read_csv(io.StringIO(text, newline=""))


def test_row_of_the_second_format_has_its_columns() -> None:
    text = FIRST.replace("\n1,", "\n2,")

    with pytest.raises(ValueError, match=r"row 1 must .* misses accuracies, seeds"):
        read_csv(io.StringIO(text, newline=""))


def test_record_is_plain_json(record: TrialRecord) -> None:
    row = with_replicates(record, (0.5, 4), (None, 5))

    found = json.loads(json.dumps(row.as_dict()))

    assert (found["accuracies"], found["seeds"]) == ([0.5, None], [4, 5])
    assert (found["curve"], found["measures"]) == ([0.5, 0.75], {})


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
        (
            {"accuracies": (0.75, float("nan")), "seeds": (1, 2)},
            r"accuracies must lie in \[0, 1\], or be None where a replicate diverged",
        ),
        ({"accuracies": (0.75,)}, "seeds must be as many as .*, but got 0 for 1"),
        ({"seeds": (1, 2)}, "seeds must be as many as .*, but got 2 for 0"),
        (
            {"accuracies": (0.5, 0.75), "seeds": (1, 2)},
            r"must be the mean of the replicates that ended, but got 0.75 of \(0.5, ",
        ),
        (
            {"accuracies": (None,), "seeds": (1,)},
            "must be the mean of the replicates that ended, but got 0.75",
        ),
        (
            {"accuracies": (0.75,), "seeds": (1,), "accuracy": None},
            "must be the mean of the replicates that ended, but got None",
        ),
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
        ({"accuracies": "0.5 x"}, "row 2, column accuracies must be a finite.*'x'"),
        ({"seeds": "1 NA"}, "row 2, column seeds must be an integer, but got 'NA'"),
        ({"curve": "0.1 NA"}, "row 2, column curve must be a finite number.*'NA'"),
        ({"format": "3"}, "row 2 has format 3, newer than 2.*newer nasdepth"),
        ({"format": "0"}, "row 2, column format must be from 1 to 2, but got 0"),
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
    with pytest.raises(ValueError, match="row 2 must have 17 cells, but got 2"):
        read_csv(io.StringIO(text_of(record) + "1,2\n"))
