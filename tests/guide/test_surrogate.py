"""Facts about surrogates: what they recover, how surely, what they fall back to."""

import logging

import numpy as np
import pytest

from nasdepth.guide import surrogate
from nasdepth.guide.surrogate import Scale, Surrogate

FEW = np.linspace(-1, 1, 9)[:, None]


def smooth(points: np.ndarray) -> np.ndarray:
    return np.sin(2 * points[:, 0]) + points[:, 1] ** 2 - points[:, 0] * points[:, 2]


def scattered(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.5, 1.5, (count, 3))


def flat(points: np.ndarray) -> np.ndarray:
    return np.zeros(len(points))


def broken(*args: object, **options: object) -> None:
    raise np.linalg.LinAlgError("not positive definite")


def test_process_recovers_a_smooth_function():
    seen, new = scattered(80, 0), scattered(200, 1)
    scale = Scale.of(smooth(seen))

    posterior = Surrogate().fit(seen, scale.z(smooth(seen)), flat(seen))
    mean, sd = posterior.predict(new)

    assert posterior.kind == "gp"
    assert np.corrcoef(mean, smooth(new))[0, 1] > 0.95
    missed = scale.back(mean) - smooth(new)
    assert np.mean(np.abs(missed) <= 3 * scale.spread * sd) > 0.9


def test_process_is_surer_where_it_has_seen_something():
    seen = scattered(30, 0)

    posterior = Surrogate().fit(seen, smooth(seen), flat(seen))

    _, at_seen = posterior.predict(seen)
    _, far = posterior.predict(seen + 5)
    assert at_seen.max() < 0.5 * far.min()


def test_noisy_response_counts_less():
    responses = np.where(np.arange(9) == 4, 2.0, 0.1 * FEW[:, 0])
    noise = np.where(np.arange(9) == 4, 100.0, 0.0)

    trusted, trusted_sd = Surrogate().fit(FEW, responses, flat(FEW)).predict(FEW)
    doubted, doubted_sd = Surrogate().fit(FEW, responses, noise).predict(FEW)

    assert abs(doubted[4]) < 0.2
    assert trusted[4] > doubted[4] + 0.1
    assert trusted_sd[4] != doubted_sd[4]


def test_whitened_vectors_have_the_products_of_the_inverse_covariance():
    posterior = Surrogate().fit(FEW, np.sin(FEW[:, 0]), flat(FEW))
    one = np.sin(FEW[:, 0])

    # K⁻¹y from the mean: with y' = y + e, the mean moves by k'K⁻¹e
    white = posterior.whiten(np.eye(9))

    inverse = white.T @ white
    np.testing.assert_allclose(inverse, inverse.T)
    assert np.all(np.linalg.eigvalsh(inverse) > 0)
    size = posterior.whiten(one)
    assert size @ size == pytest.approx(one @ inverse @ one)


def test_hyperparameters_are_fitted_every_few_observations_only(monkeypatch):
    counts = []
    optimum = surrogate._optimum

    def counting(*args, **options):
        counts.append(1)
        return optimum(*args, **options)

    monkeypatch.setattr(surrogate, "_optimum", counting)
    model, points = Surrogate(every=5), scattered(20, 0)

    fits = []
    for count in range(8, 20):
        before = len(counts)
        model.fit(points[:count], smooth(points[:count]), flat(points[:count]))
        fits.append(count if len(counts) > before else None)

    assert [count for count in fits if count] == [8, 13, 18]


def test_running_points_are_believed_at_their_mean_and_surer_after():
    seen, running = scattered(20, 0), scattered(3, 1)
    model = Surrogate(every=99)

    before = model.fit(seen, smooth(seen), flat(seen))
    after = model.believe(seen, smooth(seen), flat(seen), running)

    mean, sd = before.predict(running)
    np.testing.assert_allclose(after.predict(running)[0], mean, atol=1e-6)
    assert np.all(after.predict(running)[1] < sd)


def test_running_points_do_not_move_the_hyperparameters():
    seen, running = scattered(20, 0), scattered(9, 1)
    model = Surrogate(every=5)
    model.fit(seen, smooth(seen), flat(seen))
    before = model._kernel

    model.believe(seen, smooth(seen), flat(seen), running)

    assert model._kernel == before


