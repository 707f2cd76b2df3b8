"""All that is known of one network, as one value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from nasdepth.architecture.graph import Graph
from nasdepth.measures.breakdown import Part, by_scope, sensitivity
from nasdepth.measures.catalogue import CATALOGUE, measure, undefined
from nasdepth.measures.depth import DEFAULT, DepthConvention, path_counts
from nasdepth.measures.mass import Cell, mass_cells
from nasdepth.measures.structure import Structure


@dataclass(
    frozen=True, eq=False, repr=False
)  # no slots: what is computed once is cached
class Measures(Mapping[str, float | None]):
    """Measures of a network by name; None where one has no value.

    >>> from nasdepth.architecture.families import family
    >>> from nasdepth.architecture.lower import lower
    >>> found = Measures(lower(family("resnet50")))
    >>> found["weighted_layers"], found["effective_depth"]
    (54, 26.0)

    Attributes:
        graph: the network.
        convention: what weighs in a depth.
    """

    graph: Graph
    convention: DepthConvention = DEFAULT

    @cached_property
    def values_by_name(self) -> dict[str, float | None]:
        """All graph measures of the catalogue."""
        return measure(self.graph, convention=self.convention)

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Why the measures without a value have none."""
        missing = [name for name, value in self.items() if value is None]
        return undefined(self.graph, missing, self.convention)

    def path_law(self) -> dict[int, int]:
        """Exact number of paths of each weight, by weight.

        Raises:
            Undefined: no input-output path.
        """
        return path_counts(Structure(self.graph), self.convention)

    def mass_cells(self) -> tuple[Cell, ...]:
        """The cells that NN-Mass sums over.

        Raises:
            Undefined: a concatenation that is no cell.
        """
        return mass_cells(Structure(self.graph))

    def by_scope(self, level: int = 1) -> tuple[Part, ...]:
        """Layers, expected layers and costs of each part.

        Raises:
            Undefined: no input-output path.
        """
        return by_scope(self.graph, level, self.convention)

    def sensitivity(self) -> dict[str, dict[str, float | None]]:
        """Depth measures under each convention, by the convention's name."""
        return sensitivity(self.graph)

    def __repr__(self) -> str:
        return f"Measures({self.values_by_name})"

    def __getitem__(self, name: str) -> float | None:
        CATALOGUE[name]  # an unknown name is an error that knows the nearest
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)
