"""Image folders: `train/<class>/<image>`, with or without `test/<class>/<image>`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nasdepth.training.images import (
    Images,
    Pixels,
    Split,
    cached,
    decode,
    file_key,
    peek,
)

DEFAULT_SIZE = 32
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
# Headers read to tell the sizes of a folder's images.
_PEEKED = 200


@dataclass(frozen=True, slots=True)
class Listing:
    """Files of one split, sorted by class and name.

    Args:
        classes: names of the class folders of `train/`, sorted.
        files: one path an image.
        labels: index into `classes` of each file.
    """

    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]


def read_folder(root: Path, split: Split, size: int, channels: int) -> Images | None:
    """One split of an image folder; None where there is no `test/`.

    Args:
        root: the folder that holds `train/`.
        split: which part; the images of the other one are not opened.
        size: side that each image is scaled to; 0 = 32 pixels.
        channels: 1 or 3; 0 = 1 if each training image is grey, else 3.

    Raises:
        FileNotFoundError: there is no `train/`.
        ValueError: fewer than two classes, a class without images, a class of
            `test/` that `train/` has not, or a file that does not decode.
    """
    listing = list_folder(root, split)
    if listing is None:
        return None
    size = size or DEFAULT_SIZE
    channels = channels or native_channels(root)

    def read() -> Pixels:
        stack = np.empty((len(listing.files), channels, size, size), dtype=np.uint8)
        for row, path in zip(stack, listing.files, strict=True):
            row[:] = decode(path, str(path), size=size, channels=channels)
        return stack

    keys = tuple(file_key(path) for path in listing.files)
    pixels = cached(("folder", keys, size, channels), read)
    labels = np.array(listing.labels, dtype=np.int64)
    return Images(pixels, labels, listing.classes, root.resolve().name)


def list_folder(root: Path, split: Split) -> Listing | None:
    """Files of one split, without opening them; None where there is no `test/`."""
    if not root.is_dir():
        raise FileNotFoundError(f"An image folder must exist, but {root} does not.")
    if not (root / "train").is_dir():
        raise FileNotFoundError(
            f"An image folder must hold train/<class>/<image>, but {root} has no "
            f"train/."
        )
    classes = _class_names(root / "train")
    if len(classes) < 2:
        raise ValueError(
            f"An image folder must have at least 2 classes, but {root / 'train'} has "
            f"{len(classes)}."
        )
    _check_test_classes(root / "test", classes)
    if not (root / split).is_dir():
        return None
    present = [name for name in classes if (root / split / name).is_dir()]
    found = [(path, name) for name in present for path in _files(root / split / name)]
    index = {name: label for label, name in enumerate(classes)}
    labels = tuple(index[name] for _, name in found)
    return Listing(classes, tuple(path for path, _ in found), labels)


def native_channels(root: Path) -> int:
    """1 if every training image is grey, else 3; reads headers alone."""
    listing = list_folder(root, "train")
    assert listing is not None  # list_folder raises where train/ is missing
    return 1 if all(peek(path)[2] for path in listing.files) else 3


def native_sizes(root: Path) -> tuple[tuple[int, int], ...]:
    """Distinct `(height, width)` among at most 200 training images, sorted."""
    listing = list_folder(root, "train")
    assert listing is not None  # list_folder raises where train/ is missing
    step = max(1, len(listing.files) // _PEEKED)
    return tuple(sorted({peek(path)[:2] for path in listing.files[::step]}))


def _class_names(part: Path) -> tuple[str, ...]:
    folders = (entry for entry in part.iterdir() if entry.is_dir())
    return tuple(sorted(f.name for f in folders if not f.name.startswith(".")))


def _check_test_classes(test: Path, classes: tuple[str, ...]) -> None:
    if not test.is_dir():
        return
    if foreign := sorted(set(_class_names(test)) - set(classes)):
        raise ValueError(
            f"Classes of test/ must be classes of train/, but {test} has "
            f"{', '.join(map(repr, foreign))}; choose from: {', '.join(classes)}."
        )
    if not _class_names(test):
        raise ValueError(f"test/ must hold class folders, but {test} has none.")


def _files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if _is_image(path))
    if not files:
        raise ValueError(
            f"A class folder must hold at least one image, but {folder} holds none; "
            f"known suffixes: {', '.join(sorted(SUFFIXES))}."
        )
    return files


def _is_image(path: Path) -> bool:
    named = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    return named and path.is_file()
