"""Methods of the search benchmark, by name: a sampler each, with a pruner for epochs.

Every one is asked for the same six categorical parameters. Settings are Optuna's
defaults but for what the name says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial
from search_tables import NAMES, Task, params_of, space

from nasdepth.evidence.nasbench201_cells import OPERATIONS
from nasdepth.guide.evolution import EvolutionSampler
from nasdepth.guide.pruner import ShortRuns
from nasdepth.guide.sampler import GuidedSampler, Settings
from nasdepth.measures.breakdown import TURNING
from nasdepth.measures.catalogue import CATALOGUE
from nasdepth.search.guided import scaled

#: epochs of a short training
SHORT: Final = 12
#: of so many trials one finishes the best short training
CONFIRM: Final = 10
#: measures of the input-output paths
PATHS: Final = frozenset(("nominal_depth", *TURNING))


@dataclass(frozen=True, slots=True)
class Method:
    """How a method proposes, and what it stops early.

    Attributes:
        sampler: For a task and a seed.
        pruner: Reads the value after 12 epochs; only in tasks of epochs.
    """

    sampler: Callable[[Task, int], BaseSampler]
    pruner: Callable[[], BasePruner] = NopPruner


class BySize(BaseSampler):
    """The largest network first, equal ones in random order; learns nothing."""

    def __init__(self, task: Task, seed: int) -> None:
        ties = np.random.default_rng(seed).permutation(len(task.networks))
        order = sorted(zip(task.networks, ties, strict=True), key=_largest)
        self._rest = iter([params_of(network) for network, _ in order])

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return dict.fromkeys(NAMES, CategoricalDistribution(OPERATIONS))

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        return dict(next(self._rest))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        raise ValueError(f"The space must be {NAMES}, but got {param_name!r}.")


def _largest(pair: tuple[Any, int]) -> tuple[int, int]:
    network, tie = pair
    return -network.size, tie


def features(
    task: Task, names: tuple[str, ...], params: Mapping[str, Any]
) -> dict[str, float | None]:
    """Measures of a cell's network before it is trained, sizes as logarithms."""
    network = task.network(params)
    values = network.measures if network else {}
    return scaled({name: values.get(name) for name in names})


def identity(task: Task, params: Mapping[str, Any]) -> str | None:
    """What tells networks apart; None for a cell without a path."""
    network = task.network(params)
    return network.digest if network else None


def guided(
    task: Task, seed: int, *, without: frozenset[str] = frozenset(), **options: Any
) -> BaseSampler:
    """Our sampler: measures of the catalogue but some, and options other than usual.

    The pool and the features are of this task alone: nothing is known of its results.
    """
    names = tuple(
        name
        for name, row in CATALOGUE.items()
        if row.needs == "graph" and name not in without
    )
    return GuidedSampler(
        space,
        features=partial(features, task, names) if names else None,
        feasible=task.feasible,
        identity=partial(identity, task),
        seed=seed,
        settings=Settings(**options),
    )


def _evolution(task: Task, seed: int) -> BaseSampler:
    return EvolutionSampler(space, population=20, sample=5, seed=seed)


def _tpe(task: Task, seed: int) -> BaseSampler:
    return TPESampler(seed=seed)


def _tpe_independent(task: Task, seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=False)


def _tpe_group(task: Task, seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, group=True)


def _halving(factor: int) -> BasePruner:
    return SuccessiveHalvingPruner(min_resource=SHORT, reduction_factor=factor)


def _short_runs() -> BasePruner:
    return ShortRuns(SHORT)


_EVERY: Final = frozenset(CATALOGUE)

METHODS: Final[Mapping[str, Method]] = {
    "guided": Method(guided),
    "tpe": Method(_tpe),
    # Optuna 5 is multivariate by default: on a space without conditions both are one
    "tpe-group": Method(_tpe_group),
    "tpe-independent": Method(_tpe_independent),
    "nsgaii": Method(lambda task, seed: NSGAIISampler(seed=seed)),
    "gp": Method(lambda task, seed: GPSampler(seed=seed)),
    "evolution": Method(_evolution),
    "random": Method(lambda task, seed: RandomSampler(seed=seed)),
    "size": Method(BySize),
    # two fidelities
    "guided+short": Method(partial(guided, short=SHORT, confirm=CONFIRM), _short_runs),
    "tpe+halving3": Method(_tpe, partial(_halving, 3)),
    "tpe+halving4": Method(_tpe, partial(_halving, 4)),
    "tpe-independent+halving3": Method(_tpe_independent, partial(_halving, 3)),
    "tpe-independent+halving4": Method(_tpe_independent, partial(_halving, 4)),
    "random+halving3": Method(
        lambda task, seed: RandomSampler(seed=seed), partial(_halving, 3)
    ),
    # what each part of the guide is worth
    "guided-onehot": Method(partial(guided, without=_EVERY)),
    "guided-measures": Method(partial(guided, choices=False)),
    "guided-nodeff": Method(partial(guided, without=frozenset({"effective_depth"}))),
    "guided-nodepths": Method(partial(guided, without=PATHS)),
    "guided-pool500": Method(partial(guided, pool=500)),
    "guided-pool200": Method(partial(guided, pool=200)),
    "guided-start10": Method(partial(guided, start=10)),
    "guided-near": Method(partial(guided, parents=10, draws=40)),
    "guided-randomstart": Method(partial(guided, spread=False)),
}
#: the better of these counts, as one method
BETTER: Final[Mapping[str, tuple[str, ...]]] = {
    "better TPE": ("tpe", "tpe-group", "tpe-independent"),
    "better TPE + halving": tuple(
        f"{tpe}+halving{factor}"
        for tpe in ("tpe", "tpe-independent")
        for factor in (3, 4)
    ),
}
