"""Finished trials as frozen rows, and the CSV format that keeps them.

One row per trial. The columns are the fields of `TrialRecord`, led by `format`;
every further column is a measure under its own name. An undefined measure reads
``NA``, a measure the trial does not have is empty: pandas and R see a gap in both.
A curve is one cell of numbers separated by spaces, and so are the replicates of a
trial, of which a diverged one reads ``NA``. Format 1, without replicates, is read too.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, TextIO, TypeVar

FORMAT = 2
ARMS = ("unselected", "search")
STATES = ("complete", "pruned", "failed")
Number = TypeVar("Number", int, float)


class Measures(Mapping[str, float | None]):
    """Hashable, unchangeable mapping from a measure's name to its value."""

    __slots__ = ("_items",)
    _items: dict[str, float | None]

    def __init__(self, items: Mapping[str, float | None]) -> None:
        """Takes finite numbers, and None for undefined."""
        self._items = {
            name: None if value is None else _finite(value, f"measures[{name!r}]")
            for name, value in items.items()
        }

    def __getitem__(self, name: str) -> float | None:
        """The value, None where undefined."""
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        """The names in their given order."""
        return iter(self._items)

    def __len__(self) -> int:
        """Number of measures."""
        return len(self._items)

    def __hash__(self) -> int:
        """Equal mappings hash alike, whatever their order."""
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        """The mapping as a dict prints."""
        return repr(self._items)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trained, pruned or failed network, as a study keeps it.

    Attributes:
        number: The trial's number in its study.
        arm: ``unselected`` (quasi-random design, never pruned) or ``search``.
        state: ``complete``, ``pruned`` or ``failed``.
        architecture: JSON text of the architecture, or empty.
        digest: Identity of the network; an empty one is shared with no other row.
        measures: Name to value, None where the measure is undefined.
        curve: Validation accuracy after each epoch.
        accuracy: Final validation accuracy in [0, 1], None if there is none; with
            replicates the mean of those that ended.
        validation_images: Images behind the accuracy, 0 if unknown.
        seconds: Wall-clock time of the trial in seconds.
        seed: Seed of the training run.
        reason: Why the trial was pruned or failed, else empty.
        dataset: Label of the data set.
        config_digest: Identity of the study's configuration.
        versions: Software behind the row.
        accuracies: Final validation accuracy of each replicate, None where it
            diverged; empty where there is one training, that of `accuracy`.
        seeds: Seed of each replicate; empty where there is one training, of `seed`.
    """

    number: int
    arm: str
    state: str
    architecture: str
    digest: str
    measures: Mapping[str, float | None]
    curve: tuple[float, ...]
    accuracy: float | None
    validation_images: int
    seconds: float
    seed: int
    reason: str
    dataset: str
    config_digest: str
    versions: str
    accuracies: tuple[float | None, ...] = ()
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Normalises the containers and refuses values no analysis could use."""
        _choice(self.arm, ARMS, "arm")
        _choice(self.state, STATES, "state")
        _at_least_zero(self.number, "number")
        _at_least_zero(self.validation_images, "validation_images")
        _at_least_zero(_finite(self.seconds, "seconds"), "seconds")
        _share(self.accuracy, "accuracy", "there is none")
        for each in self.accuracies:
            _share(each, "accuracies", "a replicate diverged")
        taken = sorted(set(self.measures) & _RESERVED)
        if taken or "" in self.measures:
            raise ValueError(
                "TrialRecord.measures must not be named like a column of the record,"
                f" but got {', '.join(taken) or 'an empty name'}."
            )
        object.__setattr__(self, "measures", Measures(self.measures))
        curve = tuple(_finite(value, "curve") for value in self.curve)
        object.__setattr__(self, "curve", curve)
        ends = (None if value is None else float(value) for value in self.accuracies)
        object.__setattr__(self, "accuracies", tuple(ends))
        object.__setattr__(self, "seeds", tuple(map(int, self.seeds)))
        self._check_replicates()

    @property
    def ended(self) -> tuple[float, ...]:
        """Final validation accuracies of the replicates that ended."""
        own = self.accuracies or (self.accuracy,)
        return tuple(value for value in own if value is not None)

    @property
    def replicates(self) -> int:
        """Number of trainings, one for each seed."""
        return len(self.accuracies) or 1

    @property
    def diverged_replicates(self) -> int:
        """Number of trainings that diverged."""
        if self.accuracies:
            return self.accuracies.count(None)
        return int(self.state == "pruned" and self.reason.startswith("diverged"))

    @property
    def spread(self) -> float | None:
        """Sample standard deviation of `ended`, None below two."""
        return stdev(self.ended) if len(self.ended) > 1 else None

    def _check_replicates(self) -> None:
        """Raises where the row says two things of one training."""
        if len(self.seeds) != len(self.accuracies):
            raise ValueError(
                "TrialRecord.seeds must be as many as TrialRecord.accuracies, but got"
                f" {len(self.seeds)} for {len(self.accuracies)}."
            )
        if self.accuracies and not self._is_mean():
            raise ValueError(
                "TrialRecord.accuracy must be the mean of the replicates that ended,"
                f" but got {self.accuracy} of {self.accuracies}."
            )

    def _is_mean(self) -> bool:
        """Whether the accuracy is that of the replicates; a cut trial may have none."""
        if self.accuracy is None:
            return self.state != "complete" or not self.ended
        return bool(self.ended) and math.isclose(
            self.accuracy, fmean(self.ended), abs_tol=_ROUNDING
        )

    def as_dict(self) -> dict[str, Any]:
        """The fields, measures and curve as plain JSON values."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        own |= {name: list(own[name]) for name in _LISTS}
        return own | {"measures": dict(self.measures)}


# Difference between two sums of the same accuracies that their order explains.
_ROUNDING = 1e-9
_COLUMNS = tuple(f.name for f in fields(TrialRecord) if f.name != "measures")
_RESERVED = frozenset((*_COLUMNS, "measures", "format"))
_INTEGERS = ("number", "validation_images", "seed")
_LISTS = ("curve", "accuracies", "seeds")
_ADDED = ("accuracies", "seeds")  # with format 2


def write_csv(records: Iterable[TrialRecord], file: str | Path | TextIO) -> None:
    """Writes records as CSV, one line each, in the given order.

    Args:
        records: What to write; none gives a file with a header alone.
        file: A path, or a text stream such as standard output.
    """
    rows = tuple(records)
    names = tuple(dict.fromkeys(name for row in rows for name in row.measures))
    lines = [_line(("format", *_COLUMNS, *names))]
    lines += [_line(_cells(row, names)) for row in rows]
    text = "".join(lines)
    if isinstance(file, str | Path):
        with Path(file).open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
    else:
        file.write(text)


def read_csv(file: str | Path | TextIO) -> tuple[TrialRecord, ...]:
    """Records of a CSV file that `write_csv` wrote.

    Args:
        file: A path, or a text stream opened with ``newline=""``.

    Returns:
        The rows in the order of the file.

    Raises:
        ValueError: The file is no such CSV; the message says what is wrong where.
    """
    if not isinstance(file, str | Path):
        return _parse(file.read(), str(getattr(file, "name", "the stream")))
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a CSV file: not UTF-8 text.") from error
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}.") from error
    return _parse(text, str(file))


def _cells(row: TrialRecord, names: Sequence[str]) -> list[str]:
    """The cells of one row, floats in their shortest exact form."""
    cells = [str(FORMAT)]
    for column in _COLUMNS:
        value = getattr(row, column)
        if column in _LISTS:
            value = " ".join("NA" if each is None else repr(each) for each in value)
        cells.append("" if value is None else str(value))
    for name in names:
        value = row.measures.get(name)
        undefined = "NA" if name in row.measures else ""
        cells.append(undefined if value is None else repr(value))
    return cells


def _line(cells: Sequence[str]) -> str:
    """One CSV line ended by a newline.

    The writer quotes only the characters of its own line end, so it has to write
    both of them for a carriage return inside a cell to survive.
    """
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _parse(text: str, source: str) -> tuple[TrialRecord, ...]:
    """Records of a CSV text; `source` names it in errors."""
    if "\0" in text[:1024] and not text.startswith("format,"):
        raise ValueError(f"{source} is not a CSV file: it holds binary data.")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(f"{source} is not a CSV file: {error}.") from error
    if not lines:
        raise ValueError(f"{source} must be a CSV of records, but it is empty.")
    header = lines[0]
    _check_header(header, source)
    records = []
    for index, cells in enumerate(lines[1:], start=1):
        if not cells:
            continue
        place = f"{source}, row {index}"
        if len(cells) != len(header):
            raise ValueError(
                f"{place} must have {len(header)} cells, but got {len(cells)}."
            )
        records.append(_record(dict(zip(header, cells, strict=True)), place))
    return tuple(records)


def _check_header(header: Sequence[str], source: str) -> None:
    """Raises unless the header names every column of format 1, and none twice."""
    _check_columns(header, ("format", *_columns(1)), source)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{source} names a column twice: {', '.join(twice)}.")


def _record(cells: Mapping[str, str], place: str) -> TrialRecord:
    """The record of one row; `place` names file and row in errors."""
    columns = _columns(_format(cells["format"], place))
    _check_columns(cells, columns, place)
    values: dict[str, object] = {name: cells[name] for name in columns}
    for name in _INTEGERS:
        values[name] = _number(cells[name], f"{place}, column {name}", int)
    for name in ("seconds", "accuracy"):
        if name == "accuracy" and cells[name] in ("", "NA"):
            values[name] = None
        else:
            values[name] = _number(cells[name], f"{place}, column {name}", float)
    for name in (name for name in _LISTS if name in columns):
        values[name] = _list(name, cells[name], f"{place}, column {name}")
    values["measures"] = {
        name: None if cell == "NA" else _number(cell, f"{place}, column {name}", float)
        for name, cell in cells.items()
        if name not in (*columns, "measures", "format") and cell != ""
    }
    try:
        return TrialRecord(**values)  # type: ignore[arg-type]  # one value per column
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _list(name: str, cell: str, place: str) -> tuple[float | None, ...]:
    """The numbers of a cell; a replicate that diverged has none."""
    parts = cell.split()
    if name == "seeds":
        return tuple(_number(part, place, int) for part in parts)
    gap = "NA" if name == "accuracies" else None
    return tuple(None if p == gap else _number(p, place, float) for p in parts)


def _columns(version: int) -> tuple[str, ...]:
    """Columns that a row of a format has, measures not counted."""
    return tuple(name for name in _COLUMNS if version > 1 or name not in _ADDED)


def _check_columns(present: Iterable[str], columns: Sequence[str], place: str) -> None:
    """Raises if a column is missing."""
    missing = [name for name in columns if name not in present]
    if missing:
        raise ValueError(
            f"{place} must have the columns of a nasdepth record, but misses"
            f" {', '.join(missing)}."
        )


def _format(cell: str, place: str) -> int:
    """The row's format; raises unless this version reads it."""
    version = _number(cell, f"{place}, column format", int)
    if version > FORMAT:
        raise ValueError(
            f"{place} has format {version}, newer than {FORMAT}, the newest known;"
            " read it with a newer nasdepth."
        )
    if version < 1:
        raise ValueError(
            f"{place}, column format must be from 1 to {FORMAT}, but got {version}."
        )
    return version


