"""What a training step needs of memory before it runs, and what there is.

At its peak, the end of the forward pass, a step holds what the backward pass will read.
That is counted, not modelled: one forward pass of 2 and one of 3 images, each distinct
storage that autograd saves counted once, give what an image and what a step costs.

    bytes(batch) = copies * parameters + buffers + fixed + batch * held * image
    image = saved + 3 * largest

The second term of `image` are the gradients and copies of activations that live beside
what is saved. `held` is what the allocator takes for a byte that is in use.
"""

import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from nasdepth.training.batches import FORMATS
from nasdepth.training.device import autocast, is_out_of_memory
from nasdepth.training.evaluation import layout_of
from nasdepth.training.processors import ROOT, control_folders, limit
from nasdepth.training.recipe import DoesNotFit

#: micro-batches that a step may be cut into
PARTS: Final = (1, 2, 4, 8)
# Weights, gradients, at most two moments, their average, and a snapshot to go back to.
_COPIES: Final = 6
# Of the largest activation: its gradient, the gradient that this one comes from, and a
# copy in the layout or the order that a kernel wants.
_PASSING: Final = 3
# Code and scratch space of the kernels of a first step. CUDA: not measured.
_KERNELS: Final = {"cpu": 16 * 2**20, "cuda": 64 * 2**20}
# glibc keeps holes. MiB of steps of 128 images in fp32, one thread: growth of the
# resident set at its peak, what the profiler saw allocated, and what is predicted;
# widths from 16, residual from 32. In bf16 predicted / resident is 0.82 to 1.54.
#                    plain   residual   dense   inverted
#   28x28 resident     109        322     515        691
#         allocated     58        211     305        427
#         predicted    129        396     606        751
#   8x8   resident      16         47      50         67
#         allocated      5         19      25         36
#         predicted     27         62      67         78
_HELD: Final = {"cpu": 1.5}
_FEW: Final = (2, 3)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a training step holds at its peak, by the images of its batch.

    Args:
        fixed: whatever the batch.
        image: for each image.
    """

    fixed: int
    image: int

    def bytes(self, batch: int) -> int:
        """Peak of a batch of that many images."""
        return self.fixed + batch * self.image


def predicted_bytes(
    network: nn.Module,
    input_shape: tuple[int, int, int],
    batch: int,
    *,
    precision: Literal["fp32", "bf16"],
) -> int:
    """Bytes that a training step of a network holds at its peak, without the data set.

    Args:
        network: on any device; it is left as it is.
        input_shape: `(channels, height, width)` of an image.
        batch: images of a step.
        precision: of the training.
    """
    return footprint(network, input_shape, precision=precision).bytes(batch)


def footprint(
    network: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    precision: Literal["fp32", "bf16"],
) -> Footprint:
    """Peak of a network's training steps; two forward passes of few images tell it.

    Args:
        network: on any device; it is left as it is.
        input_shape: `(channels, height, width)` of an image.
        precision: of the training.
    """
    device = device_of(network)
    few, more = (
        _saved(network, (count, *input_shape), device, precision) for count in _FEW
    )
    saved = more.total - few.total
    largest = more.largest - few.largest
    state = _COPIES * _bytes(network.parameters()) + _bytes(network.buffers())
    fixed = max(0, few.total - _FEW[0] * saved)
    return Footprint(
        fixed=state + fixed + _KERNELS.get(device.type, 0),
        image=math.ceil(_HELD.get(device.type, 1) * (saved + _PASSING * largest)),
    )


def parts_for(
    network: nn.Module,
    input_shape: tuple[int, int, int],
    batch: int,
    device: torch.device,
    *,
    precision: Literal["fp32", "bf16"],
    correction: float = 1.0,
    free: int | None = None,
) -> int:
    """Equal micro-batches, as few as possible, in which a batch fits into memory.

    Args:
        network: already on the device; it is left as it is.
        input_shape: `(channels, height, width)` of an image.
        batch: images of a step.
        device: where it trains.
        precision: of the training.
        correction: factor of the prediction, as a ledger has learnt it.
        free: bytes to fit into; None asks the device.

    Raises:
        DoesNotFit: not even in eight parts, or in parts of two images.
    """
    free = available_bytes(device) if free is None else free
    try:
        needs = footprint(network, input_shape, precision=precision)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DoesNotFit(PARTS[-1], "three images are too many.") from error
    # batch norm needs two values of each channel
    choices = [parts for parts in PARTS if parts == 1 or batch // parts >= 2]
    for parts in choices:
        if correction * needs.bytes(math.ceil(batch / parts)) <= free:
            return parts
    least = correction * needs.bytes(math.ceil(batch / choices[-1]))
    told = f"{_mib(least)} predicted, {_mib(free)} available on {device}."
    raise DoesNotFit(choices[-1], told)


def available_bytes(device: torch.device, root: Path = ROOT) -> int:
    """Bytes that this process may still take on a device.

    Args:
        device: CPU or CUDA.
        root: of the file system that tells of the CPU's memory.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # what the allocator holds and does not use is free to us alone
        spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + spare
    known = [_in_kib(root / "proc/meminfo", "MemAvailable"), _address_space(root)]
    known += [_group_room(folder) for folder in control_folders("memory", root)]
    return max(0, min((room for room in known if room is not None), default=2**62))


