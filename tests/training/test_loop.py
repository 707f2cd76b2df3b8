"""Facts about the training loop, on the real digits."""

import subprocess
import sys
from dataclasses import astuple, replace

import pytest
import torch
from torch import nn

from nasdepth.training import evaluation, steps
from nasdepth.training.averaging import WeightAverage
from nasdepth.training.loop import Diverged, TrainingConfig, evaluate, fit
from nasdepth.training.recipe import DoesNotFit

SHORT = TrainingConfig(epochs=2)
#: a named precision is not probed
TIMELESS = TrainingConfig(epochs=5, precision="fp32")
SHORT_FP32 = TrainingConfig(epochs=2, precision="fp32")


def timeless(result):
    """The part of a fit that does not depend on the clock."""
    return [astuple(epoch)[:4] for epoch in result.curve]


def first_images(dataset, count):
    """The data set with its first training images alone."""
    return replace(
        dataset,
        train_images=dataset.train_images[:count],
        train_labels=dataset.train_labels[:count],
    )


def test_small_network_reads_the_digits(digits, small_network):
    config = TrainingConfig(epochs=9, batch_size=32)

    result = fit(small_network(), digits, config, seed=0, device="cpu")

    assert result.accuracy > 0.92


def test_same_seed_gives_the_same_run_bit_by_bit(digits, small_network):
    networks = [small_network(), small_network()]

    results = [fit(n, digits, SHORT, seed=3, device="cpu") for n in networks]

    assert timeless(results[0]) == timeless(results[1])
    for first, second in zip(*(n.state_dict().values() for n in networks), strict=True):
        assert torch.equal(first, second)


def test_another_seed_gives_another_run(digits, small_network):
    results = [
        fit(small_network(), digits, SHORT, seed=s, device="cpu") for s in (0, 1)
    ]

    assert timeless(results[0]) != timeless(results[1])


def test_run_does_not_depend_on_the_global_generator(digits):
    def network():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))

    results = []
    for state in (1, 2):
        torch.manual_seed(state)
        results.append(timeless(fit(network(), digits, SHORT, seed=0, device="cpu")))

    assert results[0] == results[1]


def test_global_generator_is_left_as_it_was(digits, small_network):
    network = small_network()
    before = torch.get_rng_state()

    fit(network, digits, SHORT, seed=0, device="cpu")

    assert torch.equal(before, torch.get_rng_state())


def test_accuracy_of_the_fit_is_that_of_its_final_weights(digits, small_network):
    network = small_network()

    result = fit(network, digits, TrainingConfig(epochs=3), seed=0, device="cpu")

    images, labels = digits.validation_images, digits.validation_labels
    again = evaluate(network, images, labels, digits, device="cpu")
    assert result.accuracy == result.curve[-1].validation_accuracy == again.accuracy
    assert result.curve[-1].validation_loss == again.loss


def test_averaging_does_not_change_the_weights(digits, small_network, monkeypatch):
    """Judging by the average is a look aside: training goes on from the raw weights."""
    config = TrainingConfig(epochs=4)
    averaged, raw = small_network(), small_network()
    first = fit(averaged, digits, config, seed=0, device="cpu")
    monkeypatch.setattr(steps, "window", lambda *told, **more: None)

    second = fit(raw, digits, config, seed=0, device="cpu")

    for one, other in zip(
        averaged.state_dict().values(), raw.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    assert first.curve[-1].validation_loss == second.curve[-1].validation_loss
    assert first.curve[1].validation_loss != second.curve[1].validation_loss


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs": 8, "decay": 0.25}, 6),
        ({"epochs": 8, "decay": 0.3}, 5),
        ({"epochs": 4, "decay": 0.0}, 3),
        ({"epochs": 4, "decay": 1.0}, 0),
        ({"epochs": 1, "decay": 0.5}, 0),
        ({"epochs": 4, "schedule": "cosine"}, 0),
        ({"epochs": 4, "schedule": "constant"}, 0),
    ],
)
def test_epochs_before_the_decay_of_wsd_are_averaged(
    digits, monkeypatch, options, expected
):
    made = []

    class Counted(WeightAverage):
        def __init__(self, network):
            made.append(network)
            super().__init__(network)

    monkeypatch.setattr(steps, "WeightAverage", Counted)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    fit(network, digits, TrainingConfig(**options), seed=0, device="cpu")

    assert len(made) == expected


