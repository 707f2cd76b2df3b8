"""From evidence to an answer: what is said first, what is labelled, what is printed."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nasdepth.analysis.answer import Analysis, analyze, analyze_all
from nasdepth.claims.claim import CLAIMS, Options
from nasdepth.claims.finding import verdict_of
from nasdepth.claims.headline import partial
from nasdepth.claims.scope import samples_of
from nasdepth.evidence.observations import Evidence, Observation
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.records import TrialRecord

Source = Callable[..., Evidence]
Study = Callable[..., list[TrialRecord]]
OPTIONS = Options(draws=99)


def answered(evidence: Evidence, **options: bool) -> Analysis:
    return analyze(evidence, options=replace(OPTIONS, **options), explore=False)


def first_sentence(found: Analysis) -> str:
    """What stands below the name of the source."""
    return " ".join(str(found).split("\n\n")[1].split())


def rows_of(
    evidence: Evidence, change: Callable[[Observation, int], Observation]
) -> Evidence:
    rows = tuple(change(row, i) for i, row in enumerate(evidence.observations))
    return replace(evidence, observations=rows)


def with_measures(**columns: Callable[[int], float]) -> Callable[..., Observation]:
    def change(row: Observation, i: int) -> Observation:
        values = {name: value(i) for name, value in columns.items()}
        return replace(row, measures={**row.measures, **values})

    return change


def test_text_opens_with_what_the_data_can_say(source: Source) -> None:
    small, large = answered(source(60)), answered(source(250))

    assert first_sentence(small).startswith(
        "These data can say it of a large effect only: 60 architectures detect a"
    )
    assert first_sentence(small).endswith("0.20, needs 197.")
    assert first_sentence(large).startswith("These data can say it: 250 architectures")


@pytest.mark.parametrize("n", [0, 7])
def test_first_sentence_says_that_few_rows_cannot_decide_and_how_many_could(
    source: Source, n: int
) -> None:
    found = answered(source(n))

    assert first_sentence(found) == (
        f"These data cannot say it: {n} architectures, at least 8 are needed for any"
        " estimate; 197 could detect a partial correlation of 0.20."
    )
    assert (found.headlines, found.alone, found.explored) == ((), (), None)
    assert found.findings[0].verdict == "undecidable"


def test_first_sentence_says_that_equal_depths_cannot_be_told_apart(
    source: Source,
) -> None:
    def equal(row: Observation, i: int) -> Observation:
        depth = row.measures["nominal_depth"]
        return replace(row, measures={**row.measures, "effective_depth": depth})

    found = answered(rows_of(source(30), equal))

    assert first_sentence(found).startswith("These data cannot say it: effective depth")
    assert "linear function of the covariates" in first_sentence(found)


def test_first_sentence_says_that_few_families_decide_nothing(source: Source) -> None:
    evidence = rows_of(
        source(40, families=4), with_measures(effective_depth=lambda i: float(i % 4))
    )

    found = answered(evidence)

    assert first_sentence(found).startswith(
        "These data cannot say it: between 4 families nothing is decided"
    )
    assert first_sentence(found).endswith(
        "architectures that differ in effective depth within families could."
    )


def test_first_sentence_is_about_the_claims_that_were_asked_for(source: Source) -> None:
    found = analyze(source(60), claims=["H6"], options=OPTIONS, explore=False)

    assert [each.claim for each in found.findings] == ["H6"]
    assert first_sentence(found) == (
        "These data cannot say it: " + " ".join(found.findings[0].reason.split())
    )


def test_first_sentence_names_the_claims_that_have_data(
    source: Source,
) -> None:
    evidence = rows_of(source(60), with_measures(nn_mass=lambda i: 100.0 + i**1.5))
    evidence = rows_of(evidence, lambda row, _: replace(row, family="dense"))

    found = analyze(evidence, claims=["H6", "H9"], options=OPTIONS, explore=False)

    verdicts = {each.claim: each.verdict for each in found.findings}
    assert verdicts["H6"] == "undecidable"
    assert verdicts["H9"] != "undecidable"
    assert found.opening == "These data can say something of H9, not of H6."


def test_every_claim_is_answered_once_in_the_order_of_their_numbers(
    source: Source,
) -> None:
    names = [*reversed(list(CLAIMS)), "H1"]

    found = analyze(source(30), claims=names, options=OPTIONS, explore=False)

    assert [each.claim for each in found.findings] == [f"H{i}" for i in range(1, 11)]


def words(found: Analysis) -> str:
    return f"{found}\n{found.markdown()}\n{json.dumps(found.as_dict())}".lower()


@pytest.mark.parametrize("n", [0, 1, 8])
def test_every_claim_is_answered_whatever_is_missing(source: Source, n: int) -> None:
    found = analyze(source(n), claims=list(CLAIMS), options=OPTIONS)

    assert len(found.findings) == 10
    for each in found.findings:
        assert each.reason
        assert (each.verdict == "undecidable") == (each.p_value is None)
    assert "nan" not in words(found)


def test_unknown_claim_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"Unknown claim 'H11'.* Did you mean 'H1"):
        analyze_all([], claims=["H11"])


def test_registered_plan_is_not_exploratory(source: Source) -> None:
    found = answered(source(20))

    assert found.registered == "fixed in invented.toml"
    assert not found.findings[0].exploratory
    assert "exploratory)" not in found.summary()
    assert not any("exploratory" in text for text in found.warnings)


@pytest.mark.parametrize(
    "plan",
    [
        Preregistration(response="accuracy"),
        Preregistration(nominal="weighted_layers"),
        Preregistration(smallest_effect=0.1),
        Preregistration(baselines=("params",)),
        Preregistration(direction="negative"),
    ],
)
def test_changed_plan_is_exploratory_wherever_it_is_read(
    source: Source, plan: Preregistration
) -> None:
    found = analyze(source(20), plan, options=OPTIONS, explore=False)

    assert found.registered == ""
    assert found.findings[0].exploratory
    assert found.findings[0].quote.endswith("(exploratory).")
    assert "(exploratory): partial r" in found.summary()
    assert any(text.endswith("all is exploratory.") for text in found.warnings)


def test_same_plan_again_stays_registered(source: Source) -> None:
    found = analyze(source(20), Preregistration(), options=OPTIONS, explore=False)

    assert found.registered == "fixed in invented.toml"


def selected(evidence: Evidence, *, best: int) -> Evidence:
    """The same with searched rows of high accuracy."""
    more = tuple(
        replace(
            row,
            place=f"search {i}",
            digest=f"search{i}",
            arm="search",
            outcomes={"accuracy": (0.99,)},
        )
        for i, row in enumerate(evidence.observations[:best])
    )
    return replace(evidence, observations=(*evidence.observations, *more))


def test_searched_rows_change_nothing_and_are_counted(source: Source) -> None:
    alone, found = answered(source(20)), answered(selected(source(20), best=5))

    assert found.headlines == alone.headlines
    assert found.findings == alone.findings
    assert found.scope.left_out == (("search arm", 5),)
    assert not any("are not in the sample" in text for text in found.warnings)


def test_searched_rows_that_are_let_in_make_all_exploratory(source: Source) -> None:
    found = answered(selected(source(20), best=5), allow_selected=True)

    assert found.scope.n == 25
    assert found.registered == ""
    assert found.findings[0].exploratory
    assert any("a sampler chose are in the sample" in text for text in found.warnings)


def test_letting_searched_rows_in_where_there_are_none_changes_nothing(
    source: Source,
) -> None:
    assert answered(source(20), allow_selected=True) == answered(source(20))


def test_rows_that_failed_or_diverged_are_counted_and_warned_of(source: Source) -> None:
    def change(row: Observation, i: int) -> Observation:
        if i < 2:
            return replace(row, state="pruned", reason="diverged: loss is inf")
        return replace(row, state="failed", outcomes={}) if i == 2 else row

    found = answered(rows_of(source(20), change))

    assert dict(found.scope.left_out) == {"diverged": 2, "failed": 1}
    assert any(
        text.startswith("3 rows of the unselected arm are not in the sample")
        for text in found.warnings
    )


def test_diverged_rows_are_the_response_where_divergence_is(source: Source) -> None:
    def change(row: Observation, i: int) -> Observation:
        if i % 3:
            return replace(row, outcomes={**row.outcomes, "diverged": (0.0,)})
        told = "diverged: loss is inf"
        outcomes = {"diverged": (1.0,)}
        return replace(row, state="pruned", reason=told, outcomes=outcomes)

    plan = Preregistration("diverged")

    found = answered(rows_of(source(30, plan=plan), change))

    assert (found.scope.n, found.scope.left_out) == (30, ())
    assert found.findings[0].value is not None
    assert "fewer diverged trainings" in found.findings[0].words


def test_one_training_each_is_warned_of(source: Source) -> None:
    evidence = source(20)
    again = tuple(replace(r, place=f"{r.place} b") for r in evidence.observations)
    twice = replace(evidence, observations=(*evidence.observations, *again))

    def is_warned(found: Analysis) -> bool:
        return any(t.startswith("One training per arch") for t in found.warnings)

    assert is_warned(answered(evidence))
    assert not is_warned(answered(twice))


def replicated(rows: list[TrialRecord], *around: float) -> list[TrialRecord]:
    """The trials with replicates so far from each accuracy, and a diverged one."""
    return [
        replace(
            row,
            accuracies=(*(row.accuracy + each for each in around), None),
            seeds=tuple(range(len(around) + 1)),
        )
        for row in rows
        if row.accuracy is not None
    ]


def test_replicates_of_a_study_make_the_reliability_known(study: Study) -> None:
    rows = study(20)
    plan = Preregistration("accuracy")

    found = analyze(
        replicated(rows, -0.001, 0.001), plan, options=OPTIONS, explore=False
    )

    # s^2 = .000002 in each, two seeds each
    variance = float(np.var([row.accuracy for row in rows], ddof=1))
    assert found.scope.reliability == pytest.approx(1 - 0.000002 / 2 / variance)
    assert found.scope.spread == pytest.approx(0.000002**0.5)
    assert (found.scope.n, found.scope.trainings, found.scope.diverged) == (20, 40, 20)
    assert not any(text.startswith("One training per") for text in found.warnings)


def test_diverged_replicates_are_warned_of(study: Study) -> None:
    rows = replicated(study(20), 0.0)

    found = analyze(rows, options=OPTIONS, explore=False)

    assert any(
        text.startswith("Trainings that diverged in architectures of the sample: 20.")
        for text in found.warnings
    )


def test_summary_tells_what_replicates_tell(study: Study) -> None:
    single, several = (
        analyze(rows, options=OPTIONS, explore=False).summary()
        for rows in (study(20), replicated(study(20), -0.001, 0.001))
    )

    assert "ACCURACY OVER SEVERAL TRAININGS" in several
    assert "0.14% over the trainings of one architecture (pooled)" in several
    assert "of the response's variance" in several
    assert "OVER SEVERAL TRAININGS" not in single


def test_seeds_of_one_architecture_count_once(source: Source) -> None:
    evidence = source(20)
    again = tuple(replace(r, place=f"{r.place} b") for r in evidence.observations)

    found = answered(replace(evidence, observations=(*evidence.observations, *again)))

    assert found.scope.n == 20
    assert found.headlines == answered(evidence).headlines


def test_contradictory_rows_of_one_digest_are_refused_in_one_line(
    source: Source,
) -> None:
    evidence = source(20)
    first, second, *_ = evidence.observations
    wrong = replace(second, digest=first.digest)

    with pytest.raises(ValueError, match=r"must be the same in all rows of") as caught:
        answered(replace(evidence, observations=(*evidence.observations, wrong)))

    assert "\n" not in str(caught.value)


def test_inseparable_depths_are_warned_of_where_n_is_large(source: Source) -> None:
    def close(row: Observation, i: int) -> Observation:
        depth = (row.measures["nominal_depth"] or 0.0) / 2 + i % 5
        return replace(row, measures={**row.measures, "effective_depth": depth})

    found = answered(rows_of(source(200), close))

    assert found.findings[0].verdict != "undecidable"
    assert any("hardly separate them" in text for text in found.warnings)


def test_mixed_data_sets_are_warned_of(source: Source) -> None:
    one = source(20)
    two = rows_of(one, lambda row, i: replace(row, dataset=f"set {i % 2}"))
    told = "several data sets are mixed, those of one network averaged"

    assert told in words(answered(two))
    assert told not in words(answered(one))


def test_a_plan_without_size_is_warned_of(source: Source) -> None:
    sized = source(20)
    bare = replace(sized, plan=replace(sized.plan, baselines=()))

    assert "no measure of size is held fixed" in words(answered(bare))
    assert "no measure of size is held fixed" not in words(answered(sized))


def test_caveats_of_the_source_are_warnings(source: Source) -> None:
    found = answered(replace(source(20), caveats=("Test accuracy chose the epoch.",)))

    assert found.warnings[0] == "Test accuracy chose the epoch."


def test_holm_runs_over_claims_and_sources(source: Source) -> None:
    sources = [
        replace(source(60, slope=slope, seed=seed), name=f"table {seed}")
        for seed, slope in enumerate((0.05, 0.05, 0.0))
    ]

    found = analyze_all(sources, options=Options(draws=199), explore=False)

    first = [each.findings[0] for each in found]
    alone = [analyze(s, options=Options(draws=199), explore=False) for s in sources]
    assert [f.p_value for f in first] == [a.findings[0].p_value for a in alone]
    assert first[0].holm == pytest.approx(3 * 0.005)
    assert [f.verdict for f in first] == ["supported", "supported", "undecided"]


def test_claim_supported_alone_is_undecided_among_many_sources(source: Source) -> None:
    sources = [
        replace(source(60, slope=0.05, seed=seed), name=f"table {seed}")
        for seed in range(6)
    ]

    # 99 draws: no p below .01, so that none survives six tests
    found = analyze_all(sources, options=OPTIONS, explore=False)

    for each in found:
        (finding,) = each.findings
        assert finding.interval is not None
        assert finding.interval[0] > 0
        assert (finding.verdict, finding.holm) == ("undecided", pytest.approx(0.06))
        assert "supported" not in finding.quote
        assert "SUPPORTED" not in str(each)


def test_records_of_a_study_are_answered_under_the_default_plan(study: Study) -> None:
    found = analyze(study(20), options=OPTIONS, explore=False)

    assert found.source == "the records"
    assert found.registered == ""
    assert found.scope.n == 20


def test_records_are_read_with_the_threshold_of_the_plan(study: Study) -> None:
    rows = [replace(r, curve=(0.1 * (r.number % 7), 0.9)) for r in study(20)]
    plan = Preregistration("epochs_to_threshold", threshold=0.5)

    found = analyze(rows, plan, options=OPTIONS, explore=False)

    # .5 is passed in the first epoch by rows 5 and 6 of each 7
    sample = found.scope.outcome_range
    assert sample == (1.0, 2.0)
    first = analyze(rows, replace(plan, threshold=0.95), options=OPTIONS, explore=False)
    assert first.scope.outcome_range == (3.0, 3.0)


def test_table_reported_by_row_is_shown_both_ways(source: Source) -> None:
    evidence = source(20)
    again = tuple(
        replace(r, place=f"{r.place} b", outcomes={"accuracy": (0.3 + i / 50,)})
        for i, r in enumerate(evidence.observations[:10])
    )
    rows = (*evidence.observations, *again)

    found = answered(replace(evidence, observations=rows, by_row=True))

    assert [(h.n, h.unit) for h in found.headlines] == [
        (20, "architectures"),
        (30, "rows of the table"),
    ]
    assert found.findings[0].n == 20
    assert found.findings[0].value == found.headlines[0].primary.value
    assert "N = 30 ROWS OF THE TABLE" in str(found)


def test_both_readings_of_nominal_depth_are_printed(source: Source) -> None:
    text = answered(source(30)).markdown()

    for name in ("nominal depth", "weighted layers"):
        assert f"**r, {name}**" in text
        assert f"effective depth given {name}" in text
        assert f"{name} given effective depth" in text


def test_dictionary_has_its_format_and_both_readings(source: Source) -> None:
    found = analyze(source(20), options=OPTIONS).as_dict()

    assert found["format"] == 2
    assert found["headlines"][0]["fits"][0]["result"]["n"] == 20
    assert found["plan"]["baselines"] == ("params", "macs")


@pytest.mark.parametrize("response", ["log_error", "accuracy", "rank"])
def test_same_seed_gives_the_same_answer(source: Source, response: str) -> None:
    evidence = source(20, families=2, plan=Preregistration(response))

    first, second = (analyze(evidence, options=OPTIONS) for _ in range(2))

    assert first == second
    assert str(first) == str(second)


def test_verdicts_hold_their_level_without_an_effect(source: Source) -> None:
    verdicts = []
    for seed in range(200):
        evidence = source(40, seed=seed)
        plan, sample = evidence.plan, samples_of(evidence).digests
        found = partial(sample, plan, "effective_depth", plan.nominal, OPTIONS)
        assert found.interval is not None
        verdicts.append(verdict_of(found.interval, plan.smallest_effect))

    # one-sided 2.5 %: thirteen or more of two hundred have probability .002
    assert verdicts.count("supported") < 13
    assert verdicts.count("undecided") > 100
