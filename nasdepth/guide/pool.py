"""Candidates of a guide: random feasible points, most of them kept from trial to trial.

The pool of a trial is a function of its number alone: a resumed study goes on with it.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final, TypeAlias

import numpy as np

from nasdepth.guide.draws import Draw, NoCandidate, Params, Space
from nasdepth.guide.encoding import Encoder, Features, Matrix, Point

#: draws for one wanted point before the space counts as exhausted
PATIENCE: Final = 200
#: points for which draws go on before the first is found
_RARE: Final = 10
#: a tenth of the pool is drawn anew for each trial
_BLOCKS: Final = 10
_SALT: Final = 11

#: what a user's function of the parameters may give: names with values, or values
Given: TypeAlias = Mapping[str, float | None] | Sequence[float]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of a point without training.

    Attributes:
        features: measures of it.
        feasible: whether it may be tried.
        identity: of its architecture; points of one are not tried twice.
        cost: of it, known before it is tried.
    """

    features: Callable[[Params], Given] | None = None
    feasible: Callable[[Params], bool] | None = None
    identity: Callable[[Params], Hashable] | None = None
    cost: Callable[[Params], float] | None = None

    def point(self, draw: Draw) -> Point:
        """The point of a draw, with its features."""
        return Point(draw.params, draw.distributions, self._features(draw.params))

    def is_feasible(self, params: Params) -> bool:
        """Whether it may be tried."""
        return self.feasible is None or self.feasible(params)

    def identity_of(self, params: Params) -> Hashable:
        """The user's, or the parameters themselves."""
        if self.identity is not None:
            return self.identity(params)
        try:
            return frozenset(params.items())
        except TypeError:  # a choice that has no hash
            return frozenset((name, repr(value)) for name, value in params.items())

    def _features(self, params: Params) -> Features:
        if self.features is None:
            return {}
        found: Any = self.features(params)
        if isinstance(found, Mapping):
            return found
        return {f"feature {place}": float(value) for place, value in enumerate(found)}


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Block:
    """Points with their encoding and costs.

    Attributes:
        points: the points.
        matrix: as `Encoder` gives it, `(points, columns)`.
        costs: `(points,)`; empty where there is no cost.
    """

    points: tuple[Point, ...]
    matrix: Matrix
    costs: Matrix

    def __len__(self) -> int:
        return len(self.points)


@dataclass(slots=True)  # not frozen: it keeps what it has drawn
class Pool:
    """Random feasible points of a space.

    Attributes:
        space: that they are drawn from.
        knowledge: of each.
        encoder: of each.
        seed: of the draws.
        size: of the pool.
        costed: whether the cost of each is found out.
    """

    space: Space
    knowledge: Knowledge
    encoder: Encoder
    seed: int
    size: int
    costed: bool = True
    _blocks: dict[int, Block] = field(default_factory=dict)

    def at(self, number: int) -> Block:
        """The pool of a trial: a tenth of it is new since the trial before.

        Raises:
            NoCandidate: no feasible point was found.
        """
        wanted = range(number, number + _BLOCKS)
        self._blocks = {k: v for k, v in self._blocks.items() if k in wanted}
        share = -(-self.size // _BLOCKS)
        for place in wanted:
            if place not in self._blocks:
                generator = np.random.default_rng([self.seed, _SALT, place])
                self._blocks[place] = self.block(self._drawn(share, generator))
        joined = self.joined([self._blocks[place] for place in wanted])
        if not len(joined):
            raise _nothing(share)
        return joined

    def kept(self) -> list[Block]:
        """What was drawn for the last trial."""
        return list(self._blocks.values())

    def random(self, count: int, generator: np.random.Generator) -> Block:
        """Random feasible points.

        Raises:
            NoCandidate: none was found.
        """
        points = self._drawn(count, generator)
        if not points:
            raise _nothing(count)
        return self.block(points)

    def neighbours(
        self, parents: Sequence[Point], draws: int, generator: np.random.Generator
    ) -> Block:
        """Feasible points one step from each parent; there may be none."""
        near = [
            self.space.perturb(parent.params, generator)
            for parent in parents
            for _ in range(draws)
        ]
        feasible = (draw for draw in near if self.knowledge.is_feasible(draw.params))
        return self.block([self.knowledge.point(draw) for draw in feasible])

    def block(self, points: Sequence[Point]) -> Block:
        """Points with their encoding and costs."""
        cost = self.knowledge.cost if self.costed else None
        costs = [] if cost is None else [cost(point.params) for point in points]
        return Block(
            tuple(points),
            self.encoder.encode(points),
            np.array(costs, dtype=np.float64),
        )

    def joined(self, blocks: Sequence[Block]) -> Block:
        """Several blocks as one."""
        return Block(
            reduce(lambda some, block: some + block.points, blocks, ()),
            np.vstack([self.encoder.pad(block.matrix) for block in blocks]),
            np.concatenate([block.costs for block in blocks]),
        )

    def _drawn(self, count: int, generator: np.random.Generator) -> list[Point]:
        """Random feasible points; fewer, or none, where they are rare."""
        points: list[Point] = []
        for drawn in range(PATIENCE * count):
            if len(points) == count or drawn >= PATIENCE * (len(points) + _RARE):
                break
            draw = self.space.sample(generator)
            if self.knowledge.is_feasible(draw.params):
                points.append(self.knowledge.point(draw))
        return points


def _nothing(count: int) -> NoCandidate:
    draws = PATIENCE * min(count, _RARE)
    return NoCandidate(
        f"The space must hold a feasible point, but none of {draws} draws was."
    )
