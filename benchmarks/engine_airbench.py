"""The row on airbench94's network and recipe (Jordan 2024, arXiv 2404.00498).

Both sides train the network of https://github.com/KellerJordan/cifar10-airbench for ten
epochs of 50,000 images of 32x32 and judge it by 10,000 after each. The bare script is
written as that one: weights and images in half precision, borders made once, a whole
epoch cropped at a time, all images mirrored every other epoch, cuDNN's fastest kernels
looked for. What the engine does not offer is left out of both: the whitening of the
first layer, the larger rate of the norms' biases, lookahead, the tenth of an epoch, and
views of the test images. The images are noise: as long as no loss is infinite, which
ends the row, nothing that is timed depends on them.
"""

from collections.abc import Iterator
from time import perf_counter

import torch
from engine_networks import noise
from engine_pairs import Measured, Settings, in_turn
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from nasdepth.training.data import Dataset
from nasdepth.training.loop import fit
from nasdepth.training.recipe import TrainingConfig
from nasdepth.training.schedule import rate_factor

SHAPE = (3, 32, 32)
TRAINED, HELD = 50_000, 10_000
FIRST, WIDTHS, SCALE = 24, (64, 256, 256), 1 / 9
#: airbench's rate of 11.5 and decay of 0.0153 per 1,024 images, as `torch.optim.SGD`
#: takes them for the mean loss
RECIPE = TrainingConfig(
    epochs=10,
    batch_size=1024,
    learning_rate=1.5,
    momentum=0.85,
    weight_decay=1.33e-3,
    schedule="one-cycle",
    warmup=0.23,
    label_smoothing=0.2,
    clip_norm=0,
    halvings=0,
    precision="bf16",
    flip=True,
    shift=2,
)


def airbench(settings: Settings, device: str) -> Measured:
    """Seconds of a training by the engine over those of the bare script."""
    few = settings.quick
    data = noise(SHAPE, 256 if few else TRAINED, 64 if few else HELD)
    recipe = TrainingConfig(epochs=1, batch_size=128) if few else RECIPE

    def ours() -> float:
        module = network()
        start = perf_counter()
        fit(module, data, recipe, seed=0, device=device)
        return perf_counter() - start

    def theirs() -> float:
        module = network()
        start = perf_counter()
        with torch.backends.cudnn.flags(benchmark=True):
            train(module, data, recipe, device)
        return perf_counter() - start

    pairs = in_turn(ours, theirs, settings.pairs)
    medians = [sorted(side)[len(pairs) // 2] for side in zip(*pairs, strict=True)]
    note = f"{medians[0]:.2f} against {medians[1]:.2f} s"
    return Measured(tuple(a / b for a, b in pairs), note)


class Scaled(nn.Module):
    """Scores times a constant."""

    def forward(self, scores: Tensor) -> Tensor:
        return scores * SCALE


def network() -> nn.Module:
    """airbench94's network, 2 M parameters."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(SHAPE[0], FIRST, 2), nn.GELU()]
    for inside, outside in zip((FIRST, *WIDTHS), WIDTHS, strict=False):
        layers += [_conv(inside, outside), nn.MaxPool2d(2), _norm(outside), nn.GELU()]
        layers += [_conv(outside, outside), _norm(outside), nn.GELU()]
    head = nn.Linear(WIDTHS[-1], 10, bias=False)
    return nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), head, Scaled())


def train(
    module: nn.Module, data: Dataset, recipe: TrainingConfig, device: str
) -> None:
    """The bare script: half precision on CUDA, fp32 elsewhere."""
    dtype = torch.half if device.startswith("cuda") else torch.float
    module.to(device, dtype, memory_format=torch.channels_last)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.float()
    wanted = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        wanted,
        recipe.learning_rate,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
        fused=True,
    )
    images = _normalised(data, data.train_images.to(device), dtype)
    held = _normalised(data, data.validation_images.to(device), dtype)
    labels, truth = data.train_labels.to(device), data.validation_labels.to(device)
    shift = recipe.shift or 0
    wide = pad(images, (shift,) * 4, "reflect")
    steps = len(labels) // recipe.batch_size
    whole, done = steps * recipe.epochs, 0
    for epoch in range(recipe.epochs):
        module.train()
        for part, own in _epoch(wide, labels, recipe, mirrored=bool(epoch % 2)):
            rate = recipe.learning_rate * rate_factor(
                "one-cycle", done, whole, warmup=recipe.warmup, decay=0
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            scores = module(part)
            loss = cross_entropy(scores, own, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            done += 1
        _judge(module, held, truth)


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding="same", bias=False)


def _norm(width: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad = False
    return norm


def _normalised(data: Dataset, images: Tensor, dtype: torch.dtype) -> Tensor:
    mean, std = (
        torch.tensor(each, dtype=dtype, device=images.device).view(1, -1, 1, 1)
        for each in (data.mean, data.std)
    )
    pixels = images.to(dtype, memory_format=torch.channels_last) / 255
    return (pixels - mean) / std


def _epoch(
    wide: Tensor, labels: Tensor, recipe: TrainingConfig, *, mirrored: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of an epoch: every image cropped at once, chosen batch by batch."""
    shift, device = recipe.shift or 0, wide.device
    side = wide.shape[-1] - 2 * shift
    places = torch.randint(2 * shift + 1, (len(wide), 2), device=device)
    cropped = torch.empty_like(wide[..., :side, :side])
    for down in range(2 * shift + 1):
        for right in range(2 * shift + 1):
            here = (places[:, 0] == down) & (places[:, 1] == right)
            cropped[here] = wide[here, :, down : down + side, right : right + side]
    if mirrored:
        cropped = cropped.flip(-1)
    order = torch.randperm(len(wide), device=device)
    for place in range(len(wide) // recipe.batch_size):
        chosen = order[place * recipe.batch_size :][: recipe.batch_size]
        yield cropped[chosen], labels[chosen]


@torch.inference_mode()
def _judge(module: nn.Module, held: Tensor, truth: Tensor) -> float:
    module.eval()
    right = [
        (module(part).argmax(1) == own).sum()
        for part, own in zip(held.split(2000), truth.split(2000), strict=True)
    ]
    return float(torch.stack(right).sum().item()) / len(truth)
