"""Batches prepared on the device: chosen, augmented, normalised, enlarged.

Order and augmentation follow from (seed, epoch) alone. Several batches are prepared at
once, because on small images a step is so short that each operation's start counts: on
8x8 images and one core of a Xeon the preparation of 128 images takes 0.07 ms one batch
at a time, 0.04 ms all at a time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from nasdepth.training.augment import Augmentation, Windows, cut_out
from nasdepth.training.data import Dataset

Layout = Literal["nchw", "channels_last"]
FORMATS: Final[dict[Layout, torch.memory_format]] = {
    "nchw": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
#: values of the batches that are prepared at once: 1 MiB as fp32
_PREPARED: Final = 2**18
#: no group of batches: what is drawn for the whole epoch
_ORDER: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False)  # tensors have no single equality
class Preparation:
    """Normalises and enlarges images of one data set.

    Attributes:
        offset: of a row of pixels, channels innermost, `(width * channels,)`.
        scale: likewise: a value is `(level - offset) * scale`.
        upscale: integer factor of the enlargement.
        layout: of the result.
    """

    offset: Tensor
    scale: Tensor
    upscale: int
    layout: Layout

    @staticmethod
    def of(
        dataset: Dataset, device: torch.device, layout: Layout = "channels_last"
    ) -> "Preparation":
        """Preparation of a data set's images on a device."""
        width = dataset.input_shape[2] // dataset.upscale
        mean = torch.tensor(dataset.mean, device=device).repeat(width)
        std = torch.tensor(dataset.std, device=device).repeat(width)
        return Preparation(255 * mean, 1 / (255 * std), dataset.upscale, layout)

    def __call__(
        self,
        images: UInt8[Tensor, "batch channels height width"],
        cutout: int = 0,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch channels tall wide"]:
        """Batch as the network sees it.

        Args:
            images: flipped and shifted already.
            cutout: side of the square set to the mean; needs a generator.
            generator: source of where the squares lie.
        """
        pixels = images.permute(0, 2, 3, 1).contiguous().float()
        # whole rows: an operation on the few channels of a pixel takes four times as
        # long
        pixels.flatten(2).sub_(self.offset).mul_(self.scale)
        batch = pixels.permute(0, 3, 1, 2)
        if generator is not None:
            batch = cut_out(batch, cutout, generator)
        if self.upscale > 1:
            batch = interpolate(batch, scale_factor=self.upscale, mode="bilinear")
        return batch.contiguous(memory_format=FORMATS[self.layout])


@runtime_checkable
class BatchSource(Protocol):
    """Batches of the epochs of a training."""

    @property
    def dataset(self) -> Dataset:
        """Whose images they are, on the device."""

    @property
    def size(self) -> int:
        """Images of a batch."""

    @property
    def steps(self) -> int:
        """Batches of one epoch."""

    def epoch(
        self, index: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of an epoch's batches, always the same ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """The training images of a run in its order.

    Attributes:
        dataset: on the device.
        size: images of a batch.
        augmentation: of each image.
        seed: of order and augmentation.
        preparation: of each batch.
    """

    dataset: Dataset
    size: int
    augmentation: Augmentation
    seed: int
    preparation: Preparation

    @property
    def steps(self) -> int:
        """Batches of one epoch: an incomplete last one is left out."""
        return len(self.dataset.train_labels) // self.size

    def epoch(
        self, index: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of an epoch's batches, always the same ones.

        Args:
            index: of the epoch, from 1.
            first: batch to begin with.
            count: batch to end before; None for all.
        """
        order = self._order(index)
        last = self.steps if count is None else count
        for begin in range(first - first % self._together, last, self._together):
            end = min(begin + self._together, self.steps)
            images, labels = self._prepared(index, begin, end, order)
            for step in range(max(begin, first), min(end, last)):
                part = slice((step - begin) * self.size, (step - begin + 1) * self.size)
                yield _paired(images[part], labels[part])

    @property
    def _together(self) -> int:
        """Batches that are prepared at once."""
        return max(1, _PREPARED // (self.size * math.prod(self.dataset.input_shape)))

    def _order(self, index: int) -> Tensor:
        generator = self._generator(index, _ORDER)
        device = generator.device
        count = len(self.dataset.train_labels)
        return torch.randperm(count, generator=generator, device=device)

    def _prepared(
        self, index: int, begin: int, end: int, order: Tensor
    ) -> tuple[Tensor, Tensor]:
        chosen = order[begin * self.size : end * self.size]
        generator = self._generator(index, begin // self._together)
        if self.augmentation.flip or self.augmentation.shift:
            drawn = _windows(self.dataset.train_images, self.augmentation).draw(
                chosen, generator
            )
        else:
            drawn = self.dataset.train_images.index_select(0, chosen)
        images = self.preparation(drawn, self.augmentation.cutout, generator)
        return images, self.dataset.train_labels[chosen]

    def _generator(self, index: int, group: int) -> torch.Generator:
        """Source of what is drawn for one group of batches of an epoch."""
        generator = torch.Generator(self.dataset.train_labels.device)
        # torch's generator of the CPU heeds 32 bits alone: all must have their say
        parts = np.random.SeedSequence([self.seed, index, group])
        return generator.manual_seed(int(parts.generate_state(1)[0]))


@lru_cache(maxsize=1)
def _windows(images: Tensor, augmentation: Augmentation) -> Windows:
    """Windows of a data set, which hundreds of trainings share."""
    return Windows.of(images, augmentation)


def _paired(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """A batch of at least two images: batch norm needs two values of each channel."""
    if len(labels) == 1:
        return images.repeat(2, 1, 1, 1), labels.repeat(2)
    return images, labels
