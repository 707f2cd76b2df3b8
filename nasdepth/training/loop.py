"""The one training loop.

All randomness follows from (seed, epoch), so that one seed on the CPU gives one run,
also where it was stopped and went on from its checkpoint.

While the rate of `wsd` is high the weights jump about, which hides what they are worth.
Until it decays, an epoch is therefore judged by the weights averaged over its last
half, at a rung over the rung's last half (Izmailov et al. 2018, arXiv 1803.05407), with
batch-norm statistics re-estimated for them; training goes on from the weights as they
were.

What goes wrong in an epoch is a result: back to the epoch's start with half the rate
where the loss is no longer finite, with smaller parts of a batch where memory is short.
"""

import enum
import gc
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import nn

from nasdepth.training.checkpoint import CheckpointWriter
from nasdepth.training.data import Dataset
from nasdepth.training.device import (
    current,
    deterministic_algorithms,
    is_out_of_memory,
)
from nasdepth.training.evaluation import evaluate as evaluate
from nasdepth.training.finite import FiniteWatch
from nasdepth.training.memory import PARTS
from nasdepth.training.polling import Poll, never
from nasdepth.training.recipe import Diverged as Diverged
from nasdepth.training.recipe import DoesNotFit, Evaluation, Stopped
from nasdepth.training.recipe import Epoch as Epoch
from nasdepth.training.recipe import Fit as Fit
from nasdepth.training.recipe import TrainingConfig as TrainingConfig
from nasdepth.training.run import Run, holding_memory, prepared, seeded, with_forward
from nasdepth.training.state import Snapshot, State
from nasdepth.training.steps import judge, take_steps

_log = logging.getLogger(__name__)
#: looks at the loss within an epoch
_LOOKS: Final = 4


class _Fault(enum.Enum):
    DIVERGED = enum.auto()
    OUT_OF_MEMORY = enum.auto()


