"""Data sets as uint8 tensors: chosen, resized, split, normalised by their statistics.

The validation images are a seeded, stratified share of the training images. The test
set is opened by `load_test` alone.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from nasdepth.training import folder
from nasdepth.training.augment import Augmentation
from nasdepth.training.datasets import DATASETS as DATASETS
from nasdepth.training.datasets import data_roots
from nasdepth.training.images import Images, Labels, conform

PixelTensor = UInt8[Tensor, "images channels height width"]
LabelTensor = Int64[Tensor, " images"]

# Images whose pixels enter the fingerprint, spread over the training set.
_FINGERPRINTED = 500


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which images to train on, and how they are cut to size and split.

    Args:
        name: entry of `DATASETS`.
        path: the image folder for `folder` (required); for others the data folder,
            by default `NASDEPTH_DATA`, then `data` in the cache folder.
        size: side of the images in pixels; 0 = native (`folder`: 32).
        channels: 1 or 3; 0 = native (`folder`: 3 unless all images are grey).
        upscale: integer factor of a bilinear enlargement of each batch.
        validation: share of the training images held out.
        limit: at most this many training images, beside validation; 0 = all.
        seed: of the split.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    path: str = ""
    size: int = 0
    channels: int = 0
    upscale: int = 1
    validation: float = 0.1
    limit: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        DATASETS[self.name]
        if self.name == "folder" and not self.path:
            raise ValueError(
                "DataConfig.path must name the image folder, but got '' with "
                "dataset 'folder'."
            )
        for field in ("size", "limit", "seed"):
            _require(getattr(self, field) >= 0, self, field, "at least 0")
        _require(self.channels in (0, 1, 3), self, "channels", "0 (native), 1 or 3")
        _require(1 <= self.upscale <= 16, self, "upscale", "from 1 to 16")
        _require(0 < self.validation <= 0.5, self, "validation", "in (0, 0.5]")


@dataclass(frozen=True, slots=True, eq=False)  # tensors have no single equality
class Dataset:
    """Training and validation images with all that a network must know of them.

    Args:
        label: name to show beside every number.
        classes: names in the order of the labels.
        input_shape: `(channels, height, width)` of what the network sees, enlarged.
        mean: of each channel of the training images in [0, 1].
        std: likewise, at least half a grey level.
        train_images: uint8, before the enlargement.
        train_labels: indices into `classes`.
        validation_images: uint8, held out of training.
        validation_labels: indices into `classes`.
        augmentation: the default for these images.
        upscale: factor of the enlargement.
        fingerprint: SHA-256 of the data and its split.
    """

    label: str
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_images: UInt8[Tensor, "train channels height width"]
    train_labels: Int64[Tensor, " train"]
    validation_images: UInt8[Tensor, "held channels height width"]
    validation_labels: Int64[Tensor, " held"]
    augmentation: Augmentation
    upscale: int
    fingerprint: str

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return int(self.train_images.nbytes + self.validation_images.nbytes)

    def to(self, device: torch.device) -> "Dataset":
        """The same data set with its tensors on a device."""
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            validation_images=self.validation_images.to(device),
            validation_labels=self.validation_labels.to(device),
        )


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What `init` needs to know of a data set.

    Args:
        label: name to show beside every number.
        classes: names in the order of the labels.
        counts: training images of each class.
        sizes: distinct native `(height, width)`, sorted; of a folder a sample's.
        channels: 1 or 3.
        has_test: whether there is a test set.
    """

    label: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    channels: int
    has_test: bool


def load(config: DataConfig) -> Dataset:
    """Training and validation images; the test set stays closed.

    Raises:
        FileNotFoundError: the files are nowhere; says how to get them.
        ValueError: the files are not what they should be.
    """
    images = _read_train(config)
    held, kept = split_indices(images.labels, config)
    counts = _level_counts(images.pixels[kept])
    mean, std = _moments(counts)
    channels, height, width = images.pixels.shape[1:]
    return Dataset(
        label=images.label,
        classes=images.classes,
        input_shape=(channels, height * config.upscale, width * config.upscale),
        mean=mean,
        std=std,
        train_images=torch.from_numpy(images.pixels[kept]),
        train_labels=torch.from_numpy(images.labels[kept]),
        validation_images=torch.from_numpy(images.pixels[held]),
        validation_labels=torch.from_numpy(images.labels[held]),
        augmentation=DATASETS[config.name].augmentation,
        upscale=config.upscale,
        fingerprint=_fingerprint(images, held, kept, config.upscale),
    )


