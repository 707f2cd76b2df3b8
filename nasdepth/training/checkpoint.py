"""A training's state in one safetensors file, its header JSON: nothing is unpickled.

A file is written under a temporary name, synced and renamed: a reader finds the last
whole one. A thread writes, so that a training pays for the copy alone.
"""

import json
import logging
import platform
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nasdepth.training.files import clear_halves, replacing
from nasdepth.training.state import Snapshot

FORMAT: Final = 1
_START: Final = "start/"
_log = logging.getLogger(__name__)


def write_checkpoint(
    path: Path, snapshot: Snapshot, training: Mapping[str, Any]
) -> None:
    """Write a snapshot; whatever fails, the file of before stands.

    Args:
        path: replaced where it exists; its folder must.
        snapshot: what to write.
        training: what tells this training from others, as JSON values.

    Raises:
        OSError: it cannot be written.
    """
    header = {
        "format": FORMAT,
        "training": dict(training),
        "versions": _versions(),
        "state": dict(snapshot.header),
    }
    tensors = dict(snapshot.tensors)
    if snapshot.start is not None:
        header["start"] = dict(snapshot.start.header)
        tensors |= {_START + name: t for name, t in snapshot.start.tensors.items()}
    tensors = {name: t.contiguous() for name, t in tensors.items()}
    with replacing(path, synced=True) as file:
        file.write(save(tensors, {"nasdepth": json.dumps(header)}))


def read_checkpoint(path: Path, training: Mapping[str, Any]) -> Snapshot:
    """The snapshot in a file.

    Args:
        path: of the file.
        training: as it was written with.

    Raises:
        FileNotFoundError: there is no such file.
        ForeignCheckpoint: it is no checkpoint, or another training's.
    """
    header = read_header(path)
    _check(header, path, training)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no mapping
    began = {n.removeprefix(_START): t for n, t in tensors.items() if _of_start(n)}
    now = {name: tensor for name, tensor in tensors.items() if not _of_start(name)}
    start = Snapshot(began, header["start"]) if began else None
    return Snapshot(now, header["state"], start)


def read_header(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: format, training, versions, state.

    Raises:
        FileNotFoundError: there is no such file.
        ForeignCheckpoint: it is no checkpoint.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"A checkpoint must be a file, but {path} is not there."
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("nasdepth", "{}"))
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ForeignCheckpoint(f"{path} is not a checkpoint: {error}.") from error
    if "format" not in header:
        raise ForeignCheckpoint(
            f"{path} is not a checkpoint: it has no header of ours."
        )
    return dict(header)


class ForeignCheckpoint(ValueError):
    """A file that is no checkpoint, or another training's."""


class CheckpointWriter:
    """Writes one snapshot after the other, each while the training goes on.

    What cannot be written is logged once, and the training goes on without.

    Args:
        path: of the file; None writes nothing.
        training: what tells this training from others.
    """

    def __init__(self, path: Path | None, training: Mapping[str, Any]) -> None:
        self._path, self._training = path, dict(training)
        self._thread: ThreadPoolExecutor | None = None
        if path is not None:
            self._thread = ThreadPoolExecutor(1)
            clear_halves(path)
        self._pending: Future[None] | None = None
        self._told = False

    def submit(self, snapshot: Snapshot) -> None:
        """Write a snapshot soon; waits for the one before, so that one is at stake."""
        if self._thread is not None and self._path is not None:
            self.wait()
            self._pending = self._thread.submit(
                write_checkpoint, self._path, snapshot, self._training
            )

    def wait(self) -> None:
        """Return when what was submitted is on disk, or has failed."""
        if self._pending is None:
            return
        try:
            self._pending.result()
        except (OSError, MemoryError) as error:
            self._tell(error)
        self._pending = None

    def _tell(self, error: OSError | MemoryError) -> None:
        if not self._told:
            stands = "the last good one stands" if self._stands else "there is none yet"
            what = getattr(error, "strerror", None) or error or "no memory"
            told = f"{what} ({self._path}); {stands}"
            _log.warning("A checkpoint could not be written: %s.", told)
        self._told = True

    @property
    def _stands(self) -> bool:
        return self._path is not None and self._path.is_file()

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.wait()
        if self._thread is not None:
            self._thread.shutdown()


def identity(**parts: Any) -> dict[str, Any]:
    """What tells a training from others: long parts by their SHA-256.

    >>> identity(seed=1, images="f" * 100)["images"][:8]
    '302c76d7'
    """
    return {name: _shortened(value) for name, value in parts.items()}


def _of_start(name: str) -> bool:
    return name.startswith(_START)


def _shortened(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True)
    # as it will be read back: a tuple as a list
    return json.loads(text) if len(text) <= 64 else sha256(text.encode()).hexdigest()


def _check(header: Mapping[str, Any], path: Path, training: Mapping[str, Any]) -> None:
    if header["format"] != FORMAT:
        raise ForeignCheckpoint(
            f"{path} has format {header['format']}, but {FORMAT} is read here."
        )
    for name, value in training.items():
        was = header["training"].get(name)
        if was != value:
            raise ForeignCheckpoint(
                f"The checkpoint {path} is of another training: {name} was {was!r}, "
                f"is {value!r}."
            )
    if header["versions"] != _versions():
        told = "written with %s, read with %s: equal to rounding, not bit by bit"
        _log.warning(
            f"Checkpoint %s was {told}.", path, header["versions"], _versions()
        )


def _versions() -> dict[str, str]:
    return {"torch": torch.__version__, "machine": platform.machine()}
