"""Sections as text, Markdown and HTML: widths, tables, odd names."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasdepth.analysis.document import (
    WIDTH,
    Section,
    Table,
    as_markdown,
    as_text,
)

TABLE = Table(
    "Numbers",
    ("name", "n", "r"),
    (("one thing", "1", "+0.5"), ("another | thing", "20", "–")),
    "A note.",
)
SECTION = Section(
    "A title",
    ("A sentence.",),
    (("name", "text"), ("a much longer name than that", "more text")),
    (TABLE,),
    ("a point",),
)


def test_text_has_every_part_in_order() -> None:
    assert as_text([SECTION]) == "\n".join(
        [
            "A TITLE",
            "A sentence.",
            "",
            "  name                  text",
            "  a much longer name than that",
            "                        more text",
            "",
            "Numbers",
            "  name              n     r",
            "  one thing         1  +0.5",
            "  another | thing  20     –",
            "  A note.",
            "",
            "  - a point",
        ]
    )


def test_markdown_has_every_part_in_order() -> None:
    assert as_markdown([SECTION]) == "\n".join(
        [
            "## A title",
            "",
            "A sentence.",
            "",
            "- **name**: text",
            "- **a much longer name than that**: more text",
            "",
            "**Numbers**",
            "",
            "| name | n | r |",
            "| --- | --: | --: |",
            "| one thing | 1 | +0.5 |",
            r"| another \| thing | 20 | – |",
            "",
            "*A note.*",
            "",
            "- a point",
        ]
    )


def test_section_without_title_opens_with_its_words() -> None:
    assert as_text([Section("", ("The opening.",))]) == "The opening."
    assert as_markdown([Section("", ("The opening.",))]) == "The opening."


@pytest.mark.parametrize("cell", ["a\nb", "a\r\nb", "a | b", "|", "ünï\u2028cödé"])
def test_cell_stays_in_its_row_of_a_markdown_table(cell: str) -> None:
    table = Table("", ("name", "n"), ((cell, "1"),))

    lines = as_markdown([Section("", tables=(table,))]).splitlines()

    assert len(lines) == 3
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines)


@given(
    st.lists(st.tuples(st.text(), st.text()), max_size=3),
    st.lists(st.tuples(st.text(), st.text(max_size=9)), max_size=3),
    st.text(),
)
def test_text_fits_the_page_whatever_the_words(
    pairs: list[tuple[str, str]], rows: list[tuple[str, str]], word: str
) -> None:
    table = Table(word, ("name", "n"), tuple(rows), word)

    found = as_text([Section("", (word,), tuple(pairs), (table,), (word,))])

    assert max(map(len, found.split("\n"))) <= WIDTH


def test_word_longer_than_the_page_is_broken() -> None:
    word = "a" * 300
    table = Table(word, ("name", "n"), ((word, "1"),), word)

    found = as_text([Section("", (word,), ((word, word),), (table,), (word,))])

    assert max(map(len, found.splitlines())) == WIDTH


@pytest.mark.parametrize("form", [as_text, as_markdown])
def test_table_without_rows_has_its_head(form: Callable) -> None:
    assert "name" in form([Section("t", tables=(Table("c", ("name", "n"), ()),))])
