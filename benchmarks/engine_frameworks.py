"""Rows that set the engine beside Lightning, skorch and a loop over a DataLoader.

Each trains the tiny network in its natural fast settings: images as a `TensorDataset`,
no worker processes, no logs, no progress, no checkpoints, and the engine's optimizer,
clipping and label smoothing at a constant rate. Nothing is augmented, so that the
frameworks are compared. All validate at each epoch's end; a first epoch is left out.
"""

import logging
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

import lightning
import torch
from engine_bare import CLIP, JUDGED, SMOOTHING, optimizer_of
from engine_networks import BATCH, network, some_images
from engine_pairs import Measured, Settings, in_turn, rates, ratios
from lightning.pytorch.callbacks import Callback
from skorch import NeuralNetClassifier
from skorch.callbacks import GradientNormClipping
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from nasdepth.training.data import Dataset
from nasdepth.training.loop import fit
from nasdepth.training.recipe import TrainingConfig

#: epochs of a training, and of one that only shows that it runs
EPOCHS, FEW = 41, 2
Parts = tuple[TensorDataset, TensorDataset]


def beside(settings: Settings, name: str) -> Measured:
    """Images/s of the engine over those of a framework.

    Args:
        settings: how much to measure.
        name: of an entry of `FRAMEWORKS`.
    """
    data = some_images("tiny")
    parts = tensors(data)
    epochs = FEW if settings.quick else EPOCHS
    images = (epochs - 1) * (len(data.train_labels) // BATCH * BATCH)
    pairs = in_turn(
        lambda: images / _span(engine(data, epochs)),
        lambda: images / _span(FRAMEWORKS[name](parts, epochs)),
        settings.pairs,
    )
    return Measured(ratios(pairs), rates(pairs))


def tensors(data: Dataset) -> Parts:
    """Training and validation images, normalised."""
    mean = torch.tensor(data.mean).view(1, -1, 1, 1)
    std = torch.tensor(data.std).view(1, -1, 1, 1)
    return (
        TensorDataset((data.train_images / 255 - mean) / std, data.train_labels),
        TensorDataset(
            (data.validation_images / 255 - mean) / std, data.validation_labels
        ),
    )


def engine(data: Dataset, epochs: int) -> list[float]:
    """Moments at which the engine's epochs ended."""
    ends: list[float] = []
    config = TrainingConfig(
        epochs=epochs, schedule="constant", warmup=0, augment=False, precision="fp32"
    )
    fit(
        network("tiny"),
        data,
        config,
        seed=0,
        device="cpu",
        on_epoch=lambda epoch: ends.append(perf_counter()),
    )
    return ends


def loader(parts: Parts, epochs: int) -> list[float]:
    """Moments at which the epochs of a loop over a DataLoader ended."""
    module = _module()
    optimizer = optimizer_of(list(module.parameters()))
    ours, held = _loaders(parts)
    ends = []
    for _ in range(epochs):
        module.train()
        total = 0.0
        for images, labels in ours:
            loss = cross_entropy(module(images), labels, label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), CLIP)
            optimizer.step()
            total += loss.item()
        module.eval()
        right = 0
        with torch.inference_mode():
            for images, labels in held:
                right += (module(images).argmax(1) == labels).sum().item()
        ends.append(perf_counter())
    return ends


def in_lightning(parts: Parts, epochs: int) -> list[float]:
    """Moments at which the epochs of Lightning's `Trainer` ended."""
    ends = _Ends()
    with warnings.catch_warnings():
        # it advises worker processes, which are slower here
        warnings.simplefilter("ignore")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            gradient_clip_val=CLIP,
            callbacks=[ends],
        )
        trainer.fit(_Lit(), *_loaders(parts))
    return ends.ends


def in_skorch(parts: Parts, epochs: int) -> list[float]:
    """Moments at which the epochs of a skorch classifier ended."""
    ours, held = parts
    net = _Skorch(
        _module(),
        criterion=nn.CrossEntropyLoss(label_smoothing=SMOOTHING),
        max_epochs=epochs,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        iterator_train__drop_last=True,
        iterator_valid__batch_size=JUDGED["cpu"],
        train_split=predefined_split(held),
        callbacks=[GradientNormClipping(CLIP)],
        callbacks__print_log=None,
        verbose=0,
    )
    net.ends = []
    net.fit(ours, y=None)
    return net.ends


FRAMEWORKS: dict[str, Callable[[Parts, int], list[float]]] = {
    "loader": loader,
    "lightning": in_lightning,
    "skorch": in_skorch,
}


class _Lit(lightning.LightningModule):
    """The tiny network, as Lightning wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.module = _module()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, labels = batch
        return cross_entropy(self.module(images), labels, label_smoothing=SMOOTHING)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        images, labels = batch
        self.right = (self.module(images).argmax(1) == labels).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer_of(list(self.module.parameters()))


class _Ends(Callback):
    """Moments at which the epochs ended, validation included."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, *args: Any) -> None:
        self.ends.append(perf_counter())


class _Skorch(NeuralNetClassifier):
    """A classifier with the engine's optimizer."""

    ends: list[float]

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> "_Skorch":
        self.optimizer_ = optimizer_of(list(self.module_.parameters()))
        return self

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        super().on_epoch_end(*args, **kwargs)
        self.ends.append(perf_counter())


def _module() -> nn.Module:
    return network("tiny").to(memory_format=torch.channels_last)


def _loaders(
    parts: Parts,
) -> tuple[DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]]]:
    ours, held = parts
    return (
        DataLoader(ours, BATCH, shuffle=True, drop_last=True),
        DataLoader(held, JUDGED["cpu"]),
    )


def _span(ends: list[float]) -> float:
    """Seconds from the first epoch's end to the last one's."""
    return ends[-1] - ends[0]
