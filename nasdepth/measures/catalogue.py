"""The one table of measures: name, function, label, unit, direction, source.

Screens, records, figures and the command line read it; a measure is added here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import log, log1p, sqrt
from typing import Final, Literal, TypeAlias

from nasdepth.architecture.graph import Graph
from nasdepth.architecture.registry import Registry
from nasdepth.measures import cost, depth, mass
from nasdepth.measures.depth import DEFAULT, DepthConvention, PathStatistics
from nasdepth.measures.structure import Structure, Undefined


@dataclass(frozen=True)  # no slots: what measures share is cached on the instance
class Subject:
    """A network under measurement, with what several measures share."""

    structure: Structure
    convention: DepthConvention = DEFAULT

    @cached_property
    def paths(self) -> PathStatistics:
        """Path statistics under the convention."""
        return depth.path_statistics(self.structure, self.convention)

    @cached_property
    def mass(self) -> mass.Mass:
        """NN-Mass and its number of cells."""
        return mass.nn_mass(self.structure)


Needs: TypeAlias = Literal["graph", "network", "device"]


Scale: TypeAlias = Literal["linear", "log", "log1p"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the catalogue.

    Attributes:
        name: key in records.
        function: value for a subject; raises `Undefined` where it has none.
        label: in words.
        source: paper or convention.
        head: over a column of a table; the label where it is empty.
        unit: "" where it has none.
        scale: on which it is correlated: sizes span orders of magnitude.
        cost: whether less is better for whoever deploys the network.
        needs: what must exist before it can be computed.
    """

    name: str
    function: Callable[[Subject], float]
    label: str
    source: str
    head: str = ""
    unit: str = ""
    scale: Scale = "linear"
    cost: bool = False
    needs: Needs = "graph"


CATALOGUE = Registry[Measure]("measure")


def measure(
    graph: Graph,
    names: Iterable[str] | None = None,
    convention: DepthConvention = DEFAULT,
) -> dict[str, float | None]:
    """Values of the catalogue's graph measures; None where one is undefined.

    >>> from nasdepth.architecture.families import family
    >>> from nasdepth.architecture.lower import lower
    >>> measure(lower(family("resnet18")), ["nominal_depth", "effective_depth"])
    {'nominal_depth': 18, 'effective_depth': 10.0}

    Raises:
        ValueError: unknown name.
    """
    subject = Subject(Structure(graph), convention)
    rows = [CATALOGUE[name] for name in (CATALOGUE if names is None else names)]
    return {row.name: _value(row, subject) for row in rows}


def undefined(
    graph: Graph,
    names: Iterable[str] | None = None,
    convention: DepthConvention = DEFAULT,
) -> dict[str, str]:
    """Why the measures that have no value have none, by name."""
    subject = Subject(Structure(graph), convention)
    reasons = {}
    for name in CATALOGUE if names is None else names:
        try:
            CATALOGUE[name].function(subject)
        except Undefined as reason:
            reasons[name] = str(reason)
    return reasons


def _value(row: Measure, subject: Subject) -> float | None:
    try:
        return row.function(subject)
    except Undefined:
        return None


_A: Final = "Fischer & Pitts 2026, arXiv:2602.13298"
_N: Final = "Bhardwaj et al. 2021, arXiv:1910.00780"
_V: Final = "Veit et al. 2016, arXiv:1605.06431"
_OURS: Final = "nasdepth, docs/definitions.md"

_ROWS: Final = (
    Measure(
        "params",
        lambda s: cost.params(s.structure.source),
        "params",
        "convention",
        head="params",
        scale="log",
        cost=True,
    ),
    Measure(
        "macs",
        lambda s: cost.macs(s.structure),
        "MACs",
        "convention",
        head="MACs",
        scale="log",
        cost=True,
    ),
    Measure(
        "nominal_depth",
        lambda s: depth.nominal_depth(s.structure),
        "nominal depth",
        _A,
        head="Dnom",
        unit="layers",
    ),
    Measure(
        "weighted_layers",
        lambda s: depth.weighted_layers(s.structure),
        "weighted layers",
        _A,
        head="W",
        unit="layers",
    ),
    Measure(
        "longest_path",
        lambda s: s.paths.longest,
        "longest path",
        "convention",
        unit="layers",
    ),
    Measure(
        "effective_depth",
        lambda s: s.paths.mean,
        "effective depth",
        _A,
        head="Deff",
        unit="layers",
    ),
    Measure(
        "midrange_depth",
        lambda s: (s.paths.shortest + s.paths.longest) / 2,
        "midrange depth",
        _A,
        unit="layers",
    ),
    Measure("merge_depth", lambda s: s.paths.merge, "merge depth", _A, unit="layers"),
    Measure(
        "shortest_path",
        lambda s: s.paths.shortest,
        "shortest path",
        "convention",
        unit="layers",
    ),
    Measure(
        "nn_mass", lambda s: s.mass.mass, "NN-Mass", _N, head="NN-Mass", scale="log1p"
    ),
    Measure("mass_cells", lambda s: s.mass.cells, "cells with a mass", _N),
    Measure(
        "attenuated_depth",
        lambda s: depth.attenuated_depth(s.structure, 0.5, s.convention),
        "attenuated depth (a = 1/2)",
        _V,
        unit="layers",
    ),
    Measure(
        "path_sd",
        lambda s: sqrt(s.paths.variance),
        "sd of the path weight",
        _V,
        unit="layers",
    ),
    Measure(
        "log2_paths", lambda s: s.paths.log2_count, "log2 of the number of paths", _V
    ),
    Measure(
        "live_params",
        lambda s: cost.live_params(s.structure),
        "live parameters",
        _OURS,
        scale="log",
        cost=True,
    ),
    Measure(
        "activations",
        lambda s: cost.activations(s.structure),
        "activations",
        "Radosavovic et al. 2020, arXiv:2003.13678",
        unit="elements",
        scale="log",
        cost=True,
    ),
    Measure(
        "peak_memory",
        lambda s: cost.peak_memory(s.structure),
        "peak activation memory",
        _OURS,
        unit="bytes",
        scale="log",
        cost=True,
    ),
    Measure(
        "receptive_field",
        lambda s: cost.receptive_field(s.structure),
        "receptive field",
        "Araujo et al. 2019, doi:10.23915/distill.00021",
        unit="pixels",
    ),
)
for _row in _ROWS:
    CATALOGUE.register(_row.name)(_row)

#: measures shown beside every architecture, by the head of their column
SHOWN: Final = {row.head: row.name for row in _ROWS if row.head}


def label_of(name: str) -> str:
    """A measure in words, with the scale it is correlated on.

    >>> label_of("params"), label_of("nominal_depth"), label_of("my_measure")
    ('log params', 'nominal depth', 'my measure')
    """
    if name not in CATALOGUE:
        return name.replace("_", " ")
    row = CATALOGUE[name]
    form = {"linear": "{}", "log": "log {}", "log1p": "log(1 + {})"}[row.scale]
    return form.format(row.label)


def scale_of(name: str) -> Scale:
    """The scale a measure is correlated on; linear for one that is not ours."""
    return CATALOGUE[name].scale if name in CATALOGUE else "linear"


def on_scale(value: float | None, scale: Scale) -> float | None:
    """A value on a scale; None where it is undefined or has no logarithm there.

    >>> on_scale(1.0, "log"), on_scale(0.0, "log"), on_scale(-0.5, "log1p")
    (0.0, None, None)
    """
    if value is None or scale == "linear":
        return value
    if scale == "log1p":
        return log1p(value) if value >= 0 else None
    return log(value) if value > 0 else None
