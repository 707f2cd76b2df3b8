"""Regularised evolution as an Optuna sampler."""

from typing import Any, Final
from zlib import crc32

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nasdepth.guide.draws import DefineByRun, Draw, FunctionSpace, at_quantile
from nasdepth.guide.history import signed

_SALT: Final = 15


class EvolutionSampler(BaseSampler):
    """Mutates the best of a few of the youngest trials (regularised evolution).

    Real et al. 2019 (arXiv:1802.01548), algorithm 1: the population is the latest
    `population` finished trials, whatever their result; the best of `sample` of them,
    drawn at random, is the parent, and one of its choices is changed.

    Args:
        space: function of a trial that suggests all parameters of a point.
        population: trials that live.
        sample: trials that compete to be the parent.
        seed: of all draws; None draws one.
    """

    def __init__(
        self,
        space: DefineByRun,
        *,
        population: int = 20,
        sample: int = 5,
        seed: int | None = None,
    ) -> None:
        if not 1 <= sample <= population:
            raise ValueError(
                "EvolutionSampler: sample must be in [1, population], but got "
                f"sample={sample}, population={population}."
            )
        self._space = FunctionSpace(space)
        self._population, self._sample = population, sample
        drawn = np.random.SeedSequence().generate_state(1)[0]
        self._seed = int(drawn) if seed is None else seed
        self._planned: dict[int, Draw] = {}

    def reseed_rng(self) -> None:
        """Nothing to do: all draws follow from the seed and the trial's number."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Parameters of the child."""
        if "fixed_params" in trial.system_attrs:
            return {}
        self._planned[trial.number] = self._child(study, trial.number)
        return dict(self._planned[trial.number].distributions)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The child's parameters."""
        child = self._planned.pop(trial.number, None)
        return dict(child.params) if child else {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A uniform value, for a parameter that the space does not know."""
        seed = [self._seed, _SALT, trial.number, crc32(param_name.encode())]
        return at_quantile(param_distribution, np.random.default_rng(seed).random())

    def _child(self, study: optuna.Study, number: int) -> Draw:
        generator = np.random.default_rng([self._seed, _SALT, number])
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        living = [t for t in done if t.value is not None][-self._population :]
        if len(living) < self._population:
            return self._space.sample(generator)
        chosen = generator.choice(len(living), self._sample, replace=False)
        gain = signed(study)
        values = [gain(living[place].value or 0.0) for place in chosen]
        parent = living[chosen[int(np.argmax(values))]]
        return self._space.perturb(parent.params, generator)
