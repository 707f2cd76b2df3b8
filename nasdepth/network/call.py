"""One call of an exported program, as the table of operations sees it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from nasdepth.architecture.opaque import Opaque
from nasdepth.architecture.ops import Op, Pair, Shape

Grid: TypeAlias = Literal["", "first", "last"]
#: images in the batch that is recorded: a prime that no side of a map equals
BATCH: Final = 23


class Unreadable(ValueError):
    """A network that no graph can be read from; the message names the place."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that the image does not reach.

    Attributes:
        weights: names of the learnt tensors that it comes from.
        value: the tensor itself, where it is a buffer that holds numbers.
    """

    weights: frozenset[str] = frozenset()
    value: Any = None


@dataclass(frozen=True, slots=True)
class Data:
    """A value that depends on the image.

    Attributes:
        node: its index in the graph.
        shape: for one image.
        squashed: whether it lies in a fixed range, as what gates do.
        grid: where height and width lie: "first" behind the channels, as the last two
            axes; "last" before them; "" where they are gone, or never were.
        total: node that this is the sum over an axis of; -1 otherwise.
    """

    node: int
    shape: Shape
    squashed: bool = False
    grid: Grid = ""
    total: int = -1

    @property
    def places(self) -> frozenset[int]:
        """Axes of height and width in the shape."""
        rank = len(self.shape)
        axes = {"first": (rank - 2, rank - 1), "last": (rank - 3, rank - 2), "": ()}
        return frozenset(axes[self.grid])


@dataclass(frozen=True, slots=True)
class Choice:
    """Indices that depend on the image; nothing is read through them."""


#: what a call takes and gives: one value, or several
Value: TypeAlias = Data | Constant | Sequence[Data | Constant | Choice]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its arguments by the names of torch's schema.

    Attributes:
        kind: torch's name, without the underscore of an operation in place.
        arguments: tensors are values, everything else is as it was given.
        dims: shapes of tensor arguments as torch sees them, batch first, by name.
        shapes: of the outputs for one image; one, unless the call gives several.
        append: adds a node to the graph; what is learnt among the arguments is its.
    """

    kind: str
    arguments: dict[str, Any]
    dims: dict[str, Any]
    shapes: tuple[Shape, ...]
    append: Callable[[Op, Sequence[Data]], Data]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def shape(self) -> Shape:
        """Shape of the (first) output for one image."""
        return self.shapes[0]

    @property
    def values(self) -> list[Data | Constant]:
        """Tensor arguments in order, those in lists included."""
        return list(_values(self.arguments.values()))

    @property
    def data(self) -> list[Data]:
        """Those that depend on the image."""
        return [value for value in self.values if isinstance(value, Data)]

    @property
    def learnt(self) -> frozenset[str]:
        """Names of the learnt tensors that the others come from."""
        constants = (v for v in self.values if isinstance(v, Constant))
        return frozenset().union(*(constant.weights for constant in constants))

    def opaque(
        self,
        *inputs: Data,
        local: bool = True,
        products: int = 0,
        output: int = 0,
        pools: bool = False,
    ) -> Data:
        """Append what carries the inputs on and weighs nothing."""
        op = Opaque(self.kind, self.shapes[output], 0, products, local, pools)
        return self.append(op, inputs or self.data)

    def axes(self, name: str, dims: "int | Sequence[int] | None") -> set[int | None]:
        """Axes for one image of a tensor argument; None is the batch's."""
        seen = self.dims[name]
        listed = [dims] if isinstance(dims, int) else list(dims or range(len(seen)))
        return {axis_of(seen, dim) for dim in listed}


def _values(arguments: Any) -> Iterator[Data | Constant]:
    for argument in arguments:
        if isinstance(argument, Data | Constant):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from _values(argument)


Entry: TypeAlias = Callable[[Call], Value]
#: how each of torch's operations is read, by its name
TABLE: Final[dict[str, Entry]] = {}


def reads(*kinds: str) -> Callable[[Entry], Entry]:
    """Decorator: the entry reads the operations of these names."""

    def add(entry: Entry) -> Entry:
        TABLE.update(dict.fromkeys(kinds, entry))
        return entry

    return add


def data_of(call: Call, name: str) -> Data:
    """The argument of that name, which must depend on the image."""
    value = call[name]
    if not isinstance(value, Data):
        raise Unreadable(f"its {name} does not depend on the image")
    return value


def one_or_two(sides: int | Sequence[int]) -> Pair:
    """One number where the sides agree."""
    if isinstance(sides, int):
        return sides
    height, width = (int(side) for side in (*sides, *sides)[:2])
    return height if height == width else (height, width)


def per_image(dims: Sequence[int]) -> Shape:
    """Shape for one image: without the batch, or with its share of an axis."""
    dims = tuple(int(side) for side in dims)
    if BATCH in dims:
        at = dims.index(BATCH)
        return dims[:at] + dims[at + 1 :]
    shared = [i for i, side in enumerate(dims) if side % BATCH == 0]
    if not shared:
        return dims
    at = shared[0]
    return (*dims[:at], dims[at] // BATCH, *dims[at + 1 :])


def axis_of(dims: Sequence[int], dim: int) -> int | None:
    """An axis of a shape as torch sees it, for one image; None for the batch's own."""
    dim %= len(dims)
    if BATCH not in dims:
        return dim
    at = list(dims).index(BATCH)
    return None if dim == at else dim - (dim > at)


def holds_batch(dims: Sequence[int]) -> bool:
    """Whether a shape has the batch, or a multiple of it, as one of its sides."""
    return any(side % BATCH == 0 for side in dims)
