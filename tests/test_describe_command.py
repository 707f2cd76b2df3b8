"""Facts about the commands that measure: describe, compare."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nasdepth.architecture.families import family
from nasdepth.architecture.lower import lower
from nasdepth.cli import main
from nasdepth.measures.catalogue import CATALOGUE, measure
from nasdepth.network import latency


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def described(*arguments: str) -> dict:
    done = run("describe", *arguments, "-f", "json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    return row


def test_measures_are_those_of_python() -> None:
    row = described("resnet18")

    assert row.pop("network") == "resnet18"
    assert row == measure(lower(family("resnet18")))


def test_foreign_networks_are_described_alike() -> None:
    own, foreign = described("resnet18"), described("torchvision:resnet18")

    assert {**own, "network": ""} == {**foreign, "network": ""}


def test_csv_is_one_row() -> None:
    (row,) = csv.DictReader(io.StringIO(run("describe", "vgg11", "-f", "csv").output))

    assert row["nominal_depth"] == "11"


def test_the_table_says_what_has_no_value() -> None:
    done = run("describe", "torchvision:swin_t")

    assert "roll mixes places" in done.output or "mixes places in" in done.output
    assert "read by tracing" in done.output


def test_sections_are_rows_of_their_own() -> None:
    row = described("resnet18", "--scopes", "1", "--cells", "--paths", "--sensitivity")

    assert [part["scope"] for part in row["scopes"]][:2] == ["stem", "stage1"]
    assert len(row["cells"]) == 8
    assert sum(int(each["paths"]) for each in row["paths"]) == 2**8
    assert {"default", "gates"} <= {each["counted"] for each in row["sensitivity"]}


def test_counts_beyond_a_float_are_exact() -> None:
    row = described("stack:1100:1:8", "--paths")

    assert sum(int(each["paths"]) for each in row["paths"]) == 2**1100


def test_gradients_have_spread_and_layers() -> None:
    row = described("cifar_resnet20", "--gradients")
    slopes = {each["probe"]: each for each in row["gradients"]}

    assert slopes["attenuation_slope"]["n"] == 3
    assert slopes["attenuation_slope"]["sd"] > 0
    assert row["layers"][0]["layer"] == "stem.conv1"
    assert all(each["gradient_norm"] > 0 for each in row["layers"])


def test_gradients_of_foreign_networks() -> None:
    row = described("torchvision:squeezenet1_1", "--gradients", "--input", "3,64,64")

    assert row["gradients"][0]["mean"] > 0


@pytest.mark.parametrize("network", ["resnet18", "torchvision:resnet18"])
def test_latency_is_stated_with_its_spread_and_setting(network: str) -> None:
    row = described(network, "--latency", "--batch", "2", "--input", "3,32,32")
    timed = row["latency"]

    assert 0 < timed["lower"] <= timed["median"] <= timed["upper"]
    assert timed["repeats"] >= 3
    assert (timed["batch"], timed["threads"]) == (2, 1)
    assert timed["device"].startswith("cpu ")
    assert "2 images in float32, channels-last" in timed["timed"]


def test_latency_is_a_section_of_the_table() -> None:
    done = run("describe", "cifar_resnet20", "--latency")
    lines = done.stdout.partition("\nlatency\n")[2].splitlines()

    assert lines[0].split() == ["what", "unit", "value"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["median", "s"],
        ["lower", "s"],
        ["upper", "s"],
    ]


def test_latencies_stand_side_by_side() -> None:
    names = ("cifar_resnet20", "torchvision:squeezenet1_1")
    command = ("compare", *names, "--input", "3,32,32", "--latency")

    lines = run(*command).stdout.splitlines()
    rows = json.loads(run(*command, "-f", "json").stdout)

    assert [line.split()[0] for line in lines[-3:]] == [
        "latency",
        "latency_lower",
        "latency_upper",
    ]
    assert all(line.split()[-1] == "s" for line in lines[-3:])
    assert all(
        0 < row["latency_lower"] <= row["latency"] <= row["latency_upper"]
        for row in rows
    )


def test_what_disturbs_a_timing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_BUSY", 1.1)  # more than there is: never quiet

    done = run("describe", "cifar_resnet20", "--latency")

    assert "cifar_resnet20: the machine was not quiet" in done.stderr
    assert "% of the time at work" in done.stderr


def test_what_counts_can_be_chosen() -> None:
    plain, more = described("resnet18"), described("resnet18", "--count", "projections")

    assert (plain["effective_depth"], more["effective_depth"]) == (
        pytest.approx(10),
        pytest.approx(11.5),
    )


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_picture_is_drawn(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net.{suffix}"

    done = run("describe", "torchvision:squeezenet1_1", "--draw", str(path))

    assert done.exit_code == 0
    assert path.stat().st_size > 5_000


def test_networks_stand_side_by_side() -> None:
    done = run("compare", "resnet18", "torchvision:squeezenet1_1", "vgg11")
    lines = done.output.splitlines()

    assert lines[0].split() == [
        "measure",
        "resnet18",
        "torchvision:squeezenet1_1",
        "vgg11",
        "unit",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["input", *CATALOGUE]


def test_comparisons_are_rows_for_programs() -> None:
    rows = json.loads(run("compare", "resnet18", "vgg11", "-f", "json").output)

    assert [row["network"] for row in rows] == ["resnet18", "vgg11"]


def test_a_refused_network_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "branching.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)\n"
    )
    command = ("describe", "branching:Net", "--input", "3,8,8")

    # in a process of its own: torch has its own way to standard error
    done = subprocess.run(
        [sys.executable, "-m", "nasdepth", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "branches on what the image holds" in line
    assert "branching.py:4" in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("describe", "torchvision:resnet5"), "torchvision:resnet50"),
        (("describe", "resnet18", "--input", "3,a"), "--input must be like"),
        (("describe", "resnet18", "--input", "3,0,4"), "positive sides"),
        (("describe", "resnet18", "--cells", "-f", "csv"), "-f table or -f json"),
        (("describe", "resnet18", "--draw", "a.gif"), ".svg or .png"),
        (("describe", "resnet18", "--latency", "-f", "csv"), "-f table or -f json"),
        (("describe", "resnet18", "--latency", "--batch", "0"), "batch must be 1 or"),
        (("describe", "resnet18", "--latency", "--threads", "0"), "must be 1 to"),
        (("describe", "resnet18", "--latency", "--device", "gpu"), "must be one of"),
        (
            ("describe", "resnet18", "--latency", "--batch", "100000000"),
            "memory is exhausted; choose a smaller --batch",
        ),
        (
            ("describe", "resnet18", "--latency", "--batch", f"{10**18}"),
            "Storage size calculation overflowed",
        ),
        (("describe", "resnet18", "--batch", "4"), "--batch: says how to time"),
        (("compare", "resnet18", "--threads", "1"), "add --latency"),
        (("describe", "torch.nn:Identity"), "--input"),
        (("describe", "json:dumps", "--input", "3,4,4"), "raised TypeError"),
        (("describe", "model.pt"), "loading a pickle"),
        (("compare", "resnet18", "resnet5"), "did you mean resnet50"),
        (("train", "torchvision:resnet18", "--data", "digits"), "only a family name"),
        (
            ("describe", "torchvision:vit_b_16", "--input", "3,100,100"),
            "indivisible by patch size",
        ),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], told: str) -> None:
    done = run(*arguments)

    assert done.exit_code == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
