"""What a study's results say of points not yet tried: a Gaussian process, or a ridge.

Matérn kernel of smoothness 5/2, one length for all standardised features (Rasmussen &
Williams 2006, *Gaussian Processes for Machine Learning*, eq. 4.17), with noise. Below
some hundred points trees are clearly worse.
"""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]
_log = logging.getLogger(__name__)

#: responses from which the lower tail is clipped
_CLIPPED_FROM: Final = 20
#: times the distance from the median to the lower quartile
_TAIL: Final = 4.0
#: steps of one fit of the hyperparameters
_STEPS: Final = 20
_JITTER: Final = 1e-8
#: spread that is rounding, relative to the mean
_EQUAL: Final = 1e-12
#: what a fit fails with
_FAILURES: Final = (np.linalg.LinAlgError, ValueError, FloatingPointError)


@dataclass(frozen=True, slots=True)
class Scale:
    """From responses to z-scores and back.

    Attributes:
        centre: mean of the clipped responses.
        spread: their standard deviation, 1 where they are equal.
        floor: least response that counts.
    """

    centre: float
    spread: float
    floor: float

    @staticmethod
    def of(responses: Vector) -> "Scale":
        """Scale of responses; larger is better.

        A failed training says that it failed, not by how much: responses are clipped
        at the median less four times its distance from the lower quartile.
        """
        floor = -np.inf
        if len(responses) >= _CLIPPED_FROM:
            lower, median = np.quantile(responses, [0.25, 0.5])
            floor = median - _TAIL * (median - lower)
        clipped = np.maximum(responses, floor)
        centre, spread = float(clipped.mean()), float(clipped.std())
        equal = spread <= _EQUAL * abs(centre)
        return Scale(centre, 1.0 if equal else spread, float(floor))

    def z(self, responses: Vector) -> Vector:
        """Standardised responses."""
        return (np.maximum(responses, self.floor) - self.centre) / self.spread

    def back(self, z: Vector) -> Vector:
        """Responses of z-scores."""
        return self.centre + self.spread * z


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """A fitted surrogate.

    Attributes:
        kind: "gp" or "ridge".
        noise: variance of a finished result about its mean.
        predict: points, `(points, features)`, to mean and standard deviation of the
            response without noise, each `(points,)`.
        whiten: a vector over the observed points times the inverse root of their
            covariance.
    """

    kind: str
    noise: float
    predict: Callable[[Matrix], tuple[Vector, Vector]]
    whiten: Callable[[Vector], Vector]


@dataclass(slots=True)  # not frozen: it remembers its hyperparameters
class Surrogate:
    """Fits posteriors to growing data; hyperparameters are fitted now and then.

    Attributes:
        every: observations between two fits of the hyperparameters.
    """

    every: int = 5
    _kernel: Any = None
    _fitted: int = 0
    _said: set[str] = field(default_factory=set)

    def fit(self, points: Matrix, responses: Vector, noise: Vector) -> Posterior | None:
        """Posterior given the data; None where no model could be fitted.

        Args:
            points: standardised, `(points, features)`.
            responses: standardised, `(points,)`.
            noise: variance of each response beyond the common noise, `(points,)`.
        """
        for kind, make in (("gp", self._gp), ("ridge", _ridge)):
            try:
                posterior = make(points, responses, noise)
                mean, sd = posterior.predict(points[:1])
                if np.isfinite(mean).all() and np.isfinite(sd).all():
                    return posterior
                self._say(kind, "its prediction is not finite")
            except _FAILURES as error:
                self._say(kind, str(error).splitlines()[0] if str(error) else "no text")
        return None

    def believe(
        self, points: Matrix, responses: Vector, noise: Vector, running: Matrix
    ) -> Posterior | None:
        """Posterior in which running points have come out at their mean.

        Ginsbourger et al. 2010 (doi:10.1007/978-3-642-10701-6_6), the kriging believer.
        """
        posterior = self.fit(points, responses, noise)
        if posterior is None or not len(running):
            return posterior
        mean, _ = posterior.predict(running)
        # hyperparameters are fitted to what came out, never to what is believed
        fitted, self._fitted = self._fitted, len(points) + len(running)
        believed = self.fit(
            np.vstack([points, running]),
            np.concatenate([responses, mean]),
            np.concatenate([noise, np.zeros(len(running))]),
        )
        self._fitted = fitted
        return believed

    def _gp(self, points: Matrix, responses: Vector, noise: Vector) -> Posterior:
        due = self._kernel is None or abs(len(points) - self._fitted) >= self.every
        # from the prior each time: what ten points said would hold back a hundred
        start = _kernel(points.shape[1]) if due else self._kernel
        model = GaussianProcessRegressor(
            start, alpha=noise + _JITTER, optimizer=_optimum if due else None
        )
        with warnings.catch_warnings():
            # a hyperparameter at its bound is a result like any other
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(points, responses)
        if due:
            self._kernel, self._fitted = model.kernel_, len(points)
        white = model.kernel_.k2.noise_level

        def predict(new: Matrix) -> tuple[Vector, Vector]:
            with warnings.catch_warnings():
                # variances that round to less than 0 at observed points
                warnings.simplefilter("ignore", UserWarning)
                mean, sd = model.predict(new, return_std=True)
            return mean, np.sqrt(np.maximum(sd**2 - white, 0.0))

        def whiten(vector: Vector) -> Vector:
            return np.asarray(solve_triangular(model.L_, vector, lower=True))

        return Posterior("gp", float(white), predict, whiten)

    def _say(self, kind: str, reason: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            following = {"gp": "Bayesian ridge", "ridge": "random points"}[kind]
            _log.warning(
                "The fit of the guide's %s failed (%s): it goes on with %s.",
                {"gp": "Gaussian process", "ridge": "Bayesian ridge"}[kind],
                reason.rstrip("."),
                following,
            )


def _kernel(features: int) -> Any:
    """Prior of the kernel: distances of standardised points grow with the root."""
    size = float(np.sqrt(max(features, 1)))
    shape = Matern(size, (0.05 * size, 20 * size), nu=2.5)
    return ConstantKernel(1.0, (0.05, 50.0)) * shape + WhiteKernel(0.1, (1e-4, 2.0))


def _optimum(
    objective: Callable[..., Any], start: Vector, bounds: Matrix
) -> tuple[Vector, float]:
    found = minimize(
        objective,
        np.clip(start, bounds[:, 0], bounds[:, 1]),
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"maxiter": _STEPS},
    )
    return found.x, float(found.fun)


def _ridge(points: Matrix, responses: Vector, noise: Vector) -> Posterior:
    """Bayesian ridge regression on the features and their pairwise products."""
    pairs = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    model = make_pipeline(pairs, BayesianRidge())
    weights = 1 / (1 + noise)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (ConvergenceWarning, RuntimeWarning))
        model.fit(points, responses, bayesianridge__sample_weight=weights)
    white = 1 / model[-1].alpha_

    def predict(new: Matrix) -> tuple[Vector, Vector]:
        mean, sd = model.predict(new, return_std=True)
        return mean, np.sqrt(np.maximum(sd**2 - white, 0.0))

    def whiten(vector: Vector) -> Vector:
        return np.asarray(vector / np.sqrt(white))

    return Posterior("ridge", float(white), predict, whiten)
