"""A network as a value: operations and edges, one input, one output.

Nodes stand in topological order: a node names only earlier ones, so a cycle cannot
be written down. The first node is the input, the last one the output.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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

    def __post_init__(self) -> None:
        places = [i for i, n in enumerate(self.nodes) if isinstance(n.op, Input)]
        if places != [0]:
            raise InvalidGraph(
                f"A graph starts with its one Input node, but got it at {places}."
            )
        for index, node in enumerate(self.nodes):
            self._check(index, node)

    def _check(self, index: int, node: Node) -> None:
        if any(not 0 <= source < index for source in node.inputs):
            raise InvalidGraph(
                f"Node.inputs must name earlier nodes, but got {node.inputs} in "
                f"nodes[{index}]."
            )
        arity = node.op.arity
        if len(node.inputs) != arity if arity is not None else not node.inputs:
            wanted = "one or more inputs" if arity is None else f"{arity} input(s)"
            raise InvalidGraph(
                f"{type(node.op).__name__} takes {wanted}, but got "
                f"{len(node.inputs)} in nodes[{index}]."
            )

    def shapes(self) -> tuple[Shape, ...]:
        """Shape of every node's output, for one image."""
        shapes: list[Shape] = []
        for node in self.nodes:
            shapes.append(node.op.shape([shapes[i] for i in node.inputs]))
        return tuple(shapes)

    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For every node the nodes that read it, once per edge."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                readers[source].append(index)
        return tuple(map(tuple, readers))


class GraphBuilder:
    """Emits nodes one after another, names them by scope and knows their shapes.

    >>> from nasdepth.architecture.ops import Conv
    >>> builder = GraphBuilder((3, 8, 8))
    >>> with builder.scope("stem"):
    ...     x = builder.emit(Conv(4), 0)
    >>> builder.graph().nodes[x].scope, builder.shape(x)
    ('stem.conv1', (4, 8, 8))
    """

    def __init__(self, input_shape: Shape) -> None:
        self._nodes = [Node(Input(input_shape), scope="input")]
        self._shapes = [input_shape]
        self._scopes: list[str] = []
        self._names: Counter[str] = Counter()

    def emit(self, op: Op, *inputs: int, name: str = "") -> int:
        """Append a node and return its index; `name` defaults to the operation's."""
        shape = op.shape([self._shapes[i] for i in inputs])
        path = ".".join([*self._scopes, name or type(op).__name__.lower()])
        self._names[path] += 1
        self._nodes.append(Node(op, inputs, f"{path}{self._names[path]}"))
        self._shapes.append(shape)
        return len(self._nodes) - 1

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names of all nodes emitted inside."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    def shape(self, node: int) -> Shape:
        """Shape of a node's output."""
        return self._shapes[node]

    def graph(self) -> Graph:
        """The graph so far; the last node emitted is its output."""
        return Graph(tuple(self._nodes))


def reachable(start: int, edges: Sequence[Sequence[int]]) -> set[int]:
    """Nodes that `start` leads to along `edges`, itself included."""
    seen, stack = {start}, [start]
    while stack:
        for node in edges[stack.pop()]:
            if node not in seen:
                seen.add(node)
                stack.append(node)
    return seen
