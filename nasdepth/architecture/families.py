"""Published families as architecture values, by the names their authors gave them.

Layer counts and widths follow torchvision's definitions, so parameters agree to the
last one; the CIFAR ResNets use projection shortcuts (option B of He et al. 2015).
"""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Final

from nasdepth.architecture.registry import Registry
from nasdepth.architecture.spec import (
    Architecture,
    Head,
    InvalidArchitecture,
    Links,
    Stage,
    Stem,
)

NETWORKS = Registry[Callable[..., Architecture]]("network")
_IMAGENET: Final = (3, 224, 224)


def named(name: str) -> Architecture:
    """Architecture of a family name, or of the JSON file at a path.

    Raises:
        OSError: no such file.
        InvalidArchitecture: not the JSON of an architecture.
        ValueError: unknown family.
    """
    if name.endswith(".json"):
        return Architecture.from_json(Path(name).read_text(encoding="utf-8"))
    return family(name)


def is_named(name: str) -> bool:
    """Whether `named` knows the name: a family, or the path of a JSON file."""
    return name.endswith(".json") or name.split(":")[0] in NETWORKS


def family(name: str) -> Architecture:
    """Architecture of a family name, arguments after colons ("mobilenet_v2:1.4").

    >>> family("resnet50").num_classes
    1000

    Raises:
        ValueError: unknown name; the message has the nearest.
        InvalidArchitecture: arguments that the family does not take.
    """
    head, *arguments = name.split(":")
    make = NETWORKS[head]
    try:
        return make(*(float(a) if "." in a else int(a) for a in arguments))
    except InvalidArchitecture:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        given = signature(make).parameters.values()
        numbers = [each.name for each in given if each.annotation in (int, float)]
        takes = ":".join(numbers) or "no arguments"
        text = f"Network {head!r} takes {takes}, but got {name!r}: {error}."
        raise InvalidArchitecture(text) from error


def vgg(layers: tuple[int, ...], norm: str = "none") -> Architecture:
    """VGG (Simonyan & Zisserman 2014, arXiv:1409.1556): layers per stage."""
    widths = (64, 128, 256, 512, 512)
    stages = tuple(
        Stage(depth=depth, width=width, stride=1 + bool(i), pool=2 * bool(i))
        for i, (depth, width) in enumerate(zip(layers, widths, strict=True))
    )
    head = Head(grid=7, hidden=(4096, 4096), pool=2, dropout=0.5)
    return Architecture(
        stages,
        None,
        head,
        norm=norm,
        bias=True,
        input_shape=_IMAGENET,
        num_classes=1000,
    )


def resnet(
    blocks: tuple[int, ...], block: str, *, base: int = 64, groups: int = 1
) -> Architecture:
    """ResNet, wide ResNet and ResNeXt (arXiv:1512.03385, 1605.07146, 1611.05431).

    Args:
        blocks: per stage.
        block: "conv" (basic) or "bottleneck".
        base: channels per group of the first bottleneck's middle (64: ResNet).
        groups: of the bottleneck's middle convolution.
    """
    factor = 4 if block == "bottleneck" else 1
    stages = tuple(
        Stage(
            block,
            depth,
            64 * 2**i * factor,
            skip="add",
            span=2 if block == "conv" else 1,
            stride=1 + bool(i),
            groups=groups,
            expansion=base * groups / 256 if block == "bottleneck" else 0,
        )
        for i, depth in enumerate(blocks)
    )
    stem = Stem(64, kernel=7, stride=2, pool=3)
    return Architecture(stages, stem, input_shape=_IMAGENET, num_classes=1000)


def cifar_resnet(depth: int = 20) -> Architecture:
    """CIFAR ResNet of 6n + 2 layers, with projections (He et al. 2015, section 4.2)."""
    if depth < 8 or (depth - 2) % 6:
        rule = "6n + 2 for a whole n >= 1"
        raise InvalidArchitecture(f"A CIFAR ResNet has {rule} layers, but got {depth}.")
    stages = tuple(
        Stage(
            "conv", (depth - 2) // 6, 16 * 2**i, skip="add", span=2, stride=1 + bool(i)
        )
        for i in range(3)
    )
    return Architecture(stages, Stem(16))


def alexnet() -> Architecture:
    """AlexNet, one column (Krizhevsky 2014, arXiv:1404.5997)."""
    stages = (
        Stage(width=192, kernel=5, stride=2, pool=3),
        Stage(width=384, stride=2, pool=3),
        Stage(depth=2, width=256),
    )
    stem = Stem(64, kernel=11, stride=4, padding=2)
    head = Head(grid=6, hidden=(4096, 4096), pool=3, dropout=0.5)
    return Architecture(
        stages, stem, head, norm="none", input_shape=_IMAGENET, num_classes=1000
    )


#: per module: 1x1; reduction and 3x3; reduction and (in torchvision) 3x3; pooled 1x1
_GOOGLENET: Final = (
    ((64,), (96, 128), (16, 32), (32,)),
    ((128,), (128, 192), (32, 96), (64,)),
    ((192,), (96, 208), (16, 48), (64,)),
    ((160,), (112, 224), (24, 64), (64,)),
    ((128,), (128, 256), (24, 64), (64,)),
    ((112,), (144, 288), (32, 64), (64,)),
    ((256,), (160, 320), (32, 128), (128,)),
    ((256,), (160, 320), (32, 128), (128,)),
    ((384,), (192, 384), (48, 128), (128,)),
)


