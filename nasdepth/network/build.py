"""From an architecture or a graph to a torch module."""

import linecache
from hashlib import sha256

import torch
from torch import nn

from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture
from nasdepth.network.source import HEADER, network_source


def build(network: Architecture | Graph, *, seed: int | None = None) -> nn.Module:
    """Module that computes the network, initialised.

    Maps images `(batch, channels, height, width)` to class scores `(batch, classes)`.
    The `state_dict` names are the graph's scopes.

    Args:
        network: what to build.
        seed: of the initial weights (see `initialize`); None keeps torch's defaults
            and its global generator.

    Raises:
        InvalidGraph: shapes that do not fit.
    """
    graph = lower(network) if isinstance(network, Architecture) else network
    source = f"{HEADER}\n\n{network_source(graph)}"
    module = _compiled(source)()
    if seed is not None:
        initialize(module, seed)
    return module


def initialize(module: nn.Module, seed: int) -> None:
    """Draw the weights of convolutions and linear layers anew, from their own seed.

    Normal with variance 2 / fan-in (He et al. 2015, arXiv:1502.01852, equation 10),
    counted per group; the last linear layer uniform as in torch; biases zero.
    """
    generator = torch.Generator().manual_seed(seed)
    linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if linear and layer is linear[-1]:
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        else:
            nn.init.kaiming_normal_(
                layer.weight, nonlinearity="relu", generator=generator
            )
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _compiled(source: str) -> type[nn.Module]:
    """The class `Network` of a source whose lines tracebacks and dynamo can read."""
    file = f"<nasdepth {sha256(source.encode()).hexdigest()[:16]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    scope: dict[str, type[nn.Module]] = {"__name__": file}  # type: ignore[dict-item]
    exec(compile(source, file, "exec"), scope)
    return scope["Network"]
