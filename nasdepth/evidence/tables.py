"""Published tables of trained networks as evidence, by name."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from nasdepth.architecture.registry import Registry
from nasdepth.evidence.foreign_networks import GraphOf
from nasdepth.evidence.nasbench201 import nasbench201
from nasdepth.evidence.nasbench201_cells import DATA_SETS
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.zoo_accuracies import torchvision_imagenet

Source: TypeAlias = Callable[[GraphOf | None], Evidence]

TABLES = Registry[Source]("table")


def table(name: str, graph_of: GraphOf | None = None) -> Evidence:
    """All rows of a published table, with the plan that is its default.

    Args:
        name: One of `TABLES`.
        graph_of: Graph of a network by name ("torchvision:resnet18") and shape of its
            images, as `nasdepth.networks.graph_of`; called for tables of foreign
            networks alone, on their first measuring.

    Raises:
        ValueError: An unknown table, a package that it needs is missing, or its
            networks are not measured yet and `graph_of` is None.
    """
    return TABLES[name](graph_of)


def _nasbench201(data_set: str, _: GraphOf | None) -> Evidence:
    return nasbench201(data_set)


for _name in DATA_SETS:
    TABLES.register(f"nasbench201:{_name}")(partial(_nasbench201, _name))
TABLES.register("torchvision:imagenet")(torchvision_imagenet)
