"""Latency: a clock of our own for what is computed, the real one for what is timed."""

import gc
import json
import shelve
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

import nasdepth
from nasdepth.architecture.lower import lower
from nasdepth.measures.catalogue import measure
from nasdepth.network import latency as timing
from nasdepth.network.latency import Latency, latency

SHAPE = (3, 8, 8)


def plain(width: int, depth: int = 4, side: int = 32) -> nasdepth.Architecture:
    stage = nasdepth.Stage("conv", depth, width)
    stem = nasdepth.Stem(width)
    return nasdepth.Architecture((stage,), stem, input_shape=(3, side, side))


class Clock:
    """Stands where the module's `time` stands; it moves when a network runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.day = 1.8e9

    def perf_counter(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.worked

    def time(self) -> float:
        return self.day


class Ticking(nn.Module):
    """Takes as many seconds as it is told, at work for a share of them."""

    def __init__(
        self, clock: Clock, seconds: Iterator[float], share: float = 1.0
    ) -> None:
        super().__init__()
        self.clock, self.seconds, self.share = clock, seconds, share
        self.seen: list[tuple[object, ...]] = []

    def __deepcopy__(self, memo: object) -> "Ticking":
        return self  # the copy that is timed tells what it saw

    def forward(self, images: Tensor) -> Tensor:
        taken = next(self.seconds)
        self.clock.now += taken
        self.clock.worked += self.share * taken
        self.seen.append((torch.get_num_threads(), images.shape))
        return images


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


@pytest.fixture
def ticking(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Networks that are built take a tenth of a millisecond by the clock."""
    monkeypatch.setattr(
        timing, "build", lambda graph, seed: Ticking(clock, repeat(1e-4))
    )
    return clock


# --- what is computed


def test_short_passes_are_timed_in_loops_of_a_millisecond(clock: Clock) -> None:
    module = Ticking(clock, repeat(1e-4))

    found = latency(module, SHAPE, warmup=0.0)

    assert found.passes == pytest.approx(10, abs=1)  # 1e-3 / 1e-4, rounded up
    assert found.repeats == 50
    assert found.median == pytest.approx(1e-4)
    assert len(module.seen) == 1 + 1 + 50 * found.passes


def test_long_passes_are_timed_three_times(clock: Clock) -> None:
    module = Ticking(clock, repeat(2.0))

    found = latency(module, SHAPE)

    assert (found.repeats, found.passes, found.median) == (3, 1, 2.0)
    assert len(module.seen) == 1 + 1 + 3


def test_repeats_end_with_the_budget(clock: Clock) -> None:
    found = latency(Ticking(clock, repeat(0.125)), SHAPE, budget=1.0)

    assert found.repeats == 8


def test_the_first_pass_and_the_warm_up_are_not_timed(clock: Clock) -> None:
    module = Ticking(clock, iter([9.0, 0.5, 0.5, *repeat(0.25, 3)]))

    found = latency(module, SHAPE, warmup=1.0, repeats=3)

    assert (found.lower, found.median, found.upper) == (0.25, 0.25, 0.25)


def test_quartiles_are_those_of_the_repeats(clock: Clock) -> None:
    module = Ticking(clock, iter([1.0, 1.0, 5.0, 1.0, 3.0, 2.0, 4.0]))

    found = latency(module, SHAPE, repeats=5, budget=60.0)

    assert (found.lower, found.median, found.upper) == (2.0, 3.0, 4.0)
    assert found.spread == pytest.approx(2 / 3)
    assert not found.quiet


def test_a_thread_that_waits_for_a_processor_is_not_quiet(clock: Clock) -> None:
    found = latency(Ticking(clock, repeat(0.25), share=0.5), SHAPE)

    assert found.busy == pytest.approx(0.5)
    assert found.spread == 0
    assert not found.quiet


