"""The one table of measures: name, function, label, unit, direction, source.

Screens, records, figures and the command line read it; a measure is added here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
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


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the catalogue.

    Attributes:
        name: key in records.
        function: value for a subject; raises `Undefined` where it has none.
        label: for tables and axes.
        unit: "" where it has none.
        cost: whether less is better for whoever deploys the network.
        source: paper or convention.
        needs: what must exist before it can be computed.
    """

    name: str
    function: Callable[[Subject], float]
    label: str
    unit: str
    cost: bool
    source: str
    needs: Needs = "graph"


CATALOGUE = Registry[Measure]("measure")


def measure(
    graph: Graph,
    names: Iterable[str] | None = None,
    convention: DepthConvention = DEFAULT,
) -> dict[str, float | None]:
    """Values of the catalogue's graph measures; None where one is undefined.

    >>> from nasdepth.architecture.families import network
    >>> from nasdepth.architecture.lower import lower
    >>> measure(lower(network("resnet18")), ["nominal_depth", "effective_depth"])
    {'nominal_depth': 18, 'effective_depth': 10.0}

    Raises:
        ValueError: unknown name.
    """
    subject = Subject(Structure(graph), convention)
    rows = [CATALOGUE[name] for name in (CATALOGUE if names is None else names)]
    return {row.name: _value(row, subject) for row in rows}


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
        "parameters",
        "",
        True,
        "convention",
    ),
    Measure(
        "live_params",
        lambda s: cost.live_params(s.structure),
        "live parameters",
        "",
        True,
        _OURS,
    ),
    Measure("macs", lambda s: cost.macs(s.structure), "MACs", "", True, "convention"),
    Measure(
        "activations",
        lambda s: cost.activations(s.structure),
        "activations",
        "elements",
        True,
        "Radosavovic et al. 2020, arXiv:2003.13678",
    ),
    Measure(
        "peak_memory",
        lambda s: cost.peak_memory(s.structure),
        "peak activation memory",
        "bytes",
        True,
        _OURS,
    ),
    Measure(
        "receptive_field",
        lambda s: cost.receptive_field(s.structure),
        "receptive field",
        "pixels",
        False,
        "Araujo et al. 2019, doi:10.23915/distill.00021",
    ),
    Measure(
        "weighted_layers",
        lambda s: depth.weighted_layers(s.structure),
        "W (layers counted)",
        "layers",
        False,
        _A,
    ),
    Measure(
        "nominal_depth",
        lambda s: depth.nominal_depth(s.structure),
        "Dnom (longest path)",
        "layers",
        False,
        _A,
    ),
    Measure(
        "shortest_path",
        lambda s: s.paths.shortest,
        "shortest path",
        "layers",
        False,
        "convention",
    ),
    Measure(
        "longest_path",
        lambda s: s.paths.longest,
        "longest path",
        "layers",
        False,
        "convention",
    ),
    Measure(
        "midrange_depth",
        lambda s: (s.paths.shortest + s.paths.longest) / 2,
        "midrange depth",
        "layers",
        False,
        _A,
    ),
    Measure(
        "effective_depth",
        lambda s: s.paths.mean,
        "Deff (mean path)",
        "layers",
        False,
        _A,
    ),
    Measure(
        "merge_depth",
        lambda s: s.paths.merge,
        "merge depth",
        "layers",
        False,
        _A,
    ),
    Measure(
        "attenuated_depth",
        lambda s: depth.attenuated_depth(s.structure, 0.5, s.convention),
        "attenuated depth (a = 1/2)",
        "layers",
        False,
        _V,
    ),
    Measure(
        "path_sd",
        lambda s: sqrt(s.paths.variance),
        "sd of path weight",
        "layers",
        False,
        _V,
    ),
    Measure(
        "log2_paths",
        lambda s: s.paths.log2_count,
        "log2 of paths",
        "",
        False,
        _V,
    ),
    Measure("nn_mass", lambda s: s.mass.mass, "NN-Mass", "", False, _N),
    Measure("mass_cells", lambda s: s.mass.cells, "cells with a mass", "", False, _N),
)
for _row in _ROWS:
    CATALOGUE.register(_row.name)(_row)
