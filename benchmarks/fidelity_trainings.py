"""Trainings behind the ranks of early results: each run once, a row each.

A training is a function of network, replicate and recipe alone. The recipes of one
network in one replicate share its first weights and the order of its images.
"""

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from nasdepth.network.build import build
from nasdepth.search.candidates import Candidate, Sieve, feasible
from nasdepth.search.config import BudgetConfig, StudyConfig
from nasdepth.search.space_config import SpaceConfig
from nasdepth.search.study import space_of
from nasdepth.training.data import DataConfig, Dataset, load
from nasdepth.training.loop import evaluate, fit
from nasdepth.training.recipe import Diverged, Epoch, TrainingConfig

NETWORKS: Final = 40
REPLICATES: Final = 3
#: epochs of the early results, and of a whole training
RUNGS: Final = (1, 3)
EPOCHS: Final = 9
COOLED: Final = "cooled"
#: share of the steps up to a rung that its cooled branch takes
COOLDOWN: Final = 0.25
#: Fashion-MNIST at half its side: 50 steps an epoch, some seconds a training
STUDY: Final = StudyConfig(
    name="fidelity",
    data=DataConfig("fashion-mnist", size=14, validation=1 / 30, limit=3_200),
    space=SpaceConfig(
        stages=(1, 3),
        depth=(1, 3),
        width=(4, 32),
        width_step=4,
        growth=(4, 16),
        topologies=("plain", "residual", "bottleneck", "parallel", "dense", "cell"),
        links=(1, 32),
        stem=(8,),
    ),
    budget=BudgetConfig(params=60_000, macs=1_000_000),
    training=TrainingConfig(epochs=EPOCHS, batch_size=64),
)
#: the same on fewer and smaller images, to see that all parts work
QUICK: Final = STUDY.model_copy(
    update={
        "data": DataConfig("digits", validation=0.2, limit=400),
        "budget": BudgetConfig(params=5_000, macs=50_000),
        "training": TrainingConfig(epochs=EPOCHS, batch_size=8),
    }
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the trainings of one kind differ from the study's.

    Attributes:
        changes: of the study's training.
        last: epoch after which the training ends.
    """

    changes: Mapping[str, Any]
    last: int


RECIPES: Final[Mapping[str, Recipe]] = {
    "wsd": Recipe({}, EPOCHS),
    "one-cycle": Recipe({"schedule": "one-cycle"}, EPOCHS),
    "one-cycle-1": Recipe({"schedule": "one-cycle", "epochs": 1}, 1),
    "one-cycle-3": Recipe({"schedule": "one-cycle", "epochs": 3}, 3),
    # of the cooled branches alone: what follows the last rung is as in "wsd"
    COOLED: Recipe({"cooldown": COOLDOWN}, RUNGS[-1]),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One training.

    Attributes:
        network: its place in the sample.
        digest: of its graph.
        params: its learnable parameters.
        macs: of one image.
        replicate: of its seed.
        recipe: key of `RECIPES`.
        seconds: processor time.
        accuracies: of each epoch, as the training reports them; short if it diverged.
        raw: of the weights as they are, after the epochs of `RUNGS`.
        losses: mean training loss of each epoch.
    """

    network: int
    digest: str
    params: int
    macs: int
    replicate: int
    recipe: str
    seconds: float
    accuracies: tuple[float, ...]
    raw: tuple[float, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)  # tensors have no single equality
class Sample:
    """Networks of a space, with the data to train them on."""

    config: StudyConfig
    dataset: Dataset
    networks: Sequence[Candidate]


class _Enough(Exception):
    """The last epoch that is wanted is over."""


def sample(config: StudyConfig, count: int) -> Sample:
    """Networks that no result selected: quasi-random over the feasible space."""
    dataset = load(config.data)
    space = space_of(config, dataset)
    sieve = Sieve(space, config.budget.limits())
    networks = feasible(config, space, count, seed=[config.search.seed, 9], sieve=sieve)
    return Sample(config, dataset, networks)


def run_all(
    drawn: Sample,
    path: Path,
    *,
    replicates: int = REPLICATES,
    seen: Callable[[Row], None] = lambda row: None,
) -> None:
    """Run every training that is not in the file, replicate by replicate.

    The cooled branches come last, as the part that can be spared.

    Args:
        drawn: the networks.
        path: of the CSV, to which each training is appended as it ends.
        replicates: seeds of each network.
        seen: is shown each new row.
    """
    known = {(row.network, row.replicate, row.recipe) for row in read(path)}
    wanted = product(range(replicates), range(len(drawn.networks)), RECIPES)
    for replicate, network, recipe in sorted(wanted, key=lambda key: key[2] == COOLED):
        if (network, replicate, recipe) not in known:
            row = train(drawn, network, replicate, recipe)
            append(path, row)
            seen(row)


def train(drawn: Sample, network: int, replicate: int, recipe: str) -> Row:
    """One training."""
    chosen, kind = drawn.networks[network], RECIPES[recipe]
    seed = seed_of(chosen.digest, replicate)
    module = build(chosen.architecture, seed=seed)
    epochs: list[Epoch] = []
    raw: list[float] = []

    def on_epoch(epoch: Epoch) -> None:
        epochs.append(epoch)
        if epoch.index in RUNGS:
            raw.append(_accuracy(module, drawn.dataset))
        if epoch.index == kind.last:
            raise _Enough

    start = time.process_time()
    with suppress(_Enough, Diverged):
        fit(
            module,
            drawn.dataset,
            replace(drawn.config.training, **kind.changes),
            seed=seed,
            device="cpu",
            on_epoch=on_epoch,
        )
    return Row(
        network,
        chosen.digest,
        int(chosen.measures["params"] or 0),
        int(chosen.measures["macs"] or 0),
        replicate,
        recipe,
        round(time.process_time() - start, 2),
        tuple(round(epoch.validation_accuracy, 6) for epoch in epochs),
        tuple(round(value, 6) for value in raw),
        tuple(round(epoch.loss, 5) for epoch in epochs),
    )


def seed_of(digest: str, replicate: int) -> int:
    """Seed of a network's weights and data order."""
    sequence = np.random.SeedSequence([replicate, int(digest[:16], 16)])
    return int(sequence.generate_state(1)[0])


def read(path: Path) -> list[Row]:
    """Rows of a file; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [_row(line) for line in csv.DictReader(file)]


def append(path: Path, row: Row) -> None:
    """Append a row to a file, with a header where it is new."""
    new = not path.is_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(field.name for field in fields(Row))
        writer.writerow(map(_text, asdict(row).values()))


def _accuracy(module: Any, dataset: Dataset) -> float:
    images, labels = dataset.validation_images, dataset.validation_labels
    return evaluate(module, images, labels, dataset, device="cpu").accuracy


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _row(line: Mapping[str, str]) -> Row:
    whole = ("network", "params", "macs", "replicate")
    many = ("accuracies", "raw", "losses")
    values: dict[str, Any] = dict(line)
    values |= {name: int(line[name]) for name in whole}
    values |= {name: tuple(map(float, line[name].split())) for name in many}
    return Row(**values | {"seconds": float(line["seconds"])})
