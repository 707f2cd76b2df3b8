"""Zero-cost proxies: golden values, other spellings of one network, what is refused."""

import json
import math
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

import nasdepth
from nasdepth.measures.structure import Undefined
from nasdepth.network.proxies import PROXIES
from nasdepth.network.responses import jacov, nwot, zen, zen_paper, zen_score
from nasdepth.network.saliency import (
    fisher,
    fisher_paper,
    grad_norm,
    grasp,
    l2_norm,
    plain,
    snip,
    synflow,
    synflow_bn,
    zico,
    zico_paper,
)
from nasdepth.network.watch import Activations, LastMap, fresh

GOLDEN = Path(__file__).parents[1] / "golden" / "proxies"
NETS = ("plain", "residual", "plain_nobn")


# --- the networks of the golden values (tests/golden/proxies/README.md)


def conv3(i: int, o: int, stride: int = 1, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(i, o, 3, stride=stride, padding=1, bias=bias)


class Plain(nn.Module):
    def __init__(self, *, bn: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width, stride in ((8, 1), (8, 1), (16, 2), (16, 1)):
            layers.append(conv3(before, width, stride, bias=not bn))
            layers += [nn.BatchNorm2d(width)] * bn + [nn.ReLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.fc = nn.Linear(before, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean(dim=(2, 3)))


class Block(nn.Module):
    def __init__(self, i: int, o: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3(i, o, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv3(o, o), nn.BatchNorm2d(o)
        self.proj = None
        if stride != 1 or i != o:
            skip = nn.Conv2d(i, o, 1, stride=stride, bias=False)
            self.proj = nn.Sequential(skip, nn.BatchNorm2d(o))
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + (x if self.proj is None else self.proj(x)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn, self.relu = conv3(3, 8), nn.BatchNorm2d(8), nn.ReLU()
        self.blocks = nn.Sequential(Block(8, 8), Block(8, 16, 2), Block(16, 16))
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.relu(self.bn(self.stem(x))))
        return self.fc(x.mean(dim=(2, 3)))


def blank(name: str) -> nn.Module:
    return Residual() if name == "residual" else Plain(bn=name == "plain")


def net(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    module = blank(name)
    module.load_state_dict(load_file(GOLDEN / f"{name}.safetensors"))
    return module.to(dtype)


@cache
def batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    with np.load(GOLDEN / "batch.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return torch.from_numpy(images).to(dtype), torch.from_numpy(labels)


@cache
def values(file: str) -> dict[str, dict[str, float]]:
    return json.loads((GOLDEN / file).read_text())


Score = Callable[[nn.Module, Tensor, Tensor], float]
#: key of the golden file, our function in the units of the file, tolerance in float32
PUBLISHED: tuple[tuple[str, Score, float], ...] = (
    ("grad_norm", grad_norm, 1e-5),
    ("snip", snip, 1e-5),
    ("grasp", grasp, 1e-4),
    ("fisher", fisher, 1e-5),
    ("jacob_cov", jacov, 1e-5),
    ("plain", plain, 1e-4),
    ("synflow", lambda *given: math.exp(synflow(*given)), 1e-5),
    ("synflow_bn", lambda *given: math.exp(synflow_bn(*given)), 1e-5),
    ("l2_norm", l2_norm, 1e-5),
    ("nwot", nwot, 1e-5),
    ("zico_2x16", zico, 5e-4),
    ("zico_4x8", lambda *given: zico(*given, batches=4), 1e-5),
)
#: what the papers say instead of the code, from the table of the golden README
PAPERS = {
    "fisher_paper": (1.1493749824e-4, 3.4785357513e-4, 7.476389174e-6),
    "zico_paper 2": (44.901832703, 81.178717227, 45.296170593),
    "zico_paper 4": (37.161242968, 66.220213510, 35.169281157),
}


# --- golden values


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("key", "score", "_"), PUBLISHED, ids=lambda v: str(v)[:12])
def test_a_proxy_is_the_published_one_in_float64(
    name: str, key: str, score: Score, _: float
) -> None:
    # the published Fisher copies its values through float32
    tolerance = 1e-6 if key == "fisher" else 1e-9

    found = score(net(name), *batch())

    expected = values("values_float64.json")[name][key]
    assert found == pytest.approx(expected, rel=tolerance, abs=0)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    ("key", "score", "tolerance"), PUBLISHED, ids=lambda v: str(v)[:12]
)
def test_a_proxy_is_the_published_one_in_float32(
    name: str, key: str, score: Score, tolerance: float
) -> None:
    found = score(net(name, torch.float32), *batch(torch.float32))

    expected = values("values.json")[name][key]
    assert found == pytest.approx(expected, rel=tolerance, abs=0)


@pytest.mark.parametrize("place", range(3), ids=NETS)
def test_the_papers_formulas_give_other_values(place: int) -> None:
    module, data = net(NETS[place]), batch()

    found = {
        "fisher_paper": fisher_paper(module, *data),
        "zico_paper 2": zico_paper(module, *data),
        "zico_paper 4": zico_paper(module, *data, batches=4),
    }

    assert found == pytest.approx(
        {name: row[place] for name, row in PAPERS.items()}, rel=1e-9, abs=0
    )


# --- Zen-score


def zen_case(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, input and noise of the one reproducible published run."""
    tensors = load_file(GOLDEN / f"zen_{name}.safetensors")
    first, noise = tensors.pop("zen.input"), tensors.pop("zen.input2")
    module = blank(name)
    module.load_state_dict(tensors)
    return module, first, noise


@pytest.mark.parametrize("name", NETS)
def test_zen_is_the_published_one_on_its_weights_and_inputs(name: str) -> None:
    module, first, noise = zen_case(name)

    found = zen_score(module, first, noise)

    expected = values("values.json")[name]["zen_saved_inputs"]
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("eager", [False, True], ids=["new", "seen data"])
def test_draws_of_zen_have_the_published_mean(name: str, *, eager: bool) -> None:
    module, images = blank(name), torch.zeros(16, 3, 16, 16)
    if eager:
        module(torch.randn(16, 3, 16, 16))
    repeats = 16

    found = np.mean([zen(module, images, seed=seed) for seed in range(repeats)])

    known = values("values.json")[name]
    error = known["zen_fresh_std256"] * math.sqrt(1 / repeats + 1 / 256)
    assert abs(found - known["zen_fresh_mean256"]) < 3.5 * error


def test_zen_sees_nothing_of_the_state_that_a_module_has() -> None:
    module, images = Plain(), torch.zeros(4, 3, 16, 16)
    expected = zen(module, images, seed=2)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor += 7

    assert zen(module, images, seed=2) == expected


def test_the_papers_zen_takes_frobenius_norm_and_batch_variance() -> None:
    images = torch.zeros(8, 3, 16, 16)
    module = Plain(bn=False)
    wide = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten())
    wide.append(nn.Linear(4 * 256, 2))
    with_norm, without = deepcopy(wide), deepcopy(wide)
    without[1] = nn.Identity()

    # the norm divides by the deviation that the score adds back
    gap = zen_paper(with_norm, images) - zen_paper(without, images)

    assert abs(gap) < 0.2
    # E|z| against sqrt(E z²) of one image's 4,096 nearly equal scales
    distance = zen(module, images) - zen_paper(module, images)
    assert 0.5 * math.log(4096 / 16) < distance < 0.5 * math.log(4096)


# --- one network, other spellings


class Functional(Plain):
    """`Plain` with calls where it has modules."""

    def __init__(self, call: Callable[[Tensor], Tensor], pool: Callable) -> None:
        super().__init__()
        self.call, self.pool = call, pool

    def forward(self, x: Tensor) -> Tensor:
        for part in self.body:
            x = self.call(x) if isinstance(part, nn.ReLU) else part(x)
        return self.fc(self.pool(x).flatten(1))


CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
}
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1),
    "mean": lambda x: x.mean((-1, -2)),
    "window": lambda x: F.avg_pool2d(x, x.shape[-1]),
    "kept": lambda x: x.mean((2, 3), keepdim=True),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_rectifier_counts_however_it_is_called(call: str) -> None:
    module = Functional(CALLS[call], POOLS["mean"]).double()
    module.load_state_dict(net("plain").state_dict())

    found = {key: score(module, *batch()) for key, score, _ in PUBLISHED}

    expected = values("values_float64.json")["plain"]
    assert found == pytest.approx(expected, rel=1e-6, abs=0)


def test_codes_are_of_the_moment_of_the_call() -> None:
    image = torch.tensor([[-1.0, 2.0]])

    with Activations(frozenset({"relu"})) as seen:
        F.relu(image).sub_(5)

    assert torch.equal(seen.outputs[0], torch.tensor([[0.0, 2.0]]))


@pytest.mark.parametrize("pool", POOLS)
def test_the_last_map_is_what_global_pooling_reads(pool: str) -> None:
    tensors, first, noise = zen_case("plain")
    module = Functional(F.relu, POOLS[pool])
    module.load_state_dict(tensors.state_dict())

    found = zen_score(module, first, noise)

    expected = values("values.json")["plain"]["zen_saved_inputs"]
    assert found == pytest.approx(expected, rel=1e-5)


def test_gates_and_pools_inside_are_not_the_last_map() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = conv3(3, 4), conv3(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            x = F.max_pool2d(self.a(x), 2)
            x = x * x.mean((2, 3), keepdim=True).sigmoid()
            return F.adaptive_avg_pool2d(self.b(x), 2).flatten(1)

    with LastMap() as seen:
        Gated()(torch.zeros(2, 3, 8, 8))

    assert seen.map.shape == (2, 6, 4, 4)


@pytest.mark.parametrize(
    ("layer", "counts"),
    [
        (nn.ReLU6(), True),
        (nn.LeakyReLU(), True),
        (nn.PReLU(), True),
        (nn.ReLU6(inplace=True), True),
        (nn.Hardtanh(), False),
        (nn.ELU(), False),
        (nn.GELU(), False),
        (nn.SiLU(), False),
        (nn.Tanh(), False),
    ],
    ids=str,
)
def test_codes_are_of_functions_with_an_off_state(
    layer: nn.Module, *, counts: bool
) -> None:
    images, labels = batch(torch.float32)
    first = nn.Conv2d(3, 40, 5)
    alike = nn.Sequential(first, nn.ReLU(), nn.Flatten())
    module = nn.Sequential(first, layer, nn.Flatten())

    if counts:
        assert nwot(module, images, labels) == nwot(alike, images, labels)
    else:
        with pytest.raises(Undefined, match="without relu, relu6 or leaky relu"):
            nwot(module, images, labels)


@pytest.mark.parametrize(
    "name", ["cifar_resnet8", "nn_mass_cnn", "grouped", "mobilenet_v2"]
)
@pytest.mark.parametrize("row", PROXIES.values(), ids=PROXIES)
def test_every_proxy_scores_networks_that_are_built(name: str, row) -> None:
    module, images, labels = built(name)

    found = row.function(module, images, labels)

    assert math.isfinite(found)


@cache
def built(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    side = 32
    if name == "mobilenet_v2":
        from torchvision.models import MobileNetV2

        torch.manual_seed(0)
        setting = [[1, 8, 1, 1], [3, 8, 2, 2]]
        module = MobileNetV2(10, 0.25, setting, dropout=0.5)
    elif name == "grouped":
        stage = nasdepth.Stage("bottleneck", 2, 16, groups=4, skip="add")
        stem = nasdepth.Stem(16)
        architecture = nasdepth.Architecture((stage,), stem, input_shape=(3, 8, 8))
        module, side = nasdepth.build(architecture, seed=0), 8
    else:
        known = {"cifar_resnet8": "cifar_resnet:8", "nn_mass_cnn": "nn_mass_cnn:4:1"}
        module = nasdepth.build(nasdepth.family(known[name]), seed=0)
    images = torch.randn(6, 3, side, side, generator=generator)
    return module, images, torch.randint(0, 10, (6,), generator=generator)


# --- nothing is touched


@pytest.mark.parametrize("row", PROXIES.values(), ids=PROXIES)
def test_a_proxy_leaves_everything_as_it_was(row) -> None:
    module = net("residual").eval()
    module.stem.weight.requires_grad_(False)
    module.fc.bias.grad = torch.ones(10).double()
    state, rng = deepcopy(module.state_dict()), torch.get_rng_state()
    images, labels = batch()
    kept = images.clone()

    first = row.function(module, images, labels)
    second = row.function(module, images, labels)

    assert first == second
    after = module.state_dict()
    assert all(torch.equal(state[name], after[name]) for name in state)
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.equal(images, kept)
    assert not images.requires_grad
    assert not module.stem.weight.requires_grad
    assert torch.equal(module.fc.bias.grad, torch.ones(10).double())
    assert not module.training
    assert not any(part._forward_hooks for part in module.modules())


def test_dropout_draws_nothing() -> None:
    module = nn.Sequential(nn.Dropout(), net("plain")).train()

    assert snip(module, *batch()) == pytest.approx(snip(net("plain"), *batch()))


def test_a_copy_normalises_with_the_batch_and_drops_nothing() -> None:
    module = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout()).eval()

    copy = fresh(module)

    assert [part.training for part in copy] == [True, False]
    assert not module[0].training


def test_nwot_with_batch_norm_in_eval_mode_is_another_number() -> None:
    module, (images, _) = net("plain").eval(), batch()
    with torch.no_grad(), Activations(frozenset({"relu"})) as seen:
        module(images)
    codes = torch.cat([(out > 0).flatten(1).double() for out in seen.outputs], 1)
    agreement = codes @ codes.T + (1 - codes) @ (1 - codes).T

    found = torch.linalg.slogdet(agreement)[1].item()

    assert found == pytest.approx(255.009418717, rel=1e-9)


# --- what has no score


@pytest.mark.parametrize(
    ("score", "module", "count", "match"),
    [
        (jacov, Plain(), 1, "two or more are needed, but got 1"),
        (nwot, Plain(), 1, "two or more are needed, but got 1"),
        (zico, Plain(), 1, "but got batches=2 of 1 images"),
        (zico_paper, Plain(), 1, "but got batches=2 of 1 images"),
        (snip, nn.Flatten(), 4, "without convolution or linear layer"),
        (l2_norm, nn.Flatten(), 4, "without convolution or linear layer"),
        (fisher, nn.Flatten(), 4, "without convolution or linear layer"),
        (
            zen,
            nn.Sequential(nn.Flatten(), nn.Linear(768, 2)),
            4,
            "without convolution before a pooling",
        ),
        (
            zen,
            nn.Sequential(
                nn.Conv2d(3, 2, 1),
                nn.BatchNorm2d(2, track_running_stats=False),
                nn.Flatten(),
            ),
            4,
            "must track its variance",
        ),
        (jacov, nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), 4, "^$"),
    ],
)
def test_a_proxy_without_a_value_says_why(
    score: Score, module: nn.Module, count: int, match: str
) -> None:
    images, labels = (each[:count].float() for each in batch())
    if match == "^$":
        # one eigenvalue of 4, three of zero: defined, and very low
        assert score(module, images, labels.long()) < -2e5
        return
    with pytest.raises(Undefined, match=match):
        score(module, images, labels.long())


def test_images_of_one_code_have_no_score() -> None:
    images = torch.zeros(4, 3, 16, 16)

    with pytest.raises(Undefined, match="two agree in all units"):
        nwot(Plain(bn=False), images, torch.zeros(4).long())


def test_constant_gradients_have_no_correlation() -> None:
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))

    with pytest.raises(Undefined, match="vary over pixels, but is constant"):
        jacov(module, torch.randn(4, 1, 3, 3), torch.zeros(4).long())


def test_a_dead_network_has_no_flow_and_no_differing_gradient() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    nn.init.zeros_(module[1].weight)
    images, labels = torch.zeros(4, 1, 2, 2), torch.zeros(4).long()

    with pytest.raises(Undefined, match="must have a logarithm, but is 0"):
        synflow(module, images, labels)
    with pytest.raises(Undefined, match="differ between batches, but never does"):
        zico(module, images, labels)


def test_layers_that_lead_nowhere_count_as_zero() -> None:
    module = net("plain")
    module.dead = nn.Linear(3, 3).double()
    names = ("grad_norm", "snip", "grasp", "fisher", "zico", "synflow")

    for name in names:
        score = PROXIES[name].function
        assert score(module, *batch()) == score(net("plain"), *batch())


def test_every_row_names_source_direction_and_variant() -> None:
    assert set(PROXIES) >= {
        *("synflow", "snip", "grasp", "fisher", "grad_norm", "jacov"),
        *("nwot", "zen", "zico", "l2_norm"),
    }
    for name, row in PROXIES.items():
        text = row.function.__doc__
        assert row.name == name
        assert row.better in (1, -1)
        assert "arXiv:" in row.source
        assert row.variant
        assert "better" in text
        assert "ails" in text
