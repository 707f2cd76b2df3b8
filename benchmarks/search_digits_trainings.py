"""Real trainings of small networks on the digits, each run once and kept.

A training is a function of the network's digest and the replicate alone: what is picked
twice in one replicate gives one curve, whoever picks it, and is trained once.
"""

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nasdepth.architecture.spec import Architecture
from nasdepth.measures.summaries import summarize
from nasdepth.network.build import build
from nasdepth.search.candidates import Candidate, Sieve, feasible
from nasdepth.search.config import BudgetConfig, StudyConfig, load_config
from nasdepth.search.space import Space
from nasdepth.search.study import space_of
from nasdepth.training.data import Dataset, load
from nasdepth.training.loop import fit
from nasdepth.training.recipe import Diverged, Epoch

ROOT: Final = Path(__file__).parents[1]
STUDY: Final = ROOT / "studies" / "quickstart.toml"
BUDGETS: Final[Mapping[str, BudgetConfig | None]] = {
    "quickstart": None,  # as the study has it
    "small": BudgetConfig(params=6_000, macs=300_000),
}
ARM: Final = 200
#: replicates of the arm, and of the networks that are trained again
ARM_REPLICATE: Final = 1_000
FRESH: Final = tuple(range(2_000, 2_005))
#: networks' worth of epochs that a run pays at most
CAP: Final = 60
#: and at least, so that runs can be compared after equal epochs
FLOOR: Final = 12
#: networks of the start-up
START: Final = 10


@dataclass(frozen=True, slots=True)
class Training:
    """Validation accuracies of one network, epoch by epoch; a pruned one is short.

    Attributes:
        task: of the network.
        digest: of its graph.
        replicate: of its seed.
        params: its learnable parameters.
        seconds: processor time of the training.
        curve: accuracies; NaN at the end where it diverged.
        architecture: as JSON.
    """

    task: str
    digest: str
    replicate: int
    params: int
    seconds: float
    curve: tuple[float, ...]
    architecture: str


class Trainings:
    """Every training of a task that was ever run, in memory and in a file."""

    def __init__(self, path: Path, task: "Task") -> None:
        self._path, self._task = path, task
        self._kept = {
            (row.digest, row.replicate): row
            for row in read_trainings(path)
            if row.task == task.name
        }

    def get(self, digest: str, replicate: int) -> Training | None:
        """What is known of a network in a replicate."""
        return self._kept.get((digest, replicate))

    def replicate(self, replicate: int) -> list[Training]:
        """All of one replicate, in the order they were trained."""
        return [t for (_, r), t in self._kept.items() if r == replicate]

    def run(
        self,
        network: Candidate,
        replicate: int,
        visit: Callable[[int, float], None] = lambda epoch, accuracy: None,
    ) -> Training:
        """Visit every epoch of a training, of which only unknown ones are trained.

        Args:
            network: to train.
            replicate: of its seed.
            visit: is shown epoch and accuracy (NaN: diverged); what it raises ends the
                training, and what was trained is kept.
        """
        old = self.get(network.digest, replicate)
        known = old.curve if old else ()
        for index, accuracy in enumerate(known, start=1):
            visit(index, accuracy)
        if old and (len(known) == self._task.epochs or known[-1] != known[-1]):
            return old
        return self._train(network, replicate, len(known), visit)

    def _train(
        self,
        network: Candidate,
        replicate: int,
        known: int,
        visit: Callable[[int, float], None],
    ) -> Training:
        curve: list[float] = []

        def on_epoch(epoch: Epoch) -> None:
            curve.append(round(epoch.validation_accuracy, 6))
            if epoch.index > known:
                visit(epoch.index, curve[-1])

        start = time.process_time()
        try:
            self._task.fit(network.architecture, network.digest, replicate, on_epoch)
        except Diverged as error:
            curve.append(float("nan"))
            visit(error.epoch, curve[-1])
        finally:
            done = Training(
                self._task.name,
                network.digest,
                replicate,
                int(network.measures["params"] or 0),
                round(time.process_time() - start, 3),
                tuple(curve),
                network.architecture.to_json(),
            )
            if len(curve) > known:
                self._keep(done)
                append_row(self._path, asdict(done) | {"curve": _text(done.curve)})
        return done

    def _keep(self, row: Training) -> None:
        old = self.get(row.digest, row.replicate)
        if old is None or len(row.curve) > len(old.curve):
            self._kept[row.digest, row.replicate] = row


