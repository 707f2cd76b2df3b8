"""Facts about acquisition: closed forms agree with simulated responses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from nasdepth.guide.acquisition import expected_improvement, probability_of_feasibility

NUMBERS = st.floats(-5, 5)


def improvement(mean: float, sd: float, best: float) -> float:
    return float(expected_improvement(np.array([mean + 0.0]), np.array([sd]), best)[0])


@pytest.mark.parametrize(
    ("mean", "sd", "best"), [(0, 1, 0), (1, 0.5, 2), (2, 0.5, 1), (-1, 3, 0.5)]
)
def test_expected_improvement_agrees_with_simulated_responses(mean, sd, best):
    count = 400_000
    drawn = np.random.default_rng(0).normal(mean, sd, count)
    gains = np.maximum(drawn - best, 0)

    error = gains.std() / math.sqrt(count)

    assert improvement(mean, sd, best) == pytest.approx(gains.mean(), abs=4 * error)


def test_expected_improvement_at_the_best_is_the_density_at_0():
    assert improvement(0.3, 2.0, 0.3) == pytest.approx(2 / math.sqrt(2 * math.pi))


@given(NUMBERS, NUMBERS)
def test_what_is_known_improves_by_its_lead_or_not_at_all(mean, best):
    assert improvement(mean, 0.0, best) == max(mean - best, 0.0)


@given(NUMBERS, st.floats(1e-6, 5), NUMBERS)
def test_uncertainty_never_lowers_the_expected_improvement(mean, sd, best):
    plain = improvement(mean, 0.0, best)

    assert plain - 1e-12 <= improvement(mean, sd, best) <= plain + sd


def test_feasibility_agrees_with_simulated_constraints():
    count = 100_000
    mean, sd = np.array([-1.0, 0.0, 0.7]), np.array([0.5, 2.0, 0.6])
    drawn = np.random.default_rng(0).normal(mean, sd, (count, 3))

    simulated = (drawn <= 0).mean(axis=0)

    found = probability_of_feasibility(mean, sd)
    np.testing.assert_allclose(found, simulated, atol=4 * 0.5 / math.sqrt(count))
    assert found[0] == pytest.approx(norm.cdf(2))


def test_known_constraint_is_met_or_not_and_0_meets_it():
    found = probability_of_feasibility(np.array([-0.1, 0.0, 0.1]), np.zeros(3))

    assert found.tolist() == [1.0, 1.0, 0.0]