@NETWORKS.register("googlenet")
def googlenet() -> Architecture:
    """GoogLeNet with batch norm, without auxiliary heads (arXiv:1409.4842)."""
    pools = {0: 3, 2: 3, 7: 2}
    modules = tuple(
        Stage(
            "inception",
            width=sum(branch[-1] for branch in widths),
            branches=4,
            stride=2 if place in pools else 1,
            pool=pools.get(place, 0),
            branch_widths=widths,
        )
        for place, widths in enumerate(_GOOGLENET)
    )
    neck = (Stage(width=64, kernel=1, stride=2, pool=3), Stage(width=192))
    stem = Stem(64, kernel=7, stride=2)
    head = Head(dropout=0.2)
    return Architecture(
        neck + modules, stem, head, input_shape=_IMAGENET, num_classes=1000
    )


def densenet(layers: tuple[int, ...], growth: int = 32, stem: int = 64) -> Architecture:
    """DenseNet-BC (Huang et al. 2017, arXiv:1608.06993): layers per dense block."""
    stages = tuple(
        Stage(
            "bottleneck", depth, growth, skip="concat", links="all", stride=1 + bool(i)
        )
        for i, depth in enumerate(layers)
    )
    start = Stem(stem, kernel=7, stride=2, pool=3)
    return Architecture(stages, start, input_shape=_IMAGENET, num_classes=1000)


MOBILENET_V2: Final = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@NETWORKS.register("mobilenet_v2")
def mobilenet_v2(
    multiplier: float = 1.0, settings: tuple[tuple[int, ...], ...] = MOBILENET_V2
) -> Architecture:
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381).

    Args:
        multiplier: of every width.
        settings: per stage expansion, width, blocks, stride.
    """
    if not multiplier > 0:
        rule = "mobilenet_v2's multiplier must be positive"
        raise InvalidArchitecture(f"{rule}, but got {multiplier=}.")
    stages = tuple(
        Stage("inverted", n, _round8(c * multiplier), skip="add", stride=s, expansion=t)
        for t, c, n, s in settings
    )
    stem = Stem(_round8(32 * multiplier), stride=2)
    head = Head(features=_round8(1280 * max(1.0, multiplier)), dropout=0.2)
    return Architecture(
        stages, stem, head, "relu6", input_shape=_IMAGENET, num_classes=1000
    )


def _round8(width: float) -> int:
    """Nearest multiple of 8, not below nine tenths (the authors' `make_divisible`)."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * width else nearest + 8


@NETWORKS.register("nn_mass_mlp")
def nn_mass_mlp(
    depth: int = 16,
    width: int = 8,
    links: int = 1,
    inputs: int = 784,
    classes: int = 10,
) -> Architecture:
    """MLP of [N] (arXiv:1910.00780): `depth` linear layers, the classifier included."""
    cell = Stage("linear", depth - 1, width, skip="concat", links=links)
    return Architecture(
        (cell,),
        activation="elu",
        norm="none",
        input_shape=(1, 1, inputs),
        num_classes=classes,
    )


def nn_mass_cnn(
    depth: int,
    multiplier: int,
    links: tuple[Links, Links, Links],
    *,
    block: str = "conv",
    classes: int = 10,
) -> Architecture:
    """Three cells of [N] (arXiv:1910.00780), widths 16, 32, 64 times the multiplier."""
    stages = tuple(
        Stage(
            block,
            depth,
            16 * multiplier * 2**i,
            skip="concat",
            links=t,
            stride=1 + bool(i),
        )
        for i, t in enumerate(links)
    )
    return Architecture(stages, None, Head(grid=4, pool=2), num_classes=classes)


@NETWORKS.register("stack")
def stack(layers: int = 32, parallel: int = 1, width: int = 16) -> Architecture:
    """Convolutions in groups of `parallel`; 1 is residual (arXiv:2309.08414)."""
    stage = Stage(depth=layers, width=width, branches=parallel, skip="add")
    return Architecture((stage,), Stem(width))


def _cell_family(
    block: str, depth: int = 8, multiplier: int = 2, *links: int
) -> Architecture:
    first, second, third = links or (10, 20, 40)
    return nn_mass_cnn(depth, multiplier, (first, second, third), block=block)


_VGG: Final = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_DEEP: Final = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_VARIANTS: Final[Mapping[str, Callable[..., Architecture]]] = {
    "alexnet": alexnet,
    **{f"vgg{n}": partial(vgg, layers) for n, layers in _VGG.items()},
    **{f"vgg{n}_bn": partial(vgg, layers, "batch") for n, layers in _VGG.items()},
    "resnet18": partial(resnet, (2, 2, 2, 2), "conv"),
    "resnet34": partial(resnet, (3, 4, 6, 3), "conv"),
    **{f"resnet{n}": partial(resnet, b, "bottleneck") for n, b in _DEEP.items()},
    "wide_resnet50_2": partial(resnet, _DEEP[50], "bottleneck", base=128),
    "wide_resnet101_2": partial(resnet, _DEEP[101], "bottleneck", base=128),
    "resnext50_32x4d": partial(resnet, _DEEP[50], "bottleneck", base=4, groups=32),
    "resnext101_32x8d": partial(resnet, _DEEP[101], "bottleneck", base=8, groups=32),
    "resnext101_64x4d": partial(resnet, _DEEP[101], "bottleneck", base=4, groups=64),
    "cifar_resnet": cifar_resnet,
    **{f"cifar_resnet{n}": partial(cifar_resnet, n) for n in (20, 32, 44, 56, 110)},
    "densenet121": partial(densenet, (6, 12, 24, 16)),
    "densenet161": partial(densenet, (6, 12, 36, 24), 48, 96),
    "densenet169": partial(densenet, (6, 12, 32, 32)),
    "densenet201": partial(densenet, (6, 12, 48, 32)),
    "nn_mass_cnn": partial(_cell_family, "conv"),
    "nn_mass_depthwise": partial(_cell_family, "depthwise"),
}
for _name, _make in _VARIANTS.items():
    NETWORKS.register(_name)(_make)
