"""Which tests hold their level: the simulation study behind the package's table.

    python studies/calibration/run.py simulate partial dependent ...   # resumes
    python studies/calibration/run.py collect

`simulate` appends a line per cell, method and kind to parts/EXPERIMENT.csv beside this
file (or under --work); cells that are there are skipped. `collect` writes
nasdepth/statistics/calibration.csv from the parts, figure.png, and prints the README's
tables.
"""

import argparse
import csv
import hashlib
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from experiments import EXPERIMENTS, Cell
from report import draw, print_tables

from nasdepth import __version__
from nasdepth.statistics.simulation import NOISES, Noise

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "nasdepth" / "statistics" / "calibration.csv"
COLUMNS = (
    "method",
    "kind",
    "experiment",
    "n",
    "r",
    "noise",
    "effect",
    "families",
    "runs",
    "rate",
    "mc_error",
    "draws",
    "version",
)
SIZES, CORRELATIONS = (8, 10, 20, 40, 100, 400), (0.0, 0.5, 0.95, 0.99)
NORMAL: tuple[Noise, ...] = ("normal",)
Row = dict[str, str]
#: columns that tell a cell from the others of its experiment
PLACE = ("n", "r", "noise", "effect", "families")


def cells(experiment: str) -> list[Cell]:
    """The cells of an experiment, in the order in which they are run."""
    match experiment:
        case "partial":
            nulls = [
                *grid(experiment, ns=SIZES[:4], runs=4000),
                *grid(experiment, ns=SIZES[4:]),
            ]
            effects = grid(experiment, rs=(0.0, 0.95), effects=(0.2, 0.5))
            return sorted([*nulls, *effects], key=lambda cell: cell.n)
        case "verdict":
            rest = {"rs": (0.0, 0.95)}
            none = grid(experiment, **rest)
            # the index's partial correlation of .5 is one of .2 to .3 below a ceiling
            near = grid(experiment, noises=NOISES[:3], effects=(0.2,), **rest)
            below = grid(experiment, noises=NOISES[3:], effects=(0.5,), **rest)
            return sorted([*none, *near, *below], key=lambda cell: cell.n)
        case "scaled":
            return [*grid(experiment, rs=(0.0, 0.95), effects=(0.5,))]
        case "slopes":
            return [*grid(experiment, rs=(0.0, 0.95), draws=0)]
        case "dependent":
            return [*grid(experiment, draws=0)]
        case "rivals":
            rest = {"ns": SIZES[1:], "draws": 199}
            half = grid(experiment, rs=(0.5,), **rest)
            near = grid(experiment, rs=(0.95,), noises=NOISES[:2], **rest)
            return [*half, *near]
        case "delta":
            rest = {"rs": (0.95,), "noises": NORMAL}
            few = grid(experiment, ns=SIZES[2:5], effects=(0.0, 0.2, 0.5), **rest)
            return [*few, *grid(experiment, ns=SIZES[5:], **rest)]
        case "families":
            rest = {"ns": SIZES[2:], "rs": (0.95,), "families": 4}
            four = grid(experiment, **rest)
            # what an effect is within families below a ceiling is not known
            effects = grid(experiment, noises=NOISES[:3], effects=(0.2,), **rest)
            rest = {"rs": (0.95,), "families": 20}
            twenty = grid(experiment, ns=SIZES[3:], noises=NOISES[:2], **rest)
            other = grid(experiment, ns=(100,), noises=NOISES[2:], **rest)
            return [*four, *effects, *twenty, *other]
        case "single":
            rest = {"ns": (40,), "rs": (0.95,), "noises": NORMAL}
            return [
                cell for k in (4, 10) for cell in grid(experiment, families=k, **rest)
            ]
        case "curve":
            return [*grid(experiment, rs=(0.0, 0.95), draws=199)]
    raise ValueError(f"Unknown experiment {experiment!r}.")


def grid(
    experiment: str,
    *,
    ns: Sequence[int] = SIZES,
    rs: Sequence[float] = CORRELATIONS,
    noises: Sequence[Noise] = NOISES,
    effects: Sequence[float] = (0.0,),
    families: int = 0,
    runs: int = 2000,
    draws: int = 399,
) -> Iterator[Cell]:
    """Every population of the given properties."""
    for n, r, noise, effect in product(ns, rs, noises, effects):
        yield Cell(experiment, n, r, noise, effect, families, runs, draws)


def seed_of(cell: Cell) -> int:
    """First of a cell's seeds, from what its population is."""
    name = f"{cell.experiment}/{cell.n}/{cell.r}/{cell.noise}/{cell.effect}"
    digest = hashlib.sha256(f"{name}/{cell.families}".encode()).digest()
    return int.from_bytes(digest[:6], "big") * 100_000


