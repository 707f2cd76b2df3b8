"""The closed vocabulary of operations: what each does to shapes, and what it costs.

Shapes are those of one image: `(channels, height, width)` or `(features,)`.
A *transformation* is a convolution or a linear layer; everything else weighs
nothing in a depth and costs no multiply-accumulates.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import ClassVar, Final, TypeAlias

Shape: TypeAlias = tuple[int, ...]
#: along height and width: one number where both are equal
Pair: TypeAlias = int | tuple[int, int]
ACTIVATIONS: Final = ("relu", "relu6", "gelu", "silu", "elu", "tanh")


class InvalidGraph(ValueError):
    """A graph that breaks a rule of its operations."""


@dataclass(frozen=True, slots=True)
class Op(ABC):
    """One operation; its fields are its attributes, its inputs stand in the graph."""

    #: number of inputs, None where any number from one on will do
    arity: ClassVar[int | None] = 1
    transforms: ClassVar[bool] = False

    @abstractmethod
    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of the output.

        Raises:
            InvalidGraph: the inputs do not fit the operation.
        """

    def params(self, inputs: Sequence[Shape]) -> int:
        """Number of learnable parameters."""
        return 0

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Multiply-accumulates for one image; bias additions are not counted."""
        return 0

    def window(self, axis: int = 0) -> tuple[int, int]:
        """Side and stride of what one output element sees along height or width."""
        return 1, 1


def pair(value: Pair) -> tuple[int, int]:
    """Along height and width.

    >>> pair(3), pair((1, 7))
    ((3, 3), (1, 7))
    """
    return (value, value) if isinstance(value, int) else value


class _Later(Op):
    """Writes fields that came after the first digests only where they are set.

    A digest hashes what an operation writes, so networks keep theirs.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        given = [
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if each.name not in _LATER or getattr(self, each.name) != each.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"


_LATER: Final = ("dilation", "tied", "axis")


@dataclass(frozen=True, slots=True)
class Input(Op):
    """The image that enters the network."""

    dims: Shape
    arity = 0

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return self.dims


@dataclass(frozen=True, slots=True)
class Zeros(Op):
    """A constant of zeros: what an edge that carries nothing gives."""

    dims: Shape
    arity = 0

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return self.dims


@dataclass(frozen=True, slots=True, repr=False)
class Conv(_Later):
    """Two-dimensional convolution with symmetric padding.

    >>> Conv(64, kernel=7, stride=2, padding=3).shape([(3, 224, 224)])
    (64, 112, 112)

    Attributes:
        channels: of the output.
        tied: its weights are counted elsewhere, or are not learnt.
    """

    channels: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: Pair = 1
    groups: int = 1
    bias: bool = False
    dilation: Pair = 1
    tied: bool = False
    transforms = True

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        channels, height, width = _map(inputs[0], "Conv")
        if self.channels < 1 or self.groups < 1:
            name = "groups" if self.groups < 1 else "channels"
            raise InvalidGraph(f"Conv.{name} must be positive, but got {self}.")
        if channels % self.groups or self.channels % self.groups:
            raise InvalidGraph(
                f"Conv.groups must divide input and output channels, but got "
                f"groups={self.groups} for {channels} -> {self.channels}."
            )
        padding = pair(self.padding)
        rows = _windows(height, *self.window(0), padding[0])
        columns = _windows(width, *self.window(1), padding[1])
        return (self.channels, rows, columns)

    def params(self, inputs: Sequence[Shape]) -> int:
        if self.tied:
            return 0
        fan_in = inputs[0][0] // self.groups * self.area
        return self.channels * (fan_in + self.bias)

    def macs(self, inputs: Sequence[Shape]) -> int:
        return prod(self.shape(inputs)) * (inputs[0][0] // self.groups) * self.area

    def window(self, axis: int = 0) -> tuple[int, int]:
        side, dilation = pair(self.kernel)[axis], pair(self.dilation)[axis]
        return (side - 1) * dilation + 1, pair(self.stride)[axis]

    @property
    def area(self) -> int:
        """Pixels that the kernel reads; 1 for a pointwise convolution."""
        return prod(pair(self.kernel))


@dataclass(frozen=True, slots=True, repr=False)
class Linear(_Later):
    """Linear layer on the last axis, as in torch: on a vector, or on each token."""

    features: int
    bias: bool = True
    tied: bool = False
    transforms = True

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return (*inputs[0][:-1], self.features)

    def params(self, inputs: Sequence[Shape]) -> int:
        return 0 if self.tied else self.features * (inputs[0][-1] + self.bias)

    def macs(self, inputs: Sequence[Shape]) -> int:
        return prod(inputs[0]) * self.features


class _SameShape(Op):
    """An operation on each element or channel: the output has the input's shape."""

    __slots__ = ()

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return inputs[0]


@dataclass(frozen=True, slots=True)
class BatchNorm(_SameShape):
    """Batch normalization with a learnt scale and shift per channel."""

    def params(self, inputs: Sequence[Shape]) -> int:
        return 2 * inputs[0][0]


@dataclass(frozen=True, slots=True)
class GroupNorm(_SameShape):
    """Group normalization (Wu & He 2018, arXiv:1803.08494), learnt scale and shift."""

    groups: int

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if inputs[0][0] % self.groups:
            raise InvalidGraph(
                f"GroupNorm.groups must divide the channels, but got "
                f"groups={self.groups} for {inputs[0][0]}."
            )
        return inputs[0]

    def params(self, inputs: Sequence[Shape]) -> int:
        return 2 * inputs[0][0]


@dataclass(frozen=True, slots=True)
class Activation(_SameShape):
    """Elementwise nonlinearity, one of `ACTIVATIONS`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Dropout(_SameShape):
    """Dropout of single elements; the identity outside training."""

    rate: float


@dataclass(frozen=True, slots=True)
class Identity(_SameShape):
    """Nothing at all; contracted before anything is measured."""


@dataclass(frozen=True, slots=True, repr=False)
class Pool(_Later):
    """Window pooling, `kind` "max" or "avg".

    With `ceil` a last window may hang over the edge, as in GoogLeNet.
    """

    kind: str
    kernel: Pair
    stride: Pair
    padding: Pair = 0
    ceil: bool = False
    dilation: Pair = 1

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        channels, height, width = _map(inputs[0], "Pool")
        return (channels, self._side(height, 0), self._side(width, 1))

    def _side(self, n: int, axis: int) -> int:
        (side, stride), padding = self.window(axis), pair(self.padding)[axis]
        over = stride - 1 if self.ceil else 0
        windows = _windows(n + over, side, stride, padding)
        # no window may start beyond the map and its left padding
        starts_beyond = (windows - 1) * stride >= n + padding
        return windows - (self.ceil and starts_beyond)

    def window(self, axis: int = 0) -> tuple[int, int]:
        side, dilation = pair(self.kernel)[axis], pair(self.dilation)[axis]
        return (side - 1) * dilation + 1, pair(self.stride)[axis]


@dataclass(frozen=True, slots=True)
class AdaptivePool(Op):
    """Average pooling to a square grid of the given side; 1 is global pooling."""

    grid: int = 1

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return (_map(inputs[0], "AdaptivePool")[0], self.grid, self.grid)


@dataclass(frozen=True, slots=True)
class Flatten(Op):
    """Reshape to a vector."""

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return (prod(inputs[0]),)


@dataclass(frozen=True, slots=True)
class Select(Op):
    """The named channels of the input, in the given order: one long-range link."""

    channels: tuple[int, ...]

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        known = range(inputs[0][0])
        if not self.channels or not all(c in known for c in self.channels):
            raise InvalidGraph(
                f"Select.channels must name channels of its input, but got "
                f"{self.channels} of {inputs[0][0]}."
            )
        return (len(self.channels), *inputs[0][1:])


@dataclass(frozen=True, slots=True)
class Add(Op):
    """Sum of the inputs; their order means nothing."""

    arity = None

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        if any(shape != inputs[0] for shape in inputs):
            raise InvalidGraph(f"Add needs equal shapes, but got {list(inputs)}.")
        return inputs[0]


@dataclass(frozen=True, slots=True, repr=False)
class Concat(_Later):
    """Inputs side by side along an axis, the channels; their order counts."""

    axis: int = 0
    arity = None

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        before, after = slice(self.axis), slice(self.axis + 1, None)
        first = inputs[0]
        if any((s[before], s[after]) != (first[before], first[after]) for s in inputs):
            raise InvalidGraph(
                f"Concat needs maps of equal size, but got {list(inputs)}."
            )
        size = sum(shape[self.axis] for shape in inputs)
        return (*first[before], size, *first[after])


def _map(shape: Shape, op: str) -> Shape:
    if len(shape) != 3:
        raise InvalidGraph(f"{op} needs (channels, height, width), but got {shape}.")
    return shape


def _windows(n: int, kernel: int, stride: int, padding: int) -> int:
    if kernel < 1 or stride < 1:
        raise InvalidGraph(
            f"Kernel and stride must be positive, but got {kernel=} and {stride=}."
        )
    windows = (n + 2 * padding - kernel) // stride + 1
    if windows < 1:
        raise InvalidGraph(
            f"A window of {kernel} with padding {padding} does not fit a side of {n}."
        )
    return windows
