"""Depth ladders of small networks on Fashion-MNIST, for claims H2 to H10.

    python studies/ladder/run.py records
    python studies/ladder/run.py rates
    python studies/ladder/run.py claims

`records` trains every network with one recipe: plain and residual ones with three
seeds, stacks and cells with one. `rates` trains a few over learning rates without
clipping. Rows are appended to a file beside this one as they come, and what is there is
not trained again. `claims` prints what both say.
"""

import argparse
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn

import nasdepth
from nasdepth.architecture.spec import Links
from nasdepth.claims import depth as claims_depth
from nasdepth.claims import parallel as claims_parallel
from nasdepth.claims import training as claims_training
from nasdepth.claims import trends as claims_trends
from nasdepth.claims.claim import CLAIMS, Options
from nasdepth.claims.finding import corrected
from nasdepth.evidence.observations import Evidence, observations_of
from nasdepth.evidence.records import TrialRecord, read_csv, write_csv
from nasdepth.measures.structure import Undefined
from nasdepth.network.dynamics import attenuation_slope
from nasdepth.training.data import DataConfig, Dataset, load
from nasdepth.training.loop import evaluate, fit
from nasdepth.training.recipe import Diverged, Fit, TrainingConfig

HERE = Path(__file__).parent
DATA = DataConfig("fashion-mnist", size=14, validation=1 / 30, limit=1500)
RECIPE = TrainingConfig(
    epochs=10,
    batch_size=64,
    learning_rate=0.15,
    schedule="one-cycle",
    label_smoothing=0.0,
    precision="fp32",
    augment=False,
)
LAYERS = (2, 4, 8, 12, 16, 24, 32)
NORMS = ("batch", "none")
RATES = (0.15, 0.6, 2.4)
#: whose import registers the claims
REGISTERED = (claims_depth, claims_parallel, claims_training, claims_trends)
#: that the first file is made for
CLAIMED = tuple(f"H{number}" for number in range(2, 11))
#: images on which the gradient slopes are measured
PROBED = 128
#: of the images
SHAPE = (1, 14, 14)


Key: TypeAlias = tuple[str, float, int]


@dataclass(frozen=True, slots=True)
class Network:
    """One network of the ladder: `layers` convolutions of `filters` channels.

    Attributes:
        family: "plain", "residual" (two convolutions a block), "parallel" or "cell".
        layers: convolutions between stem and classifier.
        filters: channels of each.
        norm: "batch" or "none".
        branches: layers p of a parallel group.
        dropped: shortcuts that a residual network lacks.
        links: channels that long-range links bring to a layer of a cell.
    """

    family: str
    layers: int
    filters: int = 8
    norm: str = "batch"
    branches: int = 1
    dropped: int = 0
    links: Links = 0

    def architecture(self) -> nasdepth.Architecture:
        """The network as the package knows it."""
        own = {
            "plain": nasdepth.Stage(),
            "residual": nasdepth.Stage(skip="add", span=2, depth=2),
            "parallel": nasdepth.Stage(skip="add"),
            "cell": nasdepth.Stage(skip="concat"),
        }[self.family]
        stage = replace(
            own,
            depth=self.layers // own.span,
            width=self.filters,
            branches=self.branches,
            dropped=self.dropped,
            links=self.links,
        )
        stem = nasdepth.Stem(self.filters, stride=2)
        return nasdepth.Architecture((stage,), stem, norm=self.norm, input_shape=SHAPE)


def ladder() -> Iterator[Network]:
    """Plain and residual networks, and residual ones without some shortcuts."""
    for norm in NORMS:
        for layers in LAYERS:
            yield Network("plain", layers, norm=norm)
            yield Network("residual", layers, norm=norm)
        for layers in (8, 16, 32):
            for quarters in (1, 2, 3):
                dropped = quarters * layers // 8
                yield Network("residual", layers, norm=norm, dropped=dropped)


