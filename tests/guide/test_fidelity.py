"""Facts about short runs: what they say of finished ones, and how surely."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasdepth.guide.fidelity import LEAST, final_scale

RESULTS = st.floats(0, 1, allow_subnormal=False)
RUNS = st.lists(st.tuples(RESULTS, RESULTS), min_size=LEAST, max_size=15)
LINE = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
#: a plateau, then a jump: no line goes through it
STEP = np.array([0.0, 0.1, 0.2, 0.3, 5.0, 5.1, 5.2, 5.3])


@given(RUNS)
def test_better_short_run_is_never_expected_to_end_worse(runs):
    short, final = np.array(runs).T
    scale = final_scale(short, final)

    mean, variance = scale(np.linspace(-0.5, 1.5, 41))

    assert np.all(np.diff(mean) >= -1e-9)
    assert np.all(variance >= 0)


def test_line_goes_on_beyond_what_was_seen():
    scale = final_scale(LINE, 0.5 + LINE)

    mean, _ = scale(np.array([0.0, 0.6, 2.0]))

    assert scale.kind == "line"
    np.testing.assert_allclose(mean, [0.5, 1.1, 2.5])


def test_steps_are_taken_where_no_line_fits_and_stay_at_their_ends():
    scale = final_scale(STEP, (STEP > 1).astype(float))

    mean, _ = scale(np.array([-9.0, 0.15, 5.15, 99.0]))

    assert scale.kind == "steps"
    np.testing.assert_allclose(mean, [0, 0, 1, 1])


def test_variance_is_the_mean_square_of_what_was_left_out():
    final = np.array([0.5, 0.6, 0.8, 0.8, 0.9])
    squares = []
    for left in range(5):
        rest = np.arange(5) != left
        slope, level = np.polyfit(LINE[rest], final[rest], 1)
        squares.append((level + slope * LINE[left] - final[left]) ** 2)

    scale = final_scale(LINE, final)

    assert scale.kind == "line"
    assert scale.variance == pytest.approx(np.mean(squares))
    assert scale.variance == pytest.approx(0.0033265306)


def test_variance_is_doubled_outside_what_was_seen():
    scale = final_scale(LINE, np.array([0.5, 0.6, 0.8, 0.8, 0.9]))

    _, variance = scale(np.array([0.09, 0.1, 0.5, 0.51]))

    np.testing.assert_allclose(variance / scale.variance, [2, 1, 1, 2])


def test_short_runs_that_mislead_say_nothing():
    scale = final_scale(LINE, -LINE)

    mean, _ = scale(LINE)

    np.testing.assert_allclose(mean, np.full(5, -0.3))


def test_equal_short_runs_are_expected_to_end_at_the_mean():
    scale = final_scale(np.full(5, 0.4), LINE)

    mean, variance = scale(np.array([0.4]))

    assert mean[0] == pytest.approx(0.3)
    assert variance[0] == pytest.approx(0.03125)


def test_fewer_than_five_runs_make_no_scale():
    assert final_scale(LINE[:4], LINE[:4]) is None
    assert final_scale(LINE, LINE) is not None
