"""Files that several processes share: locked, read, replaced as a whole."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4


def cache_folder() -> Path:
    """Folder of everything that is kept to save time.

    `NASDEPTH_CACHE`, else `$XDG_CACHE_HOME/nasdepth`, else `~/.cache/nasdepth`, else,
    for a user without a home, an own one among the temporary files.
    """
    if named := os.environ.get("NASDEPTH_CACHE"):
        return Path(named).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():
        return base / "nasdepth"
    try:
        return Path.home() / ".cache" / "nasdepth"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"nasdepth-{os.getuid()}"


@contextmanager
def replacing(path: Path, *, synced: bool = False) -> Iterator[BinaryIO]:
    """A file that takes the place of another when it is whole.

    It is written under a temporary name, so that readers see the old one till then;
    whatever fails inside, the old one stands.

    Args:
        path: need not exist; its folder must.
        synced: whether it is on the disk at the end, should the power fail.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
        temporary.replace(path)
        if synced:
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def clear_halves(path: Path) -> None:
    """Remove what killed processes have left of files that were to replace one.

    To be called where no other process writes it. What cannot be removed stays.
    """
    for half in path.parent.glob(f"{escape(path.name)}.*.tmp"):
        with suppress(OSError):
            half.unlink()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Alone with a file inside, among all who lock it.

    Args:
        file: need not exist; its folder is made where it is missing.

    Raises:
        OSError: the folder cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # the file itself is replaced, so that the lock needs one that stays
    with file.with_suffix(".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_json(file: Path) -> dict[str, Any]:
    """The object in a file; an empty one where it is missing or broken."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write the whole file or nothing.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(file) as stream:
        stream.write(json.dumps(content).encode())


def _sync_folder(folder: Path) -> None:
    """Bring a renaming to disk, where the system lets a folder be synced."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
