"""One proposal: the start's design, then the candidate that promises most."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nasdepth.guide.acquisition import expected_improvement
from nasdepth.guide.draws import NoCandidate, Space
from nasdepth.guide.encoding import Matrix, Point
from nasdepth.guide.history import History, Seen, evidence_of
from nasdepth.guide.model import Model, Modeller
from nasdepth.guide.pareto import expected_hypervolume_improvement, undominated
from nasdepth.guide.pool import PATIENCE, Block, Knowledge, Pool
from nasdepth.guide.settings import Proposal, Reference, Settings
from nasdepth.guide.surrogate import Vector

#: salts of the generators of a trial, and of the start
_DRAWS: Final = 12
_DESIGN: Final = 13
#: points looked at where none was drawn yet
_GLANCE: Final = 20
#: of the range of costs, beyond the dearest candidate
_MARGIN: Final = 0.1


@dataclass(slots=True)  # not frozen: pool and model keep what they have learnt
class Guide:
    """Proposes points; knows trials only as `History`.

    Attributes:
        pool: of candidates.
        modeller: of results.
        settings: how it works.
        reference: of the hypervolume; None where there is one objective.
        strict: whether an architecture is never tried twice.
    """

    pool: Pool
    modeller: Modeller
    settings: Settings
    reference: Reference | None = None
    strict: bool = True
    _design: Block | None = None
    _costs: dict[Hashable, float] = field(default_factory=dict)

    def propose(self, history: History, number: int) -> Proposal:
        """The point to try next.

        Args:
            history: all other trials.
            number: of the trial: its draws depend on it alone.

        Raises:
            NoCandidate: no feasible unseen point was found.
        """
        generator = self._generator(number)
        evidence = evidence_of(history)
        if len(history.seen) < self.settings.start or len(evidence.seen) < 2:
            return self._start(history, generator)
        block = self.pool.at(number)
        model = self.modeller.fit(history, evidence, block)
        if model is None:
            return self._unseen(block, history, generator)
        if self._is_confirming(history):
            return self._confirmed(history, model)
        try:
            return self._best(history, model, block, generator)
        except NoCandidate:
            if self._is_open(history):  # all were tried, not all were finished
                return self._confirmed(history, model)
            raise

    def has_unseen(self, history: History, number: int) -> bool:
        """Whether a feasible unseen point is left, as far as draws can tell.

        Little is drawn as long as what was drawn before holds an unseen one: this is
        asked between a trial's end and its storing.
        """
        if self._is_open(history):
            return True
        generator = self._generator(number)
        drawn = [*self.pool.kept(), *([self._design] if self._design else [])]
        try:
            known = drawn or [self.pool.random(_GLANCE, generator)]
            self._unseen(self.pool.joined(known), history, generator)
        except NoCandidate:
            return False
        return True

    def _generator(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.pool.seed, _DRAWS, number])

    def _start(self, history: History, generator: np.random.Generator) -> Proposal:
        """The candidate farthest from all that was tried, in standardised features."""
        block = self._designed()
        self.modeller.expecting(block.points[0])  # raises where the prior does not fit
        order: Sequence[int] = generator.permutation(len(block)).tolist()
        if self.settings.spread and history.seen:
            tried = self.pool.encoder.encode([each.point for each in history.seen])
            matrix = self.pool.encoder.pad(block.matrix)
            standard = self.modeller.standard(np.vstack([matrix, tried]))
            order = _farthest(standard(matrix), standard(tried))
        found = self._first(block.points, order, history.identities)
        if found is None:
            return self._unseen(block, history, generator)
        return Proposal(block.points[found], "start", full=self.settings.short is None)

    def _designed(self) -> Block:
        """The feasible candidates that the start is chosen from."""
        if self._design is None:
            generator = np.random.default_rng([self.pool.seed, _DESIGN])
            self._design = self.pool.random(self.settings.design, generator)
        return self._design

    def _best(
        self,
        history: History,
        model: Model,
        block: Block,
        generator: np.random.Generator,
    ) -> Proposal:
        """The unseen candidate of the greatest acquisition."""
        parents = self._parents(model)
        near = self.pool.neighbours(parents, self.settings.draws, generator)
        both = self.pool.joined([block, near])
        mean, sd = model.predict(both.points, both.matrix)
        chance = self.modeller.feasibility(history, model, both.matrix)
        costs = self._costs_of(both, model)
        most = self._most(costs)
        value = self._acquisition(model, mean, sd, costs, most=most) * chance
        order: Sequence[int] = np.lexsort((-mean, -value)).tolist()
        if self.reference is not None and self.reference.slow:
            listed = self._listed(both, order, history)
            points = [both.points[place] for place in listed]
            costs = self._scaled(np.array([self._cost(p.params) for p in points]))
            known = mean[listed], sd[listed], costs
            value = self._acquisition(model, *known, most=most) * chance[listed]
            order = listed[np.lexsort((-mean[listed], -value))].tolist()
        found = self._first(both.points, order, history.identities)
        if found is None:
            return self._unseen(both, history, generator)
        origin = "pool" if found < len(block) else "neighbour"
        z = float(mean[found]), float(sd[found])
        return self._told(both.points[found], origin, model, z)

    def _parents(self, model: Model) -> list[Point]:
        """The best points tried, by the posterior; of a front those on it."""
        mean, count = model.tried(), self.settings.parents
        chosen = np.argsort(-mean, kind="stable")[:count]
        if self.reference is not None:
            on = np.flatnonzero(undominated(self._spent(model.evidence.seen), mean))
            places = np.linspace(0, len(on) - 1, min(count, len(on))).round()
            chosen = on[places.astype(int)]
        return [model.evidence.seen[place].point for place in chosen]

    def _acquisition(
        self, model: Model, mean: Vector, sd: Vector, costs: Vector, *, most: float
    ) -> Vector:
        """What each candidate promises.

        Args:
            model: of the response.
            mean: of each candidate.
            sd: of each candidate.
            costs: of each, on the scale that counts; not looked at without a reference.
            most: greatest cost that counts, on the same scale.
        """
        tried = model.tried()
        if self.reference is None:
            return expected_improvement(mean, sd, float(tried.max()))
        least, gain = float(tried.min()), self.reference.gain
        # a result of a finished trial says nothing where short ones are compared
        if gain is not None and model.evidence.step is None:
            least = float(model.scale.z(np.array([gain]))[0])
        # short runs count too: what they promise need not be found again
        return expected_hypervolume_improvement(
            mean,
            sd,
            costs,
            front_costs=self._spent(model.evidence.seen),
            front_gains=tried,
            reference=(most, least),
        )

    def _costs_of(self, block: Block, model: Model) -> Vector:
        """Costs of candidates on the scale that counts, or a prediction of them."""
        if self.reference is None:
            return np.empty(0)
        if not self.reference.slow:
            return self._scaled(block.costs)
        spent = self._spent(model.evidence.seen)
        return self.modeller.cost(model, spent, block.matrix)

    def _listed(
        self, block: Block, order: Sequence[int], history: History
    ) -> NDArray[np.intp]:
        """The first unseen candidates in order, of which the cost is found out."""
        seen, identity = history.identities, self.pool.knowledge.identity_of
        unseen = (i for i in order if identity(block.points[i].params) not in seen)
        return np.array([*islice(unseen, self.settings.shortlist)], dtype=np.intp)

    def _most(self, costs: Vector) -> float:
        """Greatest cost that counts: the reference's, or beyond that of candidates."""
        if self.reference is None:
            return np.inf
        if self.reference.cost is not None:
            return float(self._scaled(np.array([self.reference.cost]))[0])
        # at the corner itself the dearest candidate could gain nothing
        return float(costs.max() + _MARGIN * (costs.max() - costs.min()))

    def _spent(self, seen: Iterable[Seen]) -> Vector:
        """Costs of trials on the scale that counts."""
        return self._scaled(np.array([self._cost(e.point.params) for e in seen]))

    def _cost(self, params: dict[str, object]) -> float:
        """Cost of a point that was tried or listed: found out once."""
        cost, name = self.pool.knowledge.cost, self.pool.knowledge.identity_of(params)
        assert cost is not None
        if name not in self._costs:
            self._costs[name] = cost(params)
        return self._costs[name]

    def _scaled(self, costs: Vector) -> Vector:
        assert self.reference is not None
        bad = costs[~(costs > 0)]
        if self.reference.log and bad.size:
            raise ValueError(
                "Cost.function must give a cost above 0 where its logarithm counts,"
                f" but got {bad[0]:g}; give log=False."
            )
        return np.log(costs) if self.reference.log else costs

    def _is_confirming(self, history: History) -> bool:
        """Whether it is time to finish the best of the short runs."""
        every, begun = self.settings.confirm, len(history.seen)
        due = begun % every == every - 1
        if self.settings.confirm_from:
            due = begun >= self.settings.confirm_from
        return due and self._is_open(history)

    def _is_open(self, history: History) -> bool:
        """Whether a short run is left that could be finished."""
        return self.settings.short is not None and bool(history.unconfirmed())

    def _confirmed(self, history: History, model: Model) -> Proposal:
        """The best short run, to be finished; of a front what adds most to it."""
        chosen = history.unconfirmed()
        points = [each.point for each in chosen]
        mean, sd = model.predict(points, self.pool.encoder.encode(points))
        best = int(np.argmax(mean))
        if self.reference is not None:
            best = int(np.argmax(self._additions(history, model, chosen, mean)))
        z = float(mean[best]), float(sd[best])
        return self._told(points[best], "confirm", model, z, full=True)

    def _additions(
        self, history: History, model: Model, chosen: Sequence[Seen], mean: Vector
    ) -> Vector:
        """What each short run would add to the front of the finished ones."""
        done = np.array([each.is_finished for each in model.evidence.seen])
        costs, spent = self._spent(chosen), self._spent(model.evidence.seen)
        tried = model.tried()
        return expected_hypervolume_improvement(
            mean,
            np.zeros(len(mean)),
            costs,
            front_costs=spent[done],
            front_gains=tried[done],
            reference=(self._most(spent), float(tried.min())),
        )

    def _told(
        self,
        point: Point,
        origin: str,
        model: Model,
        z: tuple[float, float],
        *,
        full: bool = False,
    ) -> Proposal:
        mean, sd = model.told(z)
        whole = full or self.settings.short is None
        n, kind = len(model.evidence.seen), model.posterior.kind
        return Proposal(point, origin, n, mean, sd, whole, kind, model.weight)

    def _unseen(
        self, block: Block, history: History, generator: np.random.Generator
    ) -> Proposal:
        """A random unseen point: of the block, or else of many further draws.

        Raises:
            NoCandidate: none was found.
        """
        seen, knowledge = history.identities, self.pool.knowledge
        full = self.settings.short is None
        found = self._first(block.points, generator.permutation(len(block)), seen)
        if found is not None:
            return Proposal(block.points[found], "random", full=full)
        for _ in range(PATIENCE * 10):
            draw = self.pool.space.sample(generator)
            if not knowledge.is_feasible(draw.params):
                continue
            if knowledge.identity_of(draw.params) not in seen:
                return Proposal(knowledge.point(draw), "random", full=full)
        raise NoCandidate(
            f"No unseen feasible point is left: {len(seen)} distinct ones were tried."
        )

    def _first(
        self, points: Sequence[Point], order: Iterable[int], seen: frozenset[Hashable]
    ) -> int | None:
        """The first in order that was not seen; any, where repeats are allowed."""
        first = None
        for place in order:
            first = int(place) if first is None else first
            if self.pool.knowledge.identity_of(points[place].params) not in seen:
                return int(place)
        return None if self.strict else first


def guide_of(
    space: Space,
    knowledge: Knowledge,
    settings: Settings,
    *,
    seed: int,
    modeller: Modeller,
    reference: Reference | None = None,
    strict: bool = True,
) -> Guide:
    """A guide with a pool of its own."""
    slow = reference is not None and reference.slow
    encoder, size = modeller.encoder, settings.pool
    pool = Pool(space, knowledge, encoder, seed, size, costed=not slow)
    return Guide(pool, modeller, settings, reference, strict)


def _farthest(candidates: Matrix, tried: Matrix) -> list[int]:
    """Candidates by their distance from the nearest point tried, farthest first."""
    squares = (
        (candidates**2).sum(axis=1)[:, None]
        + (tried**2).sum(axis=1)[None, :]
        - 2 * candidates @ tried.T
    )
    return [int(place) for place in np.argsort(-squares.min(axis=1), kind="stable")]
