"""The guide as an Optuna sampler."""

import logging
import math
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final
from zlib import crc32

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nasdepth.guide.draws import (
    Draw,
    FunctionSpace,
    NoCandidate,
    Params,
    Space,
    SpaceLike,
    at_quantile,
    drawn,
    fixed,
    holds,
    space_of,
)
from nasdepth.guide.encoding import Encoder, Point
from nasdepth.guide.history import ATTRIBUTE, History, Response, history_of, signed
from nasdepth.guide.inferred import inferred
from nasdepth.guide.model import Modeller
from nasdepth.guide.pool import Given, Knowledge
from nasdepth.guide.proposal import Guide, guide_of
from nasdepth.guide.settings import Proposal, Reference, Settings
from nasdepth.guide.transfer import Prior

_log = logging.getLogger(__name__)
_INDEPENDENT: Final = 14
#: proposals for one trial, where workers propose the same at once
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """A second objective that is known before a trial: the study finds the front.

    Attributes:
        function: parameters → cost, above 0 where its logarithm counts.
        reference: the response and the cost that a network must beat to count; None
            for the worst response expected of what was tried, and a tenth of the
            pool's range beyond its greatest cost.
        log: whether the logarithm of the cost counts.
        slow: whether finding it out takes long, as timing does: then it is predicted
            for the pool and found out for a shortlist.
    """

    function: Callable[[Params], float]
    reference: tuple[float | None, float | None] = (None, None)
    log: bool = True
    slow: bool = False


