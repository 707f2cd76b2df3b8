"""Rows on whole trainings: the gap between trials, accuracy in bf16, populations."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from engine_networks import network, some_images
from engine_pairs import Measured, Settings, in_turn, rates, ratios

from nasdepth import StudyConfig
from nasdepth.dashboard import annotate
from nasdepth.search import storage, study, trainer
from nasdepth.training.data import DataConfig, load
from nasdepth.training.loop import Epoch, fit
from nasdepth.training.population import fit_population
from nasdepth.training.recipe import TrainingConfig

#: trials of the unselected arm, whose gaps are left out, and trials in all
ARM, TRIALS = 4, 24
#: parts of a gap
PARTS = (
    "training's end",
    "weights and storage",
    "notes and pictures",
    "storage, choice and building",
    "training's start",
)
#: accuracy: networks, seeds, epochs, images to train on and to judge by
KINDS = ("plain", "residual", "dense")
SEEDS = 5
ACCURACY_EPOCHS = 3
ACCURACY_IMAGES, JUDGED = 3000, 5000
#: population: members and epochs
MEMBERS, EPOCHS = 16, 8


def gap(settings: Settings, sampler: str) -> Measured:
    """Milliseconds from a trial's last epoch to the next trial's first step.

    One worker's real study of the digits, in SQLite, with checkpoints, weights and
    notes for the dashboard. A value is one gap.
    """
    arm, trials = (1, 4) if settings.quick else (ARM, TRIALS)
    config = _study(sampler, arm, trials)
    data, device = load(config.data), study.prepare_process(1, "cpu")
    watch = _Watch()
    with tempfile.TemporaryDirectory() as folder, watch.watching():
        url = f"sqlite:///{folder}/study.db"
        run, _ = study.open_study(config, data, url)
        store = storage.artifact_store(storage.artifact_directory(url, None))
        hook = watch.hook
        study.work(
            run, study.Worker(config, data, device, store, hook, folder=Path(folder))
        )
    gaps = [
        [1e3 * (b - a) for a, b in pairwise([*before[2:], *after[:2]])]
        for before, after in list(pairwise(watch.moments))[arm:]
    ]
    parts = zip(PARTS, zip(*gaps, strict=True), strict=True)
    note = ", ".join(f"{name} {median(values):.0f}" for name, values in parts)
    return Measured(tuple(map(sum, gaps)), f"medians of its parts: {note}")


def accuracy(settings: Settings) -> Measured:
    """Points of validation accuracy that bf16 gains over fp32, by network and seed."""
    images, held = (256, 64) if settings.quick else (ACCURACY_IMAGES, JUDGED)
    data = load(DataConfig("fashion-mnist", limit=images, validation=held / 60_000))
    epochs = 1 if settings.quick else ACCURACY_EPOCHS

    def final(kind: str, seed: int, precision: str) -> float:
        config = TrainingConfig(epochs=epochs, precision=precision)
        module = network(kind, data.input_shape, seed=seed)
        return fit(module, data, config, seed=seed, device="cpu").accuracy

    pairs = [
        (100 * final(kind, seed, "bf16"), 100 * final(kind, seed, "fp32"))
        for seed in range(1 if settings.quick else SEEDS)
        for kind in KINDS
    ]
    means = [sum(side) / len(pairs) for side in zip(*pairs, strict=True)]
    note = f"mean {means[0]:.2f} % against {means[1]:.2f} %"
    return Measured(tuple(a - b for a, b in pairs), note)


def population(settings: Settings) -> Measured:
    """Images/s of the seeds of one architecture at once over one after another."""
    data = some_images("tiny")
    members = 2 if settings.quick else MEMBERS
    config = TrainingConfig(epochs=1 if settings.quick else EPOCHS, precision="fp32")
    images = members * config.epochs * len(data.train_labels)
    seeds = range(members)

    def speed(run: Callable[[list[torch.nn.Module]], object]) -> float:
        modules = [network("tiny", seed=seed) for seed in seeds]
        start = perf_counter()
        run(modules)
        return images / (perf_counter() - start)

    def together(modules: list[torch.nn.Module]) -> None:
        fit_population(modules, data, config, seeds=seeds, device="cpu")

    def apart(modules: list[torch.nn.Module]) -> None:
        for seed, module in zip(seeds, modules, strict=True):
            fit(module, data, config, seed=seed, device="cpu")

    pairs = in_turn(lambda: speed(together), lambda: speed(apart), settings.pairs)
    return Measured(ratios(pairs), rates(pairs))


def _study(sampler: str, arm: int, trials: int) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": f"gap-{sampler}",
            "data": {"name": "digits"},
            "space": {"stages": [1, 2], "depth": [1, 5], "width": [8, 32]},
            "budget": {"params": 60_000, "macs": 2_000_000},
            "design": {"trials": arm},
            "training": {"epochs": 2},
            "search": {"sampler": sampler, "n_trials": trials, "workers": 1},
        }
    )


@dataclass(slots=True)  # not frozen: it takes down what happens
class _Watch:
    """Moments of the trials of a process.

    Attributes:
        moments: of each trial: training called, its first step, its last epoch's end,
            training over, notes begun, notes made.
    """

    moments: list[list[float]] = field(default_factory=list)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Trainings of studies are watched inside."""
        trainer.fit = self._fit
        try:
            yield
        finally:
            trainer.fit = fit

    def hook(self, *arguments: Any) -> None:
        """What the command line does at a trial's end."""
        begun = perf_counter()
        annotate(*arguments)
        self.moments[-1] += [begun, perf_counter()]

    def _fit(
        self,
        *arguments: Any,
        on_epoch: Callable[[Epoch], None],
        stop: Callable[[], bool],
        **options: Any,
    ) -> Any:
        called, first, last = perf_counter(), 0.0, 0.0

        def told(epoch: Epoch) -> None:
            nonlocal last
            last = perf_counter()
            on_epoch(epoch)

        def asked() -> bool:
            nonlocal first
            first = first or perf_counter()
            return stop()

        try:
            return fit(*arguments, on_epoch=told, stop=asked, **options)
        finally:
            self.moments.append([called, first, last, perf_counter()])