def measure(cell: Cell, *, skip: int = 0) -> list[Row]:
    """Rates of the cell's events, a row per method and kind.

    Args:
        cell: The cell; it says how many runs.
        skip: Seeds to leave out: a measurement of other samples than the table's.
    """
    first, run = seed_of(cell) + skip, EXPERIMENTS[cell.experiment]
    hits: Counter[tuple[str, str]] = Counter()
    runs: Counter[tuple[str, str]] = Counter()
    for index in range(cell.runs):
        events = run(cell, first + index)
        runs.update(events.keys())
        hits.update(key for key, happened in events.items() if happened)
    return [row(cell, key, hits[key], count) for key, count in runs.items()]


def row(cell: Cell, key: tuple[str, str], hits: int, runs: int) -> Row:
    """A line of the table."""
    rate = hits / runs
    method, kind = key
    return {
        "method": method,
        "kind": kind,
        "experiment": cell.experiment,
        "n": str(cell.n),
        "r": str(cell.r),
        "noise": cell.noise,
        "effect": str(cell.effect),
        "families": str(cell.families),
        "runs": str(runs),
        "rate": f"{rate:.4f}",
        "mc_error": f"{math.sqrt(rate * (1 - rate) / runs):.4f}",
        "draws": str(cell.draws),
        "version": __version__,
    }


def place(cell: Cell) -> tuple[str, ...]:
    """What tells a cell from the others of its experiment."""
    return tuple(str(getattr(cell, name)) for name in PLACE)


def simulate(experiment: str, work: Path) -> None:
    """Run the cells that are not recorded yet, recording each as it ends."""
    path = work / f"{experiment}.csv"
    done = {tuple(line[name] for name in PLACE) for line in read(path)}
    todo = [cell for cell in cells(experiment) if place(cell) not in done]
    for number, cell in enumerate(todo, 1):
        start = time.perf_counter()
        write(path, measure(cell), append=True)
        seconds = time.perf_counter() - start
        print(f"{experiment} {number}/{len(todo)} {place(cell)} {seconds:.0f} s")


def read(path: Path) -> list[Row]:
    """The lines of a file, none where it is missing."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Iterable[Row], *, append: bool = False) -> None:
    """Write the lines, or append them, with a header at the top."""
    new = not (append and path.exists())
    with path.open("a" if append else "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


#: cells of the short form, every method of the package in one or more of them
SHORT = (
    Cell("partial", 20, 0.95, "heteroscedastic"),
    Cell("partial", 40, 0.0, "heavy"),
    Cell("partial", 40, 0.95, "normal", effect=0.5),
    Cell("dependent", 20, 0.99, "normal", draws=0),
    Cell("rivals", 40, 0.5, "normal", draws=199),
    Cell("curve", 20, 0.95, "ceiling", draws=199),
    Cell("families", 40, 0.95, "normal", families=4),
    Cell("delta", 40, 0.95, "normal", effect=0.2),
)
# Standard errors between two measurements that are taken as the same.
_AGREE = 4.0


def disagreements(cell: Cell, table: Iterable[Row], *, runs: int) -> list[str]:
    """Rates of a short, separate simulation that are not the table's.

    Args:
        cell: The cell to simulate anew.
        table: Lines of the committed table.
        runs: Samples of the short simulation, other ones than the table's.
    """
    known = {
        (line["method"], line["kind"]): line
        for line in table
        if line["experiment"] == cell.experiment
        and tuple(line[name] for name in PLACE) == place(cell)
    }
    found = []
    for line in measure(replace(cell, runs=runs), skip=50_000 - runs):
        expected = known.pop((line["method"], line["kind"]))
        if not agree(line, expected):
            name = f"{line['method']} {line['kind']}"
            found.append(f"{name}: {line['rate']}, in the table {expected['rate']}")
    return [*found, *(f"{method} {kind}: no result" for method, kind in known)]


def agree(one: Row, other: Row) -> bool:
    """Whether two rates differ by no more than their simulation error."""
    sizes = [int(line["runs"]) for line in (one, other)]
    rates = [float(line["rate"]) for line in (one, other)]
    # One hit and one miss more keep an error where no run or every run was a hit.
    pooled = (sum(map(math.prod, zip(sizes, rates, strict=True))) + 1) / (
        sum(sizes) + 2
    )
    error = math.sqrt(pooled * (1 - pooled) * sum(1 / size for size in sizes))
    return abs(rates[0] - rates[1]) <= _AGREE * error


def collect(work: Path) -> None:
    """One table of all parts, the figure, and the README's tables on the screen."""
    rows = [line for name in EXPERIMENTS for line in read(work / f"{name}.csv")]
    rows.sort(key=order)
    write(TABLE, rows)
    draw(rows, HERE / "figure.png")
    print_tables(rows)


def order(line: Row) -> tuple[str, str, int, int, float, float, str]:
    """Where a line stands in the table."""
    return (
        line["method"],
        line["kind"],
        int(line["families"]),
        int(line["n"]),
        float(line["effect"]),
        float(line["r"]),
        line["noise"],
    )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("simulate", "collect"))
    parser.add_argument("experiments", nargs="*", help="by default all")
    parser.add_argument("--work", type=Path, default=HERE / "parts")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.action == "collect":
        collect(options.work)
        return
    for experiment in options.experiments or EXPERIMENTS:
        simulate(experiment, options.work)


if __name__ == "__main__":
    main()
