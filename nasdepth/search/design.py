"""The unselected arm: architectures chosen before any training, to separate measures.

Of many feasible architectures a set is taken in two steps. Greedy maximin in the
whitened space of effective depth, both nominal depths and log size gives directions
in which correlated measures differ as much room as those in which they agree.
Exchanges then raise the log-determinant of the set's correlation matrix, which is 0
where no measure can stand in for another, as long as no measure loses its range.

Where shortcuts may be dropped, half of the arm are pairs of siblings: residual
networks of one cost and one nominal depth, which differ in the shortcuts that they
lack. Exchanges of pairs and of single networks raise the same determinant, each the
best of many (Fedorov 1972, *Theory of Optimal Experiments*, section 3.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nasdepth.search.candidates import Candidate, Sieve, feasible
from nasdepth.search.config import StudyConfig
from nasdepth.search.siblings import Known, as_candidate, with_siblings
from nasdepth.search.space import Space
from nasdepth.statistics.linear import basis, is_constant, residual

_DEPTHS: Final = ("effective_depth", "nominal_depth", "weighted_layers")
_SIZES: Final = ("params", "macs")
#: exchanges tried; the separation has settled long before on 1,000 points
_EXCHANGES: Final = 4000
#: passes over the arm, and exchanges compared for each of its places
_PASSES: Final = 8
_COMPARED: Final = 256
#: one pair of siblings in so many places: half of the arm
_PLACES_A_PAIR: Final = 4
#: added to variances, so that few or collinear points have a determinant
_RIDGE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Attainable:
    """How far architectures tell effective depth from nominal depth and size.

    Attributes:
        n: architectures.
        r_nominal: correlation of effective depth with nominal depth; None where a
            measure is constant.
        r_weighted: with the number of weighted layers.
        r_size: with the logarithm of the parameters.
        unexplained: share of effective depth's variance that nominal depth, log
            parameters and log MACs leave; None where effective depth is constant.
        inflation: of the variance of its coefficient, 1 / unexplained.
    """

    n: int
    r_nominal: float | None
    r_weighted: float | None
    r_size: float | None
    unexplained: float | None
    inflation: float | None


def unselected(config: StudyConfig, space: Space) -> list[Candidate]:
    """The architectures of the unselected arm, in the order they are trained.

    Raises:
        NoCandidate: no feasible architecture in the space.
    """
    wanted = config.design.trials
    limits = config.budget.limits()
    sieve = Sieve(space, limits)
    count = max(wanted, 1) * config.design.candidates
    pool = feasible(config, space, count, seed=seed_of(config), sieve=sieve)
    sets = with_siblings(pool, space, limits)
    chosen = designed(sets, wanted, seed=seed_of(config))
    return [as_candidate(known, space) for known in chosen]


def seed_of(config: StudyConfig) -> tuple[int, int]:
    """Seed of the arm's draws and exchanges."""
    return config.search.seed, 1


def designed(
    sets: Sequence[Sequence[Known]], count: int, *, seed: Sequence[int]
) -> list[Known]:
    """Up to `count` architectures that separate the features, in random order.

    Args:
        sets: architectures to choose from, siblings together.
        count: how many.
        seed: of the exchanges and of the order.
    """
    pool = [known for own in sets for known in own]
    generator = np.random.default_rng(list(seed))
    points = features(pool)
    if len(pool) == sum(map(bool, sets)):
        chosen = exchange(points, spread(points, count), generator)
    else:
        ends = np.cumsum([len(own) for own in sets])
        places = [range(e - len(own), e) for own, e in zip(sets, ends, strict=True)]
        chosen = exchange_pairs(points, places, count, generator)
    # trained in random order: an interrupted arm is still a sample of the whole
    return [pool[i] for i in generator.permutation(chosen)]


def features(candidates: Sequence[Known]) -> NDArray[np.float64]:
    """What the arm must separate, one row a candidate."""
    depths = [[c.measures[name] or 0.0 for name in _DEPTHS] for c in candidates]
    sizes = [[np.log(c.measures[name] or 1.0) for name in _SIZES] for c in candidates]
    return np.hstack([np.array(depths, dtype=float), np.array(sizes, dtype=float)])


def attainable(points: NDArray[np.float64]) -> Attainable:
    """How far points, as `features` gives them, tell effective depth from the rest."""
    effective, nominal, weighted, params, macs = points.T
    others = (nominal, weighted, params)
    r_nominal, r_weighted, r_size = (_correlation(effective, each) for each in others)
    unexplained = None
    if not is_constant(effective):
        held = basis([nominal, params, macs], len(points))
        unexplained = residual(effective, held)[1]
    inflation = 1 / unexplained if unexplained else None
    return Attainable(
        len(points), r_nominal, r_weighted, r_size, unexplained, inflation
    )


