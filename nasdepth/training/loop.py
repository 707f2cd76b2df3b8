"""The one training loop.

All randomness follows from (seed, epoch), so that one seed on the CPU gives one run.

While the rate of `wsd` is high the weights jump about, which hides what they are worth.
Until it decays, an epoch is therefore judged by the weights averaged over its last half
(Izmailov et al. 2018, arXiv 1803.05407), with batch-norm statistics re-estimated for
them; training then goes on from the weights as they were.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from nasdepth.training.augment import Augmentation, augment
from nasdepth.training.averaging import WeightAverage
from nasdepth.training.data import Dataset
from nasdepth.training.device import Precision, pick_precision
from nasdepth.training.recipe import Diverged as Diverged
from nasdepth.training.recipe import Epoch as Epoch
from nasdepth.training.recipe import Evaluation as Evaluation
from nasdepth.training.recipe import Fit as Fit
from nasdepth.training.recipe import TrainingConfig as TrainingConfig
from nasdepth.training.schedule import rate_factor, stable_steps

_log = logging.getLogger(__name__)
# Looks at the loss within an epoch; each makes the CPU wait for the device.
_LOOKS = 4
# Batches at most, and share of an epoch, that re-estimate batch-norm statistics.
_ESTIMATE_BATCHES = 8
_ESTIMATE_SHARE = 0.15
# Pixels of one evaluated chunk. One core of a Xeon evaluates a small residual network
# on 28x28 images at 3440/s by 128, 2420/s by 512, 1760/s by 1024.
_CHUNK_PIXELS = {"cpu": 128 * 32 * 32, "cuda": 1024 * 32 * 32}


def fit(
    network: nn.Module,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    seed: int,
    device: torch.device | str,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Train a network in place; it ends in evaluation mode with its final weights.

    Args:
        network: its initial weights are the caller's.
        dataset: as `load` returns it.
        config: how to train.
        seed: of the order of images, the augmentation and dropout.
        device: where the network and the data are moved.
        on_epoch: called after each epoch; what it raises ends the training.

    Raises:
        Diverged: the loss became infinite or not a number.
    """
    device = torch.device(device)
    precision = pick_precision(config.precision, device)
    network.to(device).to(memory_format=torch.channels_last)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    with _seeded(seed, device):
        run = _Run(network, dataset.to(device), config, seed, device, precision)
        curve = _epochs(run, on_epoch or _ignore)
    trained = sum(1 / epoch.images_per_second for epoch in curve)
    return Fit(
        curve=curve,
        accuracy=curve[-1].validation_accuracy,
        seconds=time.perf_counter() - start,
        images_per_second=len(curve) / trained,
        peak_memory_bytes=_peak_memory(device),
        precision=precision,
    )


