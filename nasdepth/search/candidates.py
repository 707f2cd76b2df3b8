"""Candidates: drawn architectures with what is known of them before any training."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from scipy.stats import qmc

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import InvalidGraph
from nasdepth.architecture.spec import Architecture, InvalidArchitecture
from nasdepth.guide.draws import Chooser, Draw, NoCandidate, Params, at_quantile
from nasdepth.measures.summaries import summarize
from nasdepth.search.config import StudyConfig
from nasdepth.search.space import Space

#: draws for one wanted candidate before the space counts as exhausted
_PATIENCE: Final = 200


@dataclass(frozen=True, slots=True)
class Candidate:
    """A feasible architecture, not yet trained.

    Attributes:
        origin: what drew it ("sampler", "random", "neighbour", "design", "given").
        params: parameters of the space.
        distributions: where they come from.
        architecture: the architecture.
        digest: of its graph.
        measures: all graph measures of the catalogue, None where undefined.
    """

    origin: str
    params: Params
    distributions: Mapping[str, BaseDistribution]
    architecture: Architecture
    digest: str
    measures: Mapping[str, float | None]

    def attributes(self) -> dict[str, object]:
        """What a trial keeps of it, as one JSON value."""
        return {
            "architecture": self.architecture.to_json(),
            "digest": self.digest,
            "measures": dict(self.measures),
        }


class Sieve:
    """Turns draws into candidates and counts what was dropped, by reason."""

    def __init__(
        self, space: Space, limits: Mapping[str, int], seen: Collection[str] = ()
    ) -> None:
        self._space = space
        self._limits = limits
        self._seen = set(seen)
        self._admitted: set[Architecture] = set()
        self._smallest: dict[str, float] = {}
        self.dropped: Counter[str] = Counter()
        self.drawn = 0

    def measure(
        self, draw: Draw
    ) -> tuple[Architecture, Mapping[str, float | None]] | None:
        """Architecture and measures of a draw; None if it is invalid or over budget."""
        self.drawn += 1
        try:
            architecture = self._space.sample(draw)
            measures = summarize(architecture)
        except (InvalidArchitecture, InvalidGraph):
            self.dropped["invalid"] += 1
            return None
        for name in self._limits:
            value = measures[name] or 0.0
            self._smallest[name] = min(value, self._smallest.get(name, value))
        over = [k for k, most in self._limits.items() if (measures[k] or 0) > most]
        if over:
            self.dropped.update(f"over {name}" for name in over)
            return None
        return architecture, measures

    def admit(self, origin: str, draw: Draw) -> Candidate | None:
        """The candidate of a draw; None where it is invalid, over budget or known."""
        found = self.measure(draw)
        if found is None:
            return None
        architecture, measures = found
        # an equal architecture has the digest that was seen: no need to compute it
        own = "" if architecture in self._admitted else digest(lower(architecture))
        if not own or own in self._seen:
            self.dropped["repeated"] += 1
            return None
        self._seen.add(own)
        self._admitted.add(architecture)
        return Candidate(
            origin, draw.params, draw.distributions, architecture, own, measures
        )

    def nothing(self) -> NoCandidate:
        """Error that says which rule left no candidate."""
        over = [k for k in self._limits if self.dropped[f"over {k}"]]
        if self.dropped["repeated"] or not over:
            reasons = ", ".join(f"{n} {k}" for k, n in self.dropped.items())
            return NoCandidate(
                f"No unseen architecture is left in {self.drawn} draws ({reasons})."
            )
        told = ", ".join(
            f"{name} must be at most {self._limits[name]}, but the smallest value "
            f"found is {self._smallest[name]:.0f}"
            for name in over
        )
        return NoCandidate(
            f"The space has no feasible architecture in {self.drawn} draws: {told}."
        )


def feasible(
    config: StudyConfig, space: Space, count: int, *, seed: Sequence[int], sieve: Sieve
) -> list[Candidate]:
    """Distinct feasible candidates, quasi-random over the space (scrambled Halton).

    Args:
        config: of the study.
        space: to draw from.
        count: how many, or fewer where the space holds fewer.
        seed: of the sequence.
        sieve: what counts as feasible.

    Raises:
        NoCandidate: not a single one.
    """
    quantiles = _Halton(config, seed)
    found: list[Candidate] = []
    for _ in range(_PATIENCE * count):
        if len(found) == count or sieve.drawn >= _PATIENCE * (len(found) + 10):
            break
        candidate = sieve.admit("design", Draw(quantiles.next()))
        if candidate:
            found.append(candidate)
    if not found:
        raise sieve.nothing()
    return found


class _Halton:
    """One point of the sequence per candidate, one coordinate per parameter name."""

    def __init__(self, config: StudyConfig, seed: Sequence[int]) -> None:
        # at most six parameters of the network and nine of each stage, or ten
        dimensions = 6 + (9 + config.space.dropped) * config.space.stages[1]
        generator = np.random.default_rng(list(seed))
        self._points = qmc.Halton(dimensions, rng=generator)
        self._place: dict[str, int] = {}

    def next(self) -> Chooser:
        """Chooser for the next point."""
        point = self._points.random(1)[0]

        def choose(name: str, distribution: BaseDistribution) -> object:
            place = self._place.setdefault(name, len(self._place))
            return at_quantile(distribution, point[place])

        return choose


def z_scores(candidates: Sequence[Candidate], name: str) -> NDArray[np.float64]:
    """A measure standardised within a pool; undefined or constant counts 0."""
    values = np.array(
        [np.nan if (v := c.measures[name]) is None else v for c in candidates],
        dtype=float,
    )
    defined = ~np.isnan(values)
    spread = values[defined].std() if defined.any() else 0.0
    if not spread > 0:
        return np.zeros(len(values))
    scores = (values - values[defined].mean()) / spread
    return np.where(defined, scores, 0.0)


def score(
    candidates: Sequence[Candidate], weights: Mapping[str, float]
) -> NDArray[np.float64]:
    """Weighted sum of z-scores of each candidate within its pool."""
    total = np.zeros(len(candidates))
    for name, weight in weights.items():
        total += weight * z_scores(candidates, name)
    return total
