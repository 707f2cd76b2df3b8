"""One architecture trained afresh, to the end of its schedule, with several seeds."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor, nn

from nasdepth.architecture.spec import Architecture
from nasdepth.export import ExportSource, export
from nasdepth.network.build import build
from nasdepth.search.study import versions
from nasdepth.training import probe
from nasdepth.training.data import Dataset
from nasdepth.training.device import deterministic_algorithms
from nasdepth.training.loop import evaluate, fit
from nasdepth.training.recipe import Epoch, TrainingConfig
from nasdepth.training.weights import save_weights


@dataclass(frozen=True, slots=True, eq=False)  # a network has no equality
class Run:
    """One training.

    Attributes:
        seed: of the weights and the order of images.
        network: trained, in evaluation mode.
        validation: accuracy on the validation images, in [0, 1].
        test: accuracy on the test images, None without a test set.
        seconds: wall-clock time of the training.
        images_per_second: training images, without validation.
    """

    seed: int
    network: nn.Module
    validation: float
    test: float | None
    seconds: float
    images_per_second: float

    def row(self) -> dict[str, float | int | None]:
        """Numbers of the run."""
        return {
            "seed": self.seed,
            "validation": self.validation,
            "test": self.test,
            "seconds": round(self.seconds, 1),
            "images_per_second": round(self.images_per_second),
        }


def fitted_to(architecture: Architecture, dataset: Dataset) -> Architecture:
    """The architecture with the input shape and the classes of a data set."""
    return replace(
        architecture,
        input_shape=dataset.input_shape,
        num_classes=len(dataset.classes),
    )


def retrain(
    architecture: Architecture,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    seed: int,
    device: torch.device,
    test: tuple[Tensor, Tensor] | None,
    on_epoch: Callable[[Epoch], None] | None = None,
    folder: Path | None = None,
    stop: Callable[[], bool] | None = None,
) -> Run:
    """Train on the training images, then open the test set once.

    Args:
        architecture: as `fitted_to` returns it.
        dataset: as `load` returns it.
        config: how to train.
        seed: of the weights, the order of images and the augmentation.
        device: where to train.
        test: images and labels; None where there are none.
        on_epoch: as in `fit`.
        folder: takes the checkpoint; one that is there is gone on from.
        stop: as in `fit`.

    Raises:
        Diverged: the loss became infinite or not a number.
        Stopped: as asked for.
        ValueError: the checkpoint is another training's.
    """
    network = build(architecture, seed=seed)
    checkpoint = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = folder / f"seed-{seed}.safetensors"
    result = fit(
        network,
        dataset,
        config,
        seed=seed,
        device=device,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        stop=stop,
    )
    accuracy = None
    if test is not None:
        with deterministic_algorithms(config.deterministic):
            accuracy = evaluate(
                network, *test, dataset, device=device, precision=result.precision
            ).accuracy
    speed = result.images_per_second
    return Run(seed, network, result.accuracy, accuracy, result.seconds, speed)


def deterministic_cost(
    architecture: Architecture,
    dataset: Dataset,
    config: TrainingConfig,
    device: torch.device,
) -> float:
    """Time of a deterministic training step of the architecture, over a free one."""
    network = build(architecture, seed=0)
    shape = dataset.input_shape
    return probe.deterministic_cost(network, shape, config.batch_size, device)


def summarised(runs: Sequence[Run]) -> str:
    """Mean and standard deviation over the seeds, by split, in one line."""
    told = []
    for split in ("validation", "test"):
        values = [v for run in runs if (v := getattr(run, split)) is not None]
        if values:
            spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
            told.append(f"{split} {fmean(values):.4f}{spread}")
    return f"accuracy over {len(runs)} seed(s): {', '.join(told)}"


def export_best(
    runs: Sequence[Run],
    architecture: Architecture,
    dataset: Dataset,
    test: tuple[Tensor, Tensor] | None,
    directory: Path,
) -> dict[str, Any]:
    """Export the run of the best validation accuracy; its metrics."""
    best = max(runs, key=lambda run: run.validation)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.safetensors"
        save_weights(best.network, weights)
        source = ExportSource(
            architecture,
            weights,
            dataset,
            test,
            best.validation,
            {"seed": best.seed, "seeds trained": len(runs), "versions": versions()},
        )
        return export(source, directory, device="cpu")
