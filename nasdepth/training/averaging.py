"""Running average of a network's weights, put in its place for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class WeightAverage:
    """Mean of the parameters of one network over the steps at which it was added.

    Attributes:
        sums: of each parameter.
        count: how many were added.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._parameters = [p.data for p in network.parameters()]
        self.sums = [torch.zeros_like(p) for p in self._parameters]
        self.count = 0

    @torch.no_grad()
    def add(self) -> None:
        """Count the parameters as they are now."""
        torch._foreach_add_(self.sums, self._parameters)
        self.count += 1

    @contextmanager
    def applied(self, estimate: Callable[[], None]) -> Iterator[None]:
        """The network with mean parameters inside the block, as it was after it.

        Args:
            estimate: runs the network on training images; the batch-norm statistics
                inside the block are the mean of those of its batches.
        """
        state = list(_state(self._network))
        raw = [tensor.detach().clone() for tensor in state]
        try:
            with torch.no_grad():
                for p, total in zip(self._network.parameters(), self.sums, strict=True):
                    p.copy_(total / self.count)
            _reestimate(self._network, estimate)
            yield
        finally:
            with torch.no_grad():
                for tensor, value in zip(state, raw, strict=True):
                    tensor.copy_(value)


def _state(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


@torch.no_grad()
def _reestimate(network: nn.Module, estimate: Callable[[], None]) -> None:
    norms = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    if not norms:
        return
    training = [(module, module.training) for module in network.modules()]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # cumulative: each batch weighs the same
    try:
        estimate()
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, was in training:
            module.training = was