def stacks() -> Iterator[Network]:
    """One-convolution residual layers in sequence and in parallel groups."""
    one_filter = [(layers, 1) for layers in (1, 2, 4, 8, 16, 32)]
    sixteen_layers = [(16, filters) for filters in (1, 2, 4, 8, 16)]
    product = [(1, 32), (2, 16), (4, 8), (8, 4), (16, 2), (32, 1)]
    further = [(2, 8), (8, 8), (32, 8), (4, 16), (8, 16)]
    for norm in NORMS:
        for layers, filters in one_filter + sixteen_layers + product + further:
            yield Network("parallel", layers, filters, norm)
            yield Network("parallel", layers, filters, norm, layers)
        for layers in (8, 16, 32):
            yield Network("parallel", layers, norm=norm, branches=layers // 4)


def cells() -> Iterator[Network]:
    """Cells of equal width whose long-range links are concatenated, for H9."""
    for layers in (4, 8):
        for filters in (4, 6, 8):
            for links in (0, 4, 12, filters * (layers - 2)):
                yield Network("cell", layers, filters, links=links)


def _shapes() -> tuple[tuple[int, int], ...]:
    """Layers and filters of the stacks whose parallel form is trained too."""
    one_filter = [(layers, 1) for layers in (1, 2, 4, 8, 16, 32)]
    sixteen_layers = [(16, filters) for filters in (1, 2, 4, 8, 16)]
    product = [(1, 32), (2, 16), (4, 8), (8, 4), (16, 2), (32, 1)]
    further = [(2, 8), (8, 8), (32, 8), (4, 16), (8, 16)]
    return tuple(dict.fromkeys(one_filter + sixteen_layers + product + further))


def rates() -> Iterator[tuple[Network, float]]:
    """Networks and learning rates of the second file, without clipping."""
    for rate in RATES:
        for norm in NORMS:
            for layers in (4, 12, 24):
                yield Network("plain", layers, norm=norm), rate
                yield Network("residual", layers, norm=norm), rate
                yield Network("parallel", layers, norm=norm, branches=layers), rate


@dataclass(frozen=True, slots=True)
class Job:
    """One training: a network, a recipe and a seed."""

    network: Network
    recipe: TrainingConfig
    seed: int

    @property
    def key(self) -> Key:
        """What tells it from every other training of its file."""
        text = self.network.architecture().to_json()
        return text, self.recipe.learning_rate, self.seed


def jobs(name: str) -> tuple[Job, ...]:
    """All trainings of a file, each once, in the order in which they run."""
    if name == "records":
        every = [Job(network, RECIPE, 0) for network in (*ladder(), *stacks())]
        every += [Job(network, RECIPE, s) for s in (1, 2) for network in ladder()]
        every += [Job(network, RECIPE, 0) for network in cells()]
    else:
        unclipped = replace(RECIPE, clip_norm=0.0, epochs=4)
        every = [
            Job(network, replace(unclipped, learning_rate=rate), 0)
            for network, rate in rates()
        ]
    return tuple({job.key: job for job in every}.values())


def train(job: Job, number: int, data: Dataset) -> TrialRecord:
    """Trains one network and records it; a diverged training is recorded as pruned."""
    architecture = job.network.architecture()
    module = nasdepth.build(architecture, seed=1000 + job.seed)
    graph = nasdepth.lower(architecture)
    measures = nasdepth.measure(graph) | _described(job, data)
    measures["initial_gradient_slope"] = _slope(module, data)
    start = time.perf_counter()
    found: Fit | Diverged
    try:
        found = fit(module, data, job.recipe, seed=job.seed, device="cpu")
        measures |= _outcomes(module, data)
    except Diverged as error:
        found = error
    finished = isinstance(found, Fit)
    return TrialRecord(
        number=number,
        arm="unselected",
        state="complete" if finished else "pruned",
        architecture=architecture.to_json(),
        digest=nasdepth.digest(graph),
        measures=measures,
        curve=tuple(epoch.validation_accuracy for epoch in found.curve),
        accuracy=found.accuracy if isinstance(found, Fit) else None,
        validation_images=len(data.validation_labels),
        seconds=round(time.perf_counter() - start, 2),
        seed=job.seed,
        reason="" if isinstance(found, Fit) else f"diverged: epoch {found.epoch}",
        dataset=data.label,
        config_digest="",
        versions=f"nasdepth {nasdepth.__version__}, torch {torch.__version__}",
    )


def _described(job: Job, data: Dataset) -> dict[str, float | None]:
    """Columns that say what was trained how."""
    return {
        "layers": job.network.layers,
        "filters": job.network.filters,
        "branches": job.network.branches,
        "dropped": job.network.dropped,
        "batch_norm": float(job.network.norm == "batch"),
        "train_images": len(data.train_labels),
        "outputs": len(data.classes),
        "learning_rate": job.recipe.learning_rate,
    }


def _outcomes(module: nn.Module, data: Dataset) -> dict[str, float | None]:
    """Losses of the final weights, their gap, and the final gradient slope."""
    seen = evaluate(module, data.train_images, data.train_labels, data, device="cpu")
    held = evaluate(
        module, data.validation_images, data.validation_labels, data, device="cpu"
    )
    return {
        "train_loss": seen.loss,
        "validation_loss": held.loss,
        "generalization_gap": held.loss - seen.loss,
        "train_accuracy": seen.accuracy,
        "gradient_slope": _slope(module, data),
    }


def _slope(module: nn.Module, data: Dataset) -> float | None:
    """Slope of the log gradient norm over layers on the first training images."""
    mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (data.mean, data.std))
    images = (data.train_images[:PROBED].float() / 255 - mean) / std
    try:
        return attenuation_slope(module, images, data.train_labels[:PROBED]).value
    except Undefined:
        return None


