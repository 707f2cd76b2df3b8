"""What is fastest here, found by a timing of a fraction of a second and remembered.

Candidates run in turn, so that what else the machine does meets all of them, and each
is judged by its best time. The default is left only for a clear gain, and what was
found is kept on disk: one machine decides once, and then always the same way.
"""

import copy
import logging
import math
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Final, Literal

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nasdepth.training.batches import FORMATS, Layout
from nasdepth.training.device import (
    Precision,
    autocast,
    computes_bf16,
    deterministic_algorithms,
    is_out_of_memory,
)
from nasdepth.training.files import cache_folder, locked, read_json, write_json

_log = logging.getLogger(__name__)
_FORMAT: Final = 1
#: seconds of timing, after one warm-up of each candidate
_BUDGET: Final = 0.2
_ROUNDS: Final = (3, 15)  # at least and at most
#: what takes so many times the default's time after two rounds is not timed again
_BEHIND: Final = 1.1
_FEW: Final = 8  # images of the step that tells how many may be timed
# Gains below are noise, or not worth the change; bf16 rounds besides.
_MARGINS: Final = {"fp32 nchw": 0.10, "bf16 channels_last": 0.15}
_DEFAULT: Final = "fp32 channels_last"


@dataclass(frozen=True, slots=True)
class Choice:
    """How a network computes.

    Args:
        precision: of its products; weights stay fp32.
        layout: of images and weights.
    """

    precision: Literal["fp32", "bf16"]
    layout: Layout


CHOICES: Final = {
    "fp32 channels_last": Choice("fp32", "channels_last"),
    "fp32 nchw": Choice("fp32", "nchw"),
    "bf16 channels_last": Choice("bf16", "channels_last"),
}
#: answers of this process, by cache file and key
_known: dict[tuple[Path, str], str] = {}


def choose(
    network: nn.Module,
    input_shape: tuple[int, int, int],
    batch: int,
    device: torch.device,
    *,
    precision: Precision = "auto",
    deterministic: bool = False,
) -> Choice:
    """Precision and layout in which networks of this kind train fastest on a device.

    Args:
        network: it is left as it is, and so are the generators.
        input_shape: `(channels, height, width)` of an image.
        batch: images of a step.
        device: where to train.
        precision: "auto" times the candidates; a named one is taken.
        deterministic: nothing is timed: "auto" is fp32.
    """
    if precision != "auto" or deterministic:
        return Choice("bf16" if precision == "bf16" else "fp32", "channels_last")
    bench = _Bench(network, input_shape, batch, device)
    steps = {
        name: partial(bench.step, choice)
        for name, choice in CHOICES.items()
        if choice.precision == "fp32" or computes_bf16(device)
    }
    key = f"{place(device)} | {kind(network)} | {input_shape} x {batch}"
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        name = fastest(
            key, steps, default=_DEFAULT, margin=_MARGINS, clock=clock_of(device)
        )
    return CHOICES[name]


def deterministic_cost(
    network: nn.Module,
    input_shape: tuple[int, int, int],
    batch: int,
    device: torch.device,
) -> float:
    """Time of a training step with deterministic algorithms, over that without.

    Args:
        network: it is left as it is.
        input_shape: `(channels, height, width)` of an image.
        batch: images of a step.
        device: where to train.
    """
    bench, usual = _Bench(network, input_shape, batch, device), CHOICES[_DEFAULT]

    def bound() -> None:
        with deterministic_algorithms(True):
            bench.step(usual)

    steps: dict[str, Callable[[], None]] = {
        "free": partial(bench.step, usual),
        "bound": bound,
    }
    best = _best_seconds(steps, clock_of(device))
    return best["bound"] / best["free"]


def fastest(
    key: str,
    candidates: Mapping[str, Callable[[], None]],
    *,
    default: str,
    margin: float | Mapping[str, float],
    clock: Callable[[], float] = time.perf_counter,
) -> str:
    """Name of the fastest candidate, from the cache where it was found before.

    Args:
        key: all that the answer depends on: device, versions, sizes.
        candidates: each does the same work once and returns when it is done; one that
            runs out of memory is out.
        default: name of the candidate that wins unless another is clearly faster.
        margin: gain from which another wins, for all or by name: 0.1 asks for
            1.1 times the default's speed.
        clock: seconds; see `clock_of`.
    """
    file = cache_folder() / "probes.json"
    key = f"{key} | {', '.join(sorted(candidates))}"
    known = _known.get((file, key)) or _read(file).get(key)
    if known is None or known not in candidates:
        found = _timed(candidates, default, margin, clock)
        if found is None:
            return default
        known = _kept(file, key, found, candidates)
    _known[file, key] = known
    return known


def clock_of(device: torch.device) -> Callable[[], float]:
    """The clock to time a device by.

    One thread on the CPU is timed by what it computes, not by what passes while other
    processes have the core.

    Args:
        device: where the work is done.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if alone else time.perf_counter


def place(device: torch.device) -> str:
    """What of a machine decides how fast something runs: device, torch, threads."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} | torch {torch.__version__}"
    able = torch.backends.cpu.get_cpu_capability()
    tiles = "AMX" if torch.cpu._is_amx_tile_supported() else ""
    threads = torch.get_num_threads()
    words = [_processor(), able, tiles, f"torch {torch.__version__}"]
    return " | ".join([*filter(None, words), f"{threads} threads"])


