"""A network as a value: operations and edges, one input, one output.

Nodes stand in topological order: a node names only earlier ones, so a cycle cannot
be written down. The first node is the input, the last one the output.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from nasdepth.architecture.ops import Input, InvalidGraph, Op, Shape


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph.

    Attributes:
        op: what it does.
        inputs: indices of earlier nodes; order and multiplicity count.
        scope: dotted name ("stage1.block0.conv1"), the module's name in torch.
    """

    op: Op
    inputs: tuple[int, ...] = ()
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Directed acyclic graph of operations from one input to one output.

    >>> from nasdepth.architecture.ops import Conv
    >>> Graph((Node(Input((3, 8, 8))), Node(Conv(4), (0,)))).shapes()
    ((3, 8, 8), (4, 8, 8))

    Raises:
        InvalidGraph: no single input in front, or an edge from no earlier node.
    """

    nodes: tuple[Node, ...]
    #: what follows from the nodes, once it was asked for
    _derived: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not self.nodes:
            self._misplaced()
        for index, node in enumerate(self.nodes):
            inputs, arity = node.inputs, node.op.arity
            if (type(node.op) is Input) != (index == 0):
                self._misplaced()
            for source in inputs:
                if not 0 <= source < index:
                    raise InvalidGraph(
                        f"Node.inputs must name earlier nodes, but got {inputs} in "
                        f"nodes[{index}]."
                    )
            if len(inputs) != arity if arity is not None else not inputs:
                wanted = "one or more inputs" if arity is None else f"{arity} input(s)"
                raise InvalidGraph(
                    f"{type(node.op).__name__} takes {wanted}, but got "
                    f"{len(inputs)} in nodes[{index}]."
                )

    def _misplaced(self) -> NoReturn:
        places = [i for i, n in enumerate(self.nodes) if isinstance(n.op, Input)]
        raise InvalidGraph(
            f"A graph starts with its one Input node, but got it at {places}."
        )

    def shapes(self) -> tuple[Shape, ...]:
        """Shape of every node's output, for one image."""
        found: tuple[Shape, ...] | None = self._derived.get("shapes")
        if found is None:
            shapes: list[Shape] = []
            for node in self.nodes:
                shapes.append(node.op.shape([shapes[i] for i in node.inputs]))
            found = self._derived["shapes"] = tuple(shapes)
        return found

    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For every node the nodes that read it, once per edge."""
        found: tuple[tuple[int, ...], ...] | None = self._derived.get("consumers")
        if found is None:
            readers: list[list[int]] = [[] for _ in self.nodes]
            for index, node in enumerate(self.nodes):
                for source in node.inputs:
                    readers[source].append(index)
            found = self._derived["consumers"] = tuple(map(tuple, readers))
        return found


class Scope:
    """Prefix of names inside a `with` block; a class, since graphs enter many."""

    __slots__ = ("_builder", "_name", "_outer")

    def __init__(self, builder: "GraphBuilder", name: str) -> None:
        self._builder, self._name = builder, name

    def __enter__(self) -> None:
        self._outer = self._builder.prefix
        if self._name:
            self._builder.prefix = f"{self._outer}{self._name}."

    def __exit__(self, *raised: object) -> None:
        self._builder.prefix = self._outer


class GraphBuilder:
    """Emits nodes one after another, names them by scope and knows their shapes.

    >>> from nasdepth.architecture.ops import Conv
    >>> builder = GraphBuilder((3, 8, 8))
    >>> with builder.scope("stem"):
    ...     x = builder.emit(Conv(4), 0)
    >>> builder.graph().nodes[x].scope, builder.shape(x)
    ('stem.conv1', (4, 8, 8))

    Attributes:
        prefix: of the names of what is emitted next.
    """

    def __init__(self, input_shape: Shape) -> None:
        self._nodes = [Node(Input(input_shape), scope="input")]
        self._shapes = [input_shape]
        self.prefix = ""
        self._names: dict[str, int] = {}

    def emit(self, op: Op, *inputs: int, name: str = "") -> int:
        """Append a node and return its index; `name` defaults to the operation's."""
        shapes, names = self._shapes, self._names
        shape = op.shape([shapes[i] for i in inputs])
        path = self.prefix + (name or type(op).__name__.lower())
        number = names[path] = names.get(path, 0) + 1
        self._nodes.append(Node(op, inputs, f"{path}{number}"))
        shapes.append(shape)
        return len(shapes) - 1

    def scope(self, name: str) -> "Scope":
        """Prefix the names of all nodes emitted inside; "" adds nothing."""
        return Scope(self, name)

    def shape(self, node: int) -> Shape:
        """Shape of a node's output."""
        return self._shapes[node]

    def graph(self) -> Graph:
        """The graph so far; the last node emitted is its output."""
        graph = Graph(tuple(self._nodes))
        graph._derived["shapes"] = tuple(self._shapes)
        return graph


def reachable(start: int, edges: Sequence[Sequence[int]]) -> set[int]:
    """Nodes that `start` leads to along `edges`, itself included."""
    seen, stack = {start}, [start]
    while stack:
        for node in edges[stack.pop()]:
            if node not in seen:
                seen.add(node)
                stack.append(node)
    return seen
