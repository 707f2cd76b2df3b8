"""Facts about what a running study shows, and a worker killed in a real one."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from rich.console import Console

from nasdepth.architecture.spec import Architecture, Stage
from nasdepth.search.status import Status
from nasdepth.search.storage import load_study, open_storage
from nasdepth.search.workers import Fleet
from nasdepth.watching import (
    Pulse,
    missing,
    overall,
    seconds_left,
    watch,
    workers_table,
)

NETWORK = Architecture((Stage(depth=2, width=8),)).to_json()
NOW = datetime(2026, 1, 1, 12)
STATUS = Status(7, NETWORK, 3, 9, 0.25, 0.75, 12345.6, 812_000_000)
CRASH = "import os; os.kill(os.getpid(), 9)"


def trial(number, state=TrialState.COMPLETE, *, begin=0, seconds=None, **attributes):
    """A trial begun some seconds before now, which took the seconds."""
    start = NOW - timedelta(seconds=begin)
    value = 0.5 if state == TrialState.COMPLETE else None
    made = optuna.trial.create_trial(state=state, value=value, user_attrs=attributes)
    made.number = number
    made.datetime_start = None if state == TrialState.WAITING else start
    done = made.state.is_finished()
    made.datetime_complete = start + timedelta(seconds=seconds) if done else None
    return made


def shown(renderable, width=100):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


# --- a line for each worker


def test_a_worker_is_one_line():
    lines = shown(workers_table({1: STATUS, 2: STATUS}, []))

    assert lines[0].split() == [
        *("worker", "trial", "epoch", "loss", "accuracy", "images/s", "memory"),
        "architecture",
    ]
    told = ["7", "3/9", "0.2500", "0.7500", "12,346", "812", "MB", "plain", "2×8"]
    assert [line.split() for line in lines[1:]] == [["1", *told], ["2", *told]]


def test_a_worker_on_a_narrow_terminal_is_one_line_too():
    deep = Architecture((Stage(depth=2, width=8),) * 4).to_json()

    lines = shown(workers_table({1: Status(7, deep)}, []), width=70)

    assert len(lines) == 2
    assert lines[1].endswith("…")


def test_a_worker_that_starts_or_chooses_says_so():
    lines = shown(workers_table({1: None, 2: Status()}, []))

    assert lines[1].endswith("starting")
    assert lines[2].endswith("between trials")


def test_trials_of_other_processes_come_last():
    ours = trial(7, TrialState.RUNNING)
    other = trial(8, TrialState.RUNNING, network={"architecture": NETWORK})
    other.intermediate_values = {1: 0.5, 2: 0.625}

    lines = shown(workers_table({1: STATUS}, [trial(6, seconds=1), ours, other]))

    assert len(lines) == 3
    assert lines[2].split() == [
        "other",
        "8",
        "2",
        *"–",
        "0.6250",
        *"––",
        "plain",
        "2×8",
    ]


def test_pulse_of_a_worker_is_one_plain_line():
    pulse = Pulse(0.0)

    assert pulse.lines({1: STATUS}, 30.0) == [
        "worker 1: trial 7, epoch 3/9, loss 0.2500, accuracy 0.7500, "
        "12,346 images/s, 812 MB, plain 2×8"
    ]


def test_pulses_come_half_a_minute_apart():
    pulse = Pulse(100.0)
    later = Status(7, NETWORK, 4, 9, 0.2, 0.8, 1.0, 1)

    told = [
        len(pulse.lines({1: status}, now))
        for status, now in [
            (STATUS, 129.0),
            (STATUS, 131.0),
            (later, 160.0),
            (later, 161.0),
        ]
    ]

    assert told == [0, 1, 0, 1]


def test_each_worker_has_its_own_pulse():
    pulse = Pulse(0.0)
    pulse.lines({1: STATUS, 2: None}, 30.0)

    told = pulse.lines({1: STATUS, 2: STATUS}, 31.0)

    assert [line[:9] for line in told] == ["worker 2:"]


@pytest.mark.parametrize("status", [None, Status(), Status(7, NETWORK, 0, 9)])
def test_there_is_no_pulse_before_the_first_epoch(status):
    assert Pulse(0.0).lines({1: status}, 99.0) == []


def test_there_is_no_pulse_without_progress():
    pulse = Pulse(0.0)
    pulse.lines({1: STATUS}, 30.0)

    assert pulse.lines({1: STATUS}, 90.0) == []


# --- a line for the study


def test_overall_counts_what_is_done_pruned_and_best():
    trials = [
        trial(0, seconds=5),
        trial(1, TrialState.PRUNED, seconds=1),
        trial(2, TrialState.FAIL, seconds=1),
        trial(3, TrialState.RUNNING),
    ]
    trials[0].value = 0.91

    told = overall("mine", trials, 10, 0)

    assert told == "mine: 2/10 trials, 50% pruned, best 0.9100"


def test_overall_before_the_first_trial_says_no_more_than_it_knows():
    assert overall("mine", [], 10, 2) == "mine: 0/10 trials"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(5, "about 45 s left"), (60, "about 9 min left"), (3600, "about 9.0 h left")],
)
def test_overall_tells_the_time_left_as_people_do(seconds, told):
    assert overall("mine", [trial(0, seconds=seconds)], 10, 1).endswith(told)


def test_overall_of_a_whole_study_tells_no_time():
    assert "left" not in overall("mine", [trial(0, seconds=9)], 1, 1)


def test_workers_share_the_time_left():
    trials = [trial(0, seconds=10), trial(1, seconds=20)]

    assert seconds_left(trials, 10, 1, NOW) == 8 * 15
    assert seconds_left(trials, 10, 4, NOW) == 2 * 15


def test_pruned_trials_weigh_as_often_as_they_were_seen():
    pruned = [trial(n, TrialState.PRUNED, seconds=1) for n in range(3)]

    assert seconds_left([*pruned, trial(3, seconds=9)], 5, 1, NOW) == 3


def test_queued_trials_of_the_unselected_arm_take_as_long_as_their_like():
    trials = [
        trial(0, seconds=100, arm="unselected"),
        trial(1, TrialState.PRUNED, seconds=10, arm="search"),
        trial(2, TrialState.WAITING, arm="unselected"),
    ]

    assert seconds_left(trials, 5, 1, NOW) == 100 + 2 * 10


def test_queued_trials_beyond_the_total_take_no_time():
    queued = [trial(n, TrialState.WAITING) for n in range(1, 9)]

    assert seconds_left([trial(0, seconds=10), *queued], 3, 1, NOW) == 2 * 10


def test_an_arm_without_finished_trials_takes_as_long_as_the_others():
    trials = [trial(0, seconds=100, arm="unselected")]

    assert seconds_left(trials, 3, 1, NOW) == 2 * 100


def test_what_running_trials_have_behind_them_is_taken_off():
    done, running = trial(0, seconds=10), trial(1, TrialState.RUNNING, begin=4)

    assert seconds_left([done, running], 3, 1, NOW) == 10 + 6


def test_a_trial_longer_than_its_like_shortens_no_other():
    done, running = trial(0, seconds=10), trial(1, TrialState.RUNNING, begin=99)

    assert seconds_left([done, running], 3, 1, NOW) == 10


def test_failed_trials_tell_no_time():
    trials = [trial(0, TrialState.FAIL, seconds=1000), trial(1, seconds=2)]

    assert seconds_left(trials, 2, 1, NOW) == 2


@pytest.mark.parametrize(("trials", "workers"), [([], 2), ([trial(0, seconds=1)], 0)])
def test_time_left_is_unknown_before_a_trial_or_without_a_worker(trials, workers):
    assert seconds_left(trials, 9, workers, NOW) == float("inf")


# --- watching


@pytest.fixture
def study():
    study = optuna.create_study(study_name="mine")
    study.add_trial(optuna.trial.create_trial(value=0.25))
    return study


@pytest.fixture
def crashing(study, tmp_path):
    """A worker that is killed; its successor finishes a trial and ends."""
    programs = [CRASH, ""]

    def launch(log):
        if len(programs) == 1:
            attributes = {"outcome": {"seconds": 3.2}, "arm": "unselected"}
            study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs=attributes))
        return subprocess.Popen([sys.executable, "-S", "-c", programs.pop(0)])

    return Fleet(launch, [tmp_path / "0.log"])


def test_without_a_terminal_news_are_plain_lines(study, crashing, capfd):
    watch(study, crashing, 2)

    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Worker 1 was killed by signal 9, as the system does where memory runs out. "
        "A new one takes its place.",
        "[2/2] trial 1 unselected: 0.5000, 3 s, –",
    ]


def test_on_a_terminal_news_stand_above_what_is_going_on(
    study, crashing, capsys, monkeypatch
):
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)

    watch(study, crashing, 2)

    out, err = capsys.readouterr()
    assert out == ""
    for told in ("Worker 1 was killed", "[2/2] trial 1", "images/s", "starting"):
        assert told in err
    assert "mine: 2/2 trials, 0% pruned, best 0.5000" in err


def test_on_a_dumb_terminal_news_are_plain_lines(study, crashing, capsys, monkeypatch):
    for name, value in {"FORCE_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)

    watch(study, crashing, 2)

    assert "images/s" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_watching_wherever_it_arrives(study, tmp_path, number):
    def launch(log):
        return subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])

    fleet = Fleet(launch, [tmp_path / "0.log"])

    class Swallowing:
        """Its end is a callback that swallows what is raised in it."""

        def __del__(self):
            os.kill(os.getpid(), number)
            time.sleep(0.01)  # here Python would raise KeyboardInterrupt

    held = [Swallowing()]
    fleet.statuses = lambda: held.clear() or {}

    with pytest.raises(KeyboardInterrupt):
        watch(study, fleet, 2)

    fleet.interrupt()
    assert fleet.alive() == 0


def test_missing_trials_are_those_not_finished(study):
    study.ask()

    assert missing(study, 3) == 2
    assert missing(study, 0) == 0


# --- a real study

STUDY = """
[data]
name = "digits"
[space]
stages = [1, 2]
depth = [1, 2]
width = [8, 16]
links = [1, 8]
[budget]
params = 20_000
[screen]
pool = 8
[design]
trials = 2
candidates = 10
[training]
epochs = 12
batch_size = 64
[search]
n_trials = 4
workers = 2
"""


@pytest.fixture
def searching(tmp_path):
    """A real search by two workers, and its study, once a trial is in training."""
    (tmp_path / "digits.toml").write_text(STUDY)
    process = subprocess.Popen(
        [sys.executable, "-m", "nasdepth", "search", "digits.toml"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 120
    while not in_training(tmp_path):
        assert time.monotonic() < limit
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    yield process, study_in(tmp_path)
    process.kill()
    process.communicate()


def study_in(folder: Path) -> optuna.Study:
    return load_study(open_storage(f"sqlite:///{folder}/nasdepth.db"), "digits")


def in_training(folder):
    if not (folder / "nasdepth.db").exists():
        return []
    try:
        trials = study_in(folder).get_trials(states=[TrialState.RUNNING])
    except ValueError:  # half made
        return []
    return [trial for trial in trials if trial.intermediate_values]


def finished(study):
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return len(study.get_trials(states=states))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kills as Linux does")
def test_a_study_outlives_the_kill_of_a_worker_and_tells_of_it_once(searching):
    process, study = searching
    [hit, *_] = [
        trial
        for trial in study.get_trials(states=[TrialState.RUNNING])
        if trial.intermediate_values
    ]

    os.kill(hit.user_attrs["worker"]["pid"], signal.SIGKILL)
    _, told = process.communicate(timeout=240)

    assert process.returncode == 0, told
    assert finished(study) == 4
    assert study.trials[hit.number].state == TrialState.FAIL
    assert TrialState.RUNNING not in [trial.state for trial in study.trials]
    [line] = [line for line in told.splitlines() if "killed" in line]
    assert f"its trial {hit.number} is queued again. A new one takes" in line
