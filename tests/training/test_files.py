"""Facts about files that several processes share."""

from pathlib import Path

import pytest

from nasdepth.training.files import (
    cache_folder,
    clear_halves,
    read_json,
    replacing,
    write_json,
)


@pytest.mark.parametrize("synced", [False, True])
def test_file_is_replaced_when_it_is_whole(tmp_path, synced):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with replacing(path, synced=synced) as file:
        file.write(b"new")
        before = path.read_bytes()

    assert (before, path.read_bytes()) == (b"old", b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_file_stands_where_the_new_one_fails(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write():
        with replacing(path) as file:
            file.write(b"ne")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        write()

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_halves_are_those_of_one_file(tmp_path):
    names = ["1[a]", "1[a].0f.tmp", "1[a].1e.tmp", "1a.0f.tmp", "1[a].again"]
    for name in names:
        (tmp_path / name).write_text("")

    clear_halves(tmp_path / "1[a]")

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"1[a]", "1a.0f.tmp", "1[a].again"}


@pytest.mark.parametrize("text", ["", "[1]", '{"half": ', "\udcff"])
def test_what_is_no_object_is_an_empty_one(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_bytes(text.encode(errors="surrogateescape"))

    assert read_json(path) == {}


def test_object_is_read_as_it_was_written(tmp_path):
    write_json(tmp_path / "file.json", {"a": [1, None]})

    assert read_json(tmp_path / "file.json") == {"a": [1, None]}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"NASDEPTH_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg", "HOME": "/home/me"}, "/xdg/nasdepth"),
        ({"XDG_CACHE_HOME": "here", "HOME": "/home/me"}, "/home/me/.cache/nasdepth"),
        ({"HOME": "/home/me"}, "/home/me/.cache/nasdepth"),
    ],
)
def test_cache_is_where_its_user_wants_it(monkeypatch, variables, expected):
    for name in ("NASDEPTH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert cache_folder() == Path(expected)


def test_user_without_a_home_has_a_cache_of_its_own(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("NASDEPTH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)

    assert cache_folder().name.startswith("nasdepth-")
