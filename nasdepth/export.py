"""A trained network as a folder that works without nasdepth.

Nothing is left behind by an export that fails: the folder is written under another
name, checked, and renamed.
"""

import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Int64, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasdepth import export_template as template
from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture
from nasdepth.export_card import card, wilson_interval
from nasdepth.measures.catalogue import measure
from nasdepth.network.build import build
from nasdepth.network.source import HEADER, network_source
from nasdepth.pictures.network import architecture_svg
from nasdepth.training.data import Dataset
from nasdepth.training.loop import evaluate
from nasdepth.training.weights import load_weights

FORMAT: Final = 1
#: greatest difference of a score computed here and by the exported folder alone
TOLERANCE: Final = 1e-5
#: how far the recorded validation accuracy may be missed: images, or share of them
_MISSED_IMAGES, _MISSED_SHARE = 3, 0.005
# of the mean cross-entropy: normalisation in another order of operations
_LOSS_TOLERANCE: Final = 1e-4
_COMPARED: Final = 128  # images
_PATIENCE: Final = 600  # seconds


@dataclass(frozen=True, slots=True)
class ExportSource:
    """What an export is made of.

    Attributes:
        architecture: of the network.
        weights: safetensors file of its trained state.
        dataset: training and validation images, as `load` returns them.
        test: test images and labels; None where there are none.
        validation_accuracy: as recorded when it was trained, in [0, 1].
        provenance: study, trial, command, versions, seed: whatever is known.
    """

    architecture: Architecture
    weights: Path
    dataset: Dataset
    test: (
        tuple[UInt8[Tensor, "test channels height width"], Int64[Tensor, " test"]]
        | None
    )
    validation_accuracy: float
    provenance: Mapping[str, str | int | float]


def export(
    source: ExportSource, directory: Path, *, device: torch.device | str
) -> dict[str, Any]:
    """Write the folder and check that it does what was trained.

    The test set is read here, after the choice was made by validation.

    Args:
        source: what to export.
        directory: must be missing or empty.
        device: where to check.

    Returns:
        The content of `metrics.json`.

    Raises:
        ValueError: the directory is in use, the parts do not fit each other, or the
            folder does not reproduce what was recorded.
    """
    check_vacant(directory)
    _check_fit(source)
    network = build(source.architecture)
    load_weights(network, source.weights)
    network.to(device).eval()
    folder = _working_folder(directory)
    try:
        _write_model(source, folder)
        metrics = _metrics(source, network, folder, torch.device(device))
        _write_json(folder / "metrics.json", metrics)
        text = card(source.dataset.classes, source.dataset.input_shape, metrics)
        (folder / "README.md").write_text(text, encoding="utf-8")
        folder.chmod(0o777 & ~_umask())
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(directory)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return metrics


def check_vacant(directory: Path) -> None:
    """Raise ValueError unless the directory is missing or empty."""
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"The export needs a folder, but {directory} is a file.")
    if directory.exists() and any(directory.iterdir()):
        raise ValueError(
            f"The export folder must be new or empty, but {directory} is not."
        )


def _working_folder(directory: Path) -> Path:
    """New folder on the same file system, where the parent of the directory will be."""
    parent = next(path for path in directory.absolute().parents if path.exists())
    try:
        return Path(tempfile.mkdtemp(dir=parent, prefix=f".{directory.name}-"))
    except OSError as error:
        raise ValueError(
            f"The export folder {directory} cannot be made: {error.strerror}."
        ) from error


def _check_fit(source: ExportSource) -> None:
    """Raises unless the network is one for the images."""
    network, data = source.architecture, source.dataset
    wanted = (data.input_shape, len(data.classes))
    if (network.input_shape, network.num_classes) != wanted:
        raise ValueError(
            f"The network must take {data.input_shape} images in {len(data.classes)} "
            f"classes ({data.label}), but takes {network.input_shape} in "
            f"{network.num_classes}."
        )


def _write_model(source: ExportSource, folder: Path) -> None:
    """Everything that the exported network needs to run."""
    (folder / "architecture.json").write_text(
        source.architecture.to_json() + "\n", encoding="utf-8"
    )
    (folder / "architecture.svg").write_text(
        architecture_svg(source.architecture), encoding="utf-8"
    )
    shutil.copyfile(source.weights, folder / "model.safetensors")
    _write_json(folder / "config.json", _config(source.dataset))
    (folder / "model.py").write_text(_program(source.architecture), encoding="utf-8")


