"""Facts about prior studies: what helps has a weight, what does not has none."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from problems import accuracy, guided, layers, measures, study_of

from nasdepth.guide.draws import FunctionSpace
from nasdepth.guide.encoding import Point
from nasdepth.guide.pool import Knowledge
from nasdepth.guide.surrogate import Scale, Surrogate
from nasdepth.guide.transfer import Prior, prior_mean, weight


def points(count: int, seed: int) -> list[Point]:
    generator, known = np.random.default_rng(seed), Knowledge(features=described)
    space = FunctionSpace(layers)
    return [known.point(space.sample(generator)) for _ in range(count)]


def described(params: dict[str, Any]) -> dict[str, float]:
    kinds = [params[f"kind{place}"] for place in range(params["depth"])]
    convolutions = kinds.count("conv")
    return {**measures(params), "convs": convolutions, "width": params["width0"]}


def results(seen: Sequence[Point]) -> np.ndarray:
    return np.array([accuracy(point.params) for point in seen])


def prior(count: int = 40, *, permuted: int | None = None) -> Prior:
    seen = points(count, 99)
    responses = 3 * results(seen) + 7  # another data set has another scale
    if permuted is not None:
        responses = np.random.default_rng(permuted).permutation(responses)
    return Prior([point.features for point in seen], responses.tolist())


def learnt(known: Prior, seed: int, count: int = 15) -> float:
    seen = points(count, seed)
    matrix = np.array([list(point.features.values()) for point in seen])
    matrix = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)
    z = Scale.of(results(seen)).z(results(seen))
    posterior = Surrogate().fit(matrix, z, np.zeros(count))
    return weight(prior_mean(known, seen[0].features)(seen), z, posterior)


def test_prior_expects_what_the_other_study_found():
    new = points(100, 1)

    expected = prior_mean(prior(), new[0].features)(new)

    assert np.corrcoef(expected, results(new))[0, 1] > 0.8


def test_helpful_prior_has_a_weight():
    weights = [learnt(prior(), seed) for seed in range(20)]

    assert np.median(weights) > 0.5


def test_permuted_prior_has_next_to_none():
    weights = [learnt(prior(permuted=seed), seed) for seed in range(50)]

    assert np.mean(weights) < 0.15
    assert np.median(weights) == 0


def test_opposite_prior_has_weight_0():
    good = prior()
    bad = Prior(good.features, [-each for each in good.responses])

    assert [learnt(bad, seed) for seed in range(5)] == [0.0] * 5


def test_helpful_prior_lowers_the_regret_of_a_study():
    best = 0.0

    def regret(known: Prior | None, seed: int) -> float:
        sampler = guided(seed=seed, features=described, prior=known)
        study = study_of(sampler)
        study.optimize(lambda trial: accuracy(layers(trial)), n_trials=14)
        return best - study.best_value

    gained = [regret(None, seed) - regret(prior(), seed) for seed in range(6)]

    assert np.mean(gained) > 0
    assert sum(each > 0 for each in gained) >= 5


def test_only_common_features_count():
    known = prior()

    mean = prior_mean(known, {"size": 1.0, "layers": 1.0, "other": 1.0})

    assert mean.names == {"size", "layers"}


def test_point_that_lacks_a_common_feature_is_expected_to_be_average_in_it():
    known = prior()
    mean = prior_mean(known, {"size": 1.0, "layers": 1.0})

    lacking, none = mean(
        [Point({}, {}, {"layers": 2.0}), Point({}, {}, {"layers": 2.0, "size": None})]
    )

    assert lacking == none


def test_no_points_have_no_expectation():
    known = prior()

    assert prior_mean(known, known.features[0])([]).shape == (0,)


def test_studies_without_a_common_feature_do_not_fit():
    known = prior()

    with pytest.raises(ValueError, match=re.escape("must have a measure")) as caught:
        prior_mean(known, {"latency": 1.0})

    text = str(caught.value)
    assert "\n" not in text
    assert "has convs, layers, size, skips, width, and this one latency" in text


def test_common_feature_that_never_varies_does_not_fit():
    constant = Prior([{"size": 1.0}] * 5, [0.1, 0.2, 0.3, 0.4, 0.5])

    with pytest.raises(ValueError, match="that varies, but it has size"):
        prior_mean(constant, {"size": 1.0})


def test_fewer_than_five_results_are_no_prior():
    with pytest.raises(ValueError, match="at least 5 results, but got 4"):
        Prior([{"size": 1.0}] * 4, [0.1] * 4)


def test_prior_needs_a_response_for_each_architecture():
    with pytest.raises(ValueError, match=r"a response for each .* got 6 for 5"):
        Prior([{"size": 1.0}] * 5, [0.1] * 6)


def test_unfitting_prior_is_refused_as_soon_as_it_counts():
    known = Prior([{"size": float(place)} for place in range(5)], [0.1] * 5)
    study = study_of(guided(features=lambda p: {"depth": p["depth"]}, prior=known))

    with pytest.raises(ValueError, match="must have a measure of this one"):
        study.optimize(lambda trial: accuracy(layers(trial)), n_trials=11)
