"""Facts about the probe: what it chooses, what it keeps, what it leaves alone."""

import json
import logging
import time

import pytest
import torch
from torch import nn

from nasdepth import Architecture, Stage, Stem, build
from nasdepth.training import probe
from nasdepth.training.device import computes_bf16
from nasdepth.training.probe import Choice, choose, clock_of, fastest, kind, place

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def forgetful():
    """Nothing is known from earlier tests."""
    probe._known.clear()


class Clock:
    """Seconds that pass only when a candidate works."""

    def __init__(self, **seconds: float) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        self.candidates = {
            name: lambda name=name, took=took: self.work(name, took)
            for name, took in seconds.items()
        }

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, took: float) -> None:
        self.calls.append(name)
        self.now += took


def winner(clock: Clock, margin=0.1, key="key", default="usual") -> str:
    return fastest(key, clock.candidates, default=default, margin=margin, clock=clock)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.5, "other"), (0.89, "other"), (0.95, "usual"), (1.0, "usual"), (3, "usual")],
)
def test_default_is_left_for_a_clear_gain_only(seconds, expected):
    assert winner(Clock(usual=1.0, other=seconds)) == expected


def test_fastest_of_those_that_gain_wins():
    assert winner(Clock(usual=1.0, good=0.8, best=0.5, bad=2.0)) == "best"


def test_each_may_need_its_own_margin():
    clock = Clock(usual=1.0, a=0.8, b=0.85)

    assert winner(clock, margin={"a": 0.5, "b": 0.1}) == "b"


def test_candidates_take_turns():
    clock = Clock(usual=0.01, other=0.01)

    winner(clock)

    assert clock.calls[:6] == ["usual", "other"] * 3


def test_slow_candidates_are_timed_three_times_after_the_warm_up():
    clock = Clock(usual=5.0, other=4.0)

    winner(clock)

    assert clock.calls == ["usual", "other"] * 4


def test_who_is_behind_is_timed_twice_after_the_warm_up():
    clock = Clock(usual=0.01, near=0.0105, behind=0.02)

    winner(clock)

    assert clock.calls[:9] == ["usual", "near", "behind"] * 3
    assert set(clock.calls[9:]) == {"usual", "near"}


def test_default_alone_is_not_timed_further():
    clock = Clock(usual=0.01, other=0.02)

    winner(clock)

    assert clock.calls == ["usual", "other"] * 3


def test_best_time_counts_and_not_the_first():
    clock = Clock(usual=1.0)
    times = iter([9.0, 9.0, 0.5, 9.0])
    clock.candidates["other"] = lambda: clock.work("other", next(times))

    assert winner(clock) == "other"


def test_answer_is_known_the_second_time():
    winner(Clock(usual=1.0, other=0.5))
    clock = Clock(usual=0.5, other=1.0)

    assert winner(clock) == "other"
    assert clock.calls == []


def test_answer_outlives_the_process():
    winner(Clock(usual=1.0, other=0.5))
    probe._known.clear()  # what a new process starts with
    clock = Clock(usual=0.5, other=1.0)

    assert winner(clock) == "other"
    assert clock.calls == []


def test_other_keys_and_other_candidates_are_asked_anew():
    winner(Clock(usual=1.0, other=0.5))

    assert winner(Clock(usual=1.0, other=2.0), key="another") == "usual"
    assert winner(Clock(usual=1.0, third=2.0)) == "usual"


def test_who_wrote_first_decides_for_all(own_cache):
    rival = Clock(usual=1.0, other=0.5)

    def written_meanwhile():
        if not (own_cache / "probes.json").exists():
            winner(rival)
            probe._known.clear()
        clock.work("other", 2.0)

    clock = Clock(usual=1.0)
    clock.candidates["other"] = written_meanwhile

    assert winner(clock) == "other"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 9, "choices": {"key | other, usual": "other"}}',
        '{"format": 1, "choices": ["key | other, usual"]}',
        '{"format": 1, "choices": {"key | other, usual": "neither"}}',
        '{"format": 1, "choices": {"key | other, usual": ["other"]}}',
    ],
)
def test_broken_or_foreign_file_is_written_anew(own_cache, text):
    own_cache.mkdir()
    (own_cache / "probes.json").write_text(text)

    assert winner(Clock(usual=0.5, other=1.0)) == "usual"
    written = json.loads((own_cache / "probes.json").read_text())
    assert written["choices"]["key | other, usual"] == "usual"


