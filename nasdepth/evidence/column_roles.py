"""What each column of a foreign table is: response, measure, factor or role."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nasdepth.architecture.registry import unknown
from nasdepth.evidence.delimited import Delimited, Row
from nasdepth.evidence.responses import OUTCOMES, RESPONSES
from nasdepth.measures.catalogue import CATALOGUE

#: what an accuracy is called, in lower case
ACCURACIES: Final = (
    "accuracy",
    "acc",
    "acc@1",
    "top1",
    "top-1",
    "top1_acc",
    "val_acc",
    "val_accuracy",
    "test_acc",
    "test_accuracy",
)
#: columns that hold what a network is
NETWORK_COLUMNS: Final = ("architecture", "network")
#: columns that say something of a row and are no measure
ROLES: Final = (
    *NETWORK_COLUMNS,
    "digest",
    "seed",
    "family",
    "dataset",
    "images",
    "arm",
    "state",
    "reason",
)
#: columns that number the rows, in lower case
_NUMBERS: Final = ("", "index", "id", "number", "row", "trial", "unnamed: 0")


@dataclass(frozen=True, slots=True)
class Reading:
    """What each column of a table is read as.

    Attributes:
        table: The table.
        outcomes: Outcome to its column.
        measures: Measure to its column; a cell that is neither number nor gap leaves
            its row out.
        roles: Role to its column.
        factors: Columns of levels.
        percent: Whether accuracies are in percent.
        caveats: What a reader has to know of the reading.
    """

    table: Delimited
    outcomes: Mapping[str, str]
    measures: Mapping[str, str]
    roles: Mapping[str, str]
    factors: tuple[str, ...]
    percent: bool
    caveats: tuple[str, ...]


def reading_of(
    table: Delimited,
    response: str,
    columns: Mapping[str, str],
    factors: Sequence[str],
) -> Reading:
    """What each column of a table is read as: by the given names, then by its own.

    Args:
        table: The table.
        response: Column that is explained, or a row of `RESPONSES`; the accuracy if
            empty.
        columns: Name of ours to column.
        factors: Columns of levels or numbers that are held fixed.

    Raises:
        ValueError: A column is missing, named twice, or not what it should be.
    """
    named = _named(table, columns)
    outcome, column = _response(table, response, named)
    outcomes = {outcome: column}
    outcomes |= {k: v for k, v in named.items() if k in OUTCOMES and k not in outcomes}
    roles = {name: column for name, column in named.items() if name in ROLES}
    _check_roles(table, roles, column)
    levels = _factors(table, factors, column)
    taken = {*outcomes.values(), *roles.values(), *levels}
    measures = {k: v for k, v in named.items() if k in CATALOGUE and v not in taken}
    taken |= set(measures.values())
    rest = [name for name in table.header if name not in taken]
    rest = [name for name in rest if name.lower() not in _NUMBERS]
    numeric = [name for name in rest if _is_predictor(table, name)]
    percent = outcome == "accuracy" and _in_percent(table, column)
    unread = [name for name in rest if name not in numeric]
    return Reading(
        table=table,
        outcomes=outcomes,
        measures=measures | {name: name for name in numeric},
        roles=roles,
        factors=levels,
        percent=percent,
        caveats=(*_caveats(table, outcomes, percent=percent), *_unread(unread)),
    )


def _is_predictor(table: Delimited, name: str) -> bool:
    """Whether a column of no known name is taken for a measure."""
    return name.lower() not in ACCURACIES and table.is_numeric(name)


def _named(table: Delimited, columns: Mapping[str, str]) -> dict[str, str]:
    """Name of ours to column: as mapped, else the column of that name."""
    choices = (*CATALOGUE, *ROLES, *sorted(OUTCOMES))
    for ours, theirs in columns.items():
        if ours not in choices:
            raise ValueError(unknown("name of a column", ours, choices))
        _check_column(table, theirs)
        if ours != theirs and ours in table.header and ours not in columns.values():
            raise ValueError(
                f"{table.name}: {ours} must be one column, but both {ours!r} and"
                f" {theirs!r} are mapped to it."
            )
    shared = list(columns.values())
    twice = sorted({theirs for theirs in shared if shared.count(theirs) > 1})
    if twice:
        ours = ", ".join(name for name, theirs in columns.items() if theirs == twice[0])
        raise ValueError(
            f"{table.name}: a column must be mapped to one name, but {twice[0]!r} is"
            f" mapped to {ours}."
        )
    own = {name: name for name in choices if name in table.header}
    own = {name: column for name, column in own.items() if column not in shared}
    return {**own, **columns}


def _check_column(table: Delimited, name: str) -> None:
    if name not in table.header:
        text = unknown("column", name, table.header)
        raise ValueError(f"{table.name}: {text}")


def _response(
    table: Delimited, response: str, named: Mapping[str, str]
) -> tuple[str, str]:
    """Outcome that is explained, and its column."""
    if response in table.header and response.lower() not in ACCURACIES:
        if response in CATALOGUE or response in ROLES:
            raise ValueError(
                f"The response must be what a training gave, but {response} is none."
            )
        return response, response
    if response in RESPONSES and RESPONSES[response].column != "accuracy":
        outcome = RESPONSES[response].column
        if outcome not in named:
            raise ValueError(
                f"{table.name}: {unknown('column', outcome, table.header)}"
            )
        return outcome, named[outcome]
    if response and response not in RESPONSES and response.lower() not in ACCURACIES:
        _check_column(table, response)
    if response in table.header:
        return "accuracy", response
    return "accuracy", _accuracy(table, named)


def _accuracy(table: Delimited, named: Mapping[str, str]) -> str:
    """The column of accuracies."""
    if "accuracy" in named:
        return named["accuracy"]
    found = [name for name in table.header if name.lower() in ACCURACIES]
    exact = [name for name in found if name.lower() == "accuracy"]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise ValueError(
            f"{table.name} must have one response, but several columns are accuracies:"
            f" {', '.join(found)}; name one as the response."
        )
    raise ValueError(
        f"{table.name} must have a response; name one of its columns:"
        f" {', '.join(table.header)}."
    )


def _check_roles(table: Delimited, roles: Mapping[str, str], response: str) -> None:
    for role, column in roles.items():
        if column == response:
            raise ValueError(
                f"{table.name}: {response} is the response and cannot be the {role}."
            )


def _factors(
    table: Delimited, factors: Sequence[str], response: str
) -> tuple[str, ...]:
    """The named columns that hold levels and not numbers."""
    if response in factors:
        raise ValueError(
            f"{table.name}: {response} is the response and cannot be held fixed."
        )
    for name in factors:
        if name not in CATALOGUE:
            _check_column(table, name)
    known = [name for name in factors if name in table.header]
    return tuple(name for name in known if not table.is_numeric(name))


def _in_percent(table: Delimited, column: str) -> bool:
    """Whether accuracies are in percent: any is above 1.

    Raises:
        ValueError: One lies outside [0, 100].
    """
    largest = 0.0
    for row in table.rows:
        value = _tried(table, row, column)
        if value is not None and not 0 <= value <= 100:
            raise ValueError(
                f"{table.name}, row {row.number}: {column} must lie in [0, 1], or in"
                f" [0, 100] as percent, but got {value:g}."
            )
        largest = max(largest, value or 0.0)
    return largest > 1


def _tried(table: Delimited, row: Row, column: str) -> float | None:
    try:
        return table.number(row, column) if row.cells else None
    except ValueError:
        return None


def _caveats(
    table: Delimited, outcomes: Mapping[str, str], *, percent: bool
) -> Iterable[str]:
    """How the response, the first of the outcomes, was read."""
    outcome, column = next(iter(outcomes.items()))
    if outcome == "accuracy":
        unit = "percent" if percent else "a fraction"
        yield f"Column {column!r} was read as the accuracy, {unit}."
        values = [_tried(table, row, column) for row in table.rows]
        small = sum(0 < value <= 1 for value in values if value is not None)
        if percent and small:
            yield (
                f"{small} of these percentages are at most 1: fractions among them"
                " were misread."
            )
    elif outcome not in OUTCOMES:
        yield f"Column {column!r} is explained as it is: larger counts as better."


def _unread(columns: Sequence[str]) -> Iterable[str]:
    if columns:
        yield f"Columns that were not read: {', '.join(map(repr, columns))}."