def spread(points: NDArray[np.float64], count: int) -> list[int]:
    """Indices of up to `count` points, greedily maximin after whitening.

    Args:
        points: `(points, features)`.
        count: how many to choose.
    """
    if not len(points) or not count:
        return []
    white = _whitened(points)
    chosen = [int(np.argmin((white**2).sum(axis=1)))]
    nearest = np.full(len(white), np.inf)
    while len(chosen) < min(count, len(white)):
        distance = ((white - white[chosen[-1]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, distance)
        nearest[chosen] = -1.0
        chosen.append(int(np.argmax(nearest)))
    return chosen


def exchange(
    points: NDArray[np.float64], chosen: Sequence[int], generator: np.random.Generator
) -> list[int]:
    """Indices after exchanges with the rest, each of which separates the features more.

    Args:
        points: `(points, features)`.
        chosen: indices to start from.
        generator: draws the exchanges that are tried.
    """
    kept = list(chosen)
    if len(kept) in (0, len(points)):
        return kept
    scaled = _standardised(points)
    best = _separation(scaled[kept])
    for _ in range(_EXCHANGES):
        place = generator.integers(len(kept))
        other = int(generator.integers(len(points)))
        if other in kept:
            continue
        tried = [*kept[:place], other, *kept[place + 1 :]]
        value = _separation(scaled[tried])
        if value > best:
            kept, best = tried, value
    return kept


def exchange_pairs(
    points: NDArray[np.float64],
    sets: Sequence[Sequence[int]],
    count: int,
    generator: np.random.Generator,
) -> list[int]:
    """Indices of which half are pairs of one set, after exchanges as `exchange` has.

    No set gives more than one pair or one point, unless there are too few sets: then
    points are exchanged, whatever their set.

    Args:
        points: `(points, features)`.
        sets: indices of siblings, together all points.
        count: how many to choose.
        generator: draws the start and the exchanges that are compared.
    """
    units = _Units(_standardised(points), sets)
    pairs = min(count // _PLACES_A_PAIR, sum(len(own) > 1 for own in sets))
    kept = units.start(pairs, count - 2 * pairs, generator)
    if kept is None:
        return exchange(points, spread(points, count), generator)
    for _ in range(_PASSES):
        before = list(kept)
        for place in generator.permutation(len(kept)):
            kept[place] = units.better(kept, int(place), generator)
        if kept == before:
            break
    return [index for unit in kept for index in units.members[unit]]


class _Units:
    """Points and pairs of siblings, with what each adds to the moments of an arm."""

    def __init__(
        self, scaled: NDArray[np.float64], sets: Sequence[Sequence[int]]
    ) -> None:
        found = [
            (owner, members)
            for owner, own in enumerate(sets)
            for members in (*((i,) for i in own), *combinations(own, 2))
        ]
        self.members = [members for _, members in found]
        self._owner = np.array([owner for owner, _ in found])
        self._size = np.array([len(members) for members in self.members])
        products = scaled[:, :, None] * scaled[:, None, :]
        # a single point counts as a half of the two that it is taken for
        ends = np.array([(m[0], m[-1]) for m in self.members])
        share = self._size / 2
        self._first = share[:, None] * scaled[ends].sum(axis=1)
        self._second = share[:, None, None] * products[ends].sum(axis=1)

    def start(
        self, pairs: int, singles: int, generator: np.random.Generator
    ) -> list[int] | None:
        """Random units of different sets; None where there are too few sets."""
        used: set[int] = set()
        kept: list[int] = []
        for size, wanted in ((2, pairs), (1, singles)):
            for unit in generator.permutation(np.flatnonzero(self._size == size)):
                if len(used) == pairs + singles or wanted == 0:
                    break
                if (owner := int(self._owner[unit])) not in used:
                    used.add(owner)
                    kept.append(int(unit))
                    wanted -= 1
        return kept if len(kept) == pairs + singles else None

    def better(
        self, kept: Sequence[int], place: int, generator: np.random.Generator
    ) -> int:
        """The best of the unit at a place and some that might stand there."""
        own = kept[place]
        rest = [unit for unit in kept if unit != own]
        like = np.flatnonzero(self._size == self._size[own])
        some = generator.choice(like, min(_COMPARED, len(like)), replace=False)
        free = some[~np.isin(self._owner[some], self._owner[rest])]
        tried = np.array([own, *free])
        count = int(self._size[kept].sum())
        mean = (self._first[rest].sum(axis=0) + self._first[tried]) / count
        second = (self._second[rest].sum(axis=0) + self._second[tried]) / count
        covariance = second - mean[:, :, None] * mean[:, None, :]
        return int(tried[np.argmax(_criterion(covariance))])


def _separation(points: NDArray[np.float64]) -> float:
    """Log-determinant of the correlations, less what features have lost in range."""
    centred = points - points.mean(axis=0)
    return float(_criterion(centred.T @ centred / len(points)))


def _criterion(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same of each of `(..., features, features)` covariances."""
    variance = np.diagonal(covariance, axis1=-2, axis2=-1) + _RIDGE
    scale = np.sqrt(variance)
    correlation = covariance / (scale[..., :, None] * scale[..., None, :])
    correlation += _RIDGE * np.eye(scale.shape[-1])
    lost = np.log(np.minimum(variance, 1.0)).sum(axis=-1) / 2
    return np.asarray(np.linalg.slogdet(correlation)[1] + lost)


def _correlation(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> float | None:
    if is_constant(first) or is_constant(second):
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _standardised(points: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = points.std(axis=0)
    varies = scale > 0
    result: NDArray[np.float64] = (
        points[:, varies] - points[:, varies].mean(axis=0)
    ) / (scale[varies])
    return result


def _whitened(points: NDArray[np.float64]) -> NDArray[np.float64]:
    left, values, _ = np.linalg.svd(_standardised(points), full_matrices=False)
    kept = values**2 > _RIDGE * max(values[:1] ** 2, default=0.0)
    white: NDArray[np.float64] = left[:, kept] * np.sqrt(len(points))
    return white