def key_of(row: TrialRecord) -> Key:
    """The key of the training behind a recorded row."""
    rate = row.measures["learning_rate"]
    assert rate is not None
    return row.architecture, rate, row.seed


def run(name: str) -> None:
    """Trains what is not recorded yet, writing the file after every training."""
    path = HERE / f"{name}.csv"
    data = load(DATA)
    every = jobs(name)
    place = {job.key: number for number, job in enumerate(every)}
    kept = read_csv(path) if path.exists() else ()
    rows = [replace(row, number=place[key_of(row)]) for row in kept]
    done = {key_of(row) for row in rows}
    print(f"{platform.machine()}, {data.label} {data.fingerprint[:12]}", flush=True)
    for number, job in enumerate(every):
        if job.key in done:
            continue
        rows.append(train(job, number, data))
        _replace(path, rows)
        row = rows[-1]
        result = f"{row.accuracy:.4f}" if row.accuracy is not None else row.reason
        text = f"{job.network} seed {job.seed} rate {job.recipe.learning_rate}"
        print(f"{number + 1}/{len(every)} {text} {row.seconds} s {result}", flush=True)


def _replace(path: Path, rows: list[TrialRecord]) -> None:
    """Writes the file whole or not at all, so that an interrupted run can go on."""
    new = path.with_suffix(".new")
    write_csv(sorted(rows, key=lambda row: row.number), new)
    new.replace(path)


def verdicts() -> Iterator[str]:
    """What the claims' tests say of the recorded rows, line by line."""
    findings = [
        CLAIMS[claim].test(evidence(name), Options())
        for name, claims in (("records", CLAIMED), ("rates", ("H4",)))
        for claim in claims
    ]
    for alone, held in zip(findings, corrected(findings), strict=True):
        yield f"- {alone.quote}"
        yield f"  - p {alone.p_value:.4f}, Holm's p {held.holm:.4f}: {held.verdict}"
        yield from (f"  - {what}: {text}" for what, text in alone.details)


def evidence(name: str) -> Evidence:
    """The recorded rows of a file."""
    rows = observations_of(read_csv(HERE / f"{name}.csv"))
    return Evidence(f"studies/ladder/{name}.csv", rows)


def main() -> None:
    """Reads the command line, then trains or lists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", choices=("records", "rates", "claims"))
    parser.add_argument("--list", action="store_true", help="print, do not train")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.file == "claims":
        print(*verdicts(), sep="\n")
    elif options.list:
        print(*jobs(options.file), sep="\n")
    else:
        run(options.file)


if __name__ == "__main__":
    main()
