"""Pareto fronts of gain against cost: who is on one, what it covers, what it may gain.

More gain is better and less cost is. A reference point, of a cost and a gain, bounds
what counts: the hypervolume of a front is the area between it and the reference.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nasdepth.guide.acquisition import expected_improvement
from nasdepth.statistics.linear import Vector

Bools: TypeAlias = NDArray[np.bool_]


def undominated(costs: Vector, gains: Vector) -> Bools:
    """Which points no other point beats: none costs as little and gains more.

    Of points equal in everything the first is kept.

    Args:
        costs: `(points,)`, or `(points, costs)` where several count.
        gains: `(points,)`.
    """
    if costs.ndim == 1:
        return _undominated_in_one(costs, gains)
    return _undominated_in_several(costs, gains)


def hypervolume(
    costs: Vector,
    gains: Vector,
    reference_cost: float,
    reference_gain: float,
    *,
    log: bool = True,
) -> float:
    """Area that points cover between themselves and a reference point.

    Zitzler & Thiele 1998 (doi:10.1007/BFb0056872), here over the natural logarithm of
    the cost: twice as cheap counts the same everywhere.

    Args:
        costs: `(points,)`.
        gains: `(points,)`.
        reference_cost: at and above it nothing counts.
        reference_gain: at and below it nothing counts.
        log: whether the area is over the logarithm of the cost.

    Raises:
        ValueError: a cost has no logarithm.

    >>> hypervolume(np.array([1.0, 2.0]), np.array([0.5, 0.75]), 4, 0.25, log=False)
    1.25
    """
    scaled = np.append(costs, reference_cost).astype(np.float64)
    if log:
        scaled = _logarithms(scaled)
    steps = _steps(scaled[:-1], gains, (float(scaled[-1]), reference_gain))
    heights = steps.levels - reference_gain
    return float(np.sum((steps.ends - steps.starts)[1:] * heights[1:]))


def hypervolumes(
    costs: Vector,
    gains: Vector,
    reference_cost: float,
    reference_gain: float,
    *,
    log: bool = True,
) -> Vector:
    """Hypervolume of the points up to each one, in the order in which they came.

    Args:
        costs: `(points,)`.
        gains: `(points,)`.
        reference_cost: as of `hypervolume`.
        reference_gain: as of `hypervolume`.
        log: as of `hypervolume`.

    Raises:
        ValueError: a cost has no logarithm.
    """
    areas: list[float] = []
    front: list[int] = []
    for place in range(len(costs)):
        known = [*front, place]
        kept = undominated(costs[known], gains[known])
        if kept[-1]:
            front = [each for each, stays in zip(known, kept, strict=True) if stays]
            chosen = costs[front], gains[front]
            areas.append(hypervolume(*chosen, reference_cost, reference_gain, log=log))
        else:  # one of before is no worse
            areas.append(areas[-1])
    return np.array(areas)


def expected_hypervolume_improvement(
    mean: Vector,
    sd: Vector,
    cost: Vector,
    *,
    front_costs: Vector,
    front_gains: Vector,
    reference: tuple[float, float],
) -> Vector:
    """Hypervolume that a point of known cost and normal gain is expected to add.

    Σᵢ (cᵢ₊₁ - cᵢ) [(μ - tᵢ) Φ(zᵢ) + s φ(zᵢ)] with zᵢ = (μ - tᵢ)/s: c₀ is the point's
    own cost, c₁, c₂, … are the front's costs above it, and the last is the reference's;
    tᵢ is the best gain on the front at a cost of at most cᵢ, else the reference's. This
    is the expected improvement of the hypervolume (Emmerich, Deutz & Klinkenberg 2011,
    doi:10.1109/CEC.2011.5949880) where one of two objectives is known beforehand: the
    expected improvement on each step of the front, times the length of the step.

    Costs are on the scale that counts: logarithms, where the area is over them.

    Args:
        mean: of the gain, `(points,)`.
        sd: of the gain, `(points,)`; 0 where it is known.
        cost: `(points,)`.
        front_costs: `(front,)`, in any order; beaten points change nothing.
        front_gains: `(front,)`.
        reference: cost and gain of the reference point.

    Returns:
        `(points,)`; 0 at and beyond the reference's cost.
    """
    steps = _steps(front_costs, front_gains, reference)
    lengths = steps.ends - np.maximum(steps.starts, cost[:, None])
    gains = expected_improvement(mean[:, None] - steps.levels, sd[:, None], 0.0)
    return np.asarray(np.sum(np.maximum(lengths, 0.0) * gains, axis=1))


class _Steps(NamedTuple):
    """A front as steps: from start to end no point on it gains more than the level."""

    starts: Vector
    ends: Vector
    levels: Vector


def _steps(costs: Vector, gains: Vector, reference: tuple[float, float]) -> _Steps:
    """The steps up to the reference's cost; the first one comes before all points."""
    order = np.argsort(costs, kind="stable")
    limit, least = reference
    ends = np.minimum(np.append(costs[order], limit), limit)
    levels = np.maximum.accumulate(np.append(least, gains[order]))
    return _Steps(np.append(-np.inf, ends[:-1]), ends, levels)


def _logarithms(costs: Vector) -> Vector:
    """Natural logarithms; raises where there is none."""
    bad = costs[~(costs > 0)]
    if bad.size:
        raise ValueError(
            f"A cost must be positive to have a logarithm, but got {bad[0]:g}; give"
            " log=False for an area over the cost itself."
        )
    return np.asarray(np.log(costs))


def _undominated_in_one(costs: Vector, gains: Vector) -> Bools:
    """Which points are on the front of one cost, by one pass in its order."""
    order = np.lexsort((np.arange(len(costs)), -gains, costs))
    best = np.maximum.accumulate(gains[order])
    before = np.concatenate([[-np.inf], best[:-1]])
    kept = np.zeros(len(costs), dtype=np.bool_)
    kept[order] = gains[order] > before
    return kept


def _undominated_in_several(costs: Vector, gains: Vector) -> Bools:
    """Which points are on the front of several costs.

    Whoever beats a point stands before it in the lexical order of costs and gain.
    """
    order = np.lexsort((np.arange(len(costs)), -gains, *costs.T[::-1]))
    kept: list[int] = []
    for place in order:
        as_cheap = np.all(costs[kept] <= costs[place], axis=1)
        if not np.any(as_cheap & (gains[kept] >= gains[place])):
            kept.append(int(place))
    found = np.zeros(len(costs), dtype=np.bool_)
    found[kept] = True
    return found
