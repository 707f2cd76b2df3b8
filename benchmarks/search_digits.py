"""Epochs that a search by real trainings pays until a network reaches a threshold.

    export OMP_NUM_THREADS=1
    python benchmarks/search_digits.py --arm
    python benchmarks/search_digits.py --methods random,tpe,guided --seeds 10
    python benchmarks/search_digits.py --fresh
    python benchmarks/search_digits.py --report

The space, the budget and the training are those of `studies/quickstart.toml` (task
`quickstart`); task `small` has a tenth of the parameters. The threshold is the 99th
percentile of an arm of 200 networks that no method selected, each finished once.

A run of seed s sees replicate s of every training. All methods ask in one space under
one budget: what is infeasible is constrained and pruned, and free; so are epochs that
the run has paid before. `--report` writes `benchmarks/search_digits/`. Every finished
training and run is appended to a CSV under `--folder`: a call resumes what is there.
"""

import argparse
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import torch
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
)
from optuna.trial import Trial, TrialState
from search_digits_methods import METHODS
from search_digits_report import write_report
from search_digits_trainings import (
    ARM,
    ARM_REPLICATE,
    BUDGETS,
    CAP,
    FLOOR,
    FRESH,
    ROOT,
    START,
    Task,
    Trainings,
    append_row,
    arm_of,
    as_candidate,
    read_rows,
    task_of,
    threshold_among,
)

from nasdepth.architecture.spec import Architecture
from nasdepth.guide.draws import Draw, draw_random
from nasdepth.search.candidates import Candidate

#: free asks in a row after which a random network is asked in their stead
PATIENCE: Final = 200


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one run.

    Attributes:
        task: of the run.
        method: likewise.
        seed: of the sampler, and the replicate of its trainings.
        reached: epochs paid until a finished network reached the threshold; None where
            none did.
        afresh: the same where a network that is taken up again starts from nothing.
        networks: networks begun until then.
        start: best accuracy of those finished among the first ten networks.
        floor_digest: best finished network after `FLOOR` networks' worth of epochs.
        floor_accuracy: its accuracy in the run.
        best: accuracy of the best finished network of the whole run.
        epochs: paid in the whole run.
        begun: networks of the whole run.
        finished: likewise.
        asked: trials.
        replaced: asks that a random network stood in for.
        seconds_asking: processor time of asking and telling a trial, mean over the run.
        trace: of each finished network the epochs paid by then and its accuracy.
    """

    task: str
    method: str
    seed: int
    reached: int | None
    afresh: int | None
    networks: int | None
    start: float
    floor_digest: str
    floor_accuracy: float
    best: float
    epochs: int
    begun: int
    finished: int
    asked: int
    replaced: int
    seconds_asking: float
    trace: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A network that was trained to its end, and what the run had paid by then."""

    digest: str
    accuracy: float
    epochs: int
    afresh: int
    begun: int


