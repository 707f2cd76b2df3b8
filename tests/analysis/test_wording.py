"""What is said of a result: nothing that was not found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from nasdepth.analysis.document import Section
from nasdepth.analysis.exploratory import alone, exploratory
from nasdepth.analysis.wording import (
    alone_section,
    findings_section,
    headline_section,
    number,
    p_text,
    replicates_section,
    scope_section,
)
from nasdepth.analysis.wording_exploratory import curve_table, exploratory_section
from nasdepth.claims.claim import Options, bracketed
from nasdepth.claims.finding import Finding, Verdict
from nasdepth.claims.headline import headline
from nasdepth.claims.scope import Scope, samples_of, scope_of
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.statistics.multiverse import Curve, Point

Source = Callable[..., Evidence]
OPTIONS = Options(draws=99)


def scope_of_source(evidence: Evidence) -> Scope:
    return scope_of(evidence, samples_of(evidence))


def said(scope: Scope, registered: str = "fixed in a file") -> dict[str, str]:
    return dict(scope_section(scope, Preregistration(), registered).pairs)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0004, "<.001"), (0.001, ".001"), (0.05, ".050"), (1.0, "1.000")],
)
def test_p_value_has_three_digits(value: float | None, text: str) -> None:
    assert p_text(value) == text


def test_nothing_is_a_dash() -> None:
    assert (number(None), bracketed(None)) == ("–", "–")
    assert (number(0.5), bracketed((-0.5, 1))) == ("+0.500", "[-0.500, +1.000]")


def test_registered_plan_is_told_with_its_hash(source: Source) -> None:
    found = said(scope_of_source(source(20)))

    digest = Preregistration().digest()[:12]
    assert found["plan"] == f"fixed in a file, sha256 {digest}"


def test_plan_that_was_not_fixed_beforehand_is_called_exploratory(
    source: Source,
) -> None:
    found = said(scope_of_source(source(20)), registered="")

    assert found["plan"].endswith("everything below is exploratory")


def test_rows_left_out_are_listed_with_their_reasons(source: Source) -> None:
    scope = replace(
        scope_of_source(source(20)), left_out=(("search arm", 1200), ("failed", 1))
    )

    assert said(scope)["left out"] == "1,200 search arm, 1 failed"
    assert said(replace(scope, left_out=()))["left out"] == "none"


def test_depths_are_told_with_their_correlation_and_inflation(source: Source) -> None:
    scope = scope_of_source(source(20))
    first = replace(scope.readings[0], r=0.5, r_within=-0.25, unexplained=0.125)

    found = said(replace(scope, readings=(first, scope.readings[1])))

    assert found["r, nominal depth"] == (
        "+0.500 with effective depth (-0.250 within families); 12.5% left given the"
        " rest (inflation 8.0)"
    )


@pytest.mark.parametrize(
    ("r", "unexplained", "text"),
    [
        (None, None, "defined in too few architectures"),
        (None, 0.0, "it or effective depth is constant"),
        (1.0, 0.0, "+1.000 with effective depth; given the rest nothing of it is left"),
    ],
)
def test_depths_without_a_correlation_say_why(
    source: Source, r: float | None, unexplained: float | None, text: str
) -> None:
    scope = scope_of_source(source(20))
    first = replace(scope.readings[0], r=r, unexplained=unexplained)

    found = said(replace(scope, readings=(first, scope.readings[1])))

    assert found["r, nominal depth"].startswith(text)


@pytest.mark.parametrize(
    ("reliability", "replicated", "text"),
    [
        (0.875, 3, "0.88 of the response's variance"),
        (None, 0, "unknown: one training an architecture"),
        (None, 3, "unknown: the response does not vary"),
    ],
)
def test_reliability_is_told_or_why_it_is_unknown(
    source: Source, reliability: float | None, replicated: int, text: str
) -> None:
    scope = scope_of_source(source(20))

    found = said(replace(scope, reliability=reliability, replicated=replicated))

    assert found["reliability"] == text


def test_mean_and_spread_are_told_where_architectures_have_several_trainings(
    source: Source,
) -> None:
    scope = scope_of_source(source(20))
    several = replace(scope, outcome_mean=0.875, spread=0.004)

    found = said(several)

    assert found["mean"] == "87.50%"
    assert found["standard deviation"].startswith("0.40% over the trainings of one")
    assert "mean" not in said(scope)


def test_diverged_trainings_stand_beside_the_others(source: Source) -> None:
    scope = replace(scope_of_source(source(20)), diverged=2)

    assert said(scope)["architectures"].endswith("20 trainings, 2 more diverged")


def test_replicates_are_a_section_of_their_own_in_a_summary(source: Source) -> None:
    scope = replace(scope_of_source(source(20)), outcome_mean=3.0, spread=0.5)
    scope = replace(scope, reliability=0.875, replicated=20)

    found = replicates_section(scope, Preregistration("epochs_to_threshold"))

    assert found is not None
    assert found.title == "Epochs to threshold over several trainings"
    assert found.pairs == (
        ("mean", "3"),
        (
            "standard deviation",
            "0.5 over the trainings of one architecture (pooled)",
        ),
        ("reliability", "0.88 of the response's variance"),
    )


def test_outcome_is_told_in_its_own_unit(source: Source) -> None:
    scope = replace(scope_of_source(source(20)), outcome_range=(0.5, 0.925))

    accuracy = dict(scope_section(scope, Preregistration(), "").pairs)
    epochs = dict(
        scope_section(scope, Preregistration("epochs_to_threshold"), "").pairs
    )

    assert accuracy["accuracy"] == "50.00% to 92.50%"
    assert epochs["epochs to threshold"] == "0.5 to 0.925"


def finding(verdict: Verdict = "supported", **more: object) -> Finding:
    made = Finding("H1", "a table", "Words.", "needs", verdict=verdict, reason="So.")
    return replace(made, **more)  # type: ignore[arg-type]


def test_verdict_is_upper_case_with_its_reason() -> None:
    found = dict(findings_section([finding()]).pairs)

    assert found["verdict"] == "SUPPORTED: So."
    assert found["H1"] == "Words."


def test_exploratory_verdict_is_marked() -> None:
    found = dict(findings_section([finding(exploratory=True)]).pairs)

    assert found["verdict"] == "SUPPORTED (exploratory): So."


def test_missing_data_are_told_with_what_the_claim_needs() -> None:
    found = dict(findings_section([finding("undecidable", lacks="seeds")]).pairs)

    assert found["needs"] == "needs. Missing: seeds"


@pytest.mark.parametrize(
    ("p", "holm", "text"), [(0.01, 0.01, ".010"), (0.01, 0.03, ".010, Holm .030")]
)
def test_holm_is_told_where_there_were_several_tests(
    p: float, holm: float, text: str
) -> None:
    found = dict(findings_section([finding(p_value=p, holm=holm)]).pairs)

    assert found["p (no effect)"] == text


def test_quote_that_repeats_the_reason_is_not_told_twice() -> None:
    found = [name for name, _ in findings_section([finding(quote="So.")]).pairs]

    assert "to quote" not in found


def cells(section: Section, table: int) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in section.tables[table].rows}


def test_headline_shows_all_four_fits_the_other_reading_as_exploratory(
    source: Source,
) -> None:
    evidence = source(30, families=3)
    found = headline(samples_of(evidence).digests, evidence.plan, OPTIONS, unit="nets")

    section = headline_section(found, evidence.plan)

    assert section.title == "Headline and confirmations, n = 30 nets"
    fits = cells(section, 0)
    assert [name.endswith("(exploratory)") for name in fits] == [False] * 2 + [True] * 2
    first = fits["effective depth given nominal depth, log params, log MACs"]
    assert first[0] == number(found.primary.value)
    assert first[1] == bracketed(found.primary.interval)
    assert [table.caption[:5].strip() for table in section.tables] == [
        "(i) S",
        "(ii)",
        "(iii)",
        "(iv)",
    ]


def test_reversal_between_families_opens_the_headline(source: Source) -> None:
    evidence = source(30, families=3)
    found = headline(samples_of(evidence).digests, evidence.plan, OPTIONS, unit="nets")
    assert found.families is not None
    families = replace(
        found.families, reversal=True, headline="Simpson's reversal: so."
    )

    section = headline_section(replace(found, families=families), evidence.plan)

    assert section.paragraphs == ("Simpson's reversal: so.",)


def test_few_families_are_told_to_be_too_few_for_a_mixed_model(source: Source) -> None:
    evidence = source(30, families=3)
    found = headline(samples_of(evidence).digests, evidence.plan, OPTIONS, unit="nets")

    note = headline_section(found, evidence.plan).tables[3].note

    assert "Between fewer than 10 families: undecided by design." in note
    assert note.endswith("Mixed model: needs 20 families, got 3.")


def test_aicc_is_told_above_the_least(source: Source) -> None:
    evidence = source(30)
    found = headline(samples_of(evidence).digests, evidence.plan, OPTIONS, unit="nets")

    column = [
        row[-1] for row in cells(headline_section(found, evidence.plan), 2).values()
    ]

    assert min(map(float, column)) == 0
    assert len(column) == 5


def test_statistic_without_a_value_says_why_in_its_row(source: Source) -> None:
    evidence = source(20)
    rows = tuple(
        replace(row, measures={**row.measures, "weighted_layers": 5.0})
        for row in evidence.observations
    )
    sample = samples_of(replace(evidence, observations=rows)).digests
    found = headline(sample, evidence.plan, OPTIONS, unit="nets")

    section = headline_section(found, evidence.plan)

    assert any(name.endswith(": it is constant") for name in cells(section, 0))
    assert any(name.endswith(": the second is constant") for name in cells(section, 1))
    text = alone_section(alone(sample, evidence.plan), evidence.plan)
    assert cells(text, 0)["weighted layers: it is constant"] == (
        "20",
        "–",
        "–",
        "–",
        "–",
    )


def test_exploratory_part_says_that_no_verdict_rests_on_it(source: Source) -> None:
    evidence = source(40)
    found = exploratory(samples_of(evidence).digests, evidence.plan, OPTIONS)

    section = exploratory_section(found, evidence.plan)

    assert section.paragraphs == ("No verdict rests on what follows.",)
    assert "descriptive" in section.tables[0].note
    assert section.tables[1].note.endswith(
        "; the first model has nominal depth, the second effective depth."
    )
    assert any("params" in name for name in cells(section, 2))


def test_long_specification_curve_shows_its_ends_and_says_so() -> None:
    points = tuple(
        Point(f"definition {i:02}", "accuracy", i / 100, (0.0, 1.0)) for i in range(40)
    )

    table = curve_table(Curve(60, 3, points))

    assert [row[1] for row in table.rows] == [
        f"{i / 100:+.3f}" for i in (*range(12), *range(28, 40))
    ]
    assert "16 in the middle are not shown" in table.note
