"""Image files to uint8 pixels, and the cache that keeps what was decoded."""

import hashlib
import io
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.nn.functional import interpolate

from nasdepth.training.files import cache_folder, replacing

Split = Literal["train", "test"]
Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

_log = logging.getLogger(__name__)

# Part of every cache key: raise it when decoding changes.
_FORMAT = 1
_GREY_MODES = frozenset({"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L"})
# Rec. 601, as Pillow converts RGB to L.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Images:
    """One split of a data set as it was read.

    Args:
        pixels: uint8, `(images, channels, height, width)`.
        labels: int64, `(images,)`, indices into `classes`.
        classes: names in the order of the labels.
        label: name of the data to show beside every number.
    """

    pixels: Pixels
    labels: Labels
    classes: tuple[str, ...]
    label: str


def decode(source: Path | bytes, name: str, *, size: int, channels: int) -> Pixels:
    """Pixels of one image file, `(channels, size, size)`.

    Colours are converted to 8-bit grey or RGB, transparency is laid on black, the
    EXIF orientation is applied, and the whole image is scaled to the square.

    Args:
        source: file, or its content.
        name: how errors call it.
        size: side of the result in pixels; 0 keeps the image's own sides.
        channels: 1 or 3.

    Raises:
        ValueError: the file holds no image that can be decoded.
    """
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(_opened(source)) as image:
            # JPEG decodes straight to a size near the wanted one.
            image.draft(mode, (2 * size, 2 * size) if size else image.size)
            upright = ImageOps.exif_transpose(image)
            flat = _eight_bit(upright).convert(mode)
            if size and flat.size != (size, size):
                flat = flat.resize((size, size), Image.Resampling.BILINEAR)
            pixels = np.array(flat, dtype=np.uint8)
    except _UNDECODABLE as error:
        raise ValueError(
            f"Image files must be decodable, but {name} is not: {error}."
        ) from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def peek(path: Path) -> tuple[int, int, bool]:
    """Height, width and whether grey, of an image file whose header alone is read.

    Raises:
        ValueError: the file holds no image.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width, image.mode in _GREY_MODES
    except _UNDECODABLE as error:
        raise ValueError(
            f"Image files must be decodable, but {path} is not: {error}."
        ) from error


def conform(pixels: Pixels, *, size: int, channels: int) -> Pixels:
    """Pixels with the wanted side and number of channels; 0 keeps what they have."""
    if channels == 3 and pixels.shape[1] == 1:
        pixels = np.repeat(pixels, 3, axis=1)
    if channels == 1 and pixels.shape[1] == 3:
        grey = np.einsum("nchw,c->nhw", pixels.astype(np.float32), _LUMA)
        pixels = np.rint(grey)[:, None].astype(np.uint8)
    if size and pixels.shape[2:] != (size, size):
        pixels = _resized(pixels, size)
    return pixels


def cached(key: tuple[object, ...], make: Callable[[], Pixels]) -> Pixels:
    """What `make` returns, from the cache where an earlier call left it.

    The cache is `cache_folder()`. A file that does not load is made anew; a cache that
    cannot be written is done without.

    Args:
        key: all that the result depends on.
        make: returns the pixels.
    """
    path = cache_folder() / f"{_digest(key)}.npy"
    try:
        kept = np.load(path, allow_pickle=False)
        if kept.dtype == np.uint8:
            return np.asarray(kept)
    except (OSError, ValueError, EOFError):
        pass
    pixels = make()
    _write(path, pixels)
    return pixels


def file_key(path: Path) -> tuple[str, int, int]:
    """What tells that a file changed: its path, size and time of modification."""
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


# What Pillow raises on broken files: struct.error is no ValueError, and broken PNG
# chunks are SyntaxErrors.
_UNDECODABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
)


def _opened(source: Path | bytes) -> Path | BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image in 8 bits a channel, without transparency."""
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return _scaled(image)
    if image.mode in {"LA", "RGBA", "PA"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, layer)
    return image


def _scaled(image: Image.Image) -> Image.Image:
    """A 16-bit, 32-bit or float image as 8-bit grey; Pillow itself would clip."""
    values = np.asarray(image, dtype=np.float64)
    top = float(values.max(initial=0.0))
    if image.mode.startswith("I;16") or top > 255:
        full = 65535.0
    else:
        full = 1.0 if image.mode == "F" and top <= 1 else 255.0
    return Image.fromarray(np.rint(values.clip(0, full) * (255 / full)).astype("u1"))


def _resized(pixels: Pixels, size: int) -> Pixels:
    """Bilinear with anti-aliasing, in chunks that bound the memory in floats."""
    chunks = np.array_split(pixels, max(1, len(pixels) // 1000))
    return np.concatenate(
        [
            interpolate(
                torch.from_numpy(np.ascontiguousarray(chunk)).float(),
                size=(size, size),
                mode="bilinear",
                antialias=True,
            )
            .round()
            .clamp(0, 255)
            .byte()
            .numpy()
            for chunk in chunks
        ]
    )


def _digest(key: tuple[object, ...]) -> str:
    return hashlib.sha256(repr((_FORMAT, key)).encode()).hexdigest()


def _write(path: Path, pixels: Pixels) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.save(file, pixels, allow_pickle=False)
    except OSError:
        _log.warning("The cache %s cannot be written; going on without.", path.parent)
