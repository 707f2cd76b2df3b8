"""Facts about new study files: they load, fit their data, and quote what they name."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasdepth.search.candidates import Sieve, feasible
from nasdepth.search.config import load_config
from nasdepth.search.space import Space
from nasdepth.search.template import Template
from nasdepth.training.data import DataConfig, SourceInfo, describe_source

ODD_NAMES = [
    "my images",
    'the "best" ones',
    "it's here",
    "back\\slash",
    "tab\there",
    "two\nlines",
    "delete\x7f",
    "Größe 🖼",
    "a#b = [c]",
]


def images(root, side=24):
    """Two classes of four images."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / "train" / name).mkdir(parents=True)
        for index in range(4):
            pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "train" / name / f"{index}.png")
    return root


def written(config, folder, name="mine.toml", info=None):
    """The study of a new study file, and its text."""
    path = folder / name
    text = Template(config, info or describe_source(config), path).text()
    path.write_text(text, encoding="utf-8")
    return load_config(path), text


def source(sizes=((32, 32),), counts=(9_000, 9_000), channels=3):
    return SourceInfo("made up", ("a", "b"), counts, sizes, channels, True)


@pytest.mark.parametrize("name", ["digits", "fashion-mnist"])
def test_file_for_a_known_data_set_loads_and_names_it(name, tmp_path, require):
    debian = Path("/usr/share/datasets/fashion-mnist")
    require(name == "digits" or debian.exists(), "apt install dataset-fashion-mnist")

    config, text = written(DataConfig(name), tmp_path)

    assert config.data.name == name
    assert config.data.path == ""
    assert config.name == "mine"
    assert "10 classes" in text


@pytest.mark.parametrize("name", ODD_NAMES)
def test_file_for_a_folder_of_any_name_loads_and_finds_it(name, tmp_path):
    root = images(tmp_path / name)

    config, _ = written(DataConfig("folder", str(root)), tmp_path)

    assert config.data.name == "folder"
    assert config.data.path == str(root)
    assert describe_source(config.data).classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["odd name.toml", "it's.toml", "two\nlines.toml"])
def test_file_of_any_name_loads(name, tmp_path):
    config, _ = written(DataConfig("digits"), tmp_path, name)

    assert config.name == name.removesuffix(".toml")


def test_command_in_the_file_can_be_pasted(tmp_path):
    _, text = written(DataConfig("digits"), tmp_path, "odd name.toml")

    line = next(line for line in text.splitlines() if "nasdepth search" in line)
    words = shlex.split(line.split(":", 1)[1])
    assert words[:3] == ["nasdepth", "search", str(tmp_path / "odd name.toml")]


@pytest.mark.parametrize(
    ("side", "size"), [(8, 16), (16, 16), (31, 16), (32, 32), (100, 96), (500, 128)]
)
def test_folder_is_trained_at_the_nearest_size_below_its_own(side, size, tmp_path):
    data = DataConfig("folder", "/anywhere")

    config, _ = written(data, tmp_path, info=source(((side, side + 5),)))

    assert config.data.size == size


@pytest.mark.parametrize("side", [8, 16, 28, 32, 64, 96, 128])
@pytest.mark.parametrize("classes", [2, 100])
def test_space_of_a_new_file_has_networks_under_its_budget(side, classes, tmp_path):
    data = DataConfig("folder", "/anywhere")
    config, _ = written(data, tmp_path, info=source(((side, side),)))
    side = config.data.size
    space = Space(config.space, (3, side, side), classes)
    sieve = Sieve(space, config.budget.limits())

    found = feasible(config, space, 5, seed=[0], sieve=sieve)

    assert len(found) == 5
    assert sieve.drawn < 60


def test_few_images_are_trained_longer_and_validated_on_more(tmp_path):
    data = DataConfig("folder", "/anywhere")

    few, _ = written(data, tmp_path, info=source(counts=(50, 50)))
    many, _ = written(data, tmp_path, info=source(counts=(9_000, 9_000)))

    assert few.training.epochs > many.training.epochs
    assert few.data.validation > many.data.validation


def test_file_takes_as_many_processes_as_the_machine_has_room_for(tmp_path):
    config, _ = written(DataConfig("digits"), tmp_path)

    assert config.search.workers == "auto"


def test_file_tells_how_many_images_of_which_sizes_there_are(tmp_path):
    info = source(((20, 30), (40, 50)), counts=(3, 4))

    _, text = written(DataConfig("folder", "/anywhere"), tmp_path, info=info)

    assert "7 training images, 2 classes, 20x30 pixels to 40x50" in text
