"""Where a training stands: all that it needs to go on bit by bit as if never stopped.

The rate is a function of the step, and the order of images one of (seed, epoch), so
that weights, optimizer, running averages and the generator of dropout are enough.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nasdepth.training.averaging import WeightAverage
from nasdepth.training.recipe import Epoch

_RANDOM = "random"
_CUDA_RANDOM = "random.cuda"


@dataclass(frozen=True, slots=True, eq=False)  # tensors have no single equality
class Snapshot:
    """A copy of a state on the CPU.

    Attributes:
        tensors: name to contents.
        header: the rest as JSON values.
        start: the state at the start of the epoch at hand, where that is another: what
            a training that fails within the epoch goes back to.
    """

    tensors: Mapping[str, Tensor]
    header: Mapping[str, Any]
    start: "Snapshot | None" = None


@dataclass(slots=True, eq=False)  # the one thing that changes in a training
class State:
    """A training between two steps.

    Attributes:
        network: on the device.
        optimizer: of its parameters.
        device: of both.
        step: steps taken in the epoch at hand.
        total: sum of their losses.
        seconds: that they took.
        curve: the epochs done.
        averages: running average of the weights, by the epoch that it judges.
        halvings: how often the rate was halved.
        parts: micro-batches of a step.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    device: torch.device
    total: Tensor
    step: int = 0
    seconds: float = 0.0
    curve: tuple[Epoch, ...] = ()
    averages: dict[int, WeightAverage] = field(default_factory=dict)
    halvings: int = 0
    parts: int = 1

    @property
    def epoch(self) -> int:
        """Index, from 1, of the epoch at hand."""
        return len(self.curve) + 1

    def finish(self, done: Epoch) -> None:
        """Add an epoch to the curve and stand before the next one."""
        self.averages.pop(self.epoch, None)
        self.curve = (*self.curve, done)
        self.step, self.seconds = 0, 0.0
        self.total.zero_()

    def snapshot(self) -> Snapshot:
        """A copy of the state."""
        tensors = {name: _copied(tensor) for name, tensor in self._tensors()}
        tensors[_RANDOM] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors[_CUDA_RANDOM] = torch.cuda.get_rng_state(self.device)
        header = {
            "step": self.step,
            "seconds": self.seconds,
            "curve": [asdict(epoch) for epoch in self.curve],
            "averages": {str(k): average.count for k, average in self.averages.items()},
            "halvings": self.halvings,
            "parts": self.parts,
        }
        return Snapshot(tensors, header)

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> None:
        """Become as the snapshot was."""
        header, tensors = snapshot.header, snapshot.tensors
        self.step, self.seconds = header["step"], header["seconds"]
        self.curve = tuple(Epoch(**epoch) for epoch in header["curve"])
        self.halvings, self.parts = header["halvings"], header["parts"]
        self.averages = {
            int(k): self._average(n) for k, n in header["averages"].items()
        }
        self._restore_optimizer(tensors)
        for name, tensor in self._tensors():
            tensor.copy_(tensors[name])
        torch.set_rng_state(tensors[_RANDOM])
        if _CUDA_RANDOM in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors[_CUDA_RANDOM], self.device)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors that change, under their names in a snapshot."""
        for name, tensor in self.network.state_dict().items():
            yield f"network.{name}", tensor
        for index, parameter in enumerate(self._optimized()):
            for name, value in self.optimizer.state[parameter].items():
                if isinstance(value, Tensor):
                    yield f"optimizer.{index}.{name}", value
        for epoch, average in self.averages.items():
            for index, tensor in enumerate(average.sums):
                yield f"average.{epoch}.{index}", tensor
        yield "total", self.total

    def _optimized(self) -> list[nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _average(self, count: int) -> WeightAverage:
        average = WeightAverage(self.network)
        average.count = count
        return average

    def _restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        """Give the optimizer a place for each of its tensors in the snapshot."""
        self.optimizer.state.clear()
        parameters = self._optimized()
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                owner = parameters[int(index)]
                self.optimizer.state[owner][key] = _place(tensor, owner)


def _copied(tensor: Tensor) -> Tensor:
    """A copy on the CPU that shares nothing with the original."""
    if tensor.device.type == "cpu":
        return tensor.detach().clone()
    return tensor.detach().cpu()


def _place(tensor: Tensor, owner: Tensor) -> Tensor:
    """An empty tensor where the optimizer keeps such a one: fused steps read memory."""
    if tensor.shape == owner.shape:
        return torch.empty_like(owner, dtype=tensor.dtype)
    return torch.empty_like(tensor, device=owner.device)
