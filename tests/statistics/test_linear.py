"""The projections and groups that every statistic shares."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasdepth.statistics.linear import (
    basis,
    group_codes,
    group_sums,
    is_constant,
    residual,
    tanh_interval,
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 10**6), st.integers(6, 40))
def test_residual_is_that_of_least_squares(seed: int, n: int) -> None:
    draw = np.random.default_rng(seed)
    z, y = draw.standard_normal((3, n)), draw.standard_normal(n)

    left, share = residual(y, basis(z, n))

    design = np.column_stack([np.ones(n), *z])
    expected = y - design @ np.linalg.lstsq(design, y)[0]
    assert left == pytest.approx(expected, abs=1e-9)
    assert share == pytest.approx(float(np.var(expected) / np.var(y)))


def test_basis_is_orthonormal_and_starts_with_the_constant() -> None:
    z = np.random.default_rng(0).standard_normal((3, 12)) * 1e5 + 7

    found = basis(z, 12)

    assert found.T @ found == pytest.approx(np.eye(4), abs=1e-12)
    assert found[:, 0] == pytest.approx(1 / math.sqrt(12))


def test_basis_leaves_out_constant_and_dependent_covariates() -> None:
    z = np.random.default_rng(0).standard_normal((2, 12))

    assert basis([*z, np.full(12, 0.1), z[0] - 3 * z[1] + 5], 12).shape == (12, 3)


def test_residual_of_a_vector_in_the_span_is_exactly_0() -> None:
    z = np.random.default_rng(0).standard_normal((2, 12))

    left, share = residual(0.1 * z[0] + z[1] / 3 - 1, basis(z, 12))

    assert not left.any()
    assert share == 0


def test_constant_but_for_rounding_is_constant() -> None:
    assert is_constant(np.full(5, 0.1) + np.array([0, 1, 0, -1, 0]) * 1e-12)
    assert not is_constant(np.array([0.1, 0.1, 0.1001]))


def test_groups_are_numbered_by_first_appearance() -> None:
    codes, count = group_codes(["b", "a", "b", None], 4)

    assert codes.tolist() == [0, 1, 0, 2]
    assert count == 3


def test_groups_may_be_an_array() -> None:
    codes, count = group_codes(np.array([7.0, 5.0, 7.0]), 3)

    assert codes.tolist() == [0, 1, 0]
    assert count == 2


def test_without_groups_every_row_is_its_own() -> None:
    codes, count = group_codes(None, 3)

    assert codes.tolist() == [0, 1, 2]
    assert count == 3


def test_groups_need_one_label_per_row() -> None:
    with pytest.raises(ValueError, match="one label per row, 3, not 2"):
        group_codes(["a", "b"], 3)


@pytest.mark.parametrize("labels", [[0, 1, 0, 2], [0, 1, 2, 3]])
def test_group_sums_are_those_of_a_loop(labels: list[int]) -> None:
    columns = np.arange(24.0).reshape(4, 2, 3)
    codes, count = group_codes(labels, 4)

    found = group_sums(columns, codes, count)

    expected = [columns[codes == code].sum(axis=0) for code in range(count)]
    assert found == pytest.approx(np.array(expected))


def test_tanh_interval_is_symmetric_on_the_scale_of_fisher() -> None:
    low, high = tanh_interval(0.5, 0.2, 0.05)

    reach = 1.959964 * 0.2
    assert math.atanh(low) == pytest.approx(math.atanh(0.5) - reach)
    assert math.atanh(high) == pytest.approx(math.atanh(0.5) + reach)


def test_tanh_interval_of_a_perfect_correlation_is_finite() -> None:
    assert tanh_interval(1.0, 0.2, 0.05)[1] == pytest.approx(1)
