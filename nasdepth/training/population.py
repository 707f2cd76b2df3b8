"""Several networks of one architecture trained at once, each as it would be alone.

Every member has its own seed: own order of images, augmentation, gradient norm, curve.
Only dropout differs: what it drops is drawn for all members together. A member whose
loss is no longer finite is trained again alone, where the recipe has a way out of it,
and disturbs no other.

The checkpoint of a group says how many it was, so that a training which goes on asks no
probe.
"""

import gc
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from nasdepth.training.allocator import keeping_freed_memory
from nasdepth.training.checkpoint import read_header
from nasdepth.training.data import Dataset
from nasdepth.training.device import current, deterministic_algorithms, is_out_of_memory
from nasdepth.training.loop import fit
from nasdepth.training.polling import Poll, never
from nasdepth.training.recipe import Diverged, Epoch, Fit, TrainingConfig
from nasdepth.training.run import seeded
from nasdepth.training.side_by_side import members_at_once, members_that_fit
from nasdepth.training.together import Member, Setting, train_together

_log = logging.getLogger(__name__)


def fit_population(
    networks: Sequence[nn.Module],
    dataset: Dataset,
    config: TrainingConfig,
    *,
    seeds: Sequence[int],
    device: torch.device | str,
    at_once: int | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
    checkpoints: Sequence[Path] | None = None,
    stop: Callable[[], bool] | None = None,
) -> tuple[Fit | Diverged, ...]:
    """Train networks in place; those that do not diverge end as after `fit`.

    An epoch's seconds are a member's share of the time that all took, its images a
    second those of all members.

    Args:
        networks: of one architecture; their initial weights are the caller's.
        dataset: as `load` returns it.
        config: how to train each.
        seeds: of each training.
        device: where the networks and the data are moved.
        at_once: networks trained at the same time, fewer where memory is short; None
            takes `members_at_once`. What a checkpoint was left of goes on as it was.
        on_epoch: called with the place of a network after each of its epochs, also for
            those that a checkpoint holds; what it raises ends all trainings.
        checkpoints: a file for each network, as in `fit`; beside it one that ends in
            `.again` may be written.
        stop: asked between steps whether to stop.

    Raises:
        DoesNotFit: memory was exhausted by the smallest parts of one network's batch.
        Stopped: as asked for.
        ValueError: the networks are of several architectures, or of foreign layers; a
            checkpoint is another training's.
    """
    for name, given in (("seed", seeds), ("checkpoint", checkpoints)):
        if given is not None and len(given) != len(networks):
            raise ValueError(
                f"A population must have one {name} a network, but got {len(given)} "
                f"{name}s for {len(networks)} networks."
            )
    tell = on_epoch or _ignore
    files = checkpoints if checkpoints is not None else [None] * len(networks)
    members = [
        Member(network, seed, partial(tell, place), file)
        for place, (network, seed, file) in enumerate(
            zip(networks, seeds, files, strict=True)
        )
    ]
    setting = Setting(dataset, config, torch.device(device), Poll(stop or never))
    results: list[Fit | Diverged] = []
    size: int | None = None
    while rest := members[len(results) :]:
        size = _begun(rest[0]) or size or _size(rest, setting, at_once)
        found = _fit(rest[:size], setting)
        if found is None:
            size = 1
        results += found or []
    return tuple(results)


def _begun(member: Member) -> int | None:
    """Members of the group whose checkpoint is there, 1 of a training alone."""
    if member.checkpoint is None or not member.checkpoint.is_file():
        return None
    return int(read_header(member.checkpoint)["training"].get("members", 1))


def _size(members: Sequence[Member], setting: Setting, at_once: int | None) -> int:
    """Networks to train at the same time."""
    given = members[0].network, setting.dataset, setting.config
    if at_once is None:
        return members_at_once(
            *given, members=len(members), device=setting.device, poll=setting.poll
        )
    return min(at_once, members_that_fit(*given, setting.device)) if at_once > 1 else 1


def _fit(members: Sequence[Member], setting: Setting) -> list[Fit | Diverged] | None:
    """Train some networks at once; None where memory was short.

    Those that cannot go on with the others are trained alone.
    """
    if len(members) == 1:
        return [_fit_alone(members[0], setting, members[0].checkpoint)]
    together = _fit_together(members, setting)
    if together is None or not setting.config.halvings:
        return together
    return [
        _fit_alone(member, setting, _again(member)) if member.diverged else result
        for member, result in zip(members, together, strict=True)
    ]


def _again(member: Member) -> Path | None:
    """Checkpoint of a second training, as the first one's may be that of all."""
    file = member.checkpoint
    return file and file.with_name(f"{file.name}.again")


def _fit_alone(
    member: Member, setting: Setting, checkpoint: Path | None
) -> Fit | Diverged:
    try:
        return fit(
            member.network,
            setting.dataset,
            setting.config,
            seed=member.seed,
            device=setting.device,
            on_epoch=member.add_new,
            checkpoint=checkpoint,
            stop=setting.poll.stop,
        )
    except Diverged as error:
        return error.with_traceback(None)  # which would hold the tensors


def _fit_together(
    members: Sequence[Member], setting: Setting
) -> list[Fit | Diverged] | None:
    device, config = setting.device, setting.config
    try:
        with (
            keeping_freed_memory(),
            current(device),
            seeded(members[0].seed, device),
            deterministic_algorithms(config.deterministic),
        ):
            return train_together(members, setting)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        _log.info("%d networks one by one: out of memory", len(members))
    # after the handler, whose traceback holds the tensors
    gc.collect()
    if members[0].checkpoint is not None:
        members[0].checkpoint.unlink(missing_ok=True)
    return None


def _ignore(place: int, epoch: Epoch) -> None:
    del place, epoch
