"""The command trials: what a study holds, and which of it no other trial beats."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner, Result
from optuna.trial import TrialState

from nasdepth.cli import main
from nasdepth.search.config import StudyConfig
from nasdepth.search.storage import open_storage

#: accuracy, params, MACs, latency; None is a pruned trial
TRIALS = (
    (0.5, 10.0, 400.0, 0.2),
    (0.9, 40.0, 300.0, 0.1),
    (0.8, 50.0, 200.0, 0.3),
    (0.7, 60.0, 500.0, 0.4),
    (None, 5.0, 5.0, 0.1),
    (0.95, 70.0, 600.0, None),
)


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def store(folder: Path, **search: Any) -> None:
    """A study of six trials."""
    storage = open_storage(f"journal:///{folder}/study.log")
    study = optuna.create_study(storage=storage, study_name="six", direction="maximize")
    config = StudyConfig.model_validate(
        {"name": "six", "data": {"name": "digits"}, "search": search}
    )
    study.set_user_attr("config", config.to_json())
    for accuracy, params, macs, latency in TRIALS:
        measures = {"params": params, "macs": macs, "nominal_depth": 3.0}
        measures |= {} if latency is None else {"latency": latency}
        study.add_trial(
            optuna.create_trial(
                state=TrialState.COMPLETE if accuracy else TrialState.PRUNED,
                value=accuracy,
                user_attrs={
                    "network": {"measures": measures},
                    "outcome": {"accuracy": accuracy} if accuracy else {},
                },
            )
        )


def run(*arguments: str) -> Result:
    where = ("--storage", f"journal:///{Path.cwd()}/study.log", "--study-name", "six")
    return CliRunner().invoke(main, ["trials", *where, *arguments])


def numbers(done: Result) -> list[int]:
    assert done.exit_code == 0, done.output
    return [row["number"] for row in json.loads(done.stdout)]


def test_front_of_a_study_of_accuracy_is_in_params_and_macs(tmp_path: Path) -> None:
    store(tmp_path)

    done = run("--pareto", "-f", "json")

    assert numbers(done) == [0, 1, 2, 5]
    assert done.stderr == (
        "Of 5 complete trials 4 are beaten by none in accuracy, params and MACs.\n"
    )


def test_front_is_in_the_studys_own_objectives(tmp_path: Path) -> None:
    store(tmp_path, objectives=["accuracy", "macs"])

    assert numbers(run("--pareto", "-f", "json")) == [2, 1, 5]


def test_front_is_in_the_objectives_that_are_named(tmp_path: Path) -> None:
    store(tmp_path, objectives=["accuracy", "macs"])

    done = run("--pareto", "--objectives", "accuracy,latency", "-f", "json")

    assert numbers(done) == [1]
    assert done.stderr == (
        "Of 4 complete trials 1 are beaten by none in accuracy and latency; 1 without"
        " them are left out.\n"
    )


def test_table_of_a_front_has_a_column_of_its_cost(tmp_path: Path) -> None:
    store(tmp_path)

    done = run("--pareto", "--objectives", "accuracy,latency,params")

    head, *rows = done.stdout.splitlines()
    assert head.split()[:7] == [
        "trial",
        "arm",
        "state",
        "accuracy",
        "latency",
        "params",
        "MACs",
    ]
    assert [row.split()[:5] for row in rows] == [
        ["1", "search", "complete", "0.9000", "0.1"],
        ["0", "search", "complete", "0.5000", "0.2"],
    ]


def test_front_as_csv_is_of_records(tmp_path: Path) -> None:
    store(tmp_path)

    done = run("--pareto", "--objectives", "accuracy,params", "-f", "csv")

    rows = list(csv.DictReader(StringIO(done.stdout)))
    assert [(row["number"], row["params"]) for row in rows] == [
        ("0", "10.0"),
        ("1", "40.0"),
        ("5", "70.0"),
    ]


def test_without_the_flag_all_trials_are_told(tmp_path: Path) -> None:
    store(tmp_path)

    done = run("-f", "json")

    assert numbers(done) == [0, 1, 2, 3, 4, 5]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--pareto", "--objectives", "accuracy,latncy"),
            "Error: Unknown objective 'latncy'; choose from: accuracy, latency, macs,"
            " params. Did you mean 'latency'?\n",
        ),
        (
            ("--pareto", "--objectives", "macs"),
            "Error: Objectives must be accuracy and at least one cost, but got 'macs';"
            " choose from: accuracy, latency, macs, params.\n",
        ),
        (
            ("--objectives", "accuracy,macs"),
            "Error: --objectives goes with --pareto; give both.\n",
        ),
    ],
)
def test_objectives_that_cannot_be_are_one_line(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    store(tmp_path)

    done = run(*arguments)

    assert done.exit_code == 2
    assert done.stderr == message
    assert done.stdout == ""


def test_study_without_trials_has_an_empty_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.TRIALS", ())
    store(tmp_path)

    assert run("--pareto").stdout == "(none)\n"
