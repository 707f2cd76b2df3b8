"""What every choice of a box adds to the measures of a network, as layers of a route.

Blocks are measured one by one. Layers with drawn links and dense layers are too many
for that: what they cost is affine in the channels that a layer reads, and follows from
a few small ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np

from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture, Links, Stage
from nasdepth.inverse.bounds import Floats, Layer
from nasdepth.inverse.box import Box, Choice, choices_of, designed, links_of
from nasdepth.inverse.vectors import Probe, joined
from nasdepth.measures.mass import cell_mass

#: costs that are affine in the channels that a layer reads
_AFFINE: Final = ("params", "live_params", "macs", "activations")
#: measures of a cell that the draw of its links leaves alone
_UNDRAWN: Final = (
    *_AFFINE,
    "weighted_layers",
    "nominal_depth",
    "longest_path",
    "nn_mass",
    "mass_cells",
)
_FLOAT32: Final = 4  # bytes
_Edge: TypeAlias = tuple[int, int, Floats, Any]


@dataclass(frozen=True)  # no slots: the choices are measured once
class Parts:
    """Choices of a box around a reference, with what they add.

    States between the layers are channels. A stage is two layers, an entry, whose
    choice is a width (None in dense stages), and a body, whose choice is (depth,
    growth or None, links). An MLP is one layer.

    Attributes:
        reference: the network.
        box: what may vary.
        names: additive measures: the kept one, then the costs.
    """

    reference: Architecture
    box: Box
    names: tuple[str, ...]

    def layers(self, peak: float) -> list[Layer]:
        """Layers of a route whose parts keep a peak memory, in bytes.

        Empty where no choice of some part does.
        """
        fitting = [[e for e in edges if e[2][-1] <= peak] for edges in self._edges]
        return [_layer(edges) for edges in fitting] if all(fitting) else []

    @cached_property
    def peaks(self) -> list[float]:
        """Peak memories of all parts, in bytes, ascending."""
        return sorted({float(e[2][-1]) for edges in self._edges for e in edges})

    def choices(self, route: Sequence[Any]) -> list[Choice]:
        """Depth, width and links per stage of a route over the layers."""
        if self._is_linear:
            return list(route)
        pairs = zip(route[:-1:2], route[1::2], strict=True)
        return [(depth, width or growth, t) for width, (depth, growth, t) in pairs]

    @cached_property
    def sums(self) -> Floats:
        """What the reference's own parts add up to, the greatest peak memory last."""
        state = 0
        total: Floats = np.zeros(len(self.names) + 1)
        for edges, own in zip(self._edges, self._own_route(), strict=True):
            source = state
            state, vector = next(
                (t, v) for s, t, v, choice in edges if (s, choice) == (source, own)
            )
            total = joined(total, vector)
        return total

    def _own_route(self) -> list[Any]:
        """Choices of the layers that make the reference."""
        if self._is_linear:
            return list(choices_of(self.reference))
        route: list[Any] = []
        for stage in self.reference.stages:
            growth = stage.width if stage.family == "dense" else None
            route += [
                None if growth else stage.width,
                (stage.depth, growth, stage.links),
            ]
        return [*route, None]

    @property
    def _is_linear(self) -> bool:
        return self.reference.stages[0].block == "linear"

    @cached_property
    def _probe(self) -> Probe:
        return Probe(self.reference, self.names)

    @cached_property
    def _edges(self) -> list[list[_Edge]]:
        """Per layer its choices: state before and after, what is added, the choice."""
        if self._is_linear:
            return [list(self._linear())]
        found: list[list[_Edge]] = []
        states = [0]
        for place in range(len(self.reference.stages)):
            for choices_from in (self._entries, self._bodies):
                found.append([e for a in states for e in choices_from(place, a)])
                states = sorted({target for _, target, _, _ in found[-1]})
        found.append([(a, 0, self._probe.head(a), None) for a in states])
        return found

    def _entries(self, place: int, channels: int) -> Iterator[_Edge]:
        stage = self.reference.stages[place]
        dense = stage.family == "dense"
        for width in [stage.width] if dense else self.box.widths(stage):
            narrow = replace(stage, width=width, depth=stage.branches)
            after, vector = self._probe.entry(place, narrow, channels)
            yield channels, after, vector, None if dense else width

    def _bodies(self, place: int, channels: int) -> Iterator[_Edge]:
        stage = self.reference.stages[place]
        if stage.family == "dense":
            yield from self._dense(place, channels)
            return
        kinds = {"cell": self._cell, "parallel": self._parallel}
        bodies = kinds.get(stage.family, self._chain)
        for depth, links, vector in bodies(place, replace(stage, width=channels)):
            yield channels, channels, vector, (depth, None, links)

    def _chain(self, place: int, stage: Stage) -> Iterator[tuple[int, Links, Floats]]:
        """Blocks in a row, one more for every depth."""
        block = self._body(place, stage, depth=2)
        total = np.zeros_like(block)
        for depth in self.box.depths(place, stage):
            yield depth, stage.links, total
            total = joined(total, block)

    def _parallel(
        self, place: int, stage: Stage
    ) -> Iterator[tuple[int, Links, Floats]]:
        for depth in self.box.depths(place, stage):
            yield depth, stage.links, self._body(place, stage, depth=depth)

    def _cell(self, place: int, stage: Stage) -> Iterator[tuple[int, Links, Floats]]:
        """Layers in a row, and what every channel linked to them adds."""
        depths = self.box.depths(place, stage)
        if not set(self.names) <= set(_UNDRAWN):
            for depth in depths:
                yield depth, stage.links, self._body(place, stage, depth=depth)
            return
        one, two, three, linked = (
            self._body(place, stage, depth=depth, links=links)
            for depth, links in ((1, 0), (2, 0), (3, 0), (3, 1))
        )
        area = self._probe.area(place, stage) * _FLOAT32
        for depth in depths:
            for links in links_of(stage):
                read, last = _read(stage.width, depth, int(links))
                vector = one + (depth - 1) * (two - one) + read * (linked - three)
                # every output is alive until the last layer has drawn from it
                alive = (depth * stage.width + 2 * last) * area
                vector[-1] = alive if last else (one, two)[depth > 1][-1]
                self._set_mass(vector, stage.width, depth, int(links))
                yield depth, links, vector

    def _linear(self) -> Iterator[_Edge]:
        """Whole MLPs: the classifier is the last layer of their cell."""
        stage = self.reference.stages[0]
        undrawn = set(self.names) <= set(_UNDRAWN)
        for width in self.box.widths(stage):
            shapes = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1))
            small = [self._mlp(depth, width, links) for depth, links in shapes]
            for depth in self.box.depths(0, stage):
                for links in links_of(stage) if undrawn else [stage.links]:
                    vector = (
                        self._affine_mlp(small, depth, width, int(links))
                        if undrawn
                        else self._mlp(depth, width, links)
                    )
                    yield 0, 0, vector, (depth, width, links)

    def _affine_mlp(
        self, small: Sequence[Floats], depth: int, width: int, links: int
    ) -> Floats:
        one, two, ends, three, linked = small
        read, _ = _read(width, depth, links)
        last = min(links, width * (depth - 1))
        end = ends - two  # of a channel that the classifier reads
        inner = linked - three - end
        vector = one + (depth - 1) * (two - one) + read * inner + last * end
        alive = ((depth + 1) * width + 2 * last) * _FLOAT32
        vector[-1] = max(one[-1], alive if last else 0)
        self._set_mass(vector, width, depth + 1, links)
        return vector

    def _dense(self, place: int, channels: int) -> Iterator[_Edge]:
        """Dense blocks: the map grows, whatever it starts from."""
        stage = self.reference.stages[place]
        for growth in self.box.widths(stage):
            slopes = self._slopes[place, growth]
            for depth in self.box.depths(place, stage):
                after = channels + depth * growth
                vector = slopes @ _terms(depth, channels, growth)
                self._set_shape(vector, place, depth, growth)
                vector[-1] = self._dense_peak(place, after, growth)
                yield channels, after, vector, (depth, growth, stage.links)

    @cached_property
    def _slopes(self) -> dict[tuple[int, int], Floats]:
        """Per dense stage and growth what `_terms` are multiplied with."""
        found = {}
        for place, stage in enumerate(self.reference.stages):
            for growth in self.box.widths(stage) if stage.family == "dense" else ():
                some = [(d, m) for d in (1, 2) for m in (growth, 2 * growth)]
                terms = [_terms(depth, m, growth) for depth, m in some]
                vectors = [
                    self._probe.body(place, replace(stage, depth=d, width=growth), m)
                    for d, m in some
                ]
                slopes = np.linalg.solve(np.array(terms), np.array(vectors)).T
                found[place, growth] = np.round(slopes)
        return found

    @cached_property
    def _shapes(self) -> dict[tuple[int, int], Floats]:
        """Per dense stage and depth the vector of the reference's growth."""
        return {
            (place, depth): self._body(place, stage, depth=depth)
            for place, stage in enumerate(self.reference.stages)
            if stage.family == "dense"
            for depth in self.box.depths(place, stage)
        }

    def _set_shape(self, vector: Floats, place: int, depth: int, growth: int) -> None:
        """Measures of the paths: the width only scales the mass."""
        scale = growth / self.reference.stages[place].width
        for index, name in enumerate(self.names):
            if name not in _AFFINE:
                value = self._shapes[place, depth][index]
                vector[index] = value * (scale if name == "nn_mass" else 1)

    def _dense_peak(self, place: int, after: int, growth: int) -> float:
        """Peak memory at the last layer, beside all maps, or at the last norm."""
        stage = self.reference.stages[place]
        last = after - growth
        middle = round(growth * stage.middle) if stage.block == "bottleneck" else 0
        channels = (3 * last, 2 * last + (middle or growth), 2 * after)
        inside = last + middle + max(middle, growth)
        return max(*channels, inside) * self._areas[place] * _FLOAT32

    @cached_property
    def _areas(self) -> list[int]:
        stages = enumerate(self.reference.stages)
        return [self._probe.area(place, stage) for place, stage in stages]

    def _body(self, place: int, stage: Stage, **changes: Any) -> Floats:
        return self._probe.body(place, replace(stage, **changes), stage.width)

    def _mlp(self, depth: int, width: int, links: Links) -> Floats:
        return self._probe.vector(
            lower(designed(self.reference, [(depth, width, links)]))
        )

    def _set_mass(self, vector: Floats, width: int, depth: int, links: int) -> None:
        mass = cell_mass(width, depth, links)
        for index, name in enumerate(self.names):
            if name in ("nn_mass", "mass_cells"):
                vector[index] = mass if name == "nn_mass" else mass > 0


def _read(width: int, depth: int, links: int) -> tuple[int, int]:
    """Linked channels that the layers of a cell read, and those of its last."""
    channels = [min(links, width * (layer - 1)) for layer in range(2, depth)]
    return sum(channels), channels[-1] if channels else 0


def _terms(depth: int, channels: int, growth: int) -> Floats:
    """Layers of a dense block, channels that they read, one, channels after it."""
    read = depth * channels + growth * depth * (depth - 1) // 2
    return np.array([depth, read, 1, channels + depth * growth], float)


def _layer(edges: Sequence[_Edge]) -> Layer:
    sources, targets, vectors, choices = zip(*edges, strict=True)
    values = np.array(vectors)
    return Layer(
        np.array(sources), np.array(targets), values[:, 0], values[:, 1:-1], choices
    )
