"""Layers of choices, and lower bounds on what is still to come after some of them.

A network is a chain of parts; each part is one choice that leads from one boundary to
the next and adds to a kept sum and to several costs. One pass from the end gives, for
every remaining kept sum, the cheapest rest by each cost and by a Lagrangian mix of all
of them (Handler & Zang 1980, doi:10.1002/net.3230100403).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np

Floats: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Ints: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

CLOSE: Final = 1e-9  # relative, of sums of floats
_CELLS: Final = 1024  # of the kept axis, where its values have no common unit
_MOST_CELLS: Final = 8192
_UNITS: Final = (1, 2, 3, 4, 5, 6, 8, 12)  # parts of one, as kept values come
_ROUNDS: Final = 30  # of the subgradient method
_IDLE: Final = 6  # of them without a gain of a thousandth, after which it ends


@dataclass(frozen=True, eq=False)  # no slots: sorted order is cached on the instance
class Layer:
    """Choices between two boundaries, E of them.

    Attributes:
        source: state before each choice, from 0, shape (E,).
        target: state after each choice, shape (E,).
        kept: what each adds to the kept sum, not below 0, shape (E,).
        costs: what each adds to the costs, not below 0, shape (E, C).
        choices: what each stands for.
    """

    source: Ints
    target: Ints
    kept: Floats
    costs: Floats
    choices: tuple[Any, ...]

    def take(self, rows: Ints) -> "Layer":
        """Some of the choices."""
        return Layer(
            self.source[rows],
            self.target[rows],
            self.kept[rows],
            self.costs[rows],
            tuple(self.choices[row] for row in rows),
        )

    @cached_property
    def by_source(self) -> dict[int, Ints]:
        """Indices of the choices that leave each state."""
        return {int(s): np.flatnonzero(self.source == s) for s in set(self.source)}


def useful(
    layers: Sequence[Layer], window: tuple[float, float], limits: Floats
) -> list[Layer]:
    """The layers without choices that no route within the limits goes through."""
    values = [np.c_[each.costs, each.kept, -each.kept] for each in layers]
    slack = CLOSE * max(1.0, abs(window[1]))
    most = np.r_[limits * (1 + CLOSE) + CLOSE, window[1] + slack, slack - window[0]]
    before = [np.full((_states(layers, 0), len(most)), np.inf)]
    before[0][0] = 0
    for k, (layer, value) in enumerate(zip(layers, values, strict=True), start=1):
        reached = np.full((_states(layers, k), len(most)), np.inf)
        np.minimum.at(reached, layer.target, before[-1][layer.source] + value)
        before.append(reached)
    after = np.zeros_like(before[-1])
    kept: list[Layer] = []
    for k in range(len(layers) - 1, -1, -1):
        layer, value = layers[k], values[k]
        onward = value + after[layer.target]
        whole = before[k][layer.source] + onward
        rows = np.flatnonzero((whole <= most).all(axis=1))
        kept.insert(0, layer.take(rows))
        after = np.full_like(before[k], np.inf)
        np.minimum.at(after, layer.source[rows], onward[rows])
    return kept


def _states(layers: Sequence[Layer], k: int) -> int:
    """Number of states of boundary k, those that no choice leads to included."""
    leaving = layers[k].source if k < len(layers) else np.zeros(1, int)
    coming = layers[k - 1].target if k else np.zeros(1, int)
    return int(max(leaving.max(), coming.max())) + 1


class Bounds:
    """The layers with their kept sums on a grid, and the bounds on what is to come."""

    def __init__(
        self, layers: Sequence[Layer], window: tuple[float, float], limits: Floats
    ) -> None:
        self.layers, self.limits = layers, limits * (1 + CLOSE) + CLOSE
        slack = CLOSE * max(1.0, abs(window[1]))
        self.low, self.high = window[0] - slack, window[1] + slack
        self.unit, exact = _unit(layers, self.high)
        self.cells = max(0, int(self.high / self.unit))
        rounded = np.round if exact else np.floor
        self.cell = [rounded(each.kept / self.unit).astype(int) for each in layers]
        self.exact = exact
        # what rounding down may hide: one cell for every layer that is off the grid
        off = [not exact and bool(each.kept.any()) for each in layers]
        self.hidden = [sum(off[k:]) for k in range(len(layers) + 1)]
        self._groups = [_grouped(*pair) for pair in zip(layers, self.cell, strict=True)]
        count = len(self.limits)
        mixes = [np.eye(count)[i] for i in range(count)]
        if self.high >= 0:
            mixes.append(self._multipliers())
        self.mixes = np.array(mixes)
        tables = [self.rest(mix) for mix in mixes]
        # per boundary the mixes' tables, the window already minimised over
        self.ahead = [
            np.stack([self._windowed(table[k], k) for table in tables])
            for k in range(len(layers) + 1)
        ]

    def rest(self, mix: Floats) -> list[Floats]:
        """Per boundary the least mixed cost to the end, by state and kept cells."""
        tables = [self._empty(len(self.layers))]
        tables[0][:, 0] = 0
        for k in range(len(self.layers) - 1, -1, -1):
            order, starts, keys = self._groups[k]
            costs = np.minimum.reduceat((self.layers[k].costs @ mix)[order], starts)
            after, table = tables[0], self._empty(k)
            for (source, target, cell), cost in zip(keys, costs, strict=True):
                if cell <= self.cells:
                    row = table[source, cell:]
                    ahead = after[target, : self.cells + 1 - cell]
                    np.minimum(row, ahead + cost, out=row)
            tables.insert(0, table)
        return tables

    def _empty(self, k: int) -> Floats:
        """Table of boundary k in which nothing leads to the end."""
        states = _states(self.layers, k)
        return np.full((states, self.cells + 1), np.inf)

    def _multipliers(self) -> Floats:
        """Mix of the costs whose least sum bounds the first cost best."""
        finite = np.isfinite(self.limits)
        finite[0] = False  # a limit on the minimised cost needs no price
        mix: Floats = np.eye(len(self.limits))[0]
        best, value, step, idle = mix, -np.inf, 1.0, 0
        scale = np.where(finite, np.maximum(self.limits, 1), 1)
        for _ in range(_ROUNDS if finite.any() else 0):
            costs = self._traced(self.rest(mix), mix)
            if costs is None:
                break
            dual = float(mix @ costs - mix[finite] @ self.limits[finite])
            idle = 0 if dual > value + 1e-3 * abs(value) else idle + 1
            if dual > value:
                best, value = mix, dual
            else:
                step *= 0.7
            excess = costs - np.where(finite, self.limits, costs)
            unbound = (excess <= 0).all() and (mix[finite] == 0).all()
            if idle == _IDLE or unbound:
                break  # no limit binds, or nothing is to be gained
            # one step prices an excess of all of a limit at the whole first cost
            mix = np.maximum(mix + step * costs[0] * finite * excess / scale**2, 0)
        return best

    def _traced(self, tables: list[Floats], mix: Floats) -> Floats | None:
        """Costs of the route whose mixed cost is least; None where there is none."""
        low = max(0, _ceil(self.low / self.unit) - self.hidden[0])
        ends = tables[0][0, low:]
        if not ends.size or not np.isfinite(ends).any():
            return None
        state, left = 0, low + int(ends.argmin())
        costs = np.zeros(len(self.limits))
        for k, layer in enumerate(self.layers):
            edges = layer.by_source[state]
            cells = left - self.cell[k][edges]
            ahead = tables[k + 1][layer.target[edges], np.maximum(cells, 0)]
            totals = np.where(cells >= 0, layer.costs[edges] @ mix + ahead, np.inf)
            edge = edges[int(totals.argmin())]
            left -= int(self.cell[k][edge])
            state = int(layer.target[edge])
            costs += layer.costs[edge]
        return costs

    def _windowed(self, table: Floats, k: int) -> Floats:
        """Least of the table over the window that starts at each cell, from -W on."""
        width = self.width(k)
        padding = ((0, 0), (width, width))
        least, span = np.pad(table, padding, constant_values=np.inf), 1
        while span < width + 1:
            # windows of twice the span, or of the whole where that overlaps
            shift = min(span, width + 1 - span)
            least = np.minimum(least[:, :-shift], least[:, shift:])
            span += shift
        return least

    def width(self, k: int) -> int:
        """Cells that a window may span before layer k."""
        spanned = int((self.high - self.low) / self.unit + CLOSE)
        return spanned + self.hidden[k] + (not self.exact)

    def ahead_of(self, k: int, states: Ints, kept: Floats) -> Floats:
        """Least mixed costs to the end, shape (mixes, ...), from states before k."""
        first = np.ceil((self.low - kept) / self.unit - CLOSE).astype(int)
        width = self.width(k)
        first = np.clip(first - self.hidden[k], -width, self.cells) + width
        found: Floats = self.ahead[k][:, states, first]
        return found

    def floor(self, k: int, states: Ints, kept: Floats, costs: Floats) -> Floats:
        """Lower bound of the first cost of every completion; infinite where none.

        Args:
            k: layers passed.
            states: boundary that is reached, shape (N,).
            kept: kept sum so far, shape (N,).
            costs: so far, shape (N, C).
        """
        totals = costs @ self.mixes.T + self.ahead_of(k, states, kept).T
        single = totals[:, : len(self.limits)]
        least = np.where((single <= self.limits).all(axis=1), single[:, 0], np.inf)
        for number in range(len(self.limits), len(self.mixes)):
            mix = self.mixes[number]
            priced = mix > 0
            priced[0] = False
            paid = mix[priced] @ self.limits[priced]
            least = np.maximum(least, (totals[:, number] - paid) / mix[0])
        return np.where(kept <= self.high, least, np.inf)


def _unit(layers: Sequence[Layer], high: float) -> tuple[float, bool]:
    """Side of a cell of the kept axis, and whether every value is a multiple of it."""
    values = np.concatenate([layer.kept for layer in layers])
    for parts in _UNITS:
        scaled = values * parts
        if high * parts > _MOST_CELLS:
            break
        if np.allclose(scaled, np.round(scaled), rtol=0, atol=CLOSE * parts):
            return 1 / parts, True
    return max(high, CLOSE) / _CELLS, False


def _ceil(value: float) -> int:
    return int(np.ceil(value - CLOSE))


def _grouped(layer: Layer, cells: Ints) -> tuple[Ints, Ints, list[tuple[int, ...]]]:
    """Choices of one source, target and kept cell together, as reduceat reads them."""
    order = np.lexsort((cells, layer.target, layer.source))
    keys = np.stack([layer.source, layer.target, cells], axis=1)[order]
    fresh = np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)]
    starts = np.flatnonzero(fresh)
    return order, starts, [tuple(map(int, key)) for key in keys[starts]]
