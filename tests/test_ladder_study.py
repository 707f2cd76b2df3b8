"""The committed ladders: complete, of this code, and told by their README."""

import math
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.records import read_csv
from nasdepth.measures.catalogue import measure

FOLDER = Path(__file__).parents[1] / "studies" / "ladder"
NAMES = ("records", "rates")


@pytest.fixture(scope="module")
def run() -> ModuleType:
    spec = spec_from_file_location("ladder_run", FOLDER / "run.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_every_training_of_the_plan_is_recorded_once(
    run: ModuleType, name: str
) -> None:
    found = [run.key_of(row) for row in read_csv(FOLDER / f"{name}.csv")]

    assert found == [job.key for job in run.jobs(name)]


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_what_this_code_says_of_its_architecture(name: str) -> None:
    known: dict[str, tuple[str, dict[str, float | None]]] = {}
    for row in read_csv(FOLDER / f"{name}.csv"):
        if row.architecture not in known:
            graph = lower(Architecture.from_json(row.architecture))
            known[row.architecture] = digest(graph), measure(graph)
        own, values = known[row.architecture]
        assert row.digest == own
        for key, value in values.items():
            assert math.isclose(value, row.measures[key], rel_tol=1e-9), key


@pytest.mark.parametrize("name", NAMES)
def test_a_training_is_complete_or_diverged(name: str) -> None:
    for row in read_csv(FOLDER / f"{name}.csv"):
        assert row.arm == "unselected"
        if row.state == "complete":
            loss = row.measures["validation_loss"] - row.measures["train_loss"]
            assert row.measures["generalization_gap"] == pytest.approx(loss)
        else:
            assert (row.state, row.accuracy) == ("pruned", None)
            assert row.reason.startswith("diverged: epoch ")


def test_the_readme_quotes_what_the_claims_tests_say(run: ModuleType) -> None:
    text = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())

    quotes = [line for line in run.verdicts() if line.startswith("- ")]

    assert len(quotes) == 10
    for quote in quotes:
        assert quote.removeprefix("- ") in text
