"""Any network as a graph: our own by name, value or file, foreign ones by tracing."""

from dataclasses import replace
from typing import TypeAlias

from torch import nn

from nasdepth.architecture.families import is_named, named
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Shape
from nasdepth.architecture.spec import Architecture
from nasdepth.measures.depth import DEFAULT, DepthConvention
from nasdepth.measures.description import Measures
from nasdepth.network.trace import trace
from nasdepth.zoo import load

Network: TypeAlias = str | Architecture | Graph | nn.Module


def describe(
    network: Network,
    input_shape: Shape | None = None,
    convention: DepthConvention = DEFAULT,
) -> Measures:
    """All measures of any network, without training.

    >>> describe("torchvision:resnet18")["effective_depth"]
    10.0

    Args:
        network: see `graph_of`.
        input_shape: see `graph_of`.
        convention: what weighs in a depth.

    Raises:
        ValueError: as `graph_of`.
    """
    return Measures(graph_of(network, input_shape), convention)


def graph_of(network: Network, input_shape: Shape | None = None) -> Graph:
    """Graph of any network.

    Args:
        network: a family name, "torchvision:NAME", "timm:NAME",
            "package.module:callable", the path of an architecture's JSON, an
            architecture, a graph, or a torch module.
        input_shape: of one image; a torch module always needs it.

    Raises:
        ValueError: an unknown name, a missing shape, a network that cannot be read.
    """
    if input_shape is not None and not _is_shape(input_shape):
        raise ValueError(
            f"input_shape must be positive integers, but got {input_shape!r}."
        )
    if isinstance(network, Graph):
        if input_shape not in (None, network.shapes()[0]):
            raise ValueError(
                f"A graph has the shape of its images, {network.shapes()[0]}, but got "
                f"{input_shape=}."
            )
        return network
    if isinstance(network, nn.Module):
        if input_shape is None:
            kind = type(network).__name__
            raise ValueError(
                f"A {kind} does not say the shape of its images; give input_shape."
            )
        return trace(network, input_shape)
    if isinstance(network, str) and not is_named(network):
        return trace(*load(network, input_shape))
    if not isinstance(network, str | Architecture):
        raise ValueError(
            "A network is a name, an architecture, a graph or a torch module, but got "
            f"a {type(network).__name__}."
        )
    own = named(network) if isinstance(network, str) else network
    return lower(replace(own, input_shape=input_shape) if input_shape else own)


def _is_shape(shape: object) -> bool:
    whole = isinstance(shape, tuple | list) and len(shape) > 0
    return whole and all(type(side) is int and side > 0 for side in shape)  # type: ignore[attr-defined]
