"""Graphs and their builder."""

import pickle

import pytest

from nasdepth.architecture.graph import Graph, GraphBuilder, Node, reachable
from nasdepth.architecture.ops import Add, Conv, Input, InvalidGraph, Zeros

IMAGE = Node(Input((3, 8, 8)), scope="input")


def test_shapes_and_readers_of_every_node() -> None:
    graph = Graph((IMAGE, Node(Conv(3), (0,)), Node(Add(), (0, 1, 0))))

    assert graph.shapes() == ((3, 8, 8),) * 3
    assert graph.consumers() == ((1, 2, 2), (2,), ())


def test_graphs_are_values() -> None:
    graphs = {Graph((IMAGE, Node(Conv(width), (0,)))) for width in (3, 3, 4)}

    assert len(graphs) == 2


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), r"starts with its one Input node, but got it at \[\]\."),
        ((IMAGE, IMAGE), r"its one Input node, but got it at \[0, 1\]\."),
        ((Node(Zeros((1,))), IMAGE), r"its one Input node, but got it at \[1\]\."),
        (
            (IMAGE, Node(Conv(3), (1,))),
            r"Node\.inputs must name earlier nodes, but got \(1,\) in nodes\[1\]\.",
        ),
        (
            (IMAGE, Node(Conv(3), (0,)), Node(Add(), (0, -1))),
            r"must name earlier nodes, but got \(0, -1\) in nodes\[2\]\.",
        ),
        (
            (IMAGE, Node(Conv(3), (0, 0))),
            r"Conv takes 1 input\(s\), but got 2 in nodes\[1\]\.",
        ),
        (
            (IMAGE, Node(Zeros((1,)), (0,))),
            r"Zeros takes 0 input\(s\), but got 1 in nodes\[1\]\.",
        ),
        (
            (IMAGE, Node(Add(), ())),
            r"Add takes one or more inputs, but got 0 in nodes\[1\]\.",
        ),
    ],
)
def test_rules_of_graphs(nodes: tuple[Node, ...], message: str) -> None:
    with pytest.raises(InvalidGraph, match=message):
        Graph(nodes)


def test_the_builder_names_nodes_by_scope_and_number() -> None:
    builder = GraphBuilder((3, 8, 8))
    builder.emit(Conv(4), 0)
    with builder.scope("stage1"), builder.scope("block0"):
        builder.emit(Conv(4), 0)
        builder.emit(Conv(4), 0, name="shortcut")
    x = builder.emit(Conv(5), 0)

    scopes = [node.scope for node in builder.graph().nodes]
    inner = "stage1.block0"
    assert scopes == ["input", "conv1", f"{inner}.conv1", f"{inner}.shortcut1", "conv2"]
    assert builder.shape(x) == (5, 8, 8)


def test_a_scope_ends_with_an_error() -> None:
    builder = GraphBuilder((3, 8, 8))

    with (
        pytest.raises(InvalidGraph, match="must be positive"),
        builder.scope("broken"),
    ):
        builder.emit(Conv(0), 0)

    builder.emit(Conv(3), 0)
    assert builder.graph().nodes[-1].scope == "conv1"


def test_reachable_holds_the_start() -> None:
    assert reachable(1, [(1, 2), (2,), (), (0,)]) == {1, 2}


def test_what_a_graph_remembers_is_no_part_of_its_value() -> None:
    builder = GraphBuilder((2, 4, 4))
    builder.emit(Conv(3), 0)
    built = builder.graph()
    plain = Graph(built.nodes)
    before = repr(built)
    built.consumers()

    assert built == plain
    assert hash(built) == hash(plain)
    assert repr(built) == repr(plain) == before
    assert built.shapes() == plain.shapes() == ((2, 4, 4), (3, 4, 4))
    assert pickle.loads(pickle.dumps(built)) == plain


def test_an_empty_scope_adds_nothing_and_scopes_end_with_an_error() -> None:
    builder = GraphBuilder((2, 4, 4))
    with builder.scope(""), builder.scope("a"), builder.scope(""):
        builder.emit(Conv(3), 0)
    with pytest.raises(KeyError), builder.scope("b"):
        raise KeyError
    builder.emit(Conv(3), 1)

    assert [node.scope for node in builder.graph().nodes[1:]] == ["a.conv1", "conv1"]
