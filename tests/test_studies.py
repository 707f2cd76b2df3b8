"""The committed studies: their files load, and their records are those of this code."""

import math
from pathlib import Path

import pytest

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence import nasbench201, zoo_accuracies
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.records import TrialRecord, read_csv
from nasdepth.measures.catalogue import measure
from nasdepth.search.config import load_config, load_plan
from nasdepth.search.design import unselected
from nasdepth.search.space import Space

STUDIES = Path(__file__).parents[1] / "studies"
FILES = sorted(STUDIES.glob("*.toml"))
# a folder without a study file holds other records, with tests of their own
RECORDS = [
    path
    for path in sorted(STUDIES.glob("*/records.csv"))
    if path.parent.with_suffix(".toml") in FILES
]


def rows() -> list[tuple[str, TrialRecord]]:
    return [(path.parent.name, row) for path in RECORDS for row in read_csv(path)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_study_file_loads_under_its_own_name(path: Path) -> None:
    assert load_config(path).name == path.stem


@pytest.mark.parametrize(
    ("study", "plan"),
    [("nasbench201", nasbench201.PLAN), ("torchvision", zoo_accuracies.PLAN)],
)
def test_a_published_table_has_the_plan_of_its_study(
    study: str, plan: Preregistration
) -> None:
    assert load_plan(STUDIES / study / "plan.toml") == plan


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parent.name)
def test_records_belong_to_the_study_file_beside_them(path: Path) -> None:
    config = load_config(STUDIES / f"{path.parent.name}.toml")

    found = read_csv(path)

    finished = [row for row in found if row.state != "failed"]
    assert len(finished) == config.search.n_trials
    assert sum(row.arm == "unselected" for row in finished) == config.design.trials


@pytest.mark.parametrize(("study", "row"), rows(), ids=lambda value: str(value)[:12])
def test_a_record_says_what_this_code_says_of_its_architecture(
    study: str, row: TrialRecord
) -> None:
    graph = lower(Architecture.from_json(row.architecture))

    values = measure(graph)

    assert row.digest == digest(graph)
    for name, value in values.items():
        recorded = row.measures[name]
        assert (value is None) == (recorded is None)
        assert value is None or math.isclose(value, recorded or 0.0, rel_tol=1e-9)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.parent.name)
def test_no_unselected_network_was_pruned_or_trained_twice(path: Path) -> None:
    arm = [row for row in read_csv(path) if row.arm == "unselected"]

    assert {row.state for row in arm} == {"complete"}
    assert len({row.digest for row in arm}) == len(arm)


def test_the_committed_arm_is_the_one_this_code_draws() -> None:
    config = load_config(STUDIES / "fashion-mnist.toml")
    space = Space(config.space, (1, 28, 28), 10)

    drawn = [candidate.digest for candidate in unselected(config, space)]

    found = read_csv(STUDIES / "fashion-mnist" / "records.csv")
    assert [row.digest for row in found if row.arm == "unselected"] == drawn
