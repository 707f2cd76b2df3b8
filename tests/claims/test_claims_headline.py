"""Claim H1: when it has a verdict, which one, and in which words."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from nasdepth.claims import superiority as claims_headline
from nasdepth.claims.claim import CLAIMS, Options
from nasdepth.claims.finding import Finding
from nasdepth.claims.headline import Headline, headline
from nasdepth.claims.scope import Scope, samples_of, scope_of
from nasdepth.claims.superiority import (
    finding_of,
    undecided_by_design,
    words_of,
)
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.statistics.calibration import Offer
from nasdepth.statistics.grouped import Grouped, Slope
from nasdepth.statistics.linear import Interval
from nasdepth.statistics.regression import PartialCorrelation

Source = Callable[..., Evidence]
Parts = tuple[Evidence, Scope, Headline]
OPTIONS = Options(draws=199)
POSITIVE, NEGATIVE, WIDE = (0.1, 0.6), (-0.6, -0.1), (-0.3, 0.5)


def h1(evidence: Evidence) -> Finding:
    return CLAIMS["H1"].test(evidence, OPTIONS)


def measured(evidence: Evidence, change: Callable[[dict[str, float], int], None]):
    rows = []
    for index, row in enumerate(evidence.observations):
        measures = dict(row.measures)
        change(measures, index)
        rows.append(replace(row, measures=measures))
    return replace(evidence, observations=tuple(rows))


@pytest.fixture
def parts(source: Source) -> Parts:
    """Evidence of four families, what it can say and its headline."""
    evidence = source(40, families=4)
    samples = samples_of(evidence)
    scope = scope_of(evidence, samples)
    found = headline(samples.digests, evidence.plan, OPTIONS, unit="architectures")
    return evidence, scope, found


def partial(interval: Interval | None, p: float = 0.01) -> PartialCorrelation:
    if interval is None:
        return PartialCorrelation(40, 3, problem="it is constant")
    value = sum(interval) / 2
    return PartialCorrelation(40, 3, 0.5, value, interval, interval, p, 40)


def between(families: int, interval: Interval | None, p: float | None = 0.02) -> Slope:
    """A slope of twice its partial correlation."""
    if interval is None:
        return Slope(families, problem="fewer than 10")
    r = sum(interval) / 2
    low, high = interval
    return Slope(families, 2 * r, (2 * low, 2 * high), r, p_value=p)


def judged(
    parts: Parts,
    overall: Interval,
    within: Interval | None,
    *,
    families: int = 4,
    means: Interval | None = None,
    plan: Preregistration | None = None,
) -> Finding:
    """H1 where the intervals are as given."""
    evidence, scope, found = parts
    assert found.families is not None
    grouped: Grouped = replace(
        found.families,
        families=families,
        within=partial(within, 0.03),
        between=between(families, means),
    )
    fits = (replace(found.fits[0], result=partial(overall)), *found.fits[1:])
    evidence = replace(evidence, plan=plan or evidence.plan)
    return finding_of(evidence, scope, replace(found, fits=fits, families=grouped))


def test_strong_effect_is_supported(source: Source) -> None:
    found = h1(source(60, slope=0.05))

    assert found.verdict == "supported"
    assert found.interval is not None
    assert found.interval[0] > 0
    assert found.quote.endswith(": supported.")


def test_opposite_effect_is_contradicted(source: Source) -> None:
    found = h1(source(60, slope=-0.05))

    assert found.verdict == "contradicted"
    assert found.value is not None
    assert found.value < 0


def test_no_effect_in_few_networks_is_undecided(source: Source) -> None:
    found = h1(source(40))

    assert found.verdict == "undecided"
    assert "the interval holds both 0 and the smallest effect" in found.reason


def test_stated_direction_turns_the_verdict(source: Source) -> None:
    plan = Preregistration(direction="negative")

    supported = h1(source(60, slope=-0.05, plan=plan))
    contradicted = h1(source(60, slope=0.05, plan=plan))

    assert (supported.verdict, contradicted.verdict) == ("supported", "contradicted")
    assert "excludes 0 and reaches the smallest effect of interest, -0.20" in (
        supported.reason
    )
    assert "lies above the smallest effect of interest, -0.20" in contradicted.reason
    assert supported.words.startswith("smaller effective depth goes with")


def test_effect_above_zero_but_below_interest_is_contradicted(source: Source) -> None:
    evidence = source(60, slope=0.03)
    interval = h1(evidence).interval
    assert interval is not None
    plan = Preregistration(smallest_effect=(1 + interval[1]) / 2)

    found = h1(replace(evidence, plan=plan))

    assert interval[0] > 0
    assert found.verdict == "contradicted"


@pytest.mark.parametrize("n", [0, 1, 7])
def test_fewer_than_eight_architectures_are_undecidable_with_the_n_that_would_do(
    source: Source, n: int
) -> None:
    found = h1(source(n))

    assert found.verdict == "undecidable"
    assert found.reason.startswith(f"{n} architectures, at least 8 are needed")
    assert "197 could detect a partial correlation of 0.20" in found.reason
    assert (found.value, found.interval, found.p_value) == (None, None, None)


def test_eight_architectures_have_a_verdict(source: Source) -> None:
    found = h1(source(8))

    assert found.verdict in ("supported", "contradicted", "undecided")
    assert found.n == 8


def test_eight_rows_of_seven_architectures_are_too_few(source: Source) -> None:
    evidence = source(7)
    again = replace(evidence.observations[0], place="row 7")

    found = h1(replace(evidence, observations=(*evidence.observations, again)))

    assert found.verdict == "undecidable"
    assert found.reason.startswith("7 architectures")


def test_method_that_does_not_hold_its_level_at_n_gives_no_verdict(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(method: str, n: int) -> Offer:
        why = f"{method} at {n} rows: size .090"
        return Offer(
            method,
            n,
            offered=False,
            simulated=20,
            size=0.09,
            coverage=0.91,
            conservative=False,
            holds=(),
            reason=why,
        )

    monkeypatch.setattr(claims_headline, "offered", refused)

    found = h1(source(20))

    assert found.verdict == "undecidable"
    assert found.reason.startswith("verdict at 20 rows: size .090; 197")


def test_equal_depths_are_undecidable_and_named(source: Source) -> None:
    def equal(measures: dict[str, float], _: int) -> None:
        measures["effective_depth"] = measures["nominal_depth"]

    found = h1(measured(source(20), equal))

    assert found.verdict == "undecidable"
    assert "it is a linear function of the covariates" in found.reason


def test_constant_effective_depth_is_undecidable_and_named(source: Source) -> None:
    def constant(measures: dict[str, float], _: int) -> None:
        measures["effective_depth"] = 7.0

    found = h1(measured(source(20), constant))

    assert found.verdict == "undecidable"
    assert "is not estimable: it is constant" in found.reason


def test_constant_response_is_undecidable_and_named(source: Source) -> None:
    evidence = source(20)
    rows = [
        replace(row, outcomes={"accuracy": (0.5,)}) for row in evidence.observations
    ]

    found = h1(replace(evidence, observations=tuple(rows)))

    assert found.verdict == "undecidable"
    assert "the response is constant" in found.reason


def nearly_equal(measures: dict[str, float], index: int) -> None:
    measures["effective_depth"] = measures["nominal_depth"] / 2 + index % 5


def test_few_networks_with_nearly_equal_depths_are_undecidable(source: Source) -> None:
    found = h1(measured(source(60), nearly_equal))

    assert found.verdict == "undecidable"
    assert "60 architectures cannot separate them, 197 could" in found.reason


def test_many_networks_with_nearly_equal_depths_get_a_verdict(source: Source) -> None:
    found = h1(measured(source(200), nearly_equal))

    assert found.verdict != "undecidable"


@pytest.mark.parametrize(
    ("overall", "within", "verdict"),
    [
        (POSITIVE, POSITIVE, "supported"),
        (NEGATIVE, NEGATIVE, "contradicted"),
        (WIDE, WIDE, "undecided"),
        (POSITIVE, WIDE, "undecided"),
        (POSITIVE, NEGATIVE, "undecided"),
        (NEGATIVE, POSITIVE, "undecided"),
        (WIDE, POSITIVE, "undecided"),
        (POSITIVE, None, "undecided"),
        (NEGATIVE, None, "undecided"),
    ],
)
def test_both_contrasts_have_to_agree_where_there_are_families(
    parts: Parts, overall: Interval, within: Interval | None, verdict: str
) -> None:
    assert judged(parts, overall, within).verdict == verdict


def test_disagreement_within_families_is_told_with_its_interval(parts: Parts) -> None:
    found = judged(parts, POSITIVE, WIDE)

    assert found.reason.endswith(
        "Within families it is +0.100 [-0.300, +0.500], which does not agree."
    )
    assert found.quote.endswith(": undecided.")


def test_p_value_is_the_greater_of_both_contrasts(parts: Parts) -> None:
    found = judged(parts, POSITIVE, POSITIVE)

    assert found.p_value == 0.03


def test_few_families_without_a_contrast_inside_are_undecided_by_design(
    parts: Parts,
) -> None:
    found = judged(parts, POSITIVE, None, families=9)

    assert found.verdict == "undecided"
    assert found.reason.endswith(
        "Undecided by design: between 9 families nothing is decided, and within them:"
        " it is constant."
    )


@pytest.mark.parametrize(
    ("means", "verdict"),
    [(POSITIVE, "supported"), (WIDE, "undecided"), (None, "undecided")],
)
def test_means_of_ten_families_have_to_agree_where_there_is_no_contrast_inside(
    parts: Parts, means: Interval | None, verdict: str
) -> None:
    found = judged(parts, POSITIVE, None, families=10, means=means)

    assert found.verdict == verdict
    if means is POSITIVE:
        assert found.p_value == 0.02
        assert "Between the means of 10 families +0.350 [+0.100, +0.600]" in (
            found.reason
        )


def test_smallest_effect_is_compared_with_the_correlation_of_means_not_the_slope(
    parts: Parts,
) -> None:
    # the slope's interval, twice as wide, would reach the smallest effect
    found = judged(parts, (-0.5, 0.15), None, families=10, means=(-0.5, 0.15))

    assert found.verdict == "contradicted"


def test_contrast_inside_decides_even_where_means_disagree(parts: Parts) -> None:
    found = judged(parts, POSITIVE, POSITIVE, families=10, means=NEGATIVE)

    assert found.verdict == "supported"


def test_networks_of_one_family_need_no_contrast_inside(source: Source) -> None:
    evidence = source(20)
    sample = samples_of(evidence).digests
    found = headline(sample, evidence.plan, OPTIONS, unit="architectures")

    assert undecided_by_design(found) == ""
    assert undecided_by_design(None) == ""


def test_depth_that_only_differs_between_few_families_decides_nothing(
    source: Source,
) -> None:
    def by_family(measures: dict[str, float], index: int) -> None:
        measures["effective_depth"] = float(index % 4)

    evidence = measured(source(60, families=4), by_family)
    rows = [
        replace(row, outcomes={"accuracy": (0.5 + 0.1 * (i % 4) + 0.001 * (i % 7),)})
        for i, row in enumerate(evidence.observations)
    ]

    found = h1(replace(evidence, observations=tuple(rows)))

    assert found.interval is not None
    assert found.interval[0] > 0
    assert found.verdict == "undecided"
    assert "Undecided by design: between 4 families" in found.reason


def test_quote_states_n_both_depths_and_the_verdict(source: Source) -> None:
    found = h1(source(60, slope=0.05))

    assert found.quote.startswith(
        "On an invented table (n = 60 architectures) the partial correlation of"
        " effective depth with minus log error, given nominal depth, log params, log"
        " MACs, is +"
    )
    assert "and that of nominal depth given effective depth" in found.quote


def test_quote_without_baselines_names_nothing_that_is_not_there(
    source: Source,
) -> None:
    found = h1(source(60, plan=Preregistration(baselines=())))

    assert "given nominal depth, is " in found.quote
    assert ", ," not in found.quote


def test_details_hold_the_mirror_and_the_other_reading(source: Source) -> None:
    found = h1(source(30))

    assert [name for name, _ in found.details] == [
        "nominal depth instead",
        "given weighted layers",
        "weighted layers instead",
    ]


def test_words_are_those_of_the_plan() -> None:
    plan = Preregistration("epochs_to_threshold", "weighted_layers", ("params",))

    assert words_of(plan) == (
        "larger effective depth goes with fewer epochs to the threshold among networks"
        " equal in weighted layers, log params."
    )
