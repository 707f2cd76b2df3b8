"""Facts about a study's trials: which of them the guide learns from, and what."""

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from nasdepth.guide.encoding import Point
from nasdepth.guide.history import (
    Evidence,
    History,
    Signed,
    evidence_of,
    history_of,
)

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
LAW = FloatDistribution(0.0, 99.0)


def trial(
    x: float,
    value: float | None = None,
    state: TrialState = COMPLETE,
    curve: Sequence[float] = (),
    violation: float | None = None,
) -> FrozenTrial:
    """A trial at x; its curve begins at step 1."""
    return create_trial(
        state=state,
        value=value,
        params={"x": x},
        distributions={"x": LAW},
        intermediate_values=dict(enumerate(curve, 1)),
        system_attrs={} if violation is None else {"constraints:c": violation},
    )


def read(trial: FrozenTrial) -> tuple[Point, Hashable]:
    return Point(dict(trial.params), dict(trial.distributions), {}), trial.params["x"]


def history(trials: Sequence[FrozenTrial], sign: float = 1.0, **kw: Any) -> History:
    for number, each in enumerate(trials):
        each.number = number
    return history_of(trials, read, response=Signed(sign), **kw)


def evidence(trials: Sequence[FrozenTrial], sign: float = 1.0) -> Evidence:
    return evidence_of(history(trials, sign))


def numbers(seen: Sequence[Any]) -> list[int]:
    return [each.number for each in seen]


ROLES = (
    trial(0, 0.5),  # finished
    trial(1, state=PRUNED, curve=(0.1, 0.2)),  # short
    trial(2, state=PRUNED),  # pruned before it had a result
    trial(3, 0.9, violation=2.0),  # finished, but not allowed
    trial(4, state=PRUNED, curve=(0.1,), violation=0.5),  # neither
    trial(5, 0.4, violation=-1.0),  # allowed
    trial(6, state=FAIL),
    trial(7, state=TrialState.RUNNING, curve=(0.1,)),
    trial(8, state=TrialState.WAITING),
)


def test_constraint_of_these_trials_is_one_that_optuna_reads():
    assert ROLES[3].constraints == {"c": 2.0}


def test_each_trial_has_its_role():
    own = history(ROLES)

    assert numbers(own.seen) == [0, 1, 2, 3, 4, 5, 7, 8]
    assert numbers(own.finished) == [0, 5]
    assert numbers([each for each in own.seen if each.is_short]) == [1]
    assert numbers(own.infeasible) == [3, 4]
    assert numbers(own.running) == [7, 8]
    assert own.infeasible[0].violation == 2.0


def test_nothing_seen_is_proposed_again_but_what_failed_is():
    assert history(ROLES).identities == {0, 1, 2, 3, 4, 5, 7, 8}


def test_what_failed_twice_is_not_proposed_again():
    own = history([trial(1, state=FAIL), trial(2, state=FAIL), trial(1, state=FAIL)])

    assert own.identities == {1}
    assert own.seen == ()


def test_trial_being_proposed_and_those_of_another_space_do_not_count():
    trials = [trial(0, 0.5), trial(1, 0.6), trial(2, 0.7)]
    history(trials)

    own = history_of(
        trials,
        lambda t: None if t.number == 1 else read(t),
        response=Signed(1.0),
        without=2,
    )

    assert numbers(own.seen) == [0]


def test_less_is_better_where_the_sign_says_so():
    own = history([trial(0, 0.5, curve=(0.9,))], sign=-1.0)

    assert own.seen[0].value == -0.5
    assert own.seen[0].curve == {1: -0.9}


def test_results_that_are_not_finite_are_no_part_of_a_curve():
    own = history([trial(0, state=PRUNED, curve=(0.1, math.nan, math.inf))])

    assert own.seen[0].curve == {1: 0.1}


def test_running_trials_of_one_architecture_count_once():
    own = history([trial(3, state=TrialState.RUNNING) for _ in range(2)])

    assert len(own.running) == 1


def test_unconfirmed_are_short_and_neither_finished_nor_running_nor_forbidden():
    short = [trial(x, state=PRUNED, curve=(x / 10,)) for x in range(5)]
    others = [
        trial(0, 0.5),
        trial(1, state=TrialState.RUNNING),
        trial(2, 0.1, violation=1.0),
        trial(4, state=PRUNED, curve=(0.7,)),
    ]

    own = history([*short, *others])

    assert [each.identity for each in own.unconfirmed()] == [3, 4]


