"""The data sets that can be named: one registry entry each."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nasdepth.architecture.registry import Registry
from nasdepth.training import sources
from nasdepth.training.augment import Augmentation
from nasdepth.training.files import cache_folder
from nasdepth.training.folder import read_folder
from nasdepth.training.images import Images, Split

Roots = Sequence[Path]
Reader = Callable[[Roots, Split, int, int], Images | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A data set that can be named.

    Args:
        label: name to show beside every number; the files may refine it.
        classes: names in the order of the labels; empty where the files decide.
        shape: native `(channels, height, width)`; zeros where the files decide.
        augmentation: what training applies unless told otherwise.
        read: `(roots, split, size, channels)` to images; None without that split.
            Only a reader of single files heeds size and channels.
        locate: where the data is among the roots.
        hint: how the data comes where `locate` finds nothing.
    """

    label: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    augmentation: Augmentation
    read: Reader
    locate: Callable[[Roots], Path | None]
    hint: str

    def available(self, path: str = "") -> str:
        """Where the data is, or how it would come; one line for people.

        Args:
            path: as `DataConfig.path`.
        """
        found = self.locate(data_roots(path))
        return f"found at {found}" if found else self.hint


DATASETS = Registry[Entry]("dataset")


def data_roots(path: str) -> tuple[Path, ...]:
    """Folders to look for data in, in this order; the last takes downloads.

    Args:
        path: the one folder, or empty for `NASDEPTH_DATA` and `data` in the cache.
    """
    if path:
        return (Path(path).expanduser(),)
    own = cache_folder() / "data"
    named = os.environ.get("NASDEPTH_DATA")
    return (Path(named).expanduser(), own) if named else (own,)


def _whole(read: Callable[[Roots, Split], Images]) -> Reader:
    """Reader of data whose images all have one size: resizing is left to the caller."""

    def reader(roots: Roots, split: Split, size: int, channels: int) -> Images:
        del size, channels
        return read(roots, split)

    return reader


def _folder(roots: Roots, split: Split, size: int, channels: int) -> Images | None:
    return read_folder(roots[-1], split, size, channels)


_DOWNLOADED = "not here; downloaded at first use"

# Mirrored digits are no digits, and mirrored house numbers neither.
DATASETS.register("digits")(
    Entry(
        label="digits",
        classes=sources.DIGITS,
        shape=(1, 8, 8),
        augmentation=Augmentation(shift=1),
        read=_whole(sources.read_digits),
        locate=lambda roots: None,
        hint="comes with scikit-learn",
    )
)
DATASETS.register("fashion-mnist")(
    Entry(
        label="Fashion-MNIST",
        classes=sources.CLOTHES,
        shape=(1, 28, 28),
        augmentation=Augmentation(flip=True, shift=2),
        read=_whole(sources.read_fashion_mnist),
        locate=sources.find_fashion_mnist,
        hint=f"{_DOWNLOADED}, or install the Debian package dataset-fashion-mnist",
    )
)
DATASETS.register("mnist")(
    Entry(
        label="MNIST",
        classes=sources.DIGITS,
        shape=(1, 28, 28),
        augmentation=Augmentation(shift=2),
        read=_whole(sources.read_mnist),
        locate=sources.find_mnist,
        hint=_DOWNLOADED,
    )
)
DATASETS.register("cifar10")(
    Entry(
        label="CIFAR-10",
        classes=sources.CIFAR10,
        shape=(3, 32, 32),
        augmentation=Augmentation(flip=True, shift=4),
        read=_whole(sources.read_cifar10),
        locate=lambda roots: (
            sources.find_cifar10(roots) or sources.find_jpeg_archive(roots)
        ),
        hint=f"{_DOWNLOADED}, or put {sources.JPEG_ARCHIVE} into NASDEPTH_DATA",
    )
)
DATASETS.register("cifar100")(
    Entry(
        label="CIFAR-100",
        classes=(),
        shape=(3, 32, 32),
        augmentation=Augmentation(flip=True, shift=4),
        read=_whole(sources.read_cifar100),
        locate=sources.find_cifar100,
        hint=_DOWNLOADED,
    )
)
DATASETS.register("svhn")(
    Entry(
        label="SVHN",
        classes=sources.DIGITS,
        shape=(3, 32, 32),
        augmentation=Augmentation(shift=4),
        read=_whole(sources.read_svhn),
        locate=sources.find_svhn,
        hint=_DOWNLOADED,
    )
)
DATASETS.register("folder")(
    Entry(
        label="folder",
        classes=(),
        shape=(0, 0, 0),
        augmentation=Augmentation(flip=True, shift=4),
        read=_folder,
        locate=lambda roots: None,
        hint="any folder of train/<class>/<image>",
    )
)
