"""The steps of an epoch, and the judgement of the weights at its end."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import torch
from torch import Tensor

from nasdepth.training.averaging import WeightAverage
from nasdepth.training.device import autocast
from nasdepth.training.recipe import TrainingConfig
from nasdepth.training.run import Run
from nasdepth.training.schedule import rate_factor, window
from nasdepth.training.state import State

# Batches at most, and share of an epoch, that re-estimate batch-norm statistics.
_ESTIMATE_BATCHES: Final = 8
_ESTIMATE_SHARE: Final = 0.15
#: weights at most that an average is taken of, about
_AVERAGED: Final = 32
_Value = TypeVar("_Value")


def take_steps(run: Run, state: State, poll: Callable[[], None]) -> Iterator[None]:
    """Take the steps that are left of an epoch, and stand still after each."""
    start, before = time.perf_counter(), state.seconds
    run.network.train()
    windows = _windows(run, state)
    for images, labels in run.batches.epoch(state.epoch, first=state.step):
        poll()
        done = (state.epoch - 1) * run.steps + state.step
        _set_rate(state, run.config, _rate(run, done) * 0.5**state.halvings)
        take_step(run, state, images, labels)
        for average, first, stride in windows:
            if done + 1 >= first and (done + 1 - first) % stride == 0:
                average.add()
        state.seconds = before + time.perf_counter() - start
        yield
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)  # a step that is launched is not yet done
        state.seconds = before + time.perf_counter() - start


def _rate(run: Run, done: int) -> float:
    """Factor of the rate after a number of steps of the whole run."""
    config = run.config
    steps = config.epochs * run.steps
    return rate_factor(
        config.schedule, done, steps, warmup=config.warmup, decay=config.decay
    )


def _set_rate(state: State, config: TrainingConfig, factor: float) -> None:
    for group in state.optimizer.param_groups:
        group["lr"] = config.learning_rate * factor


def take_step(run: Run, state: State, images: Tensor, labels: Tensor) -> None:
    """One step on a batch."""
    state.optimizer.zero_grad(set_to_none=True)
    if state.parts == 1:
        loss = _backward(run, images, labels, 1.0)
    else:
        # split evenly: batch norm needs two images in each part
        parts = zip(
            *(t.tensor_split(state.parts) for t in (images, labels)), strict=True
        )
        shares = [_backward(run, x, y, len(y) / len(labels)) for x, y in parts]
        loss = torch.stack(shares).sum(0)
    if run.config.clip_norm:
        run.clip()
    state.optimizer.step()
    state.total += loss
    state.step += 1


def _backward(run: Run, images: Tensor, labels: Tensor, share: float) -> Tensor:
    """Loss of a part of a batch, times its share, after the backward pass."""
    with autocast(run.device, run.precision):
        logits = (run.forward if share == 1 else run.network)(images)
    loss = run.loss(logits.float(), labels)
    if share < 1:
        loss = loss * share
    torch.autograd.backward(loss, torch.ones_like(loss))
    return loss.detach()


def _windows(run: Run, state: State) -> list[tuple[WeightAverage, int, int]]:
    """Averages that an epoch's steps go into: first step of the run, and stride."""
    if run.config.schedule != "wsd":
        return []
    index, found = state.epoch, []
    for judged in {index, min(rung for rung in run.rungs if rung >= index)}:
        inside = window(judged, run.rungs, steps=run.steps, decay=run.config.decay)
        if inside is None or inside[0] > index * run.steps:
            continue
        first, last = inside
        if judged not in state.averages:
            state.averages[judged] = WeightAverage(run.network)
        stride = max(1, (last - first + 1) // _AVERAGED)
        found.append(
            (state.averages[judged], last - (last - first) // stride * stride, stride)
        )
    return found


def judge(
    run: Run, state: State, poll: Callable[[], None], validate: Callable[[], _Value]
) -> _Value:
    """What the weights are worth, or their average, or a branch cooled down.

    Args:
        run: what stays the same.
        state: at the end of an epoch.
        poll: called between batches; what it raises ends the training.
        validate: says what the network is worth as it is when called.
    """
    index = state.epoch
    average = state.averages.get(index)
    run.network.eval()
    if average is None:
        return validate()
    if run.config.cooldown and index in run.rungs:
        return _cooled(run, state, poll, validate)
    with average.applied(lambda: _estimate(run, index, poll)):
        return validate()


def _estimate(run: Run, index: int, poll: Callable[[], None]) -> None:
    """Show the network some batches, for its batch-norm statistics."""
    count = min(_ESTIMATE_BATCHES, math.ceil(run.steps * _ESTIMATE_SHARE))
    with autocast(run.device, run.precision):
        for images, _ in run.batches.epoch(index, count=count):
            poll()
            run.network(images)


def _cooled(
    run: Run, state: State, poll: Callable[[], None], validate: Callable[[], _Value]
) -> _Value:
    """Validation after a branch in which the rate falls to 0; then all is as before."""
    before, index = state.snapshot(), state.epoch
    count = max(1, round(run.config.cooldown * index * run.steps))
    rate = _rate(run, index * run.steps - 1) * 0.5**state.halvings
    try:
        run.network.train()
        for done, (images, labels) in enumerate(_following(run, index, count)):
            poll()
            _set_rate(state, run.config, rate * (1 - done / count))
            take_step(run, state, images, labels)
        run.network.eval()
        return validate()
    finally:
        state.restore(before)


def _following(run: Run, index: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """As many batches of the epochs after one."""
    while count > 0:
        index += 1
        yield from run.batches.epoch(index, count=min(count, run.steps))
        count -= run.steps