def load_test(config: DataConfig) -> tuple[PixelTensor, LabelTensor] | None:
    """Test images and labels; None for a folder without `test/`."""
    images = DATASETS[config.name].read(
        data_roots(config.path), "test", config.size, config.channels
    )
    if images is None:
        return None
    pixels = conform(images.pixels, size=config.size, channels=config.channels)
    return torch.from_numpy(pixels), torch.from_numpy(images.labels)


def describe_source(config: DataConfig) -> SourceInfo:
    """Classes, counts and sizes of the training images, as they lie on disk."""
    if config.name == "folder":
        return _describe_folder(Path(config.path).expanduser())
    images = _read_train(replace(config, size=0, channels=0))
    counts = np.bincount(images.labels, minlength=len(images.classes))
    return SourceInfo(
        label=images.label,
        classes=images.classes,
        counts=tuple(map(int, counts)),
        sizes=((images.pixels.shape[2], images.pixels.shape[3]),),
        channels=images.pixels.shape[1],
        has_test=True,
    )


def split_indices(
    labels: Labels, config: DataConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the validation and of the training images, each stratified.

    Each class is put in random order and its members at the ranks 1/n, 2/n, ..., 1;
    sorted by rank, any prefix or suffix is stratified. Validation is a prefix and
    training a suffix, so that each class keeps at least one training image.

    Raises:
        ValueError: there are fewer than two images.
    """
    if len(labels) < 2:
        raise ValueError(
            f"Data must have at least 2 training images, but got {len(labels)}."
        )
    order = _stratified_order(labels, config.seed)
    count = min(max(1, round(config.validation * len(labels))), len(labels) - 1)
    kept = order[count:]
    if config.limit:
        kept = kept[-config.limit :]
    return np.sort(order[:count]), np.sort(kept)


def _require(holds: bool, config: DataConfig, field: str, rule: str) -> None:
    if not holds:
        raise ValueError(
            f"DataConfig.{field} must be {rule}, but got "
            f"{field}={getattr(config, field)!r}."
        )


def _read_train(config: DataConfig) -> Images:
    roots = data_roots(config.path)
    entry = DATASETS[config.name]
    images = entry.read(roots, "train", config.size, config.channels)
    assert images is not None  # only a test split may be missing
    pixels = conform(images.pixels, size=config.size, channels=config.channels)
    return replace(images, pixels=pixels)


def _stratified_order(labels: Labels, seed: int) -> NDArray[np.int64]:
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = np.arange(1, len(members) + 1) / len(members)
    return order[np.argsort(rank[order], kind="stable")].astype(np.int64)


def _level_counts(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels of each grey level, `(channels, 256)`: exact and small moments follow."""
    channels = pixels.shape[1]
    return np.stack(
        [np.bincount(pixels[:, c].ravel(), minlength=256) for c in range(channels)]
    )


def _moments(
    counts: NDArray[np.int64],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    levels = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    variance = share @ levels**2 - mean**2
    std = np.sqrt(np.maximum(variance, (0.5 / 255) ** 2))
    return tuple(map(float, mean)), tuple(map(float, std))


def _fingerprint(
    images: Images, held: NDArray[np.int64], kept: NDArray[np.int64], upscale: int
) -> str:
    digest = hashlib.sha256()
    described = (images.label, images.classes, images.pixels.shape, upscale)
    digest.update(repr(described).encode())
    step = max(1, len(images.pixels) // _FINGERPRINTED)
    for array in (images.pixels[::step], images.labels, held, kept):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _describe_folder(root: Path) -> SourceInfo:
    listing = folder.list_folder(root, "train")
    assert listing is not None  # list_folder raises where train/ is missing
    counts = np.bincount(listing.labels, minlength=len(listing.classes))
    return SourceInfo(
        label=root.resolve().name,
        classes=listing.classes,
        counts=tuple(map(int, counts)),
        sizes=folder.native_sizes(root),
        channels=folder.native_channels(root),
        has_test=(root / "test").is_dir(),
    )
