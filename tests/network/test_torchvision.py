"""Families against torchvision: metadata, parameters in order, the function itself."""

import math

import pytest
import torch
from torch import nn
from torchvision import models

from nasdepth.architecture.families import NETWORKS, family
from nasdepth.architecture.lower import lower
from nasdepth.measures.cost import macs, params
from nasdepth.measures.structure import Structure
from nasdepth.network.build import build

SHARED = sorted(set(NETWORKS) & set(models.list_models()))
COMPARED = (
    "alexnet",
    "densenet121",
    "googlenet",
    "mobilenet_v2",
    "resnet18",
    "resnext50_32x4d",
    "vgg11_bn",
)


def theirs(name: str) -> nn.Module:
    """torchvision's network without weights, on the meta device."""
    options = {"googlenet": {"aux_logits": False, "init_weights": False}}.get(name, {})
    with torch.device("meta"):
        return models.get_model(name, weights=None, **options).eval()


def ours(name: str) -> nn.Module:
    with torch.device("meta"):
        return build(family(name)).eval()


def test_most_families_are_torchvisions() -> None:
    own = {name for name in NETWORKS if name.startswith(("cifar", "nn_mass", "stack"))}

    assert set(NETWORKS) == {*own, *SHARED}


@pytest.mark.parametrize("name", SHARED)
def test_parameters_and_macs_are_those_of_the_metadata(name: str) -> None:
    graph = lower(family(name))

    for weights in models.get_model_weights(name):
        meta = weights.meta
        assert params(graph) == meta["num_params"]
        # "GFLOPS" of torchvision's tables are multiply-accumulates / 1e9
        if "_ops" in meta and str(weights).endswith("IMAGENET1K_V1"):
            assert round(macs(Structure(graph)) / 1e9, 3) == round(meta["_ops"], 3)


@pytest.mark.parametrize("name", SHARED)
def test_parameters_have_torchvisions_shapes_in_its_order(name: str) -> None:
    shapes = [[p.shape for p in net.parameters()] for net in (ours(name), theirs(name))]

    assert shapes[0] == shapes[1]


def test_googlenet_alone_has_another_epsilon() -> None:
    # torchvision's GoogLeNet keeps TensorFlow's 1e-3, ours torch's default
    found = {}
    for name in COMPARED:
        norms = [m for m in theirs(name).modules() if isinstance(m, nn.BatchNorm2d)]
        found[name] = {norm.eps for norm in norms} - {1e-5}

    others = {name: eps for name, eps in found.items() if name != "googlenet"}
    assert found["googlenet"] == {1e-3}
    assert not any(others.values())


def fill(module: nn.Module) -> None:
    """Weights that keep signals alive, from one stretch of noise over and over."""
    noise = torch.randn(1_000_003, generator=torch.Generator().manual_seed(0))
    start = 0
    for name, value in module.state_dict().items():
        if value.dtype != torch.float32:
            value.zero_()
            continue
        drawn = torch.arange(start, start + min(value.numel(), len(noise)))
        drawn = noise[drawn % len(noise)]
        repeats = math.ceil(value.numel() / len(drawn))
        value.copy_(drawn.repeat(repeats)[: value.numel()].view(value.shape))
        start += 7919
        if value.dim() > 1:
            value.mul_((2 / value[0].numel()) ** 0.5)
        elif name.endswith(("var", "weight")):
            value.mul_(0.1).add_(1)
        else:
            value.mul_(0.1)


@pytest.mark.parametrize("name", COMPARED)
def test_built_networks_compute_what_torchvisions_do(name: str) -> None:
    reference, module = theirs(name).to_empty(device="cpu"), ours(name)
    with torch.no_grad():
        fill(reference)
    state = dict(zip(module.state_dict(), reference.state_dict().values(), strict=True))
    module.load_state_dict(state, assign=True)
    norms = [
        [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        for net in (module, reference)
    ]
    for own, other in zip(*norms, strict=True):
        own.eps = other.eps
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))

    with torch.no_grad():
        expected, found = reference(image), module(image)

    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