def test_average_is_over_the_last_half_of_the_epoch(digits, monkeypatch):
    steps = []
    add = WeightAverage.add
    monkeypatch.setattr(WeightAverage, "add", lambda self: (steps.append(1), add(self)))
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    config = TrainingConfig(epochs=2, decay=0.5, batch_size=129)

    fit(network, digits, config, seed=0, device="cpu")

    assert len(steps) == 5  # of the first epoch's 1293 // 129 = 10


def test_epochs_are_reported_in_order(digits, small_network):
    seen = []

    result = fit(
        small_network(), digits, SHORT, seed=0, device="cpu", on_epoch=seen.append
    )

    assert tuple(seen) == result.curve
    assert [epoch.index for epoch in seen] == [1, 2]
    assert all(epoch.seconds > 0 < epoch.images_per_second for epoch in seen)
    assert result.seconds >= sum(epoch.seconds for epoch in seen)
    assert result.peak_memory_bytes == 0


def test_what_on_epoch_raises_ends_the_training(digits, small_network):
    class Pruned(Exception):
        pass

    def prune(epoch):
        if epoch.index == 2:
            raise Pruned

    with pytest.raises(Pruned):
        fit(
            small_network(),
            digits,
            TrainingConfig(epochs=50),
            seed=0,
            device="cpu",
            on_epoch=prune,
        )