def room_bytes(device: torch.device, root: Path = ROOT) -> int:
    """Bytes that a training could have on a device, were it alone there.

    Args:
        device: CPU or CUDA.
        root: of the file system that tells of the CPU's memory.
    """
    room = None if device.type == "cuda" else _address_space(root)
    total = total_bytes(device, root)
    return total if room is None else min(room, total)


def total_bytes(device: torch.device, root: Path = ROOT) -> int:
    """Bytes that all processes together may take on a device.

    Args:
        device: CPU or CUDA.
        root: of the file system that tells of the CPU's memory.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    known = [_in_kib(root / "proc/meminfo", "MemTotal")]
    known += [_group_limit(folder) for folder in control_folders("memory", root)]
    return min((size for size in known if size is not None), default=2**62)


def state_bytes(network: nn.Module) -> int:
    """Bytes of a network's parameters and buffers."""
    return _bytes(network.parameters()) + _bytes(network.buffers())


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU where it has none."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))


@dataclass(slots=True)  # counts while a forward pass runs
class _Saved:
    """Bytes of the storages that autograd saved, and of the largest of them."""

    total: int = 0
    largest: int = 0


def _saved(
    network: nn.Module,
    shape: tuple[int, ...],
    device: torch.device,
    precision: Literal["fp32", "bf16"],
) -> _Saved:
    """What one forward pass in training mode leaves for the backward pass."""
    known = {_place(p) for p in (*network.parameters(), *network.buffers())}
    counted = _Saved()

    def count(tensor: Tensor) -> Tensor:
        # the graph keeps each storage alive, so that no place is used twice
        if _place(tensor) not in known:
            known.add(_place(tensor))
            size = tensor.untyped_storage().nbytes()
            counted.total += size
            counted.largest = max(counted.largest, size)
        # a node that saved its own output, graph and all, would never be freed
        return tensor.detach()

    images = torch.zeros(shape, device=device)
    images = images.contiguous(memory_format=FORMATS[layout_of(network)])
    hooks = saved_tensors_hooks(count, lambda tensor: tensor)
    with untouched(network), autocast(device, precision), torch.enable_grad(), hooks:
        network(images)
    return counted


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Training mode inside; modes, buffers and generators as they were after."""
    modes = [(module, module.training) for module in network.modules()]
    kept = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    device = device_of(network)
    network.train()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
        for module, training in modes:
            module.training = training


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes(tensors: Iterator[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _group_limit(folder: Path) -> int | None:
    """Bytes that a cgroup allows."""
    found = [limit(folder, n) for n in ("memory.max", "memory.limit_in_bytes")]
    return next((size for size in found if size is not None), None)


def _group_room(folder: Path) -> int | None:
    """Bytes between what a cgroup uses, pages of idle files left out, and its limit."""
    most = _group_limit(folder)
    found = [limit(folder, n) for n in ("memory.current", "memory.usage_in_bytes")]
    used = next((size for size in found if size is not None), None)
    if most is None or used is None:
        return None
    idle = _field(folder / "memory.stat", "total_inactive_file")
    if idle is None:
        idle = _field(folder / "memory.stat", "inactive_file")
    return most - max(0, used - (idle or 0))


def _address_space(root: Path) -> int | None:
    """Bytes of address space left under `ulimit -v`."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _in_kib(root / "proc/self/status", "VmSize")
    return None if most == resource.RLIM_INFINITY or used is None else most - used


def _in_kib(file: Path, name: str) -> int | None:
    kib = _field(file, f"{name}:")
    return None if kib is None else 1024 * kib


def _field(file: Path, name: str) -> int | None:
    """Number behind a name in a file of names and numbers."""
    try:
        rows = [line.split() for line in file.read_text().splitlines()]
        return next((int(row[1]) for row in rows if row[:1] == [name]), None)
    except (OSError, ValueError, IndexError):
        return None


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"
