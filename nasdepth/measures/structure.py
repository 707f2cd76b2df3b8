"""What several measures read off a graph: its live edges, arms and projections."""

from dataclasses import dataclass
from functools import cached_property

from nasdepth.architecture.canonical import canonical
from nasdepth.architecture.graph import Graph, Node
from nasdepth.architecture.opaque import Gate, Opaque
from nasdepth.architecture.ops import Add, Conv, Input, Op, Shape, Zeros


class Undefined(ValueError):
    """A measure that has no value for this network; the message says why."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a merge: the chain from it back to a fork or another merge.

    Attributes:
        start: the node where the chain ends, itself outside the arm.
        transformations: convolutions and linear layers on it, in order of flow.
    """

    start: int
    transformations: tuple[int, ...]


@dataclass(frozen=True)  # no slots: derived properties are cached on the instance
class Structure:
    """A graph in canonical form with what is derived from it once."""

    source: Graph

    @cached_property
    def ungated(self) -> "Structure":
        """The structure without the branches of its gates; itself where it has none."""
        if not any(isinstance(node.op, Gate) for node in self.graph.nodes):
            return self
        return Structure(Graph(tuple(map(_ungated, self.graph.nodes))))

    @cached_property
    def graph(self) -> Graph:
        """Canonical form of the graph."""
        return canonical(self.source)

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Shape of every node's output."""
        return self.graph.shapes()

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For every node the nodes that read it, once per edge."""
        return self.graph.consumers()

    @cached_property
    def live(self) -> tuple[tuple[int, ...], ...]:
        """For every node its inputs that carry the image."""
        carries: list[bool] = []
        live = []
        for node in self.graph.nodes:
            live.append(tuple([i for i in node.inputs if carries[i]]))
            carries.append(bool(live[-1]) or isinstance(node.op, Input))
        return tuple(live)

    @cached_property
    def has_path(self) -> bool:
        """Whether the image reaches the output."""
        return not isinstance(self.graph.nodes[-1].op, Zeros)

    @cached_property
    def projections(self) -> frozenset[int]:
        """Projection shortcuts.

        A 1x1 convolution that is the only transformation on its arm of an add where
        another arm has a kernel above 1 or at least two transformations. A gate lies
        on its arm as if its branch were not there.
        """
        if self.ungated is not self:
            nodes = self.ungated.graph.nodes
            scopes = {nodes[i].scope for i in self.ungated.projections}
            every = enumerate(self.graph.nodes)
            return frozenset(i for i, node in every if node.scope in scopes)
        found: set[int] = set()
        for node in self.graph.nodes:
            if isinstance(node.op, Add):
                arms = [self.arm(i) for i in node.inputs]
                single = [a.transformations[0] for a in arms if self._is_pointwise(a)]
                bodies = sum(map(self._is_body, arms))
                found.update(single if bodies else ())
        return frozenset(found)

    def arm(self, end: int) -> Arm:
        """The chain that ends in node `end`."""
        passed: list[int] = []
        while len(self.consumers[end]) == 1 and self.is_chain(end):
            if self.graph.nodes[end].op.transforms:
                passed.append(end)
            end = self.graph.nodes[end].inputs[0]
        return Arm(end, tuple(reversed(passed)))

    def is_chain(self, node: int) -> bool:
        """Whether the node has one input and is no merge."""
        return len(self.graph.nodes[node].inputs) == 1

    def _is_pointwise(self, arm: Arm) -> bool:
        ops = self._ops(arm)
        return len(ops) == 1 and isinstance(ops[0], Conv) and ops[0].area == 1

    def _is_body(self, arm: Arm) -> bool:
        ops = self._ops(arm)
        wide = any(isinstance(op, Conv) and op.area > 1 for op in ops)
        return len(ops) >= 2 or wide

    def _ops(self, arm: Arm) -> list[Op]:
        return [self.graph.nodes[i].op for i in arm.transformations]


def _ungated(node: Node) -> Node:
    """The node; of a gate, what becomes of its first input alone."""
    op = node.op
    if not isinstance(op, Gate):
        return node
    passed = Opaque(op.kind, op.dims, local=op.local)
    return Node(passed, node.inputs[:1], node.scope)
