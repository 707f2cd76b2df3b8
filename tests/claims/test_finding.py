"""Verdicts at their edges, and what correction for many tests does to them."""

import pytest

from nasdepth.claims.finding import (
    Finding,
    corrected,
    marked_exploratory,
    verdict_of,
)

TINY = 1e-9


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((TINY, 0.2), "supported"),
        ((0.3, 0.9), "supported"),
        ((0.0, 0.2), "undecided"),
        ((-TINY, 0.2), "undecided"),
        ((-0.5, 0.5), "undecided"),
        ((TINY, 0.2 - TINY), "contradicted"),
        ((-0.5, 0.2 - TINY), "contradicted"),
        ((-0.9, -0.3), "contradicted"),
    ],
)
def test_verdict_follows_the_ends_of_the_interval(
    interval: tuple[float, float], verdict: str
) -> None:
    low, high = interval

    assert verdict_of(interval, 0.2) == verdict
    assert verdict_of((-high, -low), 0.2, "negative") == verdict


def finding(p: float | None, verdict: str = "supported", **other: str) -> Finding:
    return Finding(
        "H1",
        "a table",
        "words",
        "needs",
        p_value=p,
        verdict=verdict,  # type: ignore[arg-type]  # one of four
        reason="it is so.",
        quote=other.get("quote", f"On a table it is +0.3: {verdict}."),
    )


def test_one_test_is_not_corrected() -> None:
    (found,) = corrected([finding(0.04)])

    assert (found.holm, found.verdict) == (0.04, "supported")


def test_holm_multiplies_the_least_by_the_number_of_tests_and_keeps_the_order() -> None:
    found = corrected([finding(0.03), finding(0.01), finding(0.02)])

    assert [each.holm for each in found] == pytest.approx([0.04, 0.03, 0.04])


def test_claim_that_is_supported_alone_but_not_among_others_is_undecided() -> None:
    first, second = corrected([finding(0.03), finding(0.04)])

    assert (first.verdict, second.verdict) == ("undecided", "undecided")
    assert first.holm == pytest.approx(0.06)
    assert first.reason.endswith("After Holm's correction over 2 tests p = 0.060.")


@pytest.mark.parametrize(
    "quote",
    ["On a table it is +0.3: supported.", "On a table H6 is supported: .1."],
)
def test_quote_never_says_supported_where_the_correction_takes_it_back(
    quote: str,
) -> None:
    first, _ = corrected([finding(0.03, quote=quote), finding(0.04)])

    assert "supported" not in first.quote
    assert "undecided after Holm's correction over 2 tests" in first.quote
    assert first.quote.endswith(quote.rpartition("supported")[2])


def test_quote_without_the_verdict_is_left_as_it_is() -> None:
    first, _ = corrected([finding(0.03, quote="It is so."), finding(0.04)])

    assert first.quote == "It is so."


@pytest.mark.parametrize("verdict", ["contradicted", "undecided"])
def test_correction_changes_no_other_verdict(verdict: str) -> None:
    first, _ = corrected([finding(0.03, verdict), finding(0.9, verdict)])

    assert first.verdict == verdict
    assert first.holm == pytest.approx(0.06)


def test_finding_without_a_test_counts_as_none() -> None:
    first, second = corrected([finding(0.04), finding(None, "undecidable")])

    assert (first.holm, first.verdict) == (0.04, "supported")
    assert second.holm is None
    assert corrected([second]) == (second,)


def test_exploratory_finding_says_so_where_it_is_quoted() -> None:
    found = marked_exploratory(finding(0.01))

    assert found.exploratory
    assert found.quote == "On a table it is +0.3: supported (exploratory)."


def test_undecidable_finding_has_nothing_to_mark_in_its_quote() -> None:
    found = marked_exploratory(finding(None, "undecidable", quote="Too few."))

    assert found.exploratory
    assert found.quote == "Too few."