@dataclass(slots=True)  # not frozen: it collects
class Ledger:
    """What a run has paid and got.

    Attributes:
        paid: digest → epochs.
        afresh: epochs paid, if what is taken up again starts from nothing.
        finished: networks, in their order.
    """

    paid: dict[str, int] = field(default_factory=dict)
    afresh: int = 0
    finished: list[Finished] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Paid so far."""
        return sum(self.paid.values())

    def pay(self, digest: str, epoch: int) -> None:
        """Pay for an epoch, unless it is paid."""
        self.paid[digest] = max(epoch, self.paid.get(digest, 0))

    def close(self, digest: str, known: int) -> None:
        """End of a training of which so many epochs had been paid."""
        reached = self.paid.get(digest, 0)
        self.afresh += reached if reached > known else 0

    def finish(self, digest: str, accuracy: float) -> None:
        """Note a finished network."""
        told = self.epochs, self.afresh, len(self.paid)
        self.finished.append(Finished(digest, accuracy, *told))

    def reached(self, threshold: float) -> Finished | None:
        """The first that reached the threshold."""
        return next((f for f in self.finished if f.accuracy >= threshold), None)

    def best_within(self, epochs: int) -> Finished | None:
        """Best network finished within so many epochs, the earliest of equals."""
        there = [each for each in self.finished if each.epochs <= epochs]
        return max(there, key=lambda each: each.accuracy, default=None)


def run(
    task: Task, trainings: Trainings, name: str, seed: int, threshold: float
) -> Run:
    """One search, until the threshold is reached and the floor paid, or the cap."""
    method = METHODS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            direction="maximize",
            sampler=method.sampler(task, seed),
            pruner=method.pruner(task),
        )
    ledger = Ledger()
    generator = np.random.default_rng([seed, 7])
    free = replaced = 0
    asking = 0.0
    while not _is_over(task, ledger, threshold):
        if free == PATIENCE:
            study.enqueue_trial(_unseen(task, ledger, generator))
            replaced, free = replaced + 1, 0
        before, start = ledger.epochs, time.process_time()
        trial = study.ask()
        network = _network(task, trial)
        asking += time.process_time() - start
        accuracy = _outcome(task, trainings, trial, network, ledger, seed)
        start = time.process_time()
        pruned = TrialState.PRUNED if accuracy is None else TrialState.COMPLETE
        study.tell(trial, accuracy, state=pruned)
        asking += time.process_time() - start
        free = free + 1 if ledger.epochs == before else 0
    asked = len(study.get_trials(deepcopy=False))
    return _summary(
        task,
        ledger,
        threshold,
        {
            "task": task.name,
            "method": name,
            "seed": seed,
            "asked": asked,
            "replaced": replaced,
            "seconds_asking": round(asking / asked, 4),
        },
    )


def _is_over(task: Task, ledger: Ledger, threshold: float) -> bool:
    floor = FLOOR if ledger.reached(threshold) else CAP
    return ledger.epochs >= floor * task.epochs


def _network(task: Task, trial: Trial) -> Candidate | None:
    """The trial's network; None where it is infeasible, which the trial is told."""
    draw = Draw(lambda name, law: _suggested(trial, name, law))
    network = task.sieve().admit("trial", draw)
    if network is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            trial.set_constraint("budget", 1.0)
    return network


def _suggested(trial: Trial, name: str, law: BaseDistribution) -> Any:
    if isinstance(law, CategoricalDistribution):
        return trial.suggest_categorical(name, law.choices)
    assert isinstance(law, IntDistribution)
    return trial.suggest_int(name, law.low, law.high, step=law.step)


def _outcome(
    task: Task,
    trainings: Trainings,
    trial: Trial,
    network: Candidate | None,
    ledger: Ledger,
    seed: int,
) -> float | None:
    """Accuracy of the finished network; None where it was pruned."""
    if network is None:
        return None
    own = network.digest
    known = ledger.paid.get(own, 0)

    def visit(epoch: int, accuracy: float) -> None:
        ledger.pay(own, epoch)
        if math.isnan(accuracy):
            raise optuna.TrialPruned
        trial.report(accuracy, epoch)
        # what was finished before is returned, whatever the pruner thinks by now
        open_ = known < task.epochs and epoch < task.epochs
        if open_ and epoch >= task.rung and trial.should_prune():
            raise optuna.TrialPruned

    try:
        accuracy = trainings.run(network, seed, visit).curve[-1]
    except optuna.TrialPruned:
        return None
    finally:
        ledger.close(own, known)
    if known < task.epochs:
        ledger.finish(own, accuracy)
    return accuracy


def _unseen(
    task: Task, ledger: Ledger, generator: np.random.Generator
) -> dict[str, Any]:
    """Parameters of a random feasible network on which nothing was paid."""
    sieve = task.sieve()
    while True:
        network = sieve.admit("random", Draw(draw_random(generator)))
        if network is not None and network.digest not in ledger.paid:
            return network.params