#: five finished trials on the line final = short + 0.5
FINISHED = tuple(trial(x, 0.5 + x / 10, curve=(x / 10, 0.5 + x / 10)) for x in range(5))


def test_finished_trials_are_evidence_as_they_are():
    found = evidence(FINISHED)

    assert numbers(found.seen) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.values, [0.5, 0.6, 0.7, 0.8, 0.9])
    assert found.noise.tolist() == [0.0] * 5
    assert found.step is None


def test_short_run_counts_at_what_its_end_is_expected_to_be():
    found = evidence([*FINISHED, trial(9, state=PRUNED, curve=(0.25,))])

    assert found.values[-1] == pytest.approx(0.75)
    assert found.noise[-1] == pytest.approx(0.0, abs=1e-12)
    assert found.step is None


def test_short_run_off_the_line_has_the_error_of_the_map():
    crooked = [*FINISHED[:4], trial(4, 0.8, curve=(0.4, 0.8))]

    found = evidence(
        [
            *crooked,
            trial(8, state=PRUNED, curve=(0.25,)),
            trial(9, state=PRUNED, curve=(0.9,)),
        ]
    )

    assert found.noise[5] > 0
    assert found.noise[6] == pytest.approx(2 * found.noise[5])


def test_short_runs_of_less_than_is_better_are_mapped_too():
    losses = [trial(x, 1 - x / 10, curve=(2 - x / 10,)) for x in range(5)]

    found = evidence([*losses, trial(9, state=PRUNED, curve=(1.75,))], sign=-1.0)

    assert found.values[-1] == pytest.approx(-0.75)


def test_each_step_has_its_own_map():
    found = evidence(
        [
            *FINISHED,
            trial(8, state=PRUNED, curve=(0.25,)),
            trial(9, state=PRUNED, curve=(0.1, 0.75)),
        ]
    )

    np.testing.assert_allclose(found.values[-2:], [0.75, 0.75])


def test_below_five_finished_all_are_compared_at_the_first_step():
    trials = [
        *FINISHED[:4],
        trial(7, 0.99),  # finished, without a curve
        trial(8, state=PRUNED, curve=(0.25,)),
        trial(9, state=PRUNED, curve=(0.3, 0.4)),
    ]

    found = evidence([*trials[:3], *trials[4:]])

    assert found.step == 1
    assert [each.identity for each in found.seen] == [0, 1, 2, 8, 9]
    np.testing.assert_allclose(found.values, [0, 0.1, 0.2, 0.25, 0.3])


def test_five_finished_without_that_step_leave_the_short_run_aside():
    trials = [trial(x, x / 10) for x in range(5)]

    found = evidence([*trials, trial(9, state=PRUNED, curve=(0.9,))])

    assert [each.identity for each in found.seen] == [0, 1, 2, 3, 4]


def test_confirmed_short_run_counts_once_by_its_final_result():
    short = trial(2, state=PRUNED, curve=(0.2,))

    found = evidence([short, *FINISHED])

    assert [each.identity for each in found.seen] == [0, 1, 2, 3, 4]
    assert found.values[2] == 0.7


def test_architecture_finished_twice_counts_once_by_the_later_result():
    found = evidence([trial(1, 0.3), trial(1, 0.5)])

    assert found.values.tolist() == [0.5]


def test_infinite_result_counts_as_the_worst_or_best_finite_one():
    found = evidence(
        [trial(0, 1.0), trial(1, math.inf), trial(2, 3.0), trial(3, -math.inf)]
    )

    assert found.values.tolist() == [1.0, 3.0, 3.0, 1.0]


def test_infinite_result_does_not_spoil_the_map_of_short_runs():
    lost = trial(7, -math.inf, curve=(0.9,))

    found = evidence([*FINISHED, lost, trial(9, state=PRUNED, curve=(0.25,))])

    assert found.values[-1] == pytest.approx(0.75)


def test_no_finite_result_is_worth_0():
    assert evidence([trial(0, math.inf)]).values.tolist() == [0.0]


def test_no_trial_is_no_evidence():
    found = evidence([])

    assert found.seen == ()
    assert found.values.shape == found.noise.shape == (0,)
