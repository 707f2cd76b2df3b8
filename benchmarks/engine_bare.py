"""The fastest plain loop: what an engine costs is measured against it.

It takes no options beyond what the benchmark varies. Normalised images lie on the
device with their borders and mirrored twins, channels last, so that one indexing
chooses, crops and mirrors a batch; the loss is added up without being read, the rate
is set at each step, and validation runs in large batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from engine_networks import BATCH
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from nasdepth.training.data import Dataset

RATE, WARMUP = 0.1, 0.1
MOMENTUM, WEIGHT_DECAY, SMOOTHING, CLIP = 0.9, 5e-4, 0.1, 1.0
#: pixels of one batch of validation: 128 images of 32x32 fit a core's cache
JUDGED = {"cpu": 128 * 32 * 32, "cuda": 1024 * 32 * 32}


@dataclass(frozen=True, slots=True, eq=False)
class Resident:
    """Images on the device, every crop of them at hand as a view.

    Args:
        crops: `(images, mirrored, down, right, height, width, channels)`.
        labels: of the images.
        held: validation images, channels last.
        truth: their labels.
    """

    crops: Tensor
    labels: Tensor
    held: Tensor
    truth: Tensor


def resident(dataset: Dataset, device: str, *, augment: bool) -> Resident:
    """A data set as the loop wants it."""
    mean = torch.tensor(dataset.mean).view(1, -1, 1, 1)
    std = torch.tensor(dataset.std).view(1, -1, 1, 1)
    train, held = (
        (images / 255 - mean) / std
        for images in (dataset.train_images, dataset.validation_images)
    )
    shift = dataset.augmentation.shift if augment else 0
    wide = pad(train, (shift,) * 4, mode="reflect").permute(0, 2, 3, 1)
    twins = [wide, wide.flip(2)] if augment and dataset.augmentation.flip else [wide]
    stored = torch.stack(twins, 1).contiguous().to(device)
    crops = stored.unfold(2, train.shape[2], 1).unfold(3, train.shape[3], 1)
    return Resident(
        crops.permute(0, 1, 2, 3, 5, 6, 4),
        dataset.train_labels.to(device),
        held.to(device).contiguous(memory_format=torch.channels_last),
        dataset.validation_labels.to(device),
    )


def train(
    network: nn.Module,
    data: Resident,
    epochs: int,
    *,
    bf16: bool = False,
    layout: torch.memory_format = torch.channels_last,
) -> Iterator[tuple[float, float]]:
    """Validation accuracy and mean training loss at each epoch's end."""
    device = data.labels.device.type
    network.to(device).to(memory_format=layout)
    parameters = list(network.parameters())
    optimizer = optimizer_of(parameters)
    batch = min(BATCH, len(data.labels))
    steps = len(data.labels) // batch
    whole, done = epochs * steps, 0
    for _ in range(epochs):
        network.train()
        total = torch.zeros((), device=device)
        for images, labels in batches(data, batch, steps):
            rate = RATE * _factor(done, whole)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                logits = network(images.contiguous(memory_format=layout))
            loss = cross_entropy(logits.float(), labels, label_smoothing=SMOOTHING)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            total += loss.detach()
            done += 1
        yield _judge(network, data, layout, bf16=bf16), total.item() / steps


def _factor(done: int, steps: int) -> float:
    """One-cycle: linear warm-up, then linear to 0."""
    return min(1, (done + 1) / (WARMUP * steps), (1 - done / steps) / (1 - WARMUP))


def batches(data: Resident, batch: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented images and labels of an epoch, channels last."""
    count, device = batch * steps, data.labels.device
    order = torch.randperm(len(data.labels), device=device)[:count]
    mirrored, down, right = (
        torch.randint(n, (count,), device=device).split(batch)
        for n in data.crops.shape[1:4]
    )
    for place, chosen in enumerate(order.split(batch)):
        images = data.crops[chosen, mirrored[place], down[place], right[place]]
        yield images.permute(0, 3, 1, 2), data.labels[chosen]


@torch.inference_mode()
def _judge(
    network: nn.Module, data: Resident, layout: torch.memory_format, *, bf16: bool
) -> float:
    """Validation accuracy; the loss is computed as well."""
    network.eval()
    device = data.truth.device.type
    size = max(1, JUDGED[device] // data.held[0, 0].numel())
    right = torch.zeros((), dtype=torch.int64, device=device)
    loss = torch.zeros((), device=device)
    for images, truth in zip(
        data.held.split(size), data.truth.split(size), strict=True
    ):
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            logits = network(images.contiguous(memory_format=layout)).float()
        right += (logits.argmax(1) == truth).sum()
        loss += cross_entropy(logits, truth, reduction="sum")
    loss.item()
    return right.item() / len(data.truth)


def optimizer_of(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum; norms and biases do not decay."""
    weights = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups, lr=RATE, momentum=MOMENTUM, nesterov=True, fused=True
    )
