"""Values on disk that are slow to compute: what is measured of published tables.

A value is one file of the folder `NASDEPTH_CACHE`, else `$XDG_CACHE_HOME/nasdepth`,
else `~/.cache/nasdepth`. It holds only as long as its key: a digest of all that it was
computed from, the code included. A file that cannot be read is made anew, and a folder
that cannot be written is no error.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp
from typing import Any

_PACKAGE = Path(__file__).parents[1]


def cached(name: str, key: str, make: Callable[[], Any]) -> Any:
    """The JSON value stored under a name and key, computed and stored if it is not.

    Args:
        name: Of the file; a value of another key is overwritten.
        key: Digest of what the value was computed from.
        make: Computes the value, of plain JSON types.
    """
    folder = _folder()
    file = folder / f"{name}.json" if folder else None
    found = _stored(file, key) if file else None
    if found is None:
        found = make()
        if file:
            _store(file, {"key": key, "value": found})
    return found


def fingerprint(*sources: str) -> str:
    """SHA-256 (hexadecimal) of the code of packages and files of nasdepth.

    Args:
        sources: Paths below the package, as "measures" or "evidence/cache.py".
    """
    digest = sha256()
    for source in sources:
        path = _PACKAGE / source
        for file in sorted(path.glob("*.py")) if path.is_dir() else (path,):
            digest.update(f"{file.relative_to(_PACKAGE).as_posix()}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _folder() -> Path | None:
    """The user's cache folder, None for a user without a home."""
    if named := os.environ.get("NASDEPTH_CACHE"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "nasdepth"
    try:
        return Path.home() / ".cache" / "nasdepth"
    except RuntimeError:
        return None


def _stored(file: Path, key: str) -> Any:
    """The value of a file, None where there is none of this key."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("key") != key:
        return None
    return content.get("value")


def _store(file: Path, content: Any) -> None:
    """Writes the whole file or nothing."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        number, name = mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as stream:
                json.dump(content, stream)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
