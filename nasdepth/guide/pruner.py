"""Many short runs, few long ones: the pruner of a guide that confirms."""

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from nasdepth.guide.history import ATTRIBUTE


class ShortRuns(BasePruner):
    """Ends every trial after a number of steps, unless the guide wants it finished.

    Beside `GuidedSampler(short=step)`, which finishes the most promising of the short
    runs. They end as pruned trials, so that no best value mixes lengths.

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
