"""The headline is the regression it says, for both readings of nominal depth."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from nasdepth.claims.claim import Options
from nasdepth.claims.headline import Headline, headline
from nasdepth.claims.scope import samples_of
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.units import Sample

Source = Callable[..., Evidence]
OPTIONS = Options(draws=199)


def fitted(evidence: Evidence) -> tuple[Headline, Sample]:
    sample = samples_of(evidence).digests
    return headline(sample, evidence.plan, OPTIONS, unit="architectures"), sample


def partial_r(y: np.ndarray, x: np.ndarray, *given: np.ndarray) -> float:
    """By residuals of statsmodels' least squares."""
    design = sm.add_constant(np.column_stack(given))
    left = [sm.OLS(values, design).fit().resid for values in (y, x)]
    return float(np.corrcoef(*left)[0, 1])


def test_headline_is_the_partial_correlation_given_depth_and_logs_of_size(
    source: Source,
) -> None:
    found, sample = fitted(source(40, slope=0.03))

    y = sample.response("log_error")
    effective = sample.measure("effective_depth")
    nominal = sample.measure("nominal_depth")
    size = [sample.measure(name, "log") for name in ("params", "macs")]
    assert found.primary.value == pytest.approx(
        partial_r(y, effective, nominal, *size), abs=1e-9
    )
    assert found.mirror.value == pytest.approx(
        partial_r(y, nominal, effective, *size), abs=1e-9
    )
    assert (found.primary.n, found.primary.covariates) == (40, 3)


@pytest.mark.parametrize("nominal", ["nominal_depth", "weighted_layers"])
def test_both_readings_have_a_headline_and_a_mirror(
    source: Source, nominal: str
) -> None:
    plan = Preregistration(nominal=nominal)  # type: ignore[arg-type]

    found, _ = fitted(source(30, plan=plan))

    assert [(fit.role, fit.preregistered) for fit in found.fits] == [
        ("headline", True),
        ("mirror", True),
        ("headline", False),
        ("mirror", False),
    ]
    assert found.fits[1].predictor == nominal
    assert {fit.predictor for fit in found.fits[1::2]} == {
        "nominal_depth",
        "weighted_layers",
    }


def test_baseline_that_is_a_reading_is_not_held_fixed_against_itself(
    source: Source,
) -> None:
    plan = Preregistration(baselines=("params", "weighted_layers"))

    found, _ = fitted(source(30, plan=plan))

    assert found.fits[0].covariates == ("nominal_depth", "params", "weighted_layers")
    assert found.fits[2].covariates == ("weighted_layers", "params")


def test_missing_other_reading_is_said_and_costs_no_row_of_the_first(
    source: Source,
) -> None:
    evidence = source(20)
    rows = tuple(
        replace(row, measures={k: v for k, v in row.measures.items() if k[0] != "w"})
        for row in evidence.observations
    )

    found, _ = fitted(replace(evidence, observations=rows))

    assert found.primary.n == 20
    assert found.fits[2].result.problem == (
        "defined in 0 architectures, at least 8 are needed"
    )
    assert [model.name for model in found.models] == [
        "size",
        "size + nominal_depth",
        "size + effective_depth",
        "size + nominal_depth + effective_depth",
    ]


def recipes(evidence: Evidence, covariates: tuple[str, ...]) -> Evidence:
    """Every network trained by recipe a, and every second one by b too."""
    rows = [
        replace(
            row,
            place=f"{row.place} {recipe}",
            factors={"recipe": recipe},
            outcomes={"accuracy": (row.outcomes["accuracy"][0] - 0.01 * (k % 5),)},
        )
        for k, row in enumerate(evidence.observations)
        for recipe in ("a", "b")[: 1 + k % 2]
    ]
    plan = Preregistration(covariates=covariates)
    return replace(evidence, observations=tuple(rows), plan=plan)


def test_factor_is_held_fixed_as_the_share_of_a_digests_rows(source: Source) -> None:
    found, sample = fitted(recipes(source(40), ("recipe",)))

    share = np.array([k % 2 / 2 for k in range(40)])
    held = [sample.measure("nominal_depth"), share]
    held += [sample.measure(name, "log") for name in ("params", "macs")]
    expected = partial_r(
        sample.response("log_error"), sample.measure("effective_depth"), *held
    )
    assert len(sample) == 40
    assert found.primary.value == pytest.approx(expected, abs=1e-9)
    assert found.primary.covariates == 4


def test_effective_depth_is_compared_with_both_readings_and_each_baseline(
    source: Source,
) -> None:
    found, _ = fitted(source(20))

    assert [each.rival for each in found.contrasts] == [
        "nominal_depth",
        "weighted_layers",
        "params",
        "macs",
    ]


def test_plan_without_baselines_has_a_headline(source: Source) -> None:
    found, sample = fitted(source(20, plan=Preregistration(baselines=())))

    assert found.primary.covariates == 1
    assert found.primary.value == pytest.approx(
        partial_r(
            sample.response("log_error"),
            sample.measure("effective_depth"),
            sample.measure("nominal_depth"),
        ),
        abs=1e-9,
    )


@pytest.mark.parametrize(
    ("families", "folds"), [(1, "digest"), (9, "digest"), (10, "family")]
)
def test_folds_leave_families_whole_where_there_are_ten(
    source: Source, families: int, folds: str
) -> None:
    found, _ = fitted(source(40, families=families))

    assert found.folds == folds
    assert (found.families is None) == (families == 1)


def test_rows_of_one_digest_are_one_cluster_where_a_table_is_read_by_row(
    source: Source,
) -> None:
    evidence = recipes(source(30), ())
    rows = samples_of(replace(evidence, by_row=True)).rows
    assert rows is not None

    found = headline(rows, evidence.plan, OPTIONS, unit="rows")

    assert (found.primary.n, found.primary.clusters) == (45, 30)


def test_same_seed_gives_the_same_headline(source: Source) -> None:
    evidence = source(20, families=3)

    assert fitted(evidence)[0] == fitted(evidence)[0]
