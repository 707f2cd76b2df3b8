"""Seconds that a network takes for a batch, timed on the device that is there.

Timed is one forward pass of a batch that lies on the device already, from the call to
the scores being there: on CUDA every pass is synchronised, so launching counts and no
two passes overlap. Evaluation mode, inference mode, weights and images channels-last
as in training, precision that of the weights (training's bf16 is not used), neither
compiled nor fused; torch's switches, as that for TF32, stay as they stand.

Other work on the machine makes a time longer, so a time is kept for the next question
only if it was quiet: quartiles close to the median, and the calling thread at work all
along. Quartiles alone do not tell: among other work that left it a twelfth of two
processors, ResNet-18 took 549 ms instead of 35, with quartiles at most 9 % of the
median apart. A load that shows in neither, as one that fills the memory bus evenly,
is not seen: hence nothing is kept for longer than an hour, and nothing on disk unless
a caller hands in a mapping that is. What lasts is the record of a trial.
"""

import gc
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache as once
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from nasdepth.architecture.canonical import digest as digest_of
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Shape
from nasdepth.architecture.spec import Architecture
from nasdepth.network.build import build

Network: TypeAlias = Architecture | Graph | nn.Module

#: least seconds of one repeat: the clock's own call takes a ten thousandth of it
_LOOP: Final = 1e-3
#: least repeats, however long they take: fewer have no quartiles
_FEWEST: Final = 3
#: see `Latency.quiet`
_SPREAD: Final = 0.1
_BUSY: Final = 0.95
#: seconds after which a kept time is measured anew
_FRESH: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of one forward pass of a batch, and how they were measured.

    Attributes:
        median: over the repeats, seconds.
        lower: first quartile, seconds.
        upper: third quartile, seconds.
        repeats: how many there were.
        passes: forward passes of each repeat; its time is their mean.
        batch: images of a pass.
        threads: of torch on the CPU, which launches the work of other devices.
        device: its name, as "cuda:0 NVIDIA H200".
        dtype: of weights and images, as "float32".
        layout: "channels-last", or "contiguous" for what is no image.
        torch: its version.
        busy: share of the time in which the calling thread was at work; below 1 where
            it waited for a processor that others used. None where it waits anyway,
            for another device.
        measured_at: when, in seconds since 1970.
    """

    median: float
    lower: float
    upper: float
    repeats: int
    passes: int
    batch: int
    threads: int
    device: str
    dtype: str
    layout: str
    torch: str
    busy: float | None
    measured_at: float

    @property
    def spread(self) -> float:
        """Distance of the quartiles as a share of the median."""
        return (self.upper - self.lower) / self.median

    @property
    def quiet(self) -> bool:
        """Whether nothing was seen to disturb the measurement.

        That is a spread of at most a tenth, and the calling thread at work for at
        least 95 % of the time.
        """
        return self.spread <= _SPREAD and (self.busy is None or self.busy >= _BUSY)

    @property
    def timed(self) -> str:
        """What was timed, in words."""
        images = "image" if self.batch == 1 else "images"
        threads = "thread" if self.threads == 1 else "threads"
        return (
            f"one forward pass of {self.batch} {images} in {self.dtype}, "
            f"{self.layout}, evaluation mode, not compiled, on {self.device} with "
            f"{self.threads} CPU {threads}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The values as plain types of JSON, with what follows from them."""
        when = datetime.fromtimestamp(self.measured_at, UTC)
        return asdict(self) | {
            "measured_at": when.isoformat(timespec="seconds"),
            "spread": self.spread,
            "quiet": self.quiet,
            "timed": self.timed,
        }


#: times of this process by key; see `latency`
_TIMED: Final[dict[str, Latency]] = {}


def latency(
    network: Network,
    shape: Shape | None = None,
    *,
    device: str | torch.device = "cpu",
    batch: int = 1,
    threads: int = 1,
    warmup: float = 0.1,
    repeats: int = 50,
    budget: float = 0.5,
    digest: str | None = None,
    cache: MutableMapping[str, Latency] | None = None,
) -> Latency:
    """Seconds of one forward pass of a batch: median and quartiles over repeats.

    One pass comes first, untimed and for as long as it takes; then the warm-up, of one
    pass at least; then repeats until there are enough or the budget is spent, three at
    least. A repeat is as many passes as fill a millisecond. The threads of torch, its
    random state and a module that is given stay as they were.

    Args:
        network: an architecture or a graph, built and initialised; or a module, whose
            copy is timed.
        shape: of one image; None takes that of the architecture or graph.
        device: "cpu", "cuda" or "cuda:N".
        batch: images of a pass.
        threads: of torch on the CPU.
        warmup: seconds.
        repeats: at most.
        budget: seconds for the repeats.
        digest: of a module's graph (`nasdepth.digest`), under which its time is kept;
            None times a module every time. An architecture has its own.
        cache: where quiet times of the last hour are looked up and kept; None takes
            those of this process, an empty one times anew.

    Raises:
        ValueError: a device that is not here, a shape that is missing or does not fit,
            no image, no repeat, more threads than processors, a module without weights
            in memory.
        RuntimeError: what torch raises where memory ends, or the network runs not.
    """
    _check(1, math.inf, batch=batch, repeats=repeats)
    _check(1, os.cpu_count() or 1, threads=threads)
    _check(0, _FRESH, warmup=warmup, budget=budget)
    place = _device(device)
    subject, dims = _subject(network, shape)
    if digest is None and isinstance(subject, Graph):
        digest = digest_of(subject)
    effort = _Effort(warmup, repeats, budget)
    setting = _Setting(_name(place), batch, threads, _dtype(subject), torch.__version__)
    kept = _TIMED if cache is None else cache
    key = f"{digest} {dims} {setting} {effort}"
    found = kept.get(key) if digest else None
    if found and time.time() - found.measured_at < _FRESH:
        return found
    timed = _timed(subject, dims, place, setting, effort)
    if digest and timed.quiet:
        kept[key] = timed
    return timed


