"""The networks and images of the engine's benchmark."""

from typing import Final

import torch
from torch import nn

from nasdepth import Architecture, Stage, Stem, build
from nasdepth.training.augment import Augmentation
from nasdepth.training.data import DataConfig, Dataset, load

#: stages of a kind; widths are set by `network`
STAGES: Final = {
    "plain": Stage(depth=2),
    "residual": Stage(depth=2, skip="add", span=2),
    "inverted": Stage("inverted", depth=2, skip="add", expansion=4.0),
    "dense": Stage(depth=4, skip="concat", links="all"),
}
#: width of the first stage, by kind
WIDTHS: Final = {"plain": 16, "residual": 32, "inverted": 16, "dense": 16}
GROWTH: Final = 16
#: images of a step
BATCH: Final = 128
#: images of Fashion-MNIST to train on and to validate on: 1/10 are held, as by default
TRAINED: Final = 9 * BATCH
HELD: Final = BATCH


def architecture(kind: str, shape: tuple[int, int, int] = (1, 28, 28)) -> Architecture:
    """Three stages of a kind, widths doubling; dense ones grow by 16 channels."""
    stage, width = STAGES[kind], WIDTHS[kind]
    fields = {f: getattr(stage, f) for f in ("block", "depth", "skip", "span", "links")}
    stages = tuple(
        Stage(
            width=GROWTH if kind == "dense" else width * 2**place,
            stride=1 + bool(place),
            expansion=stage.expansion,
            **fields,
        )
        for place in range(3)
    )
    return Architecture(stages, Stem(width), input_shape=shape)


def tiny() -> Architecture:
    """Three convolutions of 8 channels on images of 8x8: a step of a few ms."""
    return Architecture((Stage(depth=3, width=8),), Stem(8), input_shape=(1, 8, 8))


def network(
    kind: str, shape: tuple[int, int, int] = (1, 28, 28), *, seed: int = 0
) -> nn.Module:
    """Module of a kind, or "tiny"."""
    return build(tiny() if kind == "tiny" else architecture(kind, shape), seed=seed)


def some_images(kind: str, *, quick: bool = False) -> Dataset:
    """Digits for the tiny network, some images of Fashion-MNIST for the others.

    Args:
        kind: of the network.
        quick: digits for all.
    """
    if kind == "tiny" or quick:
        return load(DataConfig("digits"))
    return load(DataConfig("fashion-mnist", limit=TRAINED, validation=HELD / 60_000))


def noise(shape: tuple[int, int, int], images: int, held: int = BATCH) -> Dataset:
    """Random images: what is timed does not depend on what they show.

    Args:
        shape: of an image.
        images: to train on.
        held: to validate on.
    """
    generator = torch.Generator().manual_seed(0)
    count = images + held
    pixels = torch.randint(256, (count, *shape), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (count,), generator=generator)
    channels = shape[0]
    return Dataset(
        label="noise",
        classes=tuple("0123456789"),
        input_shape=shape,
        mean=(0.5,) * channels,
        std=(0.29,) * channels,
        train_images=pixels[:images],
        train_labels=labels[:images],
        validation_images=pixels[images:],
        validation_labels=labels[images:],
        augmentation=Augmentation(flip=True, shift=4),
        upscale=1,
        fingerprint="noise",
    )
