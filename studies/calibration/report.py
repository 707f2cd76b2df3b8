"""The study's figure, and its tables for the README."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nasdepth.statistics.calibration import COVERAGE_LIMIT, SIZE_LIMIT
from nasdepth.statistics.simulation import NOISES

Row = dict[str, str]

#: panels of the figure, in reading order
PANELS = {
    "partial_correlation": "partial correlation, wild bootstrap-t",
    "fisher_z": "partial correlation, Fisher's z",
    "hc3_t": "slope, HC3 t (contrast)",
    "ols_t": "slope, least-squares t (contrast)",
    "williams": "equal correlations, Williams (ranks)",
    "williams_pearson": "equal correlations, Williams (Pearson)",
    "meng": "equal correlations, Meng (ranks)",
    "meng_pearson": "equal correlations, Meng (Pearson)",
    "j_test": "J-test, wild bootstrap",
    "j_test_asymptotic": "J-test, asymptotic (contrast)",
    "vuong": "Vuong's z",
    "specification_curve": "specification curve, permutations",
    "specification_curve_robust": "specification curve, sign flips",
    "within_families": "families: fixed effects",
    "mixed_model": "families: random intercept",
    "ols_ignoring_families": "families ignored, t (contrast)",
}
# Okabe & Ito (2008), told apart by colour-blind readers; markers tell them in print.
STYLES = dict(
    zip(
        NOISES,
        (("#000000", "o"), ("#D55E00", "s"), ("#0072B2", "^"), ("#009E73", "D")),
        strict=True,
    )
)
#: what definitions.md, section 5, says, and the cells that it is about
LINES: tuple[tuple[str, str, str, dict[str, Sequence[object]]], ...] = (
    (
        "ΔR² percentile interval, coverage at no effect",
        "0",
        "delta_r2",
        {"effect": [0.0], "n": [20, 40, 100]},
    ),
    (
        "the same at small effects",
        ".8–.9",
        "delta_r2",
        {"effect": [0.2, 0.5], "n": [20, 40, 100]},
    ),
    (
        "Fisher's z, coverage, r = .95, normal",
        ".94–.96",
        "fisher_z",
        {"kind": ["coverage"], "n": [20, 40], "r": [0.95], "noise": ["normal"]},
    ),
    (
        "wild bootstrap-t, coverage of no effect, n ≥ 20",
        ".94–.96",
        "partial_correlation",
        {"kind": ["coverage"], "n": [20, 40, 100, 400], "effect": [0.0]},
    ),
    (
        "HC3 t, heteroscedastic, size",
        ".02–.04",
        "hc3_t",
        {"n": [20, 40], "noise": ["heteroscedastic"]},
    ),
    (
        "least-squares t, heteroscedastic, r = .95, size",
        ".05–.07",
        "ols_t",
        {"n": [20, 40], "r": [0.95], "noise": ["heteroscedastic"]},
    ),
    (
        "Williams, Pearson's r, normal, n ≥ 20, size",
        ".04–.055",
        "williams_pearson",
        {"kind": ["size"], "n": [20, 40, 100, 400], "noise": ["normal"]},
    ),
    (
        "Meng, Pearson's r, normal, n ≥ 20, size",
        ".04–.055",
        "meng_pearson",
        {"kind": ["size"], "n": [20, 40, 100, 400], "noise": ["normal"]},
    ),
    (
        "Williams and Meng conservative at n = 10",
        ".023",
        "meng_pearson",
        {"kind": ["size"], "n": [10], "noise": ["normal"]},
    ),
    ("Vuong, n = 10", ".11", "vuong", {"n": [10], "noise": ["normal"]}),
    ("Vuong, n = 20", ".08", "vuong", {"n": [20], "noise": ["normal"]}),
    ("Vuong, n = 40", ".065", "vuong", {"n": [40], "noise": ["normal"]}),
    (
        "J-test, asymptotic, three regressors, n = 20",
        ".08",
        "j_test_asymptotic",
        {"n": [20], "noise": ["normal"]},
    ),
    (
        "4 families × 10: least squares",
        ".37",
        "ols_one_predictor",
        {"families": [4]},
    ),
    (
        "4 families × 10: HC3",
        ".39",
        "hc3_one_predictor",
        {"families": [4]},
    ),
    (
        "4 families × 10: bootstrap of architectures",
        ".43",
        "bootstrap_one_predictor",
        {"families": [4]},
    ),
    (
        "4 families × 10: mixed model, z",
        ".10–.18",
        "mixed_z_one_predictor",
        {"families": [4]},
    ),
    (
        "4 families × 10: fixed effects",
        ".045",
        "within_one_predictor",
        {"families": [4]},
    ),
    (
        "specification curve, baselines fixed, normal, n = 20, 40",
        ".04–.055",
        "specification_curve",
        {"n": [20, 40], "noise": ["normal"]},
    ),
)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Greatest size by n for each method and noise, with the limit."""
    figure = Figure(figsize=(13, 11), layout="constrained")
    axes = figure.subplots(4, 4, sharex=True).flat
    for axis, (method, title) in zip(axes, PANELS.items(), strict=True):
        _panel(axis, [row for row in rows if row["method"] == method], title)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.supylabel(
        "size: share of false rejections at 5 %, greatest over r, ± 2 standard errors"
    )
    figure.savefig(path, dpi=110)


