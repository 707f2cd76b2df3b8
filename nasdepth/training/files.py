"""Small files that several processes share: locked, read, replaced as a whole."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
    handle, name = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)