class GuidedSampler(BaseSampler):
    """Optuna sampler led by a regression on the study's own results.

    A Gaussian process on training-free features and the choices says what each of
    many feasible candidates promises; the one of the greatest expected improvement is
    tried. See docs/search.md.

    >>> import optuna
    >>> def space(trial):
    ...     depth = trial.suggest_int("depth", 1, 4)
    ...     return [trial.suggest_int(f"width{i}", 8, 64, step=8) for i in range(depth)]
    >>> sampler = GuidedSampler(
    ...     space,
    ...     features=lambda p: {"layers": p["depth"], "width": p["width0"]},
    ...     feasible=lambda p: p["width0"] <= 48,
    ...     seed=0,
    ... )
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(direction="maximize", sampler=sampler)
    >>> study.optimize(lambda trial: -abs(sum(space(trial)) - 100), n_trials=25)
    >>> study.best_value > -10
    True

    Args:
        space: function of a trial that suggests all parameters of a point; or
            independent distributions by name; or an object that samples and perturbs
            (see `Space`). None infers it from the study's trials, conditions included.
        features: parameters → measures known without training, by name (None where one
            is undefined) or as a vector. The choices themselves are always seen.
        feasible: whether parameters may be tried; what may not never becomes a trial.
        identity: parameters → what tells architectures apart. With a space given, none
            is tried twice. By default the parameters themselves.
        cost: for the Pareto front of the objective and a cost.
        prior: another study's results by their features: prior knowledge with a weight
            that is learnt and can be 0.
        response: scale of the objective on which the model works, where larger must be
            better; None takes the objective itself.
        seed: of all draws; None draws one.
        settings: how the guide works.

    Raises:
        ValueError: at the first trial, where the study has several objectives, or the
            prior none of its features.
        NoCandidate: where no feasible point is found, or none unseen with ask-and-tell;
            `study.optimize` ends before that with a warning.
    """

    def __init__(
        self,
        space: SpaceLike | None = None,
        *,
        features: Callable[[Params], Given] | None = None,
        feasible: Callable[[Params], bool] | None = None,
        identity: Callable[[Params], Hashable] | None = None,
        cost: Cost | None = None,
        prior: Prior | None = None,
        response: Response | None = None,
        seed: int | None = None,
        settings: Settings = Settings(),  # noqa: B008 -- a frozen value
    ) -> None:
        self._space = None if space is None else space_of(space)
        function = None if cost is None else cost.function
        self._knowledge = Knowledge(features, feasible, identity, function)
        self._reference = None if cost is None else _corner(cost)
        self._prior = prior
        self._response = response
        self._seed = _entropy() if seed is None else seed
        self._settings = settings
        self._lock = threading.RLock()
        self._study = ""
        self._guide: Guide | None = None
        self._planned: dict[int, Proposal] = {}
        # a trial by its number and start: another study may have the same name
        self._known: dict[tuple[int, Any], tuple[Point, Hashable]] = {}
        self._wholes: set[frozenset[str]] = set()
        self._changed: set[Hashable] = set()

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock, which cannot be pickled."""
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def reseed_rng(self) -> None:
        """Nothing to do: all draws follow from the seed and the trial's number."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Parameters of the point that this trial will be."""
        _check_single(study)
        # asked at the first open choice: an open one that is made was given
        given = any(not law.single() for law in trial.distributions.values())
        if given or "fixed_params" in trial.system_attrs:
            return {}  # enqueued or retried
        with self._lock:
            proposal = self._propose(study, trial)
        return dict(proposal.point.distributions) if proposal else {}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """The point's parameters."""
        _check_single(study)
        with self._lock:
            proposal = self._planned.get(trial.number)
            if proposal is None and search_space:  # asked with a space of its own
                own = self._guide_on(study, FunctionSpace(fixed(search_space)))
                found = own.propose(self._history(study, trial), trial.number)
                return dict(found.point.params)
        known = proposal.point.params if proposal else {}
        if not known.keys() <= search_space.keys():
            # another sampler took some: the point proposed would be proposed again
            self._changed.add(self._knowledge.identity_of(known))
        return {name: known[name] for name in search_space if name in known}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A uniform value, for a parameter that the space does not know."""
        _check_single(study)
        name = crc32(param_name.encode())
        seed = [self._seed, _INDEPENDENT, trial.number, name]
        quantile = np.random.default_rng(seed).random()
        return at_quantile(param_distribution, quantile)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """End a study whose space is used up, before a trial finds nothing."""
        with self._lock:
            self._planned.pop(trial.number, None)
            waiting = (TrialState.WAITING,)
            if self._space is None or len(study.directions) > 1:
                return
            if study.get_trials(deepcopy=False, states=waiting):
                return  # what was enqueued is to be run
            guide = self._guide_on(study, self._space)
            history = self._history(study, None)
            if guide.has_unseen(history, trial.number + 1):
                return
        _log.warning(
            "Study %r ends: no unseen feasible point is left, %d distinct ones were"
            " tried.",
            study.study_name,
            len(history.identities),
        )
        _stop(study)

    def proposal(self, number: int) -> Proposal | None:
        """What was proposed for a trial that runs; None for one that was enqueued."""
        return self._planned.get(number)

    def _propose(self, study: optuna.Study, trial: FrozenTrial) -> Proposal | None:
        space = self._space
        if space is None:
            space = inferred(study.get_trials(deepcopy=False))
        if space is None:
            return None
        guide = self._guide_on(study, space)
        for attempt in range(_ATTEMPTS):
            history = self._history(study, trial)
            proposal = guide.propose(history, trial.number)
            self._planned[trial.number] = proposal
            study._storage.set_trial_user_attr(
                trial._trial_id, ATTRIBUTE, proposal.told(self._response_of(study).back)
            )
            name = self._knowledge.identity_of(proposal.point.params)
            told = not guide.strict or name in history.identities
            # whoever sees the other gives way; if both did, the later trial
            below = trial.number if attempt else math.inf
            if told or not self._is_taken(study, trial.number, name, below=below):
                break
        return proposal

    def _is_taken(
        self, study: optuna.Study, number: int, name: Hashable, *, below: float
    ) -> bool:
        """Whether another open trial of a lower number was proposed the same by now."""
        states = (TrialState.RUNNING, TrialState.WAITING)
        others = (
            self._read(trial)
            for trial in study.get_trials(deepcopy=False, states=states)
            if trial.number != number and trial.number < below
        )
        return any(found is not None and found[1] == name for found in others)

    def _guide_on(self, study: optuna.Study, space: Space) -> Guide:
        """The guide of a study's space: kept while both stay the same."""
        if study.study_name != self._study:
            self._forget(study.study_name)
        if self._guide is None or self._guide.pool.space != space:
            self._guide = guide_of(
                space,
                self._knowledge,
                self._settings,
                seed=self._seed,
                reference=self._signed_reference(study),
                # what was learnt and said holds when an inferred space grows
                modeller=self._guide.modeller if self._guide else self._modeller(),
                strict=space is self._space,
            )
        return self._guide

    def _modeller(self) -> Modeller:
        settings = self._settings
        return Modeller(Encoder(settings.choices), settings.refit, self._prior)

    def _response_of(self, study: optuna.Study) -> Response:
        """The user's scale, or the objective with the sign of its direction."""
        return self._response or signed(study)

    def _signed_reference(self, study: optuna.Study) -> Reference | None:
        own = self._reference
        if own is None or own.gain is None:
            return own
        return replace(own, gain=self._response_of(study)(own.gain))

    def _history(self, study: optuna.Study, trial: FrozenTrial | None) -> History:
        history = history_of(
            study.get_trials(deepcopy=False),
            self._read,
            response=self._response_of(study),
            without=None if trial is None else trial.number,
        )
        return replace(history, failed=history.failed | self._changed)

    def _read(self, trial: FrozenTrial) -> tuple[Point, Hashable] | None:
        """Point and identity of a trial; None for one of another space."""
        name = trial.number, trial.datetime_start
        if name in self._known:
            return self._known[name]
        point = self._point(trial)
        if point is None:
            return None
        known = point, self._knowledge.identity_of(point.params)
        if trial.state.is_finished():  # until then it may turn out another point
            self._known[name] = known
        return known

    def _point(self, trial: FrozenTrial) -> Point | None:
        planned = self._planned.get(trial.number)
        if planned is not None:
            return planned.point
        draw = self._draw(trial)
        if draw is None or not draw.params:
            return None
        own = _has_result(trial) or ATTRIBUTE in trial.user_attrs
        if not own and not self._knowledge.is_feasible(draw.params):
            return None  # enqueued: never proposed, and perhaps not to be measured
        return self._knowledge.point(draw)

    def _draw(self, trial: FrozenTrial) -> Draw | None:
        # a trial that runs elsewhere may not have suggested all that it was proposed
        told = {} if _has_result(trial) else trial.user_attrs.get(ATTRIBUTE, {})
        given = trial.system_attrs.get("fixed_params", {})
        params = {**told.get("params", {}), **given, **trial.params}
        if isinstance(self._space, FunctionSpace):
            return _replayed(self._space, params)
        if not self._is_whole(trial):
            return None
        draw = Draw(lambda name, law: params[name])
        for name, law in trial.distributions.items():
            if self._space is not None or not law.single():
                draw.suggest(name, law)
        return draw

    def _is_whole(self, trial: FrozenTrial) -> bool:
        """Whether a trial has suggested all it will, as far as others tell."""
        names = frozenset(trial.distributions)
        if _has_result(trial):
            self._wholes.add(names)
        return names in self._wholes

    def _forget(self, study: str) -> None:
        """Nothing known of a study is known of another."""
        self._study, self._guide = study, None
        self._planned, self._known = {}, {}
        self._wholes, self._changed = set(), set()


def _replayed(space: FunctionSpace, params: Params) -> Draw | None:
    """The draw of a trial's parameters, where they are those of the space."""
    try:
        draw = drawn(space.function, lambda name, law: params[name])
    except KeyError:
        return None
    laws = draw.distributions
    return draw if all(holds(laws[n], draw.params[n]) for n in laws) else None


def _has_result(trial: FrozenTrial) -> bool:
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _corner(cost: Cost) -> Reference:
    gain, most = cost.reference
    return Reference(gain, most, cost.log, cost.slow)


def _check_single(study: optuna.Study) -> None:
    if len(study.directions) > 1:
        raise ValueError(
            "GuidedSampler needs a study of one objective, but got "
            f"{len(study.directions)}: give what is known before a trial as"
            " GuidedSampler(cost=...); on the command line --objectives accuracy,macs."
        )


def _stop(study: optuna.Study) -> None:
    # ask and tell has nothing to stop: whoever asks next gets the error
    with suppress(RuntimeError):
        study.stop()


def _entropy() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])


__all__ = ["Cost", "GuidedSampler", "NoCandidate", "Prior", "Settings"]
