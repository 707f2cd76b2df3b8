"""Another study's results as prior knowledge, weighted by what they turn out worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nasdepth.guide.encoding import Encoder, Point, Standard
from nasdepth.guide.surrogate import Posterior, Scale, Surrogate

Vector: TypeAlias = NDArray[np.float64]
#: results below which another study says nothing
LEAST: Final = 5
#: variance of the weight before any result
_LOOSE: Final = 1.0
#: least gain in twice the log-likelihood for a weight above 0: Akaike's price
_PRICE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Prior:
    """Another study's results.

    Attributes:
        features: measures of each architecture, by the names that the study at hand
            gives them.
        responses: result of each, larger being better.
    """

    features: Sequence[Mapping[str, float | None]]
    responses: Sequence[float]

    def __post_init__(self) -> None:
        """Refuses what no mean can be fitted to."""
        if len(self.features) != len(self.responses):
            raise ValueError(
                "Prior must have a response for each architecture, but got "
                f"{len(self.responses)} for {len(self.features)}."
            )
        if len(self.features) < LEAST:
            raise ValueError(
                f"Prior must have at least {LEAST} results, but got "
                f"{len(self.features)}."
            )


@dataclass(frozen=True, slots=True, eq=False)  # a posterior has no equality
class PriorMean:
    """What another study expects of architectures, in its own z-scores.

    Attributes:
        names: of the features that both studies have.
        encoder: of these features.
        standard: of their columns, over the other study.
        posterior: of the other study's responses.
    """

    names: frozenset[str]
    encoder: Encoder
    standard: Standard
    posterior: Posterior

    def __call__(self, points: Sequence[Point]) -> Vector:
        """Expected response of each point, `(points,)`."""
        if not points:
            return np.empty(0)
        own = [_only(point.features, self.names) for point in points]
        return self.posterior.predict(self.standard(self.encoder.encode(own)))[0]


def prior_mean(prior: Prior, features: Mapping[str, object]) -> PriorMean:
    """What a prior study expects, by the features that both studies have.

    Args:
        prior: the other study's results.
        features: of a point of the study at hand.

    Raises:
        ValueError: the studies have no feature in common that varies.
    """
    there = set.intersection(*(set(each) for each in prior.features))
    names = frozenset(there & set(features))
    encoder = Encoder()
    matrix = encoder.encode([_only(each, names) for each in prior.features])
    broken = [encoder.names().index(name) for name in encoder.broken]
    standard = Standard.of(matrix, broken)
    if not standard.kept.any():
        raise ValueError(
            "The prior study must have a measure of this one that varies, but it has "
            f"{', '.join(sorted(there)) or 'none'}, and this one "
            f"{', '.join(sorted(features)) or 'none'}."
        )
    responses = np.array(prior.responses, dtype=np.float64)
    z = Scale.of(responses).z(responses)
    posterior = Surrogate().fit(standard(matrix), z, np.zeros(len(z)))
    if posterior is None:
        raise ValueError("The prior study's results must allow a fit, but none worked.")
    return PriorMean(names, encoder, standard, posterior)


def weight(expected: Vector, responses: Vector, posterior: Posterior) -> float:
    """Weight of a prior mean m in responses y ~ N(w m, K).

    Generalised least squares, w = m'K⁻¹y / (m'K⁻¹m + 1), shrunk as by a normal prior of
    variance 1, never below 0, and 0 where twice the log-likelihood gains less than 2
    (Akaike 1974, doi:10.1109/TAC.1974.1100705): a study that says nothing of this one
    is left aside.

    Args:
        expected: m at the observed points, `(points,)`.
        responses: y, `(points,)`.
        posterior: fitted without a prior mean; it knows K.
    """
    m, y = posterior.whiten(expected), posterior.whiten(responses)
    size, common = float(m @ m), float(m @ y)
    if size <= 0 or common <= 0 or common**2 / size < _PRICE:
        return 0.0
    return common / (size + 1 / _LOOSE)


def _only(features: Mapping[str, float | None], names: frozenset[str]) -> Point:
    return Point({}, {}, {name: features.get(name) for name in sorted(names)})
