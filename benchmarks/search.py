"""Networks trained until a good one is found: NAS-Bench-201, method against method.

    python benchmarks/search.py --tasks cifar100@50 --methods guided,tpe --seeds 30
    python benchmarks/search.py --seconds
    python benchmarks/search.py --report

A task is a data set, `@50` for the half of its distinct networks under the median of
live parameters, `:epochs` for budgets in epochs with 12-epoch trainings. A network that
was trained is free and returns its value again; one that may not be trained is free. A
run goes on to 300 networks, or to 100 if the targets are reached; one of epochs, to
20,000 or its target. Each finished run is
a row of `--runs`; those that are there are not repeated, so an interrupted run goes on.
Methods are interleaved seed by seed, and a network's training gives all of them the
same accuracy in a seed.
"""

import csv
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import click
import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import Trial, TrialState
from search_methods import METHODS, SHORT, Method
from search_report import FOLDER, ordered, report_on
from search_rows import Row, Speed, read, write
from search_tables import (
    NAMES,
    WITHIN,
    Network,
    Task,
    default_file,
    params_of,
    space,
    task,
)

from nasdepth.evidence.nasbench201_cells import OPERATIONS

#: epochs of a full training
LONG: Final = 200
#: networks, and networks after which a run may end
CAP: Final = 300
ENOUGH: Final = 100
#: trials without a training, in a row, before a random network is trained instead
FREE: Final = 20
#: what ends a run: a network of each target was trained, or was the incumbent
Until: TypeAlias = Literal["found", "held"]
SPEEDS: Final = "search-seconds.csv"
HALF_TASKS: Final = "cifar10@50,cifar100@50,imagenet16-120@50"


@dataclass(slots=True)  # not frozen: it counts
class Ledger:
    """What a run has trained and paid, and how good its incumbent is.

    The incumbent is the network of the best accuracy seen; its regret is in means.
    Costs are epochs in a task of epochs, else networks.
    """

    task: Task
    seed: int
    until: Until = "found"
    cap: int = CAP
    long: dict[str, float] = field(default_factory=dict)
    short: dict[str, float] = field(default_factory=dict)
    cost: int = 0
    asked: int = 0
    fallbacks: int = 0
    seconds: float = 0.0
    incumbent: Network | None = None
    trace: list[tuple[int, float]] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)

    @property
    def unit(self) -> int:
        """Cost of a full training."""
        return LONG if self.task.epochs else 1

    def glance(self, network: Network) -> float:
        """Trains for 12 epochs, unless that was done."""
        if network.digest not in self.short:
            self.cost += SHORT
            self.short[network.digest] = network.glanced(self.seed)
        return self.short[network.digest]

    def train(self, network: Network) -> float:
        """Trains in full, unless that was done."""
        if network.digest not in self.long:
            self.cost += self.unit
            self.long[network.digest] = network.trained(self.seed)
            self._note(network)
        return self.long[network.digest]

    def _note(self, network: Network) -> None:
        self._reach("found", network)
        best = self.incumbent
        if best is None or self.long[network.digest] > self.long[best.digest]:
            self.incumbent = network
            self.trace.append((self.cost, round(self.task.regret(network), 4)))
            self._reach("held", network)

    def _reach(self, kind: str, network: Network) -> None:
        if self.task.regret(network) <= WITHIN:
            self.reached.setdefault(f"{kind}_half", self.cost)
        if network.mean >= self.task.top:
            self.reached.setdefault(f"{kind}_top", self.cost)

    @property
    def finished(self) -> bool:
        """Whether the budget is spent, or enough of it and the targets reached."""
        targets = ("half",) if self.task.epochs else ("half", "top")
        goals = {f"{self.until}_{target}" for target in targets}
        least = 0 if self.task.epochs else ENOUGH
        enough = self.cost >= least and goals <= self.reached.keys()
        return enough or self.cost >= self.cap * self.unit


def run(ledger: Ledger, method: Method) -> Ledger:
    """One search, to its end."""
    study = _study(ledger.task, method, ledger.seed)
    generator = np.random.default_rng([ledger.seed, 0])
    free = 0
    while not ledger.finished:
        if free == FREE:
            study.enqueue_trial(_unseen(ledger, generator))
            ledger.fallbacks += 1
        before = ledger.cost
        _step(study, ledger, halve=method.pruner is not optuna.pruners.NopPruner)
        free = free + 1 if ledger.cost == before else 0
    return ledger


def _study(known: Task, method: Method, seed: int) -> optuna.Study:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = method.sampler(known, seed)
        return optuna.create_study(
            direction="maximize", sampler=sampler, pruner=method.pruner()
        )


def _unseen(ledger: Ledger, generator: np.random.Generator) -> dict[str, str]:
    """A random network that may be trained and was not, in part or in full."""
    seen = ledger.long.keys() | ledger.short.keys()
    rest = [network for network in ledger.task.networks if network.digest not in seen]
    return params_of(rest[int(generator.integers(len(rest)))])


def _step(study: optuna.Study, ledger: Ledger, *, halve: bool) -> None:
    """One trial; only what the method takes counts as its seconds."""
    start = time.perf_counter()
    trial = study.ask()
    network = ledger.task.network(space(trial))
    ledger.seconds += time.perf_counter() - start
    ledger.asked += 1
    trial.set_constraint("feasible", ledger.task.violation(network))
    value = None
    if network is not None and ledger.task.violation(network) <= 0:
        value = _value(trial, network, ledger, halve=halve)
    start = time.perf_counter()
    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    study.tell(trial, value, state=state)
    ledger.seconds += time.perf_counter() - start