def kind(network: nn.Module) -> str:
    """What networks share that are fast in the same way.

    The kinds of layers; of convolutions of each kernel and grouping the most channels
    in and out, to the next power of four. Few kinds, since each is timed: a key of
    every convolution's widths made nearly every network of a search its own kind.
    """
    leaves = [m for m in network.modules() if not any(m.children())]
    widest: dict[str, tuple[int, int]] = {}
    for layer in leaves:
        if isinstance(layer, nn.Conv2d):
            most = widest.get(_form(layer), (0, 0))
            inside, outside = max(most[0], layer.in_channels), layer.out_channels
            widest[_form(layer)] = inside, max(most[1], outside)
    convs = [f"{form}:{_up(i)}-{_up(o)}" for form, (i, o) in sorted(widest.items())]
    others = {type(m).__name__ for m in leaves if not isinstance(m, nn.Conv2d)}
    return " ".join([*convs, *sorted(others)])


def _form(layer: nn.Conv2d) -> str:
    sides = "x".join(map(str, layer.kernel_size))
    return sides + {1: "", layer.in_channels: "dw"}.get(layer.groups, "g")


def _up(width: int) -> int:
    """The next power of four."""
    return 1 << 2 * (((width - 1).bit_length() + 1) // 2)


class _Bench:
    """Training steps of copies of a network, made when they are first run."""

    def __init__(
        self,
        network: nn.Module,
        shape: tuple[int, int, int],
        batch: int,
        device: torch.device,
    ) -> None:
        self._network = network
        self._shape = shape
        self._batch = batch
        self._device = device
        self._clock = clock_of(device)
        self._copies: dict[Choice, nn.Module] = {}

    def step(self, choice: Choice) -> None:
        """Forward and backward pass of so many images that all rounds fit the budget.

        The optimizer's part is left out: it is the same for all.
        """
        self._step(choice, self._images)

    @cached_property
    def _images(self) -> int:
        if self._device.type == "cuda":
            return self._batch  # few images would time how long a launch takes
        few = min(_FEW, self._batch)
        usual = CHOICES[_DEFAULT]
        self._step(usual, few)
        each = _seconds(lambda: self._step(usual, few), self._clock) / few
        share = _BUDGET / (len(CHOICES) * _ROUNDS[0])
        return max(few, min(self._batch, int(share / each)))

    def _step(self, choice: Choice, count: int) -> None:
        if choice not in self._copies:
            twin = copy.deepcopy(self._network).to(self._device).train()
            twin.to(memory_format=FORMATS[choice.layout])
            self._copies[choice] = twin
        network = self._copies[choice]
        shape = (count, *self._shape)
        images = torch.ones(shape, device=self._device)
        images = images.contiguous(memory_format=FORMATS[choice.layout])
        with torch.enable_grad():
            with autocast(self._device, choice.precision):
                scores = network(images)
            labels = torch.zeros(count, dtype=torch.int64, device=self._device)
            torch.autograd.backward(cross_entropy(scores.float(), labels))
        network.zero_grad(set_to_none=True)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _timed(
    candidates: Mapping[str, Callable[[], None]],
    default: str,
    margin: float | Mapping[str, float],
    clock: Callable[[], float],
) -> str | None:
    """The fastest by its best time, or None where memory was too short to tell."""
    try:
        best = _best_seconds(candidates, clock, default)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        _log.info("Nothing was timed: %s.", error)
        return None
    gains = {name: best[default] / seconds for name, seconds in best.items()}
    _log.debug("Gain over %s: %s", default, gains)
    clear = [
        name
        for name, gain in gains.items()
        if gain >= 1 + (margin if isinstance(margin, float) else margin.get(name, 0))
    ]
    return max(clear, key=gains.__getitem__, default=default)


def _best_seconds(
    candidates: Mapping[str, Callable[[], None]],
    clock: Callable[[], float],
    default: str | None = None,
) -> dict[str, float]:
    """Best time of each, in turns until the budget is spent.

    Beside a default, whoever is behind it leaves, and alone it is not timed further.
    """
    for run in candidates.values():
        run()  # kernels are made at the first call
    best = dict.fromkeys(candidates, math.inf)
    racing = list(candidates)
    end = clock() + _BUDGET
    for done in range(_ROUNDS[1]):
        if racing == [default] or (done >= _ROUNDS[0] and clock() > end):
            break
        for name in racing:
            best[name] = min(best[name], _seconds(candidates[name], clock))
        if default is not None and done:  # the first round may have met other work
            most = best[default] * _BEHIND
            racing = [name for name in racing if name == default or best[name] <= most]
    return best


def _seconds(run: Callable[[], None], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def _kept(file: Path, key: str, name: str, candidates: Mapping[str, object]) -> str:
    """The name in the cache: whoever wrote first decides for all."""
    try:
        with locked(file):
            choices = _read(file)
            if choices.get(key) not in candidates:
                choices[key] = name
                write_json(file, {"format": _FORMAT, "choices": choices})
            return choices[key]
    except OSError as error:
        _log.warning("What is fastest is not kept, %s: %s.", file, error)
        return name


def _read(file: Path) -> dict[str, str]:
    """Answers of a file; none where it is missing, broken or foreign."""
    content = read_json(file)
    choices = content.get("choices")
    if content.get("format") != _FORMAT or not isinstance(choices, dict):
        return {}
    return {key: name for key, name in choices.items() if isinstance(name, str)}


@cache
def _processor() -> str:
    """Name of the CPU."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
