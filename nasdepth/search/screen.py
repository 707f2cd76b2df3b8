"""The training-free stage as an Optuna sampler.

For each trial an inner sampler's proposal, random draws and neighbours of the best
trials form a pool; what is invalid, over budget or already trained is dropped, the
rest scored without training, and the best is the trial.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nasdepth.architecture.registry import Registry
from nasdepth.guide.draws import Chooser, Draw, draw_random
from nasdepth.guide.evolution import EvolutionSampler
from nasdepth.search.candidates import Candidate, Sieve, score
from nasdepth.search.config import StudyConfig
from nasdepth.search.retries import claim
from nasdepth.search.space import Space

#: of a seed and a space
SAMPLERS = Registry[Callable[[int, Space], BaseSampler]]("sampler")
#: best trials whose neighbours join the pool
_PARENTS: Final = 5
#: times the pool is filled anew when all of it was dropped
_REFILLS: Final = 20


@SAMPLERS.register("tpe")
def _tpe(seed: int, space: Space) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)


@SAMPLERS.register("nsgaii")
def _nsgaii(seed: int, space: Space) -> BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=seed)


@SAMPLERS.register("gp")
def _gp(seed: int, space: Space) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


@SAMPLERS.register("random")
def _random(seed: int, space: Space) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


@SAMPLERS.register("qmc")
def _qmc(seed: int, space: Space) -> BaseSampler:
    return optuna.samplers.QMCSampler(
        seed=seed, warn_independent_sampling=False, warn_asynchronous_seeding=False
    )


@SAMPLERS.register("evolution")
def _evolution(seed: int, space: Space) -> BaseSampler:
    return EvolutionSampler(space.suggest, seed=seed)


@dataclass(frozen=True, slots=True)
class Screened:
    """What became of one pool.

    Attributes:
        chosen: the best candidate.
        report: what was drawn, dropped and why, as one JSON value.
    """

    chosen: Candidate
    report: Mapping[str, object]


class ScreenSampler(BaseSampler):
    """Optuna sampler that proposes the best-scored candidate of a pool.

    Every trial's randomness comes from (seed, trial number), so a resumed study does
    not repeat its start.
    """

    def __init__(self, config: StudyConfig, space: Space) -> None:
        self._config = config
        self._space = space
        self._screened: dict[int, Screened] = {}

    def screened(self, number: int) -> Screened | None:
        """What became of a trial's pool; None for a trial that was enqueued."""
        return self._screened.pop(number, None)

    def reseed_rng(self) -> None:
        """Nothing to do: no random state outlives a trial."""

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        claim(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Parameters of the candidate that this trial will be."""
        # asked at the first open choice: an open one that is made was given
        given = any(not d.single() for d in trial.distributions.values())
        if given or "fixed_params" in trial.system_attrs:
            return {}  # enqueued or retried
        screened = self._screen(study, trial)
        self._screened[trial.number] = screened
        return dict(screened.chosen.distributions)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The candidate's parameters."""
        screened = self._screened.get(trial.number)
        return dict(screened.chosen.params) if screened else {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A uniform value, for a parameter that the space does not know."""
        generator = np.random.default_rng([self._config.search.seed, trial.number, 2])
        return draw_random(generator)(param_name, param_distribution)

    def _screen(self, study: optuna.Study, trial: FrozenTrial) -> Screened:
        config = self._config
        seed = [config.search.seed, trial.number, 3]
        generator = np.random.default_rng(seed)
        trials = study.get_trials(deepcopy=False)
        sieve = Sieve(self._space, config.budget.limits(), _known(trials))
        pool: list[Candidate] = []
        proposal = Draw(self._proposal(study, trial, int(generator.integers(2**31))))
        _append(pool, sieve.admit("sampler", proposal))
        self._fill(pool, sieve, _best(trials), generator)
        if not pool:
            raise sieve.nothing()
        scores = score(pool, config.screen.weights)
        best = int(np.argmax(scores))
        report = {
            "drawn": sieve.drawn,
            "dropped": dict(sieve.dropped),
            "pool": len(pool),
            "origin": pool[best].origin,
            "score": float(scores[best]),
        }
        return Screened(pool[best], report)

    def _fill(
        self,
        pool: list[Candidate],
        sieve: Sieve,
        parents: list[FrozenTrial],
        generator: np.random.Generator,
    ) -> None:
        screen = self._config.screen
        for _ in range(_REFILLS):
            for _ in range(screen.pool - 1):
                if parents and generator.random() < screen.neighbours:
                    parent = parents[generator.integers(len(parents))]
                    draw = self._space.perturb(parent.params, generator)
                    _append(pool, sieve.admit("neighbour", draw))
                else:
                    draw = Draw(draw_random(generator))
                    _append(pool, sieve.admit("random", draw))
            if pool:
                return

    def _proposal(self, study: optuna.Study, trial: FrozenTrial, seed: int) -> Chooser:
        """Chooser that asks the inner sampler, jointly where it can."""
        # a quasi-random sequence goes on from trial to trial under one seed
        fixed = self._config.search.sampler == "qmc"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            inner = SAMPLERS[self._config.search.sampler](
                self._config.search.seed if fixed else seed, self._space
            )
            space = inner.infer_relative_search_space(study, trial)
            relative = inner.sample_relative(study, trial, space)

        def choose(name: str, distribution: BaseDistribution) -> Any:
            if space.get(name) == distribution and name in relative:
                return relative[name]
            return inner.sample_independent(study, trial, name, distribution)

        return choose


def screen_candidates(
    config: StudyConfig, space: Space, count: int, top: int
) -> tuple[list[tuple[float, Candidate]], Sieve]:
    """The training-free stage alone: best-scored of `count` random draws.

    Args:
        config: of the study; its weights and budget hold.
        space: to draw from.
        count: how many to draw.
        top: how many to return, best first.

    Raises:
        NoCandidate: none is feasible.
    """
    generator = np.random.default_rng([config.search.seed, 4])
    sieve = Sieve(space, config.budget.limits())
    pool: list[Candidate] = []
    for _ in range(count):
        _append(pool, sieve.admit("random", Draw(draw_random(generator))))
    if not pool:
        raise sieve.nothing()
    scores = score(pool, config.screen.weights)
    order = np.argsort(-scores, kind="stable")[:top]
    return [(float(scores[i]), pool[i]) for i in order], sieve


def _append(pool: list[Candidate], candidate: Candidate | None) -> None:
    if candidate:
        pool.append(candidate)


def _known(trials: list[FrozenTrial]) -> set[str]:
    """Digests of all networks trained, in training or waiting for it."""
    gone = TrialState.FAIL
    attributes = [t.user_attrs.get("network") for t in trials if t.state != gone]
    return {network["digest"] for network in attributes if network}


def _best(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    done = [t for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    return sorted(done, key=lambda t: -(t.value or 0.0))[:_PARENTS]
