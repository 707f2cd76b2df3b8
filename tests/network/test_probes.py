"""All probes on one network: seeds, data, layers, and reasons instead of crashes."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

import nasdepth
from nasdepth.network.build import build
from nasdepth.network.probes import PROBES, Probe, probe
from nasdepth.network.proxies import PROXIES
from nasdepth.network.saliency import grad_norm

STAGE = nasdepth.Stage("conv", 2, 4, skip="add")
SMALL = nasdepth.Architecture((STAGE,), nasdepth.Stem(4), input_shape=(2, 8, 8))
LAYERED = {
    *("gradient_norm", "attenuation_slope", "weight_gradient_slope"),
    *("variance_slope", "dead_units", "dead_channels", "ldi_mean", "ldi_sd"),
}


def test_every_probe_has_a_value_on_a_convolutional_network() -> None:
    found = probe(SMALL, batch=8, seeds=(0, 1, 2))

    assert list(found) == list(PROBES)
    assert set(found) == LAYERED | set(PROXIES)
    for name, result in found.items():
        assert result.reason == ""
        assert result.n == len(result.values) == 3
        assert result.mean == pytest.approx(np.mean(result.values))
        assert result.sd == pytest.approx(np.std(result.values, ddof=1))
        assert (result.layers is not None) == (name in LAYERED)
        assert (result.errors is not None) == name.startswith("ldi")


def test_an_architecture_is_built_anew_for_every_seed() -> None:
    found = probe(SMALL, ["grad_norm"], batch=8, seeds=(3, 4))["grad_norm"]

    for seed, value in zip((3, 4), found.values, strict=True):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(8, 2, 8, 8, generator=generator)
        labels = torch.randint(0, 10, (8,), generator=generator)
        assert value == grad_norm(build(SMALL, seed=seed), images, labels)


def test_given_data_are_used_for_every_seed() -> None:
    images = torch.randn(8, 2, 8, 8, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(8)

    found = probe(SMALL, ["snip"], images=images, labels=labels, seeds=(5,))["snip"]

    module = build(SMALL, seed=5)
    assert found.values == (PROXIES["snip"].function(module, images, labels),)
    assert found.sd is None
    assert found.n == 1


def test_a_module_is_drawn_anew_on_a_copy() -> None:
    module = build(SMALL, seed=0)
    state, rng = deepcopy(module.state_dict()), torch.get_rng_state()

    found = probe(module, ["l2_norm", "zen"], shape=(2, 8, 8), batch=4, seeds=(0, 0, 1))

    first, again, other = found["l2_norm"].values
    assert first == again != other
    assert found["zen"].values[0] == found["zen"].values[1] != found["zen"].values[2]
    assert all(torch.equal(state[k], v) for k, v in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)


def test_without_seeds_a_module_is_measured_as_it_is() -> None:
    module = build(SMALL, seed=0)

    found = probe(module, ["l2_norm"], shape=(2, 8, 8), seeds=None)["l2_norm"]

    weights = [p for p in module.parameters() if p.ndim > 1]
    assert found.mean == pytest.approx(sum(w.norm().item() for w in weights))
    assert found.n == 1


def test_layers_are_averaged_over_seeds() -> None:
    names = ["gradient_norm", "ldi_mean"]

    both = probe(SMALL, names, batch=8, seeds=(0, 1))
    single = [probe(SMALL, names, batch=8, seeds=(s,)) for s in (0, 1)]

    for name in names:
        layers = np.stack([one[name].layers for one in single])
        assert both[name].layers == pytest.approx(layers.mean(0))
        assert both[name].layers_sd == pytest.approx(layers.std(0, ddof=1))
        assert both[name].names == single[0][name].names
        assert not single[0][name].layers_sd.any()
    errors = np.stack([one["ldi_mean"].errors for one in single])
    assert both["ldi_mean"].errors == pytest.approx(np.sqrt((errors**2).sum(0)) / 2)


def test_a_probe_that_does_not_suit_gives_its_reason() -> None:
    mlp = nasdepth.family("nn_mass_mlp:6:8:2")

    found = probe(mlp, batch=4, seeds=(0, 1))

    reasons = {name: result.reason for name, result in found.items() if result.reason}
    assert set(reasons) == {"nwot", "dead_units", "dead_channels", "zen", "zen_paper"}
    assert reasons["nwot"].startswith("A network without relu, relu6 or leaky relu")
    assert found["nwot"].mean is None
    assert (found["nwot"].n, found["nwot"].values) == (0, ())
    assert found["ldi_mean"].errors.tolist() == [0.0] * 6


def test_what_torch_cannot_do_is_a_reason() -> None:
    module = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Flatten()
    )

    found = probe(module, ["synflow_bn", "snip"], shape=(2, 4, 4), batch=4)

    # the batch of one image has no variance
    assert found["synflow_bn"].reason.startswith("ValueError: Expected more than 1")
    assert "\n" not in found["synflow_bn"].reason
    assert found["snip"].mean is not None


def test_a_value_that_overflows_is_none() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    module[1].weight.data.fill_(torch.finfo(torch.float32).max)

    found = probe(module, ["l2_norm"], shape=(1, 2, 2), seeds=None)["l2_norm"]

    assert found.mean is None
    assert found.reason == "The value must be finite, but is inf."


def test_double_precision_is_kept() -> None:
    module = build(SMALL, seed=0).double()
    images = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))

    found = probe(module, ["snip"], images=images, labels=torch.arange(4), seeds=None)

    expected = PROXIES["snip"].function(module, images.double(), torch.arange(4))
    assert found["snip"].mean == expected


@pytest.mark.parametrize(
    ("network", "options", "match"),
    [
        (SMALL, {"names": ["synflo"]}, "Unknown probe 'synflo'.*mean 'synflow'"),
        (SMALL, {"seeds": None}, "An architecture has no weights"),
        (SMALL, {"seeds": ()}, "Seeds must be one or more"),
        (SMALL, {"batch": 0}, "an image or more, but got batch=0"),
        (nn.Linear(2, 2), {}, "A module needs images, or the shape"),
        (SMALL, {"images": torch.zeros(3, 8, 8)}, r"Images must be .*\(3, 8, 8\)"),
        (SMALL, {"labels": torch.zeros(3)}, "Labels must be one an image.*no images"),
        (
            SMALL,
            {"images": torch.zeros(2, 2, 8, 8), "labels": torch.zeros(3).long()},
            r"one an image, but got \(3,\) for 2 images",
        ),
    ],
)
def test_what_does_not_fit_is_refused(network, options: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        probe(network, **options)


def test_every_row_names_source_variant_and_direction() -> None:
    for name, row in PROBES.items():
        assert isinstance(row, Probe)
        assert row.name == name
        assert row.source
        assert row.variant
        assert row.better in (-1, 0, 1)
        assert row.function.__doc__


@pytest.mark.gpu
def test_a_device_changes_rounding_alone() -> None:
    names = [name for name in PROBES if name not in ("plain", "grasp", "zico")]

    here, there = (
        probe(SMALL, names, batch=8, seeds=(0,), device=device)
        for device in ("cpu", "cuda")
    )

    for name in names:
        assert there[name].mean == pytest.approx(here[name].mean, rel=1e-3), name
