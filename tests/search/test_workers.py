"""Facts about fleets of worker processes, with stand-ins for the workers."""

import os
import signal
import socket
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from nasdepth.search import retries, workers
from nasdepth.search.status import Status, StatusFile
from nasdepth.search.study import POISONED
from nasdepth.search.workers import Fleet, start, status_path

WAIT = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {WAIT}"
POLITE = f"try:\n    {WAIT}\nexcept KeyboardInterrupt:\n    raise SystemExit(130)"
ends = "raise SystemExit({})".format


@pytest.fixture
def fleet(tmp_path):
    """Maker of a fleet of Python programs, each followed by the last one."""
    made = []

    def make(*programs, then=WAIT):
        queue = list(programs)

        def launch(log):
            program = queue.pop(0) if queue else then
            command = [sys.executable, "-S", "-c", program]
            with log.open("ab") as stream:
                made.append(subprocess.Popen(command, stdout=stream, stderr=stream))
            return made[-1]

        places = [tmp_path / f"{i}.log" for i in range(len(programs))]
        for log in places:
            StatusFile(status_path(log)).write(Status())
        return Fleet(launch, places)

    yield make
    for process in made:
        process.kill()
        process.wait()


@pytest.fixture
def study():
    return optuna.create_study()


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


def ended(fleet):
    return all(process.poll() is not None for process in fleet.processes)


def logs(fleet, folder):
    return [folder / f"{i}.log" for i in range(len(fleet.processes))]


def until_up(fleet, folder):
    until(lambda: all("up" in log.read_text() for log in logs(fleet, folder)))


def running_trial(study, process, **attributes):
    """Number of a trial, the next in the queue, that the process runs."""
    trial = study.ask()
    pid = process.pid
    identity = {"host": socket.gethostname(), "pid": pid, "born": retries.born(pid)}
    trial.set_user_attr("worker", identity)
    for name, value in {"network": {}, **attributes}.items():
        if value is not None:
            trial.set_user_attr(name, value)
    return trial.number


def kill(process, number=signal.SIGKILL):
    process.send_signal(number)
    process.wait()


def test_workers_count_until_they_have_ended_and_been_tended(fleet, study):
    two = fleet(WAIT, "")
    until(lambda: two.processes[1].poll() is not None)
    before = two.alive()

    told = two.tend(study)

    assert (before, two.alive()) == (2, 1)
    assert told == []


def test_interrupted_workers_end_and_that_is_no_failure(fleet, tmp_path):
    two = fleet(POLITE, POLITE)
    until_up(two, tmp_path)

    two.interrupt()

    assert two.alive() == 0
    assert [process.returncode for process in two.processes] == [130, 130]
    assert two.failure(missing=1) == ""


