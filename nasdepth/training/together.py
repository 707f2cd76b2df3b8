"""A group of networks of one architecture trained at once, until it ends or is stopped.

The group has one checkpoint, at its first member's place, which says how many they are.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nasdepth.network.population import Population
from nasdepth.training.batches import FORMATS
from nasdepth.training.checkpoint import CheckpointWriter, read_checkpoint
from nasdepth.training.data import Dataset
from nasdepth.training.evaluation import evaluate
from nasdepth.training.polling import Poll
from nasdepth.training.recipe import (
    Diverged,
    Epoch,
    Evaluation,
    Fit,
    Stopped,
    TrainingConfig,
)
from nasdepth.training.run import Run
from nasdepth.training.side_by_side import (
    holding_all_memory,
    population_run,
    population_state,
)
from nasdepth.training.state import Snapshot, State
from nasdepth.training.steps import judge, take_steps


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What all members have in common.

    Attributes:
        dataset: as `load` returns it.
        config: how to train each.
        device: where.
        poll: called between steps.
    """

    dataset: Dataset
    config: TrainingConfig
    device: torch.device
    poll: Poll


@dataclass(slots=True, eq=False)  # its curve grows
class Member:
    """One of the trainings.

    Attributes:
        network: before its first step, until the training has ended.
        seed: of the training.
        on_epoch: called after each of its epochs.
        checkpoint: of the training alone, or of the group that it is the first of.
        curve: its epochs.
        diverged: whether its loss is no longer finite.
    """

    network: nn.Module
    seed: int
    on_epoch: Callable[[Epoch], None]
    checkpoint: Path | None
    curve: tuple[Epoch, ...] = ()
    diverged: bool = False

    def add(self, epoch: Epoch) -> None:
        """Go on, or stand still from the first epoch that is not finite."""
        finite = math.isfinite(epoch.loss) and math.isfinite(epoch.validation_loss)
        self.diverged = self.diverged or not finite
        if not self.diverged:
            self.curve = (*self.curve, epoch)

    def tell(self, index: int) -> None:
        """Tell of an epoch, if the member came so far."""
        if index <= len(self.curve):
            self.on_epoch(self.curve[index - 1])

    def add_new(self, epoch: Epoch) -> None:
        """Go on in a training that repeats epochs which were told of."""
        if epoch.index > len(self.curve):
            self.curve = (*self.curve, epoch)
            self.on_epoch(epoch)

    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds of it, as JSON values."""
        return {"curve": [asdict(e) for e in self.curve], "diverged": self.diverged}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Become as it was."""
        self.curve = tuple(Epoch(**epoch) for epoch in kept["curve"])
        self.diverged = kept["diverged"]


def train_together(members: Sequence[Member], setting: Setting) -> list[Fit | Diverged]:
    """Train a group to its end, from its checkpoint where there is one.

    Args:
        members: their networks are written at the end; that of one that diverged stays
            as it was.
        setting: what they have in common.

    Raises:
        Stopped: as asked for; the checkpoint is written.
        ValueError: the checkpoint is another group's.
    """
    start, device = time.perf_counter(), setting.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    file = members[0].checkpoint
    run = population_run(
        [m.network for m in members],
        [m.seed for m in members],
        setting.dataset,
        setting.config,
        device,
        checkpoint=file,
    )
    group = _Group(run, population_state(run, len(members)), members)
    with (
        CheckpointWriter(file, run.training) as writer,
        holding_all_memory(run, setting.poll.wait),
    ):
        if file is not None and file.is_file():
            group.restore(read_checkpoint(file, run.training))
        _go(group, setting.poll, writer)
    group.write()
    seconds = (time.perf_counter() - start) / len(members)
    return [_result(member, run, seconds) for member in members]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Members trained at once."""

    run: Run
    state: State
    members: Sequence[Member]

    @property
    def population(self) -> Population:
        assert isinstance(self.run.network, Population)
        return self.run.network

    @property
    def done(self) -> bool:
        over = self.state.epoch > self.run.config.epochs
        return over or all(member.diverged for member in self.members)

    def snapshot(self) -> Snapshot:
        """The population's state and the members' own."""
        found = self.state.snapshot()
        members = [member.kept() for member in self.members]
        return Snapshot(found.tensors, {**found.header, "members": members})

    def restore(self, snapshot: Snapshot) -> None:
        """Become as the snapshot was, and tell of its epochs."""
        self.state.restore(snapshot)
        for member, kept in zip(self.members, snapshot.header["members"], strict=True):
            member.restore(kept)
        for index in range(1, self.state.epoch):
            self.tell(index)

    def tell(self, index: int) -> None:
        for member in self.members:
            member.tell(index)

    def write(self) -> None:
        """Give each network that did not diverge its weights."""
        layout = FORMATS[self.run.layout]
        for number, member in enumerate(self.members):
            if not member.diverged:
                member.network.to(self.run.device).to(memory_format=layout).eval()
                self.population.write(number, member.network)


def _go(group: _Group, poll: Callable[[], None], writer: CheckpointWriter) -> None:
    """Train to the end."""
    judged = copy.deepcopy(group.members[0].network).to(group.run.device)
    judged.to(memory_format=FORMATS[group.run.layout])
    while not group.done:
        index = group.state.epoch
        try:
            _epoch(group, judged, poll)
        except Stopped:
            writer.submit(group.snapshot())
            raise
        writer.submit(group.snapshot())
        group.tell(index)


def _epoch(group: _Group, judged: nn.Module, poll: Callable[[], None]) -> None:
    """One epoch of all members, added to their curves."""
    run, state, members = group.run, group.state, group.members
    for _ in take_steps(run, state, poll):
        pass
    start = time.perf_counter()
    values = judge(run, state, poll, partial(_validate, group, judged, poll))
    losses = (state.total / run.steps).tolist()
    seconds = state.seconds + time.perf_counter() - start
    images = run.steps * run.batches.size * len(members)
    epochs = [
        Epoch(
            index=state.epoch,
            loss=loss,
            validation_accuracy=value.accuracy,
            validation_loss=value.loss,
            seconds=seconds / len(members),
            images_per_second=images / state.seconds,
        )
        for loss, value in zip(losses, values, strict=True)
    ]
    state.finish(epochs[0])  # it only counts them; the members have their own curves
    for member, epoch in zip(members, epochs, strict=True):
        member.add(epoch)


def _validate(
    group: _Group, judged: nn.Module, poll: Callable[[], None]
) -> list[Evaluation]:
    """Validation of each member as the population is, one after another."""
    data, found = group.run.batches.dataset, []
    for member in range(len(group.members)):
        group.population.write(member, judged)
        found.append(
            evaluate(
                judged,
                data.validation_images,
                data.validation_labels,
                data,
                device=group.run.device,
                precision=group.run.precision,
                poll=poll,
            )
        )
    return found


def _result(member: Member, run: Run, seconds: float) -> Fit | Diverged:
    curve = member.curve
    if member.diverged:
        return Diverged(len(curve) + 1, curve)
    trained = sum(1 / epoch.images_per_second for epoch in curve)
    cuda = run.device.type == "cuda"
    return Fit(
        curve=curve,
        accuracy=curve[-1].validation_accuracy,
        seconds=seconds,
        images_per_second=len(curve) / trained,
        peak_memory_bytes=torch.cuda.max_memory_allocated(run.device) if cuda else 0,
        precision=run.precision,
        layout=run.layout,
        parts=1,
        halvings=0,
    )
