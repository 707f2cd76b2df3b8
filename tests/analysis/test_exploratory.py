"""Exploratory results: on which columns, and under which names."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from nasdepth.analysis.exploratory import alone, exploratory, specifications
from nasdepth.claims.claim import Options
from nasdepth.claims.scope import samples_of
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.units import Sample

Source = Callable[..., Evidence]
OPTIONS = Options(draws=99)


def extended(evidence: Evidence, **columns: Callable[[int, float], float]) -> Sample:
    """The sample with further measures of row number and effective depth."""
    rows = tuple(
        replace(
            row,
            measures={
                **row.measures,
                **{
                    name: value(i, row.measures["effective_depth"] or 0.0)
                    for name, value in columns.items()
                },
            },
        )
        for i, row in enumerate(evidence.observations)
    )
    return samples_of(replace(evidence, observations=rows)).digests


def test_each_measure_is_correlated_on_its_own_scale(source: Source) -> None:
    sample = extended(source(20))

    found = {each.measure: each for each in alone(sample, Preregistration())}

    response = sample.response("log_error")
    for name, values in {
        "params": sample.measure("params", "log"),
        "effective_depth": sample.measure("effective_depth"),
    }.items():
        expected = np.corrcoef(response, values)[0, 1]
        assert found[name].result.pearson == pytest.approx(expected)
    assert found["params"].label == "log params"


def test_known_measures_come_before_foreign_ones(source: Source) -> None:
    sample = extended(source(20), zeal=lambda i, _: i, ardour=lambda i, _: -i)

    names = [each.measure for each in alone(sample, Preregistration())]

    assert names[-2:] == ["ardour", "zeal"]
    assert names[:2] == ["params", "macs"]


def test_constant_measure_alone_is_said(source: Source) -> None:
    sample = extended(source(20), nn_mass=lambda *_: 0.0)

    (found,) = (
        each for each in alone(sample, Preregistration()) if each.measure == "nn_mass"
    )

    assert found.result.pearson is None
    assert found.result.problem == "it is constant"


def test_other_conventions_are_no_measures_of_their_own(source: Source) -> None:
    sample = extended(source(20), **{"effective_depth (pooling)": lambda i, d: d + i})

    names = [each.measure for each in alone(sample, Preregistration())]

    assert "effective_depth (pooling)" not in names


def test_specifications_are_definitions_by_scales(source: Source) -> None:
    sample = extended(
        source(20),
        merge_depth=lambda i, d: d + i % 3,
        **{"effective_depth (pooling)": lambda i, d: d - i % 5},
    )

    found = specifications(sample, Preregistration())

    assert {(each.convention, each.outcome) for each in found} == {
        (convention, outcome)
        for convention in (
            "effective depth",
            "merge depth",
            "effective depth (pooling)",
        )
        for outcome in ("minus log error", "accuracy", "the rank of accuracy")
    }


def test_definition_that_differs_by_a_constant_is_no_further_specification(
    source: Source,
) -> None:
    sample = extended(source(20), midrange_depth=lambda _, depth: depth + 1)

    assert len(specifications(sample, Preregistration())) == 3


def test_scales_of_another_response_are_itself_and_its_own_rank(
    source: Source,
) -> None:
    evidence = source(20, plan=Preregistration(response="train_loss"))
    rows = tuple(
        replace(row, outcomes={"train_loss": (1.0 + i % 7,)})
        for i, row in enumerate(evidence.observations)
    )
    sample = samples_of(replace(evidence, observations=rows)).digests

    first, second = specifications(sample, evidence.plan)

    assert first.outcome == "minus log training loss"
    assert second.outcome == "the rank of minus log training loss"
    # the least loss has the greatest rank
    assert int(np.argmax(second.response)) % 7 == 0


def test_gain_in_r2_is_that_of_the_regressions(source: Source) -> None:
    sample = extended(source(40, slope=0.03))

    found = exploratory(sample, Preregistration(), OPTIONS)

    response = sample.response("log_error")
    size = [sample.measure(name, "log") for name in ("params", "macs")]
    effective = sample.measure("effective_depth")
    fits = [
        sm.OLS(response, sm.add_constant(np.column_stack(columns))).fit().rsquared
        for columns in (size, [*size, effective])
    ]
    (added,) = (e for e in found.added if e.depth == "effective_depth" and not e.given)
    assert added.result.value == pytest.approx(fits[1] - fits[0])
    assert [(each.depth, each.given) for each in found.added] == [
        ("nominal_depth", ()),
        ("weighted_layers", ()),
        ("effective_depth", ()),
        ("effective_depth", ("nominal_depth",)),
        ("effective_depth", ("weighted_layers",)),
    ]


def test_plan_without_baselines_is_explored(source: Source) -> None:
    plan = Preregistration(baselines=())
    sample = samples_of(source(30, plan=plan)).digests

    found = exploratory(sample, plan, OPTIONS)

    assert len(found.added) == 5
    assert found.curve.points
