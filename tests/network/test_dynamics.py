"""Gradients and activations over layers, against what is known by hand."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import nasdepth
from nasdepth.measures.structure import Undefined
from nasdepth.network.dynamics import (
    attenuation_slope,
    dead_channels,
    dead_units,
    gradient_norm,
    variance_slope,
    weight_gradient_slope,
)

ALL = (
    attenuation_slope,
    dead_channels,
    dead_units,
    gradient_norm,
    variance_slope,
    weight_gradient_slope,
)


def chain(gains: list[float], width: int = 6) -> nn.Sequential:
    """Linear layers that are orthogonal but for a gain each."""
    module = nn.Sequential(nn.Flatten())
    generator = torch.Generator().manual_seed(0)
    for gain in gains:
        layer = nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(layer.weight, gain, generator=generator)
        module.append(layer)
    return module.double()


def batch(count: int = 16, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 1, 1, width, generator=generator).double()
    return images, torch.randint(0, width, (count,), generator=generator)


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_slopes_of_a_chain_are_the_log_of_its_gain(gain: float) -> None:
    module, (images, labels) = chain([gain] * 7), batch()

    back = attenuation_slope(module, images, labels)
    forth = variance_slope(module, images, labels)

    # a layer's gradient has passed the gains of all layers behind it
    assert back.value == pytest.approx(-math.log(gain), abs=1e-6)
    assert np.diff(np.log(back.layers)) == pytest.approx(
        [-math.log(gain)] * 6, abs=1e-6
    )
    # not exact: a rotation keeps the sum of squares but moves the mean
    assert forth.value == pytest.approx(2 * math.log(gain), abs=0.05)
    assert len(forth.layers) == 7


def test_weight_gradients_hide_what_vanishes_both_ways() -> None:
    module, (images, labels) = chain([0.5] * 7), batch()

    outputs = attenuation_slope(module, images, labels).value
    weights = weight_gradient_slope(module, images, labels).value

    assert outputs == pytest.approx(math.log(2))
    assert abs(weights) < 0.1


def test_gradient_norms_are_those_of_autograd() -> None:
    module = nasdepth.build(nasdepth.family("cifar_resnet:8"), seed=0)
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8)

    found = gradient_norm(module, images, labels)

    other = deepcopy(module).train()
    cross_entropy(other(images), labels).backward()
    layers = dict(other.named_modules())
    expected = [layers[name].weight.grad.norm().item() for name in found.names]
    assert len(expected) == 10
    assert found.layers == pytest.approx(expected, rel=1e-5)
    assert found.value == pytest.approx(np.linalg.norm(expected), rel=1e-5)


def test_layers_come_in_order_of_execution() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = nn.Linear(6, 3), nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x.flatten(1)))

    module, (images, labels) = Backwards().double(), batch()

    for function in (attenuation_slope, gradient_norm, variance_slope):
        assert function(module, images, labels % 3).names == ("first", "last")


def test_variances_are_of_outputs_before_an_activation_in_place() -> None:
    layer = nn.Conv2d(1, 4, 1)
    module = nn.Sequential(layer, nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1))
    images = torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(0))

    found = variance_slope(module, images, torch.zeros(8).long())

    expected = layer(images).var(correction=0).item()
    assert found.layers[0] == pytest.approx(expected, rel=1e-6)


def test_batch_norm_flattens_the_slope_that_depth_steepens() -> None:
    images = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(32) % 10
    slopes = {}
    for skip in ("none", "add"):
        stage = nasdepth.Stage(depth=16, width=8, skip=skip)
        network = nasdepth.Architecture((stage,), nasdepth.Stem(8))
        module = nasdepth.build(network, seed=0)
        slopes[skip] = abs(attenuation_slope(module, images, labels).value)

    assert slopes["add"] < slopes["none"]


def test_dead_units_are_off_for_the_whole_batch() -> None:
    layer = nn.Conv2d(1, 3, 1)
    with torch.no_grad():
        layer.weight[:] = torch.tensor([1.0, 1.0, -1.0]).view(3, 1, 1, 1)
        layer.bias[:] = torch.tensor([-9.0, 0.0, 0.0])
    images = torch.tensor([[[[1.0, 2.0]]], [[[1.0, -2.0]]]])
    labels = torch.zeros(2).long()
    for activation in (nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()):
        module = nn.Sequential(layer, activation)

        units = dead_units(module, images, labels)
        channels = dead_channels(module, images, labels)

        # the third channel is on for the second image's second pixel alone
        assert units.value == pytest.approx(3 / 6)
        assert channels.value == pytest.approx(1 / 3)
        assert units.names == ("relu1",)


def test_shares_weigh_calls_by_their_units() -> None:
    module = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(6, 2), nn.ReLU())
    module[2].bias.data[:] = -99
    images, labels = batch()

    found = dead_units(module.double(), images, labels)

    assert found.layers == pytest.approx([0, 1])
    assert found.value == pytest.approx(2 / 8)


@pytest.mark.parametrize("function", ALL)
def test_the_module_is_left_alone(function) -> None:
    module = nasdepth.build(nasdepth.family("cifar_resnet:8"), seed=0).eval()
    state, rng = deepcopy(module.state_dict()), torch.get_rng_state()

    function(module, torch.zeros(4, 3, 8, 8).normal_(generator=None), torch.arange(4))

    torch.set_rng_state(rng)
    after = module.state_dict()
    assert all(torch.equal(state[name], after[name]) for name in state)
    assert all(p.grad is None for p in module.parameters())
    assert not module.training


@pytest.mark.parametrize(
    ("function", "module", "match"),
    [
        (gradient_norm, nn.Flatten(), "without convolution or linear layer"),
        (attenuation_slope, chain([1.0]), "needs two layers, but got 1"),
        (attenuation_slope, chain([1.0, 0.0]), "gradient must be .* 0.0 in layer 1"),
        (variance_slope, chain([1.0, 0.0]), "variance must be .* 0.0 in layer 2"),
        (dead_units, chain([1.0]), "without relu or relu6"),
        (dead_channels, nn.Sequential(nn.Flatten(), nn.ELU()), "without relu or relu6"),
        (dead_units, nn.Sequential(nn.Flatten(), nn.LeakyReLU()), "without relu"),
    ],
)
def test_what_has_no_value_says_why(function, module: nn.Module, match: str) -> None:
    with pytest.raises(Undefined, match=match):
        function(module, *batch())


def test_units_of_vectors_are_channels() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    images = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0])

    units = dead_units(module, images, labels)
    assert dead_channels(module, images, labels).value == units.value
