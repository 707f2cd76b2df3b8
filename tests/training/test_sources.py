"""Facts about the readers of known data sets, on files in torchvision's format."""

import gzip
import hashlib
import io
import pickle
import socket
import struct
import tarfile

import numpy as np
import pytest
import scipy.io
from PIL import Image
from torchvision import datasets as torchvision_datasets

from nasdepth.training import sources
from nasdepth.training.data import DataConfig, describe_source, load, load_test

RANDOM = np.random.default_rng(0)


def idx(values: np.ndarray) -> bytes:
    header = struct.pack(f">{1 + values.ndim}i", 0x0800 + values.ndim, *values.shape)
    return header + values.tobytes()


def write_mnist(folder, *, zipped=False, train=30, test=10):
    """IDX files of MNIST or Fashion-MNIST; returns the training pixels and labels."""
    folder.mkdir(parents=True)
    kept = {}
    for prefix, count in (("train", train), ("t10k", test)):
        images = RANDOM.integers(0, 256, (count, 28, 28)).astype("u1")
        labels = (np.arange(count) % 10).astype("u1")
        kept[prefix] = images, labels
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx(values)
            path = folder / f"{prefix}-{name}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(content) if zipped else content)
    return kept["train"]


def md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_cifar(root, kind, monkeypatch, classes=10):
    """Batches of CIFAR with 20 images each, and their MD5 made the known ones."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    key = "labels" if classes == 10 else "fine_labels"
    names = [name for name, _ in kind.train_list + kind.test_list]
    pixels = {}
    for name in names:
        pixels[name] = RANDOM.integers(0, 256, (20, 3072)).astype("u1")
        batch = {"data": pixels[name], key: [i % classes for i in range(20)]}
        (folder / name).write_bytes(pickle.dumps(batch))
    meta = folder / kind.meta["filename"]
    words = [f"class {i}" for i in range(classes)]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: words}))
    sums = [[name, md5(folder / name)] for name in names]
    split = len(kind.train_list)
    monkeypatch.setattr(kind, "train_list", sums[:split])
    monkeypatch.setattr(kind, "test_list", sums[split:])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(meta)})
    return np.concatenate([pixels[name] for name in names[:split]])


def write_svhn(root, monkeypatch):
    """Both files of SVHN with 20 images each; digit 0 is labelled 10."""
    root.mkdir(parents=True, exist_ok=True)
    known = dict(torchvision_datasets.SVHN.split_list)
    for split in ("train", "test"):
        path = root / f"{split}_32x32.mat"
        images = RANDOM.integers(0, 256, (32, 32, 3, 20)).astype("u1")
        labels = np.arange(20)[:, None] % 10 + 1
        scipy.io.savemat(path, {"X": images, "y": labels.astype("u1")})
        known[split] = [known[split][0], path.name, md5(path)]
    monkeypatch.setattr(torchvision_datasets.SVHN, "split_list", known)


def write_archive(root, splits=("train", "test"), extra=()):
    """Archive of JPEG files, two an class, in shuffled order."""
    root.mkdir(parents=True, exist_ok=True)
    names = [
        f"{s}/{c}/{i:04}.jpg" for s in splits for c in sources.CIFAR10 for i in (0, 1)
    ]
    names = [*extra, *RANDOM.permutation(names)]
    with tarfile.open(root / sources.JPEG_ARCHIVE, "w:xz") as tar:
        for name in names:
            buffer = io.BytesIO()
            level = (
                20 * list(sources.CIFAR10).index(name.split("/")[1])
                if "/" in name
                else 0
            )
            Image.new("RGB", (32, 32), (level, level, level)).save(buffer, "jpeg")
            member = tarfile.TarInfo(str(name))
            member.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(member, buffer)
    return root


def test_digits_have_the_published_number_of_images():
    train, test = (sources.read_digits((), split) for split in ("train", "test"))

    assert (len(train.labels), len(test.labels)) == (1437, 360)
    assert train.pixels.shape == (1437, 1, 8, 8)
    assert train.pixels.max() == test.pixels.max() == 255


def test_test_split_of_the_digits_is_stratified_and_fixed():
    first, second = (sources.read_digits((), "test") for _ in range(2))

    assert np.array_equal(first.pixels, second.pixels)
    assert np.bincount(first.labels).min() >= 34


def test_train_and_test_digits_are_the_whole_set_once():
    train, test = (sources.read_digits((), split) for split in ("train", "test"))

    together = np.concatenate([train.pixels, test.pixels]).reshape(1797, 64)
    whole = np.rint(sources.load_digits().data * (255 / 16)).astype("u1")
    assert sorted(map(bytes, together)) == sorted(map(bytes, whole))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("folder", ["MNIST/raw", "mnist"])
def test_mnist_reads_torchvision_files(tmp_path, folder, zipped):
    pixels, labels = write_mnist(tmp_path / folder, zipped=zipped)

    images = sources.read_mnist((tmp_path,), "train")

    assert np.array_equal(images.pixels[:, 0], pixels)
    assert np.array_equal(images.labels, labels)
    assert images.label == "MNIST"


def test_mnist_test_split_is_the_other_file(tmp_path):
    write_mnist(tmp_path / "mnist")

    assert len(sources.read_mnist((tmp_path,), "test").labels) == 10


def test_torchvision_reads_the_mnist_files_made_here_alike(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")

    theirs = torchvision_datasets.MNIST(tmp_path, train=True)

    ours = sources.read_mnist((tmp_path,), "train")
    assert np.array_equal(theirs.data.numpy(), ours.pixels[:, 0])


def test_fashion_mnist_of_the_data_folder_goes_before_the_debian_package(tmp_path):
    write_mnist(tmp_path / "FashionMNIST" / "raw")

    images = sources.read_fashion_mnist((tmp_path,), "train")

    assert len(images.labels) == 30
    assert images.classes[0] == "T-shirt/top"


def test_mnist_files_are_not_taken_for_fashion_mnist(tmp_path, monkeypatch):
    write_mnist(tmp_path / "MNIST" / "raw")
    monkeypatch.setattr(sources, "DEBIAN_FASHION_MNIST", tmp_path / "none")

    assert sources.find_fashion_mnist((tmp_path,)) is None


def test_debian_fashion_mnist_is_the_published_set(fashion_mnist):
    info = describe_source(fashion_mnist)
    images, labels = load_test(fashion_mnist)

    assert info.counts == (6000,) * 10
    assert info.sizes == ((28, 28),)
    assert images.shape == (10000, 1, 28, 28)
    assert labels.bincount().tolist() == [1000] * 10


def test_normalisation_of_fashion_mnist_is_the_published_one(fashion_mnist):
    dataset = load(fashion_mnist)

    # The values in common use, of all 60,000 training images.
    assert dataset.mean == pytest.approx((0.2860,), abs=1e-3)
    assert dataset.std == pytest.approx((0.3530,), abs=1e-3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00",
        idx(np.zeros((2, 2), "u1")),
        idx(np.zeros((9, 28, 28), "u1"))[:-1],
    ],
    ids=["empty", "short", "two dimensions", "truncated"],
)
def test_broken_idx_file_is_named(tmp_path, content):
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(content)

    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte does\s+not"):
        sources.read_mnist((tmp_path,), "train")


def test_broken_gzip_file_is_named(tmp_path):
    write_mnist(tmp_path / "mnist", zipped=True)
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte does\s+not"):
        sources.read_mnist((tmp_path,), "train")


def test_missing_label_file_is_named(tmp_path):
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").unlink()

    with pytest.raises(ValueError, match="train-labels-idx1-ubyte does"):
        sources.read_mnist((tmp_path,), "train")


def test_images_and_labels_of_different_number_are_refused(tmp_path):
    write_mnist(tmp_path / "mnist")
    labels = idx(np.zeros(29, "u1"))
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").write_bytes(labels)

    with pytest.raises(ValueError, match="has 30 images, 29 labels"):
        sources.read_mnist((tmp_path,), "train")


def test_cifar10_reads_torchvision_files(tmp_path, monkeypatch):
    pixels = write_cifar(tmp_path, torchvision_datasets.CIFAR10, monkeypatch)

    images = sources.read_cifar10((tmp_path,), "train")

    assert np.array_equal(images.pixels.reshape(100, 3072), pixels)
    assert images.label == "CIFAR-10"
    assert images.classes == tuple(f"class {i}" for i in range(10))
    assert len(sources.read_cifar10((tmp_path,), "test").labels) == 20


def test_cifar100_reads_torchvision_files(tmp_path, monkeypatch):
    write_cifar(tmp_path, torchvision_datasets.CIFAR100, monkeypatch, classes=100)

    dataset = load(DataConfig("cifar100", path=str(tmp_path)))

    assert (dataset.label, len(dataset.classes)) == ("CIFAR-100", 100)
    assert dataset.input_shape == (3, 32, 32)


def test_svhn_reads_torchvision_files_and_zero_is_label_zero(tmp_path, monkeypatch):
    write_svhn(tmp_path, monkeypatch)

    images = sources.read_svhn((tmp_path,), "train")
    test = sources.read_svhn((tmp_path,), "test")

    assert images.pixels.shape == test.pixels.shape == (20, 3, 32, 32)
    assert images.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 2


def test_cifar10_falls_back_to_the_jpeg_archive_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("NASDEPTH_DATA", str(write_archive(tmp_path / "data")))

    dataset = load(DataConfig("cifar10", validation=0.5))

    assert dataset.label == "CIFAR-10 (JPEG copy)"
    assert dataset.classes == sources.CIFAR10


def test_lossless_cifar10_goes_before_the_jpeg_archive(tmp_path, monkeypatch):
    write_archive(tmp_path)
    write_cifar(tmp_path, torchvision_datasets.CIFAR10, monkeypatch)

    assert sources.read_cifar10((tmp_path,), "train").label == "CIFAR-10"


def test_archive_images_keep_their_labels(tmp_path):
    images = sources.read_cifar10((write_archive(tmp_path),), "test")

    levels = images.pixels.mean(axis=(1, 2, 3))
    assert np.abs(levels - 20 * images.labels).max() < 2
    assert np.bincount(images.labels).tolist() == [2] * 10


def test_order_of_images_is_not_that_of_the_archive(tmp_path):
    images = sources.read_cifar10((write_archive(tmp_path),), "train")

    assert images.labels.tolist() == sorted(images.labels)


def test_archive_is_decoded_once(tmp_path, monkeypatch):
    first = sources.read_cifar10((write_archive(tmp_path),), "train")
    monkeypatch.setattr(sources, "decode", None)

    second = sources.read_cifar10((tmp_path,), "train")

    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.labels, second.labels)


def test_archive_without_the_split_is_refused(tmp_path):
    write_archive(tmp_path, splits=("train",))

    with pytest.raises(ValueError, match="must hold test/"):
        sources.read_cifar10((tmp_path,), "test")


def test_archive_with_a_foreign_class_is_refused(tmp_path, monkeypatch):
    write_archive(tmp_path)
    monkeypatch.setattr(sources, "CIFAR10", sources.CIFAR10[:9])

    with pytest.raises(ValueError, match=r"must hold train\|test"):
        sources.read_cifar10((tmp_path,), "train")


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_file_that_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / sources.JPEG_ARCHIVE).write_bytes(content)

    with pytest.raises(ValueError, match="does not:"):
        sources.read_cifar10((tmp_path,), "train")


def test_truncated_archive_is_refused(tmp_path):
    path = write_archive(tmp_path) / sources.JPEG_ARCHIVE
    path.write_bytes(path.read_bytes()[:-500])

    with pytest.raises(ValueError, match="does not:"):
        sources.read_cifar10((tmp_path,), "train")


@pytest.mark.slow
def test_real_archive_holds_a_thousand_test_images_of_each_class(
    jpeg_archive, monkeypatch
):
    monkeypatch.setenv("NASDEPTH_DATA", str(jpeg_archive.parent))

    images, labels = load_test(DataConfig("cifar10"))

    assert images.shape == (10000, 3, 32, 32)
    assert labels.bincount().tolist() == [1000] * 10


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "label", "remedy"),
    [
        ("mnist", "MNIST", "MNIST/raw"),
        ("fashion-mnist", "Fashion-MNIST", "dataset-fashion-mnist"),
        ("cifar10", "CIFAR-10", r"cifar10_jpeg\.tar\.xz"),
        ("cifar100", "CIFAR-100", "cifar-100-python"),
        ("svhn", "SVHN", r"train_32x32\.mat"),
    ],
)
def test_missing_files_end_in_one_line_that_names_the_ways(
    tmp_path, monkeypatch, name, label, remedy
):
    monkeypatch.setattr(sources, "DEBIAN_FASHION_MNIST", tmp_path / "none")
    wanted = rf"^The files of {label} must be whole in \S+, but .*failed .*{remedy}.*$"

    with pytest.raises(FileNotFoundError, match=wanted) as caught:
        load(DataConfig(name))

    assert "\n" not in str(caught.value)
    assert "NASDEPTH_DATA" in str(caught.value)


@pytest.mark.usefixtures("no_network")
def test_cifar_with_a_foreign_checksum_is_not_unpickled(tmp_path, monkeypatch):
    write_cifar(tmp_path, torchvision_datasets.CIFAR10, monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cos\nsystem\n.")
    monkeypatch.setattr(pickle, "load", None)

    with pytest.raises(FileNotFoundError, match="must be whole in"):
        sources.read_cifar10((tmp_path,), "train")


def test_download_that_works_is_read(tmp_path, monkeypatch):
    def fetch(self):
        write_mnist(tmp_path / "MNIST" / "raw")

    monkeypatch.setattr(torchvision_datasets.MNIST, "download", fetch)

    assert len(sources.read_mnist((tmp_path,), "train").labels) == 30


def test_what_a_download_prints_goes_to_stderr(tmp_path, monkeypatch, capsys):
    def fetch(self):
        print("Downloading ...")
        raise OSError("unplugged")

    monkeypatch.setattr(torchvision_datasets.MNIST, "download", fetch)
    with pytest.raises(FileNotFoundError, match="unplugged"):
        sources.read_mnist((tmp_path,), "train")

    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "Downloading ...\n")


def test_socket_patience_lasts_for_the_download_alone(tmp_path, monkeypatch):
    seen = []

    def fetch(self):
        seen.append(socket.getdefaulttimeout())
        raise OSError("unplugged")

    monkeypatch.setattr(torchvision_datasets.MNIST, "download", fetch)
    with pytest.raises(FileNotFoundError, match="unplugged"):
        sources.read_mnist((tmp_path,), "train")

    assert seen == [10.0]
    assert socket.getdefaulttimeout() is None
