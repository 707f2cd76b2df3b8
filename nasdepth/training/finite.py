"""Whether a sum on the device is still finite, without waiting for the device."""

import math

import torch
from torch import Tensor


class FiniteWatch:
    """Looks at a sum from time to time.

    On CUDA a look starts a copy and reads the one before, if that has arrived: no step
    waits, and trouble is seen one look later.

    Args:
        device: of the sum.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._arrived: torch.cuda.Event | None = None
        self._copy: Tensor | None = None

    def look(self, total: Tensor) -> bool:
        """Whether all that is known of the sum is finite."""
        if not self._cuda:
            return math.isfinite(total.item())
        if self._arrived is not None and not self._arrived.query():  # type: ignore[no-untyped-call]  # torch's own
            return True
        before = self._copy
        self._copy = total.detach().to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # likewise
        self._arrived.record()
        return before is None or math.isfinite(before.item())
