"""Whether predictions held: counts, Wilson's interval, and what is a prediction."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from nasdepth.guide.coverage import (
    Prediction,
    coverage_of,
    half_width,
    prediction,
)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_central_interval_of_a_normal_law_has_its_level(level: float) -> None:
    reach = half_width(level)

    assert norm.cdf(reach) - norm.cdf(-reach) == pytest.approx(level)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_right_predictions_are_covered_at_their_level(level: float) -> None:
    generator = np.random.default_rng(5)
    means, sds = generator.uniform(0.5, 0.9, 2000), generator.uniform(0.01, 0.1, 2000)
    results = generator.normal(means, sds)
    rows = enumerate(zip(means, sds, results, strict=True))
    found = coverage_of([Prediction(i, *values) for i, values in rows], level)

    low, high = found.interval

    assert low < level < high
    assert high - low < 0.05


def test_interval_of_a_share_is_wilsons() -> None:
    # worked by hand from the formula: 8 of 10, z = 1.959964
    rows = [Prediction(i, 0.0, 1.0, 0.0 if i < 8 else 9.0) for i in range(10)]

    found = coverage_of(rows, 0.95)

    assert (found.inside, found.n, found.share) == (8, 10, 0.8)
    z = 1.959964
    centre = (0.8 + z**2 / 20) / (1 + z**2 / 10)
    half = z * math.sqrt(0.8 * 0.2 / 10 + z**2 / 400) / (1 + z**2 / 10)
    assert found.interval == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_deviations_have_the_side_of_the_result() -> None:
    assert Prediction(0, 0.8, 0.05, 0.9).z == pytest.approx(2)
    assert Prediction(0, 0.8, 0.05, 0.7).z == pytest.approx(-2)


def test_what_the_guide_keeps_is_a_prediction() -> None:
    told = {"origin": "pool", "mean": 0.8, "sd": 0.02, "n": 12}

    assert prediction(3, told, 0.83) == Prediction(3, 0.8, 0.02, 0.83)


@pytest.mark.parametrize(
    ("told", "result"),
    [
        (None, 0.8),
        ("pool", 0.8),
        ({}, 0.8),
        ({"mean": None, "sd": None}, 0.8),
        ({"mean": 0.8, "sd": None}, 0.8),
        ({"mean": 0.8, "sd": 0.0}, 0.8),
        ({"mean": math.nan, "sd": 0.1}, 0.8),
        ({"mean": 0.8, "sd": math.inf}, 0.8),
        ({"mean": 0.8, "sd": 0.1}, None),
        ({"mean": 0.8, "sd": 0.1}, math.inf),
    ],
)
def test_what_cannot_be_judged_is_no_prediction(
    told: object, result: float | None
) -> None:
    assert prediction(3, told, result) is None
