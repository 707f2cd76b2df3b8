"""Facts about study files: what they hold, and what is said of a bad one."""

from pathlib import Path
from typing import Any, get_args

import pytest

from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.records import read_csv
from nasdepth.search.config import StudyConfig, load_config, load_plan
from nasdepth.search.screen import SAMPLERS
from nasdepth.search.space_config import TOPOLOGIES

STUDIES = Path(__file__).parents[2] / "studies"
DIGITS = '[data]\nname = "digits"\n'
SECTIONS = tuple(name for name in StudyConfig.model_fields if name != "name")


def keys(section: str) -> list[str]:
    """Keys of a section of a study file."""
    kind: Any = StudyConfig.model_fields[section].annotation
    fields = getattr(kind, "model_fields", None) or kind.__dataclass_fields__
    return [name for name in fields if not name.startswith("__")]


EVERY_KEY = [(section, key) for section in SECTIONS for key in keys(section)]


def refusal(folder: Path, text: str) -> str:
    """What is said of a study file."""
    path = folder / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"bad\.toml") as caught:
        load_config(path)
    return str(caught.value)


def parsed(text: str, folder: Path) -> StudyConfig:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize(
    "path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem
)
def test_every_study_of_the_repository_loads_and_survives_json(path):
    config = load_config(path)

    assert config.name == path.stem
    assert StudyConfig.from_json(config.to_json()) == config


def test_there_are_studies_in_the_repository():
    names = {path.stem for path in STUDIES.glob("*.toml")}

    assert {"quickstart", "fashion-mnist", "cifar10"} <= names


def test_a_study_whose_every_section_differs_from_the_default_survives_json(tmp_path):
    config = parsed(
        'name = "odd name"\n[data]\nname = "folder"\npath = "/a b/\\"c\\""\nsize = 16\n'
        '[space]\ntopologies = ["cell", "plain"]\nmixed = false\nkernel = [1, 5]\n'
        "[budget]\npeak_memory = 5\n[screen]\nneighbours = 0.25\n"
        "[screen.weights]\nparams = -0.5\n[design]\ntrials = 0\n"
        '[training]\noptimizer = "adamw"\nlearning_rate = 0.002\nflip = false\n'
        '[pruner]\nfactor = 4\n[search]\nsampler = "gp"\nseed = 7\n'
        '[preregistration]\nresponse = "rank"\nbaselines = ["params"]\n',
        tmp_path,
    )

    assert StudyConfig.from_json(config.to_json()) == config


def test_a_study_is_called_like_its_file(tmp_path):
    assert parsed(DIGITS, tmp_path).name == "study"


def test_a_name_in_the_file_comes_before_that_of_the_file(tmp_path):
    assert parsed(f'name = "mine"\n{DIGITS}', tmp_path).name == "mine"


@pytest.mark.parametrize(("section", "key"), EVERY_KEY)
def test_misspelt_key_is_named_with_its_place_and_the_nearest(section, key, tmp_path):
    header = DIGITS if section == "data" else f"{DIGITS}[{section}]\n"

    told = refusal(tmp_path, f"{header}{key}x = 1\n")

    assert f"Unknown key '{key}x'" in told
    assert f"Did you mean {key!r}?" in told
    assert f"[{section}] in" in told
    assert "choose from: " in told


def test_misspelt_section_is_named_with_the_nearest(tmp_path):
    told = refusal(tmp_path, f"{DIGITS}[sapce]\n")

    assert "Unknown key 'sapce'" in told
    assert "Did you mean 'space'?" in told


def test_misspelt_required_key_is_named_and_not_its_absence(tmp_path):
    told = refusal(tmp_path, '[data]\nnmae = "digits"\n')

    assert "Unknown key 'nmae'" in told
    assert "Did you mean 'name'?" in told


