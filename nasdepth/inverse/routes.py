"""The cheapest route through layers of choices that keeps one sum in a window.

The least first cost under limits on the others is a shortest path with resources.
Partial routes are extended layer by layer; what a bound on the rest, or another partial
route of the same kept sum, rules out is dropped. Where more are left than are kept,
the best of those dropped bounds what was missed: a result is proved, or its gap known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nasdepth.inverse.bounds import CLOSE, Bounds, Floats, Ints, Layer, useful

_WIDTHS: Final = (300, 6000)  # partial routes kept, in a quick and a thorough pass
_WORK: Final = 1_500_000  # extensions tried per layer
_CHECKED: Final = 64  # finished routes offered to the caller's last word


@dataclass(frozen=True, slots=True)
class Route:
    """One choice for every layer.

    Attributes:
        choices: of the layers, in order.
        kept: their kept sum.
        costs: their costs, the minimised one first.
    """

    choices: tuple[Any, ...]
    kept: float
    costs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Outcome of a search.

    Attributes:
        route: the cheapest found; None where there is none.
        bound: no admitted route costs less than this; the route's own cost where it
            is proved to be the cheapest.
    """

    route: Route | None
    bound: float

    @property
    def proved(self) -> bool:
        """Whether the route is the cheapest, or that there is none."""
        if self.route is None:
            return self.bound == np.inf
        cost = self.route.costs[0]
        return self.bound >= cost - CLOSE * max(1.0, abs(cost))


def cheapest(
    layers: Sequence[Layer],
    window: tuple[float, float],
    limits: Sequence[float],
    accept: Callable[[Route], bool] = lambda route: True,
    *,
    upper: float = np.inf,
    thorough: bool = True,
) -> Found:
    """Cheapest route whose kept sum lies in a window and whose costs keep limits.

    >>> ends, one = np.array([0, 0]), np.array([[1.0], [3.0]])
    >>> layer = Layer(ends, ends, np.array([2.0, 5.0]), one, ("thin", "wide"))
    >>> cheapest([layer, layer], (7, 10), [np.inf]).route.choices
    ('thin', 'wide')

    Args:
        layers: from the start (state 0) to the end (any state).
        window: least and greatest kept sum.
        limits: greatest value of each cost; infinity for none.
        accept: last word on a finished route. Routes that it refuses are gone; what
            they dominated is not looked for again, and `proved` is then not given.
        upper: first cost of a solution that is known; only cheaper ones are looked for.
        thorough: whether to look again, and further, where a first pass proved nothing.
    """
    layers = useful(layers, window, np.asarray(limits, float))
    if not all(len(layer.choices) for layer in layers):
        return Found(None, np.inf)
    bounds = Bounds(layers, window, np.asarray(limits, float))
    best: Route | None = None
    bound = np.inf
    for width in _WIDTHS if thorough else _WIDTHS[:1]:
        least = best.costs[0] if best else upper
        route, bound = _extend(bounds, width, least, accept)
        best = route or best
        if bound >= (best.costs[0] if best else upper) - CLOSE:
            break
    return Found(best, min(bound, best.costs[0]) if best else bound)


@dataclass(frozen=True, eq=False, slots=True)
class _Front:
    """Partial routes, N of them, with where each came from."""

    states: Ints
    kept: Floats
    costs: Floats
    parent: Ints
    edge: Ints

    def take(self, rows: Ints) -> "_Front":
        return _Front(
            self.states[rows],
            self.kept[rows],
            self.costs[rows],
            self.parent[rows],
            self.edge[rows],
        )


