"""Claims H5, H9 and H10: what depth and NN-Mass say among networks of one size.

All are signed partial correlations with the wild bootstrap-t (Frisch & Waugh 1933;
Davidson & Flachaire 2008, doi:10.1016/j.jeconom.2008.08.003). H5 holds a group of
equal networks fixed by its own constant, so that only what was manipulated inside a
group speaks: networks of one nominal depth, number of layers and cost that differ in
their shortcuts (Fischer & Pitts 2026, arXiv:2602.13298, for the claim). H9 is Bhardwaj
et al. 2021 (arXiv:1910.00780). H10 holds params fixed, so that depth decides the width.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from nasdepth.claims.claim import (
    CLAIMS,
    Claim,
    Details,
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
    levels,
    networks_of,
    sample_details,
    varied,
)
from nasdepth.claims.scope import LEAST_N
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.preregistration import EFFECTIVE
from nasdepth.evidence.responses import response_named
from nasdepth.evidence.units import Sample, Unit, lost_trainings, why_unused
from nasdepth.measures.catalogue import label_of
from nasdepth.statistics.linear import Vector, basis, residual
from nasdepth.statistics.regression import (
    PartialCorrelation,
    correlation,
    partial_correlation,
)

_DROPPED = ("nominal_depth", "weighted_layers", "params", "macs")
_PARALLEL = ("weighted_layers", "params")
_CONFOUNDS = ("longest_path", "receptive_field", "log2_paths")
_CELLS = frozenset(("dense", "cell"))
_MASS = "nn_mass"
_EPOCHS = "epochs_to_threshold"


def _h5(evidence: Evidence, options: Options) -> Finding:
    """Effective depth within groups that differ in their shortcuts alone."""
    found = empty("H5", evidence)
    response = evidence.plan.response
    rows = chosen(evidence, options, response)
    every = _with_response(cells(rows), response)
    primary, groups = varied(
        every.where([not _branched(unit) for unit in every.units]),
        _same(_DROPPED),
        EFFECTIVE,
    )
    details = (
        *_parallelised(every, response, options),
        *sample_details(evidence, options, response, rows),
        *_diverged(evidence, options, response),
    )
    if len(primary) < LEAST_N:
        lacks = (
            f"{len(primary)} networks in groups equal in nominal depth, layers, params"
            f" and MACs that differ in effective depth, at least {LEAST_N} are needed"
        )
        return replace(lacking(found, lacks, n=len(primary)), details=details)
    result = _within(primary, groups, response, options)
    result_details = (
        ("groups", str(len(set(groups)))),
        _confounds(primary, groups),
    )
    concluded = concluded_partial(
        found,
        result,
        statistic=(
            f"partial correlation of effective depth with"
            f" {response_named(response).label} within groups equal in nominal depth,"
            " layers, params and MACs"
        ),
        direction="negative",
        smallest=evidence.plan.smallest_effect,
    )
    return replace(concluded, details=(*result_details, *details))


def _h9(evidence: Evidence, options: Options) -> Finding:
    """NN-Mass given params, in networks whose long-range links are concatenated."""
    found = empty("H9", evidence)
    response = evidence.plan.response
    rows = chosen(evidence, options, response)
    every = _with_response(cells(rows), response)
    dense = every.where([_is_dense(unit) for unit in every.units])
    sample = known(dense, dense.measure(_MASS, "log"), dense.measure("params", "log"))
    details = (
        ("without mass", f"{len(dense) - len(sample)} of {len(dense)}"),
        *sample_details(evidence, options, response, rows),
    )
    if len(sample) < LEAST_N:
        lacks = (
            f"{len(sample)} networks of the families dense and cell with positive"
            f" NN-Mass, at least {LEAST_N} are needed"
        )
        return replace(lacking(found, lacks, n=len(sample)), details=details)
    label = response_named(response).label
    concluded = concluded_partial(
        found,
        _given(sample, response, (_MASS, "params"), options),
        statistic=f"partial correlation of log NN-Mass with {label}, given log params",
        direction="positive",
        smallest=evidence.plan.smallest_effect,
    )
    reverse = _given(sample, response, ("params", _MASS), options)
    r = correlation(sample.measure(_MASS, "log"), sample.measure("params", "log"))
    lines = (
        ("log params given log NN-Mass", partial_text(reverse)),
        ("r of log NN-Mass and log params", r.problem or f"{r.pearson:+.3f}"),
    )
    return replace(concluded, details=(*lines, *details))


def _h10(evidence: Evidence, options: Options) -> Finding:
    """Depth with speed of training at equal size, which leaves the width."""
    found = empty("H10", evidence)
    nominal = evidence.plan.nominal
    rows = chosen(evidence, options, _EPOCHS)
    sample = cells(rows)
    sample = known(
        sample,
        sample.response(_EPOCHS),
        sample.measure(nominal, "log"),
        sample.measure("params", "log"),
    )
    details = sample_details(evidence, options, _EPOCHS, rows)
    if len(sample) < LEAST_N:
        lacks = (
            f"{len(sample)} networks with epochs to the threshold, at least {LEAST_N}"
            " are needed"
        )
        return replace(lacking(found, lacks, n=len(sample)), details=details)
    result = partial_correlation(
        sample.response(_EPOCHS),
        sample.measure(nominal, "log"),
        (
            sample.measure("params", "log"),
            *dummies(levels(sample, "kind")),
            *sample.factor("setting"),
        ),
        groups=networks_of(sample),
        seed=options.seed,
        draws=options.draws,
    )
    concluded = concluded_partial(
        found,
        result,
        statistic=(
            f"partial correlation of log {label_of(nominal)} with minus log epochs to"
            " the threshold, given log params"
        ),
        direction="negative",
        smallest=evidence.plan.smallest_effect,
    )
    lines = (("share of depth's variance that is left", f"{result.unexplained:.2f}"),)
    return replace(concluded, details=(*lines, *details))


def _with_response(sample: Sample, response: str) -> Sample:
    return known(sample, sample.response(response))


def _same(names: tuple[str, ...]) -> Callable[[Unit], object]:
    """Setting and measures that the members of a group share."""

    def key(unit: Unit) -> object:
        values = tuple(unit.measures.get(name) for name in names)
        # a network without one of them is in a group of its own
        return unit.digest if None in values else (level(unit, "setting"), *values)

    return key


def _branched(unit: Unit) -> bool:
    """Whether a network has branches, whose number is not what is manipulated."""
    parts = unit.family.split("+")
    return "parallel" in parts or "inception" in parts


def _within(
    sample: Sample, groups: tuple[object, ...], response: str, options: Options
) -> PartialCorrelation:
    """Effective depth with the response, a constant for every group."""
    return partial_correlation(
        sample.response(response),
        sample.measure(EFFECTIVE),
        dummies(groups),
        groups=networks_of(sample),
        seed=options.seed,
        draws=options.draws,
    )


def _given(
    sample: Sample, response: str, names: tuple[str, str], options: Options
) -> PartialCorrelation:
    """The first log measure with the response, given the second and the setting."""
    first, second = (sample.measure(name, "log") for name in names)
    return partial_correlation(
        sample.response(response),
        first,
        (second, *sample.factor("setting")),
        groups=networks_of(sample),
        seed=options.seed,
        draws=options.draws,
    )


def _parallelised(sample: Sample, response: str, options: Options) -> Details:
    """The secondary manipulation: groups of parallel layers, equal in W and params."""
    stacks = sample.where(
        ["parallel" in unit.family.split("+") for unit in sample.units]
    )
    part, groups = varied(stacks, _same(_PARALLEL), EFFECTIVE)
    if len(part) < LEAST_N:
        return (("partial parallelisation", f"{len(part)} networks, too few"),)
    result = _within(part, groups, response, options)
    name, text = _confounds(part, groups)
    return (
        ("partial parallelisation (secondary)", partial_text(result)),
        (f"{name}, parallelised", text),
    )


def _confounds(sample: Sample, groups: tuple[object, ...]) -> tuple[str, str]:
    """What moves with effective depth within the groups."""
    texts = []
    span = basis(dummies(groups), len(sample))
    deff, _ = residual(sample.measure(EFFECTIVE), span)
    for name in _CONFOUNDS:
        values = sample.measure(name)
        if np.isnan(values).any():
            continue
        other, _ = residual(values, span)
        texts.append(f"{label_of(name)} {_cosine(deff, other)}")
    return "r of effective depth within groups", ", ".join(texts) or "unknown"


def _cosine(first: Vector, second: Vector) -> str:
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return f"{float(first @ second) / lengths:+.3f}" if lengths else "constant"


def _diverged(evidence: Evidence, options: Options, response: str) -> Details:
    """Trainings that diverged, which have no response unless divergence is it."""
    if response_named(response).column == "diverged":
        return ()
    lost = 0
    for row in evidence.observations:
        unused = why_unused(row, response, allow_selected=options.allow_selected)
        if row.reason.startswith("diverged") and unused:
            lost += max(1, lost_trainings(row.outcomes))
        elif not unused:
            lost += lost_trainings(row.outcomes)
    return (("diverged trainings, without a response", str(lost)),) if lost else ()


def _is_dense(unit: Unit) -> bool:
    return bool(unit.family) and set(unit.family.split("+")) <= _CELLS


CLAIMS.register("H5")(
    Claim(
        "H5",
        "Shortcuts keep networks trainable because effective depth is lower: among"
        " networks equal in nominal depth, layers and cost, those of lower effective"
        " depth do better.",
        "networks with shortcuts dropped: groups equal in data set, nominal depth,"
        " weighted layers, params and MACs that differ in effective depth, at least"
        f" {LEAST_N} networks in all",
        _h5,
    )
)
CLAIMS.register("H9")(
    Claim(
        "H9",
        "NN-Mass finds networks of equal accuracy and different size: in DenseNet-type"
        " networks larger NN-Mass goes with higher accuracy at equal params.",
        "networks of the families dense and cell with positive NN-Mass, at least"
        f" {LEAST_N}, whose mass and params are no function of each other",
        _h9,
    )
)
CLAIMS.register("H10")(
    Claim(
        "H10",
        "Wide and shallow networks optimise more easily: at equal params a deeper one"
        " needs more epochs.",
        f"at least {LEAST_N} networks with learning curves whose depth and params are"
        " no function of each other",
        _h10,
    )
)
