"""Facts about reservations, among real processes."""

import json
import logging
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nasdepth.training.ledger import (
    Entry,
    Ledger,
    born,
    correction,
    ledger_file,
    locked,
    read_json,
    reserved,
    write_json,
)

CPU = torch.device("cpu")


def forked(work: Callable[[], None]) -> int:
    """Number of a process that does that work; it only touches files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, from 3.12
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError("it never came")


def entries() -> list[dict[str, int]]:
    return read_json(ledger_file(CPU)).get("entries", [])


def quick() -> None:
    time.sleep(0.002)


def hold(size: int, *, capacity: int = 100) -> None:
    """Reserve, and keep it until killed."""
    with reserved(CPU, size, capacity, wait=quick):
        time.sleep(60)


def test_processes_never_hold_more_than_there_is(tmp_path):
    log, sizes = tmp_path / "log", [60, 30, 50, 40, 20, 70, 10, 30]

    def train(size):
        with reserved(CPU, size, 100, wait=quick), log.open("a", buffering=1) as lines:
            lines.write(f"{size}\n")
            time.sleep(0.02)
            lines.write(f"{-size}\n")

    codes = [ended(pid) for pid in [forked(lambda s=s: train(s)) for s in sizes]]

    held = [0]
    for line in log.read_text().split():
        held.append(held[-1] + int(line))
    assert codes == [0] * len(sizes)
    assert len(held) == 1 + 2 * len(sizes)
    assert max(held) <= 100
    assert entries() == []


def test_trainings_that_fit_run_at_once():
    with reserved(CPU, 60, 100), reserved(CPU, 40, 100):
        assert [entry["running"] for entry in entries()] == [True, True]


def test_one_alone_always_may_start():
    with reserved(CPU, 500, 100):
        assert [entry["size"] for entry in entries()] == [500]


def test_what_a_killed_process_held_is_free():
    pid = forked(lambda: hold(90))
    until(lambda: any(entry["running"] for entry in entries()))

    os.kill(pid, signal.SIGKILL)

    try:
        with reserved(CPU, 90, 100, wait=quick):
            assert [entry["pid"] for entry in entries()] == [os.getpid()]
    finally:
        ended(pid)


def test_who_holds_is_waited_for():
    pid = forked(lambda: hold(90))
    until(lambda: any(entry["running"] for entry in entries()))
    looks = []

    def wait():
        looks.append(len(entries()))
        if len(looks) == 3:
            os.kill(pid, signal.SIGKILL)
            ended(pid)

    with reserved(CPU, 20, 100, wait=wait):
        assert looks == [2, 2, 2]


def test_large_one_is_not_passed_by_small_ones():
    with reserved(CPU, 50, 100):
        large = forked(lambda: hold(80))
        until(lambda: len(entries()) == 2)
        small = forked(lambda: hold(10))
        until(lambda: len(entries()) == 3)
        time.sleep(0.05)
        waiting = [(e["size"], e["running"]) for e in entries()]
    until(lambda: all(e["running"] for e in entries()))

    served = [(e["size"], e["running"]) for e in entries()]
    for pid in (large, small):
        os.kill(pid, signal.SIGKILL)
        ended(pid)
    assert waiting == [(50, True), (80, False), (10, False)]
    assert served == [(80, True), (10, True)]


class GivenUp(Exception):
    pass


def give_up() -> None:
    raise GivenUp


def test_who_gives_up_leaves_the_queue():
    with reserved(CPU, 90, 100):
        with pytest.raises(GivenUp), reserved(CPU, 90, 100, wait=give_up):
            pass

        assert len(entries()) == 1


def test_training_that_fails_gives_back():
    with pytest.raises(GivenUp), reserved(CPU, 90, 100):
        give_up()

    assert entries() == []


def test_number_of_a_dead_process_may_be_used_again():
    write([Entry(os.getpid(), born(os.getpid()) - 1, 0, 90, running=True)])

    with reserved(CPU, 90, 100, wait=give_up):
        assert len(entries()) == 1


def test_process_is_told_by_its_birth():
    pid = forked(lambda: time.sleep(60))
    alive = born(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: born(pid) == 0)  # dead, though not collected yet

    ended(pid)
    assert alive > 0
    assert born(pid) == 0


# --- learning


def test_predictions_stand_before_anything_is_measured():
    assert correction(CPU) == 1


def learn(*ratios: float) -> None:
    with reserved(CPU, 1000, 10_000) as held:
        for ratio in ratios:
            held.measured(int(1000 * ratio))


def test_largest_recent_ratio_corrects_what_is_reserved():
    learn(1.2, 1.5, 1.1)

    with reserved(CPU, 1000, 10_000):
        assert correction(CPU) == 1.5
        assert [entry["size"] for entry in entries()] == [1500]


def test_predictions_that_are_too_high_are_lowered_by_many_trainings_only():
    learn(*[0.5] * 15)
    few = correction(CPU)

    learn(0.6)

    assert (few, correction(CPU)) == (1, 0.6)


def test_old_ratios_are_forgotten():
    learn(2.0, *[0.9] * 16)

    assert correction(CPU) == 0.9


@pytest.mark.parametrize(("ratio", "kept"), [(100, 4), (0.001, 0.25)])
def test_ratio_out_of_reason_is_cut(ratio, kept):
    learn(*[ratio] * 16)

    assert correction(CPU) == kept


def test_nothing_measured_teaches_nothing():
    with reserved(CPU, 1000, 10_000) as held:
        held.measured(0)

    assert read_json(ledger_file(CPU))["ratios"] == []


# --- the file


def write(queue: list[Entry], **others: object) -> None:
    file = ledger_file(CPU)
    rows = [{n: getattr(e, n) for n in Entry.__slots__} for e in queue]
    with locked(file):
        write_json(file, {"format": 1, "entries": rows, "ratios": [], **others})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"format": 2, "entries": [], "ratios": [9.0]}',
        '{"format": 1, "entries": [{"pid": 1}], "ratios": []}',
        '{"format": 1, "entries": 7, "ratios": []}',
        '{"format": 1, "entries": [], "ratios": ["x"]}',
    ],
)
def test_broken_or_foreign_file_counts_as_empty(text):
    file = ledger_file(CPU)
    file.parent.mkdir(parents=True)
    file.write_text(text)

    with reserved(CPU, 90, 100, wait=give_up):
        assert len(entries()) == 1
        assert correction(CPU) == 1


def test_folder_that_cannot_be_written_is_done_without(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NASDEPTH_CACHE", str(tmp_path / "file"))

    with (
        caplog.at_level(logging.WARNING),
        reserved(CPU, 90, 100),
        reserved(CPU, 90, 100, wait=give_up) as held,
    ):
        held.measured(100)

    assert "Memory is not reserved" in caplog.text


def test_write_is_whole_or_not_at_all(tmp_path):
    file = tmp_path / "some.json"
    write_json(file, {"kept": 1})

    with pytest.raises(TypeError):
        write_json(file, {"broken": object()})

    assert json.loads(file.read_text()) == {"kept": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_lock_is_one_process_at_a_time(tmp_path):
    file = tmp_path / "count.json"
    write_json(file, {"count": 0})

    def count():
        for _ in range(50):
            with locked(file):
                write_json(file, {"count": read_json(file)["count"] + 1})

    codes = [ended(pid) for pid in [forked(count) for _ in range(4)]]

    assert codes == [0] * 4
    assert read_json(file) == {"count": 200}


def test_file_is_of_the_machine_and_the_device(own_cache):
    assert ledger_file(CPU).parent == own_cache
    assert os.uname().nodename in ledger_file(CPU).name


def test_empty_ledger_corrects_nothing():
    assert Ledger().correction == 1


@pytest.mark.gpu
def test_gpu_is_told_by_its_own_number():
    assert str(Path(ledger_file(torch.device("cuda", 0)).stem)).count("-") > 4
