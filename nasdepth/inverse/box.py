"""The integers of a network that may vary: depth, width and links of every stage."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final, TypeAlias

from nasdepth.architecture.spec import (
    Architecture,
    InvalidArchitecture,
    Links,
    Stage,
)

_STEP: Final = 8  # of widths, where the reference's are multiples of it
_FINEST: Final = 64  # steps from nothing to the reference's width, at most
Choice: TypeAlias = tuple[int, int, Links]  # depth, width and links of one stage


@dataclass(frozen=True, slots=True)
class Box:
    """How far the integers of a reference may go.

    Widths go up to the reference's, links up to twice its own, depths from 1. Blocks,
    expansions, kernels, groups and strides stay.

    Attributes:
        deepest: greatest depth of each stage.
        narrowest: least width, as a share of the reference's, in (0, 1].
    """

    deepest: tuple[int, ...]
    narrowest: float

    def widths(self, stage: Stage) -> list[int]:
        """Widths that a stage may take, its own the last.

        Multiples of 8 where its own is one, coarser where that were more than 64
        steps; every integer otherwise and in linear cells.

        >>> Box((2,), 0.5).widths(Stage(width=32))
        [16, 24, 32]
        """
        if stage.branch_widths:
            return [stage.width]  # an Inception block that gives every width
        step = 1
        if stage.block != "linear" and stage.width % _STEP == 0:
            step = _STEP * ceil(stage.width / _STEP / _FINEST)
        first = max(1, ceil(stage.width * self.narrowest / step)) * step
        narrow = [w for w in range(first, stage.width, step) if _may_have(stage, w)]
        return [*narrow, stage.width]

    def depths(self, place: int, stage: Stage) -> range:
        """Depths that the stage at a place, from 0, may take."""
        return range(
            stage.branches if stage.family == "parallel" else 1, 1 + self.deepest[place]
        )


def links_of(stage: Stage) -> list[Links]:
    """Links that a stage may take: drawn ones up to twice its own.

    >>> links_of(Stage(skip="concat", links=1)), links_of(Stage())
    ([0, 1, 2], [0])
    """
    drawn = stage.family == "cell" and isinstance(stage.links, int)
    return list(range(2 * int(stage.links) + 1)) if drawn else [stage.links]


def designed(reference: Architecture, choices: Sequence[Choice]) -> Architecture:
    """The reference with another depth, width and links for every stage.

    A stem keeps its width's ratio to the first stage's, the head's 1x1 convolution its
    own to the last stage's, in multiples of 8 where the reference's are; as a width
    multiplier has it. A dense block's growth moves neither; hidden layers stay.
    """
    stages = tuple(
        replace(stage, depth=depth, width=width, links=links)
        for stage, (depth, width, links) in zip(reference.stages, choices, strict=True)
    )
    stem, head = reference.stem, reference.head
    first, last = reference.stages[0], reference.stages[-1]
    return replace(
        reference,
        stages=stages,
        stem=stem and replace(stem, width=_scaled(stem.width, stages[0], first)),
        head=replace(head, features=_scaled(head.features, stages[-1], last)),
    )


def choices_of(reference: Architecture) -> list[Choice]:
    """The choices that `designed` makes the reference of."""
    return [(stage.depth, stage.width, stage.links) for stage in reference.stages]


def _scaled(width: int, stage: Stage, reference: Stage) -> int:
    if stage.width == reference.width or stage.family == "dense" or not width:
        return width
    step = 1 if width % _STEP else _STEP
    return max(step, int(width * stage.width / reference.width / step + 0.5) * step)


def _may_have(stage: Stage, width: int) -> bool:
    try:
        replace(stage, width=width, depth=max(stage.depth, stage.branches))
    except InvalidArchitecture:
        return False
    return True
