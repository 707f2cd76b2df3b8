"""Odd data: words and numbers come out, no NaN, no crash, no broken page."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from nasdepth.analysis.answer import analyze
from nasdepth.analysis.document import WIDTH
from nasdepth.claims.claim import Options
from nasdepth.evidence.observations import Evidence, Observation
from nasdepth.evidence.preregistration import Preregistration

Source = Callable[..., Evidence]
OPTIONS = Options(draws=99)


def rows_of(
    evidence: Evidence, change: Callable[[Observation, int], Observation]
) -> Evidence:
    rows = tuple(change(row, i) for i, row in enumerate(evidence.observations))
    return replace(evidence, observations=rows)


def with_measures(**columns: Callable[[int], float]) -> Callable[..., Observation]:
    def change(row: Observation, i: int) -> Observation:
        values = {name: value(i) for name, value in columns.items()}
        return replace(row, measures={**row.measures, **values})

    return change


def with_accuracy(value: Callable[[int], float]) -> Callable[..., Observation]:
    return lambda row, i: replace(row, outcomes={"accuracy": (value(i),)})


ODD: dict[str, Callable[[Source], Evidence]] = {
    "eight rows": lambda source: source(8),
    "nine rows of nine families": lambda source: source(9, families=9),
    "constant effective depth": lambda source: rows_of(
        source(20), with_measures(effective_depth=lambda _: 5.0)
    ),
    "constant nominal depth": lambda source: rows_of(
        source(20), with_measures(nominal_depth=lambda _: 5.0)
    ),
    "constant size": lambda source: rows_of(
        source(20), with_measures(params=lambda _: 5.0, macs=lambda _: 7.0)
    ),
    "constant other reading": lambda source: rows_of(
        source(20), with_measures(weighted_layers=lambda _: 5.0)
    ),
    "constant accuracy": lambda source: rows_of(
        source(20, families=3), with_accuracy(lambda _: 0.5)
    ),
    "perfect accuracy": lambda source: rows_of(
        source(20), with_accuracy(lambda _: 1.0)
    ),
    "two accuracies": lambda source: rows_of(
        source(40), with_accuracy(lambda i: 0.5 + 0.1 * (i % 2))
    ),
    "one that differs": lambda source: rows_of(
        source(20), with_accuracy(lambda i: 0.5 + 0.1 * (i == 3))
    ),
    "accuracy of chance": lambda source: rows_of(
        source(20), with_accuracy(lambda i: 0.0 if i % 2 else 0.1)
    ),
    "accuracy that size explains": lambda source: rows_of(
        source(20),
        lambda row, i: replace(
            row,
            outcomes={"accuracy": (1 - math.exp(-0.1 * i),)},
            images=10**9,
            measures={**row.measures, "params": math.exp(i)},
        ),
    ),
    "one architecture": lambda source: rows_of(
        source(20),
        lambda row, i: replace(
            row, digest="one", measures=dict.fromkeys(row.measures, 3.0)
        ),
    ),
    "every row its own family": lambda source: source(40, families=40),
    "half of the families alone": lambda source: rows_of(
        source(40),
        lambda row, i: replace(row, family="large" if i % 2 else f"family {i}"),
    ),
    "huge measures": lambda source: rows_of(
        source(20),
        with_measures(params=lambda i: 1e300 * (1 + i), macs=lambda i: 1e-300),
    ),
    "negative sizes": lambda source: rows_of(
        source(20), with_measures(params=lambda i: -1.0)
    ),
    "odd names": lambda source: replace(
        rows_of(
            source(20),
            lambda row, i: replace(
                row,
                family=("größe | *x*", "a\nb", "<b>日本語</b>")[i % 3],
                dataset="ünï|cödé\n",
                measures={**row.measures, "größe | \n$x$": float(i)},
            ),
        ),
        name="source | \n*odd* 日本語",
    ),
    "no baselines": lambda source: source(20, plan=Preregistration(baselines=())),
    "rank": lambda source: source(20, plan=Preregistration("rank")),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_data_give_words_and_numbers_without_nan(source: Source, case: str) -> None:
    found = analyze(ODD[case](source), options=OPTIONS)

    values = found.as_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == plain(values)
    text = f"{found}\n{found.markdown()}"
    assert not re.search(r"\b([Nn]a[Nn]|[Ii]nf|None)\b|1e\+308", text)
    assert all(len(line) <= WIDTH for line in prose(str(found)))
    for table in tables(found.markdown()):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def plain(value: object) -> object:
    """As JSON gives it back: tuples are lists."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def prose(text: str) -> Iterator[str]:
    """Lines of text but those of tables, whose numbers may be wide."""
    return (line for line in text.splitlines() if not re.search(r"  \S+  +\S+$", line))


def tables(markdown: str) -> Iterator[list[str]]:
    """Lines of each table."""
    lines = markdown.splitlines()
    for i, line in enumerate(lines):
        if line.startswith("| ---"):
            end = next(
                (j for j in range(i, len(lines)) if not lines[j].startswith("|")),
                len(lines),
            )
            yield lines[i - 1 : end]


def test_text_fits_the_page(source: Source) -> None:
    names = with_measures(**{"a_" * 30: lambda i: float(i)})
    found = analyze(rows_of(source(60, families=3), names), options=OPTIONS)

    lines = str(found).splitlines()

    assert max(map(len, lines)) <= WIDTH + 2
    assert not any(line != line.rstrip() for line in lines)
