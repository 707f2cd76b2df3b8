"""What a study's space may hold: the section [space] of its file."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from nasdepth.architecture.ops import ACTIVATIONS
from nasdepth.architecture.registry import unknown
from nasdepth.architecture.spec import FAMILIES, NORMS

#: what a stage of the space may be: family, block
TOPOLOGIES: Final[Mapping[str, tuple[str, str]]] = {
    "plain": ("plain", "conv"),
    "residual": ("residual", "conv"),
    "bottleneck": ("residual", "bottleneck"),
    "inverted": ("residual", "inverted"),
    "parallel": ("parallel", "conv"),
    "inception": ("inception", "inception"),
    "dense": ("dense", "conv"),
    "dense_bottleneck": ("dense", "bottleneck"),
    "cell": ("cell", "conv"),
    "cell_bottleneck": ("cell", "bottleneck"),
    "cell_depthwise": ("cell", "depthwise"),
}
#: growths of dense stages are multiples of it above the least
GROWTH_STEP: Final = 4


def _ordered(bounds: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= bounds[0] <= bounds[1]:
        raise ValueError(f"must be [low, high] with 0 <= low <= high, but got {bounds}")
    return bounds


def _positive(bounds: tuple[int, int]) -> tuple[int, int]:
    if bounds[0] < 1:
        raise ValueError(f"must start at 1 or above, but got {bounds}")
    return bounds


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"must hold distinct values, at least one, but got {values}")
    return values


def _all_positive(values: tuple[int, ...]) -> tuple[int, ...]:
    if any(value < 1 for value in values):
        raise ValueError(f"must hold positive numbers, but got {values}")
    return values


def _odd(values: tuple[int, ...]) -> tuple[int, ...]:
    if any(value % 2 == 0 for value in values):
        raise ValueError(f"must hold odd numbers, but got {values}")
    return values


def _strides(values: tuple[int, ...]) -> tuple[int, ...]:
    if not set(values) <= {1, 2}:
        raise ValueError(f"must hold 1 or 2, but got {values}")
    return values


def _known(choices: tuple[str, ...], kind: str) -> AfterValidator:
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if value not in choices:
                raise ValueError(unknown(kind, value, choices))
        return values

    return AfterValidator(check)


Range: TypeAlias = Annotated[
    tuple[int, int], AfterValidator(_ordered), AfterValidator(_positive)
]
Names: TypeAlias = Annotated[tuple[str, ...], AfterValidator(_distinct)]
Numbers: TypeAlias = Annotated[
    tuple[int, ...], AfterValidator(_distinct), AfterValidator(_all_positive)
]


class Section(BaseModel):
    """A section of a study's file: frozen, and every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SpaceConfig(Section):
    """What may be sampled; a range is [low, high], both included.

    Attributes:
        stages: number of stages; every one but the first halves the map.
        depth: blocks per stage.
        width: output channels of a stage.
        width_step: widths are multiples of it.
        growth: channels that a dense layer adds.
        topologies: keys of `TOPOLOGIES`.
        kernel: sides of the spatial convolutions.
        branches: of an Inception stage.
        links: channels t that a layer of a cell draws.
        expansion: of inverted residual blocks.
        dropped: whether blocks of residual stages may lose their identity shortcut.
        mixed: whether the stages of one network may differ in topology.
        stem: channels of the first convolution.
        stem_stride: of the first convolution; 2 halves every map.
        activation: choices.
        norm: choices.
        links_seed: of the long-range links' draw.
    """

    stages: Range = (2, 3)
    depth: Range = (1, 4)
    width: Range = (16, 64)
    width_step: int = Field(8, ge=1)
    growth: Range = (8, 24)
    topologies: Annotated[Names, _known(tuple(TOPOLOGIES), "topology")] = tuple(
        TOPOLOGIES
    )
    kernel: Annotated[Numbers, AfterValidator(_odd)] = (3,)
    branches: Range = (2, 4)
    links: Range = (1, 48)
    expansion: Numbers = (2, 4)
    dropped: bool = False
    mixed: bool = True
    stem: Numbers = (16,)
    stem_stride: Annotated[Numbers, AfterValidator(_strides)] = (1,)
    activation: Annotated[Names, _known(ACTIVATIONS, "activation")] = ("relu",)
    norm: Annotated[Names, _known(NORMS, "norm")] = ("batch",)
    links_seed: int = Field(0, ge=0)

    @property
    def droppable(self) -> tuple[str, ...]:
        """Topologies whose blocks may lose their shortcut."""
        kinds = ((name, TOPOLOGIES[name][0]) for name in self.topologies)
        return tuple(name for name, family in kinds if FAMILIES[family].droppable)

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        for name, step in (("width", self.width_step), ("growth", GROWTH_STEP)):
            low, high = getattr(self, name)
            if (high - low) % step:
                raise ValueError(
                    f"{name} must span a multiple of {step}, but got {[low, high]}"
                )
        return self