def fit(
    network: nn.Module,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    seed: int,
    device: torch.device | str,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoint: Path | None = None,
    stop: Callable[[], bool] | None = None,
) -> Fit:
    """Train a network in place; it ends in evaluation mode with its final weights.

    Args:
        network: its initial weights are the caller's.
        dataset: as `load` returns it.
        config: how to train.
        seed: of the order of images, the augmentation and dropout.
        device: where the network and the data are moved.
        on_epoch: called after each epoch, also for those that a checkpoint holds; what
            it raises ends the training.
        checkpoint: file that the state is written to at every epoch's end and where
            the training is stopped; where it exists the training goes on from it.
        stop: asked between steps whether to stop.

    Raises:
        Diverged: the loss became infinite or not a number.
        DoesNotFit: memory was exhausted by the smallest parts of a batch.
        Stopped: as asked for.
        ValueError: the checkpoint is another training's.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    with (
        current(device),
        seeded(seed, device),
        deterministic_algorithms(config.deterministic),
    ):
        run, state, begun = prepared(
            network, dataset, config, seed=seed, device=device, checkpoint=checkpoint
        )
        with CheckpointWriter(checkpoint, run.training) as writer:
            outside = _Outside(writer, on_epoch or _ignore, Poll(stop or never))
            parts = begun.header["parts"] if begun is not None else state.parts
            with holding_memory(run, parts, outside.poll.wait):
                _go(with_forward(run, parts), state, begun, outside)
    trained = sum(1 / epoch.images_per_second for epoch in state.curve)
    return Fit(
        curve=state.curve,
        accuracy=state.curve[-1].validation_accuracy,
        seconds=time.perf_counter() - start,
        images_per_second=len(state.curve) / trained,
        peak_memory_bytes=_peak_memory(device),
        precision=run.precision,
        layout=run.layout,
        parts=state.parts,
        halvings=state.halvings,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Outside:
    """Whom a training tells, and who may stop it."""

    writer: CheckpointWriter
    on_epoch: Callable[[Epoch], None]
    poll: Poll


def _go(run: Run, state: State, begun: Snapshot | None, outside: _Outside) -> None:
    """Train to the end, from a snapshot where there is one."""
    if begun is not None:
        state.restore(begun)
        for epoch in state.curve:
            outside.on_epoch(epoch)
    good = (begun and begun.start) or state.snapshot()
    while len(state.curve) < run.config.epochs:
        try:
            fault = _epoch(run, state, outside.poll)
        except Stopped:
            if math.isfinite(state.total.item()):  # else the epoch is taken back anyway
                start = good if state.step else None
                outside.writer.submit(replace(state.snapshot(), start=start))
            raise
        if fault is None:
            good = state.snapshot()
            outside.writer.submit(good)
            _log.debug("%s", state.curve[-1])
            outside.on_epoch(state.curve[-1])
        else:
            if fault is _Fault.OUT_OF_MEMORY:  # a graph holds a whole batch
                run = replace(run, forward=run.network)
            _go_back(run, state, good, fault)
    run.network.eval()


def _go_back(run: Run, state: State, good: Snapshot, fault: _Fault) -> None:
    """Return to a snapshot with half the rate or half the parts of a batch.

    Raises:
        Diverged: the rate was halved as often as it may be.
        DoesNotFit: the parts were.
    """
    epoch, halvings, parts = state.epoch, state.halvings, state.parts
    if fault is _Fault.DIVERGED and halvings >= run.config.halvings:
        raise Diverged(epoch, state.curve)
    if fault is _Fault.OUT_OF_MEMORY and (
        parts >= PARTS[-1] or run.batches.size < 4 * parts
    ):
        raise DoesNotFit(parts, "the allocator refused.")
    _free(run)
    state.restore(good)
    state.halvings = halvings + (fault is _Fault.DIVERGED)
    state.parts = parts * (2 if fault is _Fault.OUT_OF_MEMORY else 1)
    _log.info("epoch %d again: %s", epoch, fault.name.lower().replace("_", " "))


def _free(run: Run) -> None:
    """Give back what a training that failed still holds."""
    for parameter in run.parameters:
        parameter.grad = None
    gc.collect()
    if run.device.type == "cuda":
        torch.cuda.empty_cache()


def _epoch(run: Run, state: State, poll: Callable[[], None]) -> _Fault | None:
    """One epoch, added to the curve, or what kept it from being."""
    try:
        if not _train(run, state, poll):
            return _Fault.DIVERGED
        start = time.perf_counter()
        value = judge(run, state, poll, partial(_validate, run, state, poll))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        # what failed is freed after the handler: its traceback holds the tensors
        return _Fault.OUT_OF_MEMORY
    loss = state.total.item() / run.steps
    if not math.isfinite(value.loss) or not math.isfinite(loss):
        return _Fault.DIVERGED
    done = Epoch(
        index=state.epoch,
        loss=loss,
        validation_accuracy=value.accuracy,
        validation_loss=value.loss,
        seconds=state.seconds + time.perf_counter() - start,
        images_per_second=run.steps * run.batches.size / state.seconds,
    )
    state.finish(done)
    return None


def _train(run: Run, state: State, poll: Callable[[], None]) -> bool:
    """Take the steps that are left of an epoch; whether the loss stayed finite."""
    watch, look = FiniteWatch(run.device), math.ceil(run.steps / _LOOKS)
    for _ in take_steps(run, state, poll):
        if state.step % look == 0 and not watch.look(state.total):
            return False
    return math.isfinite(state.total.item())


def _validate(run: Run, state: State, poll: Callable[[], None]) -> Evaluation:
    data = run.batches.dataset
    return evaluate(
        run.network,
        data.validation_images,
        data.validation_labels,
        data,
        device=run.device,
        precision=run.precision,
        parts=state.parts,
        poll=poll,
    )


def _peak_memory(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _ignore(epoch: Epoch) -> None:
    del epoch
