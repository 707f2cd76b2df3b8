"""Who holds how much of a device: trainings reserve their memory before they start.

Processes that share a device know nothing of each other. A small file for each device
in the cache folder, changed under a lock, holds what each has reserved. They are served
in the order of their coming, so that a large training is not passed by small ones for
ever, and one alone always may start. What dead processes reserved is dropped.
"""

import itertools
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import torch

from nasdepth.training.files import cache_folder, locked, read_json, write_json

_log = logging.getLogger(__name__)
_FORMAT: Final = 1
# Ratios of measured to predicted that are remembered, and what one is cut to: beyond
# it is the measurement that errs.
_RECENT: Final = 16
_RATIOS: Final = (0.25, 4.0)
_PAUSE: Final = 0.1  # seconds between two looks
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Entry:
    """A training that holds memory, or waits for it.

    Args:
        pid: its process.
        born: start time of the process, which tells it from a later one of that number.
        number: of the reservation within the process.
        size: bytes.
        running: whether it holds them already.
    """

    pid: int
    born: int
    number: int
    size: int
    running: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a device's file holds.

    Args:
        entries: in the order of their coming.
        ratios: recent measured / predicted bytes, the oldest first.
    """

    entries: tuple[Entry, ...] = ()
    ratios: tuple[float, ...] = ()

    @property
    def correction(self) -> float:
        """Largest recent ratio; predictions stand until enough were measured."""
        return max((*self.ratios, *([1.0] if len(self.ratios) < _RECENT else [])))


@dataclass(frozen=True, slots=True)
class Reservation:
    """Memory that a training holds.

    Args:
        file: of the device's ledger.
        predicted: bytes, before the correction.
    """

    file: Path
    predicted: int

    def measured(self, used: int) -> None:
        """Tell what the training took, so that later predictions are corrected.

        Args:
            used: bytes at its peak; 0 where nothing was measured.
        """
        if used > 0 and self.predicted > 0:
            ratio = min(max(used / self.predicted, _RATIOS[0]), _RATIOS[1])
            _changed(self.file, lambda book: _learnt(book, ratio))


@contextmanager
def reserved(
    device: torch.device,
    predicted: int,
    capacity: int,
    *,
    wait: Callable[[], None] = lambda: time.sleep(_PAUSE),
) -> Iterator[Reservation]:
    """Memory of a device, held inside; waits until all that is held fits.

    Without a cache folder that can be written nothing is held, and nobody waits.

    Args:
        device: where the training runs.
        predicted: bytes of the training, with what its process holds besides.
        capacity: bytes that all trainings together may hold.
        wait: called between two looks; what it raises gives up.
    """
    file = ledger_file(device)
    size = math.ceil(predicted * correction(device))
    mine = Entry(os.getpid(), born(os.getpid()), next(_numbers), size)
    try:
        while not _granted(file, mine, capacity):
            wait()
        yield Reservation(file, predicted)
    finally:
        _changed(file, lambda book: _left(book, mine))


def correction(device: torch.device) -> float:
    """Factor of predicted bytes, learnt from what trainings took on a device."""
    return _read(ledger_file(device)).correction


def ledger_file(device: torch.device) -> Path:
    """The file of a device; machines that share a cache folder have their own."""
    name = "cpu"
    if device.type == "cuda":
        name = str(torch.cuda.get_device_properties(device).uuid)
    return cache_folder() / f"ledger-{socket.gethostname()}-{name}.json"


def born(pid: int) -> int:
    """Start time of a process in clock ticks since boot; 0 where there is none.

    Args:
        pid: its number; on a machine without `/proc` every process counts as alive.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0 if Path("/proc/self/stat").exists() else -1
    state, *rest = text.rsplit(")", 1)[1].split()
    # dead, only not yet collected by its parent
    return 0 if state in "ZX" else int(rest[18])


def _granted(file: Path, mine: Entry, capacity: int) -> bool:
    """Whether a reservation holds now; it queues where it does not."""
    book = _changed(file, lambda book: _asked(book, mine, capacity))
    return book is None or replace(mine, running=True) in book.entries


def _asked(book: Ledger, mine: Entry, capacity: int) -> Ledger:
    """Ledger after a reservation, among the living, was asked for."""
    queue = [e for e in book.entries if born(e.pid) == e.born]
    if mine not in queue:
        queue.append(mine)
    place = queue.index(mine)
    held = sum(e.size for e in queue if e.running)
    first = all(e.running for e in queue[:place])
    if first and (held == 0 or held + mine.size <= capacity):
        queue[place] = replace(mine, running=True)
    return replace(book, entries=tuple(queue))


def _left(book: Ledger, mine: Entry) -> Ledger:
    kept = [e for e in book.entries if (e.pid, e.number) != (mine.pid, mine.number)]
    return replace(book, entries=tuple(kept))


def _learnt(book: Ledger, ratio: float) -> Ledger:
    return replace(book, ratios=(*book.ratios, ratio)[-_RECENT:])


def _changed(file: Path, change: Callable[[Ledger], Ledger]) -> Ledger | None:
    """The ledger after a change, or None where it cannot be written."""
    try:
        with locked(file):
            book = change(_read(file))
            write_json(file, {"format": _FORMAT, **asdict(book)})
            return book
    except OSError as error:
        _log.warning("Memory is not reserved, %s cannot be written: %s.", file, error)
        return None


def _read(file: Path) -> Ledger:
    """The ledger of a file; an empty one where it is missing, broken or foreign."""
    content = read_json(file)
    if content.get("format") != _FORMAT:
        return Ledger()
    try:
        entries = tuple(Entry(**entry) for entry in content["entries"])
        return Ledger(entries, tuple(map(float, content["ratios"])))
    except (KeyError, TypeError, ValueError):
        return Ledger()
