"""Singular values of layers: against a decomposition of the whole Jacobian."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nasdepth
from nasdepth.measures.structure import Undefined
from nasdepth.network.isometry import ldi_mean, ldi_sd, spectra


def jacobian(layer: nn.Module, image: Tensor) -> Tensor:
    """Explicit matrix of the layer's linear map."""
    found = torch.func.jacrev(layer)(image[None])
    return found.reshape(-1, image.numel())


def drawn(make: type[nn.Module], *args: object, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return make(*args, **options)


CONVOLUTIONS = {
    "wider": lambda: drawn(nn.Conv2d, 3, 8, 3, padding=1),
    "narrower": lambda: drawn(nn.Conv2d, 8, 2, 3, padding=1, bias=False),
    "square": lambda: drawn(nn.Conv2d, 4, 4, 3, padding=1),
    "strided": lambda: drawn(nn.Conv2d, 4, 8, 3, stride=2, padding=1),
    "grouped": lambda: drawn(nn.Conv2d, 8, 8, 3, padding=1, groups=4),
    "depthwise": lambda: drawn(nn.Conv2d, 6, 6, 5, padding=2, groups=6),
    "pointwise": lambda: drawn(nn.Conv2d, 6, 4, 1),
    "strided pointwise": lambda: drawn(nn.Conv2d, 4, 8, 1, stride=2),
    "dilated": lambda: drawn(nn.Conv2d, 3, 3, 3, padding="same", dilation=2),
    "reflect": lambda: drawn(nn.Conv2d, 3, 4, 3, padding=1, padding_mode="reflect"),
    "circular": lambda: drawn(nn.Conv2d, 3, 4, 3, padding=1, padding_mode="circular"),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolutions_estimates_are_within_their_errors(name: str) -> None:
    layer = CONVOLUTIONS[name]()
    image = torch.zeros(layer.in_channels, 8, 8)
    exact = torch.linalg.svdvals(jacobian(layer, image).double())

    (found,) = spectra(nn.Sequential(layer), image[None], probes=8)

    assert found.count == len(exact)
    assert 0 < found.mean_error < 0.05 * found.mean
    # half a percent beside the errors for the quadrature
    slack = 0.005 * found.mean
    assert abs(found.mean - exact.mean()) < 4 * found.mean_error + slack
    deviation = exact.std(correction=0)
    assert abs(found.sd - deviation) < 4 * found.sd_error + slack


def test_errors_are_those_that_repeats_show() -> None:
    layer, image = CONVOLUTIONS["square"](), torch.zeros(1, 4, 6, 6)
    repeats = [spectra(layer, image, probes=4, seed=s)[0] for s in range(60)]

    for value in ("mean", "sd"):
        seen = np.std([getattr(each, value) for each in repeats], ddof=1)
        said = [getattr(each, f"{value}_error") for each in repeats]
        assert math.sqrt(np.mean(np.square(said))) == pytest.approx(seen, rel=0.3)


def test_the_mean_square_is_exact_under_zero_padding() -> None:
    layer, image = CONVOLUTIONS["strided"](), torch.zeros(4, 7, 7)
    exact = torch.linalg.svdvals(jacobian(layer, image).double())

    (found,) = spectra(layer, image[None], probes=2)

    square = found.mean**2 + found.sd**2
    assert square == pytest.approx(exact.square().mean().item(), rel=1e-6)


def test_the_mean_square_is_estimated_where_padding_folds_pixels() -> None:
    layer = nn.Conv2d(2, 2, 7, padding=3, padding_mode="reflect")
    # weights of one sign, so that folded ones add up
    nn.init.uniform_(layer.weight, generator=torch.Generator().manual_seed(0))
    image = torch.zeros(2, 6, 6)
    exact = torch.linalg.svdvals(jacobian(layer, image).double())

    (found,) = spectra(layer, image[None], probes=400, steps=40)

    expected = exact.square().mean().item()
    assert found.mean**2 + found.sd**2 == pytest.approx(expected, rel=0.15)


def test_a_layer_of_zeros_has_zero_singular_values() -> None:
    layer = nn.Conv2d(2, 3, 3)
    nn.init.zeros_(layer.weight)

    (found,) = spectra(layer, torch.zeros(1, 2, 6, 6))

    assert (found.mean, found.sd, found.mean_error, found.sd_error) == (0, 0, 0, 0)


def test_a_layer_called_twice_comes_twice_and_unchanged() -> None:
    layer = CONVOLUTIONS["square"]()

    first, second = spectra(nn.Sequential(layer, layer), torch.zeros(1, 4, 6, 6))

    square = first.mean**2 + first.sd**2
    assert second.mean**2 + second.sd**2 == pytest.approx(square, rel=1e-9)


@pytest.mark.parametrize("side", [1, 2])
def test_few_singular_values_end_the_iteration(side: int) -> None:
    layer = drawn(nn.Conv2d, 2, 1, side)
    image = torch.zeros(2, side, side)

    (found,) = spectra(layer, image[None])

    assert found.count == 1
    assert found.mean == pytest.approx(layer.weight.norm().item())
    assert found.sd == pytest.approx(0, abs=1e-6)


def test_an_orthogonal_layer_is_an_isometry() -> None:
    layer = nn.Conv2d(5, 5, 1)
    nn.init.orthogonal_(layer.weight)

    (found,) = spectra(layer, torch.zeros(1, 5, 4, 4))

    assert found.mean == pytest.approx(1)
    assert found.sd < 1e-3


def test_a_linear_layer_is_exact_over_all_that_it_reads() -> None:
    network = nasdepth.family("nn_mass_mlp:6:8:3")
    module = nasdepth.build(network, seed=0)

    found = spectra(module, torch.zeros(1, 1, 1, 784))

    layers = {n: m for n, m in module.named_modules() if isinstance(m, nn.Linear)}
    assert [each.name for each in found] == list(layers)
    assert [layers[each.name].in_features for each in found[2:]] == [11, 11, 11, 11]
    for each in found:
        values = torch.linalg.svdvals(layers[each.name].weight.double())
        mean, deviation = values.mean().item(), values.std(correction=0).item()
        assert each.mean == pytest.approx(mean, rel=1e-12)
        assert each.sd == pytest.approx(deviation, rel=1e-12)
        assert (each.count, each.mean_error, each.sd_error) == (len(values), 0, 0)


@pytest.mark.parametrize(
    ("width", "mass", "expected"),
    [
        *((8, 0, 2.360), (8, 10, 3.266), (8, 20, 3.961), (8, 40, 5.072)),
        *((16, 0, 3.365), (16, 10, 4.061), (16, 20, 4.645), (16, 40, 5.624)),
    ],
)
def test_gaussian_layers_follow_the_law_of_nn_mass(
    width: int, mass: int, expected: float
) -> None:
    layer = nn.Linear(width + mass // 2, width)
    generator = torch.Generator().manual_seed(0)
    means = []
    for _ in range(300):
        nn.init.normal_(layer.weight, generator=generator)
        (found,) = spectra(layer, torch.zeros(1, layer.in_features))
        means.append(found.mean)

    error = np.std(means) / math.sqrt(len(means))

    assert abs(np.mean(means) - expected) < 0.0005 + 4 * error
    assert error < 0.025


def test_ldi_averages_over_layers() -> None:
    module = nasdepth.build(nasdepth.family("cifar_resnet:8"), seed=0)
    images = torch.zeros(2, 3, 8, 8)
    found = spectra(module, images, seed=3)

    mean, deviation = (f(module, images, seed=3) for f in (ldi_mean, ldi_sd))

    assert mean.value == pytest.approx(np.mean([each.mean for each in found]))
    assert deviation.value == pytest.approx(np.mean([each.sd for each in found]))
    assert mean.names == tuple(each.name for each in found)
    assert mean.errors[-1] == 0 < min(mean.errors[:-1])
    assert len(deviation.layers) == len(deviation.errors) == len(found)


def test_the_module_and_the_global_generator_are_left_alone() -> None:
    module = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)).eval()
    state, rng = {k: v.clone() for k, v in module.state_dict().items()}, None
    rng = torch.get_rng_state()

    spectra(module, torch.zeros(2, 2, 6, 6))

    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert module[0].weight.dtype == torch.float32


def test_what_cannot_be_estimated_says_why() -> None:
    with pytest.raises(ValueError, match="2 or more, but got probes=1, steps=32"):
        spectra(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2), probes=1)
    with pytest.raises(Undefined, match="without convolution or linear layer"):
        ldi_mean(nn.Flatten(), torch.zeros(1, 1, 2, 2))
