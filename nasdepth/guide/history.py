"""A study's trials as what a guide learns from: finished, short, running, failed."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nasdepth.guide.encoding import Point
from nasdepth.guide.fidelity import LEAST, FinalScale, final_scale

Vector: TypeAlias = NDArray[np.float64]
#: user attribute in which the guide tells of a trial
ATTRIBUTE: Final = "guide"


class Response(Protocol):
    """The scale of the objective on which the model works."""

    def __call__(self, value: float) -> float:
        """A value on the scale; larger is better."""
        ...

    def back(self, mean: float, sd: float) -> tuple[float, float]:
        """Mean and standard deviation in the objective's unit."""
        ...


@dataclass(frozen=True, slots=True)
class Signed:
    """The objective itself, or its negative where less is better."""

    sign: float

    def __call__(self, value: float) -> float:
        """A value; larger is better."""
        return self.sign * value

    def back(self, mean: float, sd: float) -> tuple[float, float]:
        """Mean and standard deviation in the objective's unit."""
        return self.sign * mean, sd


def signed(study: optuna.Study) -> Signed:
    """The objective of a study, by its direction."""
    return Signed(-1.0 if study.direction == StudyDirection.MINIMIZE else 1.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A trial that the guide can read.

    Attributes:
        number: of the trial.
        state: of the trial.
        point: where it is.
        identity: of the architecture.
        value: final result, larger being better; None where there is none.
        curve: step → result, larger being better.
        violation: greatest constraint above 0, else 0.
    """

    number: int
    state: TrialState
    point: Point
    identity: Hashable
    value: float | None
    curve: dict[int, float]
    violation: float

    @property
    def is_infeasible(self) -> bool:
        """Whether a constraint was violated."""
        return self.violation > 0

    @property
    def is_short(self) -> bool:
        """Whether it ended before its end, but in order."""
        pruned = self.state == TrialState.PRUNED
        return pruned and bool(self.curve) and not self.is_infeasible

    @property
    def is_finished(self) -> bool:
        """Whether it has a final result."""
        return self.value is not None and not self.is_infeasible


@dataclass(frozen=True, slots=True)
class History:
    """The trials of a study that count.

    Attributes:
        seen: finished, short, running and infeasible ones, in their order.
        failed: architectures that failed more than once. Once may be a dead process.
    """

    seen: tuple[Seen, ...]
    failed: frozenset[Hashable] = frozenset()

    @property
    def identities(self) -> frozenset[Hashable]:
        """Architectures that need not be proposed again."""
        return self.failed.union(each.identity for each in self.seen)

    @property
    def finished(self) -> tuple[Seen, ...]:
        """Those with a final result."""
        return tuple(each for each in self.seen if each.is_finished)

    @property
    def running(self) -> tuple[Seen, ...]:
        """Those without a result yet, also waiting ones; each architecture once."""
        open_ = [each for each in self.seen if not each.state.is_finished()]
        return tuple({each.identity: each for each in open_}.values())

    @property
    def infeasible(self) -> tuple[Seen, ...]:
        """Those that violated a constraint."""
        return tuple(each for each in self.seen if each.is_infeasible)

    def unconfirmed(self) -> tuple[Seen, ...]:
        """Short ones whose architecture is neither finished nor running."""
        done = {e.identity for e in (*self.finished, *self.running, *self.infeasible)}
        short = {e.identity: e for e in self.seen if e.is_short}
        left = done | self.failed
        return tuple(each for name, each in short.items() if name not in left)


def history_of(
    trials: Sequence[FrozenTrial],
    read: Callable[[FrozenTrial], tuple[Point, Hashable] | None],
    *,
    response: Response,
    without: int | None = None,
) -> History:
    """The trials that count.

    Args:
        trials: of the study.
        read: a trial's point and identity; None for one of another space.
        response: scale of the results.
        without: number of the trial that is being proposed.
    """
    found = []
    failures: Counter[Hashable] = Counter()
    for trial in trials:
        known = None if trial.number == without else read(trial)
        if known is not None and trial.state == TrialState.FAIL:
            failures[known[1]] += 1
        elif known is not None:
            found.append(_seen(trial, *known, response))
    again = frozenset(name for name, count in failures.items() if count > 1)
    return History(tuple(found), again)


def _seen(
    trial: FrozenTrial, point: Point, identity: Hashable, response: Response
) -> Seen:
    value = None
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        value = response(trial.value)
    curve = {
        step: response(result)
        for step, result in sorted(trial.intermediate_values.items())
        if np.isfinite(result)
    }
    violation = max([*trial.constraints.values(), 0.0])
    return Seen(trial.number, trial.state, point, identity, value, curve, violation)


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Evidence:
    """What is known of the response.

    Attributes:
        seen: the trials, one an architecture, in their order.
        values: of the response, `(trials,)`.
        noise: variance of each beyond that of a finished trial, `(trials,)`.
        step: the step at which all were compared; None where it is the end.
    """

    seen: tuple[Seen, ...]
    values: Vector
    noise: Vector
    step: int | None = None


def evidence_of(history: History) -> Evidence:
    """Finished trials as they are, short ones on the scale of finished ones.

    With fewer than five finished trials that have a result at the step where a short
    one ended there is no such scale: then all are compared at the first of these steps.
    """
    finished = {each.identity: each for each in history.finished}
    short = [e for e in history.seen if e.is_short and e.identity not in finished]
    short = list({each.identity: each for each in short}.values())
    if short and len(finished) < LEAST:
        return _at_first_step([*finished.values(), *short])
    seen = list(finished.values())
    values = [each.value or 0.0 for each in seen]
    noise = [0.0] * len(seen)
    for step, scale in _scales(list(finished.values()), short).items():
        own = [each for each in short if max(each.curve) == step]
        mapped, variance = scale(np.array([each.curve[step] for each in own]))
        seen += own
        values += mapped.tolist()
        noise += variance.tolist()
    order = np.argsort([each.number for each in seen], kind="stable")
    return Evidence(
        tuple(seen[place] for place in order),
        _finite(np.array(values, dtype=np.float64)[order]),
        np.array(noise, dtype=np.float64)[order],
    )


def _finite(values: Vector) -> Vector:
    """An infinite result counts as the best or worst finite one: it has no size."""
    known = values[np.isfinite(values)]
    return np.clip(values, *(known.min(), known.max()) if len(known) else (0.0, 0.0))


def _scales(finished: Sequence[Seen], short: Sequence[Seen]) -> dict[int, FinalScale]:
    """The map to the final scale, by the step at which short runs ended."""
    scales = {}
    for step in sorted({max(each.curve) for each in short}):
        both = [
            each
            for each in finished
            if step in each.curve and np.isfinite(each.value or 0.0)
        ]
        scale = final_scale(
            np.array([each.curve[step] for each in both]),
            np.array([each.value or 0.0 for each in both]),
        )
        if scale is not None:
            scales[step] = scale
    return scales


def _at_first_step(seen: Sequence[Seen]) -> Evidence:
    """All trials by their result at the first step at which a short one ended."""
    step = min(max(each.curve) for each in seen if each.is_short)
    there = sorted((e for e in seen if step in e.curve), key=lambda each: each.number)
    values = np.array([each.curve[step] for each in there])
    return Evidence(tuple(there), values, np.zeros(len(there)), step)