@torch.inference_mode()
def evaluate(
    network: nn.Module,
    images: UInt8[Tensor, "images channels height width"],
    labels: Int64[Tensor, " images"],
    dataset: Dataset,
    *,
    device: torch.device | str,
    precision: Precision = "auto",
) -> Evaluation:
    """Accuracy and loss of a network in evaluation mode; it keeps its mode.

    Args:
        network: already on the device.
        images: before normalisation and enlargement.
        labels: indices into the classes of the data set.
        dataset: says how to normalise and enlarge.
        device: where to compute.
        precision: as in training.
    """
    device = torch.device(device)
    prepare = _Preparation.of(dataset, device)
    chunk = max(1, _CHUNK_PIXELS[device.type] // math.prod(dataset.input_shape[1:]))
    right = torch.zeros((), dtype=torch.int64, device=device)
    loss = torch.zeros((), device=device)
    with _evaluating(network), _autocast(device, pick_precision(precision, device)):
        for part, truth in _chunks(images, labels, chunk):
            logits = network(prepare(part.to(device))).float()
            truth = truth.to(device)
            right += (logits.argmax(1) == truth).sum()
            loss += cross_entropy(logits, truth, reduction="sum")
    return Evaluation(right.item() / len(labels), loss.item() / len(labels))


@dataclass(frozen=True, slots=True, eq=False)
class _Preparation:
    """Normalises, augments and enlarges batches of one data set."""

    mean: Tensor
    scale: Tensor
    upscale: int

    @staticmethod
    def of(dataset: Dataset, device: torch.device) -> "_Preparation":
        mean = torch.tensor(dataset.mean, device=device).view(1, -1, 1, 1)
        std = torch.tensor(dataset.std, device=device).view(1, -1, 1, 1)
        return _Preparation(255 * mean, 1 / (255 * std), dataset.upscale)

    def __call__(
        self,
        images: UInt8[Tensor, "batch channels height width"],
        augmentation: Augmentation | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "batch channels tall wide"]:
        """Batch as the network sees it."""
        batch = (images.float() - self.mean) * self.scale
        if augmentation is not None and generator is not None:
            batch = augment(batch, augmentation, generator)
        if self.upscale > 1:
            batch = interpolate(batch, scale_factor=self.upscale, mode="bilinear")
        return batch.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What stays the same over the epochs of one training."""

    network: nn.Module
    dataset: Dataset
    config: TrainingConfig
    seed: int
    device: torch.device
    precision: Literal["fp32", "bf16"]

    @property
    def batch(self) -> int:
        return min(self.config.batch_size, len(self.dataset.train_labels))

    @property
    def steps(self) -> int:
        """Steps of one epoch: an incomplete last batch is left out."""
        return len(self.dataset.train_labels) // self.batch


def _epochs(run: _Run, on_epoch: Callable[[Epoch], None]) -> tuple[Epoch, ...]:
    optimizer = _optimizer(run)
    curve: list[Epoch] = []
    for index in range(1, run.config.epochs + 1):
        start = time.perf_counter()
        average = WeightAverage(run.network) if _averaged(run, index) else None
        loss = _train(run, optimizer, index, average, tuple(curve))
        trained = time.perf_counter() - start
        value = _judge(run, index, average)
        if not math.isfinite(value.loss):
            raise Diverged(index, tuple(curve))
        curve.append(
            Epoch(
                index=index,
                loss=loss,
                validation_accuracy=value.accuracy,
                validation_loss=value.loss,
                seconds=time.perf_counter() - start,
                images_per_second=run.steps * run.batch / trained,
            )
        )
        _log.debug("%s", curve[-1])
        on_epoch(curve[-1])
    return tuple(curve)


def _train(
    run: _Run,
    optimizer: torch.optim.Optimizer,
    index: int,
    average: WeightAverage | None,
    curve: tuple[Epoch, ...],
) -> float:
    """Mean loss of one epoch of training."""
    config, steps = run.config, run.steps
    run.network.train()
    total = torch.zeros((), device=run.device)
    look = max(1, math.ceil(steps / _LOOKS))
    for step, (images, labels) in enumerate(_batches(run, index, steps)):
        factor = rate_factor(
            config.schedule,
            (index - 1) * steps + step,
            config.epochs * steps,
            warmup=config.warmup,
            decay=config.decay,
        )
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * factor
        total += _step(run, optimizer, images, labels)
        if average is not None and step >= steps // 2:
            average.add()
        last = step + 1 == steps
        if (last or (step + 1) % look == 0) and not math.isfinite(total.item()):
            raise Diverged(index, curve)
    return total.item() / steps


def _step(
    run: _Run, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    """Loss of one batch, after one step on it."""
    with _autocast(run.device, run.precision):
        logits = run.network(images)
    smoothing = run.config.label_smoothing
    loss = cross_entropy(logits.float(), labels, label_smoothing=smoothing)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if run.config.clip_norm:
        nn.utils.clip_grad_norm_(run.network.parameters(), run.config.clip_norm)
    optimizer.step()
    return loss.detach()


def _judge(run: _Run, index: int, average: WeightAverage | None) -> Evaluation:
    """Validation of the weights, or of their average in their place."""

    def validate() -> Evaluation:
        data = run.dataset
        return evaluate(
            run.network,
            data.validation_images,
            data.validation_labels,
            data,
            device=run.device,
            precision=run.precision,
        )

    def estimate() -> None:
        count = min(_ESTIMATE_BATCHES, math.ceil(run.steps * _ESTIMATE_SHARE))
        with _autocast(run.device, run.precision):
            for images, _ in _batches(run, index, count):
                run.network(images)

    run.network.eval()
    if average is None:
        return validate()
    with average.applied(estimate):
        return validate()


def _averaged(run: _Run, index: int) -> bool:
    """Whether an epoch is judged by its averaged weights."""
    config = run.config
    stable = stable_steps(config.epochs * run.steps, config.decay)
    return (
        config.schedule == "wsd"
        and index < config.epochs
        and index * run.steps <= stable
    )


def _batches(run: _Run, index: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first batches of an epoch, always the same ones."""
    generator = torch.Generator(run.device)
    generator.manual_seed((run.seed * 1_000_003 + index) % 2**63)
    images, labels = run.dataset.train_images, run.dataset.train_labels
    order = torch.randperm(len(labels), generator=generator, device=run.device)
    prepare = _Preparation.of(run.dataset, run.device)
    augmentation = run.config.augmentation(run.dataset.augmentation)
    for first in range(0, count * run.batch, run.batch):
        chosen = order[first : first + run.batch]
        if len(chosen) == 1:  # batch norm needs two values of each channel
            chosen = chosen.repeat(2)
        yield prepare(images[chosen], augmentation, generator), labels[chosen]


def _chunks(
    images: Tensor, labels: Tensor, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    for first in range(0, len(labels), size):
        yield images[first : first + size], labels[first : first + size]


def _optimizer(run: _Run) -> torch.optim.Optimizer:
    config = run.config
    parameters = [p for p in run.network.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    return torch.optim.SGD(
        groups,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        fused=True,
    )


def _autocast(
    device: torch.device, precision: Literal["fp32", "bf16"]
) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Global generators (dropout draws from them) seeded inside, untouched after."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        yield


def _peak_memory(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _ignore(epoch: Epoch) -> None:
    del epoch
