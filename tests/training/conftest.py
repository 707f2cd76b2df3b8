"""Fixtures of the training tests: small networks, small data, an own cache."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nasdepth.training.data import DataConfig, Dataset, load


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the user's cache or data folder."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("NASDEPTH_CACHE", str(cache))
    monkeypatch.delenv("NASDEPTH_DATA", raising=False)
    return cache


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attempt to connect fails at once."""

    def refuse(*args: object, **options: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.create_connection", refuse)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load(DataConfig("digits"))


@pytest.fixture
def small_network() -> Callable[[], nn.Module]:
    """Maker of the same 8x8 grey network with batch norm each time."""

    def make() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1, bias=False),
                nn.BatchNorm2d(16),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(32),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(32, 10),
            )

    return make


@pytest.fixture
def save_image() -> Callable[..., Path]:
    """Writer of an image file in any mode, of one level or of given values."""

    def save(path: Path, mode: str = "RGB", side: int = 12, **options: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        level = (path.name.encode()[0] * 7) % 256
        values = np.full((side, side, 4), level, dtype=np.uint8)
        Image.fromarray(values, "RGBA").convert(mode).save(path, **options)
        return path

    return save


@pytest.fixture
def image_folder(tmp_path: Path, save_image: Callable[..., Path]) -> Path:
    """Two classes, ten training and two test images each."""
    root = tmp_path / "my-images"
    for part, count in (("train", 10), ("test", 2)):
        for name in ("cat", "dog"):
            for index in range(count):
                save_image(root / part / name / f"{chr(97 + index)}.png")
    return root


@pytest.fixture
def fashion_mnist(require: Callable[[bool, str], None]) -> DataConfig:
    folder = Path("/usr/share/datasets/fashion-mnist")
    require(folder.exists(), "apt-get install dataset-fashion-mnist")
    return DataConfig("fashion-mnist")


# Read before `own_cache` hides the variable from the tests.
_DATA = os.environ.get("NASDEPTH_DATA", "")


@pytest.fixture
def jpeg_archive(require: Callable[[bool, str], None]) -> Path:
    path = Path(_DATA) / "cifar10_jpeg.tar.xz"
    require(path.is_file(), "let NASDEPTH_DATA name a folder with cifar10_jpeg.tar.xz")
    return path
