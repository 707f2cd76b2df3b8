"""The committed study of singular values: this code still gives its numbers."""

import csv
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "studies" / "ldi"
PUBLISHED = {
    8: {0: 2.360, 10: 3.266, 20: 3.961, 40: 5.072},
    16: {0: 3.365, 10: 4.061, 20: 4.645, 40: 5.624},
}


@pytest.fixture(scope="module")
def run() -> ModuleType:
    spec = spec_from_file_location("ldi_run", FOLDER / "run.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def records(name: str) -> list[dict[str, float]]:
    with (FOLDER / name).open(encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_every_configuration_has_every_seed(run: ModuleType) -> None:
    found = [(r["depth"], r["links"], r["seed"]) for r in records("records.csv")]

    wanted = [(d, t, s) for d in run.DEPTHS for t in run.LINKS for s in run.SEEDS]
    assert found == wanted
    assert len(found) == 650


@pytest.mark.parametrize("place", [0, 137, 403, 649])
def test_a_row_is_computed_again(run: ModuleType, place: int) -> None:
    row = records("records.csv")[place]

    found = run.network(int(row["depth"]), int(row["links"]), int(row["seed"]))

    assert found == pytest.approx(row, rel=1e-4)


def test_mean_singular_values_of_gaussian_matrices_are_the_published_ones(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = records("laws.csv")
    monkeypatch.setattr(run, "MATRICES", 2_000)

    again, error = run.gaussian(8, 20)

    assert len(rows) == 8
    for row in rows:
        assert abs(row["mean"] - PUBLISHED[row["width"]][row["mass"]]) < 0.005
        assert row["error"] < 0.0015
    assert abs(again - PUBLISHED[8][20]) < 4 * error + 0.0005


def test_the_mean_rises_and_the_spread_falls_with_mass(run: ModuleType) -> None:
    own = run.averaged(records("records.csv"), 10)

    for kind in ("weight", "elu", "code"):
        order = own["nn_mass"].argsort()
        means, sds = own[f"{kind}_mean"][order], own[f"{kind}_sd"][order]
        assert means[:5].mean() < means[-5:].mean()
        assert sds[:5].mean() > sds[-5:].mean()
    assert len(own["nn_mass"]) == 65


def test_the_readme_has_the_table_of_the_records(run: ModuleType) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")

    lines = list(run.table(records("records.csv")))

    assert all(line in text for line in lines[:-1])
    assert lines[-1] == "params on mass: 0.45"
