"""The open vocabulary: a block is one function that emits operations.

A block is registered under its name in the registry of each family that may use it:
`PLAIN`, `RESIDUAL` and `BRANCHED` blocks put the convolution first; before a
`PREACTIVATED` one (parallel groups, dense blocks, NN-Mass cells) its stage normalises
and activates, as do He et al. 2016 (arXiv:1603.05027), Huang et al. 2017
(arXiv:1608.06993) and [N] Bhardwaj et al. 2021 (arXiv:1910.00780).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import TypeAlias

from nasdepth.architecture.graph import Graph, GraphBuilder
from nasdepth.architecture.ops import (
    Activation,
    Add,
    BatchNorm,
    Concat,
    Conv,
    GroupNorm,
    Op,
    Pool,
    Shape,
)
from nasdepth.architecture.registry import Registry

#: operations without attributes, of which one will do
_BATCH_NORM, _ADD, _CONCAT = BatchNorm(), Add(), Concat()


@dataclass(frozen=True, slots=True)
class Style:
    """What a whole network shares: activation, norm, bias of convolutions."""

    activation: str
    norm: str
    bias: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """Attributes of one block.

    Attributes:
        width: output channels.
        kernel: side of its spatial convolutions.
        stride: of its spatial convolution.
        groups: of its spatial convolution.
        expansion: middle width as a multiple of the output width (bottleneck) or of
            the input width (inverted).
        branch_widths: for Inception, the widths along each branch.
    """

    width: int
    kernel: int = 3
    stride: int = 1
    groups: int = 1
    expansion: float = 1.0
    branch_widths: tuple[tuple[int, ...], ...] = ()


class Layers:
    """A graph under construction in one style: emits layers and returns their nodes."""

    def __init__(self, input_shape: Shape, style: Style) -> None:
        self._builder = GraphBuilder(input_shape)
        self.style = style
        self._activation = Activation(style.activation)

    def emit(self, op: Op, *inputs: int, name: str = "") -> int:
        """Emit any operation."""
        return self._builder.emit(op, *inputs, name=name)

    def scope(self, name: str) -> AbstractContextManager[None]:
        """Prefix the names of what is emitted inside."""
        return self._builder.scope(name)

    def channels(self, x: int) -> int:
        """Channels (or features) of a node."""
        return self._builder.shape(x)[0]

    def graph(self) -> Graph:
        """The graph so far."""
        return self._builder.graph()

    def conv(
        self,
        x: int,
        channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
    ) -> int:
        """Convolution that keeps the size of the map, but for its stride."""
        around = kernel // 2 if padding is None else padding
        op = Conv(channels, kernel, stride, around, groups, self.style.bias)
        return self.emit(op, x)

    def norm(self, x: int) -> int:
        """Normalization, or the node itself in a network without."""
        if self.style.norm == "none":
            return x
        if self.style.norm == "batch":
            return self.emit(_BATCH_NORM, x, name="norm")
        # at most eight groups, and a number that divides any width
        return self.emit(GroupNorm(gcd(8, self.channels(x))), x, name="norm")

    def act(self, x: int) -> int:
        """Activation."""
        return self.emit(self._activation, x, name="act")

    def norm_act(self, x: int) -> int:
        """Normalization, activation."""
        return self.act(self.norm(x))

    def conv_norm(
        self, x: int, channels: int, kernel: int = 1, **attributes: int
    ) -> int:
        """Convolution, normalization."""
        return self.norm(self.conv(x, channels, kernel, **attributes))

    def conv_norm_act(
        self, x: int, channels: int, kernel: int = 1, **attributes: int
    ) -> int:
        """Convolution, normalization, activation."""
        return self.act(self.conv_norm(x, channels, kernel, **attributes))

    def add(self, *arms: int) -> int:
        """Sum."""
        return self.emit(_ADD, *arms)

    def concat(self, *arms: int) -> int:
        """Concatenation; a single arm is itself."""
        return self.emit(_CONCAT, *arms) if len(arms) > 1 else arms[0]


def without_shortcut(depth: int, dropped: int) -> tuple[bool, ...]:
    """Which blocks of a residual stage lose their shortcut, spread evenly.

    The first block, whose shortcut may be a projection, loses it last of all. Of the
    D behind it, block j does where round(j k / D) passes the next integer.

    >>> without_shortcut(5, 2)
    (False, True, False, True, False)
    >>> without_shortcut(3, 3)
    (True, True, True)

    Args:
        depth: blocks of the stage.
        dropped: how many lose it, at most `depth`.
    """
    rest = max(1, depth - 1)
    of_rest = min(dropped, depth - 1)
    passed = [(2 * j * of_rest + rest) // (2 * rest) for j in range(depth)]
    return (dropped == depth, *(a < b for a, b in pairwise(passed)))


Block: TypeAlias = Callable[[Layers, int, Unit], int]

PLAIN = Registry[Block]("plain block")
RESIDUAL = Registry[Block]("residual block")
BRANCHED = Registry[Block]("branched block")
PREACTIVATED = Registry[Block]("pre-activated block")


@PLAIN.register("conv")
def plain_conv(layers: Layers, x: int, unit: Unit) -> int:
    """Convolution, normalization, activation (VGG, arXiv:1409.1556)."""
    return layers.conv_norm_act(
        x, unit.width, unit.kernel, stride=unit.stride, groups=unit.groups
    )


@RESIDUAL.register("conv")
def basic(layers: Layers, x: int, unit: Unit) -> int:
    """Two convolutions (BasicBlock, He et al. 2015, arXiv:1512.03385)."""
    x = plain_conv(layers, x, unit)
    return layers.conv_norm(x, unit.width, unit.kernel, groups=unit.groups)


@RESIDUAL.register("bottleneck")
def bottleneck(layers: Layers, x: int, unit: Unit) -> int:
    """1x1, kxk, 1x1, the stride in the middle (He et al. 2015, arXiv:1512.03385)."""
    middle = round(unit.width * unit.expansion)
    x = layers.conv_norm_act(x, middle)
    x = layers.conv_norm_act(
        x, middle, unit.kernel, stride=unit.stride, groups=unit.groups
    )
    return layers.conv_norm(x, unit.width)


@RESIDUAL.register("inverted")
def inverted(layers: Layers, x: int, unit: Unit) -> int:
    """1x1 wider, depthwise, 1x1 linear (Sandler et al. 2018, arXiv:1801.04381).

    With expansion 1 the first convolution is left out.
    """
    middle = round(layers.channels(x) * unit.expansion)
    if unit.expansion != 1:
        x = layers.conv_norm_act(x, middle)
    x = layers.conv_norm_act(x, middle, unit.kernel, stride=unit.stride, groups=middle)
    return layers.conv_norm(x, unit.width)


@BRANCHED.register("inception")
def inception(layers: Layers, x: int, unit: Unit) -> int:
    """Branches side by side (Szegedy et al. 2014, arXiv:1409.4842).

    A branch starts with a 1x1 convolution and goes on with kxk ones, one for each
    further width; a fourth branch starts with a max-pooling.
    """
    arms = []
    for index, widths in enumerate(unit.branch_widths):
        with layers.scope(f"branch{index}"):
            arm = x
            if index == 3:
                arm = layers.emit(Pool("max", 3, 1, 1), x)
            for place, width in enumerate(widths):
                arm = layers.conv_norm_act(arm, width, unit.kernel if place else 1)
            arms.append(arm)
    return layers.concat(*arms)


@PREACTIVATED.register("conv")
def single_conv(layers: Layers, x: int, unit: Unit) -> int:
    """One convolution."""
    return layers.conv(x, unit.width, unit.kernel, groups=unit.groups)


@PREACTIVATED.register("bottleneck")
def dense_bottleneck(layers: Layers, x: int, unit: Unit) -> int:
    """1x1, then normalization, activation, kxk (DenseNet-B, arXiv:1608.06993)."""
    x = layers.conv(x, round(unit.width * unit.expansion))
    return single_conv(layers, layers.norm_act(x), unit)


@PREACTIVATED.register("depthwise")
def separable(layers: Layers, x: int, unit: Unit) -> int:
    """1x1, depthwise kxk, 1x1, each normalised ([N]'s depthwise cells)."""
    x = layers.conv_norm_act(x, unit.width)
    x = layers.conv_norm_act(x, unit.width, unit.kernel, groups=unit.width)
    return layers.conv_norm(x, unit.width)
