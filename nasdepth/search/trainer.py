"""Trains the network of a trial, with each of its seeds, from where it was left."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from nasdepth.architecture.spec import Architecture
from nasdepth.network.build import build
from nasdepth.search.config import StudyConfig
from nasdepth.training.checkpoint import ForeignCheckpoint
from nasdepth.training.data import Dataset
from nasdepth.training.loop import fit
from nasdepth.training.population import fit_population
from nasdepth.training.recipe import Diverged, Epoch, Fit, TrainingConfig

_log = logging.getLogger(__name__)
OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True, slots=True, eq=False)  # a network has no equality
class Replicate:
    """One training of a trial.

    Attributes:
        seed: of the weights, the order of images and the augmentation.
        network: trained; None where it diverged.
        result: of the training, or how it diverged.
    """

    seed: int
    network: nn.Module | None
    result: Fit | Diverged

    @property
    def accuracy(self) -> float | None:
        """On the validation images; None where it diverged."""
        return self.result.accuracy if isinstance(self.result, Fit) else None


@dataclass(frozen=True, slots=True, eq=False)
class Trainer:
    """Trains networks of a study on a device.

    Attributes:
        config: of the study.
        dataset: on the device.
        device: to train on.
        folder: of the checkpoints; None keeps none.
        stop: asked between steps.
    """

    config: StudyConfig
    dataset: Dataset
    device: torch.device
    folder: Path | None
    stop: Callable[[], bool]

    @property
    def recipe(self) -> TrainingConfig:
        """How to train, with the rungs at which trials are compared."""
        rungs = self.config.rungs(len(self.dataset.train_labels))
        return replace(self.config.training, rungs=rungs)

    def seed(self, origin: int) -> int:
        """First seed of a trial."""
        return seed_of(self.config, origin)

    def train(
        self, architecture: Architecture, origin: int, on_epoch: OnEpoch
    ) -> Replicate:
        """One training, with the trial's first seed.

        Args:
            architecture: of the network.
            origin: trial that names seed and checkpoint.
            on_epoch: as in `fit`.

        Raises:
            Diverged: the loss became infinite or not a number.
        """
        try:
            return self._trained(architecture, origin, on_epoch)
        except ForeignCheckpoint as error:
            self._set_aside(origin, error)
            return self._trained(architecture, origin, on_epoch)
        except Diverged as error:
            # without its traceback, which holds the tensors
            raise error.with_traceback(None) from None

    def replicate(
        self, architecture: Architecture, origin: int, on_epoch: OnEpoch
    ) -> tuple[Replicate, ...]:
        """A training with each of the unselected arm's seeds, diverged ones included.

        They are trained at once where that is faster.

        Args:
            architecture: of the network.
            origin: trial that names seeds and checkpoints.
            on_epoch: as in `fit`, of each training.
        """
        try:
            return self._replicated(architecture, origin, on_epoch)
        except ForeignCheckpoint as error:
            self._set_aside(origin, error)
            return self._replicated(architecture, origin, on_epoch)

    def _trained(
        self, architecture: Architecture, origin: int, on_epoch: OnEpoch
    ) -> Replicate:
        seed = self.seed(origin)
        network = build(architecture, seed=seed)
        result = fit(
            network,
            self.dataset,
            self.recipe,
            seed=seed,
            device=self.device,
            on_epoch=on_epoch,
            checkpoint=self._checkpoint(origin, 0),
            stop=self.stop,
        )
        return Replicate(seed, network, result)

    def _replicated(
        self, architecture: Architecture, origin: int, on_epoch: OnEpoch
    ) -> tuple[Replicate, ...]:
        places = range(self.config.design.replicates)
        seeds = [seed_of(self.config, origin, index) for index in places]
        networks = [build(architecture, seed=seed) for seed in seeds]
        files = [self._checkpoint(origin, index) for index in places]
        results = fit_population(
            networks,
            self.dataset,
            self.recipe,
            seeds=seeds,
            device=self.device,
            on_epoch=lambda _, epoch: on_epoch(epoch),
            checkpoints=[file for file in files if file is not None] or None,
            stop=self.stop,
        )
        return tuple(map(_replicate, seeds, networks, results))

    def forget(self, origin: int) -> None:
        """Remove the checkpoints of a trial that has ended."""
        every = self._checkpoint(origin, "*")
        if every is not None:
            for path in every.parent.glob(f"{every.name}*"):
                path.unlink(missing_ok=True)

    def _set_aside(self, origin: int, error: ForeignCheckpoint) -> None:
        """Remove checkpoints that this trial cannot go on from; it starts afresh."""
        _log.warning("Trial %d starts afresh: %s", origin, error)
        self.forget(origin)

    def has_checkpoint(self, origin: int) -> bool:
        """Whether a trial's first training was left somewhere."""
        path = self._checkpoint(origin, 0)
        return path is not None and path.is_file()

    def _checkpoint(self, origin: int, index: int | Literal["*"]) -> Path | None:
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{origin}-{index}.safetensors"


def _replicate(seed: int, network: nn.Module, result: Fit | Diverged) -> Replicate:
    return Replicate(seed, network if isinstance(result, Fit) else None, result)


def seed_of(config: StudyConfig, number: int, replicate: int = 0) -> int:
    """Seed of a training's weights and data order.

    Args:
        config: of the study.
        number: of the trial, of its first attempt where it was tried again.
        replicate: index among the trial's seeds.
    """
    # the first replicate has the seed that trials had before there were more
    parts = [config.search.seed, number, *([replicate] if replicate else [])]
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