def test_folder_that_cannot_be_written_is_done_without(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NASDEPTH_CACHE", str(tmp_path / "file"))

    with caplog.at_level(logging.WARNING):
        assert winner(Clock(usual=1.0, other=0.5)) == "other"

    assert "is not kept" in caplog.text


def exhausted() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_short_memory_leaves_the_default_and_is_not_kept(own_cache):
    clock = Clock(usual=1.0, other=0.5)
    clock.candidates["third"] = exhausted

    assert winner(clock) == "usual"
    assert not (own_cache / "probes.json").exists()


def test_other_errors_pass():
    clock = Clock(usual=1.0)
    clock.candidates["other"] = lambda: torch.zeros(2) + torch.zeros(3)

    with pytest.raises(RuntimeError, match="must match"):
        winner(clock)


# --- precision and layout


def network(kind_: str = "conv", **options) -> nn.Module:
    stage = Stage(kind_, depth=2, width=16, **options)
    return build(Architecture((stage,), Stem(8), input_shape=SHAPE), seed=0)


def test_choice_is_a_candidate_of_this_machine():
    found = choose(network(), SHAPE, 128, CPU)

    assert found in probe.CHOICES.values()
    assert found.precision == "fp32" or computes_bf16(CPU)


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_choice_is_what_the_timing_says(monkeypatch, layout):
    clock = Clock()

    def step(bench, choice):
        clock.work("", 1.0 if choice == Choice("fp32", layout) else 4.0)

    monkeypatch.setattr(probe._Bench, "step", step)
    monkeypatch.setattr(probe, "clock_of", lambda device: clock)

    assert choose(network(), SHAPE, 128, CPU) == Choice("fp32", layout)


def test_bf16_is_not_timed_where_nothing_multiplies_it(monkeypatch, own_cache):
    monkeypatch.setattr(probe, "computes_bf16", lambda device: False)

    choose(network(), SHAPE, 128, CPU)

    assert "bf16" not in (own_cache / "probes.json").read_text()


@pytest.mark.parametrize(
    ("options", "precision"),
    [
        ({"precision": "fp32"}, "fp32"),
        ({"precision": "bf16"}, "bf16"),
        ({"deterministic": True}, "fp32"),
        ({"deterministic": True, "precision": "bf16"}, "bf16"),
    ],
)
def test_nothing_is_timed_where_it_is_settled(own_cache, options, precision):
    found = choose(network(), SHAPE, 128, CPU, **options)

    assert found == Choice(precision, "channels_last")
    assert not own_cache.exists()


def test_network_and_generators_are_left_as_they_were():
    module = network().train()
    module.add_module("dropout", nn.Dropout())
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    strides = [p.stride() for p in module.parameters()]
    random = torch.get_rng_state()

    choose(module, SHAPE, 64, CPU)

    assert all(torch.equal(kept[n], v) for n, v in module.state_dict().items())
    assert [p.stride() for p in module.parameters()] == strides
    assert all(p.grad is None for p in module.parameters())
    assert torch.equal(torch.get_rng_state(), random)


class Drawing(nn.Module):
    """Draws while it computes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x):
        return nn.functional.dropout(self.conv(x), 0.5, training=True).mean((2, 3))


def test_dropout_does_not_move_the_generator():
    drawing = Drawing()
    random = torch.get_rng_state()

    choose(drawing, SHAPE, 64, CPU)

    assert torch.equal(torch.get_rng_state(), random)


def test_step_of_a_small_batch_is_the_batch():
    bench = probe._Bench(network(), SHAPE, 3, CPU)

    assert bench._images == 3


def test_timed_images_are_few_for_slow_networks():
    bench = probe._Bench(network(), SHAPE, 10**6, CPU)

    assert 8 <= bench._images < 10**6


def test_kind_tells_kernels_groups_and_widths():
    one = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
    near = nn.Sequential(nn.Conv2d(4, 12, 3), nn.BatchNorm2d(12), nn.ReLU())
    others = [
        nn.Sequential(nn.Conv2d(3, 16, 5), nn.BatchNorm2d(16), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 16, 3, groups=4), nn.BatchNorm2d(16), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 16, 3, groups=2), nn.BatchNorm2d(16), nn.ReLU()),
    ]

    kinds = {kind(other) for other in others}

    assert kind(one) == kind(near)
    assert len(kinds) == len(others)
    assert kind(one) not in kinds


def test_kind_does_not_tell_depth():
    deep = Stage("conv", depth=7, width=16)
    module = build(Architecture((deep,), Stem(8), input_shape=SHAPE), seed=0)

    assert kind(module) == kind(network())


def test_dense_networks_are_a_kind_of_their_own():
    assert kind(network(skip="concat", links="all")) != kind(network())


def test_place_tells_torch_and_threads():
    assert f"torch {torch.__version__}" in place(CPU)
    assert place(CPU).endswith("1 threads")


def test_one_thread_is_timed_by_its_own_work():
    assert clock_of(CPU) is time.thread_time


def test_several_threads_are_timed_by_the_wall(one_thread):
    torch.set_num_threads(2)

    assert clock_of(CPU) is time.perf_counter


@pytest.mark.gpu
def test_gpu_chooses():
    assert choose(network(), SHAPE, 128, torch.device("cuda", 0))
    assert clock_of(torch.device("cuda")) is time.perf_counter
