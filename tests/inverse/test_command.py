"""The command `design`: its table, its file, its errors."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nasdepth.architecture.spec import Architecture
from nasdepth.cli import main

MLP = "nn_mass_mlp:16:8:3"


def run(*words: str, output: Path) -> Result:
    return CliRunner().invoke(main, ["design", *words, "-o", str(output)])


def test_it_prints_the_trade_and_writes_the_network(tmp_path: Path) -> None:
    output = tmp_path / "small.json"

    done = run("--like", MLP, output=output)

    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    heads = ("network", "NN-Mass", "params", "MACs", "Dnom", "Deff", "activations")
    assert all(head in lines[0] for head in heads)
    assert "peak activation memory" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:4]] == [
        "reference",
        "closed form",
        "within 0 %",
    ]
    assert "the least in the box, proved" in done.stderr
    assert f"nasdepth train {output} --data" in done.stderr
    assert Architecture.from_json(output.read_text()).stages[0].block == "linear"


@pytest.mark.parametrize("form", ["json", "csv"])
def test_programs_read_it(tmp_path: Path, form: str) -> None:
    done = run("--like", MLP, "-f", form, output=tmp_path / "a.json")

    rows = (
        json.loads(done.stdout)
        if form == "json"
        else list(csv.DictReader(io.StringIO(done.stdout)))
    )
    assert len(rows) == 6
    last = rows[-1]
    assert float(last["bound"]) == float(last["params"])
    built = Architecture.from_json(last["architecture"])
    assert built.stages[0].depth + 1 == float(last["nominal_depth"])


def test_its_file_is_a_reference_too(tmp_path: Path) -> None:
    output = tmp_path / "a.json"
    run("--like", MLP, output=output)

    again = run(
        "--like",
        str(output),
        "--minimize",
        "macs",
        "--budget",
        "params=2e3",
        "--tolerance",
        "0.3",
        output=output,
    )

    assert again.exit_code == 0, again.output
    assert " macs, " in again.stderr


def test_images_of_another_size(tmp_path: Path) -> None:
    output = tmp_path / "a.json"

    done = run("--like", "cifar_resnet8", "--input", "3,16,16", output=output)
    assert done.exit_code == 2  # no such name

    done = run("--like", "cifar_resnet20", "--input", "3,16,16", output=output)

    assert done.exit_code == 0, done.output
    assert Architecture.from_json(output.read_text()).input_shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--like", "vgg11"], "nn_mass of the reference is 0"),
        (["--like", "mobilenet"], "Unknown network 'mobilenet'"),
        (["--like", MLP, "--keep", "mass"], "Unknown measure 'mass'"),
        (["--like", MLP, "--minimize", "time"], "Unknown cost to minimize 'time'"),
        (["--like", MLP, "--budget", "macs"], "NAME=NUMBER, but got 'macs'"),
        (["--like", MLP, "--budget", "macs=few"], "but got 'macs=few'"),
        (["--like", MLP, "--budget", "macs=1"], "Found no network in the box"),
        (["--like", MLP, "--tolerance", "2"], "tolerance must be in [0, 1)"),
        (["--like", "none.json"], "No such file"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    output = tmp_path / "a.json"

    done = run(*words, output=output)

    assert done.exit_code == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not output.exists()


def test_a_traced_graph_is_refused(tmp_path: Path) -> None:
    traced = tmp_path / "traced.json"
    traced.write_text('{"format": 1, "nodes": []}')

    done = run("--like", str(traced), output=tmp_path / "a.json")

    assert done.exit_code == 2
    assert "traced graph, which has no depths and widths to vary" in done.stderr


def test_what_is_no_json_is_told_by_the_reader(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")

    done = run("--like", str(broken), output=tmp_path / "a.json")

    assert done.exit_code == 2
    assert "An architecture is a JSON object" in done.stderr


def test_help_has_an_example() -> None:
    done = CliRunner().invoke(main, ["design", "--help"])

    assert "nasdepth design --like mobilenet_v2:1.4 --keep nn_mass" in done.stdout
    assert "NN-Mass bounds no depth" in " ".join(done.stdout.split())
