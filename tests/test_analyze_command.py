"""Facts about the command analyze: where evidence comes from, which plan is tested."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from click.testing import CliRunner, Result
from optuna.trial import TrialState

from nasdepth.cli import main
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.records import write_csv
from nasdepth.search.config import StudyConfig
from nasdepth.search.storage import open_storage, records, registration

PLAN = "[preregistration]\nsmallest_effect = 0.1\n"
QUICK = ("--draws", "99", "--brief")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own, and no words of Optuna."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield tmp_path
    optuna.logging.set_verbosity(level)


def trial(number: int, draw: np.random.Generator, **outcome: Any) -> Any:
    """A finished trial whose accuracy rises with effective depth."""
    nominal = float(draw.integers(5, 60))
    effective = nominal * draw.uniform(0.3, 1)
    level = 0.05 * effective + draw.normal(0, 0.3)
    accuracy = float(np.clip(1 - 0.2 * np.exp(-level), 0, 1))
    measures = {
        "params": float(np.exp(draw.normal(11, 1))),
        "macs": float(np.exp(draw.normal(15, 1))),
        "nominal_depth": nominal,
        "weighted_layers": nominal + float(draw.integers(0, 9)),
        "effective_depth": effective,
    }
    reason = outcome.get("reason", "")
    ended = {"reason": reason} if reason else {"accuracy": accuracy}
    return optuna.create_trial(
        state=TrialState.PRUNED if reason else TrialState.COMPLETE,
        value=accuracy,
        intermediate_values={1: accuracy / 2, 2: accuracy},
        user_attrs={
            "arm": outcome.get("arm", "unselected"),
            "network": {
                "architecture": "",
                "digest": f"digest{number}",
                "measures": measures,
            },
            "outcome": {"seconds": 1.0, "seed": number, **ended},
        },
    )


def made(n: int, **plan: Any) -> optuna.Study:
    """A study of n trials of the unselected arm, and three others."""
    draw = np.random.default_rng(0)
    config = StudyConfig.model_validate(
        {"name": "small", "data": {"name": "digits"}, "preregistration": plan}
    )
    study = optuna.create_study(
        storage=open_storage("journal:///study.log"),
        study_name="small",
        direction="maximize",
    )
    study.set_user_attr("config", config.to_json())
    study.set_user_attr("config_digest", config.digest())
    study.set_user_attr("preregistration", registration(config))
    study.set_user_attr("dataset", "digits")
    study.set_user_attr("validation_images", 360)
    study.add_trials([trial(i, draw) for i in range(n)])
    study.add_trials([trial(100 + i, draw, arm="search") for i in range(2)])
    study.add_trial(trial(200, draw, reason="diverged: the loss is inf"))
    return study


def analyzed(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["analyze", *QUICK, *arguments])


def of_study(*arguments: str) -> Result:
    where = ("--storage", "journal:///study.log", "--study-name", "small")
    return analyzed(*where, *arguments)


def parsed(done: Result) -> Any:
    """What is printed as JSON, in which no NaN is allowed."""
    assert done.exit_code == 0, done.output

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(done.stdout, parse_constant=refuse)


def told(done: Result) -> str:
    """The one line that a mistake is told in."""
    assert done.exit_code == 2, done.output
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_study_is_answered_under_its_own_registered_plan() -> None:
    made(30, smallest_effect=0.1)

    done = of_study()

    assert done.exit_code == 0, done.output
    digest = Preregistration(smallest_effect=0.1).digest()[:12]
    assert done.stdout.startswith("study small\n\nThese data can say it of a large")
    assert "SUPPORTED: partial r +0." in done.stdout
    assert f"sha256 {digest}" in " ".join(done.stdout.split())
    assert "2 search arm, 1 diverged" in done.stdout
    assert "exploratory)" not in done.stdout.split("Headline".upper())[0]


def test_study_of_few_trials_is_undecidable_and_no_error() -> None:
    made(5)

    done = of_study()

    assert done.exit_code == 0
    opening = " ".join(done.stdout.split("\n\n")[1].split())
    assert opening.startswith("These data cannot say it: 5 architectures, at least 8")
    assert "197 could detect" in opening


@pytest.mark.parametrize(
    "options",
    [
        ("--nominal", "weighted_layers"),
        ("--response", "accuracy"),
        ("--baseline", "params"),
        ("--allow-selected",),
    ],
)
def test_plan_changed_by_an_option_is_exploratory(options: tuple[str, ...]) -> None:
    made(20)

    registered, found = (
        parsed(of_study("-f", "json")),
        parsed(of_study("-f", "json", *options)),
    )

    assert registered["registered"].startswith("hashed before the first trial")
    assert found["registered"] == ""
    assert found["findings"][0]["exploratory"]
    assert found["findings"][0]["quote"].endswith("(exploratory).")


def test_option_that_repeats_the_plan_changes_nothing() -> None:
    made(20)

    found = parsed(of_study("-f", "json", "--nominal", "nominal_depth"))

    assert found["registered"].startswith("hashed before the first trial")


def test_another_plan_for_a_study_that_has_its_own_is_exploratory(
    folder: Path,
) -> None:
    made(20)
    (folder / "mine.toml").write_text(PLAN)

    found = parsed(of_study("-f", "json", "--plan", "mine.toml"))

    assert found["plan"]["smallest_effect"] == 0.1
    assert found["registered"] == ""


def test_threshold_of_another_plan_is_counted_to(folder: Path) -> None:
    made(20)
    (folder / "mine.toml").write_text(
        '[preregistration]\nresponse = "epochs_to_threshold"\nthreshold = 0.01\n'
    )

    found = parsed(of_study("-f", "json", "--plan", "mine.toml"))

    assert found["scope"]["outcome_range"] == [1, 1]


def csv_of(study: optuna.Study, path: Path) -> None:
    write_csv(records(study), path)


def test_csv_of_a_study_has_the_numbers_of_the_study(folder: Path) -> None:
    csv_of(made(20), folder / "rows.csv")

    own = parsed(of_study("-f", "json"))
    found = parsed(analyzed("-f", "json", "--records", "rows.csv"))

    assert found["source"] == "rows.csv"
    assert found["registered"] == ""
    assert found["headlines"] == own["headlines"]


def test_plan_of_a_file_shows_no_time_and_is_exploratory(folder: Path) -> None:
    csv_of(made(20), folder / "rows.csv")
    (folder / "mine.toml").write_text(PLAN)

    found = parsed(
        analyzed("-f", "json", "--records", "rows.csv", "--plan", "mine.toml")
    )

    assert found["plan"]["smallest_effect"] == 0.1
    assert found["registered"] == ""


@pytest.mark.parametrize(("study", "kept"), [("skips", True), ("cifar10-arm", False)])
def test_records_are_registered_by_the_file_of_their_own_study(
    study: str, kept: bool
) -> None:
    studies = Path(__file__).parents[1] / "studies"
    rows, plan = studies / "skips" / "records.csv", studies / f"{study}.toml"

    found = parsed(
        analyzed("-f", "json", "--brief", "--records", str(rows), "--plan", str(plan))
    )

    assert bool(found["registered"]) is kept


def test_option_beside_a_plan_is_not_ignored_and_is_exploratory(folder: Path) -> None:
    csv_of(made(20), folder / "rows.csv")
    (folder / "mine.toml").write_text(PLAN)
    options = ("--plan", "mine.toml", "--nominal", "weighted_layers")

    found = parsed(analyzed("-f", "json", "--records", "rows.csv", *options))

    assert found["plan"]["nominal"] == "weighted_layers"
    assert found["registered"] == ""


def test_several_claims_are_answered_in_their_order() -> None:
    made(20)

    found = parsed(of_study("-f", "json", "--claim", "H10", "--claim", "H1"))
    every = parsed(of_study("-f", "json", "--claim", "all"))

    assert [each["claim"] for each in found["findings"]] == ["H1", "H10"]
    assert [each["claim"] for each in every["findings"]] == [
        f"H{number}" for number in range(1, 11)
    ]


def test_markdown_has_the_source_as_its_title() -> None:
    made(20)

    done = of_study("-f", "markdown")

    assert done.stdout.startswith("# study small\n\nThese data can say")
    assert "| --- | --: |" in done.stdout


def test_brief_leaves_out_what_is_exploratory() -> None:
    made(20)
    where = ("--storage", "journal:///study.log", "--study-name", "small")
    long = CliRunner().invoke(main, ["analyze", "--draws", "99", *where])

    assert "No verdict rests on what follows." in long.stdout
    assert "No verdict rests on what follows." not in of_study().stdout


def test_figure_is_written(folder: Path) -> None:
    made(10)

    done = of_study("--figure", "scatter.svg")

    assert done.exit_code == 0, done.output
    assert (folder / "scatter.svg").read_text().lstrip().startswith("<?xml")


MISTAKES = {
    "claim": (("--claim", "H11"), "Unknown claim 'H11'"),
    "baseline": (("--baseline", "parms"), "Did you mean 'params'?"),
    "covariate": (("--covariate", "recipe"), "Unknown covariate 'recipe'"),
    "response": (("--response", "acuracy"), "Did you mean 'accuracy'?"),
    "nominal": (("--nominal", "depth"), "nominal_depth, weighted_layers, longest"),
    "no plan": (("--plan", "nowhere.toml"), "nowhere.toml"),
    "columns": (("--columns", "params=size"), "about the CSV of --records"),
    "two sources": (("--table", "nasbench201:cifar10"), "Give one source"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake_is_one_line(case: str) -> None:
    made(12)
    options, message = MISTAKES[case]

    assert message in told(of_study(*options))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("params", "--columns must be like effective_depth=deff,params=size, but got"),
        ("params=a,params=b", "--columns names params twice"),
    ],
)
def test_columns_that_are_no_pairs_are_one_line(
    folder: Path, columns: str, message: str
) -> None:
    csv_of(made(12), folder / "rows.csv")

    assert message in told(analyzed("--records", "rows.csv", "--columns", columns))


def test_response_beside_a_plan_of_a_csv_is_one_line(folder: Path) -> None:
    csv_of(made(12), folder / "rows.csv")
    (folder / "mine.toml").write_text(PLAN)
    options = ("--plan", "mine.toml", "--response", "accuracy")

    assert "both state a response" in told(analyzed("--records", "rows.csv", *options))


def test_contradictory_rows_of_one_digest_are_one_line(folder: Path) -> None:
    rows = list(records(made(12)))
    rows[1] = replace(rows[1], digest=rows[0].digest)
    write_csv(rows, folder / "rows.csv")

    found = told(analyzed("--records", "rows.csv"))

    assert "must be the same in all rows of one digest" in found
    assert "trial 0, trial 1" in found


def foreign(n: int) -> str:
    """A CSV of somebody else, families and recipes in it."""
    draw = np.random.default_rng(1)
    lines = ["name,top1,deff,depth,size,flops,kind,recipe"]
    for i in range(n):
        depth = int(draw.integers(5, 60))
        deff = depth * draw.uniform(0.3, 1)
        size, flops = np.exp(draw.normal([11.0, 15.0], 1.0))
        accuracy = 1 - 0.2 * np.exp(-0.05 * deff + draw.normal(0, 0.2))
        recipe = "ab"[i % 2]
        lines.append(
            f"net {i},{accuracy:.4f},{deff:.4f},{depth},{size:.0f},{flops:.0f},"
            f"größe {i % 3},{recipe}"
        )
    return "\n".join(lines) + "\n"


FOREIGN = (
    *("--response", "top1", "--family", "kind"),
    *("--columns", "effective_depth=deff,nominal_depth=depth,params=size,macs=flops"),
)


def test_foreign_csv_is_answered_with_its_columns_families_and_recipe(
    folder: Path,
) -> None:
    (folder / "mine.csv").write_text(foreign(60), encoding="utf-8")

    found = parsed(
        analyzed(
            *("--records", "mine.csv", "-f", "json", "--covariate", "recipe"), *FOREIGN
        )
    )

    assert found["scope"]["n"] == 60
    assert found["plan"]["covariates"] == ["recipe"]
    assert found["headlines"][0]["families"]["families"] == 3
    assert found["headlines"][0]["fits"][0]["result"]["covariates"] == 4
    assert found["findings"][0]["exploratory"]


@pytest.mark.parametrize("n", [1, 7])
def test_csv_of_few_rows_is_undecidable_and_no_error(folder: Path, n: int) -> None:
    (folder / "mine.csv").write_text(foreign(n), encoding="utf-8")

    done = analyzed("--records", "mine.csv", *FOREIGN)

    assert done.exit_code == 0, done.output
    assert "UNDECIDABLE" in done.stdout
