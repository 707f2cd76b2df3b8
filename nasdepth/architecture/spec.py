"""Architectures as values: stages, stem and head, with their JSON.

`FAMILIES` is the one table of what a stage may combine.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias

from nasdepth.architecture.blocks import BRANCHED, PLAIN, PREACTIVATED, RESIDUAL, Style
from nasdepth.architecture.ops import ACTIVATIONS, Shape
from nasdepth.architecture.registry import unknown

FORMAT: Final = 1
NORMS: Final = ("batch", "group", "none")
MAX_DEPTH: Final = 100_000
MAX_WIDTH: Final = 2**31
MAX_EXPANSION: Final = 1_000

Skip: TypeAlias = Literal["none", "add", "concat"]
Links: TypeAlias = int | Literal["all"]


class InvalidArchitecture(ValueError):
    """An architecture that breaks a rule of its stages."""


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table of what may be combined.

    Attributes:
        blocks: names of the blocks.
        skip: how arms meet.
        span: convolutions per skip, where the block leaves it open.
        branches: least and greatest number; None is the stage's depth.
        linked: whether links ("all" or channels a layer) have a meaning.
        droppable: whether blocks may lose their identity shortcut.
    """

    blocks: tuple[str, ...]
    skip: Skip
    span: int = 1
    branches: tuple[int, int | None] = (1, 1)
    linked: bool = False
    droppable: bool = False


FAMILIES: Final[Mapping[str, Family]] = {
    "plain": Family(tuple(PLAIN), "none"),
    "residual": Family(tuple(RESIDUAL), "add", span=2, droppable=True),
    "parallel": Family(("conv",), "add", branches=(1, None)),
    "inception": Family(tuple(BRANCHED), "none", branches=(2, 4)),
    "dense": Family(("conv", "bottleneck"), "concat", linked=True),
    "cell": Family((*PREACTIVATED, "linear"), "concat", linked=True),
}
_DEFAULT_EXPANSION: Final = {
    ("residual", "bottleneck"): 0.25,
    ("residual", "inverted"): 6.0,
    ("dense", "bottleneck"): 4.0,
    ("cell", "bottleneck"): 4.0,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers of one width; the first of them halves the map where `stride` is 2.

    Attributes:
        block: name of the block.
        depth: number of blocks; in a parallel group the number L of layers.
        width: output channels; in a dense block (links "all") the growth.
        branches: branches of an Inception block, or layers p of a parallel group.
        skip: "none", "add" or "concat".
        span: convolutions per skip of an added "conv" block; 1 is a parallel group.
        links: of a concat stage, "all" (DenseNet) or t channels a layer (NN-Mass).
        kernel: side of the spatial convolutions.
        stride: 1 or 2.
        groups: groups of the spatial convolutions.
        expansion: see `Unit`; 0 is the block's own default.
        pool: side of the max-pooling that does the stride; 0 leaves that to the family.
        branch_widths: Inception widths along each branch; empty splits `width`.
        dropped: identity shortcuts that a residual stage lacks (`without_shortcut`):
            cost and nominal depth stay, effective depth rises.

    Raises:
        InvalidArchitecture: a value out of range, or a combination not in `FAMILIES`.
    """

    block: str = "conv"
    depth: int = 1
    width: int = 16
    branches: int = 1
    skip: Skip = "none"
    span: int = 1
    links: Links = 0
    kernel: int = 3
    stride: int = 1
    groups: int = 1
    expansion: float = 0.0
    pool: int = 0
    branch_widths: tuple[tuple[int, ...], ...] = ()
    dropped: int = 0

    def __post_init__(self) -> None:
        for name in ("depth", "width", "branches", "span", "kernel", "groups"):
            _positive("Stage", name, getattr(self, name))
        for name, most in (("depth", MAX_DEPTH), ("width", MAX_WIDTH)):
            if getattr(self, name) > most:
                _fail("Stage", name, f"at most {most}", getattr(self, name))
        _one_of("Stage", "stride", self.stride, (1, 2))
        _one_of("Stage", "pool", self.pool, (0, 2, 3))
        if self.kernel % 2 == 0:
            _fail("Stage", "kernel", "odd", self.kernel)
        if not _is_number(self.expansion, least=0, below=MAX_EXPANSION):
            rule = f"a number in [0, {MAX_EXPANSION}), 0 for the block's default"
            _fail("Stage", "expansion", rule, self.expansion)
        self._check_combination()
        self._check_widths()

    @property
    def family(self) -> str:
        """Row of `FAMILIES` that the stage belongs to."""
        if self.skip == "concat":
            return "dense" if self.links == "all" else "cell"
        if self.skip == "add":
            return "parallel" if self.block == "conv" and self.span == 1 else "residual"
        return "inception" if self.block in BRANCHED else "plain"

    @property
    def middle(self) -> float:
        """Expansion with the block's default put in."""
        default = _DEFAULT_EXPANSION.get((self.family, self.block), 1.0)
        return float(self.expansion or default)

    def _check_combination(self) -> None:
        _one_of("Stage", "skip", self.skip, ("none", "add", "concat"))
        row = FAMILIES[self.family]
        if self.block not in row.blocks:
            kind = f"{self.family} block"
            raise InvalidArchitecture(unknown(kind, self.block, row.blocks))
        low, high = row.branches[0], row.branches[1] or self.depth
        if not low <= self.branches <= high:
            rule = f"{low} to {high}" if high > low else f"{low}"
            _fail("Stage", "branches", f"{rule} in {self.family} stages", self.branches)
        spans = (row.span, 1) if self.block != "conv" else (row.span,)
        _one_of("Stage", "span", self.span, tuple(dict.fromkeys(spans)))
        if self.links != "all" and not _is_int(self.links, least=0):
            _fail("Stage", "links", "'all' or a number of channels >= 0", self.links)
        if self.links and not row.linked:
            _fail("Stage", "links", f"0 in {self.family} stages", self.links)
        most = self.depth - (self.stride > 1) if row.droppable else 0
        if not _is_int(self.dropped, least=0) or self.dropped > most:
            rule = f"in [0, {most}] in this {self.family} stage"
            _fail("Stage", "dropped", rule, self.dropped)

    def _check_widths(self) -> None:
        grouped = round(self.width * (self.middle if self.block == "bottleneck" else 1))
        if grouped % self.groups:
            _fail("Stage", "groups", f"a divisor of {grouped}", self.groups)
        if self.branch_widths == ():
            if self.family == "inception" and self.width < 4 * self.branches:
                rule = f"at least 4 a branch ({4 * self.branches})"
                _fail("Stage", "width", rule, self.width)
            return
        if (
            self.family != "inception"
            or not isinstance(self.branch_widths, tuple)
            or len(self.branch_widths) != self.branches
            or not all(widths and _are_widths(widths) for widths in self.branch_widths)
        ):
            rule = f"positive widths for each of {self.branches} Inception branches"
            _fail("Stage", "branch_widths", rule, self.branch_widths)
        if sum(widths[-1] for widths in self.branch_widths) != self.width:
            _fail("Stage", "width", "the sum of the branches' last widths", self.width)


@dataclass(frozen=True, slots=True)
class Stem:
    """Convolution before the stages, with an optional max-pooling (stride 2).

    Attributes:
        width: output channels.
        kernel: side of the convolution.
        stride: of the convolution.
        padding: of the convolution; -1 keeps the size (kernel // 2).
        pool: side of the max-pooling after it; 0 for none.
    """

    width: int = 16
    kernel: int = 3
    stride: int = 1
    padding: int = -1
    pool: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "kernel", "stride"):
            _positive("Stem", name, getattr(self, name))
        for name, least in (("padding", -1), ("pool", 0)):
            if not _is_int(getattr(self, name), least=least):
                _fail("Stem", name, f"{least} or more", getattr(self, name))


