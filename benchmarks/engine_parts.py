"""Rows on parts of the engine: probe, augmentation, checkpoints."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import torch
from engine_bare import resident, train
from engine_networks import BATCH, network, noise, some_images
from engine_pairs import Measured, Settings, in_turn, rates, ratios, seconds_of
from engine_textbook import Pictures
from torch import Tensor
from torch.utils.data import DataLoader

from nasdepth.training.batches import FORMATS, Batches, Preparation
from nasdepth.training.data import Dataset
from nasdepth.training.loop import fit
from nasdepth.training.probe import choose
from nasdepth.training.recipe import TrainingConfig

CPU = torch.device("cpu")
COLOURED = (3, 32, 32)
#: epochs of a training with checkpoints: of seconds, and of 30 ms
LONG, SHORT = 2, 30


def probed(settings: Settings, kind: str) -> Measured:
    """Images/s in the precision and layout that the probe chooses over fp32 in NCHW."""
    data = some_images(kind, quick=settings.quick)
    images = resident(data, "cpu", augment=True)
    with _empty_cache():
        choice = choose(network(kind, data.input_shape), data.input_shape, BATCH, CPU)
    total = settings.pairs + 1
    chosen = train(
        network(kind, data.input_shape),
        images,
        total,
        bf16=choice.precision == "bf16",
        layout=FORMATS[choice.layout],
    )
    usual = train(
        network(kind, data.input_shape), images, total, layout=torch.contiguous_format
    )
    count = len(data.train_labels) // BATCH * BATCH
    pairs = in_turn(
        lambda: count / seconds_of(chosen, 1),
        lambda: count / seconds_of(usual, 1),
        settings.pairs,
    )
    tiles = "AMX" if torch.cpu._is_amx_tile_supported() else "no AMX"
    note = f"chose {choice.precision} {choice.layout} ({tiles}); {rates(pairs)}"
    return Measured(ratios(pairs), note)


def augmented(settings: Settings) -> Measured:
    """Images/s made ready by the engine over those by a DataLoader of PIL images."""
    data = _coloured(settings)
    pictures = DataLoader(Pictures(data), BATCH, shuffle=True, drop_last=True)
    pairs = in_turn(
        lambda: _speed(_prepared(data)), lambda: _speed(pictures), settings.pairs
    )
    return Measured(ratios(pairs), rates(pairs))


def share_of_step(settings: Settings) -> Measured:
    """Percent of the plain network's step in which its images are made ready."""
    data = _coloured(settings)
    epoch = train(
        network("plain", COLOURED), resident(data, "cpu", augment=False), 1000
    )
    images = len(data.train_labels)

    def step() -> float:
        """Seconds an image, of everything else."""
        return seconds_of(epoch, 1) / images

    pairs = in_turn(lambda: 1 / _speed(_prepared(data)), step, settings.pairs)
    note = "chosen, cropped, mirrored, normalised; the rest without validation"
    return Measured(tuple(100 * a / (a + b) for a, b in pairs), note)


def checkpointed(settings: Settings, kind: str) -> Measured:
    """Percent by which checkpoints at each epoch's end lengthen a training.

    The process keeps to one core, so that the thread that writes takes its time from
    the training, as on a machine that is full.
    """
    data = some_images("tiny") if kind == "tiny" else _coloured(settings)
    epochs = 1 if settings.quick else SHORT if kind == "tiny" else LONG
    config = TrainingConfig(epochs=epochs, precision="fp32")

    def seconds(path: Path | None) -> float:
        module = network(kind, data.input_shape)
        start = perf_counter()
        fit(module, data, config, seed=0, device="cpu", checkpoint=path)
        return perf_counter() - start

    def kept() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds(Path(folder) / "training.safetensors")

    with _one_core():
        pairs = in_turn(kept, lambda: seconds(None), settings.pairs)
    each = 1e3 * sum(a - b for a, b in pairs) / len(pairs) / config.epochs
    note = f"mean {each:.1f} ms a checkpoint, one each epoch, on one core"
    return Measured(tuple(100 * (a / b - 1) for a, b in pairs), note)


def _coloured(settings: Settings) -> Dataset:
    return noise(COLOURED, 2 * BATCH if settings.quick else 10 * BATCH)


def _prepared(data: Dataset) -> Iterator[tuple[Tensor, Tensor]]:
    preparation = Preparation.of(data, CPU)
    return Batches(data, BATCH, data.augmentation, 0, preparation).epoch(1)


def _speed(batches: Iterator[object] | DataLoader[object]) -> float:
    """Images/s."""
    start = perf_counter()
    count = sum(1 for _ in batches)
    return count * BATCH / (perf_counter() - start)


@contextmanager
def _one_core() -> Iterator[None]:
    """Threads begun inside stay on one core, with this one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _empty_cache() -> Iterator[None]:
    """What earlier probes found is not found inside."""
    before = os.environ.get("NASDEPTH_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NASDEPTH_CACHE"] = folder
        try:
            yield
        finally:
            del os.environ["NASDEPTH_CACHE"]
            if before is not None:
                os.environ["NASDEPTH_CACHE"] = before
