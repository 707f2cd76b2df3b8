"""Methods of the search by real trainings, by name: a sampler each, with a pruner."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from search_digits_trainings import Task

from nasdepth.guide.pruner import ShortRuns
from nasdepth.search.guided import StudyGuide


@dataclass(frozen=True, slots=True)
class Method:
    """A sampler of (task, seed), with the pruner beside it."""

    sampler: Callable[[Task, int], BaseSampler]
    pruner: Callable[[Task], BasePruner]


def _halving(task: Task) -> BasePruner:
    """As a study has it."""
    return SuccessiveHalvingPruner(
        min_resource=task.rung,
        reduction_factor=task.config.pruner.factor,
        min_early_stopping_rate=0,
    )


def _guided(kind: Literal["halving", "short"], task: Task, seed: int) -> BaseSampler:
    """The guide as a study binds it to its space."""
    config = task.config
    search = config.search.model_copy(update={"seed": seed})
    pruner = config.pruner.model_copy(update={"kind": kind})
    own = config.model_copy(update={"search": search, "pruner": pruner})
    return StudyGuide(own, task.space, rung=task.rung)


METHODS: Final[Mapping[str, Method]] = {
    "random": Method(lambda task, seed: RandomSampler(seed=seed), _halving),
    "tpe": Method(lambda task, seed: TPESampler(seed=seed), _halving),
    "tpe-group": Method(
        lambda task, seed: TPESampler(seed=seed, multivariate=True, group=True),
        _halving,
    ),
    "guided": Method(partial(_guided, "halving"), _halving),
    "guided-short": Method(
        partial(_guided, "short"), lambda task: ShortRuns(task.rung)
    ),
}