@dataclass(frozen=True, slots=True)
class Head:
    """From the last map to the class scores.

    Attributes:
        grid: side of the average-pooled map; 1 is global pooling.
        hidden: widths of linear layers before the classifier.
        features: channels of a 1x1 convolution before the pooling; 0 for none.
        pool: side of a max-pooling (stride 2) before all this; 0 for none.
        dropout: rate before the classifier and after each hidden layer.
    """

    grid: int = 1
    hidden: tuple[int, ...] = ()
    features: int = 0
    pool: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _positive("Head", "grid", self.grid)
        for name in ("features", "pool"):
            if not _is_int(getattr(self, name), least=0):
                _fail("Head", name, "0 or more", getattr(self, name))
        if not _are_widths(self.hidden):
            _fail("Head", "hidden", "positive widths", self.hidden)
        if not _is_number(self.dropout, least=0, below=1):
            _fail("Head", "dropout", "in [0, 1)", self.dropout)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A convolutional classifier as a value.

    >>> tiny = Architecture((Stage(width=8),), input_shape=(1, 8, 8), num_classes=10)
    >>> Architecture.from_json(tiny.to_json()) == tiny
    True

    Attributes:
        stages: at least one.
        stem: None lets the first stage read the image.
        head: see `Head`.
        activation: one of `ACTIVATIONS`.
        norm: "batch", "group" or "none".
        bias: whether convolutions add a bias; None: where there is no norm.
        input_shape: `(channels, height, width)` of an image.
        num_classes: number of classes.
        seed: of the long-range links' draw.

    Raises:
        InvalidArchitecture: a value out of range.
    """

    stages: tuple[Stage, ...]
    stem: Stem | None = None
    head: Head = field(default_factory=Head)
    activation: str = "relu"
    norm: str = "batch"
    bias: bool | None = None
    input_shape: Shape = (3, 32, 32)
    num_classes: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.stages:
            raise InvalidArchitecture(
                "Architecture.stages must hold at least one stage."
            )
        _one_of("Architecture", "activation", self.activation, ACTIVATIONS)
        _one_of("Architecture", "norm", self.norm, NORMS)
        _one_of("Architecture", "bias", self.bias, (None, True, False))
        if not _are_widths(self.input_shape) or len(self.input_shape) != 3:
            rule = "(channels, height, width), each positive"
            _fail("Architecture", "input_shape", rule, self.input_shape)
        _positive("Architecture", "num_classes", self.num_classes)
        if not _is_int(self.seed, least=0):
            _fail("Architecture", "seed", "0 or more", self.seed)
        if any(stage.block == "linear" for stage in self.stages):
            self._check_linear()

    def _check_linear(self) -> None:
        if len(self.stages) > 1 or self.stem or self.head != Head():
            raise InvalidArchitecture(
                "A linear cell is a whole network: one stage, no stem, a default head."
            )

    @property
    def style(self) -> Style:
        """Activation, norm and bias, as the blocks want them."""
        bias = self.norm == "none" if self.bias is None else self.bias
        return Style(self.activation, self.norm, bias)

    def to_json(self) -> str:
        """Compact JSON text; fields at their default are left out."""
        return json.dumps({"format": FORMAT, **_sparse(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """Inverse of `to_json`.

        Raises:
            InvalidArchitecture: no JSON, a newer format, an unknown key, a bad value.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidArchitecture(
                f"An architecture is a JSON object: {error}."
            ) from error
        if not isinstance(data, dict) or "format" not in data:
            raise InvalidArchitecture(
                'An architecture is a JSON object with "format" and "stages".'
            )
        version = data.pop("format")
        if not _is_int(version) or version != FORMAT:
            rule = f"{FORMAT} (newer files need a newer nasdepth)"
            _fail("Architecture", "format", rule, version)
        return _architecture(data)


