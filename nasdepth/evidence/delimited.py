"""Text tables of unknown make: encoding, delimiter, header and cells."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DELIMITERS: Final = (",", ";", "\t")
#: what a cell without a value reads, in lower case
GAPS: Final = ("", "na", "n/a", "null", "none")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        number: Counted from 1 below the header.
        cells: Column to text, stripped; empty where the line has too few or too many.
    """

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Delimited:
    """A table of texts.

    Attributes:
        name: Of the file, for messages.
        header: Names of the columns, each once.
        rows: Its lines; empty lines are none.
        decimal: Mark of decimals: a comma is possible where it delimits nothing.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    decimal: str = "."

    def number(self, row: Row, column: str) -> float | None:
        """A cell as a finite number, None for a gap.

        Raises:
            ValueError: The cell is neither.
        """
        text = row.cells[column]
        if text.lower() in GAPS:
            return None
        if self.decimal == ",":
            text = text.replace(",", ".")
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text} is not finite")
        return number

    def is_numeric(self, column: str) -> bool:
        """Whether a column has numbers and nothing else but gaps."""
        try:
            found = [self.number(row, column) for row in self.rows if row.cells]
        except ValueError:
            return False
        return any(value is not None for value in found)


def read_delimited(path: str | Path) -> Delimited:
    """The table in a text file with a header line.

    Args:
        path: A file in UTF-8 (with or without a byte order mark), delimited by commas,
            semicolons or tabs.

    Raises:
        ValueError: The file is no such table; the message says why.
    """
    name, text = str(path), _text(path)
    try:
        delimiter = max(DELIMITERS, key=lambda mark: len(_first(text, mark)))
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=delimiter,
            strict=True,
            skipinitialspace=True,
        )
        lines = [line for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise ValueError(f"{name} is not a CSV file: {error}.") from error
    header = tuple(cell.strip() for cell in lines[0]) if lines else ()
    _check(header, name)
    rows = [_row(number, header, line) for number, line in enumerate(lines[1:], 1)]
    if not rows:
        raise ValueError(f"{name} must have rows below its header, but got none.")
    return Delimited(name, header, tuple(rows), "," if delimiter == ";" else ".")


def _text(path: str | Path) -> str:
    """The file's text.

    Raises:
        ValueError: It cannot be read, or holds no text.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    if b"\0" in content:
        raise ValueError(f"{path} is not a CSV file: it holds binary data.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV file: not UTF-8 text.") from error


def _first(text: str, delimiter: str) -> list[str]:
    """Cells of the first line that is not empty."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    return next(csv.reader([line], delimiter=delimiter), [])


def _check(header: tuple[str, ...], name: str) -> None:
    """Raises unless the header names two columns or more, each once."""
    if not header:
        raise ValueError(f"{name} must be a CSV file, but it is empty.")
    if len(header) < 2:
        raise ValueError(
            f"{name} must have a header of several columns, but got one:"
            f" {header[0][:40]!r}."
        )
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise ValueError(f"{name} names a column twice: {', '.join(map(repr, twice))}.")


def _row(number: int, header: tuple[str, ...], line: list[str]) -> Row:
    fits = len(line) == len(header)
    cells = [cell.strip() for cell in line]
    return Row(number, dict(zip(header, cells, strict=True)) if fits else {})
