"""Readers of the known data sets: files on disk to uint8 pixels and labels.

A reader looks in the data folders it is given, in their order, and where it finds
nothing lets torchvision download into the last one.
"""

import contextlib
import gzip
import http.client
import logging
import lzma
import pickle
import socket
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from nasdepth.training.images import (
    Images,
    Pixels,
    Split,
    cached,
    decode,
    file_key,
)

Roots = Sequence[Path]

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CIFAR10 = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
JPEG_ARCHIVE = "cifar10_jpeg.tar.xz"

_log = logging.getLogger(__name__)
# Seconds without an answer before a download is given up.
_PATIENCE = 10.0
# The split of the digits is fixed: their test set is a property of the data.
_DIGITS_SEED = 0
_DIGITS_TEST_SHARE = 0.2
_UNREADABLE = (OSError, ValueError, EOFError, struct.error, zlib.error)
_NO_DOWNLOAD = (OSError, RuntimeError, http.client.HTTPException, tarfile.TarError)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Files that may have to be downloaded: their name, places, and how else to come.

    `found` is the entry of one of the `roots` that holds them, None where none does.
    """

    label: str
    roots: Roots
    found: Path | None
    hint: str


def read_digits(roots: Roots, split: Split) -> Images:
    """The 8x8 digits inside scikit-learn, a fixed stratified 20 % of them as test."""
    del roots  # they come with the library
    data = load_digits()
    levels = np.rint(data.images[:, None] * (255 / 16)).astype(np.uint8)
    labels = data.target.astype(np.int64)
    parts = train_test_split(
        np.arange(len(labels)),
        test_size=_DIGITS_TEST_SHARE,
        stratify=labels,
        random_state=_DIGITS_SEED,
    )
    chosen = np.sort(parts[0] if split == "train" else parts[1])
    return Images(levels[chosen], labels[chosen], DIGITS, "digits")


def read_mnist(roots: Roots, split: Split) -> Images:
    """MNIST from IDX files, plain or gzipped, in `MNIST/raw` or `mnist`."""
    wanted = _Wanted("MNIST", roots, find_mnist(roots), _MNIST_HINT)
    folder = wanted.found or _downloaded(wanted, _fetch_mnist)
    return _read_idx(folder, split, DIGITS, "MNIST")


def read_fashion_mnist(roots: Roots, split: Split) -> Images:
    """Fashion-MNIST from IDX files of torchvision or of the Debian package."""
    found = find_fashion_mnist(roots)
    wanted = _Wanted("Fashion-MNIST", roots, found, _FASHION_HINT)
    folder = found or _downloaded(wanted, _fetch_fashion_mnist)
    return _read_idx(folder, split, CLOTHES, "Fashion-MNIST")


def read_cifar10(roots: Roots, split: Split) -> Images:
    """CIFAR-10 from torchvision's files, else from the archive of JPEG copies."""
    if find_cifar10(roots) is None and (archive := find_jpeg_archive(roots)):
        return _read_jpeg_archive(archive, split)
    wanted = _Wanted("CIFAR-10", roots, find_cifar10(roots), _CIFAR10_HINT)
    return _read_cifar(_torchvision_datasets().CIFAR10, wanted, split)


def read_cifar100(roots: Roots, split: Split) -> Images:
    """CIFAR-100 from torchvision's files."""
    wanted = _Wanted("CIFAR-100", roots, find_cifar100(roots), _CIFAR100_HINT)
    return _read_cifar(_torchvision_datasets().CIFAR100, wanted, split)


def read_svhn(roots: Roots, split: Split) -> Images:
    """Street View House Numbers, cropped digits, from torchvision's files."""

    def make(root: Path, download: bool) -> Any:
        return _torchvision_datasets().SVHN(root, split=split, download=download)

    wanted = _Wanted("SVHN", roots, find_svhn(roots), _SVHN_HINT)
    data = _torchvision(wanted, make)
    return Images(data.data, data.labels.astype(np.int64), DIGITS, "SVHN")


def find_mnist(roots: Roots) -> Path | None:
    """Folder of MNIST's IDX files."""
    return _idx_folder([r / name for r in roots for name in ("MNIST/raw", "mnist")])


def find_fashion_mnist(roots: Roots) -> Path | None:
    """Folder of Fashion-MNIST's IDX files."""
    names = ("FashionMNIST/raw", "fashion-mnist")
    inside = [root / name for root in roots for name in names]
    return _idx_folder([*inside, DEBIAN_FASHION_MNIST])


def find_cifar10(roots: Roots) -> Path | None:
    """Folder of CIFAR-10's python batches."""
    return _first(root / "cifar-10-batches-py" for root in roots)


def find_jpeg_archive(roots: Roots) -> Path | None:
    """Archive of CIFAR-10 as JPEG files, `train|test/<class>/<image>`."""
    return _first(root / JPEG_ARCHIVE for root in roots)


def find_cifar100(roots: Roots) -> Path | None:
    """Folder of CIFAR-100's python batches."""
    return _first(root / "cifar-100-python" for root in roots)


def find_svhn(roots: Roots) -> Path | None:
    """File of SVHN's training images."""
    return _first(root / "train_32x32.mat" for root in roots)


_MNIST_HINT = "put torchvision's MNIST/raw there"
_FASHION_HINT = (
    "install the Debian package dataset-fashion-mnist, or put torchvision's "
    "FashionMNIST/raw there"
)
_CIFAR10_HINT = (
    f"put torchvision's cifar-10-batches-py or the archive {JPEG_ARCHIVE} there"
)
_CIFAR100_HINT = "put torchvision's cifar-100-python there"
_SVHN_HINT = "put torchvision's train_32x32.mat and test_32x32.mat there"


