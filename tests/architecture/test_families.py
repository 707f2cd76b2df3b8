"""Published families: names, arguments, layer counts. Costs are tested in measures."""

import pytest

from nasdepth.architecture.families import (
    NETWORKS,
    cifar_resnet,
    family,
    mobilenet_v2,
    nn_mass_cnn,
)
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Conv, Linear
from nasdepth.architecture.spec import Architecture, InvalidArchitecture


@pytest.mark.parametrize("name", NETWORKS)
def test_every_name_makes_a_network(name: str) -> None:
    architecture = family(name)

    assert lower(architecture).shapes()[-1] == (architecture.num_classes,)


def test_arguments_follow_the_name() -> None:
    assert family("mobilenet_v2:1.4") == mobilenet_v2(1.4)
    assert family("mobilenet_v2:1") == mobilenet_v2(1.0) == mobilenet_v2()
    assert family("cifar_resnet:20") == family("cifar_resnet20") == cifar_resnet()
    assert family("nn_mass_cnn:8:2:10:20:40") == nn_mass_cnn(8, 2, (10, 20, 40))
    assert family("nn_mass_depthwise:5") == nn_mass_cnn(
        5, 2, (10, 20, 40), block="depthwise"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet51", r"^Unknown network 'resnet51'; .* Did you mean 'resnet5?\d+'\?$"),
        ("", r"^Unknown network ''; choose from: "),
        (
            "vgg16:batch",
            r"'vgg16' takes no arguments, but got 'vgg16:batch': invalid li",
        ),
        ("googlenet:3", r"'googlenet' takes no arguments, but got 'googlenet:3'"),
        (
            "stack:1:1:8:9",
            r"'stack' takes layers:parallel:width, but got 'stack:1:1:8:9'",
        ),
        (
            "nn_mass_cnn:8:2:10",
            r"takes depth:multiplier:links, but got .*: not enough val",
        ),
        ("mobilenet_v2:1e999.", r"takes multiplier, but got 'mobilenet_v2:1e999\.'"),
        ("mobilenet_v2:9.9e999", r"takes multiplier, but got .*: cannot convert"),
        ("vgg11:3", r"^Architecture\.norm must be one of batch, group, none, but got"),
        ("stack:4:5", r"branches must be 1 to 4 in parallel stages, but got branch"),
        (
            "cifar_resnet:19",
            r"^A CIFAR ResNet has 6n \+ 2 for a whole n >= 1 layers, b",
        ),
        ("cifar_resnet:2", r"^A CIFAR ResNet has .* but got 2\.$"),
        ("nn_mass_mlp:1", r"^Stage\.depth must be a positive integer, but got depth=0"),
    ],
)
def test_bad_names_and_arguments(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        family(name)


def test_bad_arguments_are_invalid_architectures() -> None:
    with pytest.raises(InvalidArchitecture, match=r"takes .*, but got"):
        family("resnet18:conv")


def layers(architecture: Architecture) -> int:
    kinds = [type(node.op) for node in lower(architecture).nodes]
    return kinds.count(Conv) + kinds.count(Linear)


@pytest.mark.parametrize("depth", [8, 20, 32, 44, 56, 110])
def test_a_cifar_resnet_has_its_layers_and_two_projections(depth: int) -> None:
    assert layers(cifar_resnet(depth)) == depth + 2


@pytest.mark.parametrize(
    ("multiplier", "stem", "last"), [(1, 32, 320), (0.35, 16, 112), (1.4, 48, 448)]
)
def test_mobilenet_widths_are_multiples_of_eight(
    multiplier: float, stem: int, last: int
) -> None:
    # the authors' make_divisible: nearest multiple of 8, not below nine tenths
    mobile = mobilenet_v2(multiplier)

    assert mobile.stem is not None
    assert (mobile.stem.width, mobile.stages[-1].width) == (stem, last)


def test_a_width_is_never_rounded_below_nine_tenths() -> None:
    # 24 * 0.5 = 12 goes up to 16, since 8 is less than 10.8
    assert mobilenet_v2(0.5).stages[1].width == 16


def test_a_last_feature_map_never_shrinks() -> None:
    assert mobilenet_v2(0.5).head.features == 1280
    assert mobilenet_v2(1.4).head.features == 1792


def test_a_stack_is_sequential_or_parallel() -> None:
    assert family("stack:8").stages[0].branches == 1
    assert family("stack:8:8").stages[0].branches == 8
    assert layers(family("stack:8")) == layers(family("stack:8:8")) == 8 + 2


def test_nn_mass_cnns_double_their_width() -> None:
    widths = [stage.width for stage in family("nn_mass_cnn:8:3").stages]

    assert widths == [48, 96, 192]
