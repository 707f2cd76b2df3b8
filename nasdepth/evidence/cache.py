"""Values on disk that are slow to compute: what is measured of published tables.

A value is one file of the cache folder. It holds only as long as its key: a digest of
all that it was computed from, the code included. A file that cannot be read is made
anew, and a folder that cannot be written is no error.
"""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from nasdepth.training.files import cache_folder, read_json, write_json

_PACKAGE = Path(__file__).parents[1]


def cached(name: str, key: str, make: Callable[[], Any]) -> Any:
    """The JSON value stored under a name and key, computed and stored if it is not.

    Args:
        name: Of the file; a value of another key is overwritten.
        key: Digest of what the value was computed from.
        make: Computes the value, of plain JSON types.
    """
    file = cache_folder() / f"{name}.json"
    found = _stored(file, key)
    if found is None:
        found = make()
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


def _stored(file: Path, key: str) -> Any:
    """The value of a file, None where there is none of this key."""
    content = read_json(file)
    return content.get("value") if content.get("key") == key else None


def _store(file: Path, content: Any) -> None:
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, content)