class TurnsToNan(nn.Module):
    """A linear network whose output is not a number from some training step on."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.left = step

    def forward(self, x):
        self.left -= self.training and len(x) > 3  # fewer look at its memory
        scale = float("nan") if self.left < 0 else 1.0
        return self.linear(x.flatten(1)) * scale


def test_one_nan_ends_the_training_with_the_curve_so_far(digits):
    network = TurnsToNan(step=13)  # an epoch has 10

    with pytest.raises(Diverged) as caught:
        fit(network, digits, TIMELESS, seed=0, device="cpu")

    assert caught.value.epoch == 2
    assert [epoch.index for epoch in caught.value.curve] == [1]


def test_nan_is_noticed_within_the_epoch(digits):
    network = TurnsToNan(step=1)

    with pytest.raises(Diverged, match="in epoch 1"):
        fit(network, digits, replace(TIMELESS, halvings=0), seed=0, device="cpu")

    assert network.left > -6


def test_weights_that_overflow_at_the_last_step_diverge(digits):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    config = TrainingConfig(
        epochs=1, batch_size=2000, learning_rate=1e39, schedule="constant", warmup=0.0
    )

    with pytest.raises(Diverged):
        fit(network, digits, config, seed=0, device="cpu")


@pytest.mark.parametrize("count", [1, 2, 5, 127, 128, 130, 257])
def test_any_number_of_images_trains(digits, small_network, count):
    few = first_images(digits, count)

    result = fit(small_network(), few, SHORT, seed=0, device="cpu")

    assert len(result.curve) == 2


def test_one_image_of_one_pixel_trains_through_batch_norm(digits):
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))

    fit(network, first_images(digits, 1), SHORT, seed=0, device="cpu")


def test_incomplete_last_batch_is_left_out(digits):
    sizes = []

    class Watched(nn.Linear):
        def forward(self, x):
            if self.training and len(x) > 3:  # fewer look at its memory
                sizes.append(len(x))
            return super().forward(x)

    network = nn.Sequential(nn.Flatten(), Watched(64, 10))
    few = first_images(digits, 300)

    fit(network, few, replace(TIMELESS, epochs=1), seed=0, device="cpu")

    assert sizes == [128, 128]


def test_norm_and_bias_are_not_decayed(digits, small_network):
    network = small_network()
    images = torch.zeros_like(digits.train_images)  # no gradient reaches the first conv
    blank = replace(digits, train_images=images, mean=(0.0,), std=(1.0,))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    config = TrainingConfig(epochs=1, weight_decay=0.5, augment=False)

    fit(network, blank, config, seed=0, device="cpu")

    after = dict(network.named_parameters())
    assert after["0.weight"].norm() < 0.99 * before["0.weight"].norm()
    assert torch.equal(after["1.weight"], before["1.weight"])


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adamw", "learning_rate": 0.003},
        {"schedule": "one-cycle"},
        {"schedule": "cosine"},
        {"schedule": "constant", "momentum": 0.0},
        {"label_smoothing": 0.1},
        {"clip_norm": 1.0},
        {"precision": "bf16"},
        {"cutout": 2, "shift": 2, "flip": True},
    ],
    ids=str,
)
def test_every_option_learns(digits, small_network, options):
    config = TrainingConfig(**{"epochs": 5, "batch_size": 32, **options})

    result = fit(small_network(), digits, config, seed=0, device="cpu")

    assert result.accuracy > 0.4


def test_clipping_bounds_the_gradient(digits, small_network):
    network = small_network()
    config = TrainingConfig(epochs=1, clip_norm=1e-6, weight_decay=0.0)
    before = network[0].weight.detach().clone()

    fit(network, digits, config, seed=0, device="cpu")

    assert (network[0].weight - before).abs().max() < 1e-5


def test_precision_of_the_run_is_stated(digits, small_network):
    for precision in ("fp32", "bf16"):
        config = TrainingConfig(epochs=1, precision=precision)
        result = fit(small_network(), digits, config, seed=0, device="cpu")
        assert result.precision == precision


def test_upscaled_images_reach_the_network_enlarged(digits):
    shapes = set()

    class Watched(nn.Flatten):
        def forward(self, x):
            shapes.add(tuple(x.shape[1:]))
            return super().forward(x)

    network = nn.Sequential(Watched(), nn.Linear(16 * 16, 10))
    large = replace(digits, upscale=2, input_shape=(1, 16, 16))

    fit(network, large, TrainingConfig(epochs=1), seed=0, device="cpu")

    assert shapes == {(1, 16, 16)}


def test_evaluation_is_the_mean_over_all_chunks(digits, small_network, monkeypatch):
    network = small_network()
    data = digits.validation_images, digits.validation_labels
    whole = evaluate(network, *data, digits, device="cpu", precision="fp32")
    monkeypatch.setitem(evaluation._CHUNK_PIXELS, "cpu", 7 * 64)

    parts = evaluate(network, *data, digits, device="cpu", precision="fp32")

    assert parts.accuracy == whole.accuracy
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)


def test_evaluation_equals_the_plain_computation(digits, small_network):
    network = small_network().eval()
    images, labels = digits.validation_images, digits.validation_labels
    normal = (images / 255 - digits.mean[0]) / digits.std[0]
    with torch.no_grad():
        logits = network(normal)

    result = evaluate(network, images, labels, digits, device="cpu", precision="fp32")

    assert result.accuracy == (logits.argmax(1) == labels).double().mean().item()
    loss = nn.functional.cross_entropy(logits, labels).item()
    assert result.loss == pytest.approx(loss, rel=1e-4)


def test_evaluation_keeps_the_mode_of_each_part(digits, small_network):
    network = small_network().train()
    network[1].eval()

    evaluate(
        network,
        digits.validation_images,
        digits.validation_labels,
        digits,
        device="cpu",
    )

    assert network.training
    assert network[0].training
    assert not network[1].training


def test_network_can_be_trained_again_after_a_fit(digits, small_network):
    network = small_network()
    first = fit(network, digits, SHORT, seed=0, device="cpu")

    again = fit(network, digits, SHORT, seed=1, device="cpu")

    assert again.curve[-1].loss < first.curve[-1].loss


def test_network_ends_in_evaluation_mode(digits, small_network):
    network = small_network()

    fit(network, digits, SHORT, seed=0, device="cpu")

    assert not network.training


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_and_states_its_memory(digits, small_network):
    result = fit(
        small_network(), digits, TrainingConfig(epochs=9), seed=0, device="cuda"
    )

    assert result.accuracy > 0.8
    assert result.peak_memory_bytes > 0


class NanOnce(TurnsToNan):
    """Not a number at one training step alone."""

    def forward(self, x):
        self.left -= self.training and len(x) > 3
        scale = float("nan") if self.left == -1 and self.training else 1.0
        return self.linear(x.flatten(1)) * scale


def test_training_that_diverged_once_goes_on_with_half_the_rate(digits):
    network = NanOnce(step=23)  # in the third epoch

    result = fit(network, digits, TIMELESS, seed=0, device="cpu")

    assert result.halvings == 1
    assert [epoch.index for epoch in result.curve] == [1, 2, 3, 4, 5]
    assert all(epoch.loss < 10 for epoch in result.curve)


def test_epochs_before_a_divergence_stand_as_they_were(digits):
    networks = NanOnce(step=10**9), NanOnce(step=23)
    networks[1].load_state_dict(networks[0].state_dict())

    whole, half = (fit(n, digits, TIMELESS, seed=0, device="cpu") for n in networks)

    assert timeless(half)[:2] == timeless(whole)[:2]
    assert timeless(half)[2] != timeless(whole)[2]


def test_rate_is_halved_as_often_as_asked(digits):
    with pytest.raises(Diverged):
        fit(
            NanOnce(step=23),
            digits,
            replace(TIMELESS, halvings=0),
            seed=0,
            device="cpu",
        )


def test_cooldown_judges_a_branch_and_leaves_the_training(digits, small_network):
    config = replace(TIMELESS, epochs=9, rungs=(3, 9))
    plain, cooled = small_network(), small_network()
    first = fit(plain, digits, config, seed=0, device="cpu")

    second = fit(cooled, digits, replace(config, cooldown=0.3), seed=0, device="cpu")

    for one, other in zip(
        plain.state_dict().values(), cooled.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    differing = [
        a.index
        for a, b in zip(first.curve, second.curve, strict=True)
        if a.validation_loss != b.validation_loss
    ]
    assert differing == [3]


def test_rung_is_judged_by_its_last_half_and_other_epochs_by_theirs(
    digits, monkeypatch
):
    counts = {}
    applied = WeightAverage.applied

    def counting(self, estimate):
        counts[len(counts) + 1] = self.count
        return applied(self, estimate)

    monkeypatch.setattr(WeightAverage, "applied", counting)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    config = replace(TIMELESS, epochs=9, rungs=(1, 3, 9))

    fit(network, digits, config, seed=0, device="cpu")

    # of 10 steps an epoch; the rung of epoch 3 goes back to the middle of epoch 2
    assert counts == {1: 5, 2: 5, 3: 10, 4: 5, 5: 5, 6: 5}


class Hungry(nn.Module):
    """Asks for memory that is not there where it sees more than some images."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.linear, self.limit, self.sizes = nn.Linear(64, 10), limit, []

    def forward(self, x):
        if self.training and len(x) > 3:
            self.sizes.append(len(x))
        if self.training and len(x) > self.limit:
            torch.empty(2**60)  # the allocator of the CPU refuses
        return self.linear(x.flatten(1))


