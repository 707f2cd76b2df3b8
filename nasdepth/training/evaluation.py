"""What a network is worth on some images."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasdepth.training.batches import FORMATS, Layout, Preparation
from nasdepth.training.data import Dataset
from nasdepth.training.device import Precision, autocast, pick_precision
from nasdepth.training.recipe import Evaluation

# Pixels of one evaluated chunk. One core of a Xeon evaluates a small residual network
# on 28x28 images at 3440/s by 128, 2420/s by 512, 1760/s by 1024.
_CHUNK_PIXELS: Final = {"cpu": 128 * 32 * 32, "cuda": 1024 * 32 * 32}


@torch.inference_mode()
def evaluate(
    network: nn.Module,
    images: UInt8[Tensor, "images channels height width"],
    labels: Int64[Tensor, " images"],
    dataset: Dataset,
    *,
    device: torch.device | str,
    precision: Precision = "auto",
    parts: int = 1,
    poll: Callable[[], None] | None = None,
) -> Evaluation:
    """Accuracy and loss of a network in evaluation mode; it keeps its mode.

    Args:
        network: already on the device.
        images: before normalisation and enlargement.
        labels: indices into the classes of the data set.
        dataset: says how to normalise and enlarge.
        device: where to compute.
        precision: as in training.
        parts: that divide the images seen at once, where memory is short.
        poll: called before each chunk; what it raises ends the evaluation.
    """
    device = torch.device(device)
    prepare = Preparation.of(dataset, device, layout_of(network))
    pixels = math.prod(dataset.input_shape[1:])
    chunk = max(1, _CHUNK_PIXELS[device.type] // (pixels * parts))
    right = torch.zeros((), dtype=torch.int64, device=device)
    loss = torch.zeros((), device=device)
    with _evaluating(network), autocast(device, pick_precision(precision, device)):
        for part, truth in _chunks(images, labels, chunk):
            if poll is not None:
                poll()
            logits = network(prepare(part.to(device))).float()
            truth = truth.to(device)
            right += (logits.argmax(1) == truth).sum()
            loss += cross_entropy(logits, truth, reduction="sum")
    return Evaluation(right.item() / len(labels), loss.item() / len(labels))


def layout_of(network: nn.Module) -> Layout:
    """Layout of a network's weights; channels-last where they do not tell."""
    for weight in network.parameters():
        if weight.ndim != 4:
            continue
        plain = weight.is_contiguous()
        if plain != weight.is_contiguous(memory_format=FORMATS["channels_last"]):
            return "nchw" if plain else "channels_last"
    return "channels_last"


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _chunks(
    images: Tensor, labels: Tensor, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    for first in range(0, len(labels), size):
        yield images[first : first + size], labels[first : first + size]
