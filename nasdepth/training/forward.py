"""The function that a training step calls: the network, compiled or as a CUDA graph."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from nasdepth.training.device import autocast, is_out_of_memory
from nasdepth.training.recipe import TrainingConfig

Forward = Callable[[Tensor], Tensor]


def forward_of(
    network: nn.Module,
    config: TrainingConfig,
    example: Callable[[], Tensor],
    precision: str,
) -> Forward:
    """What maps a batch to class scores in training.

    Args:
        network: on its device.
        config: says whether to compile or to capture.
        example: makes images like those of every step.
        precision: of the training.
    """
    if config.compile:
        compiled: Forward = torch.compile(network)
        return compiled
    if config.cuda_graph and any(p.is_cuda for p in network.parameters()):
        return _captured(network, example(), precision)
    return network


class _Whole(nn.Module):
    """A network in a shell, which may be changed."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self._network(images)
        return scores


def _captured(network: nn.Module, batch: Tensor, precision: str) -> Forward:
    """Forward and backward pass as CUDA graphs, the network as it was.

    The warm-up moves batch-norm statistics, and a capture may not fill autocast's
    cache: weights would be those of the first step.
    """
    state = {name: t.clone() for name, t in network.state_dict().items()}
    whole = _Whole(network).train()  # torch puts the graph in the place of its forward
    try:
        with autocast(batch.device, precision, cached=False):
            graphed = torch.cuda.make_graphed_callables(
                whole, (batch,), allow_unused_input=True
            )
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        graphed = network  # which takes less memory
    network.load_state_dict(state)
    return cast(Forward, graphed)  # one network in, one function out
