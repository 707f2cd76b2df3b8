"""From an architecture to its graph: how each family of stages wires its blocks."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final, TypeAlias

from nasdepth.architecture.blocks import (
    BRANCHED,
    PLAIN,
    PREACTIVATED,
    RESIDUAL,
    Layers,
    Unit,
    single_conv,
)
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    Dropout,
    Flatten,
    Linear,
    Pool,
    Select,
)
from nasdepth.architecture.spec import Architecture, Head, Stage, Stem

#: channels that DenseNet's transitions keep (Huang et al. 2017, section 3)
_COMPRESSION: Final = 2


def lower(architecture: Architecture) -> Graph:
    """Graph of an architecture: the one function from specification to network.

    >>> from nasdepth.architecture.spec import Stage
    >>> len(lower(Architecture((Stage(width=8),))).nodes)
    7

    Raises:
        InvalidGraph: the image is too small for the strides, or has channels that
            the groups do not divide.
    """
    layers = Layers(architecture.input_shape, architecture.style)
    if architecture.stages[0].block == "linear":
        return _linear_network(layers, architecture)
    x = 0
    if architecture.stem:
        with layers.scope("stem"):
            x = _stem(layers, x, architecture.stem)
    for place, stage in enumerate(architecture.stages, start=1):
        with layers.scope(f"stage{place}"):
            links = _Links(architecture.seed, place)
            x = _WIRING[stage.family](layers, x, stage, links)
    with layers.scope("head"):
        _head(layers, x, architecture.head, architecture.num_classes)
    return layers.graph()


class _Links:
    """The long-range links of one stage: which channels each layer draws."""

    def __init__(self, seed: int, place: int) -> None:
        self._seed, self._place = seed, place

    def select(self, layers: Layers, outputs: list[int], wanted: int) -> list[int]:
        """Drawn channels of the layers before the last, one node per source layer."""
        width = layers.channels(outputs[0])
        sources = len(outputs) - 1
        drawn = draw_links(self._seed, self._place, sources * width, wanted)
        arms = []
        for source, output in enumerate(outputs[:-1]):
            first = source * width
            own = tuple(c - first for c in drawn if first <= c < first + width)
            if own:
                arms.append(layers.emit(Select(own), output))
        return arms


@lru_cache(maxsize=4096)
def draw_links(seed: int, place: int, candidates: int, wanted: int) -> tuple[int, ...]:
    """Channels that a layer draws without replacement, sorted.

    The channels 0 … candidates − 1 of all earlier layers but the last are ordered by
    SHA-256 of "seed:stage:candidates:channel" (the number of candidates identifies
    the layer) and the first min(wanted, candidates) taken: the same draw in every
    version of every library. [N] leaves the generator open; this one is ours.

    >>> draw_links(0, 1, 4, 9)
    (0, 1, 2, 3)
    """
    if wanted >= candidates:
        return tuple(range(candidates))

    def order(channel: int) -> bytes:
        return sha256(f"{seed}:{place}:{candidates}:{channel}".encode()).digest()

    return tuple(sorted(sorted(range(candidates), key=order)[:wanted]))


def _unit(stage: Stage, stride: int = 1) -> Unit:
    widths = stage.branch_widths
    if stage.family == "inception" and not widths:
        widths = _split(stage.width, stage.branches)
    return Unit(stage.width, stage.kernel, stride, stage.groups, stage.middle, widths)


def _split(width: int, branches: int) -> tuple[tuple[int, ...], ...]:
    """Widths of 2 to 4 branches of depth 1, 2, 3 and 1 that sum to `width`."""
    each = width // branches
    first = width - each * (branches - 1)
    half = max(1, each // 2)
    return ((first,), (half, each), (half, each, each), (each,))[:branches]


def _max_pool(layers: Layers, x: int, kernel: int) -> int:
    # a window of three may hang over the edge, as in GoogLeNet's and AlexNet's maps
    return layers.emit(Pool("max", kernel, 2, ceil=kernel > 2), x)


def _stem(layers: Layers, x: int, stem: Stem) -> int:
    padding = stem.kernel // 2 if stem.padding < 0 else stem.padding
    x = layers.conv_norm_act(
        x, stem.width, stem.kernel, stride=stem.stride, padding=padding
    )
    if stem.pool:
        x = layers.emit(Pool("max", stem.pool, 2, stem.pool // 2), x)
    return x


def _plain(layers: Layers, x: int, stage: Stage, links: _Links) -> int:
    stride = stage.stride
    if stride > 1 and stage.pool:
        x, stride = _max_pool(layers, x, stage.pool), 1
    for index in range(stage.depth):
        with layers.scope(f"block{index}"):
            unit = _unit(stage, stride if index == 0 else 1)
            x = PLAIN[stage.block](layers, x, unit)
    return x


def _residual(layers: Layers, x: int, stage: Stage, links: _Links) -> int:
    for index in range(stage.depth):
        with layers.scope(f"block{index}"):
            unit = _unit(stage, stage.stride if index == 0 else 1)
            body = RESIDUAL[stage.block](layers, x, unit)
            changes = unit.stride > 1 or layers.channels(x) != unit.width
            if stage.block == "inverted":
                # linear bottlenecks: no projection, no activation after the sum
                x = body if changes else layers.add(body, x)
                continue
            if changes:
                with layers.scope("shortcut"):
                    x = layers.conv_norm(x, unit.width, stride=unit.stride)
            x = layers.act(layers.add(body, x))
    return x


def _parallel(layers: Layers, x: int, stage: Stage, links: _Links) -> int:
    if stage.stride > 1 or layers.channels(x) != stage.width:
        with layers.scope("transition"):
            x = layers.conv(x, stage.width, stage.kernel, stride=stage.stride)
    for index, first in enumerate(range(0, stage.depth, stage.branches)):
        with layers.scope(f"group{index}"):
            arms = [
                single_conv(layers, layers.norm_act(x), _unit(stage))
                for _ in range(min(stage.branches, stage.depth - first))
            ]
            x = layers.add(x, *arms)
    return layers.norm_act(x)


def _inception(layers: Layers, x: int, stage: Stage, links: _Links) -> int:
    if stage.stride > 1:
        x = _max_pool(layers, x, stage.pool or 3)
    for index in range(stage.depth):
        with layers.scope(f"block{index}"):
            x = BRANCHED[stage.block](layers, x, _unit(stage))
    return x


def _dense(layers: Layers, x: int, stage: Stage, links: _Links) -> int:
    if stage.stride > 1:
        with layers.scope("transition"):
            x = layers.conv(x, layers.channels(x) // _COMPRESSION)
            x = layers.emit(Pool("avg", 2, 2), x)
    features = [x]
    for index in range(stage.depth):
        with layers.scope(f"layer{index}"):
            seen = layers.norm_act(layers.concat(*features))
            features.append(PREACTIVATED[stage.block](layers, seen, _unit(stage)))
    return layers.norm_act(layers.concat(*features))


def _cell(layers: Layers, x: int, stage: Stage, links: _Links) -> int:
    if stage.stride > 1:
        x = _max_pool(layers, x, stage.pool or 2)
    outputs: list[int] = []
    for index in range(stage.depth):
        with layers.scope(f"layer{index}"):
            if index:
                x = layers.norm_act(_linked(layers, outputs, stage, links))
            if x == 0:
                # [N]'s networks read the image with a full convolution
                outputs.append(layers.conv(x, stage.width, stage.kernel))
            else:
                outputs.append(PREACTIVATED[stage.block](layers, x, _unit(stage)))
    return layers.norm_act(outputs[-1])


def _linked(layers: Layers, outputs: list[int], stage: Stage, links: _Links) -> int:
    """All channels of the last layer beside those drawn from the ones before."""
    wanted = stage.links
    if len(outputs) < 2 or not isinstance(wanted, int) or not wanted:
        return outputs[-1]
    return layers.concat(outputs[-1], *links.select(layers, outputs, wanted))


def _linear_network(layers: Layers, architecture: Architecture) -> Graph:
    """The MLPs of [N]: one cell of linear layers, the classifier its last layer."""
    stage = architecture.stages[0]
    links = _Links(architecture.seed, 1)
    outputs = [layers.emit(Flatten(), 0)]
    with layers.scope("stage1"):
        outputs = [_linear(layers, outputs[0], stage.width)]
        for _ in range(stage.depth - 1):
            seen = _linked(layers, outputs, stage, links)
            outputs.append(_linear(layers, seen, stage.width))
        seen = _linked(layers, outputs, stage, links)
    with layers.scope("head"):
        layers.emit(Linear(architecture.num_classes), seen, name="classifier")
    return layers.graph()


def _linear(layers: Layers, x: int, width: int) -> int:
    x = layers.emit(Linear(width), x)
    return layers.emit(Activation(layers.style.activation), x, name="act")


def _head(layers: Layers, x: int, head: Head, num_classes: int) -> int:
    if head.pool:
        x = _max_pool(layers, x, head.pool)
    if head.features:
        x = layers.conv_norm_act(x, head.features)
    x = layers.emit(Flatten(), layers.emit(AdaptivePool(head.grid), x, name="pool"))
    for width in head.hidden:
        x = _linear(layers, x, width)
        x = _dropout(layers, x, head.dropout)
    if not head.hidden:
        x = _dropout(layers, x, head.dropout)
    return layers.emit(Linear(num_classes), x, name="classifier")


def _dropout(layers: Layers, x: int, rate: float) -> int:
    return layers.emit(Dropout(rate), x) if rate else x


_Wiring: TypeAlias = Callable[[Layers, int, Stage, _Links], int]
_WIRING: Final[Mapping[str, _Wiring]] = {
    "plain": _plain,
    "residual": _residual,
    "parallel": _parallel,
    "inception": _inception,
    "dense": _dense,
    "cell": _cell,
}
