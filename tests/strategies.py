"""Hypothesis strategies: graphs built from our operations, and valid architectures."""

from random import Random

from hypothesis import strategies as st

from nasdepth.architecture.graph import Graph, GraphBuilder, Node, reachable
from nasdepth.architecture.ops import (
    ACTIVATIONS,
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    Identity,
    Linear,
    Op,
    Pool,
    Select,
    Zeros,
)
from nasdepth.architecture.spec import FAMILIES, NORMS, Architecture, Head, Stage, Stem

SIDE = 4

_UNARY = (
    Conv(2, kernel=1, padding=0),
    Conv(2),
    Conv(1),
    BatchNorm(),
    Activation("relu"),
    Activation("tanh"),
    Identity(),
    Pool("max", 3, 1, 1),
)


@st.composite
def graphs(
    draw: st.DrawFn, *, most_nodes: int = 10, channels: int = 2, heads: bool = True
) -> Graph:
    """Graphs with forks, nested merges, parallel edges, dead nodes and constants.

    All maps are 4 x 4, so that any two may be concatenated; the last node drawn is the
    output, whatever leads there. A third of them end in a linear head.
    """
    builder = GraphBuilder((channels, SIDE, SIDE))
    nodes = [0]
    for _ in range(draw(st.integers(min(3, most_nodes), most_nodes))):
        nodes.append(_node(draw, builder, nodes))
    if heads and draw(st.integers(0, 2)) == 0:
        with builder.scope("head"):
            x = builder.emit(Flatten(), builder.emit(AdaptivePool(), nodes[-1]))
            builder.emit(Linear(3), x)
    return builder.graph()


def _node(draw: st.DrawFn, builder: GraphBuilder, nodes: list[int]) -> int:
    kinds = ("unary", "add", "concat", "unary", "add", "add", "select", "rare")
    kind = draw(st.sampled_from(kinds))
    # most edges are short, so that little is dead and merges read merges
    x = draw(st.sampled_from((nodes[-1:], nodes[-3:], nodes)).flatmap(st.sampled_from))
    if kind == "add":
        alike = [i for i in nodes if builder.shape(i) == builder.shape(x)]
        more = draw(st.lists(st.sampled_from(alike), min_size=1, max_size=2))
        return builder.emit(Add(), x, *more)
    if kind == "concat":
        more = draw(st.lists(st.sampled_from(nodes[-3:]), min_size=1, max_size=2))
        return builder.emit(Concat(), x, *more)
    if kind == "unary":
        return builder.emit(draw(st.sampled_from(_UNARY)), x)
    if kind == "rare":
        op = draw(st.sampled_from((Add(), Concat(), Zeros(builder.shape(x)))))
        return builder.emit(op, *(() if isinstance(op, Zeros) else (x,)))
    width = builder.shape(x)[0]
    drawn = draw(st.sets(st.integers(0, width - 1), min_size=1))
    return builder.emit(Select(tuple(sorted(drawn))), x)


@st.composite
def fed_graphs(draw: st.DrawFn, **options: int) -> Graph:
    """Graphs whose input reaches their output."""
    reached = graphs(**options).filter(lambda graph: leads_through(graph))
    return draw(reached)


def leads_through(graph: Graph) -> bool:
    """Whether the input reaches the output."""
    return len(graph.nodes) - 1 in reachable(0, graph.consumers())


@st.composite
def knots(draw: st.DrawFn) -> Graph:
    """Graphs of few operations and many symmetries, to mislead a digest."""
    builder = GraphBuilder((1, SIDE, SIDE))
    first = [builder.emit(Conv(1), 0) for _ in range(draw(st.integers(2, 4)))]
    sums = []
    for _ in range(draw(st.integers(1, 4))):
        arms = draw(st.lists(st.sampled_from(first), min_size=2, max_size=3))
        node = builder.emit(Add(), *arms)
        sums.append(builder.emit(Activation("relu"), node))
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["relu", "tanh"]))
        sums.append(builder.emit(Activation(kind), draw(st.sampled_from(first))))
    last = draw(st.lists(st.sampled_from([*first, *sums]), min_size=2, max_size=5))
    builder.emit(Add(), *last)
    return builder.graph()


