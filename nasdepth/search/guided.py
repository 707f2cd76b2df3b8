"""The guide on a study's own space: what is known of its architectures."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import optuna
import torch
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.records import TrialRecord
from nasdepth.evidence.responses import minus_log_error
from nasdepth.guide.draws import Draw, NoCandidate, Params, drawn
from nasdepth.guide.encoding import Point
from nasdepth.guide.sampler import Cost, GuidedSampler
from nasdepth.guide.settings import Proposal, Settings
from nasdepth.guide.transfer import Prior, prior_mean
from nasdepth.measures.catalogue import CATALOGUE, on_scale, scale_of
from nasdepth.measures.summaries import summarize
from nasdepth.network.latency import latency
from nasdepth.search.candidates import Candidate, Sieve
from nasdepth.search.config import LATENCY, StudyConfig
from nasdepth.search.retries import claim
from nasdepth.search.screen import Screened
from nasdepth.search.space import Space
from nasdepth.search.storage import load_study, records
from nasdepth.training.device import is_out_of_memory

#: points of which architecture and measures are kept
_KEPT: Final = 8192


class Sight:
    """What is known of a space's points without training; seen ones are kept.

    Args:
        config: of the study.
        space: of the study.
        device: on which latency is timed.
    """

    def __init__(
        self, config: StudyConfig, space: Space, device: torch.device | str = "cpu"
    ) -> None:
        self._space, self._device = space, device
        self._cost = config.search.cost
        self._threads = config.search.threads
        self._known: dict[Hashable, tuple[Architecture, Measured]] = {}
        self._digests: dict[Architecture, str] = {}
        self._seconds: dict[str, float] = {}
        self.sieve = Sieve(space, config.budget.limits())

    def feasible(self, params: Params) -> bool:
        """Whether a point is an architecture within the budget."""
        found = self.sieve.measure(Draw(lambda name, law: params[name]))
        if found is not None:
            self._keep(params, found)
        return found is not None

    def known(self, params: Params) -> tuple[Architecture, "Measured"]:
        """Architecture and graph measures of a point."""
        found = self._known.get(frozenset(params.items()))
        if found is None:
            architecture = self._space.sample(Draw(lambda name, law: params[name]))
            found = architecture, summarize(architecture)
            self._keep(params, found)
        return found

    def features(self, params: Params) -> dict[str, float | None]:
        """Graph measures of a point, sizes by their logarithm."""
        return scaled(self.known(params)[1])

    def digest(self, params: Params) -> str:
        """Identity of a point's network."""
        return self._digest(self.known(params)[0])

    def _digest(self, architecture: Architecture) -> str:
        if architecture not in self._digests:
            self._digests[architecture] = digest(lower(architecture))
        return self._digests[architecture]

    def cost(self, params: Params) -> float:
        """The objective beside accuracy."""
        architecture, measures = self.known(params)
        if self._cost == LATENCY:
            return self.latency(architecture)
        assert self._cost is not None
        return measures[self._cost] or 0.0

    def latency(self, architecture: Architecture) -> float:
        """Seconds of one image on the study's device; infinite where memory ends."""
        name = self._digest(architecture)
        if name not in self._seconds:
            self._seconds[name] = self._timed(architecture)
        return self._seconds[name]

    def recall(self, network: Mapping[str, Any]) -> None:
        """Take over what a trial kept of its network: its time is measured once."""
        seconds = network.get("measures", {}).get(LATENCY)
        if seconds is not None:
            self._seconds.setdefault(network["digest"], seconds)

    def _timed(self, architecture: Architecture) -> float:
        try:
            timed = latency(architecture, device=self._device, threads=self._threads)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                return math.inf
            raise
        return timed.median

    def candidate(self, params: Params, origin: str) -> Candidate:
        """The architecture of a point as a study keeps it."""
        architecture, measures = self.known(params)
        laws = drawn(self._space.suggest, lambda name, law: params[name]).distributions
        return Candidate(
            origin, params, laws, architecture, self.digest(params), measures
        )

    def _keep(self, params: Params, found: tuple[Architecture, "Measured"]) -> None:
        if len(self._known) >= _KEPT:
            self._known.clear()
            self._digests.clear()
        self._known[frozenset(params.items())] = found


Measured = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class LogError:
    """Accuracy by minus the logarithm of the error: near 1 small steps count too.

    Attributes:
        images: behind an accuracy; no error is less than half an image.
    """

    images: int

    def __call__(self, value: float) -> float:
        """Minus log error of an accuracy."""
        return float(minus_log_error(np.array([value]), np.array([self.images]))[0])

    def back(self, mean: float, sd: float) -> tuple[float, float]:
        """Accuracy of the mean, and its deviation to first order."""
        error = math.exp(-mean)
        return 1 - error, error * sd


