"""Claim H8: how the loss of stacked and parallel layers moves with their numbers.

Bermeitinger, Hrycej & Handschuh 2023 (arXiv:2309.08414), figures 3 to 5. Each series is
one partial correlation with the wild bootstrap-t, given the curve that a network is on
(setting and arrangement); all three have to trend, so that the weakest is the claim's
(an intersection-union test, Berger 1982, doi:10.1080/00401706.1982.10487790). Which way
they trend is our reading of the captions: the loss falls with layers and with filters,
and rises with their ratio.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from nasdepth.claims.claim import (
    CLAIMS,
    Claim,
    Options,
    concluded_partial,
    empty,
    lacking,
    partial_text,
)
from nasdepth.claims.finding import Finding
from nasdepth.claims.rows import (
    cells,
    chosen,
    dummies,
    known,
    level,
    networks_of,
    sample_details,
)
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.units import Sample
from nasdepth.statistics.linear import Vector
from nasdepth.statistics.regression import PartialCorrelation, partial_correlation

_LOSS = "validation_loss"
# Below it a series says nothing of a trend.
_LEAST_LEVELS = 4


@dataclass(frozen=True, slots=True)
class _Series:
    """One figure: which networks, what varies, and the sign of the response's trend."""

    name: str
    fixed: str
    value: float
    moves: str
    sign: int


_SERIES = (
    _Series("layers at 1 filter", "filters", 1, "layers", 1),
    _Series("filters at 16 layers", "layers", 16, "filters", 1),
    _Series("layers / filters at product 32", "product", 32, "ratio", -1),
)


def _h8(evidence: Evidence, options: Options) -> Finding:
    """The weakest trend of the three series."""
    found = empty("H8", evidence)
    rows = chosen(evidence, options, _LOSS)
    sample = cells(rows)
    sample = known(
        sample,
        sample.response(_LOSS),
        sample.measure("layers", "log"),
        sample.measure("filters", "log"),
    )
    sample = sample.where(
        [unit.factors["kind"].keys() <= {"shortcut", "branch"} for unit in sample.units]
    )
    parts = {each.name: _part(sample, each) for each in _SERIES}
    results = {each.name: _trend(parts[each.name], each, options) for each in _SERIES}
    details = (
        *((name, partial_text(result)) for name, result in results.items()),
        *(_taus(parts[each.name], each) for each in _SERIES),
        *sample_details(evidence, options, _LOSS, rows),
    )
    thin = [
        f"{levels} levels of {each.name}"
        for each in _SERIES
        if (levels := len(set(_column(parts[each.name], each.moves)))) < _LEAST_LEVELS
    ]
    if thin:
        lacks = f"{' and '.join(thin)}, at least {_LEAST_LEVELS} of each are needed"
        return replace(lacking(found, lacks, n=len(sample)), details=details)
    return replace(_weakest(found, results, evidence), details=details)


def _weakest(
    found: Finding, results: dict[str, PartialCorrelation], evidence: Evidence
) -> Finding:
    """The finding of the series with the least trend, its p the greatest of all."""
    name, result = min(
        results.items(),
        key=lambda item: -2.0 if item[1].value is None else item[1].value,
    )
    concluded = concluded_partial(
        found,
        result,
        statistic=(
            "partial correlation of minus log validation loss with the figures'"
            f" direction in the weakest series ({name}), given setting and arrangement"
        ),
        direction="positive",
        smallest=evidence.plan.smallest_effect,
    )
    if concluded.p_value is None:
        return concluded
    return replace(concluded, p_value=max(r.p_value or 0.0 for r in results.values()))


def _part(sample: Sample, series: _Series) -> Sample:
    """Cells of a series: sequential or one group, a single layer counted as both."""
    values = _column(sample, series.fixed)
    ends = [
        bool(level(unit, "arrangement")) or unit.measures["layers"] == 1
        for unit in sample.units
    ]
    return sample.where((values == series.value) & np.array(ends, dtype=np.bool_))


def _column(sample: Sample, name: str) -> Vector:
    """Layers, filters, their product or their ratio."""
    layers, filters = sample.measure("layers"), sample.measure("filters")
    columns = {
        "layers": layers,
        "filters": filters,
        "product": layers * filters,
        "ratio": layers / filters,
    }
    return columns[name]


def _trend(sample: Sample, series: _Series, options: Options) -> PartialCorrelation:
    """Response with what moves in a series, in the direction of the figure."""
    return partial_correlation(
        sample.response(_LOSS),
        series.sign * np.log(_column(sample, series.moves)),
        dummies(_curves(sample)),
        groups=networks_of(sample),
        seed=options.seed,
        draws=options.draws,
    )


def _curves(sample: Sample) -> tuple[tuple[str, str], ...]:
    """Which curve of the figure a cell is on."""
    return tuple(
        (level(unit, "setting"), level(unit, "arrangement") or "sequential")
        for unit in sample.units
    )


def _taus(sample: Sample, series: _Series) -> tuple[str, str]:
    """Kendall's tau of the loss with what moves, for each arrangement."""
    curves = np.array([curve[1] for curve in _curves(sample)])
    moved, loss = _column(sample, series.moves), sample.outcome(_LOSS)
    texts = []
    for name in ("sequential", "parallel"):
        own = curves == name
        if (
            own.sum() < _LEAST_LEVELS
            or np.ptp(moved[own]) == 0
            or np.ptp(loss[own]) == 0
        ):
            texts.append(f"{name} too few")
            continue
        tau = stats.kendalltau(moved[own], loss[own]).statistic
        texts.append(f"{name} {tau:+.2f} (n {int(own.sum())})")
    return f"Kendall's tau of the loss, {series.name}", ", ".join(texts)


CLAIMS.register("H8")(
    Claim(
        "H8",
        "The loss of stacked and parallel layers falls with layers (1 filter) and with"
        " filters (16 layers), and rises with layers / filters (product 32).",
        "one-convolution residual networks, in sequence or in one parallel group, with"
        f" the measures layers and filters: {_LEAST_LEVELS} levels or more of each of"
        " the three series",
        _h8,
    )
)