def test_no_running_points_change_nothing():
    seen = scattered(20, 0)

    plain = Surrogate().fit(seen, smooth(seen), flat(seen)).predict(seen)
    believed = Surrogate().believe(seen, smooth(seen), flat(seen), seen[:0])

    np.testing.assert_array_equal(believed.predict(seen), plain)


def test_failed_process_gives_way_to_a_ridge_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(surrogate.GaussianProcessRegressor, "fit", broken)
    model, seen = Surrogate(), scattered(40, 0)

    with caplog.at_level(logging.WARNING):
        posteriors = [model.fit(seen, smooth(seen), flat(seen)) for _ in range(3)]

    assert [each.kind for each in posteriors] == ["ridge"] * 3
    mean, sd = posteriors[0].predict(seen)
    assert np.corrcoef(mean, smooth(seen))[0, 1] > 0.8
    assert np.all(sd >= 0)
    assert [record.getMessage() for record in caplog.records] == [
        "The fit of the guide's Gaussian process failed (not positive definite):"
        " it goes on with Bayesian ridge."
    ]


def test_ridge_weighs_noisy_responses_less(monkeypatch):
    monkeypatch.setattr(surrogate.GaussianProcessRegressor, "fit", broken)
    responses = FEW[:, 0] + np.where(np.arange(9) == 8, 5.0, 0.0)

    trusted = Surrogate().fit(FEW, responses, flat(FEW)).predict(FEW)[0]
    noise = np.where(np.arange(9) == 8, 1e6, 0.0)
    doubted = Surrogate().fit(FEW, responses, noise).predict(FEW)[0]

    assert abs(doubted[8] - 1) < 0.1
    assert trusted[8] > 2


def test_without_any_model_there_is_none_and_both_failures_are_said(
    monkeypatch, caplog
):
    monkeypatch.setattr(surrogate.GaussianProcessRegressor, "fit", broken)
    monkeypatch.setattr(surrogate.BayesianRidge, "fit", broken)
    model = Surrogate()

    with caplog.at_level(logging.WARNING):
        found = [model.fit(FEW, FEW[:, 0], flat(FEW)) for _ in range(2)]

    assert found == [None, None]
    assert model.believe(FEW, FEW[:, 0], flat(FEW), FEW) is None
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[1].endswith("it goes on with random points.")


def test_prediction_that_is_not_finite_is_a_failed_fit(monkeypatch, caplog):
    predict = surrogate.GaussianProcessRegressor.predict

    def endless(self, *args, **options):
        return tuple(part * np.nan for part in predict(self, *args, **options))

    monkeypatch.setattr(surrogate.GaussianProcessRegressor, "predict", endless)

    with caplog.at_level(logging.WARNING):
        found = Surrogate().fit(FEW, FEW[:, 0], flat(FEW))

    assert found.kind == "ridge"
    assert "its prediction is not finite" in caplog.text


def test_few_responses_are_scaled_as_they_are():
    responses = np.array([1.0, 2.0, 3.0, 4.0])

    scale = Scale.of(responses)

    assert (scale.centre, scale.floor) == (2.5, -np.inf)
    assert scale.spread == pytest.approx(1.1180340)
    np.testing.assert_allclose(
        scale.z(responses), [-1.3416408, -0.4472136, 0.4472136, 1.3416408]
    )


@pytest.mark.parametrize(("count", "floor"), [(19, -np.inf), (20, -9.5)])
def test_lower_tail_is_clipped_from_twenty_responses(count, floor):
    # 1 … 19, whose quartile and median with the outlier are 4.75 and 9.5
    responses = np.append(np.arange(1.0, count), -1000.0)

    scale = Scale.of(responses)

    assert scale.floor == floor
    clipped = np.maximum(responses, floor)
    assert scale.centre == pytest.approx(clipped.mean())
    assert scale.z(responses).min() == pytest.approx(
        (max(-1000.0, floor) - clipped.mean()) / clipped.std()
    )


def test_scale_is_taken_back():
    responses = np.random.default_rng(0).normal(5, 2, 30)
    scale = Scale.of(responses)

    kept = responses >= scale.floor

    np.testing.assert_allclose(scale.back(scale.z(responses))[kept], responses[kept])


def test_equal_responses_have_a_scale():
    scale = Scale.of(np.full(3, 0.7))

    np.testing.assert_allclose(scale.z(np.array([0.7, 1.7])), [0, 1], atol=1e-12)