@dataclass(frozen=True, slots=True)
class _Effort:
    """How long is measured."""

    warmup: float
    repeats: int
    budget: float


@dataclass(frozen=True, slots=True)
class _Setting:
    """What besides the network decides how long it takes."""

    device: str
    batch: int
    threads: int
    dtype: torch.dtype
    torch: str


def _check(least: int, most: float, **numbers: float) -> None:
    for name, number in numbers.items():
        if not least <= number <= most:
            span = f"{least} or more" if most == math.inf else f"{least} to {most:g}"
            raise ValueError(
                f"A timing's {name} must be {span}, but got {name}={number}."
            )


def _device(name: str | torch.device) -> torch.device:
    """The device with its number, after a check that it is here."""
    present = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    rule = f"A network is timed on one of {', '.join(present)}, but got {str(name)!r}."
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(rule) from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "cuda" and device.index is None and len(present) > 1:
        device = torch.device("cuda", torch.cuda.current_device())
    if str(device) not in present:
        raise ValueError(rule)
    return device


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return f"cpu {_processor()}"


@once
def _processor() -> str:
    """Name of the processor; its kind alone where the system says no more."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return next(names, "").strip() or platform.processor() or platform.machine()


def _subject(network: Network, shape: Shape | None) -> tuple[Graph | nn.Module, Shape]:
    """What is built or copied, and the shape of one image for it."""
    if isinstance(network, nn.Module):
        if not shape or min(shape) < 1:
            rule = "A module needs the shape of an image, as (3, 32, 32)"
            raise ValueError(f"{rule}, but got {shape=}.")
        if any(p.is_meta for p in network.parameters()):
            raise ValueError("A module must have weights in memory, but they are meta.")
        return network, tuple(shape)
    if isinstance(network, Architecture):
        network = lower(replace(network, input_shape=shape) if shape else network)
    own = network.shapes()[0]
    if shape and tuple(shape) != own:
        raise ValueError(f"The graph is for images of {own}, but got {shape=}.")
    return network, own


def _dtype(subject: Graph | nn.Module) -> torch.dtype:
    if isinstance(subject, Graph):
        return torch.float32
    kinds = (p.dtype for p in subject.parameters() if p.is_floating_point())
    return next(kinds, torch.float32)


def _timed(
    subject: Graph | nn.Module,
    dims: Shape,
    device: torch.device,
    setting: _Setting,
    effort: _Effort,
) -> Latency:
    images = _images(setting.batch, dims).to(device, setting.dtype)
    module = _module(subject).to(device)
    layout = "contiguous"
    if images.ndim == 4:
        layout = "channels-last"
        module = module.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    with _threads(setting.threads), torch.inference_mode(), _uncollected():
        seconds, passes, busy = _repeated(_pass_of(module, images), effort)
    lower_, median, upper = map(float, np.quantile(seconds, (0.25, 0.5, 0.75)))
    return Latency(
        median=median,
        lower=lower_,
        upper=upper,
        repeats=len(seconds),
        passes=passes,
        batch=setting.batch,
        threads=setting.threads,
        device=setting.device,
        dtype=str(setting.dtype).removeprefix("torch."),
        layout=layout,
        torch=setting.torch,
        busy=busy if device.type == "cpu" else None,
        measured_at=time.time(),
    )


def _images(batch: int, dims: Shape) -> Tensor:
    return torch.randn(batch, *dims, generator=torch.Generator().manual_seed(0))


def _module(subject: Graph | nn.Module) -> nn.Module:
    """A module to time, initialised: numbers that vanish would be slower or faster."""
    if isinstance(subject, nn.Module):
        return deepcopy(subject).eval()
    # constructors draw from the global state before weights are drawn from the seed
    with torch.random.fork_rng(devices=[]):
        return build(subject, seed=0).eval()


def _pass_of(module: nn.Module, images: Tensor) -> Callable[[], None]:
    """One forward pass that ends when the scores are there."""
    if images.device.type != "cuda":
        return lambda: module(images)

    def run() -> None:
        module(images)
        torch.cuda.synchronize(images.device)

    return run


def _repeated(
    run: Callable[[], None], effort: _Effort
) -> tuple[list[float], int, float]:
    """Seconds of a pass in every repeat, passes a repeat, share of time at work."""
    run()  # kernels are chosen, memory is had
    passes = max(1, math.ceil(_LOOP / _warm(run, effort.warmup)))
    seconds: list[float] = []
    start, work = time.perf_counter(), time.thread_time()
    while len(seconds) < effort.repeats:
        spent = time.perf_counter() - start
        if spent >= effort.budget and len(seconds) >= _FEWEST:
            break
        begin = time.perf_counter()
        for _ in range(passes):
            run()
        seconds.append((time.perf_counter() - begin) / passes)
    busy = (time.thread_time() - work) / (time.perf_counter() - start)
    return seconds, passes, min(1.0, busy)


def _warm(run: Callable[[], None], seconds: float) -> float:
    """Seconds of the quickest pass of a warm-up."""
    start = time.perf_counter()
    quickest = math.inf
    while True:
        begin = time.perf_counter()
        run()
        end = time.perf_counter()
        quickest = min(quickest, end - begin)
        if end - start >= seconds:
            return quickest


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No collection of garbage in between, as in `timeit`."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