def renumbered(graph: Graph, random: Random) -> Graph:
    """The graph in another topological order, its adds' arms shuffled, scopes new."""
    waiting = set(range(1, len(graph.nodes) - 1))
    order = [0]
    while waiting:
        ready = [i for i in waiting if not waiting & set(graph.nodes[i].inputs)]
        order.append(random.choice(ready))
        waiting.discard(order[-1])
    if len(graph.nodes) > 1:
        order.append(len(graph.nodes) - 1)
    number = {old: new for new, old in enumerate(order)}
    nodes = []
    for old in order:
        inputs = [number[i] for i in graph.nodes[old].inputs]
        if isinstance(graph.nodes[old].op, Add):
            random.shuffle(inputs)
        nodes.append(Node(graph.nodes[old].op, tuple(inputs), f"renamed{number[old]}"))
    return Graph(tuple(nodes))


def inserted(graph: Graph, op: Op, reader: int, port: int) -> Graph:
    """The graph with an operation on one edge, given by its reader and port."""
    nodes = list(graph.nodes[:reader])
    source = graph.nodes[reader].inputs[port]
    nodes.append(Node(op, (source,), "inserted"))
    for index in range(reader, len(graph.nodes)):
        node = graph.nodes[index]
        inputs = [i + (i >= reader) for i in node.inputs]
        if index == reader:
            inputs[port] = reader
        nodes.append(Node(node.op, tuple(inputs), node.scope))
    return Graph(tuple(nodes))


def edges(graph: Graph) -> list[tuple[int, int]]:
    """Every edge as its reader and port."""
    return [
        (reader, port)
        for reader, node in enumerate(graph.nodes)
        for port in range(len(node.inputs))
    ]


@st.composite
def stages(draw: st.DrawFn, family: str | None = None) -> Stage:
    """Small valid stages of one family, or of any that may stand in a stack."""
    family = family or draw(st.sampled_from(sorted(FAMILIES)))
    row = FAMILIES[family]
    block = draw(st.sampled_from([name for name in row.blocks if name != "linear"]))
    depth = draw(st.integers(1, 4))
    low, high = row.branches[0], min(4, row.branches[1] or depth)
    options: dict[str, object] = {}
    if row.skip == "add" and block == "conv":
        options["span"] = row.span
    if family == "dense":
        options["links"] = "all"
    elif row.linked:
        options["links"] = draw(st.integers(0, 40))
    if block in ("bottleneck", "inverted"):
        options["expansion"] = draw(st.sampled_from([0, 0.5, 1.0, 2]))
    if row.droppable:
        options["dropped"] = draw(st.integers(0, depth - 1))
    if family in ("plain", "inception", "cell"):
        options["pool"] = draw(st.sampled_from([0, 2, 3]))
    return Stage(
        block,
        depth,
        draw(st.sampled_from([16, 24])),
        branches=draw(st.integers(low, high)),
        skip=row.skip,
        kernel=draw(st.sampled_from([1, 3, 5])),
        stride=draw(st.sampled_from([1, 2])),
        groups=draw(st.sampled_from([1, 2])) if block == "bottleneck" else 1,
        **options,
    )


def stems() -> st.SearchStrategy[Stem]:
    """Small stems."""
    return st.builds(
        Stem,
        width=st.sampled_from([4, 8, 16]),
        kernel=st.sampled_from([1, 3, 5]),
        stride=st.sampled_from([1, 2]),
        padding=st.sampled_from([-1, 2]),
        pool=st.sampled_from([0, 2, 3]),
    )


def heads() -> st.SearchStrategy[Head]:
    """Small heads."""
    return st.builds(
        Head,
        grid=st.integers(1, 2),
        hidden=st.sampled_from([(), (5,), (6, 4)]),
        features=st.sampled_from([0, 8]),
        dropout=st.sampled_from([0.0, 0.25]),
    )


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Small valid architectures of every family, mixed, norm and activation."""
    options = {
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "norm": draw(st.sampled_from(NORMS)),
        "bias": draw(st.sampled_from([None, True, False])),
        "num_classes": draw(st.integers(1, 12)),
        "seed": draw(st.integers(0, 2**32)),
    }
    if draw(st.integers(0, 7)) == 0:
        depth, width = draw(st.integers(1, 6)), draw(st.integers(1, 8))
        links = draw(st.integers(0, 20))
        cell = Stage("linear", depth, width, skip="concat", links=links)
        return Architecture((cell,), input_shape=(1, 3, 3), **options)
    some = draw(st.lists(stages(), min_size=1, max_size=3))
    stem = draw(st.one_of(st.none(), stems()))
    # a dense transition halves the channels, so there are at least two
    shape = (draw(st.sampled_from([2, 3])), 32, 32)
    return Architecture(tuple(some), stem, draw(heads()), input_shape=shape, **options)