def test_the_values_are_plain_and_say_what_was_timed(clock: Clock) -> None:
    found = latency(Ticking(clock, repeat(0.25)), SHAPE, batch=2)

    values = json.loads(json.dumps(found.as_dict()))

    assert values.pop("device").startswith("cpu ")
    assert "2 images in float32, channels-last, evaluation" in values.pop("timed")
    assert values == {
        "median": 0.25,
        "lower": 0.25,
        "upper": 0.25,
        "spread": 0.0,
        "quiet": True,
        "busy": 1.0,
        "repeats": 3,
        "passes": 1,
        "batch": 2,
        "threads": 1,
        "dtype": "float32",
        "layout": "channels-last",
        "torch": str(torch.__version__),
        "measured_at": "2027-01-15T08:00:00+00:00",
    }


# --- what is kept


def test_an_equal_digest_has_the_same_value(ticking: Clock) -> None:
    kept: dict[str, Latency] = {}

    first = latency(plain(8), cache=kept)

    assert latency(plain(8), cache=kept) is first
    assert latency(lower(plain(8)), cache=kept) is first
    assert latency(plain(8), cache={}) is not first


def test_times_are_kept_by_the_process(ticking: Clock) -> None:
    network = plain(24, side=12)

    assert latency(network) is latency(network)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        (None, {"batch": 2}),
        (None, {"threads": 2}),
        (None, {"repeats": 7}),
        ((3, 16, 16), {}),
    ],
)
def test_another_question_has_its_own_value(
    ticking: Clock, monkeypatch: pytest.MonkeyPatch, shape: tuple, options: dict
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    kept: dict[str, Latency] = {}
    first = latency(plain(8), cache=kept)

    other = latency(plain(8), shape, cache=kept, **options)

    assert other is not first
    assert len(kept) == 2


def test_another_device_has_its_own_value(
    ticking: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, Latency] = {}
    first = latency(plain(8), cache=kept)
    monkeypatch.setattr(timing, "_processor", lambda: "another")

    other = latency(plain(8), cache=kept)

    assert (other.device, len(kept)) == ("cpu another", 2)
    assert other is not first


def test_a_disturbed_time_is_given_and_not_kept(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Ticking(clock, repeat(0.25), share=0.5)
    monkeypatch.setattr(timing, "build", lambda graph, seed: slow)
    kept: dict[str, Latency] = {}

    found = latency(plain(8), cache=kept)

    assert found.median == 0.25
    assert kept == {}


def test_a_time_is_not_kept_for_longer_than_an_hour(ticking: Clock) -> None:
    kept: dict[str, Latency] = {}
    first = latency(plain(8), cache=kept)

    ticking.day += 3599
    assert latency(plain(8), cache=kept) is first
    ticking.day += 2
    assert latency(plain(8), cache=kept) is not first


def test_a_module_is_kept_under_the_digest_that_is_given(clock: Clock) -> None:
    module = Ticking(clock, repeat(0.25))
    kept: dict[str, Latency] = {}

    latency(module, SHAPE, cache=kept)
    assert kept == {}
    first = latency(module, SHAPE, cache=kept, digest="abc")
    assert latency(module, SHAPE, cache=kept, digest="abc") is first


def test_a_cache_may_be_on_disk(ticking: Clock, tmp_path: Path) -> None:
    with shelve.open(str(tmp_path / "times")) as kept:
        first = latency(plain(8), cache=kept)
    with shelve.open(str(tmp_path / "times")) as kept:
        assert latency(plain(8), cache=kept) == first
        assert len(kept) == 1


# --- how it runs


def test_threads_are_set_for_the_timing_alone(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    module = Ticking(clock, iter([0.25] * 3))  # then it raises
    before = torch.get_num_threads()
    other = 3 - min(before, 2)

    with pytest.raises(StopIteration):
        latency(module, SHAPE, threads=other)

    assert {seen[0] for seen in module.seen} == {other}
    assert torch.get_num_threads() == before
    assert gc.isenabled()


def test_the_pass_is_one_of_inference_on_channels_last() -> None:
    seen = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            last = torch.channels_last
            seen.append(
                (
                    self.training,
                    torch.is_inference_mode_enabled(),
                    images.is_contiguous(memory_format=last),
                    self.conv.weight.is_contiguous(memory_format=last),
                    tuple(images.shape),
                )
            )
            return self.conv(images)

    latency(Watching(), SHAPE, batch=2, repeats=1, warmup=0)

    assert set(seen) == {(False, True, True, True, (2, 3, 8, 8))}


def test_a_module_and_the_random_state_stay_as_they_were() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    layout = module[0].weight.stride()
    state = torch.get_rng_state()

    latency(module, SHAPE, repeats=1, warmup=0)
    latency(plain(8), repeats=1, warmup=0, cache={})

    assert module.training
    assert module[0].weight.stride() == layout
    assert torch.equal(torch.get_rng_state(), state)


def test_precision_is_that_of_the_weights_and_tokens_have_no_layout() -> None:
    module = nn.Linear(8, 2).double()

    found = latency(module, (5, 8), repeats=3, warmup=0)

    assert (found.dtype, found.layout) == ("float64", "contiguous")


def test_every_pass_on_cuda_is_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    device = torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda where: done.append(where))
    images = SimpleNamespace(device=device)

    run = timing._pass_of(lambda given: done.append(given), images)  # type: ignore[arg-type]
    run()
    run()

    assert done == [images, device, images, device]


def test_ten_times_the_work_takes_longer() -> None:
    small, large = plain(32), plain(104)
    assert measure(lower(large))["macs"] > 10 * measure(lower(small))["macs"]

    # the better of three, in turns: other work on the machine makes a time longer
    times = [[latency(net, cache={}) for net in (small, large)] for _ in range(3)]

    quick, slow = (min(t.median for t in each) for each in zip(*times, strict=True))
    assert slow > 2 * quick
    assert all(t.lower <= t.median <= t.upper for each in times for t in each)


@pytest.mark.parametrize(
    ("network", "shape", "options", "match"),
    [
        (plain(8), None, {"batch": 0}, "batch must be 1 or more, but got batch=0"),
        (plain(8), None, {"threads": 0}, "threads must be 1 to .*, but got threads=0"),
        (plain(8), None, {"threads": 10**6}, "threads must be 1 to"),
        (plain(8), None, {"repeats": 0}, "repeats must be 1 or more"),
        (plain(8), None, {"warmup": float("inf")}, "warmup must be 0 to 3600"),
        (plain(8), None, {"budget": float("nan")}, "budget must be 0 to 3600"),
        (plain(8), None, {"device": "gpu"}, "timed on one of cpu.*but got 'gpu'"),
        (plain(8), None, {"device": "meta"}, "timed on one of cpu.*but got 'meta'"),
        (plain(8), None, {"device": "cuda:64"}, "timed on one of cpu.*'cuda:64'"),
        (lower(plain(8)), (3, 9, 9), {}, r"images of \(3, 32, 32\), but got"),
        (nn.Linear(2, 2), None, {}, "needs the shape of an image.*shape=None"),
        (nn.Linear(2, 2), (0, 2), {}, r"needs the shape of an image.*\(0, 2\)"),
        (nn.Linear(2, 2, device="meta"), (1, 2), {}, "weights in memory"),
    ],
)
def test_what_cannot_be_timed_is_refused(
    network: timing.Network, shape: tuple | None, options: dict, match: str
) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        latency(network, shape, **options)

    assert "\n" not in str(caught.value)


def test_devices_of_cuda_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H")

    assert timing._name(timing._device("cuda")) == "cuda:1 H"
    assert timing._name(timing._device("cuda:0")) == "cuda:0 H"
    with pytest.raises(ValueError, match="one of cpu, cuda:0, cuda:1, but got"):
        latency(plain(8), device="cuda:2")


@pytest.mark.gpu
def test_cuda_is_timed_apart_from_the_cpu() -> None:
    network = nasdepth.family("resnet18")
    here, there = (latency(network, device=d, batch=8) for d in ("cpu", "cuda"))

    assert there.device == f"cuda:0 {torch.cuda.get_device_name(0)}"
    assert there.busy is None
    # a pass that is not waited for would be quicker than its launches
    assert 1e-4 < there.median < here.median
