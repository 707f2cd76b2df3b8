"""Canonical form and digest: against isomorphism, and against what must not matter."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import as_parts, isomorphic, labelled, rewritten, same
from strategies import edges, graphs, inserted, knots, renumbered

from nasdepth.architecture import canonical as canonical_module
from nasdepth.architecture.canonical import canonical, digest
from nasdepth.architecture.families import family
from nasdepth.architecture.graph import Graph, GraphBuilder, Node
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import (
    Activation,
    Add,
    Concat,
    Conv,
    Identity,
    Input,
    Pool,
    Zeros,
)

RANDOM = st.randoms(use_true_random=False)
MAP = (2, 4, 4)


def chain(*ops: object) -> Graph:
    builder = GraphBuilder(MAP)
    x = 0
    for op in ops:
        x = builder.emit(op, x)
    return builder.graph()


# --- the form


@given(graphs())
def test_canonical_form_is_the_naive_rewriting(graph: Graph) -> None:
    form = labelled(as_parts(canonical(graph)))

    assert same(form, labelled(rewritten(graph)))


@given(graphs())
def test_canonical_is_idempotent(graph: Graph) -> None:
    form = canonical(graph)

    assert canonical(form) == form


@given(graphs())
def test_canonical_keeps_the_shape_of_the_output(graph: Graph) -> None:
    assert canonical(graph).shapes()[-1] == graph.shapes()[-1]


def test_nested_adds_become_one_merge_of_three_arms() -> None:
    builder = GraphBuilder(MAP)
    first, second = builder.emit(Conv(2), 0), builder.emit(Conv(2), 0)
    builder.emit(Add(), builder.emit(Add(), 0, first), second)

    form = canonical(builder.graph())

    assert [len(n.inputs) for n in form.nodes if n.op == Add()] == [3]


def test_an_add_read_twice_apart_stays_a_merge() -> None:
    builder = GraphBuilder(MAP)
    inner = builder.emit(Add(), 0, builder.emit(Conv(2), 0))
    first = builder.emit(Activation("relu"), builder.emit(Add(), inner, 0))
    builder.emit(Add(), first, builder.emit(Activation("relu"), inner))

    form = canonical(builder.graph())

    assert [len(n.inputs) for n in form.nodes if n.op == Add()] == [2, 2, 2]


def test_an_add_read_by_two_adds_that_become_one_joins_them() -> None:
    builder = GraphBuilder(MAP)
    inner = builder.emit(Add(), 0, builder.emit(Conv(2), 0))
    builder.emit(Add(), inner, builder.emit(Add(), inner, builder.emit(Conv(2), 0)))

    form = canonical(builder.graph())

    assert [n.inputs for n in form.nodes if n.op == Add()] == [(0, 1, 0, 1, 2)]


def test_an_add_in_a_concat_stays_a_merge() -> None:
    builder = GraphBuilder(MAP)
    inner = builder.emit(Add(), 0, builder.emit(Conv(2), 0))
    builder.emit(Concat(), inner, 0)

    assert canonical(builder.graph()) == builder.graph()


def test_nodes_on_no_path_go() -> None:
    builder = GraphBuilder(MAP)
    builder.emit(Conv(7), 0)
    builder.emit(Conv(2), 0)

    assert [n.op for n in canonical(builder.graph()).nodes] == [Input(MAP), Conv(2)]


def test_an_arm_without_the_input_vanishes_from_an_add() -> None:
    builder = GraphBuilder(MAP)
    builder.emit(Add(), builder.emit(Conv(2), builder.emit(Zeros(MAP))), 0)

    assert [n.op for n in canonical(builder.graph()).nodes] == [Input(MAP)]


def test_an_arm_without_the_input_is_zeros_in_a_concat() -> None:
    builder = GraphBuilder(MAP)
    builder.emit(Concat(), 0, builder.emit(Conv(5), builder.emit(Zeros(MAP))))

    ops = [n.op for n in canonical(builder.graph()).nodes]

    assert ops == [Input(MAP), Zeros((5, 4, 4)), Concat()]


def test_a_graph_without_a_path_is_its_input_and_zeros() -> None:
    builder = GraphBuilder(MAP)
    builder.emit(Conv(3), builder.emit(Zeros(MAP)))

    ops = [n.op for n in canonical(builder.graph()).nodes]

    assert ops == [Input(MAP), Zeros((3, 4, 4))]


def test_an_output_that_passes_on_a_value_is_read_through() -> None:
    plain = chain(Conv(3))
    passed = chain(Conv(3), Identity(), Add(), Concat(), Identity())

    assert [n.op for n in canonical(passed).nodes] == [n.op for n in plain.nodes]


def test_an_output_that_passes_on_a_nested_add_takes_its_arms() -> None:
    builder = GraphBuilder(MAP)
    inner = builder.emit(Add(), 0, builder.emit(Conv(2), 0))
    builder.emit(Add(), inner, builder.emit(Zeros(MAP)))

    ops = [n.op for n in canonical(builder.graph()).nodes]

    assert ops == [Input(MAP), Conv(2), Add()]


# --- the digest


@given(graphs(), RANDOM)
def test_digest_ignores_numbers_scopes_and_the_order_of_arms(
    graph: Graph, random: Random
) -> None:
    assert digest(renumbered(graph, random)) == digest(graph)


@given(knots(), RANDOM)
def test_digest_ignores_numbers_in_graphs_full_of_symmetries(
    graph: Graph, random: Random
) -> None:
    assert digest(renumbered(graph, random)) == digest(graph)


def triangle(builder: GraphBuilder) -> list[int]:
    """Three sums of two convolutions each, all alike."""
    a, b, c = (builder.emit(Conv(2), 0) for _ in range(3))
    sums = [builder.emit(Add(), *pair) for pair in ((a, b), (b, c), (c, a))]
    return [builder.emit(Activation("relu"), x) for x in sums]


def partners(builder: GraphBuilder) -> list[int]:
    """Two sums alike but for what else their second arms feed."""
    a, b, c, d = (builder.emit(Conv(2), 0) for _ in range(4))
    sums = [builder.emit(Add(), *pair) for pair in ((a, c), (b, d))]
    arms = [builder.emit(Activation("relu"), x) for x in sums]
    arms.append(builder.emit(Activation("tanh"), c))
    return [*arms, builder.emit(Activation("elu"), d)]


def chains(builder: GraphBuilder) -> list[int]:
    """Two chains alike but for what else their first nodes feed."""
    a, b = builder.emit(Conv(2), 0), builder.emit(Conv(2), 0)
    arms = [builder.emit(Activation("relu"), x) for x in (a, b)]
    arms.append(builder.emit(Activation("tanh"), a))
    return [*arms, builder.emit(Activation("elu"), b)]


@pytest.mark.parametrize("knot", [triangle, partners, chains])
def test_digest_unties_arms_that_look_alike(
    knot: Callable[[GraphBuilder], list[int]],
) -> None:
    digests = set()
    for order in permutations(range(4)):
        builder = GraphBuilder(MAP)
        arms = knot(builder)
        builder.emit(Add(), *(arms[i] for i in order if i < len(arms)))
        digests.add(digest(builder.graph()))

    assert len(digests) == 1


@given(knots(), knots())
def test_digests_are_equal_exactly_where_knots_are_isomorphic(
    one: Graph, other: Graph
) -> None:
    assert (digest(one) == digest(other)) == isomorphic(one, other)


@given(knots(), RANDOM)
def test_a_rewired_edge_changes_the_digest_unless_the_network_is_one(
    graph: Graph, random: Random
) -> None:
    nodes = list(graph.nodes)
    reader = random.choice([i for i, n in enumerate(nodes) if n.op == Add()])
    node = nodes[reader]
    arms = [random.randrange(1, 3), *node.inputs[1:]]
    nodes[reader] = Node(node.op, tuple(arms), node.scope)
    other = Graph(tuple(nodes))

    assert (digest(graph) == digest(other)) == isomorphic(graph, other)


@given(graphs(most_nodes=4), graphs(most_nodes=4))
def test_digests_are_equal_exactly_where_graphs_are_isomorphic(
    one: Graph, other: Graph
) -> None:
    assert (digest(one) == digest(other)) == isomorphic(one, other)


@given(graphs(), st.data())
def test_an_identity_on_an_edge_leaves_the_digest(
    graph: Graph, data: st.DataObject
) -> None:
    places = edges(graph) or [None]
    place = data.draw(st.sampled_from(places))

    longer = graph if place is None else inserted(graph, Identity(), *place)

    assert digest(longer) == digest(graph)


def test_nesting_of_merges_leaves_the_digest() -> None:
    digests = set()
    for kind in (Add(), Concat()):
        for nested in ("left", "right", "flat"):
            builder = GraphBuilder(MAP)
            arms = [builder.emit(Conv(2, k, padding=k // 2), 0) for k in (1, 3, 5)]
            if nested == "left":
                arms = [builder.emit(kind, *arms[:2]), arms[2]]
            if nested == "right":
                arms = [arms[0], builder.emit(kind, *arms[1:])]
            builder.emit(kind, *arms)
            digests.add((kind, digest(builder.graph())))

    assert len(digests) == 2


def test_the_order_of_a_concat_changes_the_digest() -> None:
    digests = set()
    for order in ((0, 1), (1, 0)):
        builder = GraphBuilder(MAP)
        arms = [builder.emit(Conv(2), 0), builder.emit(Activation("relu"), 0)]
        builder.emit(Concat(), *(arms[i] for i in order))
        digests.add(digest(builder.graph()))

    assert len(digests) == 2


@pytest.mark.parametrize(
    "changed",
    [
        chain(Conv(5), Activation("relu")),
        chain(Conv(4, 1, padding=0), Activation("relu")),
        chain(Conv(4, groups=2), Activation("relu")),
        chain(Conv(4, bias=True), Activation("relu")),
        chain(Conv(4), Activation("relu6")),
        chain(Conv(4)),
        chain(Conv(4), Activation("relu"), Pool("max", 3, 1, 1)),
        chain(Conv(4), Activation("relu"), Pool("avg", 3, 1, 1)),
    ],
)
def test_an_attribute_changes_the_digest(changed: Graph) -> None:
    assert digest(changed) != digest(chain(Conv(4), Activation("relu")))


def test_the_shape_of_the_input_changes_the_digest() -> None:
    digests = {digest(GraphBuilder(shape).graph()) for shape in (MAP, (2, 4, 5))}

    assert len(digests) == 2


def test_the_seed_of_the_links_changes_the_digest() -> None:
    cell = family("nn_mass_cnn:5:1:4:4:4")

    assert digest(lower(replace(cell, seed=1))) != digest(lower(cell))


def test_names_of_one_network_share_a_digest() -> None:
    names = ("resnet18", "vgg16", "stack:4:4", "stack:4:1", "cifar_resnet20")
    digests = [digest(lower(family(name))) for name in names]

    assert len(set(digests)) == len(names)
    assert digest(lower(family("cifar_resnet:20"))) == digests[-1]


def test_digest_of_a_known_network_never_changes() -> None:
    # stored studies hold digests: a change of this value orphans them
    expected = "968539f19ce75dbfc9b7582102c9507a0d601a7c64220886d932f67e67ae1b1d"

    assert digest(lower(family("cifar_resnet20"))) == expected


@given(graphs())
def test_a_graph_in_canonical_form_is_found_as_it_is(graph: Graph) -> None:
    form = canonical(graph)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonical_module, "_is_canonical", lambda graph: False)
        slow = canonical(graph)

    assert form == slow
    assert canonical(form) is form or any(isinstance(n.op, Zeros) for n in form.nodes)