def _extend(
    bounds: Bounds, width: int, upper: float, accept: Callable[[Route], bool]
) -> tuple[Route | None, float]:
    """Best route below `upper`, and a lower bound of what was not looked at."""
    none = np.zeros(1, int)
    start = _Front(none, np.zeros(1), np.zeros((1, len(bounds.limits))), none, none)
    fronts, bound = [start], np.inf
    for k, layer in enumerate(bounds.layers):
        grown = [_step(bounds, k, layer, fronts[-1], s, upper) for s in layer.by_source]
        front = _Front(*map(np.concatenate, zip(*map(_fields, grown), strict=True)))
        front = front.take(_undominated(front))
        least = bounds.floor(k + 1, front.states, front.kept, front.costs)
        order = np.argsort(least, kind="stable")
        most = min(width, _affordable(bounds, k + 1, front.states[order]))
        if len(order) > most:
            bound = min(bound, float(least[order[most]]))
        fronts.append(front.take(order[:most]))
    return _finished(bounds, fronts, bound, accept)


def _affordable(bounds: Bounds, k: int, states: Ints) -> int:
    """How many partial routes, in their order, can be extended through layer k."""
    if k == len(bounds.layers):
        return len(states)
    leaving = np.bincount(
        bounds.layers[k].source, minlength=int(states.max(initial=0)) + 1
    )
    work = np.cumsum(leaving[states])
    return max(1, int(np.searchsorted(work, _WORK, side="right")))


def _step(
    bounds: Bounds, k: int, layer: Layer, front: _Front, state: int, upper: float
) -> _Front:
    """Extensions of the partial routes in one state that may still end below upper."""
    edges = layer.by_source[state]
    rows = np.flatnonzero(front.states == state)
    parts = []
    for some in np.array_split(rows, max(1, len(rows) * len(edges) // 500_000)):
        parent, edge = np.repeat(some, len(edges)), np.tile(edges, len(some))
        costs = front.costs[parent] + layer.costs[edge]
        kept = front.kept[parent] + layer.kept[edge]
        grown = _Front(layer.target[edge], kept, costs, parent, edge)
        least = bounds.floor(k + 1, grown.states, kept, costs)
        # a tie is no gain; an infinite floor is a route that cannot be completed
        useful = least < upper - CLOSE * max(1.0, upper if upper < np.inf else 1.0)
        parts.append(grown.take(np.flatnonzero(useful & np.isfinite(least))))
    return _Front(*map(np.concatenate, zip(*map(_fields, parts), strict=True)))


def _finished(
    bounds: Bounds, fronts: list[_Front], bound: float, accept: Callable[[Route], bool]
) -> tuple[Route | None, float]:
    last = fronts[-1]
    order = np.lexsort((*last.costs.T[::-1],))
    for place, row in enumerate(order[:_CHECKED]):
        route = _route(bounds, fronts, int(row))
        if accept(route):
            refused = float(last.costs[order[0], 0]) if place else np.inf
            return route, min(bound, refused, route.costs[0])
    refused = float(last.costs[order[0], 0]) if len(order) else np.inf
    return None, min(bound, refused)


def _route(bounds: Bounds, fronts: list[_Front], row: int) -> Route:
    last, choices = fronts[-1], []
    kept, costs = float(last.kept[row]), tuple(map(float, last.costs[row]))
    for front, layer in zip(reversed(fronts[1:]), reversed(bounds.layers), strict=True):
        choices.append(layer.choices[front.edge[row]])
        row = int(front.parent[row])
    return Route(tuple(reversed(choices)), kept, costs)


def _undominated(front: _Front) -> Ints:
    """Rows that no near neighbour of equal state and kept sum undercuts everywhere.

    Sorted by the first cost, a row is compared with the eight before it: sound, and
    enough in practice.
    """
    kept = np.round(front.kept / CLOSE / max(1.0, front.kept.max(initial=0)))
    order = np.lexsort((*front.costs.T[::-1], kept, front.states))
    keep = np.ones(len(order), bool)
    states, kept, costs = front.states[order], kept[order], front.costs[order]
    for shift in range(1, min(9, len(order))):
        same = (states[shift:] == states[:-shift]) & (kept[shift:] == kept[:-shift])
        keep[shift:] &= ~(same & (costs[shift:] >= costs[:-shift]).all(axis=1))
    return order[keep]


def _fields(front: _Front) -> tuple[Any, ...]:
    return front.states, front.kept, front.costs, front.parent, front.edge
