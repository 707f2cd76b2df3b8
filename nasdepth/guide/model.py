"""The model of one proposal: what a study's results say of its candidates."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nasdepth.guide.acquisition import probability_of_feasibility
from nasdepth.guide.encoding import Encoder, Matrix, Point, Standard
from nasdepth.guide.history import Evidence, History
from nasdepth.guide.pool import Block
from nasdepth.guide.surrogate import Posterior, Scale, Surrogate, Vector
from nasdepth.guide.transfer import Prior, PriorMean, prior_mean, weight

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Model:
    """A fitted model with the scales it is on.

    Attributes:
        evidence: that it was fitted to.
        standard: of the columns.
        scale: of the responses.
        posterior: of the standardised response less the prior's.
        observed: standardised columns of the evidence.
        prior: what another study expects; None where there is none.
        weight: of the prior.
    """

    evidence: Evidence
    standard: Standard
    scale: Scale
    posterior: Posterior
    observed: Matrix
    prior: PriorMean | None = None
    weight: float = 0.0

    def predict(self, points: Sequence[Point], matrix: Matrix) -> tuple[Vector, Vector]:
        """Mean and standard deviation of the standardised response.

        Args:
            points: where.
            matrix: their encoding; columns met since the fit are not looked at.
        """
        known = matrix[:, : len(self.standard.kept)]
        mean, sd = self.posterior.predict(self.standard(known))
        return mean + self._expected(points), sd

    def tried(self) -> Vector:
        """Posterior mean of the evidence, `(trials,)`."""
        points = [each.point for each in self.evidence.seen]
        return self.posterior.predict(self.observed)[0] + self._expected(points)

    def told(self, z: tuple[float, float]) -> tuple[float | None, float | None]:
        """Mean and deviation of a result, noise included; None where all are short."""
        if self.evidence.step is not None:
            return None, None
        mean = float(self.scale.back(np.array([z[0]]))[0])
        return mean, self.scale.spread * math.hypot(
            z[1], math.sqrt(self.posterior.noise)
        )

    def _expected(self, points: Sequence[Point]) -> Vector:
        if self.prior is None or self.weight == 0:
            return np.zeros(len(points))
        return self.weight * self.prior(points)


@dataclass(slots=True)  # not frozen: it keeps hyperparameters and what it has said
class Modeller:
    """Fits models to a growing study.

    Attributes:
        encoder: of points.
        refit: observations between two fits of the hyperparameters.
        prior: results of another study.
    """

    encoder: Encoder
    refit: int = 5
    prior: Prior | None = None
    _mean: PriorMean | None = None
    _surrogate: Surrogate = field(default_factory=Surrogate)
    _constraint: Surrogate = field(default_factory=Surrogate)
    _named: set[str] = field(default_factory=set)

    def fit(self, history: History, evidence: Evidence, block: Block) -> Model | None:
        """Model of the response, running trials believed at their mean.

        Args:
            history: all trials.
            evidence: what is known of the response.
            block: candidates: columns are standardised over them and the trials.
        """
        points = [each.point for each in (*evidence.seen, *history.running)]
        tried = self.encoder.encode(points)
        standard = self.standard(np.vstack([self.encoder.pad(block.matrix), tried]))
        if not standard.kept.any():
            return None
        scale = Scale.of(evidence.values)
        count = len(evidence.seen)
        z, noise = scale.z(evidence.values), evidence.noise / scale.spread**2
        observed, running = np.split(standard(tried), [count])
        self._surrogate.every = self.refit
        posterior = self._surrogate.fit(observed, z, noise)
        if posterior is None:
            return None
        mean = self.expecting(points[0])
        share, expected = 0.0, np.zeros(count)
        if mean is not None:
            expected = mean(points[:count])
            share = weight(expected, z, posterior)
        if len(running) or share:
            rest = z - share * expected
            posterior = self._surrogate.believe(observed, rest, noise, running)
        if posterior is None:
            return None
        return Model(evidence, standard, scale, posterior, observed, mean, share)

    def expecting(self, point: Point) -> PriorMean | None:
        """What the prior study expects; None where there is none.

        Raises:
            ValueError: the studies have no feature in common.
        """
        if self._mean is None and self.prior is not None:
            self._mean = prior_mean(self.prior, point.features)
        return self._mean

    def feasibility(self, history: History, model: Model, matrix: Matrix) -> Vector:
        """Probability that a candidate violates nothing, learnt from what did."""
        if not history.infeasible:
            return np.ones(len(matrix))
        seen = [each for each in history.seen if each.is_finished or each.is_short]
        bad = np.array([each.violation for each in history.infeasible])
        # an infinite violation has no size: it counts as the greatest finite one
        bad = np.minimum(bad, bad.max(initial=1.0, where=np.isfinite(bad)))
        values = np.concatenate([bad / bad.max(), -np.ones(len(seen))])
        tried = self._known(model, (e.point for e in (*history.infeasible, *seen)))
        centre = float(values.mean())
        posterior = self._constraint.fit(tried, values - centre, np.zeros(len(values)))
        if posterior is None:
            return np.ones(len(matrix))
        known = model.standard(matrix[:, : len(model.standard.kept)])
        mean, sd = posterior.predict(known)
        return probability_of_feasibility(mean + centre, sd)

    def cost(self, model: Model, costs: Vector, matrix: Matrix) -> Vector:
        """Predicted cost of candidates, from those of the evidence.

        Args:
            model: of the response.
            costs: of the evidence on the scale that counts, `(trials,)`.
            matrix: candidates' encoding.
        """
        centre, spread = float(costs.mean()), float(costs.std()) or 1.0
        fitted = Surrogate().fit(
            model.observed, (costs - centre) / spread, np.zeros(len(costs))
        )
        known = model.standard(matrix[:, : len(model.standard.kept)])
        return (
            centre + spread * fitted.predict(known)[0]
            if fitted
            else np.full(len(known), centre)
        )

    def standard(self, matrix: Matrix) -> Standard:
        """Standard of the columns; features that say nothing are named once."""
        names = self.encoder.names()
        broken = [names.index(name) for name in self.encoder.broken]
        standard = Standard.of(matrix, broken)
        for name, kept in zip(names, standard.kept, strict=True):
            if name in self.encoder.measured and not kept and name not in self._named:
                self._named.add(name)
                rule = "constant"
                if name in self.encoder.broken:
                    rule = "NaN or infinite somewhere"
                _log.warning("Feature %r is %s: it is left out.", name, rule)
        return standard

    def _known(self, model: Model, points: Iterable[Point]) -> Matrix:
        matrix = self.encoder.encode(list(points))
        return model.standard(matrix[:, : len(model.standard.kept)])