def _panel(axis: Axes, rows: Sequence[Row], title: str) -> None:
    for noise, (colour, marker) in STYLES.items():
        worst = _worst([row for row in rows if row["noise"] == noise])
        n = [int(row["n"]) for row in worst]
        rate = [float(row["rate"]) for row in worst]
        error = [2 * float(row["mc_error"]) for row in worst]
        axis.errorbar(
            n, rate, error, color=colour, marker=marker, ms=4, lw=1, label=noise
        )
    axis.axhline(SIZE_LIMIT, color="0.4", ls="--", lw=1, label="limit, 6.5 %")
    axis.axhline(0.05, color="0.75", lw=0.8)
    axis.set_xscale("log")
    axis.set_xticks([8, 20, 40, 100, 400], ["8", "20", "40", "100", "400"])
    axis.minorticks_off()
    if axis.get_subplotspec().is_last_row():
        axis.set_xlabel("n, rows")
    axis.set_ylim(0, max(0.12, 1.05 * axis.get_ylim()[1]))
    axis.set_title(title, fontsize=9)


def _worst(rows: Iterable[Row]) -> list[Row]:
    """The row of the greatest size at each n."""
    found: dict[int, Row] = {}
    for row in rows:
        n = int(row["n"])
        if row["kind"] != "size":
            continue
        if n not in found or float(row["rate"]) > float(found[n]["rate"]):
            found[n] = row
    return [found[n] for n in sorted(found)]


def print_tables(rows: Sequence[Row]) -> None:
    """Least and greatest rates by n, then the lines of the definitions."""
    for kind, limit in (("size", SIZE_LIMIT), ("coverage", COVERAGE_LIMIT)):
        chosen = [row for row in rows if row["kind"] == kind]
        _print_kind(chosen, kind, limit)
    print("| line | definitions | here |\n| --- | --: | --: |")
    for label, expected, method, wanted in LINES:
        chosen = [row for row in rows if row["method"] == method]
        here = _span([row for row in chosen if _matches(row, wanted)])
        print(f"| {label} | {expected} | {here} |")


def _print_kind(rows: Sequence[Row], kind: str, limit: float) -> None:
    sizes = sorted({int(row["n"]) for row in rows})
    beyond: Callable[[float], bool] = limit.__lt__ if kind == "size" else limit.__gt__
    print(f"| {kind} | " + " | ".join(f"n = {n}" for n in sizes) + " |")
    print("| --- |" + " --: |" * len(sizes))
    for method in sorted({row["method"] for row in rows}):
        mine = [row for row in rows if row["method"] == method]
        cells = [[row for row in mine if int(row["n"]) == n] for n in sizes]
        texts = [
            f"**{_span(cell)}**"
            if any(beyond(float(row["rate"])) for row in cell)
            else _span(cell)
            for cell in cells
        ]
        print(f"| {method} | " + " | ".join(texts) + " |")
    print()


def _matches(row: Row, wanted: dict[str, Sequence[object]]) -> bool:
    return all(row[name] in map(str, values) for name, values in wanted.items())


def _span(rows: Sequence[Row]) -> str:
    """Least to greatest rate."""
    if not rows:
        return ""
    rates = [float(row["rate"]) for row in rows]
    low, high = (f"{rate:.3f}".removeprefix("0") for rate in (min(rates), max(rates)))
    return low if low == high else f"{low}–{high}"