def _first(paths: Iterator[Path]) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def _idx_folder(folders: Sequence[Path]) -> Path | None:
    first = "train-images-idx3-ubyte"
    return next(
        (f for f in folders if (f / first).exists() or (f / f"{first}.gz").exists()),
        None,
    )


def _read_idx(
    folder: Path, split: Split, classes: tuple[str, ...], label: str
) -> Images:
    prefix = "train" if split == "train" else "t10k"
    pixels = _idx(folder / f"{prefix}-images-idx3-ubyte", 3)[:, None]
    labels = _idx(folder / f"{prefix}-labels-idx1-ubyte", 1).astype(np.int64)
    if len(pixels) != len(labels) or labels.max(initial=0) >= len(classes):
        raise ValueError(
            f"{label} must have one label below {len(classes)} an image, but {folder} "
            f"has {len(pixels)} images, {len(labels)} labels."
        )
    return Images(pixels, labels, classes, label)


def _idx(path: Path, dimensions: int) -> Pixels:
    """Array of an IDX file of unsigned bytes (LeCun, the MNIST page), gzipped or not.

    The file is a big-endian magic number 0x0800 + dimensions, one 32-bit length a
    dimension, and the bytes.
    """
    zipped = path.with_name(f"{path.name}.gz")
    try:
        content = (
            path.read_bytes() if path.exists() else gzip.decompress(zipped.read_bytes())
        )
        magic, *shape = struct.unpack_from(f">{1 + dimensions}i", content)
        if magic != 0x0800 + dimensions:
            raise ValueError(f"its magic number is {magic:#x}")
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
        return values.reshape(shape).copy()
    except _UNREADABLE as error:
        raise ValueError(
            f"IDX files must hold {dimensions} dimensions of bytes, but {path} does "
            f"not: {error}."
        ) from error


def _read_cifar(
    kind: type[Any],
    wanted: _Wanted,
    split: Split,
) -> Images:
    def make(root: Path, download: bool) -> Any:
        return kind(root, train=split == "train", download=download)

    data = _torchvision(wanted, make)
    pixels = np.ascontiguousarray(data.data.transpose(0, 3, 1, 2))
    labels = np.array(data.targets, dtype=np.int64)
    return Images(pixels, labels, tuple(data.classes), wanted.label)


def _torchvision(wanted: _Wanted, make: Callable[[Path, bool], Any]) -> Any:
    """Data set of torchvision from its files, or after a download of them.

    It unpickles the batches of CIFAR, and only if their MD5 is the known one.
    """
    if wanted.found is not None:
        with contextlib.suppress(*_UNREADABLE, RuntimeError, pickle.UnpicklingError):
            return make(wanted.found.parent, False)
    return _downloaded(wanted, lambda root: make(root, True))


def _downloaded(wanted: _Wanted, fetch: Callable[[Path], Any]) -> Any:
    """What torchvision downloads into the last root, or how else to get the data."""
    root = wanted.roots[-1]
    _log.info("Downloading %s to %s.", wanted.label, root)
    try:
        with _impatient(), contextlib.redirect_stdout(sys.stderr):
            root.mkdir(parents=True, exist_ok=True)
            return fetch(root)
    except _NO_DOWNLOAD as error:
        places = " or ".join(map(str, wanted.roots))
        raise FileNotFoundError(
            f"The files of {wanted.label} must be whole in {places}, but are not, and "
            f"the download failed ({_one_line(error)}); {wanted.hint}, name another "
            f"folder as data.path or NASDEPTH_DATA, or connect to a network."
        ) from error


def _fetch_mnist(root: Path) -> Path:
    return Path(_torchvision_datasets().MNIST(root, download=True).raw_folder)


def _fetch_fashion_mnist(root: Path) -> Path:
    fetched = _torchvision_datasets().FashionMNIST(root, download=True)
    return Path(fetched.raw_folder)


def _torchvision_datasets() -> Any:
    """Torchvision's data sets, loaded when they are needed.

    They take as long to load as torch itself, which every worker would wait for.
    """
    from torchvision import datasets

    return datasets


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Sockets opened inside give up soon: torchvision sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _read_jpeg_archive(archive: Path, split: Split) -> Images:
    key = ("jpeg archive", file_key(archive), split)
    rows = cached(key, lambda: _decode_archive(archive, split))
    pixels = np.ascontiguousarray(rows[:, 1:]).reshape(-1, 3, 32, 32)
    labels = rows[:, 0].astype(np.int64)
    return Images(pixels, labels, CIFAR10, "CIFAR-10 (JPEG copy)")


def _decode_archive(archive: Path, split: Split) -> Pixels:
    """Rows of label and pixels, as in CIFAR-10's own binary format, `(images, 3073)`.

    Raises:
        ValueError: the archive has no such split, or anything else in it.
    """
    rows: dict[str, Pixels] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if not (member.isfile() and member.name.startswith(f"{split}/")):
                    continue
                file = tar.extractfile(member)
                assert file is not None  # it is a regular file
                label = CIFAR10.index(Path(member.name).parent.name)
                pixels = decode(file.read(), member.name, size=32, channels=3)
                rows[member.name] = np.append(np.uint8(label), pixels)
    except (*_UNREADABLE, tarfile.TarError, lzma.LZMAError) as error:
        raise ValueError(
            f"The archive must hold train|test/<class>/<image>.jpg, but {archive} "
            f"does not: {_one_line(error)}."
        ) from error
    if not rows:
        raise ValueError(f"The archive must hold {split}/, but {archive} does not.")
    return np.stack([rows[name] for name in sorted(rows)])
