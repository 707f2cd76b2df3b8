"""What is said once and shown two ways: sections as text or Markdown."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH = 88
# Widest column of names beside their texts.
_NAMES = 24
# Narrowest column of words beside columns of numbers.
_LEAST = 18


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a head; the first column holds words, the others numbers."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        title: Its heading; empty for the opening.
        paragraphs: Sentences.
        pairs: Name and text, one below the other.
        tables: After the pairs.
        points: A list at the end.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    points: tuple[str, ...] = ()


def as_text(sections: Iterable[Section]) -> str:
    """Plain text of at most 88 columns, but for tables of many numbers."""
    return "\n\n".join(_section_text(section) for section in sections)


def as_markdown(sections: Iterable[Section], *, level: int = 2) -> str:
    """Markdown, the sections' titles at the given level."""
    return "\n\n".join(_section_markdown(section, level) for section in sections)


def _section_text(section: Section) -> str:
    parts = [section.title.upper()] if section.title else []
    parts += [_fill(text) for text in section.paragraphs]
    if section.pairs:
        column = min(max(len(name) for name, _ in section.pairs) + 4, _NAMES)
        parts.append("\n".join(_pair(n, text, column) for n, text in section.pairs))
    parts += [_table_text(table) for table in section.tables]
    if section.points:
        parts.append("\n".join(_fill(text, "  - ", "    ") for text in section.points))
    joined = "\n\n".join(parts[1:]) if section.title else "\n\n".join(parts)
    return f"{parts[0]}\n{joined}" if section.title else joined


def _pair(name: str, text: str, column: int) -> str:
    """A name and its text beside it, or below it where the name is long."""
    first = f"  {name}".ljust(column)
    if len(first) > column:
        below = _fill(text, " " * column, " " * column)
        return f"{_fill(name, '  ', '  ')}\n{below}"
    return _fill(text, first, " " * column)


def _fill(text: str, first: str = "", later: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_on_hyphens=False,
    )


def _table_text(table: Table) -> str:
    """Aligned columns; long words of the first column take several lines."""
    rows = (table.head, *table.rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    rest = sum(width + 2 for width in widths[1:])
    widths[0] = min(widths[0], max(_LEAST, WIDTH - 2 - rest))
    lines = [_fill(table.caption)] if table.caption else []
    for row in rows:
        lines += _row_text(row, widths)
    if table.note:
        lines.append(_fill(table.note, "  ", "  "))
    return "\n".join(line.rstrip() for line in lines)


def _row_text(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    words = textwrap.wrap(row[0], widths[0], subsequent_indent="  ") or [""]
    numbers = "".join(
        f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)
    )
    first = f"  {words[0]:<{widths[0]}}{numbers}"
    return [first, *(f"  {more}" for more in words[1:])]


def _section_markdown(section: Section, level: int) -> str:
    parts = [f"{'#' * level} {section.title}"] if section.title else []
    parts += section.paragraphs
    if section.pairs:
        parts.append("\n".join(f"- **{n}**: {text}" for n, text in section.pairs))
    parts += [_table_markdown(table) for table in section.tables]
    if section.points:
        parts.append("\n".join(f"- {text}" for text in section.points))
    return "\n\n".join(parts)


def _table_markdown(table: Table) -> str:
    rule = ("---", *("--:" for _ in table.head[1:]))
    lines = [f"**{table.caption}**", ""] if table.caption else []
    for row in (table.head, rule, *table.rows):
        cells = (" ".join(cell.split()).replace("|", "\\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    if table.note:
        lines += ["", f"*{table.note}*"]
    return "\n".join(lines)
