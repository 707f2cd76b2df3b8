"""Importing stays light: each probe runs in a Python of its own."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "optuna", "numpy", "sklearn", "matplotlib")
SHOW = "import sys; print(sorted({name.split('.')[0] for name in sys.modules}))"


def loaded(statement: str) -> set[str]:
    """Top-level modules that a statement loads in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{SHOW}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


def modules(package: str) -> str:
    """A statement that imports every file of a package."""
    files = sorted((ROOT / "nasdepth" / package).glob("*.py"))
    names = [f"nasdepth.{package}.{f.stem}" for f in files if f.stem != "__init__"]
    assert names
    return f"import {', '.join(names)}"


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import nasdepth", HEAVY),
        ("import nasdepth; nasdepth.Architecture, nasdepth.__version__", HEAVY),
        ("from nasdepth.cli import main", ("torch", "torchvision", "optuna")),
        (modules("architecture"), HEAVY),
        (modules("measures"), ("torch", "torchvision", "optuna")),
        (modules("inverse"), ("torch", "torchvision", "optuna")),
        (modules("network"), ("torchvision", "optuna")),
        (modules("analysis"), ("torch", "torchvision", "optuna")),
    ],
    ids=[
        "nasdepth",
        "lazy",
        "cli",
        "architecture",
        "measures",
        "inverse",
        "network",
        "analysis",
    ],
)
def test_an_import_stays_light(statement: str, heavy: tuple[str, ...]) -> None:
    found = loaded(statement)

    assert "nasdepth" in found
    assert not found & set(heavy)


@pytest.mark.parametrize("name", ["numpy", "sqlite3"])
def test_the_probe_sees_what_is_loaded(name: str) -> None:
    assert name not in loaded("import nasdepth")
    assert name in loaded(f"import nasdepth, {name}")


def test_the_probe_sees_what_is_loaded_behind_another_import(tmp_path: Path) -> None:
    (tmp_path / "behind.py").write_text("import sqlite3\n")

    found = loaded(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import behind")

    assert {"behind", "sqlite3"} <= found


def test_the_probe_reports_a_broken_import() -> None:
    with pytest.raises(AssertionError, match=r"No module named 'nasdepth\.nothing'"):
        loaded("import nasdepth.nothing")


@pytest.mark.slow
def test_every_public_name_is_there() -> None:
    statement = "import nasdepth\nfor name in nasdepth.__all__: getattr(nasdepth, name)"

    assert "torch" in loaded(statement)


def test_an_unknown_public_name_is_an_error() -> None:
    import nasdepth

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = nasdepth.nothing
    assert set(dir(nasdepth)) == set(nasdepth.__all__)
