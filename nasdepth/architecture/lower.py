"""From an architecture to its graph: how each family of stages wires its blocks.

Stem, stages and head are lists of parts in series, so that a part can be lowered alone.
"""

from collections.abc import Callable, Mapping
from itertools import accumulate, chain, groupby, repeat
from typing import Any, Final, NamedTuple, TypeAlias

from nasdepth.architecture.blocks import (
    BRANCHED,
    PLAIN,
    PREACTIVATED,
    RESIDUAL,
    Layers,
    Style,
    Unit,
    single_conv,
    without_shortcut,
)
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.links import Links
from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    Dropout,
    Flatten,
    InvalidGraph,
    Linear,
    Pool,
    Shape,
)
from nasdepth.architecture.spec import Architecture, Head, Stage, Stem

#: channels that DenseNet's transitions keep (Huang et al. 2017, section 3)
_COMPRESSION: Final = 2

#: emits a part of a network behind a node; a node of its output
Wire: TypeAlias = Callable[[Layers, int, Any], int]
Section: TypeAlias = Stem | Stage | Head


class Part(NamedTuple):
    """A piece of a network from one tensor to the next, `times` in a row.

    What it emits depends on `value`, the style and the shape of its input alone, so
    equal parts on equal maps are equal graphs.

    Attributes:
        wire: emits it once.
        value: what it is made of; hashable.
        scope: of its names, numbered from `start` on; "" for none of its own.
        times: how many in a row.
        start: number of the first.
    """

    wire: Wire
    value: Any = None
    scope: str = ""
    times: int = 1
    start: int = 0

    def emit(self, layers: Layers, x: int) -> int:
        """Emit all of it behind node `x`; the node of its output."""
        for index in range(self.start, self.start + self.times):
            with layers.scope(f"{self.scope}{index}" if self.scope else ""):
                x = self.wire(layers, x, self.value)
        return x

    def graph(self, input_shape: Shape, style: Style) -> Graph:
        """Graph of one of it, alone.

        >>> from nasdepth.architecture.spec import Stage
        >>> (block,) = parts(Stage(depth=9), ANYWHERE)
        >>> len(block.graph((16, 8, 8), Style("relu", "batch", False)).nodes)
        4

        Raises:
            InvalidGraph: it does not fit the shape of its input.
        """
        layers = Layers(input_shape, style)
        self.wire(layers, 0, self.value)
        return layers.graph()


class Place(NamedTuple):
    """What a section's wiring takes from where it stands.

    Attributes:
        seed: of the long-range links' draw, where there is one.
        number: of the stage, from 1 on, likewise.
        image: whether a cell reads the image itself.
        classes: of the classifier, in the last section; 0 elsewhere.
    """

    seed: int = 0
    number: int = 0
    image: bool = False
    classes: int = 0


ANYWHERE: Final = Place()


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
    x = number = 0
    for section, place in sections(architecture):
        number += isinstance(section, Stage)
        with layers.scope(_scope(section, number)):
            for part in parts(section, place):
                x = part.emit(layers, x)
    return layers.graph()


def sections(architecture: Architecture) -> list[tuple[Section, Place]]:
    """Stem, stages and head; one tensor leads from each to the next.

    A cell of linear layers is a whole network, so it stands alone.
    """
    stages, classes = architecture.stages, architecture.num_classes
    if stages[0].block == "linear":
        return [(stages[0], Place(architecture.seed, 1, classes=classes))]
    found: list[tuple[Section, Place]] = []
    if architecture.stem:
        found.append((architecture.stem, ANYWHERE))
    for number, stage in enumerate(stages, start=1):
        place = ANYWHERE
        if stage.skip == "concat" and stage.links != "all":
            # a stage of a stride starts with a pooling, which reads the image then
            image = not found and stage.stride == 1
            drawn = stage.links and stage.depth > 2
            place = Place(architecture.seed, number, image) if drawn else _IMAGE[image]
        found.append((stage, place))
    found.append((architecture.head, Place(classes=classes)))
    return found


