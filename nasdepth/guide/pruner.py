"""Pruners beside a guide: many short runs, and fronts."""

import math
from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from nasdepth.guide.draws import Params
from nasdepth.guide.history import ATTRIBUTE, signed


class ShortRuns(BasePruner):
    """Ends every trial after a number of steps, unless the guide wants it finished.

    Beside `GuidedSampler(settings=Settings(short=step))`, which finishes the most
    promising of the short runs. They end as pruned trials, so that no best value mixes
    lengths.

    Args:
        step: at which a short run ends.
    """

    def __init__(self, step: int) -> None:
        if step < 1:
            raise ValueError(f"ShortRuns: step must be at least 1, but got {step}.")
        self._step = step

    def prune(self, study: "optuna.Study", trial: FrozenTrial) -> bool:
        """Whether a trial has had its steps."""
        # the trial at hand was copied before the guide told of it
        kept = study._storage.get_trial(trial._trial_id).user_attrs.get(ATTRIBUTE)
        if kept is None or kept.get("full", False):
            return False  # enqueued by someone, or chosen to be finished
        last = trial.last_step
        return last is not None and last >= self._step


class KeepFront(BasePruner):
    """Another pruner that spares what no cheaper trial beats at its step.

    Beside `GuidedSampler(cost=...)`: a pruner that looks at the response alone would
    end every cheap trial.

    Args:
        pruner: that proposes whom to end.
        cost: parameters → cost, as the sampler knows it.
    """

    def __init__(self, pruner: BasePruner, cost: Callable[[Params], float]) -> None:
        self._pruner, self._cost = pruner, cost

    def prune(self, study: "optuna.Study", trial: FrozenTrial) -> bool:
        """Whether the other pruner ends a trial that is beaten in both."""
        step = trial.last_step
        if step is None or not self._pruner.prune(study, trial):
            return False
        gain = signed(study)
        own, price = gain(trial.intermediate_values[step]), self._cost(trial.params)
        rivals = (
            other
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and _counts(other, step)
        )
        return math.isnan(own) or any(
            gain(other.intermediate_values[step]) >= own and self._price(other) <= price
            for other in rivals
        )

    def _price(self, trial: FrozenTrial) -> float:
        """Cost of a trial; infinite for one of another space."""
        try:
            return self._cost(trial.params)
        except KeyError:
            return math.inf


def _counts(trial: FrozenTrial, step: int) -> bool:
    """Whether a trial has a result at a step, and may be tried."""
    allowed = all(value <= 0 for value in trial.constraints.values())
    known = step in trial.intermediate_values
    return known and allowed and trial.state != TrialState.FAIL
