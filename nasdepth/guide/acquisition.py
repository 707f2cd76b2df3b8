"""How much a point promises: expected improvement, and whether it will be feasible."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Vector: TypeAlias = NDArray[np.float64]


def expected_improvement(mean: Vector, sd: Vector, best: float) -> Vector:
    """Expected improvement on the best, larger being better.

    (μ - b) Φ(z) + s φ(z) with z = (μ - b) / s: Jones, Schonlau & Welch 1998
    (doi:10.1023/A:1008306431147), eq. 15.

    Args:
        mean: of the response, `(points,)`.
        sd: of the response without noise, `(points,)`; 0 where it is known.
        best: to improve on.
    """
    gain = mean - best
    z = np.divide(gain, sd, out=np.zeros_like(gain), where=sd > 0)
    improvement = gain * norm.cdf(z) + sd * norm.pdf(z)
    return np.where(sd > 0, improvement, np.maximum(gain, 0.0))


def probability_of_feasibility(mean: Vector, sd: Vector) -> Vector:
    """Probability that a constraint is at most 0.

    Gardner et al. 2014 (https://proceedings.mlr.press/v32/gardner14.html), eq. 5.

    Args:
        mean: of the constraint, `(points,)`.
        sd: of the constraint, `(points,)`.
    """
    z = np.divide(-mean, sd, out=np.where(mean > 0, -np.inf, np.inf), where=sd > 0)
    return np.asarray(norm.cdf(z))
