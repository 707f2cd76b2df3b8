"""The cache gives what was made, and never what no longer holds."""

import json
from pathlib import Path

import pytest

from nasdepth.evidence.cache import cached, fingerprint


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NASDEPTH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "nasdepth"


class Maker:
    """Makes a value and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> list[int]:
        self.calls += 1
        return [self.calls]


def test_a_value_is_made_once(folder: Path) -> None:
    make = Maker()

    found = [cached("table", "key", make) for _ in range(3)]

    assert found == [[1], [1], [1]]
    assert [file.name for file in folder.iterdir()] == ["table.json"]


def test_another_key_makes_the_value_anew(folder: Path) -> None:
    make = Maker()

    found = [cached("table", key, make) for key in ("a", "b", "b")]

    assert found == [[1], [2], [2]]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "key"}', "\udcff"])
def test_a_file_that_cannot_be_read_is_made_anew(folder: Path, text: str) -> None:
    make = Maker()
    folder.mkdir(parents=True)
    (folder / "table.json").write_bytes(text.encode(errors="surrogateescape"))

    found = cached("table", "key", make)

    assert found == [1]
    assert json.loads((folder / "table.json").read_text())["value"] == [1]


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NASDEPTH_CACHE", str(tmp_path / "file"))
    make = Maker()

    found = [cached("table", "key", make) for _ in range(2)]

    assert found == [[1], [2]]


def test_the_projects_own_variable_names_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NASDEPTH_CACHE", str(tmp_path / "mine"))

    cached("table", "key", Maker())

    assert (tmp_path / "mine" / "table.json").exists()
    assert not folder.exists()


def test_a_relative_cache_folder_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NASDEPTH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    cached("table", "key", Maker())

    assert not (tmp_path / "here").exists()
    assert (tmp_path / "home/.cache/nasdepth/table.json").exists()


def test_a_value_that_is_no_json_leaves_no_file(folder: Path) -> None:
    with pytest.raises(TypeError):
        cached("table", "key", object)

    assert list(folder.iterdir()) == []


def test_the_fingerprint_follows_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "file.py").write_text("x = 1")
    (tmp_path / "alone.py").write_text("y = 1")
    monkeypatch.setattr("nasdepth.evidence.cache._PACKAGE", tmp_path)
    before = fingerprint("package", "alone.py")

    (tmp_path / "alone.py").write_text("y = 2")
    other_file = fingerprint("package", "alone.py")
    (tmp_path / "package" / "more.py").write_text("")
    another_file = fingerprint("package", "alone.py")

    assert len({before, other_file, another_file}) == 3
    assert fingerprint("package") != fingerprint("alone.py")
