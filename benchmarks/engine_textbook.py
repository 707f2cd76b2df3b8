"""The row that sets the engine's defaults beside a textbook loop, on all cores.

    python benchmarks/engine_textbook.py textbook|engine FOLDER [--quick]

runs one side alone, the engine's also with `--networks N --epochs N --device cuda`.
Both train the same eight networks, drawn from the space of `studies/fashion-mnist.toml`
within its budget, for the same epochs of the same images. The engine's side is one
process of one thread a core, each taking the next network that none has taken; the
other is one process with torch's default threads, fp32 in NCHW and a DataLoader over
PIL transforms. Start of processes and probe are counted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from engine_bare import MOMENTUM, RATE, WEIGHT_DECAY
from engine_networks import BATCH, some_images
from engine_pairs import Measured, Settings, in_turn, rates, ratios
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from nasdepth import Architecture, Space, StudyConfig, build, lower
from nasdepth.guide.draws import Draw, draw_random
from nasdepth.measures.catalogue import measure
from nasdepth.training.data import Dataset
from nasdepth.training.loop import fit
from nasdepth.training.recipe import TrainingConfig

STUDY = Path(__file__).parents[1] / "studies" / "fashion-mnist.toml"
NETWORKS, EPOCHS = 8, TrainingConfig().epochs
CORES = 2
#: variables that set the number of threads
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def textbook(settings: Settings) -> Measured:
    """Images/s of the engine's defaults over those of the textbook loop."""
    count = len(networks(settings.quick)) * (1 if settings.quick else EPOCHS)
    images = count * len(_data(quick=settings.quick).train_labels)

    def side(name: str, processes: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return images / seconds(name, processes, Path(folder), settings.quick)

    pairs = in_turn(
        lambda: side("engine", CORES), lambda: side("textbook", 1), settings.pairs
    )
    return Measured(ratios(pairs), rates(pairs))


def networks(quick: bool, count: int = NETWORKS) -> list[Architecture]:
    """The first random draws of the study's space that keep to its budget.

    Args:
        quick: two of them.
        count: how many otherwise.
    """
    config = StudyConfig.model_validate(tomllib.loads(STUDY.read_text("utf-8")))
    data = _data(quick=quick)
    space = Space(config.space, data.input_shape, len(data.classes))
    limits = config.budget.limits().items()
    generator = np.random.default_rng(0)
    found: list[Architecture] = []
    while len(found) < (2 if quick else count):
        architecture = space.sample(Draw(draw_random(generator)))
        values = measure(lower(architecture))
        if all((values[name] or 0) <= most for name, most in limits):
            found.append(architecture)
    return found


def run_engine(
    folder: Path,
    *,
    quick: bool,
    count: int = NETWORKS,
    epochs: int = EPOCHS,
    device: str = "cpu",
) -> None:
    """Train, one after the other, the networks that no other process has taken."""
    torch.set_num_threads(1)
    data = _data(quick=quick)
    config = TrainingConfig(epochs=1 if quick else epochs)
    for index, architecture in enumerate(networks(quick, count)):
        if taken(folder / str(index)):
            fit(build(architecture, seed=0), data, config, seed=0, device=device)


def run_textbook(*, quick: bool) -> None:
    """Train them one after the other as a first course teaches it."""
    data = _data(quick=quick)
    for architecture in networks(quick):
        _train(build(architecture, seed=0), data, 1 if quick else EPOCHS)


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """Images that PIL crops, mirrors and normalises one at a time.

    Args:
        data: where they are from.
        augment: whether they are cropped and mirrored.
    """

    def __init__(self, data: Dataset, *, augment: bool = True) -> None:
        height = data.train_images.shape[2]
        shift, flip = data.augmentation.shift, data.augmentation.flip
        pixels = data.train_images.permute(0, 2, 3, 1).squeeze(3).numpy()
        self._pictures = [Image.fromarray(each) for each in pixels]
        self._labels = data.train_labels.tolist()
        drawn = [
            transforms.RandomCrop(height, padding=shift),
            transforms.RandomHorizontalFlip(0.5 if flip else 0.0),
        ]
        self._transform = transforms.Compose(
            [
                *(drawn if augment else []),
                transforms.ToTensor(),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(self._pictures[index]), self._labels[index]


def _train(module: nn.Module, data: Dataset, epochs: int) -> None:
    mean = torch.tensor(data.mean).view(1, -1, 1, 1)
    std = torch.tensor(data.std).view(1, -1, 1, 1)
    pixels = (data.validation_images / 255 - mean) / std
    held = DataLoader(TensorDataset(pixels, data.validation_labels), BATCH)
    ours = DataLoader(Pictures(data), BATCH, shuffle=True)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        module.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    for _ in range(epochs):
        module.train()
        for images, labels in ours:
            optimizer.zero_grad()
            loss = criterion(module(images), labels)
            loss.backward()
            optimizer.step()
        module.eval()
        with torch.no_grad():
            for images, labels in held:
                (module(images).argmax(1) == labels).sum().item()


def _data(*, quick: bool) -> Dataset:
    return some_images("plain", quick=quick)


def taken(file: Path) -> bool:
    """Whether this process is the first to want the file."""
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def seconds(
    name: str, processes: int, folder: Path, quick: bool, *options: str
) -> float:
    """Wall time of the processes of one side, from start to end."""
    command = [sys.executable, __file__, name, str(folder), *options]
    environment = _environment(folder)
    start = perf_counter()
    started = [
        subprocess.Popen([*command, *(["--quick"] if quick else [])], env=environment)
        for _ in range(processes)
    ]
    codes = [process.wait() for process in started]
    if any(codes):
        raise RuntimeError(f"The side {name!r} must end with 0, but ended {codes}.")
    return perf_counter() - start


def _environment(folder: Path) -> dict[str, str]:
    """Ours without numbers of threads, and with a cache in which nothing is found."""
    others = {k: v for k, v in os.environ.items() if k not in THREADS}
    return {**others, "NASDEPTH_CACHE": str(folder / "cache")}


def main() -> None:
    """Run one side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=("engine", "textbook"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.side == "engine":
        run_engine(
            given.folder,
            quick=given.quick,
            count=given.networks,
            epochs=given.epochs,
            device=given.device,
        )
    else:
        run_textbook(quick=given.quick)


if __name__ == "__main__":
    main()
