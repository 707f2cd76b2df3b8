"""Simulated populations are what they are said to be."""

import numpy as np
import pytest

from nasdepth.statistics.linear import Vector, basis, residual
from nasdepth.statistics.simulation import (
    NOISE_SHARE,
    NOISES,
    PREDICTOR_SHARE,
    Noise,
    Simulated,
    simulate,
    simulate_tie,
    truth,
)

MANY = 200_000


def leftovers(data: Simulated) -> tuple[Vector, Vector]:
    """What the other depth and the sizes leave of response and first depth."""
    span = basis((data.second, *data.covariates), len(data.response))
    return residual(data.response, span)[0], residual(data.first, span)[0]


def errors(data: Simulated) -> Vector:
    """The noise, up to what least squares cannot tell from it."""
    columns = (data.first, data.second, *data.covariates)
    return residual(data.response, basis(columns, len(data.response)))[0]


def share_explained(response: Vector, columns: tuple[Vector, ...]) -> float:
    left, _ = residual(response, basis(columns, len(response)))
    return 1 - float(left @ left) / float(np.var(response) * len(response))


def kurtosis(values: Vector) -> float:
    return float(np.mean(values**4) / np.mean(values**2) ** 2)


@pytest.mark.parametrize("r", [0.0, 0.5, 0.95, 0.99])
def test_the_two_depths_correlate_as_asked(r: float) -> None:
    data = simulate(MANY, r=r, seed=1)

    assert np.corrcoef(data.first, data.second)[0, 1] == pytest.approx(r, abs=0.01)


@pytest.mark.parametrize("noise", ["normal", "heteroscedastic", "ceiling"])
@pytest.mark.parametrize("effect", [-0.3, 0.0, 0.2, 0.5])
def test_a_large_sample_has_the_true_partial_correlation(
    noise: Noise, effect: float
) -> None:
    y, x = leftovers(simulate(MANY, r=0.95, noise=noise, effect=effect, seed=2))

    expected = truth(r=0.95, noise=noise, effect=effect)

    assert np.corrcoef(x, y)[0, 1] == pytest.approx(expected.partial, abs=0.01)
    assert (x @ y) / (x @ x) == pytest.approx(expected.slope, abs=0.02)


@pytest.mark.parametrize("noise", ["normal", "heteroscedastic"])
def test_without_a_ceiling_the_effect_is_the_partial_correlation(noise: Noise) -> None:
    assert truth(r=0.5, noise=noise, effect=-0.3).partial == pytest.approx(-0.3)


def test_a_ceiling_shrinks_an_effect_and_makes_none() -> None:
    found = truth(r=0.5, noise="ceiling", effect=0.5).partial

    assert 0.1 < found < 0.5
    assert truth(r=0.5, noise="ceiling", effect=0.0).partial == 0


@pytest.mark.parametrize("noise", ["normal", "ceiling"])
def test_a_large_sample_has_the_true_gain_in_explained_variance(noise: Noise) -> None:
    data = simulate(MANY, r=0.5, noise=noise, effect=0.4, seed=3)
    others = (data.second, *data.covariates)
    response = data.response

    gain = share_explained(response, (*others, data.first)) - share_explained(
        response, others
    )

    expected = truth(r=0.5, noise=noise, effect=0.4).delta_r2
    assert gain == pytest.approx(expected, abs=0.005)


def test_more_sizes_change_no_effect() -> None:
    y, x = leftovers(simulate(MANY, r=0.5, effect=0.3, covariates=4, seed=4))

    assert np.corrcoef(x, y)[0, 1] == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("noise", ["normal", "heteroscedastic"])
def test_noise_has_unit_variance(noise: Noise) -> None:
    left = errors(simulate(MANY, noise=noise, seed=5))

    assert np.var(left) == pytest.approx(1, abs=0.03)


def test_heteroscedastic_noise_rises_with_the_depth_under_test() -> None:
    data = simulate(MANY, noise="heteroscedastic", seed=6)
    left = errors(data)

    deep, shallow = left[data.first > 1], left[data.first < -1]

    # exp(x/2) at the means of the two tails, x = 1.53 and -1.53
    assert 3.5 < np.std(deep) / np.std(shallow) < 6