def test_worker_that_does_not_stop_is_ended(fleet, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_PATIENCE", 0.2)
    one = fleet(STUBBORN)
    until_up(one, tmp_path)

    one.interrupt()

    assert one.processes[0].returncode == -signal.SIGKILL


def test_worker_that_has_told_nothing_is_ended_without_asking(fleet, tmp_path):
    one = fleet(STUBBORN)
    StatusFile(status_path(tmp_path / "0.log")).remove()

    one.interrupt()

    assert one.processes[0].returncode == -signal.SIGKILL


def test_interrupting_what_has_ended_does_nothing(fleet):
    one = fleet("")
    until(lambda: ended(one))

    one.interrupt()

    assert one.failure() == ""


def test_workers_ended_by_an_interrupt_are_not_replaced(fleet, study, monkeypatch):
    monkeypatch.setattr(workers, "_PATIENCE", 0.0)
    one = fleet(STUBBORN)
    before = one.processes
    one.interrupt()

    told = one.tend(study)

    assert told == []
    assert one.processes == before


def test_failure_is_the_last_line_of_the_log(fleet, tmp_path):
    two = fleet("", "print('first'); print('the reason'); raise SystemExit(3)")
    until(lambda: ended(two))

    told = two.failure()

    assert told == f"A worker ended with code 3: the reason ({tmp_path / '1.log'})"


def test_failure_without_a_word_is_told_too(fleet):
    one = fleet(ends(4))
    until(lambda: ended(one))

    assert "code 4: no message" in one.failure()


def test_a_killed_worker_is_replaced_and_its_trial_queued_again(fleet, study):
    two = fleet(WAIT, WAIT)
    killed, other = two.processes
    lost = running_trial(study, killed)
    kept = running_trial(study, other)
    kill(killed)

    told = two.tend(study)

    assert told == [
        "Worker 1 was killed by signal 9, as the system does where memory runs out; "
        f"its trial {lost} is queued again. A new one takes its place."
    ]
    assert two.alive() == 2
    assert two.processes[1] == other
    assert two.processes[0].poll() is None
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
    assert study.trials[kept].state == TrialState.RUNNING


def test_workers_killed_together_are_all_replaced(fleet, study):
    two = fleet(WAIT, WAIT)
    lost = [running_trial(study, process) for process in two.processes]
    kill(two.processes[0], signal.SIGSEGV)
    kill(two.processes[1])

    told = two.tend(study)

    assert [line.split(";")[0].split(",")[0] for line in told] == [
        "Worker 1 was killed by signal 11",
        "Worker 2 was killed by signal 9",
    ]
    assert all(f"trial {n} is queued" in line for n, line in zip(lost, told, strict=1))
    assert not ended(two)
    waiting = study.get_trials(states=[TrialState.WAITING])
    assert len(waiting) == 2


def test_a_worker_killed_between_trials_is_replaced(fleet, study):
    one = fleet(WAIT)
    kill(one.processes[0], signal.SIGABRT)

    told = one.tend(study)

    assert told == ["Worker 1 was killed by signal 6. A new one takes its place."]
    assert one.alive() == 1


def test_a_worker_that_lost_its_device_is_replaced(fleet, study):
    one = fleet(f"import time; time.sleep(0.2); {ends(POISONED)}")
    trial = running_trial(study, one.processes[0])
    study.tell(trial, state=TrialState.FAIL)  # it did so itself
    until(lambda: ended(one))

    told = one.tend(study)

    assert told == [
        f"Worker 1 lost its device; its trial {trial} is queued again. "
        "A new one takes its place."
    ]
    assert not ended(one)


def test_a_trial_without_a_network_is_not_queued_again(fleet, study):
    one = fleet(WAIT)
    trial = running_trial(study, one.processes[0], network=None)
    kill(one.processes[0])

    told = one.tend(study)

    assert f"its trial {trial} had just begun. A new one" in told[0]
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_causes_of_death_are_kept_with_the_trial(fleet, study):
    one = fleet(WAIT)
    trial = running_trial(study, one.processes[0])
    kill(one.processes[0], signal.SIGSEGV)

    one.tend(study)

    assert study.trials[trial].user_attrs["outcome"]["reason"] == "killed by signal 11"


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_a_worker_that_ended_itself_is_not_replaced(fleet, study, code):
    one = fleet(ends(code))
    until(lambda: ended(one))

    told = one.tend(study)

    assert told == []
    assert one.alive() == 0


def test_a_worker_that_an_error_ended_in_a_trial_is_replaced(fleet, study):
    one = fleet(f"import time; time.sleep(0.2); print('a bug'); {ends(1)}")
    trial = running_trial(study, one.processes[0])
    study.tell(trial, state=TrialState.FAIL)  # it did so itself
    until(lambda: ended(one))

    told = one.tend(study)

    assert told == [
        f"Worker 1 ended with code 1 (a bug); its trial {trial} is queued again. "
        "A new one takes its place."
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_was_asked_to_end_is_not_replaced(fleet, study, tmp_path, number):
    one = fleet(WAIT)
    until_up(one, tmp_path)
    kill(one.processes[0], number)

    told = one.tend(study)

    assert one.processes[0].returncode == -number
    assert told == []
    assert one.alive() == 0


def killed_in_a_row(fleet, study, times, **attributes):
    """Lines told of a worker and its successors, each killed in a trial."""
    told = []
    for _ in range(times):
        running_trial(study, fleet.processes[0], **attributes)
        kill(fleet.processes[0])
        told += fleet.tend(study)
    return told


#: of trials that are not queued again: each of a row of killed ones is another
OTHER = {"network": None}


def test_a_place_where_four_trials_in_a_row_are_cut_short_stays_empty(
    fleet, study, tmp_path
):
    one = fleet(WAIT)

    told = killed_in_a_row(one, study, 4, **OTHER)

    assert [line.endswith("A new one takes its place.") for line in told[:3]] == [1] * 3
    assert told[3].endswith(
        "No other takes its place: none there has finished a trial since 4 were cut "
        f"short so ({tmp_path / '0.log'})."
    )
    assert one.alive() == 0


def test_a_place_where_four_workers_in_a_row_are_killed_between_trials_stays_empty(
    fleet, study
):
    one = fleet(WAIT)

    for _ in range(4):
        kill(one.processes[0])
        one.tend(study)

    assert one.alive() == 0


def test_one_trial_that_kills_its_workers_empties_no_place(fleet, study):
    one = fleet(WAIT)

    killed_in_a_row(one, study, 4)

    [waiting] = study.get_trials(states=[TrialState.WAITING])
    assert "refused" in waiting.user_attrs
    assert one.alive() == 1


def test_an_empty_place_is_a_failure_where_trials_are_missing(fleet, study):
    one = fleet(WAIT)
    killed_in_a_row(one, study, 4, **OTHER)

    assert one.failure() == ""
    assert "A worker ended with code -9" in one.failure(missing=1)


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_a_finished_trial_makes_up_for_those_cut_short(fleet, study, state):
    one = fleet(WAIT)
    killed_in_a_row(one, study, 3, **OTHER)
    finished = running_trial(study, one.processes[0])
    study.tell(finished, 1.0 if state == TrialState.COMPLETE else None, state)

    told = killed_in_a_row(one, study, 3, **OTHER)

    assert len(told) == 3
    assert one.alive() == 1


def test_a_refused_trial_makes_up_for_none(fleet, study):
    one = fleet(WAIT)
    killed_in_a_row(one, study, 3, **OTHER)
    refused = running_trial(study, one.processes[0], refused="killed, 4 times")
    study.tell(refused, state=TrialState.PRUNED)

    killed_in_a_row(one, study, 1, **OTHER)

    assert one.alive() == 0


def test_a_trial_of_an_earlier_process_of_that_number_makes_up_for_none(fleet, study):
    one = fleet(WAIT)
    killed_in_a_row(one, study, 3, **OTHER)
    finished = running_trial(study, one.processes[0])
    study.tell(finished, 1.0)
    trial = study.get_trials(deepcopy=False)[finished]
    trial.datetime_start = trial.datetime_start.replace(year=2000)

    killed_in_a_row(one, study, 1, **OTHER)

    assert one.alive() == 0


def never():
    return False


def test_waiting_ends_with_a_worker(fleet):
    two = fleet(WAIT, "")
    start_of_wait = time.monotonic()

    two.wait(60, never)

    assert time.monotonic() - start_of_wait < 30


def test_waiting_ends_when_it_is_time_to_stop(fleet):
    one = fleet(WAIT)
    start_of_wait = time.monotonic()

    one.wait(60, lambda: True)

    assert time.monotonic() - start_of_wait < 30


def test_waiting_ends_with_the_time(fleet):
    one = fleet(WAIT)

    one.wait(0.1, never)

    assert one.processes[0].poll() is None


def test_statuses_are_those_of_workers_at_work(fleet, study, tmp_path):
    two = fleet(WAIT, WAIT)
    files = [StatusFile(status_path(log)) for log in logs(two, tmp_path)]
    for number, file in enumerate(files):
        file.write(Status(number))
    before = two.statuses()
    kill(two.processes[0])
    kill(two.processes[1], signal.SIGTERM)

    two.tend(study)

    assert before == {1: Status(0), 2: Status(1)}
    assert two.statuses() == {1: None}  # the successor has told nothing yet
    assert not any(file.path.exists() for file in files)


def test_interrupted_workers_leave_no_status(fleet, tmp_path):
    one = fleet(POLITE)
    until_up(one, tmp_path)

    one.interrupt()

    assert one.statuses() == {}
    assert [path.name for path in tmp_path.iterdir()] == ["0.log"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.usefixtures("program")
def test_workers_are_told_what_to_do_and_by_whom(tmp_path):
    folder = tmp_path / "new" / "logs"

    two = start(["--study-name", "mine"], 2, folder, 3)

    until(lambda: ended(two))
    found = sorted(folder.glob("*.log"))
    assert len(found) == 2
    for log, process in zip(found, two.processes, strict=True):
        called, threads, own = log.read_text().splitlines()
        ours = f"--status {log.with_suffix('.json')} --parent {os.getpid()}"
        assert called == f"-m nasdepth worker --study-name mine {ours}"
        assert threads == "threads 3 3"
        assert own == f"own {process.pid} {process.pid}"  # leads its session


@pytest.mark.usefixtures("program")
def test_what_a_process_of_our_number_left_is_gone(tmp_path):
    log = tmp_path / f"worker-{os.getpid()}-0.log"
    log.write_text("old")
    StatusFile(status_path(log)).write(Status(1))

    one = start([], 1, tmp_path, 1)

    until(lambda: ended(one))
    assert "old" not in log.read_text()
    assert one.statuses() == {1: None}


@pytest.mark.usefixtures("program")
def test_a_successor_writes_below_its_predecessor(tmp_path, study):
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\necho word\nkill -9 $$\n")
    one = start([], 1, tmp_path, 1)

    for _ in range(2):
        until(lambda: ended(one))
        one.tend(study)

    until(lambda: ended(one))
    log = tmp_path / f"worker-{os.getpid()}-0.log"
    assert log.read_text() == "word\n" * 3
