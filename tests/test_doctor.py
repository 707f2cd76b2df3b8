"""Facts about the doctor: what works here is said so, what does not too."""

import re
import socket

import optuna
import pytest
import torch

from nasdepth import __version__, doctor
from nasdepth.doctor import examine
from nasdepth.training.data import DATASETS


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.setenv("NASDEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NASDEPTH_DATA", raising=False)


@pytest.fixture
def rows(tmp_path):
    """What was examined, by name, for a storage that is not there."""
    return {row["what"]: row for row in examine(f"sqlite:///{tmp_path}/none.db")}


def test_versions_are_those_that_run(rows):
    assert rows["nasdepth"]["detail"] == __version__
    assert rows["torch"]["detail"] == torch.__version__.split("+")[0] or (
        rows["torch"]["detail"] == torch.__version__
    )
    assert rows["optuna"]["detail"] == optuna.__version__


def test_every_data_set_has_a_row(rows):
    assert set(DATASETS) <= set(rows)


def test_data_that_comes_with_the_package_is_here(rows):
    assert rows["digits"]["state"] == "ok"


def test_absent_data_says_how_it_comes(rows):
    assert rows["svhn"]["state"] == "absent"
    assert "downloaded" in rows["svhn"]["detail"]


def test_data_that_was_found_says_where(tmp_path, monkeypatch):
    (tmp_path / "cifar-10-batches-py").mkdir()
    monkeypatch.setenv("NASDEPTH_DATA", str(tmp_path))

    found = {row["what"]: row for row in examine("sqlite:///none.db")}

    assert found["cifar10"]["state"] == "ok"
    assert str(tmp_path) in found["cifar10"]["detail"]


def test_processor_has_cores(rows):
    assert rows["cpu"]["state"] == "ok"
    assert int(rows["cpu"]["detail"].split()[0]) >= 1


def test_processor_tells_its_bf16_and_its_memory(rows):
    detail = rows["cpu"]["detail"]

    assert ("bf16 by" in detail) != ("no bf16" in detail)
    assert re.search(r"[\d.]+ of [\d.]+ GiB free", detail)


@pytest.mark.parametrize(
    ("tiles", "vectors", "expected"),
    [
        (True, True, "bf16 by AMX and AVX-512"),
        (False, True, "bf16 by AVX-512"),
        (False, False, "no bf16"),
    ],
)
def test_units_that_multiply_bf16_are_named(monkeypatch, tiles, vectors, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vectors)

    assert doctor._products() == expected


def test_quota_of_a_cgroup_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(doctor, "usable_cores", lambda: 2)

    found = {row["what"]: row for row in examine("sqlite:///none.db")}

    assert "2 usable cores (a cgroup allows 1.5)" in found["cpu"]["detail"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_machine_without_a_device_trains_on_the_processor(rows):
    assert rows["cuda"]["state"] == "none"


@pytest.mark.gpu
def test_device_is_named():
    found = {row["what"]: row for row in examine("sqlite:///none.db")}

    assert torch.cuda.get_device_name(0) in found["cuda:0"]["detail"]


def test_missing_storage_is_told_and_not_made(rows, tmp_path):
    assert rows["storage"]["state"] != "ok"
    assert "no file" in rows["storage"]["detail"]
    assert not list(tmp_path.iterdir())


def test_storage_that_opens_is_well(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    made = optuna.storages.RDBStorage(url)
    made.engine.dispose()

    row = doctor._storage(url)

    assert row["state"] == "ok"
    assert url in row["detail"]


def test_missing_package_says_how_it_comes():
    row = doctor._package("no-such-package")

    assert row == {
        "what": "no-such-package",
        "state": "missing",
        "detail": "pip install no-such-package",
    }


def test_nothing_is_downloaded(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert examine(f"sqlite:///{tmp_path}/none.db")
