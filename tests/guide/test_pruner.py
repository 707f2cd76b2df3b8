"""Facts about the pruners beside a guide."""

import optuna
import pytest
from optuna.pruners import NopPruner, ThresholdPruner
from optuna.trial import TrialState

from nasdepth.guide.history import ATTRIBUTE
from nasdepth.guide.pruner import KeepFront, ShortRuns

#: ends whatever has reported
ALL = ThresholdPruner(lower=1e9)


def pruned(study, *, size, value, step=1):
    """Whether a trial of a size that reports a value at a step would be ended."""
    trial = study.ask()
    trial.suggest_int("size", size, size)
    trial.report(value, step)
    found = trial.should_prune()
    study.tell(trial, state=TrialState.PRUNED)
    return found


def front(pruner=ALL, direction="maximize"):
    keep = KeepFront(pruner, lambda params: params["size"])
    return optuna.create_study(direction=direction, pruner=keep)


def test_first_of_its_step_is_spared():
    assert not pruned(front(), size=10, value=0.5)


@pytest.mark.parametrize(
    ("size", "value", "ended"),
    [
        (10, 0.4, True),  # as dear and worse
        (20, 0.5, True),  # dearer and no better
        (5, 0.1, False),  # cheaper
        (20, 0.6, False),  # better
    ],
)
def test_trial_is_ended_where_a_cheaper_one_is_as_good(size, value, ended):
    study = front()
    pruned(study, size=10, value=0.5)

    assert pruned(study, size=size, value=value) is ended


def test_less_is_better_where_the_study_minimises():
    study = front(direction="minimize")
    pruned(study, size=10, value=0.5)

    assert not pruned(study, size=20, value=0.4)
    assert pruned(study, size=20, value=0.6)


def test_trials_are_compared_at_the_same_step():
    study = front()
    pruned(study, size=10, value=0.5, step=1)

    assert not pruned(study, size=20, value=0.4, step=2)


def test_whom_the_other_pruner_keeps_is_kept():
    study = front(NopPruner())
    pruned(study, size=10, value=0.5)

    assert not pruned(study, size=20, value=0.1)


def short(told, step):
    """Whether a short trial would be ended at a step."""
    study = optuna.create_study(pruner=ShortRuns(3))
    trial = study.ask()
    if told is not None:
        study._storage.set_trial_user_attr(trial._trial_id, ATTRIBUTE, told)
    trial.report(0.5, step)
    return trial.should_prune()


@pytest.mark.parametrize(
    ("told", "step", "ended"),
    [
        ({"full": False}, 2, False),
        ({"full": False}, 3, True),
        ({"full": True}, 3, False),
        (None, 3, False),  # enqueued by someone: no guide wanted it short
    ],
)
def test_short_run_ends_at_its_step_unless_it_is_to_be_finished(told, step, ended):
    assert short(told, step) is ended


def test_step_below_one_is_refused():
    with pytest.raises(ValueError, match="step must be at least 1, but got 0"):
        ShortRuns(0)


def test_result_that_is_no_number_is_ended():
    study = front()
    pruned(study, size=10, value=0.5)

    assert pruned(study, size=5, value=float("nan"))


def test_trial_of_another_space_beats_nothing():
    study = front()
    study.add_trial(
        optuna.create_trial(
            state=TrialState.PRUNED, value=0.9, intermediate_values={1: 0.9}
        )
    )

    assert not pruned(study, size=20, value=0.1)


def test_infeasible_trial_beats_nothing():
    study = front()
    trial = study.ask()
    trial.suggest_int("size", 1, 1)
    trial.report(0.9, 1)
    trial.set_constraint("memory", 1.0)
    study.tell(trial, state=TrialState.PRUNED)

    assert not pruned(study, size=20, value=0.1)
