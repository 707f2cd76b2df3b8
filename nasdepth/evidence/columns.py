"""Evidence from a CSV file: our own records, or any table with a response.

A foreign table has a response and either measures, under the catalogue's names or
mapped to them, or networks that can be measured here. A row that cannot be read is left
out, counted and named; columns that nothing is made of are named too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from nasdepth.evidence.column_roles import (
    ACCURACIES,
    NETWORK_COLUMNS,
    Reading,
    reading_of,
)
from nasdepth.evidence.delimited import Delimited, Row, read_delimited
from nasdepth.evidence.foreign_networks import GraphOf, Network, Networks
from nasdepth.evidence.observations import Evidence, Observation, observations_of
from nasdepth.evidence.preregistration import Nominal, Preregistration
from nasdepth.evidence.records import ARMS, STATES, read_csv
from nasdepth.evidence.responses import RESPONSES
from nasdepth.measures.catalogue import CATALOGUE

#: places that a reason for leaving rows out names
_SHOWN: Final = 5


def evidence_of_csv(
    path: str | Path,
    *,
    response: str = "",
    columns: Mapping[str, str] | None = None,
    family: str = "",
    factors: Sequence[str] = (),
    plan: Preregistration | None = None,
    graph_of: GraphOf | None = None,
) -> Evidence:
    """All rows of a CSV file, ours or a foreign one.

    Args:
        path: The file.
        response: Column that is explained, larger is better, or a row of `RESPONSES`;
            the accuracy by default, which is tested as minus log error.
        columns: Name of ours to column of the file: ``{"effective_depth": "deff"}``.
        family: Column of families; "family" by default.
        factors: Columns held fixed; one of numbers is a measure, any other a factor.
        plan: What is tested; by default the response with what measures there are.
        graph_of: Graph of a foreign network by name ("torchvision:resnet18") and shape
            of its images; without it such networks are left out.

    Raises:
        ValueError: The file is no CSV, or a column is missing, constant or named twice.
    """
    table = read_delimited(path)
    if table.header[:1] == ("format",) and "config_digest" in table.header:
        return _own(path, response, plan, foreign=bool(columns or family))
    names = {**(columns or {}), **({"family": family} if family else {})}
    found = reading_of(table, response, names, factors)
    rows, left_out = _rows(found, graph_of)
    outcome = next(iter(found.outcomes))
    _check_spread(table, outcome, rows)
    return Evidence(
        name=Path(path).name,
        observations=rows,
        plan=plan or _plan(outcome, response, rows, factors),
        left_out=left_out,
        caveats=found.caveats,
    )


def _own(
    path: str | Path, response: str, plan: Preregistration | None, *, foreign: bool
) -> Evidence:
    """Evidence of a file that nasdepth wrote."""
    if foreign:
        raise ValueError(
            f"{path} holds records of nasdepth, whose columns need no names, but got"
            " some."
        )
    plan = plan or Preregistration()
    if response and response.lower() not in ACCURACIES:
        plan = replace(plan, response=response)
    rows = observations_of(read_csv(path), plan.threshold)
    return Evidence(name=Path(path).name, observations=rows, plan=plan)


def _rows(
    found: Reading, graph_of: GraphOf | None
) -> tuple[tuple[Observation, ...], tuple[tuple[str, int], ...]]:
    """Rows that could be read; reason and number of those that could not."""
    networks = Networks(graph_of)
    rows: list[Observation] = []
    reasons: dict[str, list[int]] = {}
    for row in found.table.rows:
        try:
            rows.append(_observation(found, row, networks))
        except _Unreadable as reason:
            reasons.setdefault(str(reason), []).append(row.number)
    left_out = ((f"{why} ({_places(at)})", len(at)) for why, at in reasons.items())
    return tuple(rows), tuple(left_out)


class _Unreadable(ValueError):
    """A row that is left out; the message says why."""


def _places(numbers: Sequence[int]) -> str:
    """Rows in words, the first few of many."""
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    more = ", …" if len(numbers) > _SHOWN else ""
    return f"row{'s' if len(numbers) > 1 else ''} {shown}{more}"


def _observation(found: Reading, row: Row, networks: Networks) -> Observation:
    """One row.

    Raises:
        _Unreadable: A cell is not what its column holds.
    """
    if not row.cells:
        raise _Unreadable(f"not {len(found.table.header)} cells")
    roles = {name: row.cells[column] for name, column in found.roles.items()}
    own = _numbers(found.table, row, found.measures)
    network = _network(roles, networks, required=not set(own) & set(CATALOGUE))
    return Observation(
        place=f"row {row.number}",
        digest=roles.get("digest") or network.digest,
        measures={**network.measures, **own},
        outcomes=_outcomes(found, row),
        family=roles.get("family", ""),
        factors={name: row.cells[name] for name in found.factors},
        images=_images(roles.get("images", "")),
        arm=_choice(roles, "arm", ARMS, "unselected"),
        state=_choice(roles, "state", STATES, "complete"),
        reason=roles.get("reason", ""),
        dataset=roles.get("dataset", ""),
    )


def _numbers(
    table: Delimited, row: Row, columns: Mapping[str, str]
) -> dict[str, float | None]:
    """Numbers of a row by name."""
    numbers = {}
    for name, column in columns.items():
        try:
            numbers[name] = table.number(row, column)
        except ValueError as error:
            raise _Unreadable(f"{column} is no number") from error
    return numbers


def _network(
    roles: Mapping[str, str], networks: Networks, *, required: bool
) -> Network:
    """The network that a row names; its name is its digest where it is not known."""
    text = next((roles[name] for name in NETWORK_COLUMNS if roles.get(name)), "")
    try:
        return networks[text] if text else Network("", {})
    except ValueError as error:
        if not required:
            return Network(text, {})
        raise _Unreadable(f"{text[:40]!r} is no network that is known here") from error


def _outcomes(found: Reading, row: Row) -> dict[str, tuple[float, ...]]:
    """Results of a row's training; a gap is none."""
    outcomes: dict[str, tuple[float, ...]] = {}
    for name, value in _numbers(found.table, row, found.outcomes).items():
        if value is not None:
            share = name == "accuracy" and found.percent
            outcomes[name] = (value / 100 if share else value,)
    return outcomes