def _config(dataset: Dataset) -> dict[str, Any]:
    channels, height, width = dataset.input_shape
    scale = dataset.upscale
    return {
        "format": FORMAT,
        "dataset": dataset.label,
        "classes": list(dataset.classes),
        "input_shape": [channels, height, width],
        "image_shape": [channels, height // scale, width // scale],
        "colour": "grey" if channels == 1 else "RGB",
        "resize": "bilinear",
        "upscale": scale,
        "mean": list(dataset.mean),
        "std": list(dataset.std),
    }


def _program(architecture: Architecture) -> str:
    """`model.py`: the template with the network in its place."""
    text = inspect.getsource(template)
    start, _, rest = text.partition("# network\n")
    _, _, end = rest.partition("\n\n# end of network\n")
    _, _, modules = HEADER.partition("\n\n\n")
    return f"{start}{modules}\n\n{network_source(lower(architecture))}{end}"


def _metrics(
    source: ExportSource, network: nn.Module, folder: Path, device: torch.device
) -> dict[str, Any]:
    """What the network is worth, after checking that the folder is that network."""
    start = time.perf_counter()
    images, labels, split = _best_split(source)
    check = _check_alone(network, folder, _spread(images, labels), source, device)
    validation = _check_recorded(source, network, device)
    data = source.dataset
    fp32 = evaluate(network, images, labels, data, device=device, precision="fp32")
    graph = lower(source.architecture)
    right = round(fp32.accuracy * len(labels))
    return {
        "format": FORMAT,
        "dataset": data.label,
        "split": split,
        "images": len(labels),
        "accuracy": fp32.accuracy,
        "interval_95": list(wilson_interval(right, len(labels))),
        "loss": fp32.loss,
        "validation": validation,
        "measures": measure(graph),
        "digest": digest(graph),
        "provenance": dict(source.provenance),
        "check": {**check, "seconds": round(time.perf_counter() - start, 2)},
    }


def _best_split(source: ExportSource) -> tuple[Tensor, Tensor, str]:
    if source.test is not None:
        return *source.test, "test"
    data = source.dataset
    return data.validation_images, data.validation_labels, "validation"


def _spread(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """At most `_COMPARED` images, evenly spread over all."""
    chosen = torch.linspace(0, len(labels) - 1, min(_COMPARED, len(labels))).long()
    return images[chosen], labels[chosen]


#: computes scores of images with the exported folder, where nasdepth cannot be loaded
_ALONE: Final = """
import importlib.util, sys
sys.modules["nasdepth"] = None
import torch
from jaxtyping import Int64, UInt8
from safetensors.torch import load_file, save_file
folder, work, device, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
torch.backends.cudnn.allow_tf32 = False
spec = importlib.util.spec_from_file_location("model", folder + "/model.py")
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
pixels = load_file(work + "/pixels.safetensors")["pixels"].to(device)
with torch.inference_mode():
    scores = model.load(device=device)(model.normalise(pixels, model.read_config()))
assert not any(name.startswith("nasdepth.") for name in sys.modules)
save_file({"scores": scores.cpu().contiguous()}, work + "/scores.safetensors")
"""


def _check_alone(
    network: nn.Module,
    folder: Path,
    compared: tuple[Tensor, Tensor],
    source: ExportSource,
    device: torch.device,
) -> dict[str, Any]:
    """Compares scores of the folder, in a process of its own, with the network's."""
    pixels, labels = compared
    alone = _scores_alone(folder, pixels, device)
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        batch = template.normalise(pixels.to(device), _config(source.dataset))
        here = network(batch).cpu()
    difference = (alone - here).abs().max().item()
    if not difference <= TOLERANCE:
        raise ValueError(
            f"The exported network must give the scores of the trained one within "
            f"{TOLERANCE}, but they differ by {difference:.2g}; nothing was written."
        )
    trained = evaluate(
        network, pixels, labels, source.dataset, device=device, precision="fp32"
    )
    loss = cross_entropy(alone, labels.cpu()).item()
    if not abs(loss - trained.loss) <= _LOSS_TOLERANCE * max(1.0, trained.loss):
        raise ValueError(
            f"The exported network must prepare images as training did, but its loss "
            f"is {loss:.6g}, not {trained.loss:.6g}; nothing was written."
        )
    return {
        "compared_images": len(labels),
        "largest_score_difference": difference,
        "tolerance": TOLERANCE,
        "precision": "fp32",
        "device": device.type,
    }


def _scores_alone(folder: Path, pixels: Tensor, device: torch.device) -> Tensor:
    """Scores computed by `model.py` without nasdepth."""
    with tempfile.TemporaryDirectory() as work:
        save_file({"pixels": pixels.cpu().contiguous()}, f"{work}/pixels.safetensors")
        words = [str(folder), work, str(device), str(torch.get_num_threads())]
        command = [sys.executable, "-I", "-B", "-c", _ALONE, *words]
        try:
            done = subprocess.run(
                command,
                cwd=work,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(
                f"The exported model.py did not end within {_PATIENCE} seconds; "
                "nothing was written."
            ) from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(
                f"The exported model.py must run without nasdepth, but it fails with "
                f"{last}; nothing was written."
            )
        return load_file(f"{work}/scores.safetensors")["scores"]


def _check_recorded(
    source: ExportSource, network: nn.Module, device: torch.device
) -> dict[str, Any]:
    """Compares the validation accuracy with the recorded one, in either precision.

    What was trained under bf16 autocast was also judged under it.
    """
    data, recorded = source.dataset, source.validation_accuracy
    images = len(data.validation_labels)
    allowed = max(_MISSED_IMAGES / images, _MISSED_SHARE)
    found: dict[str, float] = {}
    for precision in ("fp32", "bf16"):
        found[precision] = evaluate(
            network,
            data.validation_images,
            data.validation_labels,
            data,
            device=device,
            precision=precision,
        ).accuracy
        if abs(found[precision] - recorded) <= allowed:
            return {
                "recorded": recorded,
                "reproduced": found[precision],
                "precision": precision,
                "fp32": found["fp32"],
                "images": images,
            }
    raise ValueError(
        f"The weights must reproduce the recorded validation accuracy {recorded:.4f} "
        f"within {allowed:.4f}, but give {found['fp32']:.4f} (fp32) and "
        f"{found['bf16']:.4f} (bf16) on {images} images; nothing was written."
    )


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _umask() -> int:
    """The process's mask of permissions, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
