"""torchvision's stated accuracies as evidence, with the networks measured."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from nasdepth.architecture.families import family
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Shape
from nasdepth.evidence import zoo_accuracies as module
from nasdepth.evidence.units import by_digest
from nasdepth.evidence.zoo_accuracies import (
    Entry,
    family_of_network,
    recipe_of,
    torchvision_imagenet,
    weights,
)
from nasdepth.measures.catalogue import measure
from nasdepth.networks import graph_of

Weights = Callable[..., None]


def entry(network: str, level: str = "simple", **changes: object) -> Entry:
    words = f"These weights follow a {level} training recipe."
    values = {"network": network, "weights": level, "side": 224, "accuracy": 0.7}
    rest = {"params": 1, "gmacs": 1.0, "words": words}
    return Entry(**{**values, **rest, **changes})  # type: ignore[arg-type]


@pytest.fixture
def only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[list[Entry]], None]:
    """Replaces what torchvision states, and the cache."""
    monkeypatch.setenv("NASDEPTH_CACHE", str(tmp_path))

    def replace(entries: list[Entry]) -> None:
        monkeypatch.setattr(module, "weights", lambda: iter(entries))

    return replace


def ours(name: str, shape: Shape | None) -> Graph:
    return lower(family(name.removeprefix("torchvision:")))


def test_every_classification_weight_is_described() -> None:
    found = list(weights())

    assert len({entry.network for entry in found}) >= 80
    assert [e.weights for e in found if e.accuracy is None] == ["IMAGENET1K_FEATURES"]
    assert all(0.5 < e.accuracy < 0.9 for e in found if e.accuracy is not None)
    assert {e.side for e in found if e.network == "regnet_y_16gf"} == {224, 384}


def test_no_recipe_and_family_has_a_single_row() -> None:
    found = [entry for entry in weights() if entry.accuracy is not None]

    recipes = Counter(recipe_of(entry.words) for entry in found)

    assert set(recipes) == {*module.RECIPES.values(), module.OWN}
    assert min(recipes.values()) >= 6
    assert {family_of_network(e.network) for e in found if "resne" in e.network} == {
        "resnet"
    }


@pytest.mark.parametrize(
    ("network", "weight", "recipe"),
    [
        ("resnet50", "IMAGENET1K_V1", "simple"),
        ("vgg16", "IMAGENET1K_V1", "simple"),
        ("resnet50", "IMAGENET1K_V2", "new"),
        ("convnext_tiny", "IMAGENET1K_V1", "new"),
        ("densenet121", "IMAGENET1K_V1", "paper's own"),
        ("swin_t", "IMAGENET1K_V1", "paper's own"),
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1", "SWAG, fine-tuned"),
        ("vit_b_16", "IMAGENET1K_SWAG_LINEAR_V1", "SWAG, linear"),
    ],
)
def test_a_recipe_is_what_torchvision_says(
    network: str, weight: str, recipe: str
) -> None:
    (found,) = (e for e in weights() if (e.network, e.weights) == (network, weight))

    assert recipe_of(found.words) == recipe


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("resnext50_32x4d", "resnet"),
        ("wide_resnet50_2", "resnet"),
        ("inception_v3", "inception"),
        ("googlenet", "inception"),
        ("mobilenet_v3_large", "mobilenet"),
        ("efficientnet_v2_s", "efficientnet"),
        ("swin_v2_b", "swin"),
        ("vit_b_16", "vit"),
    ],
)
def test_families_are_by_name(network: str, expected: str) -> None:
    assert family_of_network(network) == expected


def test_a_row_is_a_set_of_weights(only: Callable[[list[Entry]], None]) -> None:
    only([entry("resnet18"), entry("resnet18", "new", accuracy=0.8)])

    found = torchvision_imagenet(ours)

    assert [row.place for row in found.observations] == [
        "resnet18 simple",
        "resnet18 new",
    ]
    first = found.observations[0]
    assert (first.images, first.family, first.factors) == (
        50_000,
        "resnet",
        {"recipe": "simple"},
    )
    (unit,) = by_digest(found.observations, ["params", "effective_depth"]).units
    assert unit.outcome("accuracy") == pytest.approx(0.75)
    assert unit.factors == {"recipe": {"simple": 0.5, "new": 0.5}}


def test_what_has_no_accuracy_or_graph_is_counted(
    only: Callable[[list[Entry]], None],
) -> None:
    def refuses(name: str, shape: Shape | None) -> Graph:
        raise ValueError("Cannot read 'relu'.")

    only([entry("resnet18"), entry("vgg16", accuracy=None)])

    found = torchvision_imagenet(refuses)

    assert found.observations == ()
    assert set(found.left_out) == {
        ("no graph: Cannot read 'relu'.", 1),
        ("weights without a classifier", 1),
    }


def test_a_network_is_measured_once_at_each_size(
    only: Callable[[list[Entry]], None],
) -> None:
    asked: list[tuple[str, Shape | None]] = []

    def counted(name: str, shape: Shape | None) -> Graph:
        asked.append((name, shape))
        return ours(name, shape)

    only([entry("resnet18"), entry("resnet18", "new"), entry("resnet18", side=384)])
    first = torchvision_imagenet(counted)

    again = torchvision_imagenet(None)

    assert asked == [
        ("torchvision:resnet18", (3, 224, 224)),
        ("torchvision:resnet18", (3, 384, 384)),
    ]
    assert again == first


def test_unmeasured_networks_need_a_measurer(
    only: Callable[[list[Entry]], None],
) -> None:
    only([entry("resnet18")])

    with pytest.raises(ValueError, match="must be measured before they are read"):
        torchvision_imagenet()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "weight"),
    [("squeezenet1_1", "IMAGENET1K_V1"), ("vit_b_32", "IMAGENET1K_V1")],
)
def test_our_params_and_macs_are_those_stated(network: str, weight: str) -> None:
    (stated,) = (e for e in weights() if (e.network, e.weights) == (network, weight))

    graph = graph_of(f"torchvision:{network}", (3, stated.side, stated.side))
    found = measure(graph, ["params", "macs"])

    assert found["params"] == stated.params
    # theirs also counts the products inside attention
    assert found["macs"] == pytest.approx(stated.gmacs * 1e9, rel=0.02)


@pytest.mark.slow
def test_a_vision_transformer_is_one_network_for_each_size_of_image() -> None:
    (stated,) = (e for e in weights() if (e.network, e.side) == ("vit_b_16", 384))

    graph = graph_of("torchvision:vit_b_16", (3, 384, 384))

    assert measure(graph, ["params"])["params"] == stated.params