def _images(text: str) -> int:
    try:
        images = float(text or 0)
    except ValueError:
        images = -1
    if not (images >= 0 and images.is_integer()):
        raise _Unreadable("images is no whole number")
    return int(images)


def _choice(
    roles: Mapping[str, str], name: str, choices: Sequence[str], default: str
) -> str:
    level = roles.get(name, "").lower() or default
    if level not in choices:
        raise _Unreadable(f"{name} is none of {', '.join(choices)}")
    return level


def _check_spread(table: Delimited, outcome: str, rows: Sequence[Observation]) -> None:
    """Raises if the response is nowhere, or one number in all of several rows."""
    values = [row.outcomes[outcome][0] for row in rows if outcome in row.outcomes]
    if not values:
        raise ValueError(
            f"{table.name}: {outcome} must be a number in one row or more, but is in"
            f" none of {len(table.rows)}."
        )
    if len(values) > 1 and len(set(values)) == 1:
        raise ValueError(
            f"{table.name}: {outcome} must differ between rows, but is {values[0]:g} in"
            f" all {len(values)}."
        )


def _plan(
    outcome: str,
    response: str,
    rows: Sequence[Observation],
    factors: Sequence[str],
) -> Preregistration:
    """The default plan of a table, with the measures that it has."""
    known = {name for row in rows for name in row.measures}
    default = Preregistration()
    depths: tuple[Nominal, ...] = get_args(Nominal)
    nominal = next((name for name in depths if name in known), default.nominal)
    baselines = tuple(name for name in default.baselines if name in known)
    explained = "log_error" if outcome == "accuracy" else response
    if response in RESPONSES and response != "accuracy":
        explained = response
    return Preregistration(
        response=explained,
        nominal=nominal,
        baselines=baselines,
        covariates=tuple(name for name in factors if name not in baselines),
    )
