"""Facts about fleets of worker processes, with stand-ins for the workers."""

import os
import subprocess
import sys
import time

import pytest

from nasdepth.search import workers
from nasdepth.search.workers import Fleet, start

WAIT = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {WAIT}"
POLITE = f"try:\n    {WAIT}\nexcept KeyboardInterrupt:\n    raise SystemExit(130)"


@pytest.fixture
def fleet(tmp_path):
    """Maker of a fleet of Python programs, which it ends after the test."""
    made = []

    def make(*programs):
        logs = tuple(tmp_path / f"{i}.log" for i in range(len(programs)))
        processes = []
        for program, log in zip(programs, logs, strict=True):
            with log.open("wb") as stream:
                command = [sys.executable, "-S", "-c", program]
                processes.append(
                    subprocess.Popen(command, stdout=stream, stderr=stream)
                )
        made.extend(processes)
        return Fleet(tuple(processes), logs)

    yield make
    for process in made:
        process.kill()
        process.wait()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A stand-in for Python that tells how it was called."""
    path = tmp_path / "python"
    path.write_text(
        '#!/bin/sh\necho "$@"\necho "threads $OMP_NUM_THREADS $MKL_NUM_THREADS"\n'
        'echo "own $(cut -d" " -f6 /proc/$$/stat) $$"\n'
    )
    path.chmod(0o755)
    monkeypatch.setattr(workers.sys, "executable", str(path))


def until(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def is_up(fleet):
    return all("up" in log.read_text() for log in fleet.logs)


def test_only_running_processes_are_alive(fleet):
    two = fleet(WAIT, "")

    until(lambda: two.alive() == 1)


def test_interrupted_workers_end_and_that_is_no_failure(fleet):
    two = fleet(POLITE, POLITE)
    until(lambda: is_up(two))

    two.interrupt()

    assert two.alive() == 0
    assert [process.returncode for process in two.processes] == [130, 130]
    assert two.failure() == ""


def test_worker_that_does_not_stop_is_ended(fleet, monkeypatch):
    monkeypatch.setattr(workers, "_PATIENCE", 0.2)
    one = fleet(STUBBORN)
    until(lambda: is_up(one))

    one.interrupt()

    assert one.alive() == 0


def test_interrupting_what_has_ended_does_nothing(fleet):
    one = fleet("")
    until(lambda: one.alive() == 0)

    one.interrupt()

    assert one.failure() == ""


def test_failure_is_the_last_line_of_the_log(fleet):
    two = fleet("", "print('first'); print('the reason'); raise SystemExit(3)")
    until(lambda: two.alive() == 0)

    told = two.failure()

    assert told == f"A worker ended with code 3: the reason ({two.logs[1]})"


def test_failure_without_a_word_is_told_too(fleet):
    one = fleet("raise SystemExit(4)")
    until(lambda: one.alive() == 0)

    assert "code 4: no message" in one.failure()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.usefixtures("program")
def test_workers_are_told_what_to_do_and_by_whom(tmp_path):
    folder = tmp_path / "new" / "logs"

    two = start(["--study-name", "mine"], 2, folder, 3)

    until(lambda: two.alive() == 0)
    assert len(set(two.logs)) == 2
    for log, process in zip(two.logs, two.processes, strict=True):
        called, threads, own = log.read_text().splitlines()
        parent = f"--parent {os.getpid()}"
        assert called == f"-m nasdepth worker --study-name mine {parent}"
        assert threads == "threads 3 3"
        assert own == f"own {process.pid} {process.pid}"  # leads its session