@dataclass(frozen=True, slots=True)
class Task:
    """A space with its budget and training, on data that are loaded."""

    name: str
    config: StudyConfig
    dataset: Dataset
    space: Space

    @property
    def epochs(self) -> int:
        """Of a training that is finished."""
        return self.config.training.epochs

    @property
    def rung(self) -> int:
        """Epoch of the first decision: a third of all, as in studies when it ran."""
        return -(-self.epochs // 3)

    def sieve(self) -> Sieve:
        """A new filter of what is feasible."""
        return Sieve(self.space, self.config.budget.limits())

    def fit(
        self,
        architecture: Architecture,
        digest: str,
        replicate: int,
        on_epoch: Callable[[Epoch], None],
    ) -> None:
        """Train a network as a study trains it, from a seed of digest and replicate."""
        seed = seed_of(digest, replicate)
        fit(
            build(architecture, seed=seed),
            self.dataset,
            self.config.training,
            seed=seed,
            device="cpu",
            on_epoch=on_epoch,
        )


def task_of(name: str, **training: Any) -> Task:
    """Task of a name, with other settings of the training where they are given."""
    config = load_config(STUDY)
    budget = BUDGETS[name] or config.budget
    recipe = replace(config.training, **training)
    config = config.model_copy(update={"budget": budget, "training": recipe})
    dataset = load(config.data)
    return Task(name, config, dataset, space_of(config, dataset))


def seed_of(digest: str, replicate: int) -> int:
    """Seed of a network's weights and data order."""
    sequence = np.random.SeedSequence([replicate, int(digest[:16], 16)])
    return int(sequence.generate_state(1)[0])


def arm_of(task: Task, count: int = ARM) -> list[Candidate]:
    """Networks that no method selected: quasi-random over the feasible space."""
    sieve = task.sieve()
    return feasible(task.config, task.space, count, seed=[0, 9], sieve=sieve)


def as_candidate(architecture: Architecture, digest: str) -> Candidate:
    """A network that is known to be feasible."""
    measures = summarize(architecture)
    return Candidate("given", {}, {}, architecture, digest, measures)


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV; none where there is no file."""
    if path.is_file():
        with path.open(newline="") as file:
            yield from csv.DictReader(file)


def read_trainings(path: Path) -> list[Training]:
    """Trainings of a file, the longest of each network and replicate."""
    kept: dict[tuple[str, str, int], Training] = {}
    for row in map(_training, read_rows(path)):
        key = row.task, row.digest, row.replicate
        if key not in kept or len(row.curve) > len(kept[key].curve):
            kept[key] = row
    return list(kept.values())


def threshold_among(
    accuracies: Sequence[float] | NDArray[np.float64], percentile: int = 99
) -> float:
    """A percentile of an arm: an accuracy that one of its networks has."""
    return float(np.percentile(accuracies, percentile, method="inverted_cdf"))


def append_row(path: Path, row: Mapping[str, object]) -> None:
    """Append a row to a CSV, with a header where it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def _training(row: Mapping[str, str]) -> Training:
    return Training(
        row["task"],
        row["digest"],
        int(row["replicate"]),
        int(row["params"]),
        float(row["seconds"]),
        tuple(map(float, row["curve"].split())),
        row["architecture"],
    )


def _text(curve: Sequence[float]) -> str:
    return " ".join(f"{value:.6f}" for value in curve)
