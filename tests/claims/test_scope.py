"""What the data can say: every row is counted, and every name is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.outliers_influence import variance_inflation_factor

from nasdepth.claims.scope import Scope, samples_of, scope_of
from nasdepth.evidence.observations import Evidence, Observation
from nasdepth.evidence.preregistration import Preregistration

Source = Callable[..., Evidence]


def scoped(evidence: Evidence) -> Scope:
    return scope_of(evidence, samples_of(evidence))


def changed(evidence: Evidence, index: int, **changes: object) -> Evidence:
    rows = list(evidence.observations)
    rows[index] = replace(rows[index], **changes)  # type: ignore[arg-type]
    return replace(evidence, observations=tuple(rows))


def measured(evidence: Evidence, index: int, **values: float | None) -> Evidence:
    measures = {**evidence.observations[index].measures, **values}
    return changed(evidence, index, measures=measures)


def with_factor(evidence: Evidence, levels: str) -> Evidence:
    rows = tuple(
        replace(row, factors={"recipe": level} if level != "-" else {})
        for row, level in zip(evidence.observations, levels, strict=True)
    )
    plan = Preregistration(covariates=("recipe",))
    return replace(evidence, observations=rows, plan=plan)


def test_every_row_is_in_the_sample_or_left_out_with_a_reason(source: Source) -> None:
    found = source(20)
    found = changed(found, 0, arm="search")
    found = changed(found, 1, arm="search", state="pruned")
    found = changed(found, 2, state="pruned")
    found = changed(found, 3, state="pruned", reason="diverged: loss is inf")
    found = changed(found, 4, state="failed", outcomes={})
    found = changed(found, 5, outcomes={})
    found = measured(found, 6, effective_depth=None)
    found = measured(found, 7, params=0.0)
    found = measured(found, 8, macs=-3.0)
    found = changed(found, 9, digest="digest7", measures=found.observations[7].measures)
    found = replace(found, left_out=(("no number (row 21)", 1),))

    scope = scoped(found)

    assert dict(scope.left_out) == {
        "search arm": 2,
        "pruned": 1,
        "diverged": 1,
        "failed": 1,
        "no accuracy": 1,
        "without effective depth": 1,
        "without log params": 2,
        "without log MACs": 1,
        "no number (row 21)": 1,
    }
    assert (scope.rows, scope.used, scope.n) == (21, 10, 10)
    assert scope.rows == scope.used + sum(number for _, number in scope.left_out)
    assert dict(scope.arms) == {"unselected": 18, "search": 2}


def test_searched_rows_are_in_the_sample_where_they_are_let_in(source: Source) -> None:
    found = changed(source(9), 0, arm="search")

    assert len(samples_of(found).digests) == 8
    assert len(samples_of(found, allow_selected=True).digests) == 9


def test_rows_of_one_digest_are_one_architecture(source: Source) -> None:
    found = source(10)
    again = [replace(row, place=f"{row.place}, again") for row in found.observations]
    found = replace(found, observations=(*found.observations, *again[:4]))

    scope = scoped(found)

    assert (scope.n, scope.used, scope.replicated, scope.trainings) == (10, 14, 4, 14)


def test_diverged_rows_are_outcomes_where_divergence_is_the_response(
    source: Source,
) -> None:
    plan = Preregistration(response="diverged")
    found = source(10, plan=plan)
    for i in range(10):
        found = changed(found, i, outcomes={"diverged": (0.0,)})
    found = changed(
        found, 3, state="pruned", reason="diverged: inf", outcomes={"diverged": (1.0,)}
    )

    sample = samples_of(found).digests

    assert len(sample) == 10
    assert sample.response("diverged").tolist() == [0, 0, 0, -1, *[0] * 6]


def test_response_of_no_value_on_its_scale_is_left_out_and_counted(
    source: Source,
) -> None:
    found = source(10, plan=Preregistration(response="train_loss"))
    for i in range(10):
        found = changed(found, i, outcomes={"train_loss": (float(i),)})

    scope = scoped(found)

    assert scope.left_out == (("without train_loss", 1),)
    assert scope.outcome_range == (1.0, 9.0)


def test_row_without_a_level_of_a_factor_is_left_out_and_not_taken_for_the_first(
    source: Source,
) -> None:
    scope = scoped(with_factor(source(10), "aabbaabb--"))

    assert scope.n == 8
    assert scope.left_out == (("without recipe", 2),)


def test_variance_inflation_is_that_of_the_regression(source: Source) -> None:
    found = source(40)

    scope = scoped(found)

    sample = samples_of(found).digests
    columns = [
        np.ones(40),
        sample.measure("effective_depth"),
        sample.measure("nominal_depth"),
        sample.measure("params", "log"),
        sample.measure("macs", "log"),
    ]
    expected = variance_inflation_factor(np.column_stack(columns), 1)
    assert scope.primary.inflation == pytest.approx(expected)
    assert scope.primary.r == pytest.approx(np.corrcoef(columns[1], columns[2])[0, 1])
    assert [each.nominal for each in scope.readings] == [
        "nominal_depth",
        "weighted_layers",
    ]


def test_correlation_within_families_is_that_of_deviations_from_their_means(
    source: Source,
) -> None:
    found = source(30, families=3)

    within = scoped(found).primary.r_within

    sample = samples_of(found).digests
    columns = np.array(
        [sample.measure(name) for name in ("nominal_depth", "effective_depth")]
    )
    for start in range(3):
        columns[:, start::3] -= columns[:, start::3].mean(axis=1, keepdims=True)
    assert within == pytest.approx(np.corrcoef(columns)[0, 1])


def test_one_family_has_no_correlation_within_families(source: Source) -> None:
    assert scoped(source(12)).primary.r_within is None


def test_depth_that_is_constant_within_families_has_no_correlation_there(
    source: Source,
) -> None:
    found = source(12, families=3)
    for i in range(12):
        found = measured(found, i, effective_depth=float(i % 3))

    assert scoped(found).primary.r_within is None


def test_needed_and_detectable_count_the_columns_held_fixed(source: Source) -> None:
    plain = scoped(source(20))
    factor = scoped(with_factor(source(20), "abcd" * 5))

    assert (plain.held, factor.held) == (2, 5)
    assert factor.needed == plain.needed + 3
    assert factor.detectable > plain.detectable


def test_constant_covariate_is_not_counted(source: Source) -> None:
    assert scoped(with_factor(source(20), "a" * 20)).held == 2


def test_replicates_of_a_row_are_trainings_and_the_diverged_are_counted(
    source: Source,
) -> None:
    found = changed(
        source(10), 0, outcomes={"accuracy": (0.4, 0.6), "diverged": (0.0, 1.0, 0.0)}
    )

    scope = scoped(found)

    assert (scope.n, scope.replicated) == (10, 1)
    assert (scope.trainings, scope.diverged) == (11, 1)
    assert scope.spread == pytest.approx(0.02**0.5)


def test_diverged_replicates_are_not_missing_where_divergence_is_the_response(
    source: Source,
) -> None:
    found = source(10, plan=Preregistration(response="diverged"))
    for i in range(10):
        values = {"accuracy": (0.5,), "diverged": (0.0, float(i < 3))}
        found = changed(found, i, outcomes=values)

    scope = scoped(found)

    assert (scope.trainings, scope.diverged) == (20, 0)
    assert scope.outcome_mean == pytest.approx(0.15)


def test_nothing_recorded_has_a_scope() -> None:
    scope = scoped(Evidence("nothing", ()))

    assert (scope.rows, scope.n, scope.trainings) == (0, 0, 0)
    assert (scope.outcome_range, scope.reliability) == (None, None)
    assert (scope.outcome_mean, scope.spread, scope.diverged) == (None, None, 0)
    assert scope.detectable == 1
    assert scope.needed == 197


def test_second_reading_that_nobody_recorded_has_no_correlation(
    source: Source, row: Observation
) -> None:
    found = source(10)
    for i in range(10):
        found = measured(found, i, weighted_layers=None)

    first, second = scoped(found).readings

    assert first.r is not None
    assert (second.r, second.unexplained, second.inflation) == (None, None, None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"baselines": ("parms",)}, r"Unknown measure 'parms'; .* mean 'params'\?"),
        ({"nominal": "longest_path"}, r"Unknown measure 'longest_path'; choose from: "),
        ({"covariates": ("recpie",)}, r"Unknown covariate 'recpie'; .*'recipe'\?"),
        ({"response": "acuracy"}, r"Unknown response 'acuracy'; .*'accuracy'\?"),
        ({"response": "log_eror"}, r"Unknown response 'log_eror'; .*'log_error'\?"),
        ({"response": "train_loss"}, r"Unknown response 'train_loss'; choose from: "),
    ],
)
def test_name_that_is_in_no_row_is_refused_with_the_nearest(
    source: Source, change: dict[str, object], told: str
) -> None:
    found = with_factor(source(10), "ab" * 5)
    plan = Preregistration(**change)  # type: ignore[arg-type]  # one field each

    with pytest.raises(ValueError, match=f"^an invented table: {told}") as caught:
        samples_of(replace(found, plan=plan))

    assert "\n" not in str(caught.value)


def test_table_that_is_reported_by_row_has_both_samples(source: Source) -> None:
    found = source(10)
    again = replace(found.observations[0], place="row 0, again")
    found = replace(found, observations=(*found.observations, again), by_row=True)

    samples = samples_of(found)

    assert len(samples.digests) == 10
    assert samples.rows is not None
    assert len(samples.rows) == 11
    assert len(set(samples.rows.digests)) == 10


def test_other_tables_have_no_sample_by_row(source: Source) -> None:
    assert samples_of(source(10)).rows is None


def test_data_sets_are_named_once(source: Source) -> None:
    found = changed(source(10), 0, dataset="another")

    assert scoped(found).datasets == ("another", "invented")
