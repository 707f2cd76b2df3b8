"""A training before its first step: the network placed, its images in their order."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasdepth.training.batches import (
    FORMATS,
    Batches,
    BatchSource,
    Layout,
    Preparation,
)
from nasdepth.training.checkpoint import identity, read_checkpoint, read_header
from nasdepth.training.data import Dataset
from nasdepth.training.forward import forward_of
from nasdepth.training.ledger import correction, reserved
from nasdepth.training.memory import (
    parts_for,
    predicted_bytes,
    room_bytes,
    state_bytes,
    total_bytes,
)
from nasdepth.training.optimizers import optimizer_of
from nasdepth.training.probe import Choice, choose
from nasdepth.training.processors import CONTEXT_BYTES
from nasdepth.training.recipe import TrainingConfig
from nasdepth.training.state import Snapshot, State


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What stays the same over the steps of one training.

    Attributes:
        network: on the device.
        forward: the same, or a form of it that is faster on a whole batch.
        parameters: of the network.
        batches: in the order of the training.
        loss: of scores and labels; where several networks train as one, of each.
        clip: cuts the gradients to their largest norm.
        config: how to train.
        device: of all tensors.
        precision: of the network's products.
        layout: of images and weights.
        training: what a checkpoint must be of.
    """

    network: nn.Module
    forward: Callable[[Tensor], Tensor]
    parameters: tuple[nn.Parameter, ...]
    batches: BatchSource
    loss: Callable[[Tensor, Tensor], Tensor]
    clip: Callable[[], object]
    config: TrainingConfig
    device: torch.device
    precision: Literal["fp32", "bf16"]
    layout: Layout
    training: Mapping[str, Any]

    @property
    def steps(self) -> int:
        return self.batches.steps

    @property
    def rungs(self) -> tuple[int, ...]:
        return self.config.rung_epochs(self.steps)


def prepared(
    network: nn.Module,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Path | None = None,
) -> tuple[Run, State, Snapshot | None]:
    """The run, its state before the first step, and the snapshot to go on from.

    Args:
        network: it is moved to the device.
        dataset: as `load` returns it.
        config: how to train.
        seed: of the order of images and the augmentation.
        device: where to train.
        checkpoint: file of the snapshot.

    Raises:
        DoesNotFit: the smallest parts of a batch exceed what memory is free.
        ValueError: the checkpoint is another training's.
    """
    training = _identity(network, dataset, config, seed)
    begun = None
    if checkpoint is not None and checkpoint.is_file():
        begun = read_checkpoint(checkpoint, training)
        choice = Choice(*read_header(checkpoint)["training"]["choice"])
    size = min(config.batch_size, len(dataset.train_labels))
    network.to(device)
    if begun is None:
        choice = choose(
            network,
            dataset.input_shape,
            max(size, 2),  # batch norm needs two values of each channel
            device,
            precision=config.precision,
            deterministic=config.deterministic,
        )
    network.to(memory_format=FORMATS[choice.layout])
    told = {**training, "choice": [choice.precision, choice.layout]}
    data = dataset.to(device)
    preparation = Preparation.of(data, device, choice.layout)
    augmentation = config.augmentation(data.augmentation)
    batches = Batches(data, size, augmentation, seed, preparation)
    parameters = tuple(network.parameters())
    run = Run(
        network=network,
        forward=network,
        parameters=parameters,
        batches=batches,
        loss=partial(cross_entropy, label_smoothing=config.label_smoothing),
        clip=partial(nn.utils.clip_grad_norm_, parameters, config.clip_norm),
        config=config,
        device=device,
        precision=choice.precision,
        layout=choice.layout,
        training=told,
    )
    return run, _state(run), begun


def with_forward(run: Run, parts: int) -> Run:
    """The run with its network compiled, or captured as a graph, as it was asked for.

    Args:
        run: its memory is reserved.
        parts: micro-batches of a step; such a form is of whole batches alone.
    """
    if parts > 1:
        return run
    example = partial(_example, run.batches)
    forward = forward_of(run.network, run.config, example, run.precision)
    return replace(run, forward=forward)


@contextmanager
def holding_memory(run: Run, parts: int, wait: Callable[[], None]) -> Iterator[None]:
    """A training's memory reserved among all that share the device.

    Args:
        run: the training.
        parts: micro-batches of a step.
        wait: called between two looks whether there is room; what it raises gives up.
    """
    shape = run.batches.dataset.input_shape
    size = -(-run.batches.size // parts)
    predicted = predicted_bytes(run.network, shape, size, precision=run.precision)
    total = total_bytes(run.device)
    if run.device.type != "cuda":
        with reserved(run.device, predicted, total, wait=wait):
            yield
        return
    with reserved(run.device, predicted + CONTEXT_BYTES, total, wait=wait) as entry:
        # the images are there already, and no part of what was predicted
        before = torch.cuda.memory_allocated(run.device) - state_bytes(run.network)
        torch.cuda.reset_peak_memory_stats(run.device)
        try:
            yield
            used = torch.cuda.max_memory_allocated(run.device) - before
            entry.measured(used + CONTEXT_BYTES)
        finally:
            # what the allocator keeps nobody else could reserve
            gc.collect()
            torch.cuda.empty_cache()


def _state(run: Run) -> State:
    """A training before its first step, in as many parts a step as memory asks for."""
    optimizer = optimizer_of(run.network, run.config)
    total = torch.zeros((), device=run.device)
    parts = parts_for(
        run.network,
        run.batches.dataset.input_shape,
        run.batches.size,
        run.device,
        precision=run.precision,
        # which depends on what was trained before
        correction=1.0 if run.config.deterministic else correction(run.device),
        # not what is free right now: a training must not hang on what others hold
        free=room_bytes(run.device),
    )
    return State(run.network, optimizer, run.device, total, parts=parts)


def _identity(
    network: nn.Module, dataset: Dataset, config: TrainingConfig, seed: int
) -> dict[str, Any]:
    shapes = {name: list(t.shape) for name, t in network.state_dict().items()}
    # the module of a class that we have written is the hash of its source
    kind = f"{type(network).__module__} {network}"
    usual = asdict(TrainingConfig())
    recipe = {k: v for k, v in asdict(config).items() if v != usual[k]}
    return identity(
        seed=seed,
        recipe=recipe,  # so that a key to come changes nothing
        images=dataset.fingerprint,
        network=[kind, shapes],
    )


def _example(batches: BatchSource) -> Tensor:
    """Images like those of every step."""
    return next(batches.epoch(1))[0]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Global generators (dropout draws from them) seeded inside, untouched after."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        yield
