"""What each worker is doing right now: one small file a worker, replaced as a whole."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch

from nasdepth.training.files import clear_halves, replacing

_STATM: Final = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Status:
    """What a worker is doing; the defaults are those of one between two trials.

    Args:
        trial: its number; None between two trials.
        architecture: its JSON; "" where none is chosen yet.
        epoch: epochs that are over.
        epochs: of a whole training.
        loss: mean training loss of the last epoch in nats.
        accuracy: on the validation images after it, in [0, 1].
        images_per_second: of the training.
        memory: bytes, see `used_memory`.
    """

    trial: int | None = None
    architecture: str = ""
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    accuracy: float | None = None
    images_per_second: float | None = None
    memory: int = 0


@dataclass(frozen=True, slots=True)
class StatusFile:
    """Where a worker tells what it is doing.

    Args:
        path: the file; None where nobody watches, and nothing is written.
    """

    path: Path | None = None

    def write(self, status: Status) -> None:
        """Put the status in the place of the last one, which readers see till then."""
        if self.path is None:
            return
        # a full disk or a lost folder: no training ends for want of an onlooker
        with suppress(OSError), replacing(self.path) as file:
            file.write(json.dumps(asdict(status)).encode())

    def remove(self) -> None:
        """Leave nothing of a worker that is gone."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            clear_halves(self.path)


def read_status(path: Path) -> Status | None:
    """Last status of a worker; None where it has written none that is readable."""
    try:
        return Status(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def used_memory(device: torch.device) -> int:
    """Bytes that this process holds: on a GPU its tensors, else resident; 0 unknown."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:  # not Linux
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