def test_heteroscedastic_noise_of_a_tie_follows_both_depths_alike() -> None:
    data = simulate_tie(MANY, r=0.5, noise="heteroscedastic", seed=7)
    squares = errors(data) ** 2

    of_first = np.corrcoef(squares, data.first)[0, 1]
    of_second = np.corrcoef(squares, data.second)[0, 1]

    assert of_first > 0.1
    assert of_first == pytest.approx(of_second, abs=0.03)


def test_heavy_noise_has_tails_that_normal_noise_has_not() -> None:
    normal = kurtosis(errors(simulate(20_000, noise="normal", seed=8)))
    heavy = kurtosis(errors(simulate(20_000, noise="heavy", seed=8)))

    assert normal == pytest.approx(3, abs=0.2)
    assert heavy > 8


def test_one_row_in_a_hundred_stands_at_the_ceiling() -> None:
    response = simulate(MANY, noise="ceiling", effect=0.2, seed=9).response

    # half of one of 10,000 test images
    assert response.max() == pytest.approx(-np.log(0.5e-4))
    assert np.mean(response == response.max()) == pytest.approx(0.01, abs=0.002)


def alike(column: Vector) -> float:
    """Correlation of two rows of one of 2,000 families of ten."""
    pairs = column.reshape(2_000, 10)
    return float(np.corrcoef(pairs[:, 0], pairs[:, 1])[0, 1])


def test_rows_of_a_family_are_alike_in_every_predictor() -> None:
    data = simulate(20_000, r=0.5, families=2_000, seed=10)

    for column in (data.first, data.second, *data.covariates):
        assert alike(column) == pytest.approx(PREDICTOR_SHARE, abs=0.05)


@pytest.mark.parametrize("noise", ["normal", "heteroscedastic"])
def test_rows_of_a_family_are_alike_in_the_noise(noise: Noise) -> None:
    data = simulate(20_000, r=0.5, noise=noise, families=2_000, seed=11)

    assert alike(errors(data)) == pytest.approx(NOISE_SHARE, abs=0.06)


def test_within_families_the_effect_is_the_one_asked_for() -> None:
    data = simulate(20_000, r=0.5, effect=0.3, families=200, seed=11)
    codes = np.unique(data.families, return_inverse=True)[1]
    columns = np.array([data.response, data.first, data.second, *data.covariates])
    means = np.array([np.bincount(codes, each) for each in columns]) / 100
    y, x, *others = columns - means[:, codes]

    span = basis(others, len(y))

    found = np.corrcoef(residual(y, span)[0], residual(x, span)[0])[0, 1]
    assert found == pytest.approx(0.3, abs=0.02)


def test_families_are_named_and_of_one_size() -> None:
    names, counts = np.unique(simulate(40, families=4).families, return_counts=True)

    assert list(names) == ["family 0", "family 1", "family 2", "family 3"]
    assert list(counts) == [10, 10, 10, 10]
    assert simulate(40).families == ()


def test_without_nuisance_the_response_is_noise_alone() -> None:
    data = simulate(MANY, r=0.5, nuisance=0.0, seed=13)

    for column in (data.second, *data.covariates):
        assert np.corrcoef(column, data.response)[0, 1] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("r", "expected"), [(0.0, 0.348), (0.99, 0.622)])
def test_depths_of_a_tie_correlate_equally_with_the_response(
    r: float, expected: float
) -> None:
    data = simulate_tie(MANY, r=r, seed=12)

    matrix = np.corrcoef([data.response, data.first, data.second])

    assert matrix[0, 1] == pytest.approx(expected, abs=0.01)
    assert matrix[0, 2] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("noise", NOISES)
def test_a_seed_decides_the_sample(noise: Noise) -> None:
    one, again, other = (
        simulate(20, noise=noise, families=4, seed=seed) for seed in (5, 5, 6)
    )

    assert np.array_equal(one.response, again.response)
    assert not np.array_equal(one.response, other.response)


def test_an_impossible_correlation_of_the_depths_is_refused() -> None:
    with pytest.raises(ValueError, match=r"r must lie in \(-1, 1\), but got r=1"):
        simulate(10, r=1)


def test_an_impossible_effect_is_refused() -> None:
    with pytest.raises(ValueError, match=r"effect must lie in .* effect=1"):
        truth(effect=1)


def test_an_unknown_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown noise 'loud'; choose from: normal"):
        simulate(10, noise="loud")  # type: ignore[arg-type]