class StudyGuide(GuidedSampler):
    """The guide of one of our studies.

    Args:
        config: of the study.
        space: of the study.
        prior: records of another study, as prior knowledge.
        images: behind a validation accuracy.
        device: on which latency is timed.
        rung: epoch at which short runs end, where there are any.
    """

    def __init__(
        self,
        config: StudyConfig,
        space: Space,
        *,
        prior: tuple[TrialRecord, ...] = (),
        images: int = 10_000,
        device: torch.device | str = "cpu",
        rung: int = 1,
    ) -> None:
        self.sight = Sight(config, space, device)
        self._told: Counter[str] = Counter()
        self._drawn = 0
        search, pruner = config.search, config.pruner
        short = rung if pruner.kind != "halving" else None
        super().__init__(
            space.suggest,
            features=self.sight.features,
            feasible=self.sight.feasible,
            identity=self.sight.digest,
            cost=_cost_of(config, self.sight),
            prior=prior_of(prior) if prior else None,
            response=LogError(images),
            seed=search.seed,
            settings=replace(
                Settings(),
                start=config.guide.start,
                pool=config.guide.pool,
                short=short,
                confirm=pruner.confirm,
                confirm_from=_last_short(config),
            ),
        )

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        claim(study, trial)

    def _read(self, trial: FrozenTrial) -> tuple[Point, Hashable] | None:
        self.sight.recall(trial.user_attrs.get("network", {}))
        return super()._read(trial)

    def screened(self, number: int) -> Screened | None:
        """What became of a trial's candidates; None for a trial that was enqueued."""
        proposal = self.proposal(number)
        if proposal is None:
            return None
        chosen = self.sight.candidate(proposal.point.params, proposal.origin)
        return Screened(chosen, self._report(proposal))

    def _propose(self, study: optuna.Study, trial: FrozenTrial) -> Proposal | None:
        try:
            return super()._propose(study, trial)
        except NoCandidate as error:
            # the budget says more than that nothing is left
            empty = not any(study.get_trials(deepcopy=False)[:-1])
            raise self.sight.sieve.nothing() if empty else error from None

    def _report(self, proposal: Proposal) -> dict[str, Any]:
        """Draws since the last trial and what became of them, as one JSON value."""
        sieve = self.sight.sieve
        dropped, drawn = sieve.dropped - self._told, sieve.drawn - self._drawn
        self._told, self._drawn = sieve.dropped.copy(), sieve.drawn
        return {
            "drawn": drawn,
            "dropped": dict(dropped),
            "pool": drawn - sum(dropped.values()),
            "origin": proposal.origin,
        }


def scaled(measures: Measured) -> dict[str, float | None]:
    """Measures on the scales of the catalogue; undefined ones stay so.

    >>> found = scaled({"params": 1000, "nn_mass": 0.0, "effective_depth": None})
    >>> round(found["params"], 3), found["nn_mass"], found["effective_depth"]
    (6.908, 0.0, None)
    """
    return {n: on_scale(value, scale_of(n)) for n, value in measures.items()}


def prior_of(records: tuple[TrialRecord, ...]) -> Prior:
    """Results of another study's finished trials.

    Raises:
        ValueError: fewer than five are finished.
    """
    done = [row for row in records if row.accuracy is not None and row.measures]
    return Prior(
        [scaled(row.measures) for row in done], [row.accuracy or 0.0 for row in done]
    )


def prior_records(
    config: StudyConfig, storage: BaseStorage | None
) -> tuple[TrialRecord, ...]:
    """Records of the study that is prior knowledge; none where there is none.

    Raises:
        ValueError: it is not in the storage.
    """
    name = config.search.prior_study
    if not name:
        return ()
    if name == config.name:
        raise ValueError(f"The prior study must be another one, but got {name!r}.")
    if storage is None:
        raise ValueError(f"Unknown prior study {name!r}: the storage is empty.")
    return records(load_study(storage, name))


def check_prior(config: StudyConfig, storage: BaseStorage | None) -> None:
    """Raises ValueError where the prior study is not there or does not fit."""
    rows = prior_records(config, storage)
    if rows:
        prior_mean(prior_of(rows), dict.fromkeys(CATALOGUE))
    elif config.search.prior_study:
        raise ValueError(
            f"The prior study {config.search.prior_study!r} must have finished trials."
        )


def _last_short(config: StudyConfig) -> int:
    """Trials after which the best short runs are finished; 0 where they take turns."""
    total, pruner = config.search.n_trials, config.pruner
    return total - max(1, total // pruner.confirm) if pruner.kind == "top" else 0


def _cost_of(config: StudyConfig, sight: Sight) -> Cost | None:
    search = config.search
    if search.cost is None:
        return None
    corner = search.reference or (None, None)
    return Cost(sight.cost, corner, search.log_cost, slow=search.cost == LATENCY)
