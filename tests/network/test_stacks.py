"""Exact facts of sequential and parallel stacks (arXiv:2309.08414)."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture, Stage
from nasdepth.network.build import build

LAYERS, WIDTH = 4, 6


def stack(parallel: int, layers: int = LAYERS, kernel: int = 3) -> Architecture:
    stage = Stage(
        depth=layers, width=WIDTH, branches=parallel, skip="add", kernel=kernel
    )
    return Architecture(
        (stage,), activation="tanh", norm="none", input_shape=(WIDTH, 6, 6)
    )


def layers_of(module: nn.Module) -> list[nn.Module]:
    """Convolutions of the groups, in their order."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def built(parallel: int, layers: int = LAYERS) -> nn.Module:
    """A stack in double precision; those of equal length have equal weights."""
    module = build(stack(parallel, layers), seed=0).double().eval()
    assert len(layers_of(module)) == layers
    return module


def scaled(module: nn.Module, alpha: float) -> nn.Module:
    with torch.no_grad():
        for layer in layers_of(module):
            layer.weight *= alpha
            layer.bias *= alpha
    return module


@pytest.fixture
def image() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, WIDTH, 6, 6, generator=generator).double()


def test_one_layer_is_sequential_and_parallel_at_once(image: Tensor) -> None:
    # p = L = 1: one value, one network; from two layers on they part
    sequential, parallel = built(1, layers=2), built(2, layers=2)

    assert digest(lower(stack(1, 1))) != digest(lower(stack(1, 2)))
    assert digest(lower(stack(1, 2))) != digest(lower(stack(2, 2)))
    assert not torch.allclose(sequential(image), parallel(image))


@torch.no_grad()
def test_stacks_with_one_live_layer_are_one_function(image: Tensor) -> None:
    # the fact at L = 1 inside longer stacks: all other layers give zeros
    sequential, parallel = built(1), built(LAYERS)
    for module in (sequential, parallel):
        for layer in layers_of(module)[1:]:
            layer.weight.zero_()

    torch.testing.assert_close(sequential(image), parallel(image), rtol=0, atol=1e-12)


@torch.no_grad()
def test_permuting_parallel_layers_changes_nothing(image: Tensor) -> None:
    reference = built(LAYERS)
    expected = reference(image)
    states = [layer.state_dict() for layer in layers_of(reference)]

    for order in permutations(range(LAYERS)):
        module = built(LAYERS)
        for layer, place in zip(layers_of(module), order, strict=True):
            layer.load_state_dict(states[place])
        torch.testing.assert_close(module(image), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_permuting_sequential_layers_changes_the_function(image: Tensor) -> None:
    reference, module = built(1), built(1)
    states = [layer.state_dict() for layer in layers_of(reference)]
    for layer, state in zip(layers_of(module), reversed(states), strict=True):
        layer.load_state_dict(state)

    assert not torch.allclose(module(image), reference(image))


@torch.no_grad()
@pytest.mark.parametrize("parallel", [2, 3, LAYERS])
def test_outputs_part_with_the_square_of_the_scale(
    parallel: int, image: Tensor
) -> None:
    alphas = np.logspace(-4, -2, 5)

    gaps = [
        (scaled(built(1), a)(image) - scaled(built(parallel), a)(image)).norm().item()
        for a in alphas
    ]

    slope, _ = np.polyfit(np.log(alphas), np.log(gaps), 1)
    assert slope == pytest.approx(2, abs=0.01)


@torch.no_grad()
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("parallel", [1, LAYERS])
def test_a_pixel_reaches_as_far_as_the_receptive_field_says(
    kernel: int, parallel: int
) -> None:
    side = 15
    architecture = stack(parallel, kernel=kernel)
    shape = (WIDTH, side, side)
    graph = lower(Architecture(architecture.stages, norm="none", input_shape=shape))
    body = next(i for i, n in enumerate(graph.nodes) if n.scope.startswith("head"))
    module = build(type(graph)(graph.nodes[:body]), seed=0).double()
    image = torch.zeros(1, *shape, dtype=torch.double)
    touched = image.clone()
    touched[..., side // 2, side // 2] = 1

    changed = (module(touched) != module(image)).any(dim=1)[0]

    once = 1 if parallel == LAYERS else LAYERS
    assert changed.any(dim=0).sum() == once * (kernel - 1) + 1