def _sparse(value: Any) -> dict[str, Any]:
    """Fields that differ from their default, nested values likewise."""
    kept: dict[str, Any] = {}
    for each in fields(value):
        content = getattr(value, each.name)
        made = each.default_factory
        default = each.default if made is MISSING else made()
        if each.name == "stages":
            kept["stages"] = [_sparse(stage) for stage in content]
        elif content != default:
            nested = each.name in ("stem", "head")
            kept[each.name] = _sparse(content) if nested else content
    return kept


def _architecture(data: dict[str, Any]) -> Architecture:
    stages = data.pop("stages", None)
    if not isinstance(stages, list):
        raise InvalidArchitecture("Architecture.stages must be a list of stages.")
    parts: dict[str, Any] = {}
    for name, kind in (("stem", Stem), ("head", Head)):
        if name in data:
            parts[name] = _value(kind, data.pop(name), name)
    built = tuple(_value(Stage, s, f"stages[{i}]") for i, s in enumerate(stages))
    architecture: Architecture = _value(
        Architecture, {**data, **parts, "stages": built}, "architecture"
    )
    return architecture


def _value(kind: type, data: object, place: str) -> Any:
    """Dataclass from its JSON object, lists made tuples; errors name the place."""
    if not isinstance(data, dict):
        raise InvalidArchitecture(f"{place} must be an object, but got {data!r}.")
    names = [each.name for each in fields(kind)]
    for key in data:
        if key not in names:
            raise InvalidArchitecture(f"{unknown('key', key, names)} (in {place})")
    try:
        return kind(**{key: _tupled(content) for key, content in data.items()})
    except (InvalidArchitecture, TypeError) as error:
        text = str(error).rstrip(".")
        raise InvalidArchitecture(f"{text} (in {place}).") from error


def _tupled(content: Any) -> Any:
    return tuple(map(_tupled, content)) if isinstance(content, list) else content


def _is_int(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object, *, least: float, below: float) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and least <= value < below  # type: ignore[operator]


def _are_widths(value: object) -> bool:
    return isinstance(value, tuple) and all(map(_is_int, value))


def _positive(kind: str, name: str, value: object) -> None:
    if not _is_int(value):
        _fail(kind, name, "a positive integer", value)


def _one_of(kind: str, name: str, value: object, choices: tuple[object, ...]) -> None:
    # 1, 1.0 and True are equal, but not the same attribute
    if not any(type(value) is type(c) and value == c for c in choices):
        _fail(kind, name, f"one of {', '.join(map(str, choices))}", value)


def _fail(kind: str, name: str, rule: str, value: object) -> None:
    raise InvalidArchitecture(
        f"{kind}.{name} must be {rule}, but got {name}={value!r}."
    )
