"""Networks that a table names, measured: by architecture, by family, or by a source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.families import NETWORKS, family
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Shape
from nasdepth.architecture.spec import Architecture
from nasdepth.measures.catalogue import measure

#: graph of a network by name ("torchvision:resnet18") and shape of its images
GraphOf: TypeAlias = Callable[[str, Shape | None], Graph]

#: sources of networks that a table may name; a callable's code is never run
SOURCES = ("torchvision", "timm")


@dataclass(frozen=True, slots=True)
class Network:
    """What is known of a network: its digest and measures."""

    digest: str
    measures: Mapping[str, float | None]


class Networks:
    """Networks by what a table says of them, each measured once.

    Args:
        graph_of: Graph of a foreign network by name; None where there are none.
    """

    def __init__(self, graph_of: GraphOf | None = None) -> None:
        self._graph_of = graph_of
        self._known: dict[str, Network] = {}

    def __getitem__(self, text: str) -> Network:
        """The network of an architecture's JSON, a family's or a source's name.

        Raises:
            ValueError: The text names no network that can be measured here.
        """
        if text not in self._known:
            graph = self._graph(text)
            self._known[text] = Network(digest(graph), measure(graph))
        return self._known[text]

    def _graph(self, text: str) -> Graph:
        if text.startswith("{"):
            return lower(Architecture.from_json(text))
        if text.partition(":")[0] in NETWORKS:
            return lower(family(text))
        source = text.partition(":")[0]
        if source in SOURCES and self._graph_of:
            return self._graph_of(text, None)
        raise ValueError(f"No network is called {text!r} here.")
