"""Preregistrations: what they refuse, and what identifies them."""

from dataclasses import replace

import pytest

from nasdepth.evidence.preregistration import Preregistration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"nominal": "depth"},
            "nominal must be one of nominal_depth, weighted_layers, longest_path, but"
            " got 'depth'",
        ),
        ({"direction": "up"}, "direction must be one of positive, negative, but"),
        ({"smallest_effect": 1.5}, r"smallest_effect must lie in \(0, 1\), .* 1.5"),
        ({"smallest_effect": 0.0}, r"smallest_effect must lie in \(0, 1\)"),
        ({"smallest_effect": float("nan")}, r"smallest_effect .* got nan"),
        ({"threshold": 1.01}, r"threshold must lie in \[0, 1\], but got 1.01"),
        ({"threshold": float("nan")}, r"threshold must lie in \[0, 1\]"),
        ({"baselines": ("params", "params")}, "must name each measure once"),
        ({"covariates": ("macs",)}, "must name each measure once"),
        ({"baselines": ("effective_depth",)}, "none of the compared depths"),
        ({"covariates": ("nominal_depth",)}, "none of the compared depths"),
    ],
)
def test_what_no_test_could_be_made_of_is_refused_in_one_line(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Preregistration(**change)  # type: ignore[arg-type]  # wrong on purpose

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("nominal", "readings"),
    [
        ("nominal_depth", ("nominal_depth", "weighted_layers")),
        ("weighted_layers", ("weighted_layers", "nominal_depth")),
        ("longest_path", ("longest_path", "weighted_layers")),
    ],
)
def test_both_readings_of_nominal_depth_are_there_the_preregistered_one_first(
    nominal: str, readings: tuple[str, str]
) -> None:
    plan = Preregistration(nominal=nominal)  # type: ignore[arg-type]  # one of three

    assert plan.readings == readings


def test_digest_of_the_default_plan_is_that_of_the_studies_registered_so_far() -> None:
    found = Preregistration().digest()

    assert found.startswith("7bdd568a6807")
    assert len(found) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"response": "accuracy"},
        {"nominal": "weighted_layers"},
        {"baselines": ("params",)},
        {"direction": "negative"},
        {"smallest_effect": 0.1},
        {"covariates": ("recipe",)},
        {"threshold": 0.5},
    ],
)
def test_every_change_of_a_plan_changes_its_digest(change: dict[str, object]) -> None:
    plan = Preregistration()

    assert replace(plan, **change).digest() != plan.digest()  # type: ignore[arg-type]


def test_lists_of_a_toml_file_make_the_plan_of_tuples() -> None:
    plan = Preregistration(baselines=["params", "macs"])  # type: ignore[arg-type]

    assert plan == Preregistration()
    assert plan.digest() == Preregistration().digest()