_IMAGE: Final = (ANYWHERE, Place(image=True))


def parts(section: Section, place: Place) -> list[Part]:
    """Parts of a section, in series."""
    if isinstance(section, Stem):
        return [Part(_stem, section)]
    if isinstance(section, Head):
        return [Part(_head, (section, place.classes))]
    if section.block == "linear":
        return [Part(_linear_network, (section, place))]
    return _WIRING[section.family](section, place)


def _scope(section: Section, number: int) -> str:
    if isinstance(section, Stage):
        # a network of linear layers names its stage and its head itself
        return "" if section.block == "linear" else f"stage{number}"
    return "stem" if isinstance(section, Stem) else "head"


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


def _norm_act(layers: Layers, x: int, value: None) -> int:
    return layers.norm_act(x)


def _stem(layers: Layers, x: int, stem: Stem) -> int:
    padding = stem.kernel // 2 if stem.padding < 0 else stem.padding
    x = layers.conv_norm_act(
        x, stem.width, stem.kernel, stride=stem.stride, padding=padding
    )
    if stem.pool:
        x = layers.emit(Pool("max", stem.pool, 2, stem.pool // 2), x)
    return x


def _plain(stage: Stage, place: Place) -> list[Part]:
    wire = PLAIN[stage.block]
    if stage.stride > 1 and stage.pool:
        return [Part(_max_pool, stage.pool), *_blocks(wire, _unit(stage), stage.depth)]
    return _blocks(wire, _unit(stage), stage.depth, _unit(stage, stage.stride))


def _residual(stage: Stage, place: Place) -> list[Part]:
    first, rest = ((stage.block, _unit(stage, s), False) for s in (stage.stride, 1))
    if not stage.dropped:
        return _blocks(_residual_block, rest, stage.depth, first)
    lost = without_shortcut(stage.depth, stage.dropped)
    units = chain([first[1]], repeat(rest[1]))
    values = zip(repeat(stage.block), units, lost, strict=False)
    runs = [(value, len(list(run))) for value, run in groupby(values)]
    starts = accumulate((times for _, times in runs), initial=0)
    return [
        Part(_residual_block, value, "block", times, start)
        for (value, times), start in zip(runs, starts, strict=False)
    ]


def _residual_block(layers: Layers, x: int, value: tuple[str, Unit, bool]) -> int:
    block, unit, dropped = value
    body = RESIDUAL[block](layers, x, unit)
    changes = unit.stride > 1 or layers.channels(x) != unit.width
    if changes and dropped:
        raise InvalidGraph(
            "Stage.dropped must be less than its depth where the first block takes "
            f"{layers.channels(x)} channels to {unit.width}, but it equals the depth."
        )
    if block == "inverted":
        # linear bottlenecks: no projection, no activation after the sum
        return body if changes or dropped else layers.add(body, x)
    if dropped:
        return layers.act(body)
    if changes:
        with layers.scope("shortcut"):
            x = layers.conv_norm(x, unit.width, stride=unit.stride)
    return layers.act(layers.add(body, x))


def _parallel(stage: Stage, place: Place) -> list[Part]:
    groups, rest = divmod(stage.depth, stage.branches)
    whole = Part(_group, (_unit(stage), stage.branches), "group", groups)
    last = [Part(_group, (_unit(stage), rest), "group", 1, groups)] if rest else []
    return [Part(_widened, stage), whole, *last, Part(_norm_act)]


def _widened(layers: Layers, x: int, stage: Stage) -> int:
    if stage.stride == 1 and layers.channels(x) == stage.width:
        return x
    with layers.scope("transition"):
        return layers.conv(x, stage.width, stage.kernel, stride=stage.stride)


def _group(layers: Layers, x: int, value: tuple[Unit, int]) -> int:
    unit, count = value
    arms = [single_conv(layers, layers.norm_act(x), unit) for _ in range(count)]
    return layers.add(x, *arms)


def _inception(stage: Stage, place: Place) -> list[Part]:
    pool = [Part(_max_pool, stage.pool or 3)] if stage.stride > 1 else []
    return [*pool, *_blocks(BRANCHED[stage.block], _unit(stage), stage.depth)]


def _blocks(
    wire: Wire, value: object, depth: int, first: object | None = None
) -> list[Part]:
    """Blocks in a row, alike but perhaps for the first."""
    if first is None or first == value:
        return [Part(wire, value, "block", depth)]
    rest = [Part(wire, value, "block", depth - 1, 1)] if depth > 1 else []
    return [Part(wire, first, "block"), *rest]


def _dense(stage: Stage, place: Place) -> list[Part]:
    return [Part(_dense_block, stage)]


def _dense_block(layers: Layers, x: int, stage: Stage) -> int:
    if stage.stride > 1:
        with layers.scope("transition"):
            x = layers.conv(x, layers.channels(x) // _COMPRESSION)
            x = layers.emit(Pool("avg", 2, 2), x)
    features, unit = [x], _unit(stage)
    for index in range(stage.depth):
        with layers.scope(f"layer{index}"):
            seen = layers.norm_act(layers.concat(*features))
            features.append(PREACTIVATED[stage.block](layers, seen, unit))
    return layers.norm_act(layers.concat(*features))


def _cell(stage: Stage, place: Place) -> list[Part]:
    pool = [Part(_max_pool, stage.pool or 2)] if stage.stride > 1 else []
    return [*pool, Part(_cell_layers, (stage, place))]


def _cell_layers(layers: Layers, x: int, value: tuple[Stage, Place]) -> int:
    stage, place = value
    links, unit = Links(place.seed, place.number), _unit(stage)
    outputs: list[int] = []
    for index in range(stage.depth):
        with layers.scope(f"layer{index}"):
            if index:
                x = layers.norm_act(_linked(layers, outputs, stage, links))
            if place.image and not index:
                # [N]'s networks read the image with a full convolution
                outputs.append(layers.conv(x, stage.width, stage.kernel))
            else:
                outputs.append(PREACTIVATED[stage.block](layers, x, unit))
    return layers.norm_act(outputs[-1])


def _linked(layers: Layers, outputs: list[int], stage: Stage, links: Links) -> int:
    """All channels of the last layer beside those drawn from the ones before."""
    wanted = stage.links
    if len(outputs) < 2 or not isinstance(wanted, int) or not wanted:
        return outputs[-1]
    return layers.concat(outputs[-1], *links.select(layers, outputs, wanted))


def _linear_network(layers: Layers, x: int, value: tuple[Stage, Place]) -> int:
    """The MLPs of [N]: one cell of linear layers, the classifier its last layer."""
    stage, place = value
    links = Links(place.seed, place.number)
    outputs = [layers.emit(Flatten(), x)]
    with layers.scope("stage1"):
        outputs = [_linear(layers, outputs[0], stage.width)]
        for _ in range(stage.depth - 1):
            seen = _linked(layers, outputs, stage, links)
            outputs.append(_linear(layers, seen, stage.width))
        seen = _linked(layers, outputs, stage, links)
    with layers.scope("head"):
        return layers.emit(Linear(place.classes), seen, name="classifier")


def _linear(layers: Layers, x: int, width: int) -> int:
    x = layers.emit(Linear(width), x)
    return layers.emit(Activation(layers.style.activation), x, name="act")


def _head(layers: Layers, x: int, value: tuple[Head, int]) -> int:
    head, classes = value
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
    return layers.emit(Linear(classes), x, name="classifier")


def _dropout(layers: Layers, x: int, rate: float) -> int:
    return layers.emit(Dropout(rate), x) if rate else x


_WIRING: Final[Mapping[str, Callable[[Stage, Place], list[Part]]]] = {
    "plain": _plain,
    "residual": _residual,
    "parallel": _parallel,
    "inception": _inception,
    "dense": _dense,
    "cell": _cell,
}
