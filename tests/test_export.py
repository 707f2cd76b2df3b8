"""Exports of really trained networks, run as their user would: in another process."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from statsmodels.stats.proportion import proportion_confint
from torch import Tensor, nn

from nasdepth import export as export_module
from nasdepth import export_template as template
from nasdepth.architecture.spec import Architecture, Stage, Stem
from nasdepth.export import ExportSource, export
from nasdepth.export_card import card, wilson_interval
from nasdepth.network.build import build
from nasdepth.training.data import DataConfig, Dataset, load, load_test
from nasdepth.training.images import decode
from nasdepth.training.loop import evaluate, fit
from nasdepth.training.recipe import Evaluation, TrainingConfig
from nasdepth.training.weights import load_weights, save_weights

CELL = Stage("conv", 4, 16, skip="concat", links=8, stride=2)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Made:
    """An export with what it was made of."""

    source: ExportSource
    folder: Path
    metrics: Mapping[str, Any]


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASDEPTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("NASDEPTH_DATA", raising=False)
        yield


def trained(config: DataConfig, weights: Path, *, epochs: int = 3) -> ExportSource:
    data = load(config)
    architecture = Architecture(
        (Stage("conv", 1, 16, skip="add", span=2), CELL),
        Stem(16),
        input_shape=data.input_shape,
        num_classes=len(data.classes),
    )
    network = build(architecture, seed=0)
    training = TrainingConfig(epochs=epochs, batch_size=64, schedule="one-cycle")
    done = fit(network, data, training, seed=0, device="cpu")
    save_weights(network, weights)
    provenance = {"study": "tests", "trial": 7, "seed": 0}
    return ExportSource(
        architecture, weights, data, load_test(config), done.accuracy, provenance
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ExportSource:
    weights = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    return trained(DataConfig("digits"), weights)


@pytest.fixture(scope="module")
def grey(digits: ExportSource, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("exports") / "grey"
    return Made(digits, folder, export(digits, folder, device="cpu"))


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Tinted digits in a folder without a test set, enlarged from 12 to 24 pixels."""
    root = tmp_path_factory.mktemp("images") / "tinted"
    data = load(DataConfig("digits"))
    for index in range(200):
        label = int(data.train_labels[index])
        pixels = data.train_images[index, 0].numpy()
        image = Image.fromarray(np.stack([pixels, 255 - pixels, pixels // 2], axis=-1))
        folder = root / "train" / f"digit {label}"
        folder.mkdir(parents=True, exist_ok=True)
        image.resize((30, 20)).save(folder / f"{index}.png")
    config = DataConfig("folder", path=str(root), size=12, upscale=2, validation=0.4)
    weights = tmp_path_factory.mktemp("weights") / "tinted.safetensors"
    source = trained(config, weights, epochs=2)
    folder = tmp_path_factory.mktemp("exports") / "deep" / "colour"
    return Made(source, folder, export(source, folder, device="cpu"))


def run(folder: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`model.py` on its own: no way leads from there to this checkout."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, folder / "model.py", *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def write_digit(pixels: Tensor, path: Path) -> Path:
    Image.fromarray(pixels[0].numpy()).save(path)
    return path


def network_of(source: ExportSource) -> nn.Module:
    network = build(source.architecture)
    load_weights(network, source.weights)
    return network.eval()


@pytest.mark.slow
def test_exported_program_classifies_an_image_file(grey: Made, tmp_path: Path) -> None:
    images, _ = grey.source.test
    paths = [write_digit(images[i], tmp_path / f"{i}.png") for i in range(4)]

    done = run(grey.folder, *(path.name for path in paths), "--top", 1, cwd=tmp_path)

    batch = template.normalise(images[:4], template.read_config(grey.folder))
    shares = network_of(grey.source)(batch).softmax(1)
    expected = []
    for path, row in zip(paths, shares, strict=True):
        best = int(row.argmax())
        expected += [path.name, f"  {100 * row[best].item():6.2f} %  {best}"]
    assert done.stderr == ""
    assert done.stdout.splitlines() == expected
    assert done.returncode == 0


@pytest.mark.slow
def test_exported_program_names_files_that_are_no_images(
    grey: Made, tmp_path: Path
) -> None:
    good = write_digit(grey.source.test[0][0], tmp_path / "good.png")
    (tmp_path / "text.png").write_text("no image")

    done = run(grey.folder, "none.png", "text.png", tmp_path, good, cwd=tmp_path)

    errors = done.stderr.splitlines()
    assert [
        error.split(" is no image that can be decoded: ")[0] for error in errors
    ] == [
        "none.png",
        "text.png",
        str(tmp_path),
    ]
    assert done.stdout.splitlines()[0] == str(good)
    assert len(done.stdout.splitlines()) == 1 + 3
    assert done.returncode == 2


@pytest.mark.slow
def test_exported_program_refuses_to_print_no_class(grey: Made, tmp_path: Path) -> None:
    done = run(grey.folder, "a.png", "--top", 0, cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.endswith("error: --top must be at least 1, but got 0\n")


@pytest.mark.slow
def test_exported_program_needs_nothing_but_torch_safetensors_and_pillow(
    grey: Made,
) -> None:
    tree = ast.parse((grey.folder / "model.py").read_text())

    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert names - sys.stdlib_module_names == {"torch", "safetensors", "PIL"}
    assert "nasdepth" not in (grey.folder / "model.py").read_text()


@pytest.mark.slow
def test_export_writes_what_the_card_lists(grey: Made) -> None:
    files = {path.name for path in grey.folder.iterdir()}

    assert files == {
        "README.md",
        "architecture.json",
        "architecture.svg",
        "config.json",
        "metrics.json",
        "model.py",
        "model.safetensors",
    }
    text = (grey.folder / "README.md").read_text()
    assert all(f"`{name}`" in text for name in files - {"README.md"})
    written = (grey.folder / "architecture.json").read_text()
    assert Architecture.from_json(written) == grey.source.architecture


@pytest.mark.slow
def test_export_states_the_test_accuracy_of_fp32_weights(grey: Made) -> None:
    source = grey.source
    images, labels = source.test

    expected = evaluate(
        network_of(source),
        images,
        labels,
        source.dataset,
        device="cpu",
        precision="fp32",
    )

    assert grey.metrics["split"] == "test"
    assert grey.metrics["images"] == 360
    assert grey.metrics["accuracy"] == expected.accuracy
    assert grey.metrics["validation"]["recorded"] == source.validation_accuracy
    assert grey.metrics["validation"]["reproduced"] == source.validation_accuracy
    assert grey.metrics["check"]["compared_images"] >= 64
    assert grey.metrics["check"]["largest_score_difference"] <= 1e-5
    assert grey.metrics["check"]["seconds"] > 0
    assert json.loads((grey.folder / "metrics.json").read_text()) == grey.metrics


@pytest.mark.slow
def test_card_states_data_accuracy_interval_and_command(grey: Made) -> None:
    text = (grey.folder / "README.md").read_text()

    low, high = grey.metrics["interval_95"]
    assert f"{grey.metrics['accuracy']:.2%}** of 360 images" in text
    assert f"(95 % Wilson interval {low:.2%} to {high:.2%})" in text
    assert "| data | digits |" in text
    assert "python model.py image.png" in text
    assert "| trial | `7` |" in text


@pytest.mark.slow
def test_colour_folder_without_a_test_set_states_its_validation_accuracy(
    colour: Made,
) -> None:
    config = json.loads((colour.folder / "config.json").read_text())

    assert colour.source.test is None
    assert colour.metrics["split"] == "validation"
    assert colour.metrics["images"] == 80
    assert colour.metrics["accuracy"] == colour.source.validation_accuracy
    assert config["dataset"] == "tinted"
    assert config["classes"][:2] == ["digit 0", "digit 1"]
    assert config["input_shape"] == [3, 24, 24]
    assert config["image_shape"] == [3, 12, 12]
    assert config["upscale"] == 2
    assert "had no part" not in (colour.folder / "README.md").read_text()


@pytest.mark.slow
def test_colour_image_of_any_size_is_prepared_as_in_training(
    colour: Made, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(noise).save(path)

    done = run(colour.folder, path, "--top", 20, cwd=tmp_path)

    pixels = torch.from_numpy(decode(path, "", size=12, channels=3).copy())[None]
    seen = seen_in_training(pixels, colour.source.dataset)
    best = int(network_of(colour.source)(seen).argmax())
    lines = done.stdout.splitlines()
    assert lines[1].endswith(f"%  {colour.source.dataset.classes[best]}")
    assert len(lines) == 1 + 10


class Seen(nn.Module):
    """Keeps what it is shown."""

    images: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.images = x
        return torch.zeros(len(x), 10)


def seen_in_training(pixels: Tensor, dataset: Dataset) -> Tensor:
    """A batch as training shows it to a network."""
    network = Seen()
    labels = torch.zeros(len(pixels), dtype=torch.int64)
    evaluate(network, pixels, labels, dataset, device="cpu", precision="fp32")
    return network.images.clone()


@pytest.mark.parametrize("upscale", [1, 3])
def test_exported_normalisation_is_that_of_training(upscale: int) -> None:
    data = load(DataConfig("digits", upscale=upscale))
    config = {"mean": data.mean, "std": data.std, "upscale": upscale}

    batch = template.normalise(data.validation_images, config)

    assert torch.equal(batch, seen_in_training(data.validation_images, data))


def pictures() -> dict[str, Image.Image]:
    """One image of each mode that is decoded in its own way."""
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 256, (23, 31, 3), dtype=np.uint8)
    rgb = Image.fromarray(colours)
    deep = generator.integers(0, 65536, (23, 31))
    mask = Image.fromarray(generator.integers(0, 256, (23, 31), dtype=np.uint8))
    clear = rgb.copy()
    clear.putalpha(mask)
    turned = rgb.copy()
    turned.getexif()[0x0112] = 6
    return {
        "grey.png": rgb.convert("L"),
        "rgb.png": rgb,
        "small.bmp": rgb.resize((9, 9)),
        "black-and-white.png": rgb.convert("1"),
        "palette.png": rgb.convert("P"),
        "transparent.png": clear,
        "grey-transparent.png": clear.convert("LA"),
        "transparent-palette.gif": rgb.quantize(16),
        "deep.png": Image.fromarray(deep.astype(np.uint16)),
        "deep-big-endian.tif": Image.fromarray(deep.astype(">u2")),
        "integers.tif": Image.fromarray(deep.astype(np.int32) // 300),
        "share.tif": Image.fromarray((deep / 65535).astype(np.float32)),
        "levels.tif": Image.fromarray((deep / 257).astype(np.float32)),
        "large.jpg": rgb.resize((310, 230)),
        "cmyk.jpg": rgb.convert("CMYK"),
        "turned.jpg": turned,
    }


@pytest.mark.parametrize("name", sorted(pictures()))
@pytest.mark.parametrize("channels", [1, 3])
def test_exported_decoding_is_that_of_training(
    name: str, channels: int, tmp_path: Path
) -> None:
    image = pictures()[name]
    options: dict[str, Any] = {"exif": image.getexif()} if name == "turned.jpg" else {}
    if name == "transparent-palette.gif":
        options["transparency"] = 3
    image.save(tmp_path / name, **options)

    config = {"image_shape": [channels, 12, 12]}
    pixels = template.decode(tmp_path / name, config)

    expected = decode(tmp_path / name, name, size=12, channels=channels)
    assert pixels.dtype == torch.uint8
    assert np.array_equal(pixels.numpy(), expected)


def test_preprocessed_file_is_a_batch_of_one(tmp_path: Path) -> None:
    data = load(DataConfig("digits"))
    path = write_digit(data.validation_images[0], tmp_path / "digit.png")
    config = {
        "image_shape": [1, 8, 8],
        "mean": data.mean,
        "std": data.std,
        "upscale": 1,
    }

    batch = template.preprocess(path, config)

    assert torch.equal(batch, seen_in_training(data.validation_images[:1], data))


def test_export_refuses_a_folder_in_use_before_anything_else(
    digits: ExportSource, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    source = replace(digits, weights=tmp_path / "none")

    with pytest.raises(ValueError, match=r"must be new or empty, but .* is not"):
        export(source, tmp_path, device="cpu")

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_export_refuses_a_file_in_the_place_of_its_folder(
    digits: ExportSource, tmp_path: Path
) -> None:
    (tmp_path / "best").write_text("keep me")

    with pytest.raises(ValueError, match=r"needs a folder, but .*best is a file"):
        export(digits, tmp_path / "best", device="cpu")


def test_export_refuses_a_folder_inside_a_file(
    digits: ExportSource, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("keep me")

    with pytest.raises(ValueError, match=r"file/best cannot be made: Not a directory"):
        export(digits, tmp_path / "file" / "best", device="cpu")


def test_export_refuses_a_network_for_other_images(
    digits: ExportSource, tmp_path: Path
) -> None:
    foreign = replace(digits.architecture, num_classes=11)

    with pytest.raises(ValueError, match=r"10 classes \(digits\), but takes .* in 11"):
        export(replace(digits, architecture=foreign), tmp_path / "best", device="cpu")

    assert not list(tmp_path.iterdir())


def test_export_refuses_weights_of_another_network(
    digits: ExportSource, tmp_path: Path
) -> None:
    wider = replace(digits.architecture, stem=Stem(32))

    with pytest.raises(ValueError, match="Weights must fit the network"):
        export(replace(digits, architecture=wider), tmp_path / "best", device="cpu")

    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_export_refuses_weights_that_miss_the_recorded_accuracy(
    digits: ExportSource, tmp_path: Path
) -> None:
    wrong = replace(digits, validation_accuracy=digits.validation_accuracy - 0.05)

    with pytest.raises(ValueError, match="must reproduce the recorded validation"):
        export(wrong, tmp_path / "best", device="cpu")

    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("F.relu(", "torch.tanh(", "must give the scores of the trained one"),
        ("import torch\n", "import nasdepth\nimport torch\n", "run without nasdepth"),
        ("(1 / (255 * std))", "(1 / 255)", "must prepare images as training did"),
    ],
)
def test_export_refuses_a_program_that_is_not_the_trained_network(
    digits: ExportSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    message: str,
) -> None:
    program = export_module._program(digits.architecture)
    assert old in program
    changed = program.replace(old, new)
    monkeypatch.setattr(export_module, "_program", lambda _: changed)
    if "prepare" in message:
        # the same mistake here and there: only training's own preparation tells
        monkeypatch.setattr(template, "normalise", wrongly_normalised)

    with pytest.raises(ValueError, match=message):
        export(digits, tmp_path / "best", device="cpu")

    assert not list(tmp_path.iterdir())


def wrongly_normalised(pixels: Tensor, config: Mapping[str, Any]) -> Tensor:
    mean = torch.tensor(config["mean"]).view(1, -1, 1, 1)
    return (pixels.float() - 255 * mean) * (1 / 255)


def test_accuracy_recorded_in_bf16_is_compared_in_bf16(
    digits: ExportSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(*args: object, precision: str, **options: object) -> Evaluation:
        return Evaluation(0.8 if precision == "fp32" else 0.9, 1.0)

    monkeypatch.setattr(export_module, "evaluate", judged)
    check = {"compared_images": 1, "largest_score_difference": 0.0, "device": "cpu"}
    monkeypatch.setattr(export_module, "_check_alone", lambda *_: check)
    source = replace(digits, validation_accuracy=0.895)

    metrics = export(source, tmp_path / "best", device="cpu")

    assert metrics["validation"] == {
        "recorded": 0.895,
        "reproduced": 0.9,
        "precision": "bf16",
        "fp32": 0.8,
        "images": 144,
    }
    assert metrics["accuracy"] == 0.8


def test_empty_folder_may_be_exported_into(
    digits: ExportSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = {"compared_images": 1, "largest_score_difference": 0.0, "device": "cpu"}
    monkeypatch.setattr(export_module, "_check_alone", lambda *_: check)
    (tmp_path / "best").mkdir()

    export(digits, tmp_path / "best", device="cpu")

    assert (tmp_path / "best" / "model.py").is_file()
    assert (tmp_path / "best").stat().st_mode & 0o777 == 0o777 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


ANNOTATED = """
from jaxtyping import TypeCheckError, install_import_hook
with install_import_hook("nasdepth.export", "beartype.beartype"):
    from nasdepth.export import ExportSource
from dataclasses import replace
from pathlib import Path
import torch
from nasdepth.architecture.spec import Architecture, Stage
from nasdepth.training.data import DataConfig, load, load_test
config = DataConfig("digits")
network = Architecture((Stage(),), input_shape=(1, 8, 8))
source = ExportSource(network, Path("w"), load(config), load_test(config), 0.5, {})
replace(source, test=None)
try:
    replace(source, test=(torch.zeros(3, 1, 8, 8), torch.zeros(3)))
except TypeCheckError:
    print("noticed")
"""


@pytest.mark.slow
def test_test_images_that_are_no_bytes_are_noticed_under_type_checks() -> None:
    command = [sys.executable, "-W", "error", "-c", ANNOTATED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.stdout == "noticed\n", done.stderr


@pytest.mark.parametrize(("right", "images"), [(0, 5), (5, 5), (1, 3), (9200, 10000)])
def test_wilson_interval_is_that_of_statsmodels(right: int, images: int) -> None:
    expected = proportion_confint(right, images, 0.05, "wilson")

    assert wilson_interval(right, images) == pytest.approx(expected, abs=1e-6)


def test_card_names_the_first_twenty_of_many_classes() -> None:
    metrics = {
        "dataset": "many",
        "split": "validation",
        "images": 10,
        "accuracy": 0.5,
        "interval_95": (0.2, 0.8),
        "validation": {"fp32": 0.5, "recorded": 0.5, "images": 10},
        "measures": dict.fromkeys(
            ["nominal_depth", "weighted_layers", "effective_depth", "nn_mass"]
        )
        | {"params": 10, "macs": 10},
        "provenance": {},
        "check": {
            "compared_images": 10,
            "largest_score_difference": 0,
            "device": "cpu",
        },
    }

    text = card([f"c{i}" for i in range(25)], (3, 8, 8), metrics)

    assert "25 classes: c0, c1," in text
    assert "c19 and 5 more." in text
    assert "| NN-Mass | undefined |" in text
