"""Operations: shapes, costs, and the inputs that do not fit.

That torch agrees on shapes and costs is tested with the network package.
"""

import pytest

from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GroupNorm,
    Identity,
    Input,
    InvalidGraph,
    Linear,
    Op,
    Pool,
    Select,
    Zeros,
)

MAP = (6, 9, 7)


@pytest.mark.parametrize(
    ("op", "inputs", "shape", "params", "macs"),
    [
        (Input(MAP), [], MAP, 0, 0),
        (Zeros(MAP), [], MAP, 0, 0),
        (Conv(4), [MAP], (4, 9, 7), 216, 216 * 63),
        (Conv(4, bias=True), [MAP], (4, 9, 7), 220, 216 * 63),
        (Conv(4, 5, stride=2, padding=0), [MAP], (4, 3, 2), 600, 600 * 6),
        (Conv(12, groups=6), [MAP], (12, 9, 7), 108, 108 * 63),
        (Linear(5), [(6,)], (5,), 35, 30),
        (Linear(5, bias=False), [(6,)], (5,), 30, 30),
        (Conv(4, (1, 5), 1, (0, 2)), [MAP], (4, 9, 7), 120, 120 * 63),
        (Conv(4, 3, padding=2, dilation=2), [MAP], (4, 9, 7), 216, 216 * 63),
        (Conv(4, tied=True), [MAP], (4, 9, 7), 0, 216 * 63),
        (Linear(5), [(2, 3, 6)], (2, 3, 5), 35, 180),
        (Pool("max", (3, 1), (2, 1)), [MAP], (6, 4, 7), 0, 0),
        (Concat(1), [(4, 6), (4, 1)], (4, 7), 0, 0),
        (BatchNorm(), [MAP], MAP, 12, 0),
        (GroupNorm(2), [MAP], MAP, 12, 0),
        (Activation("relu"), [MAP], MAP, 0, 0),
        (Dropout(0.5), [MAP], MAP, 0, 0),
        (Identity(), [MAP], MAP, 0, 0),
        (Pool("max", 2, 2), [MAP], (6, 4, 3), 0, 0),
        (Pool("avg", 3, 2, 1), [MAP], (6, 5, 4), 0, 0),
        (AdaptivePool(), [MAP], (6, 1, 1), 0, 0),
        (AdaptivePool(3), [MAP], (6, 3, 3), 0, 0),
        (Flatten(), [MAP], (378,), 0, 0),
        (Select((5, 0)), [MAP], (2, 9, 7), 0, 0),
        (Select((1,)), [(6,)], (1,), 0, 0),
        (Add(), [MAP, MAP], MAP, 0, 0),
        (Concat(), [MAP, (1, 9, 7)], (7, 9, 7), 0, 0),
        (Concat(), [(6,), (2,)], (8,), 0, 0),
    ],
    ids=str,
)
def test_shape_parameters_and_macs(
    op: Op,
    inputs: list[tuple[int, ...]],
    shape: tuple[int, ...],
    params: int,
    macs: int,
) -> None:
    assert op.shape(inputs) == shape
    assert op.params(inputs) == params
    assert op.macs(inputs) == macs


def test_convolutions_and_linear_layers_alone_transform() -> None:
    kinds = [Conv(1), Linear(1), BatchNorm(), Pool("max", 2, 2), Add(), Select((0,))]

    assert [op.transforms for op in kinds] == [True, True, *[False] * 4]


@pytest.mark.parametrize(
    ("side", "op", "windows"),
    [
        (112, Pool("max", 3, 2, ceil=True), 56),  # GoogLeNet
        (14, Pool("max", 2, 2, ceil=True), 7),
        (7, Pool("max", 2, 2, ceil=True), 4),
        (7, Pool("max", 2, 2), 3),
        (2, Pool("max", 3, 2, ceil=True), 1),  # hangs over
        (4, Pool("max", 2, 3, 1, ceil=True), 2),  # a third would start outside
        (4, Pool("max", 2, 5, 1, ceil=True), 1),  # and here just at the edge
    ],
)
def test_a_window_may_hang_over_but_not_start_beyond_the_edge(
    side: int, op: Pool, windows: int
) -> None:
    assert op.shape([(1, side, side)]) == (1, windows, windows)


@pytest.mark.parametrize(
    ("op", "window"),
    [
        (Conv(1, 5, stride=2), (5, 2)),
        (Pool("avg", 3, 1), (3, 1)),
        (AdaptivePool(), (1, 1)),
        (Linear(3), (1, 1)),
    ],
)
def test_windows(op: Op, window: tuple[int, int]) -> None:
    assert op.window(0) == op.window(1) == window


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        (Conv(4), [(6,)], r"Conv needs \(channels, height, width\), but got \(6,\)\."),
        (Pool("max", 2, 2), [(6,)], r"Pool needs \(channels, height, width\)"),
        (AdaptivePool(), [(6,)], r"AdaptivePool needs \(channels, height, width\)"),
        (Conv(0), [MAP], r"Conv\.channels must be positive, but got Conv\(channels=0"),
        (Conv(4, groups=4), [MAP], r"divide .* but got groups=4 for 6 -> 4\."),
        (Conv(4, groups=3), [MAP], r"divide .* but got groups=3 for 6 -> 4\."),
        (Conv(4, 11), [MAP], r"window of 11 with padding 1 does not fit a side of 7\."),
        (Pool("max", 8, 2), [MAP], r"window of 8 with padding 0 does not fit a side"),
        (Select(()), [MAP], r"name channels of its input, but got \(\) of 6\."),
        (Select((6,)), [MAP], r"name channels of its input, but got \(6,\) of 6\."),
        (Select((-1,)), [MAP], r"name channels of its input, but got \(-1,\) of 6\."),
        (Add(), [MAP, (6, 9, 8)], r"Add needs equal shapes, but got \[\(6, 9, 7\), "),
        (Concat(), [MAP, (6, 9, 8)], r"Concat needs maps of equal size, but got \["),
        (GroupNorm(4), [MAP], r"GroupNorm\.groups must divide .* groups=4 for 6\."),
    ],
)
def test_inputs_that_do_not_fit(
    op: Op, inputs: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(InvalidGraph, match=message):
        op.shape(inputs)


def test_operations_are_values() -> None:
    assert Conv(4, 3) == Conv(4)
    assert len({Conv(4), Conv(4, 3), Conv(5)}) == 2
    with pytest.raises(AttributeError, match="cannot assign to field"):
        Conv(4).channels = 5
