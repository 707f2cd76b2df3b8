"""Figures of an analysis and of a search: what is drawn, where, and in which style."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nasdepth.analysis.front import front, progress
from nasdepth.analysis.plots import added_variable_plots, curve_plot, depth_plots
from nasdepth.analysis.plots_front import pareto_plots, progress_plot
from nasdepth.analysis.plots_search import learning_plot, prediction_plot
from nasdepth.analysis.plotting import (
    MOST,
    STYLES,
    error_axis,
    keys,
    log_axis,
    plot_html,
)
from nasdepth.claims.claim import Options
from nasdepth.claims.headline import headline
from nasdepth.claims.scope import held_fixed, samples_of
from nasdepth.evidence.observations import Evidence, Observation
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.records import TrialRecord
from nasdepth.evidence.units import Sample
from nasdepth.guide.coverage import Prediction
from nasdepth.statistics.linear import basis, residual
from nasdepth.statistics.multiverse import Curve, Point

Source = Callable[..., Evidence]


def sample_of(evidence: Evidence) -> Sample:
    return samples_of(evidence).digests


def points(plot, *, mode="markers"):
    """Places of all points of a figure, family by family."""
    traces = [trace for trace in plot.figure.data if trace.mode == mode]
    x = np.concatenate([trace.x for trace in traces])
    y = np.concatenate([trace.y for trace in traces])
    return x, y


# --- the response against depth


def test_depths_are_drawn_in_both_readings(source: Source) -> None:
    plots = depth_plots(sample_of(source(12)), Preregistration())

    assert [plot.name for plot in plots] == [
        "against-effective-depth",
        "against-nominal-depth",
        "against-weighted-layers",
    ]


def test_every_architecture_is_a_point_at_its_measure_and_response(
    source: Source,
) -> None:
    sample = sample_of(source(12))

    x, y = points(depth_plots(sample, Preregistration())[0])

    assert sorted(x) == sorted(sample.measure("effective_depth"))
    assert sorted(y) == sorted(sample.response("log_error"))


def test_reading_states_spearman_and_n(source: Source) -> None:
    plot = depth_plots(sample_of(source(60, slope=0.05)), Preregistration())[0]

    assert plot.reading.startswith("Each point is one of 60 architectures; Spearman")
    assert "+0.7" in plot.reading


def test_constant_depth_has_a_figure_that_says_why_it_has_no_rank(
    source: Source,
) -> None:
    sample = sample_of(source(12))
    units = tuple(
        replace(unit, measures={**unit.measures, "effective_depth": 3.0})
        for unit in sample.units
    )

    plot = depth_plots(Sample(units), Preregistration())[0]

    assert "there is no rank correlation: " in plot.reading


def test_sample_of_one_has_no_figure(source: Source) -> None:
    assert depth_plots(sample_of(source(1)), Preregistration()) == ()


def test_families_keep_their_style_in_every_figure(
    source: Source, options: Options
) -> None:
    plan, sample = Preregistration(), sample_of(source(24, families=3))
    found = headline(sample, plan, options, unit="architectures")

    plots = (*depth_plots(sample, plan), *added_variable_plots(sample, plan, found))

    assert len({plot.legend for plot in plots}) == 1
    assert [key.label for key in plots[0].legend] == [f"family {i}" for i in range(3)]
    assert len({key.colour for key in plots[0].legend}) == 3
    assert len({key.symbol for key in plots[0].legend}) == 3


def test_families_beyond_the_styles_share_one() -> None:
    labels = [f"family {i:02}" for i in range(9) for _ in range(9 - i)]

    found = keys(labels, "other families")

    assert found["family 05"].colour == STYLES[5][0]
    assert {found[f"family {i:02}"].label for i in (6, 7, 8)} == {"other families"}
    assert len(set(found.values())) == len(STYLES)


def test_as_many_families_as_styles_share_none() -> None:
    found = keys([f"family {i}" for i in range(len(STYLES))], "other families")

    assert "other families" not in {key.label for key in found.values()}


def test_single_family_needs_no_legend(source: Source) -> None:
    assert depth_plots(sample_of(source(9)), Preregistration())[0].legend == ()


def test_large_sample_is_thinned_alike_each_time_and_says_so(source: Source) -> None:
    sample = sample_of(source(MOST + 50))

    first, second = (depth_plots(sample, Preregistration())[0] for _ in range(2))

    assert len(points(first)[0]) == MOST
    assert first.figure == second.figure
    assert f"Drawn are {MOST:,} of the {MOST + 50:,}" in first.reading


def test_many_points_are_drawn_small(source: Source) -> None:
    few, many = (
        depth_plots(sample_of(source(n)), Preregistration())[0] for n in (30, 400)
    )

    assert few.figure.data[0].marker.size > many.figure.data[0].marker.size


def test_markup_in_a_family_is_shown_and_not_obeyed(source: Source) -> None:
    evidence = source(9)
    link = '<a href="https://example.org">x</a>'
    rows = tuple(replace(row, family=link) for row in evidence.observations)
    sample = sample_of(replace(evidence, observations=rows))

    text = plot_html(depth_plots(sample, Preregistration())[0], "figure")

    assert "\\u003ca href" not in text
    assert "&lt;a href" in text


# --- added variables


def test_points_of_an_added_variable_plot_correlate_as_the_fit_says(
    source: Source, options: Options
) -> None:
    plan, sample = Preregistration(), sample_of(source(40, slope=0.02, families=3))
    found = headline(sample, plan, options, unit="architectures")

    plots = added_variable_plots(sample, plan, found)

    assert len(plots) == 4
    for plot, fit in zip(plots, found.fits, strict=True):
        x, y = points(plot)
        assert np.corrcoef(x, y)[0, 1] == pytest.approx(fit.result.value, abs=1e-9)
        assert f"{fit.result.value:+.3f}" in plot.reading


def test_line_of_an_added_variable_plot_has_the_slope_of_the_full_regression(
    source: Source, options: Options
) -> None:
    plan, sample = Preregistration(), sample_of(source(40, slope=0.02))
    found = headline(sample, plan, options, unit="architectures")
    design = [sample.measure("effective_depth"), sample.measure("nominal_depth")]
    columns = np.column_stack([np.ones(40), *design, *held_fixed(sample, plan)])
    slope = np.linalg.lstsq(columns, sample.response("log_error"))[0][1]

    line = added_variable_plots(sample, plan, found)[0].figure.data[-1]

    drawn = (line.y[1] - line.y[0]) / (line.x[1] - line.x[0])
    assert drawn == pytest.approx(slope)


def test_depth_that_the_rest_determines_has_no_added_variable_plot(
    source: Source, options: Options
) -> None:
    plan, sample = Preregistration(), sample_of(source(20))
    units = tuple(
        replace(
            unit,
            measures={
                **unit.measures,
                "effective_depth": 2 * unit.measures["nominal_depth"],
            },
        )
        for unit in sample.units
    )
    found = headline(Sample(units), plan, options, unit="architectures")

    names = [plot.name for plot in added_variable_plots(Sample(units), plan, found)]

    assert names == ["added-headline-weighted-layers", "added-mirror-weighted-layers"]


def test_added_variable_plot_of_residuals_matches_a_direct_computation(
    source: Source, options: Options
) -> None:
    plan, sample = Preregistration(), sample_of(source(20))
    found = headline(sample, plan, options, unit="architectures")
    held = basis([sample.measure("nominal_depth"), *held_fixed(sample, plan)], 20)

    x, _ = points(added_variable_plots(sample, plan, found)[0])

    assert x == pytest.approx(residual(sample.measure("effective_depth"), held)[0])


# --- the specification curve

CURVE = Curve(
    20,
    3,
    (
        Point("merge depth", "accuracy", 0.4, (0.1, 0.6), 2.0),
        Point("merge depth", "rank", -0.2, (-0.5, 0.2), -1.0),
        Point("midrange depth", "accuracy", problem="the predictor is constant"),
        Point("effective depth", "accuracy", 0.1, (-0.3, 0.4), 0.5),
    ),
    median=0.1,
    share_positive=2 / 3,
    max_abs_t=2.0,
    p_value=0.031,
    p_robust=0.04,
    draws=99,
)


def test_specifications_are_sorted_with_their_intervals() -> None:
    plot = curve_plot(CURVE)

    accuracy, rank = plot.figure.data[:2]
    assert (accuracy.name, rank.name) == ("accuracy", "rank")
    assert (accuracy.x, accuracy.y) == ((1, 2), (0.1, 0.4))
    assert (rank.x, rank.y) == ((0,), (-0.2,))
    assert accuracy.error_y.array == pytest.approx((0.3, 0.2))
    assert accuracy.error_y.arrayminus == pytest.approx((0.4, 0.3))


def test_marks_below_the_curve_name_convention_and_response() -> None:
    plot = curve_plot(CURVE)

    marks, rows = plot.figure.data[2], plot.figure.layout.yaxis2.ticktext
    named = [(x, rows[y]) for x, y in zip(marks.x, marks.y, strict=True)]
    assert named == [
        (0, "merge depth"),
        (1, "effective depth"),
        (2, "merge depth"),
        (0, "rank"),
        (1, "accuracy"),
        (2, "accuracy"),
    ]


def test_curve_says_its_median_and_its_joint_test() -> None:
    text = curve_plot(CURVE).reading

    assert text.startswith("3 definitions of effective depth")
    assert "Median +0.100, 67% positive; the largest |t| has p .031" in text


def test_curve_of_no_estimable_point_is_not_drawn() -> None:
    problem = "the predictor is constant"

    assert curve_plot(Curve(9, 3, (Point("a", "b", problem=problem),))) is None


def test_curve_shows_zero_even_where_all_points_are_on_one_side() -> None:
    low, high = curve_plot(CURVE).figure.layout.yaxis.range

    assert low < -0.5
    assert high > 0.6
    positive = replace(CURVE, points=CURVE.points[:1])
    assert curve_plot(positive).figure.layout.yaxis.range[0] < 0


# --- axes


@pytest.mark.parametrize(
    ("accuracies", "ticks"),
    [
        ((0.5, 0.68), ["50 %", "55 %", "60 %", "65 %"]),
        ((0.5, 0.999), ["50 %", "80 %", "95 %", "98 %", "99.5 %", "99.8 %"]),
        ((0.91, 0.93), ["91 %", "91.5 %", "92 %", "92.5 %", "93 %"]),
    ],
)
def test_ticks_of_log_error_are_round_accuracies(
    accuracies: tuple[float, float], ticks: list[str]
) -> None:
    axis = error_axis(-np.log1p(-np.array(accuracies)), "accuracy")

    assert axis["ticktext"] == ticks
    for place, text in zip(axis["tickvals"], axis["ticktext"], strict=True):
        assert 100 * (1 - np.exp(-place)) == pytest.approx(float(text[:-2]), abs=0.01)


@pytest.mark.parametrize("accuracies", [(0.9,), (0.9, 0.90002), (0.0,)])
def test_axis_of_nearly_equal_accuracies_has_distinct_ticks(
    accuracies: tuple[float, ...],
) -> None:
    axis = error_axis(-np.log1p(-np.array(accuracies)), "accuracy")

    assert len(set(axis["ticktext"])) == len(axis["tickvals"]) >= 3


def test_ticks_of_costs_are_one_two_and_five() -> None:
    axis = log_axis(np.array([9e3, 2.2e6]), "params")

    assert axis["ticktext"][:4] == ["10k", "20k", "50k", "100k"]
    assert axis["ticktext"][-1] == "2M"


# --- the Pareto front


def costed(row: Observation, params: float, accuracy: float, **more) -> Observation:
    place = f"row {params:.0f}"
    return replace(
        row,
        place=place,
        digest=more.pop("digest", place),
        measures={"params": params, "macs": 10 * params},
        outcomes={"accuracy": (accuracy,)},
        **more,
    )


def test_front_counts_complete_rows_of_both_arms(row: Observation) -> None:
    rows = [
        costed(row, 100, 0.5),
        costed(row, 200, 0.9, arm="search"),
        costed(row, 300, 0.8),
        costed(row, 50, 0.99, state="pruned"),
    ]

    found = front(rows, "params")

    assert found.n == 3
    assert [unit.places for unit in found.units] == [("row 100",), ("row 200",)]


def test_rows_of_one_digest_are_one_point_at_their_mean(row: Observation) -> None:
    twin = costed(row, 100, 0.9, digest="same")
    rows = [twin, replace(twin, place="row 101", outcomes={"accuracy": (0.5,)})]

    found = front([*rows, costed(row, 200, 0.8)], "params")

    assert found.n == 2
    assert found.units[0].outcome("accuracy") == pytest.approx(0.7)


def test_pareto_figure_marks_its_front(row: Observation) -> None:
    rows = [costed(row, 100, 0.5), costed(row, 200, 0.9), costed(row, 300, 0.8)]

    params, macs = pareto_plots(rows)

    line = params.figure.data[-1]
    assert line.x == (100, 200)
    assert line.mode == "lines+markers"
    # between two points of the front the cheaper one is the best
    assert line.line.shape == "hv"
    assert params.figure.data[0].x == (300,)
    assert "2 of 3 architectures are on the front" in params.reading
    assert macs.figure.data[-1].x == (1000, 2000)


def test_rows_without_a_cost_have_no_pareto_figure(row: Observation) -> None:
    assert pareto_plots([row, replace(row, digest="other")]) == ()
    assert front([row], "params").units == ()


def test_measured_latency_is_a_cost_like_any_other(row: Observation) -> None:
    rows = [
        replace(costed(row, n, 0.9 - 0.1 * n), measures={"latency": 0.003 / n})
        for n in (1, 2)
    ]

    (plot,) = pareto_plots(rows, ("latency",))

    assert plot.name == "pareto-latency"
    assert plot.figure.layout.xaxis.title.text == "latency"
    assert plot.figure.data[-1].x == (0.0015, 0.003)
    assert "0.0015 latency" in plot.figure.data[-1].text[0]


@pytest.mark.parametrize(("dearest", "kind"), [(500.0, "log"), (499.0, None)])
def test_costs_that_span_little_have_a_plain_axis(
    row: Observation, dearest: float, kind: str | None
) -> None:
    rows = [costed(row, 100, 0.5), costed(row, dearest, 0.9)]

    params, _ = pareto_plots(rows)

    assert params.figure.layout.xaxis.type == kind


# --- how a front grew


def finished(record: TrialRecord, n: int) -> list[TrialRecord]:
    """Trials each better than the one before, the second one pruned."""
    rows = [
        replace(record, number=i, accuracy=0.5 + i / 20, measures={"params": 10.0**i})
        for i in range(1, n + 1)
    ]
    rows[1] = replace(rows[1], state="pruned", accuracy=None)
    return rows


def test_area_is_drawn_over_all_finished_trials(record: TrialRecord) -> None:
    found = progress(finished(record, 6), "params", order=(6, 2, 5, 4, 3, 1))

    plot = progress_plot(found)

    assert plot.name == "hypervolume-params"
    (line,) = plot.figure.data
    assert line.x == (1, 2, 3, 4, 5, 6)
    assert line.y == pytest.approx(found.areas)
    assert line.y[1] == line.y[0]
    assert line.text[:2] == ("trial 6", "trial 2")
    # an area stays until the next trial finishes
    assert line.line.shape == "hv"
    assert "55.00% accuracy and 1,000,000 params, the worst accuracy" in plot.reading


def test_reference_of_the_configuration_is_called_so(record: TrialRecord) -> None:
    rows = finished(record, 6)

    found = progress(rows, "params", order=range(1, 7), reference=(0.1, 1e9))

    assert "10.00% accuracy and 1,000,000,000 params, set beforehand" in (
        progress_plot(found).reading
    )


def test_half_of_an_area_is_said_to_be_there_when_it_was(record: TrialRecord) -> None:
    rows = [
        replace(record, number=i, accuracy=accuracy, measures={"params": 10.0})
        for i, accuracy in enumerate((0.1, 0.2, 0.49, 0.51, 0.9))
    ]

    found = progress(rows, "params", order=range(5), reference=(0.1, 100.0))

    reading = progress_plot(found).reading
    assert "natural logarithm of params, after each finished trial" in reading
    assert "1.84 after 5, half of it after 4" in reading
    assert reading.endswith("counts 0.023.")


def test_area_over_the_cost_itself_is_called_so(record: TrialRecord) -> None:
    found = progress(finished(record, 6), "params", order=range(1, 7), log=False)

    reading = progress_plot(found).reading

    assert "accuracy times params, after each finished trial" in reading
    assert "logarithm" not in reading
    assert "0.023" not in reading


@pytest.mark.parametrize(
    ("n", "reference"), [(4, None), (6, (0.99, 1e9))], ids=["few", "no area"]
)
def test_area_that_says_nothing_is_not_drawn(
    record: TrialRecord, n: int, reference: tuple[float, float] | None
) -> None:
    found = progress(
        finished(record, n), "params", order=range(1, n + 1), reference=reference
    )

    assert progress_plot(found) is None


# --- what was expected


def predictions(*scores: float) -> list[Prediction]:
    """Predictions of 80 ± 5 % that came out so many deviations off."""
    return [Prediction(i, 0.8, 0.05, 0.8 + 0.05 * z) for i, z in enumerate(scores)]


def test_predictions_are_drawn_with_their_intervals() -> None:
    plot = prediction_plot(predictions(0, 1, -1, 1.95, -1.97))

    equal, held, missed = plot.figure.data
    assert equal.x == equal.y
    assert held.x == (0.8,) * 4
    assert held.y == pytest.approx((0.8, 0.85, 0.75, 0.8975))
    assert held.error_x.array == pytest.approx([1.959964 * 0.05] * 4)
    assert missed.y == pytest.approx((0.7015,))
    assert missed.text == (
        "trial 4<br>expected 80.00% ± 9.80 points<br>came out 70.15%",
    )
    assert [key.label for key in plot.legend] == [
        "came out as expected",
        "within its 95 % interval",
        "outside of it",
    ]


def test_every_interval_lies_within_the_axes() -> None:
    plot = prediction_plot(predictions(0, 1, -1, 4, -1))

    low, high = plot.figure.layout.xaxis.range
    assert low < 0.8 - 1.96 * 0.05
    assert high > 1.0
    assert plot.figure.layout.yaxis.range == (low, high)


def test_coverage_is_said_in_words() -> None:
    text = prediction_plot(predictions(0, 0.5, -0.6, 1, -3)).reading

    assert (
        "4 of 5 results (80%, 95 % Wilson interval 38% to 96%) fell into their 95 %"
        " interval. 3 of 5 results (60%, 95 % Wilson interval 23% to 88%) fell into"
        " their 50 % interval. Neither share contradicts its level."
    ) in text
    assert "On average results lay 2.10 points below what was expected." in text


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([3.0] * 10, "The 95 % intervals are too narrow. The 50 % intervals are too"),
        ([0.1] * 10, "interval. The 50 % intervals are too wide. On average"),
    ],
    ids=["narrow", "wide"],
)
def test_intervals_wrong_beyond_chance_are_called_so(
    scores: list[float], words: str
) -> None:
    plot = prediction_plot(predictions(*scores))

    assert words in plot.reading
    assert "Neither share" not in plot.reading


def test_few_predictions_have_no_figure() -> None:
    assert prediction_plot(predictions(0, 1, 2, 3)) is None


# --- learning curves


def test_pruned_trainings_are_dotted_and_counted(record: TrialRecord) -> None:
    cut = replace(record, number=1, arm="search", state="pruned", accuracy=None)

    plot = learning_plot([record, cut])

    assert [trace.line.dash for trace in plot.figure.data] == ["solid", "dot"]
    assert plot.figure.data[0].y == record.curve
    assert "The 1 dotted ones" in plot.reading
    assert [key.label for key in plot.legend] == [
        "unselected arm",
        "search arm",
        "pruned",
    ]


def test_trials_without_a_curve_have_no_figure(record: TrialRecord) -> None:
    assert learning_plot([replace(record, curve=())]) is None


def test_of_many_curves_the_best_are_drawn(record: TrialRecord) -> None:
    rows = [replace(record, number=i, curve=(i / 1000,)) for i in range(200)]

    plot = learning_plot(rows)

    assert len(plot.figure.data) == 120
    assert plot.figure.data[0].y == (0.08,)
    assert "the best 120 of 200 trainings" in plot.reading


# --- as HTML


def test_figure_is_the_same_text_each_time_and_brings_no_library(
    source: Source,
) -> None:
    plot = depth_plots(sample_of(source(9)), Preregistration())[0]

    first, second = plot_html(plot, "figure-1"), plot_html(plot, "figure-1")

    assert first == second
    assert 'id="figure-1"' in first
    assert "<script src" not in first
    assert len(first) < 20_000


def test_figure_holds_plain_numbers(source: Source) -> None:
    plot = depth_plots(sample_of(source(9)), Preregistration())[0]

    data = json.loads(plot.figure.to_json())["data"]

    assert all(isinstance(value, float) for value in data[0]["x"])
