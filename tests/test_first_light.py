"""The whole pipeline as a user runs it: one command on real digits, and bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from optuna.trial import TrialState

from nasdepth.search.storage import load_study, open_storage

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
epochs = 3
batch_size = 64
[search]
n_trials = 4
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nasdepth", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def states(folder: Path) -> list[TrialState]:
    study = load_study(open_storage(f"sqlite:///{folder}/nasdepth.db"), "digits")
    return [trial.state for trial in study.get_trials(deepcopy=False)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "digits.toml").write_text(STUDY)
    return tmp_path


@pytest.mark.slow
def test_search_tells_what_it_found_and_what_comes_next(folder: Path) -> None:
    done = run(folder, "search", "digits.toml")

    assert done.returncode == 0, done.stderr
    assert "Best by validation accuracy on digits" in done.stdout
    assert "UNDECIDABLE" in done.stdout
    assert "nasdepth export --study-name digits -o best/" in done.stdout
    assert "[4/4] trial" in done.stderr
    assert len(states(folder)) == 4

    table = run(folder, "trials", "--study-name", "digits", "-f", "csv").stdout
    assert table.startswith("format,number,arm,state")
    assert len(table.splitlines()) == 5

    exported = run(folder, "export", "--study-name", "digits", "-o", "best")
    assert exported.returncode == 0, exported.stderr
    metrics = json.loads((folder / "best" / "metrics.json").read_text())
    assert metrics["check"]["largest_score_difference"] <= 1e-5

    before = listing(folder)
    again = run(folder, "export", "--study-name", "digits", "-o", "best")
    assert again.returncode == 2
    assert listing(folder) == before


@pytest.mark.slow
def test_changed_space_is_refused_and_more_trials_are_not(folder: Path) -> None:
    assert run(folder, "search", "digits.toml", "--n-trials", "2").returncode == 0
    file = folder / "digits.toml"

    file.write_text(STUDY.replace("depth = [1, 2]", "depth = [1, 3]"))
    refused = run(folder, "search", "digits.toml")
    file.write_text(STUDY)
    resumed = run(folder, "search", "digits.toml", "--n-trials", "3")

    assert refused.returncode == 2
    assert "space.depth was [1, 2], is [1, 3]" in refused.stderr
    assert resumed.returncode == 0
    assert len(states(folder)) == 3


def start(folder: Path, epochs: int) -> subprocess.Popen[str]:
    """A search in the middle of its second trial."""
    text = STUDY.replace("epochs = 3", f"epochs = {epochs}")
    (folder / "digits.toml").write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", "nasdepth", "search", "digits.toml"],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("[1/4]")
    deadline = time.monotonic() + 60
    while TrialState.RUNNING not in states(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return process


def children(pid: int) -> Sequence[int]:
    task = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in task.read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")
def test_killed_search_resumes_with_nothing_lost_and_nothing_running(
    folder: Path,
) -> None:
    process = start(folder, epochs=20)
    for pid in [*children(process.pid), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    kept = states(folder).count(TrialState.COMPLETE)

    done = run(folder, "search", "digits.toml")

    found = states(folder)
    assert kept >= 1
    assert done.returncode == 0, done.stderr
    assert TrialState.RUNNING not in found
    finished = found.count(TrialState.COMPLETE) + found.count(TrialState.PRUNED)
    assert finished == 4
    assert found.count(TrialState.COMPLETE) >= kept


@pytest.mark.slow
def test_interrupted_search_keeps_what_is_finished_and_says_so(folder: Path) -> None:
    process = start(folder, epochs=20)

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Interrupted" in errors
    assert TrialState.RUNNING not in states(folder)
    assert TrialState.COMPLETE in states(folder)


BAD = {
    "unknown key": (STUDY + "sead = 1\n", "Did you mean 'seed'?"),
    "unknown data set": (STUDY.replace('"digits"', '"digtis"'), "'digits'?"),
    "reversed range": (STUDY.replace("[1, 2]", "[2, 1]", 1), "low <= high"),
    "no feasible": (STUDY.replace("20_000", "20"), "the smallest value found is"),
    "missing folder": (
        STUDY.replace('"digits"', '"folder"\npath = "nowhere"'),
        "nowhere",
    ),
    "no toml": ("= 3", "is not TOML"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD)
def test_bad_study_file_is_one_line_and_writes_nothing(
    tmp_path: Path, case: str
) -> None:
    text, told = BAD[case]
    (tmp_path / "digits.toml").write_text(text)

    done = run(tmp_path, "search", "digits.toml")

    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert listing(tmp_path) == ["digits.toml"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("describe", "resnet5"), "did you mean resnet50"),
        (("describe", "broken.json"), "JSON"),
        (("trials", "--study-name", "nope"), "no file 'nasdepth.db'"),
        (
            ("trials", "--storage", "sqlite:////no/where.db", "--study-name", "x"),
            "cannot be opened",
        ),
        (("analyze",), "Give one source: --study-name, --table or --records."),
        (("analyze", "--records", "broken.json"), "broken.json"),
        (("analyze", "--records", "absent.csv"), "absent.csv"),
        (("analyze", "--table", "nasbench21"), "Did you mean 'nasbench201"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "broken.json").write_text('{"stages": 3')

    done = run(tmp_path, *arguments)

    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert listing(tmp_path) == ["broken.json"]


def test_describe_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner;"
        "from nasdepth.cli import main;"
        "result = CliRunner().invoke(main, ['describe', 'resnet50']);"
        "assert result.exit_code == 0, result.output;"
        "print(sorted({'torch', 'optuna', 'matplotlib'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
