"""Facts about encodings: which column says what, and what a missing value says."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from nasdepth.guide.encoding import Encoder, Point, Standard, place

KIND = CategoricalDistribution(("conv", "skip"))
WIDTH = IntDistribution(8, 64, step=8)


def point(
    params: dict[str, Any] | None = None,
    laws: Mapping[str, BaseDistribution] | None = None,
    **features: float | None,
) -> Point:
    return Point(params or {}, laws or {}, features)


def test_choice_is_a_column_each_and_number_its_place_beside_a_flag():
    encoder = Encoder()
    some = {"kind": KIND, "width": WIDTH}

    matrix = encoder.encode(
        [
            point({"kind": "skip", "width": 36}, some, size=3.5),
            point({"kind": "conv"}, {"kind": KIND}, size=1.0),
        ]
    )

    names = ("kind='conv'", "kind='skip'", "width:", "width?", "size")
    assert encoder.names() == names
    np.testing.assert_array_equal(
        matrix, [[0, 1, 0.5, 1, 3.5], [1, 0, math.nan, 0, 1.0]]
    )


def test_law_of_one_value_is_no_column():
    encoder = Encoder()

    encoder.encode([point({"one": 3}, {"one": IntDistribution(3, 3)})])

    assert encoder.names() == ()


def test_choices_are_left_out_where_features_count_alone():
    encoder = Encoder(choices=False)

    encoder.encode([point({"kind": "conv"}, {"kind": KIND}, size=1.0)])

    assert encoder.names() == ("size",)


@pytest.mark.parametrize("equal", [1.0, True])
def test_value_that_equals_a_choice_is_that_choice(equal):
    encoder = Encoder()
    law = CategoricalDistribution((1, 2))

    matrix = encoder.encode([point({"x": equal}, {"x": law})])

    assert encoder.names() == ("x=1", "x=2")
    np.testing.assert_array_equal(matrix, [[1, 0]])


def test_columns_that_come_later_are_padded_by_what_says_nothing():
    encoder = Encoder()
    early = encoder.encode([point({"kind": "conv"}, {"kind": KIND})])

    encoder.encode([point({"width": 8}, {"width": WIDTH}, size=1.0)])

    np.testing.assert_array_equal(encoder.pad(early), [[1, 0, math.nan, 0, math.nan]])


def test_padding_of_a_complete_matrix_changes_nothing():
    encoder = Encoder()
    matrix = encoder.encode([point({"kind": "conv"}, {"kind": KIND})])

    assert encoder.pad(matrix) is matrix


@pytest.mark.parametrize(
    ("law", "value", "expected"),
    [
        (WIDTH, 8, 0.0),
        (WIDTH, 64, 1.0),
        (FloatDistribution(-1, 3), 0.0, 0.25),
        (IntDistribution(1, 100, log=True), 10, 0.5),
    ],
)
def test_place_of_a_number_is_between_0_and_1(law, value, expected):
    assert place(law, value) == pytest.approx(expected)


def test_missing_value_stands_at_the_mean_and_leaves_it_where_it_is():
    matrix = np.array([[1.0], [3.0], [math.nan]])

    standard = Standard.of(matrix)

    np.testing.assert_allclose(standard(matrix), [[-1], [1], [0]])


def test_none_is_a_missing_value_and_breaks_nothing():
    encoder = Encoder()
    points = [point(depth=value) for value in (1.0, 3.0, None)]

    matrix = encoder.encode(points)

    assert encoder.broken == set()
    np.testing.assert_allclose(Standard.of(matrix)(matrix), [[-1], [1], [0]])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_feature_that_is_not_finite_somewhere_is_named(value):
    encoder = Encoder()

    matrix = encoder.encode([point(good=1.0, bad=value), point(good=2.0, bad=1.0)])

    assert encoder.broken == {"bad"}
    assert not np.isinf(matrix).any()


def test_constant_and_left_out_columns_are_not_kept():
    matrix = np.array([[1.0, 5.0, 1.0], [2.0, 5.0, 2.0], [3.0, 5.0, 3.0]])

    standard = Standard.of(matrix, [2])

    assert standard.kept.tolist() == [True, False, False]
    assert standard(matrix).shape == (3, 1)


@pytest.mark.parametrize("value", [0.1, 1e12 + 0.1, -3e-5])
def test_constant_is_recognised_in_spite_of_rounding(value):
    assert not Standard.of(np.full((7, 1), value)).kept.any()


def test_kept_columns_have_mean_0_and_deviation_1():
    matrix = np.random.default_rng(0).normal(5, 3, (50, 4))

    scaled = Standard.of(matrix)(matrix)

    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1)
