"""Power by simulation: what it equals, where it must lie, and when there is none."""

import math

import numpy as np
import pytest
from scipy import stats

from nasdepth.statistics.power import (
    draw_responses,
    n_for_power,
    simulated_power,
)
from nasdepth.statistics.regression import partial_correlation, required_n

NOISES = ("normal", "heteroscedastic", "heavy")


def design(n: int, covariates: int = 3, r: float = 0.7) -> np.ndarray:
    """A predictor that shares r of its covariates' sum."""
    found = np.random.default_rng(n).normal(size=(n, 1 + covariates))
    if covariates:
        shared = found[:, 1:].sum(axis=1) / math.sqrt(covariates)
        found[:, 0] = r * shared + math.sqrt(1 - r**2) * found[:, 0]
    return found


@pytest.mark.parametrize("noise", NOISES)
def test_power_is_the_share_that_partial_correlation_rejects(noise: str) -> None:
    given = design(30)
    responses = draw_responses(given, 0.4, runs=40, seed=5, noise=noise)

    found = simulated_power(given, 0.4, runs=40, seed=5, noise=noise)

    fits = [
        partial_correlation(y, given[:, 0], given[:, 1:].T, seed=5 + run, draws=199)
        for run, y in enumerate(responses)
    ]
    rejected = sum(fit.p_value <= 0.05 for fit in fits)
    assert 0 < rejected < 40
    assert found.value == rejected / 40


def test_power_is_near_fishers_where_its_rows_are_enough() -> None:
    n = required_n(0.2, 3)

    found = simulated_power(design(n), 0.2)

    # the bootstrap costs a little: 199 draws, and HC3 for equal variances
    assert 0.8 - 0.03 - 3 * found.error < found.value < 0.8 + 3 * found.error


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("n", [20, 60])
def test_without_an_effect_the_test_holds_its_level(n: int, noise: str) -> None:
    found = simulated_power(design(n), 0.0, noise=noise)

    assert found.value <= 0.065


def test_error_is_that_of_a_share() -> None:
    found = simulated_power(design(40), 0.3, runs=100)

    share = found.value
    assert found.error == pytest.approx(math.sqrt(share * (1 - share) / 100))


def test_power_follows_from_the_seed() -> None:
    first, again, other = (
        simulated_power(design(40), 0.3, runs=200, seed=seed) for seed in (0, 0, 1000)
    )

    assert first == again
    assert first != other


def test_noise_that_grows_with_the_predictor_costs_power() -> None:
    even, uneven = (
        simulated_power(design(100), 0.25, noise=noise).value
        for noise in ("normal", "heteroscedastic")
    )

    assert uneven < even - 0.1


@pytest.mark.parametrize("noise", NOISES)
def test_responses_have_the_partial_correlation_and_unit_noise(noise: str) -> None:
    given = design(4000)

    drawn = draw_responses(given, 0.6, runs=20, noise=noise)

    noises = draw_responses(given, 0.0, runs=20, noise=noise)
    found = [
        partial_correlation(y, given[:, 0], given[:, 1:].T, draws=19).value
        for y in drawn
    ]
    assert np.mean(found) == pytest.approx(0.6, abs=0.015)
    assert noises.var() == pytest.approx(1, abs=0.06)


def test_kurtosis_tells_the_noises_apart() -> None:
    given = design(4000)

    kurtosis = [
        stats.kurtosis(draw_responses(given, 0.0, runs=10, noise=noise).ravel())
        for noise in ("normal", "heavy")
    ]

    assert abs(kurtosis[0]) < 0.2
    assert kurtosis[1] > 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (design(7, 4), "7 rows, 4 covariates need at least 8"),
        (np.ones((20, 2)), "linear function of the covariates"),
        (np.repeat(np.arange(20.0)[:, None], 2, axis=1), "linear function"),
        (np.eye(20)[:, :2], "one row alone decides"),
    ],
)
def test_where_there_is_no_test_the_reason_is_told(
    given: np.ndarray, told: str
) -> None:
    found = simulated_power(given, 0.2, runs=10)

    assert told in found.problem
    assert (found.value, found.error) == (None, None)


def test_collinear_covariates_change_nothing() -> None:
    given = design(40)
    doubled = np.column_stack([given, given[:, 1] + given[:, 2], np.ones(40)])

    found = simulated_power(doubled, 0.3, runs=100)

    assert found == simulated_power(given, 0.3, runs=100)


@pytest.mark.parametrize("effect", [1.0, -1.0, 3, math.nan])
def test_an_effect_that_is_no_correlation_is_refused(effect: float) -> None:
    with pytest.raises(ValueError, match=r"effect must lie in \(-1, 1\)"):
        simulated_power(design(20), effect)


def test_unknown_noise_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise must be one of normal, .*'pink'"):
        simulated_power(design(20), 0.2, noise="pink")


# --- rows for a power


@pytest.mark.parametrize(("effect", "power"), [(0.3, 0.8), (0.45, 0.9)])
def test_rows_that_are_needed_give_the_power(effect: float, power: float) -> None:
    needed = n_for_power(design, effect, power=power)

    check = simulated_power(design(needed.n), effect, seed=10**6)
    assert needed.formula == required_n(effect, 3, power=power)
    assert check.value == pytest.approx(power, abs=3 * math.hypot(check.error, 0.01))


def test_noise_that_grows_with_the_predictor_asks_for_more_rows() -> None:
    even, uneven = (
        n_for_power(design, 0.4, runs=500, noise=noise)
        for noise in ("normal", "heteroscedastic")
    )

    assert uneven.n > even.n + 3 * math.hypot(even.error, uneven.error)
    assert len(uneven.simulated) > 1


def test_error_of_the_rows_is_that_of_repeated_simulations() -> None:
    found = [n_for_power(design, 0.4, runs=200, seed=s * 10**6) for s in range(30)]

    spread = np.std([each.n for each in found])
    assert 0.6 < spread / np.mean([each.error for each in found]) < 1.5


def test_a_design_that_grows_no_further_ends_the_search() -> None:
    most = design(30)

    needed = n_for_power(lambda n: most[:n], 0.3, runs=200)

    assert [each.n for each in needed.simulated] == [30]
    assert needed.n > 50


def test_a_design_without_a_test_needs_no_rows() -> None:
    needed = n_for_power(lambda n: np.ones((n, 4)), 0.3, runs=10)

    assert (needed.n, needed.simulated) == (None, ())
    assert "linear function" in needed.problem
    assert needed.formula == required_n(0.3, 3)


@pytest.mark.parametrize("power", [0.05, 1.0, -1, math.nan])
def test_a_power_that_no_test_has_is_refused(power: float) -> None:
    with pytest.raises(ValueError, match=r"power must lie in \(0.05, 1\)"):
        n_for_power(design, 0.2, power=power)


def test_no_effect_needs_no_rows() -> None:
    with pytest.raises(ValueError, match=r"effect must lie in \(0, 1\)"):
        n_for_power(design, 0.0)