def _value(
    trial: Trial, network: Network, ledger: Ledger, *, halve: bool
) -> float | None:
    """Accuracy after a full training; None where the short one was enough."""
    if halve and network.digest not in ledger.long:
        trial.report(ledger.glance(network), SHORT)
        if trial.should_prune():
            return None
    return ledger.train(network)


def row_of(name: str, ledger: Ledger) -> Row:
    """A finished search as a row."""
    known, reached = ledger.task, ledger.reached
    return Row(
        task=known.name,
        method=name,
        seed=ledger.seed,
        until=ledger.until,
        cap=ledger.cap * ledger.unit,
        networks=len(ledger.long),
        shorts=len(ledger.short),
        epochs=len(ledger.long) * LONG + len(ledger.short) * SHORT,
        blind=round(known.best - known.blind, 4),
        unit=ledger.unit,
        found_half=reached.get("found_half"),
        found_top=reached.get("found_top"),
        held_half=reached.get("held_half"),
        held_top=reached.get("held_top"),
        asked=ledger.asked,
        fallbacks=ledger.fallbacks,
        seconds=round(ledger.seconds / ledger.asked, 5),
        trace=" ".join(f"{cost}:{regret:g}" for cost, regret in ledger.trace),
    )


def speed_of(known: Task, name: str, *, trials: int = 300, asks: int = 25) -> Speed:
    """Seconds of one suggestion with that many finished trials, measuring apart.

    The trials are of random distinct networks; the first suggestion, which sets up, is
    told apart from those that follow, each answered by the table.
    """
    study = _study(known, METHODS[name], seed=0)
    chosen = np.random.default_rng(0).permutation(len(known.networks))[:trials]
    law = optuna.distributions.CategoricalDistribution(OPERATIONS)
    for number in chosen:
        network = known.networks[number]
        trial = optuna.trial.create_trial(
            params=params_of(network),
            distributions=dict.fromkeys(NAMES, law),
            value=network.trained(0),
        )
        study.add_trial(trial)
    ledger = Ledger(known, 0)
    taken = []
    for _ in range(asks + 1):
        before = ledger.seconds
        _step(study, ledger, halve=False)
        taken.append(ledger.seconds - before)
    first, *rest = taken
    return Speed(
        task=known.name,
        method=name,
        trials=trials,
        first=round(first, 4),
        median=round(float(np.median(rest)), 4),
        mean=round(float(np.mean(rest)), 4),
        longest=round(max(rest), 4),
    )


def wanted(
    tasks: Iterable[str], methods: Iterable[str], seeds: range
) -> Iterator[tuple[str, str, int]]:
    """All searches, seed by seed."""
    for seed in seeds:
        for name in tasks:
            for method in methods:
                yield name, method, seed


def append(path: Path, row: Row | Speed) -> None:
    """Adds a row to a file, with a header to a new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        names = [entry.name for entry in fields(row)]
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(asdict(row))


def write_report(paths: Sequence[Path]) -> None:
    """The committed table of runs, and the page about it."""
    rows = [row for path in paths for row in read(path, Row)]
    speeds = read(paths[0].with_name(SPEEDS), Speed)
    write(FOLDER / "search.csv", ordered(rows))
    (FOLDER / "search.md").write_text(report_on(rows, speeds), encoding="utf-8")


def listed(text: str, known: Mapping[str, Any] | None = None) -> list[str]:
    """Names between commas.

    Raises:
        ValueError: One that is not known.
    """
    names = text.split(",")
    for name in names:
        if known is not None and name not in known:
            choices = ", ".join(known)
            raise ValueError(f"Unknown method {name!r}; choose from: {choices}.")
    return names


@click.command()
@click.option("--tasks", default=HALF_TASKS, show_default=True)
@click.option(
    "--methods", default="guided,tpe,tpe-independent,random", show_default=True
)
@click.option("--seeds", default=30, show_default=True)
@click.option("--first", default=0, show_default=True, help="First seed.")
@click.option("--until", type=click.Choice(get_args(Until)), default="found")
@click.option("--cap", default=CAP, show_default=True, help="Networks at most.")
@click.option("--table", "file", type=click.Path(path_type=Path))
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    multiple=True,
    default=(Path("runs/search.csv"),),
    show_default=True,
    help="Finished runs: added to the first, read from all.",
)
@click.option("--seconds", is_flag=True, help="Time one suggestion at 300 trials.")
@click.option("--report", is_flag=True, help=f"Write the tables of {FOLDER.name}/.")
def main(
    tasks: str,
    methods: str,
    seeds: int,
    first: int,
    until: Until,
    cap: int,
    file: Path | None,
    runs: tuple[Path, ...],
    seconds: bool,
    report: bool,
) -> None:
    """Search the tables of NAS-Bench-201, or report what was found."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if report:
        write_report(runs)
        return
    file = file or default_file()
    names = listed(methods, METHODS)
    if seconds:
        for name in names:
            speed = speed_of(task(listed(tasks)[0], file), name)
            append(runs[0].with_name(SPEEDS), speed)
            click.echo(speed)
        return
    done = {
        (row.task, row.method, row.seed) for path in runs for row in read(path, Row)
    }
    for key in wanted(listed(tasks), names, range(first, first + seeds)):
        if key not in done:
            start = time.perf_counter()
            ledger = Ledger(task(key[0], file), key[2], until, cap)
            row = row_of(key[1], run(ledger, METHODS[key[1]]))
            append(runs[0], row)
            took = time.perf_counter() - start
            click.echo(f"{key} half {row.found_half} top {row.found_top} {took:.1f} s")


if __name__ == "__main__":
    main()