BAD = {
    "no data": ("", "data must be given"),
    "no data set": ("[data]\nseed = 1", "data.name must be given"),
    "no table": ("data = 3", "data: |got 3"),
    "no TOML": ("[data", "is not TOML|line 1"),
    "data set": ('[data]\nname = "digist"', "'digist'|choose from: cifar10|'digits'?"),
    "folder": ('[data]\nname = "folder"', "path must name the image folder|got ''"),
    "share": (f"{DIGITS}validation = 0.9", "validation must be in (0, 0.5]|0.9"),
    "NaN share": (f"{DIGITS}validation = nan", "validation|nan"),
    "word": (f'{DIGITS}size = "big"', "data.size|integer|'big'"),
    "reversed": (
        f"{DIGITS}[space]\nstages = [2, 1]",
        "space.stages|low <= high|(2, 1)",
    ),
    "negative": (f"{DIGITS}[space]\ndepth = [-1, 1]", "space.depth|0 <= low|(-1, 1)"),
    "from 0": (f"{DIGITS}[space]\nlinks = [0, 4]", "space.links|at 1 or above|(0, 4)"),
    "three": (f"{DIGITS}[space]\nwidth = [8, 16, 24]", "space.width|not 3|[8, 16, 24]"),
    "empty": (f"{DIGITS}[space]\nwidth = []", "space.width.0 must be given"),
    "number": (f"{DIGITS}[space]\nwidth = 8", "space.width|tuple|but got 8"),
    "half": (f"{DIGITS}[space]\nwidth = [8.5, 16]", "space.width.0|integer|8.5"),
    "step": (f"{DIGITS}[space]\nwidth = [8, 17]", "width must span|of 8|[8, 17]"),
    "growth": (f"{DIGITS}[space]\ngrowth = [4, 9]", "growth must span|of 4|[4, 9]"),
    "topology": (
        f'{DIGITS}[space]\ntopologies = ["plian"]',
        "space.topologies|'plian'|choose from: bottleneck|'plain'?",
    ),
    "no topology": (f"{DIGITS}[space]\ntopologies = []", "space.topologies|one|()"),
    "twice": (f"{DIGITS}[space]\nstem = [8, 8]", "space.stem|distinct|(8, 8)"),
    "activation": (f'{DIGITS}[space]\nactivation = ["rleu"]', "'rleu'|silu|'relu'?"),
    "norm": (f'{DIGITS}[space]\nnorm = ["bacth"]', "'bacth'|group|'batch'?"),
    "even": (f"{DIGITS}[space]\nkernel = [2]", "space.kernel|odd|(2,)"),
    "no kernel": (f"{DIGITS}[space]\nkernel = [-1]", "space.kernel|positive|(-1,)"),
    "no stem": (f"{DIGITS}[space]\nstem = [0]", "space.stem|positive|(0,)"),
    "stride": (f"{DIGITS}[space]\nstem_stride = [3]", "stem_stride|1 or 2|(3,)"),
    "expansion": (f"{DIGITS}[space]\nexpansion = [-2]", "expansion|positive|(-2,)"),
    "mixed": (f'{DIGITS}[space]\nmixed = "maybe"', "space.mixed|boolean|'maybe'"),
    "budget": (f"{DIGITS}[budget]\nparams = 0", "budget.params|equal to 1|got 0"),
    "NaN budget": (f"{DIGITS}[budget]\nmacs = nan", "budget.macs|finite|nan"),
    "measure": (f"{DIGITS}[screen.weights]\nnn_mas = 1", "'nn_mas'|params|'nn_mass'?"),
    "weight": (f"{DIGITS}[screen.weights]\nmacs = inf", "weights.macs|finite|inf"),
    "NaN weight": (f"{DIGITS}[screen.weights]\nmacs = nan", "weights.macs|finite|nan"),
    "pool": (f"{DIGITS}[screen]\npool = 0", "screen.pool|equal to 1|got 0"),
    "neighbours": (f"{DIGITS}[screen]\nneighbours = 2", "neighbours|equal to 1|got 2"),
    "design": (f"{DIGITS}[design]\ntrials = -1", "design.trials|equal to 0|-1"),
    "epochs": (f"{DIGITS}[training]\nepochs = 0", "epochs must be at least 1|epochs=0"),
    "NaN rate": (f"{DIGITS}[training]\nlearning_rate = nan", "learning_rate|nan"),
    "endless rate": (f"{DIGITS}[training]\nlearning_rate = inf", "learning_rate|inf"),
    "optimizer": (f'{DIGITS}[training]\noptimizer = "sdg"', "'sgd' or 'adamw'|'sdg'"),
    "factor": (f"{DIGITS}[pruner]\nfactor = 1", "pruner.factor|equal to 2|got 1"),
    "sampler": (f'{DIGITS}[search]\nsampler = "tpee"', "search.sampler|'tpe'|'tpee'"),
    "total": (f"{DIGITS}[search]\nn_trials = 0", "search.n_trials|equal to 1|got 0"),
    "seed": (f"{DIGITS}[search]\nseed = 4294967296", "search.seed|less than 42949"),
    "direction": (f'{DIGITS}[preregistration]\ndirection = "up"', "'positive'|'up'"),
    "baseline": (
        f'{DIGITS}[preregistration]\nbaselines = ["parms"]',
        "preregistration|'parms'|choose from: activations|'params'?",
    ),
    "effect": (f"{DIGITS}[preregistration]\nsmallest_effect = nan", "finite|nan"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_value_gives_one_line_with_rule_and_value(case, tmp_path):
    text, pieces = BAD[case]

    told = refusal(tmp_path, f"{text}\n")

    assert "\n" not in told
    for piece in pieces.split("|"):
        assert piece in told


def test_file_that_is_no_text_is_no_toml(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ValueError, match=r"study\.toml is not TOML"):
        load_config(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No study file .*study\.toml"):
        load_config(tmp_path / "study.toml")


def test_bad_stored_study_is_said_to_be_the_stored_one():
    with pytest.raises(ValueError, match="in the stored study"):
        StudyConfig.from_json('{"name": "x", "data": {"name": "digits"}, "sapce": {}}')


@pytest.mark.parametrize(
    "changed",
    [
        {"data": {"path": "/elsewhere"}},
        {"screen": {"pool": 9}},
        {"pruner": {"factor": 4}},
        {"search": {"n_trials": 99}},
        {"search": {"workers": 2}},
        {"search": {"sampler": "random"}},
    ],
    ids=str,
)
def test_digest_ignores_what_may_change_while_a_study_goes_on(changed, configure):
    assert configure(**changed).digest() == configure().digest()


@pytest.mark.parametrize(
    "changed",
    [
        {"data": {"seed": 1}},
        {"data": {"limit": 100}},
        {"space": {"depth": [1, 4]}},
        {"budget": {"params": 19_999}},
        {"design": {"trials": 3}},
        {"training": {"epochs": 4}},
        {"preregistration": {"direction": "negative"}},
        {"search": {"seed": 1}},
    ],
    ids=str,
)
def test_digest_heeds_what_may_not_change(changed, configure):
    assert configure(**changed).digest() != configure().digest()


@pytest.mark.parametrize(
    ("pruner", "rungs"),
    [
        ({"first_rung": 0}, (1, 3, 9)),
        ({"first_rung": 2}, (2, 6, 9)),
        ({"first_rung": 0, "factor": 2}, (3, 6, 9)),
    ],
)
def test_rungs_are_those_of_the_pruner(pruner, rungs, configure):
    assert configure(training={"epochs": 9}, pruner=pruner).rungs(128 * 60) == rungs


def test_no_rung_stands_before_50_steps(configure):
    config = configure(training={"epochs": 9}, pruner={"first_rung": 0})

    assert config.rungs(128 * 10) == (5, 9)


def test_rungs_are_not_set_beside_the_pruner(configure):
    with pytest.raises(ValueError, match=r"rungs follow from \[pruner\]"):
        configure(training={"rungs": [1, 3]})


def test_budget_has_only_the_limits_that_are_set(configure):
    config = configure(budget={"macs": 5})

    assert config.budget.limits() == {"params": 20_000, "macs": 5}


def test_every_topology_is_allowed_unless_told_otherwise(configure):
    assert configure().space.topologies == tuple(TOPOLOGIES)


def test_samplers_of_a_study_file_are_those_registered():
    field = type(StudyConfig.model_validate({"data": {"name": "digits"}}).search)
    choices = get_args(field.model_fields["sampler"].annotation)

    assert set(choices) == {"guided", *SAMPLERS}


def test_study_of_before_keeps_its_digest():
    config = load_config(STUDIES / "cifar10-arm.toml")
    rows = read_csv(STUDIES / "cifar10-arm" / "records.csv")

    assert config.digest().startswith("bc1d8ddbeb45")
    assert {row.config_digest for row in rows} == {config.digest()}


@pytest.mark.parametrize(
    "section",
    [
        "[space]\ndropped = true",
        '[preregistration]\ncovariates = ["activations"]',
        "[preregistration]\nthreshold = 0.5",
    ],
)
def test_younger_key_changes_the_digest_where_it_is_not_at_its_default(
    section, tmp_path
):
    before, after = parsed(DIGITS, tmp_path), parsed(f"{DIGITS}{section}\n", tmp_path)

    assert before.digest() != after.digest()


def plan_of(folder: Path, text: str) -> Preregistration:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return load_plan(path)


def test_plan_of_a_table_is_read_from_a_file_of_its_own(tmp_path):
    found = plan_of(
        tmp_path,
        '[preregistration]\nresponse = "train_loss"\nnominal = "weighted_layers"\n'
        'baselines = ["params"]\ncovariates = ["recipe"]\nsmallest_effect = 0.1\n',
    )

    assert found == Preregistration(
        "train_loss",
        "weighted_layers",
        ("params",),
        smallest_effect=0.1,
        covariates=("recipe",),
    )


def test_plan_of_a_study_is_that_of_its_configuration(tmp_path):
    text = f'{DIGITS}[preregistration]\nresponse = "rank"\nthreshold = 0.5\n'

    assert plan_of(tmp_path, text) == parsed(text, tmp_path).preregistration


def test_plan_of_a_study_file_without_the_section_is_the_default(tmp_path):
    assert plan_of(tmp_path, DIGITS) == Preregistration()


BAD_PLANS = {
    "no section": ('[plan]\nname = "digits"\n', "must have a section [preregistr"),
    "no table": ("preregistration = 3\n", "preregistration: |got 3"),
    "key": ("[preregistration]\nsmalest_effect = 0.1\n", "'smallest_effect'?"),
    "value": ("[preregistration]\nsmallest_effect = 2\n", "in (0, 1), but got 2"),
    "nominal": ('[preregistration]\nnominal = "deep"\n', "'nominal_depth'|'deep'"),
    "no TOML": ("[preregistration\n", "is not TOML"),
}


@pytest.mark.parametrize("case", BAD_PLANS)
def test_bad_plan_gives_one_line_with_its_place(case, tmp_path):
    text, parts = BAD_PLANS[case]

    with pytest.raises(ValueError, match=r"plan\.toml") as caught:
        plan_of(tmp_path, text)

    told = str(caught.value)
    assert "\n" not in told
    assert all(part in told for part in parts.split("|"))


def test_missing_plan_names_its_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        load_plan(tmp_path / "nowhere.toml")


def test_response_that_no_study_records_is_refused_with_those_there_are(tmp_path):
    told = refusal(tmp_path, f'{DIGITS}[preregistration]\nresponse = "train_loss"\n')

    assert "Unknown response of a study 'train_loss'; choose from: accuracy" in told


def test_covariate_that_no_study_measures_is_refused(tmp_path):
    told = refusal(tmp_path, f'{DIGITS}[preregistration]\ncovariates = ["recipe"]\n')

    assert "Unknown measure 'recipe'" in told
