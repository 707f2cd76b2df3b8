"""Rows on the loop itself, in one process: beside the bare loop, and beside itself."""

from dataclasses import replace
from time import perf_counter

import torch
from engine_bare import BATCH, resident, train
from engine_networks import network, some_images
from engine_pairs import Measured, Settings, in_turn, rates, ratios, seconds_of

from nasdepth.training.data import Dataset
from nasdepth.training.loop import Epoch, fit
from nasdepth.training.recipe import TrainingConfig

#: epochs of a block, whose time is one value
BLOCK = {"tiny": 20}
#: epochs of a training with the default rungs
RUNGS = 9


def bare(settings: Settings, kind: str, device: str = "cpu") -> Measured:
    """Images/s of the engine over those of the bare loop."""
    data = some_images(kind, quick=settings.quick)
    block = 1 if settings.quick else BLOCK.get(kind, 1)
    pairs = _interleaved(kind, data, settings.pairs, block, device)
    images = len(data.train_labels) // BATCH * BATCH * block
    speeds = [(images / ours, images / theirs) for ours, theirs in pairs]
    return Measured(ratios(speeds), rates(speeds))


def rungs(settings: Settings) -> Measured:
    """Images/s of a training with averaged weights over one without."""
    usual = TrainingConfig(epochs=3 if settings.quick else RUNGS, precision="fp32")
    return _beside(settings, usual, replace(usual, schedule="one-cycle"))


def graphs(settings: Settings, device: str) -> Measured:
    """Images/s of a training whose step CUDA replays as a graph over one without."""
    epochs = 2 if settings.quick else BLOCK["tiny"]
    usual = TrainingConfig(epochs=epochs, precision="fp32", schedule="constant")
    graphed = replace(usual, cuda_graph=True)
    # the first epoch is left out, before which the graph is captured
    return _beside(settings, graphed, usual, device, first=1)


def _beside(
    settings: Settings,
    ours: TrainingConfig,
    theirs: TrainingConfig,
    device: str = "cpu",
    *,
    first: int = 0,
) -> Measured:
    """Images/s of the tiny network by one configuration over those by another.

    Args:
        settings: how much.
        ours: one configuration.
        theirs: the other.
        device: where to train.
        first: epochs that are left out.
    """
    data = some_images("tiny", quick=settings.quick)

    def side(config: TrainingConfig) -> float:
        ends = [perf_counter()]

        def on_epoch(epoch: Epoch) -> None:
            ends.append(perf_counter())

        fit(network("tiny"), data, config, seed=0, device=device, on_epoch=on_epoch)
        epochs = len(ends) - 1 - first
        return epochs * len(data.train_labels) / (ends[-1] - ends[first])

    pairs = in_turn(lambda: side(ours), lambda: side(theirs), settings.pairs)
    return Measured(ratios(pairs), rates(pairs))


def _interleaved(
    kind: str, data: Dataset, pairs: int, block: int, device: str
) -> list[tuple[float, float]]:
    """Seconds of blocks of epochs of the engine and of the bare loop, in turn.

    The bare loop runs inside the engine's callback, whose time is not counted: two
    blocks after each even one of the engine, so that the order alternates.
    """
    total = 2 * block * (pairs // 2 + 1)  # one pair, or two, to warm up
    bf16 = device == "cuda"
    images = resident(data, device, augment=True)
    module = network(kind, data.input_shape)
    bare = train(module, images, total, bf16=bf16)
    ours: list[float] = []
    theirs: list[float] = []
    mark = perf_counter()

    def on_epoch(epoch: Epoch) -> None:
        nonlocal mark
        if epoch.index % block:
            return
        ours.append(perf_counter() - mark)
        if len(ours) % 2:
            theirs.extend(seconds_of(bare, block) for _ in range(2))
        mark = perf_counter()

    config = TrainingConfig(
        epochs=total, schedule="one-cycle", precision="bf16" if bf16 else "fp32"
    )
    fit(
        network(kind, data.input_shape),
        data,
        config,
        seed=0,
        device=torch.device(device),
        on_epoch=on_epoch,
    )
    return list(zip(ours, theirs, strict=True))[-pairs:]