def _summary(task: Task, ledger: Ledger, threshold: float, told: dict[str, Any]) -> Run:
    first = ledger.reached(threshold)
    early = [each.accuracy for each in ledger.finished if each.begun <= START]
    floor = ledger.best_within(FLOOR * task.epochs)
    best = ledger.best_within(ledger.epochs)
    return Run(
        **told,
        reached=first.epochs if first else None,
        afresh=first.afresh if first else None,
        networks=first.begun if first else None,
        start=max(early, default=0.0),
        floor_digest=floor.digest if floor else "",
        floor_accuracy=floor.accuracy if floor else 0.0,
        best=best.accuracy if best else 0.0,
        epochs=ledger.epochs,
        begun=len(ledger.paid),
        finished=len(ledger.finished),
        trace=" ".join(f"{f.epochs}:{f.accuracy:.6f}" for f in ledger.finished),
    )


def threshold_of(task: Task, trainings: Trainings) -> float:
    """The 99th percentile of the arm: an accuracy that one of them has.

    Raises:
        ValueError: the arm is not finished.
    """
    arm = trainings.replicate(ARM_REPLICATE)
    if len(arm) < ARM:
        raise ValueError(
            f"Task {task.name}: the arm must have {ARM} networks, but has {len(arm)};"
            " run --arm first."
        )
    return threshold_among([training.curve[-1] for training in arm[:ARM]])


def run_arm(task: Task, trainings: Trainings, count: int, again: int) -> None:
    """Train the arm once, and its first networks once more."""
    networks = arm_of(task, count)
    for place, network in enumerate([*networks, *networks[:again]]):
        done = trainings.run(network, ARM_REPLICATE + place // len(networks))
        print(task.name, "arm", place, done.params, done.curve[-1], flush=True)


def run_all(
    task: Task, trainings: Trainings, names: Sequence[str], seeds: range, path: Path
) -> None:
    """Every run that is not in the file, seed by seed."""
    threshold = threshold_of(task, trainings)
    done = {
        (row["method"], int(row["seed"]))
        for row in read_rows(path)
        if row["task"] == task.name
    }
    for seed in seeds:
        for name in names:
            if (name, seed) not in done:
                row = run(task, trainings, name, seed, threshold)
                append_row(path, asdict(row))
                print(row, flush=True)


def run_fresh(task: Task, trainings: Trainings, path: Path) -> None:
    """Train what each run had chosen after equal epochs anew, in other replicates."""
    for row in read_rows(path):
        if row["task"] != task.name or not row["floor_digest"]:
            continue
        chosen = trainings.get(row["floor_digest"], int(row["seed"]))
        assert chosen is not None  # the run has finished it
        architecture = Architecture.from_json(chosen.architecture)
        network = as_candidate(architecture, chosen.digest)
        for replicate in FRESH:
            done = trainings.run(network, replicate)
            print(task.name, "fresh", replicate, done.curve[-1], flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "search_digits")
    parser.add_argument("--tasks", default=",".join(BUDGETS))
    parser.add_argument("--methods", default="")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--arm", action="store_true")
    parser.add_argument("--again", type=int, default=40, help="of the arm, twice")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = [name for name in chosen.methods.split(",") if name]
    for name in chosen.tasks.split(","):
        task = task_of(name)
        trainings = Trainings(chosen.folder / "trainings.csv", task)
        if chosen.arm:
            run_arm(task, trainings, ARM, chosen.again)
        if names:
            seeds = range(chosen.first, chosen.first + chosen.seeds)
            run_all(task, trainings, names, seeds, chosen.folder / "runs.csv")
        if chosen.fresh:
            run_fresh(task, trainings, chosen.folder / "runs.csv")
    if chosen.report:
        write_report(chosen.folder, ROOT / "benchmarks" / "search_digits")


if __name__ == "__main__":
    main()
