"""Random flip, shifted crop and cutout of a whole batch at once.

Flip and crop are one gather: the pixel of the output at row `i` is the pixel of the
input at row `i + dy`, reflected at the border. Cutout (DeVries and Taylor 2017, arXiv
1708.04552) sets a square to 0, the mean of normalised images; its centre may lie
anywhere, so that part of the square may fall outside the image.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Num
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is drawn for each image of a batch.

    Args:
        flip: mirror left and right with probability 1/2.
        shift: largest displacement in pixels, in each direction of both axes.
        cutout: side in pixels of the square set to 0; 0 = none.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    flip: bool = False
    shift: int = 0
    cutout: int = 0

    def __post_init__(self) -> None:
        for name, pixels in (("shift", self.shift), ("cutout", self.cutout)):
            if pixels < 0:
                raise ValueError(
                    f"Augmentation.{name} must be at least 0 pixels, but got {pixels}."
                )


def augment(
    images: Num[Tensor, "batch channels height width"],
    augmentation: Augmentation,
    generator: torch.Generator,
) -> Num[Tensor, "batch channels height width"]:
    """Augmented copy of a batch, of the same shape and type.

    Args:
        images: on the device of `generator`.
        augmentation: what to draw.
        generator: source of all randomness.
    """
    if augmentation.flip or augmentation.shift:
        images = _flip_and_shift(images, augmentation, generator)
    if augmentation.cutout:
        images = images.masked_fill(_square(images, augmentation, generator), 0)
    return images


def _flip_and_shift(
    images: Tensor, augmentation: Augmentation, generator: torch.Generator
) -> Tensor:
    batch, channels, height, width = images.shape
    rows = _shifted(height, batch, augmentation.shift, generator)
    columns = _shifted(width, batch, augmentation.shift, generator)
    if augmentation.flip:
        flipped = torch.rand(batch, 1, generator=generator, device=generator.device)
        columns = torch.where(flipped < 0.5, columns.flip(1), columns)
    # One gather over flattened pixels: 0.9 ms for 128 x 3 x 32 x 32 on one core,
    # indexing by rows and columns 4.9 ms.
    pixels = rows[:, :, None] * width + columns[:, None, :]
    index = pixels.view(batch, 1, -1).expand(-1, channels, -1)
    return images.reshape(batch, channels, -1).gather(2, index).view(images.shape)


def _shifted(side: int, batch: int, shift: int, generator: torch.Generator) -> Tensor:
    """Source indices `(batch, side)` of one axis, moved by at most `shift`."""
    shift = min(shift, side - 1)  # a reflection reaches no further
    offset = _integers(-shift, shift + 1, batch, generator)
    index = (torch.arange(side, device=generator.device) + offset).abs()
    return side - 1 - (side - 1 - index).abs()


def _square(
    images: Tensor, augmentation: Augmentation, generator: torch.Generator
) -> Tensor:
    """True inside the square of each image, `(batch, 1, height, width)`."""
    batch, _, height, width = images.shape
    rows = _within(height, batch, augmentation.cutout, generator)
    columns = _within(width, batch, augmentation.cutout, generator)
    return rows[:, None, :, None] & columns[:, None, None, :]


def _within(side: int, batch: int, length: int, generator: torch.Generator) -> Tensor:
    centre = _integers(0, side, batch, generator)
    first = centre - length // 2
    index = torch.arange(side, device=generator.device)
    return (index >= first) & (index < first + length)


def _integers(low: int, high: int, batch: int, generator: torch.Generator) -> Tensor:
    device = generator.device
    return torch.randint(low, high, (batch, 1), generator=generator, device=device)
