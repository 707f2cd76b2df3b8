"""Arms, live edges and projections of a graph."""

import pytest

from nasdepth.architecture.families import family
from nasdepth.architecture.graph import GraphBuilder
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import (
    Activation,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Linear,
    Op,
    Zeros,
)
from nasdepth.measures.structure import Arm, Structure

MAP = (4, 8, 8)
POINT = Conv(4, 1, padding=0)
RELU = Activation("relu")


def added(*arms: tuple[Op, ...]) -> Structure:
    """A graph that adds up chains of operations on its input."""
    builder = GraphBuilder(MAP)
    ends = []
    for ops in arms:
        x = 0
        for op in ops:
            x = builder.emit(op, x)
        ends.append(x)
    builder.emit(Add(), *ends)
    return Structure(builder.graph())


@pytest.mark.parametrize(
    ("body", "shortcut"),
    [
        ((Conv(4),), (POINT,)),
        ((Conv(4), RELU, Conv(4)), (POINT, BatchNorm())),
        ((POINT, RELU, POINT), (BatchNorm(), POINT)),
    ],
)
def test_a_pointwise_shortcut_beside_a_body_is_a_projection(
    body: tuple[Op, ...], shortcut: tuple[Op, ...]
) -> None:
    structure = added(body, shortcut)

    (projection,) = structure.projections

    assert projection > len(body)
    assert structure.graph.nodes[projection].op == POINT


@pytest.mark.parametrize(
    "arms",
    [
        ((POINT,), ()),  # beside an identity
        ((POINT,), (POINT,)),  # beside its like
        ((POINT,), (RELU,)),  # beside no transformation
        ((Conv(4),), (Conv(4),)),  # a kernel of three
        ((Conv(4), Conv(4)), (POINT, POINT)),  # two transformations
    ],
)
def test_other_arms_hold_no_projection(arms: tuple[tuple[Op, ...], ...]) -> None:
    assert not added(*arms).projections


def test_every_pointwise_arm_beside_a_body_is_a_projection() -> None:
    assert len(added((Conv(4),), (POINT,), (RELU, POINT)).projections) == 2


def test_a_pointwise_arm_of_a_concat_is_no_projection() -> None:
    builder = GraphBuilder(MAP)
    builder.emit(Concat(), builder.emit(POINT, 0), builder.emit(Conv(4), 0))

    assert not Structure(builder.graph()).projections


def test_a_shared_pointwise_convolution_is_no_projection() -> None:
    # an arm ends at a node that feeds several: the convolution lies before the fork
    builder = GraphBuilder(MAP)
    shared = builder.emit(POINT, 0)
    both = builder.emit(Add(), builder.emit(Conv(4), 0), shared)
    builder.emit(Add(), builder.emit(Conv(4), both), shared)

    assert not Structure(builder.graph()).projections


def test_projections_are_found_through_nested_adds() -> None:
    builder = GraphBuilder(MAP)
    inner = builder.emit(Add(), builder.emit(Conv(4), 0), builder.emit(Conv(4), 0))
    builder.emit(Add(), inner, builder.emit(POINT, 0))

    assert len(Structure(builder.graph()).projections) == 1


def test_an_arm_is_the_chain_back_to_a_fork() -> None:
    structure = added((RELU, Conv(4), BatchNorm(), POINT), ())

    assert structure.arm(4) == Arm(0, (2, 4))
    assert structure.arm(0) == Arm(0, ())


def test_an_arm_ends_at_a_merge() -> None:
    builder = GraphBuilder(MAP)
    merge = builder.emit(Add(), 0, builder.emit(Conv(4), 0))
    end = builder.emit(Conv(4), merge)
    builder.emit(RELU, end)

    assert Structure(builder.graph()).arm(end) == Arm(merge, (end,))


def test_a_node_that_feeds_a_merge_twice_forks() -> None:
    builder = GraphBuilder(MAP)
    conv = builder.emit(Conv(4), 0)
    builder.emit(Add(), conv, conv)

    assert Structure(builder.graph()).arm(conv) == Arm(conv, ())


def test_a_linear_layer_is_no_projection() -> None:
    builder = GraphBuilder((4,))
    body = builder.emit(Linear(4), builder.emit(Linear(8), 0))
    builder.emit(Add(), body, builder.emit(Linear(4), 0))

    assert not Structure(builder.graph()).projections


def test_live_inputs_leave_constants_out() -> None:
    builder = GraphBuilder(MAP)
    zeros = builder.emit(Zeros(MAP))
    builder.emit(Concat(), zeros, 0)
    structure = Structure(builder.graph())

    assert structure.graph.nodes[2].inputs == (1, 0)
    assert structure.live == ((), (), (0,))


@pytest.mark.parametrize(
    ("name", "projections"),
    [("resnet18", 3), ("resnet50", 4), ("googlenet", 0), ("mobilenet_v2", 0)],
)
def test_projections_of_published_networks(name: str, projections: int) -> None:
    structure = Structure(lower(family(name)))

    assert len(structure.projections) == projections
    scopes = {structure.graph.nodes[i].scope for i in structure.projections}
    assert all(scope.endswith("shortcut.conv1") for scope in scopes)