def _number(cell: str, place: str, kind: type[Number]) -> Number:
    """The cell as a finite number of the given kind."""
    try:
        number = kind(cell)
    except ValueError:
        number = None
    if number is None or not math.isfinite(number):
        word = "an integer" if kind is int else "a finite number"
        raise ValueError(f"{place} must be {word}, but got {cell!r}.")
    return number


def _choice(value: str, choices: Sequence[str], name: str) -> None:
    """Raises unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(
            f"TrialRecord.{name} must be one of {', '.join(choices)}, but got"
            f" {value!r}."
        )


def _share(value: float | None, name: str, gap: str) -> None:
    """Raises unless the value lies in [0, 1], or is None where there is a gap."""
    if value is not None and not 0 <= value <= 1:
        raise ValueError(
            f"TrialRecord.{name} must lie in [0, 1], or be None where {gap}, but got"
            f" {value}."
        )


def _at_least_zero(value: float, name: str) -> None:
    """Raises if the value is negative."""
    if value < 0:
        raise ValueError(f"TrialRecord.{name} must be at least 0, but got {value}.")


def _finite(value: float, name: str) -> float:
    """The value as a float; raises where it is none or not finite."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(
            f"TrialRecord.{name} must be a finite number, but got {number}; write None"
            " for an undefined measure."
        )
    return number
