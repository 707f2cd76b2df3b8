"""Facts about what workers tell of themselves."""

import resource
import signal
import sys
from threading import Thread

import pytest
import torch

from nasdepth.search.status import Status, StatusFile, read_status, used_memory

STATUS = Status(7, '{"stages": []}', 3, 9, 0.25, 0.75, 1234.5, 10**9)


def test_a_status_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "worker.json"

    StatusFile(path).write(STATUS)

    assert read_status(path) == STATUS
    assert list(tmp_path.iterdir()) == [path]


def test_the_last_status_counts(tmp_path):
    path = tmp_path / "worker.json"
    StatusFile(path).write(STATUS)

    StatusFile(path).write(Status())

    assert read_status(path) == Status()


def test_a_loss_that_is_no_number_is_told_too(tmp_path):
    path = tmp_path / "worker.json"

    StatusFile(path).write(Status(1, loss=float("nan")))

    found = read_status(path)
    assert found is not None
    assert found.loss != found.loss


def test_a_worker_that_nobody_watches_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    StatusFile().write(STATUS)
    StatusFile().remove()

    assert list(tmp_path.iterdir()) == []


def test_readers_see_whole_statuses_alone(tmp_path):
    file = StatusFile(tmp_path / "worker.json")
    file.write(STATUS)

    def write():
        for number in range(1000):
            file.write(Status(number, "x" * 20_000))

    writer = Thread(target=write)
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(read_status(file.path))
    writer.join()

    assert None not in seen
    assert len(seen) > 2


@pytest.mark.skipif(sys.platform != "linux", reason="limits files")
def test_on_a_full_disk_the_last_status_stands(tmp_path):
    path = tmp_path / "worker.json"
    StatusFile(path).write(STATUS)
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # a limit on the size of files is what a full disk is to a process
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, most[1]))
    try:
        StatusFile(path).write(Status())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
        signal.signal(signal.SIGXFSZ, before)

    assert read_status(path) == STATUS
    assert list(tmp_path.iterdir()) == [path]


def test_a_lost_folder_ends_no_training(tmp_path):
    StatusFile(tmp_path / "gone" / "worker.json").write(STATUS)

    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    "text", ["", '{"trial": 1', "[]", "7", '{"of": "a later version"}', "\udcff"]
)
def test_what_is_no_status_is_not_read(tmp_path, text):
    path = tmp_path / "worker.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")

    assert read_status(path) is None


def test_a_worker_that_is_gone_leaves_nothing(tmp_path):
    file = StatusFile(tmp_path / "worker.json")
    file.write(STATUS)
    (tmp_path / "worker.json.0.tmp").write_text("half")

    file.remove()
    file.remove()

    assert list(tmp_path.iterdir()) == []
    assert read_status(tmp_path / "worker.json") is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_used_memory_grows_with_what_is_held():
    before = used_memory(torch.device("cpu"))

    held = torch.ones(16 * 2**20)

    grown = used_memory(torch.device("cpu")) - before
    assert 0.9 < grown / held.nbytes < 1.5
