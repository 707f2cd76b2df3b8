"""Facts about the command plan: what it prints, writes and refuses."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture
from nasdepth.cli import main, plan
from nasdepth.search.config import load_config
from nasdepth.training.data import load

STUDY = """
[data]
name = "digits"
validation = 0.2
[space]
stages = [1, 2]
depth = [2, 5]
width = [8, 32]
topologies = {topologies}
dropped = {dropped}
[budget]
params = 60_000
[design]
candidates = 4
[preregistration]
smallest_effect = 0.5
[search]
n_trials = 30
"""


def study(folder: Path, topologies: str = '["residual"]', dropped: str = "true") -> str:
    path = folder / "my study.toml"
    path.write_text(STUDY.format(topologies=topologies, dropped=dropped))
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["plan", *arguments])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = run(study(tmp_path_factory.mktemp("plan")))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_it_tells_what_is_attained_needed_and_spent(told: str) -> None:
    for piece in (
        "feasible architectures looked at with their siblings, of ",
        "random sample  designed",
        "Deff unexplained by Dnom and size",
        "For a partial correlation of 0.5 at 80% power: ",
        "by Fisher's formula",
        "are paired: siblings of equal params",
        "trainings of 9 epochs",
    ):
        assert piece in told


def test_it_ends_with_what_to_write_and_to_run(told: str) -> None:
    *_, header, trials, section, total, following, command = told.splitlines()

    assert (header.strip(), section.strip()) == ("[design]", "[search]")
    assert trials.strip().startswith("trials = ")
    assert total.strip() == f"n_{trials.strip()}"
    assert following == "Next:"
    assert command.startswith("  nasdepth search '")


def test_json_is_one_object_with_its_kinds(tmp_path: Path) -> None:
    done = run(study(tmp_path), "--n", "12", "-f", "json")

    (row,) = json.loads(done.stdout)

    assert (row["trials"], row["effect"], row["power"]) == (12, 0.5, 0.8)
    assert row["kinds"] == [{"topology": "residual", "architectures": 12, "paired": 6}]
    assert abs(row["needed_fisher"] - row["needed"]) < 6
    assert 0 < row["power_of_arm"] < 0.8
    assert row["simulated"][0]["runs"] == 2000


def test_csv_is_one_row_of_the_same(tmp_path: Path) -> None:
    file = study(tmp_path)
    (row,) = json.loads(run(file, "--n", "12", "-f", "json").stdout)

    (found,) = csv.DictReader(io.StringIO(run(file, "--n", "12", "-f", "csv").stdout))

    assert found.keys() == row.keys() - {"kinds", "simulated"}
    assert float(found["designed_unexplained"]) == row["designed_unexplained"]


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_designed_architectures_are_written_with_their_measures(
    tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"designs.{suffix}"

    done = run(study(tmp_path), "--n", "8", "-o", str(output))

    text = output.read_text(encoding="utf-8")
    lines = text.splitlines()
    rows = (
        list(csv.DictReader(io.StringIO(text)))
        if suffix == "csv"
        else [json.loads(line) for line in lines]
    )
    assert f"Wrote 8 architectures to {output}" in done.stderr
    assert len(rows) == 8
    for row in rows:
        architecture = Architecture.from_json(row["architecture"])
        assert digest(lower(architecture)) == row["digest"]
        assert float(row["params"]) <= 60_000
    numbers = [int(row["siblings"]) for row in rows]
    assert sorted(numbers.count(n) for n in set(numbers)) == [1, 1, 1, 1, 2, 2]


def test_a_space_that_cannot_tell_depths_apart_is_told_so_first(
    tmp_path: Path,
) -> None:
    done = run(study(tmp_path, '["plain"]', "false"))

    first, *_ = done.stdout.splitlines()
    assert done.exit_code == 0
    assert first.startswith("This space cannot tell effective depth")
    assert "trials =" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("  nasdepth plan ")


def test_without_dropping_it_tells_what_that_would_give(tmp_path: Path) -> None:
    done = run(study(tmp_path, '["residual", "plain"]', "false"), "--n", "8")

    assert "With dropped = true in [space] half are pairs of siblings" in done.stdout


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--effect", "2"), "effect must lie in (0, 1), but got 2.0."),
        (("--power", "1"), "power must lie in (0.05, 1), but got 1.0."),
        (("-o", "designs.txt"), "--output must end in .csv, .json, .jsonl"),
        (("-o", "nowhere/a.csv"), "--output must be in a folder, but nowhere is none."),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, options: tuple, rule: str) -> None:
    done = run(study(tmp_path), *options)

    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert rule in done.stderr


def test_a_missing_study_is_named(tmp_path: Path) -> None:
    done = run(str(tmp_path / "none.toml"))

    assert done.exit_code == 2
    assert "No study file" in done.stderr


def test_the_space_is_that_of_the_images(tmp_path: Path) -> None:
    config = load_config(Path(study(tmp_path)))
    sized = config.model_copy(
        update={"data": type(config.data)("digits", size=10, channels=3, upscale=2)}
    )

    for each in (config, sized):
        dataset = load(each.data)
        space = plan._space_of(each)
        assert space.input_shape == dataset.input_shape
        assert space.num_classes == len(dataset.classes)
