"""The unselected arm: architectures chosen before any training, to separate measures.

Of many feasible architectures a set is taken in two steps. Greedy maximin in the
whitened space of effective depth, both nominal depths and log size gives directions
in which correlated measures differ as much room as those in which they agree.
Exchanges then raise the log-determinant of the set's correlation matrix, which is 0
where no measure can stand in for another, as long as no measure loses its range.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nasdepth.search.candidates import Candidate, Sieve, feasible
from nasdepth.search.config import StudyConfig
from nasdepth.search.space import Space

_DEPTHS: Final = ("effective_depth", "nominal_depth", "weighted_layers")
_SIZES: Final = ("params", "macs")
#: exchanges tried; the separation has settled long before on 1,000 points
_EXCHANGES: Final = 4000
#: added to variances, so that few or collinear points have a determinant
_RIDGE: Final = 1e-4


def unselected(config: StudyConfig, space: Space) -> list[Candidate]:
    """The architectures of the unselected arm, in the order they are trained.

    Raises:
        NoCandidate: no feasible architecture in the space.
    """
    wanted = config.design.trials
    sieve = Sieve(space, config.budget.limits())
    seed = (config.search.seed, 1)
    count = max(wanted, 1) * config.design.candidates
    pool = feasible(config, space, count, seed=seed, sieve=sieve)
    generator = np.random.default_rng(list(seed))
    points = features(pool)
    chosen = exchange(points, spread(points, wanted), generator)
    # trained in random order: an interrupted arm is still a sample of the whole
    return [pool[i] for i in generator.permutation(chosen)]


def features(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """What the arm must separate, one row a candidate."""
    depths = [[c.measures[name] or 0.0 for name in _DEPTHS] for c in candidates]
    sizes = [[np.log(c.measures[name] or 1.0) for name in _SIZES] for c in candidates]
    return np.hstack([np.array(depths, dtype=float), np.array(sizes, dtype=float)])


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


def _separation(points: NDArray[np.float64]) -> float:
    """Log-determinant of the correlations, less what features have lost in range."""
    centred = points - points.mean(axis=0)
    covariance = centred.T @ centred / len(points)
    variance = np.diag(covariance) + _RIDGE
    scale = np.sqrt(variance)
    correlation = covariance / np.outer(scale, scale)
    correlation += _RIDGE * np.eye(len(scale))
    lost = np.log(np.minimum(variance, 1.0)).sum() / 2
    return float(np.linalg.slogdet(correlation)[1] + lost)


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
