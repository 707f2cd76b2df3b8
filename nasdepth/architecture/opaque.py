"""Operations that only networks read from foreign code hold.

They carry what was seen: their output's shape, their weights and products. They are
measured, drawn and compared, not built.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nasdepth.architecture.ops import Conv, Op, Shape


@dataclass(frozen=True, slots=True)
class Opaque(Op):
    """An operation that weighs nothing in a depth; several inputs make it a merge.

    Attributes:
        kind: torch's name for it ("layer_norm", "permute", "mul").
        dims: shape of its output for one image.
        weights: learnable numbers that it holds.
        products: multiply-accumulates for one image.
        local: whether an output element sees one place of the map only.
        pools: whether it is a pooling of the whole map or to a fixed grid.
    """

    kind: str
    dims: Shape
    weights: int = 0
    products: int = 0
    local: bool = True
    pools: bool = False
    arity: ClassVar[int | None] = None

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        return self.dims

    def params(self, inputs: Sequence[Shape]) -> int:
        return self.weights

    def macs(self, inputs: Sequence[Shape]) -> int:
        return self.products


@dataclass(frozen=True, slots=True)
class OpaqueLayer(Opaque):
    """A transformation without an operation of its own, as a 1-d convolution."""

    transforms = True


@dataclass(frozen=True, slots=True)
class Weights(Opaque):
    """Further learnt numbers of the operation before it, whose map it is."""


@dataclass(frozen=True, slots=True, repr=False)
class Filter(Conv):
    """A convolution with a fixed kernel, as in blurred pooling: nothing is learnt."""

    transforms = False

    def params(self, inputs: Sequence[Shape]) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Gate(Opaque):
    """The first input, weighed by the second: squeeze-excite, attention.

    The first passes through; the second is a path only where a convention counts
    gates.
    """

    arity = 2