def test_batch_that_exceeds_memory_is_taken_in_parts(digits):
    network = Hungry(limit=40)

    result = fit(network, digits, TIMELESS, seed=0, device="cpu")

    assert result.parts == 4
    assert network.sizes[:3] == [128, 64, 32]
    assert set(network.sizes[2:]) == {32}
    assert len(result.curve) == 5


def test_parts_of_a_batch_give_the_gradient_of_the_whole(digits):
    whole, parts = Hungry(limit=999), Hungry(limit=40)
    parts.load_state_dict(whole.state_dict())

    first = fit(whole, digits, SHORT_FP32, seed=0, device="cpu")
    second = fit(parts, digits, SHORT_FP32, seed=0, device="cpu")

    assert torch.allclose(whole.linear.weight, parts.linear.weight, atol=1e-5)
    assert first.curve[-1].loss == pytest.approx(second.curve[-1].loss, rel=1e-4)


def test_network_that_exceeds_memory_in_eight_parts_does_not_fit(digits):
    with pytest.raises(DoesNotFit, match="in 8 parts exceeds memory"):
        fit(Hungry(limit=8), digits, TIMELESS, seed=0, device="cpu")


DIGEST = """
import sys, torch
from hashlib import sha256
from torch import nn
from nasdepth.training.data import DataConfig, load
from nasdepth.training.loop import TrainingConfig, fit
torch.set_num_threads(1)
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
                        nn.Dropout(0.2), nn.Flatten(), nn.Linear(288, 10))
config = TrainingConfig(epochs=3, deterministic=True)
result = fit(network, load(DataConfig("digits")), config, seed=5, device="cpu")
digest = sha256()
for tensor in network.state_dict().values():
    digest.update(tensor.numpy().tobytes())
print(result.precision, result.layout, digest.hexdigest())
"""


def test_deterministic_training_gives_the_same_bits_in_two_processes():
    told = [
        subprocess.run(
            [sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]

    assert told[0] == told[1]
    assert told[0].startswith("fp32 channels_last ")


def test_compiled_network_trains_as_the_plain_one(digits, small_network, monkeypatch):
    compiled = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda network: compiled(network, backend="eager")
    )
    plain, other = small_network(), small_network()

    first = fit(plain, digits, SHORT_FP32, seed=0, device="cpu")
    second = fit(other, digits, replace(SHORT_FP32, compile=True), seed=0, device="cpu")

    assert first.curve[-1].loss == pytest.approx(second.curve[-1].loss, rel=1e-4)
