"""Claims H2, H3 and H4: how networks train as they grow deeper.

Each is one signed partial correlation with the wild bootstrap-t. Three choices are
ours. H2's curvature is that against log depth: a ladder is spaced by factors, so that
no depth has all the leverage, and where depth still helps a response that is concave
in log depth is concave in depth as well: f'' = (g'' - g') / depth**2 with g the
response over log depth. H3 looks at the whole attenuation, slope times layers passed,
since a slope that shrinks as 1/depth attenuates nothing further. H4 looks at epochs to
the threshold, where a diverged training counts one epoch more than the slowest: that
holds both of its other outcomes, divergence and slow training, and is graded where few
trainings diverge. H3 and H4 compare kinds of network at equal setting, weighted layers
and size; their ladder is weighted layers, the one depth that parallel layers share
with a sequence.
"""

from collections import defaultdict
from dataclasses import replace
from itertools import takewhile

import numpy as np
from scipy import stats

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
    mask_of,
    matched,
    network_of,
    networks_of,
    sample_details,
    tally,
)
from nasdepth.claims.scope import LEAST_N
from nasdepth.evidence.observations import Evidence, Observation
from nasdepth.evidence.responses import response_named
from nasdepth.evidence.units import Sample, Unit, lost_trainings
from nasdepth.statistics.linear import Vector
from nasdepth.statistics.regression import PartialCorrelation, partial_correlation

# Definition of a depth ladder.
_DEPTHS, _SEEDS = 6, 3
_EPOCHS = "epochs_to_threshold"
_SKIPPED = frozenset(("shortcut", "branch"))


def _h2(evidence: Evidence, options: Options) -> Finding:
    """Curvature of plain nets' response over log depth, with and without batch norm."""
    found = empty("H2", evidence)
    response = evidence.plan.response
    rows = [
        r for r in chosen(evidence, options, response) if r.factors["kind"] == "plain"
    ]
    sample = cells(rows)
    sample = known(
        sample, sample.response(response), sample.measure("nominal_depth", "log")
    )
    ladder = sample.where([_seeds(unit, response) >= _SEEDS for unit in sample.units])
    depths = {norm: _depths(ladder, norm) for norm in ("batch", "none")}
    lines = tuple(
        (
            f"norm {norm}",
            partial_text(_curvature(_of_norm(ladder, norm), response, options)),
        )
        for norm in depths
    )
    lines += sample_details(evidence, options, response, rows)
    short = [norm for norm, count in depths.items() if count < _DEPTHS]
    if short:
        got = " and ".join(f"{depths[norm]} with norm {norm}" for norm in short)
        lacks = (
            f"plain networks of {_DEPTHS} depths x {_SEEDS} seeds are needed, with"
            f" batch norm and without, but there are {got}"
        )
        return replace(lacking(found, lacks, n=len(ladder)), details=lines)
    concluded = concluded_partial(
        found,
        _curvature(ladder, response, options),
        statistic=(
            f"partial correlation of squared log depth with"
            f" {response_named(response).label} in plain networks, given log depth"
        ),
        direction="negative",
        smallest=evidence.plan.smallest_effect,
    )
    slope = _trend(ladder, response, options)
    return replace(
        concluded, details=(("log depth alone", partial_text(slope)), *lines)
    )


def _curvature(sample: Sample, response: str, options: Options) -> PartialCorrelation:
    """Squared log depth given log depth and the ladder (setting and filters)."""
    depth = _centred_log_depth(sample)
    return partial_correlation(
        sample.response(response),
        depth**2,
        (depth, *_ladders(sample)),
        groups=networks_of(sample),
        seed=options.seed,
        draws=options.draws,
    )


def _trend(sample: Sample, response: str, options: Options) -> PartialCorrelation:
    """Log depth given the ladder."""
    return partial_correlation(
        sample.response(response),
        _centred_log_depth(sample),
        _ladders(sample),
        groups=networks_of(sample),
        seed=options.seed,
        draws=options.draws,
    )


def _centred_log_depth(sample: Sample) -> Vector:
    depth = sample.measure("nominal_depth", "log")
    return depth - depth.mean() if depth.size else depth


def _ladders(sample: Sample) -> tuple[Vector, ...]:
    """A constant for every ladder but the first."""
    return dummies(
        [(level(u, "setting"), u.measures.get("filters")) for u in sample.units]
    )


def _seeds(unit: Unit, response: str) -> int:
    """Trainings behind a cell."""
    return len(unit.outcomes.get(response_named(response).column, ()))


def _depths(sample: Sample, norm: str) -> int:
    return len({u.measures["nominal_depth"] for u in _of_norm(sample, norm).units})


def _of_norm(sample: Sample, norm: str) -> Sample:
    return sample.where(mask_of(sample, "norm", norm))


def _h3(evidence: Evidence, options: Options) -> Finding:
    """Plain x layers interaction in the attenuation at initialization."""
    found = empty("H3", evidence)
    name = "initial_gradient_slope"
    sample = _attenuations(evidence, options, name)
    lacks = _lacking_kinds(sample, frozenset(("shortcut",)))
    trained = _attenuations(evidence, options, "gradient_slope")
    after = (
        (
            "after training",
            partial_text(_attenuation(trained, "gradient_slope", options)),
        )
        if len(trained) >= LEAST_N
        else ("after training", "not recorded for enough networks")
    )
    details = (*_slopes(sample, name), after, *_slopes(trained, "gradient_slope"))
    if lacks:
        lacks = f"{lacks}, with the gradient's slope at initialization"
        return replace(lacking(found, lacks, n=len(sample)), details=details)
    concluded = concluded_partial(
        found,
        _attenuation(sample, name, options),
        statistic=(
            "partial correlation of plain x layers with the gradient's attenuation at"
            " initialization (nats from last to first layer), given both"
        ),
        direction="positive",
        smallest=evidence.plan.smallest_effect,
    )
    return replace(concluded, details=details)


def _attenuations(evidence: Evidence, options: Options, name: str) -> Sample:
    """Plain networks and those with shortcuts, matched, with a gradient slope."""
    sample = cells(chosen(evidence, options, name, diverged=True))
    sample = known(sample, sample.outcome(name), sample.measure("weighted_layers"))
    return matched(sample, "plain", frozenset(("shortcut",)))


def _attenuation(sample: Sample, name: str, options: Options) -> PartialCorrelation:
    """Whether attenuation grows faster with layers in plain networks."""
    layers = sample.measure("weighted_layers")
    return _interaction(
        sample, sample.outcome(name) * (layers - 1), layers, "plain", options
    )


def _interaction(
    sample: Sample, response: Vector, depth: Vector, kind: str, options: Options
) -> PartialCorrelation:
    """Kind x depth given kind, depth, size and setting."""
    of_kind = mask_of(sample, "kind", kind).astype(np.float64)
    centred = depth - depth.mean()
    return partial_correlation(
        response,
        (of_kind - of_kind.mean()) * centred,
        (of_kind, centred, sample.measure("params", "log"), *sample.factor("setting")),
        groups=networks_of(sample),
        seed=options.seed,
        draws=options.draws,
    )


def _slopes(sample: Sample, name: str) -> Details:
    """Mean slope of each kind and norm, in nats a layer."""
    words = name.replace("_", " ")
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for unit in sample.units:
        found[level(unit, "kind"), level(unit, "norm")].append(unit.outcome(name))
    return tuple(
        (
            f"{words}, {kind}, norm {norm or 'unknown'}",
            f"{np.mean(values):+.3f} nats a layer, n {len(values)}",
        )
        for (kind, norm), values in sorted(found.items())
    )


def _lacking_kinds(sample: Sample, skipped: frozenset[str]) -> str:
    """What a comparison of plain networks with others lacks, empty where nothing."""
    kinds = levels(sample, "kind")
    layers = {unit.measures["weighted_layers"] for unit in sample.units}
    plain, other = kinds.count("plain"), sum(kind in skipped for kind in kinds)
    if min(plain, other) >= LEAST_N // 2 and len(layers) >= 3:
        return ""
    return (
        f"{plain} plain networks and {other} with {' or '.join(sorted(skipped))} of"
        f" equal setting, layers and size on {len(layers)} depths, at least"
        f" {LEAST_N // 2} of each on 3 depths are needed"
    )


def _h4(evidence: Evidence, options: Options) -> Finding:
    """Whether shortcuts or branches lose less speed of training with layers."""
    found = empty("H4", evidence)
    rows = chosen(evidence, options, _EPOCHS, diverged=True)
    rows = _with_diverged_epochs(rows)
    sample = cells(rows)
    sample = known(
        sample,
        sample.response(_EPOCHS),
        sample.measure("weighted_layers", "log"),
        sample.measure("params", "log"),
    )
    sample = matched(sample, "plain", _SKIPPED)
    details = (
        *_diverged_shares(sample),
        *_largest_rates(sample),
        *sample_details(evidence, options, _EPOCHS, rows),
    )
    lacks = _lacking_kinds(sample, _SKIPPED)
    if lacks:
        lacks = f"{lacks}, with epochs to the threshold"
        return replace(lacking(found, lacks, n=len(sample)), details=details)
    depth = sample.measure("weighted_layers", "log")
    response = sample.response(_EPOCHS)
    plain = _interaction(sample, response, depth, "plain", options)
    concluded = concluded_partial(
        found,
        plain,
        statistic=(
            "partial correlation of plain x log layers with minus log epochs to the"
            " threshold (a diverged training counted as the slowest), given both"
        ),
        direction="negative",
        smallest=evidence.plan.smallest_effect,
    )
    return replace(concluded, details=details)


def _with_diverged_epochs(rows: tuple[Observation, ...]) -> tuple[Observation, ...]:
    """Rows in which a diverged training counts one epoch more than the slowest.

    The one curve of a row stands for each of its trainings that ended.
    """
    slowest = max((v for row in rows for v in row.outcomes.get(_EPOCHS, ())), default=0)
    if not slowest:
        return rows
    return tuple(
        replace(row, outcomes={**row.outcomes, _EPOCHS: _epochs(row, slowest + 1.0)})
        for row in rows
    )


def _epochs(row: Observation, diverged: float) -> tuple[float, ...]:
    """Epochs to the threshold of each training of a row.

    Args:
        row: With the epochs of one curve or of every training, or of none.
        diverged: What a diverged training counts.
    """
    reached = row.outcomes.get(_EPOCHS, ())
    lost = lost_trainings(row.outcomes)
    if not reached:
        return (diverged,) * max(1, lost)
    ended = len(row.outcomes.get("accuracy", ()))
    each = reached * ended if len(reached) == 1 and lost else reached
    return (*each, *(diverged,) * lost)


def _diverged_shares(sample: Sample) -> Details:
    """Share of diverged trainings of each kind, with Fisher's exact test."""
    table = {}
    for name, kinds in (("plain", {"plain"}), ("others", _SKIPPED)):
        runs = [
            value
            for unit in sample.units
            if level(unit, "kind") in kinds
            for value in unit.outcomes.get("diverged", ())
        ]
        table[name] = (sum(value > 0 for value in runs), len(runs))
    if not all(total for _, total in table.values()):
        return ()
    p_value = stats.fisher_exact(
        [[bad, total - bad] for bad, total in table.values()]
    ).pvalue
    text = ", ".join(f"{name} {bad} of {total}" for name, (bad, total) in table.items())
    return (("diverged trainings", f"{text}, Fisher's p {p_value:.3f} (descriptive)"),)


def _largest_rates(sample: Sample) -> Details:
    """Largest learning rate of each kind's networks up to which none diverged."""
    tried: dict[tuple[str, str], list[tuple[float, bool]]] = defaultdict(list)
    for unit in sample.units:
        rate = unit.measures.get("learning_rate")
        if rate is not None:
            failed = max(unit.outcomes.get("diverged", (0.0,))) > 0
            tried[level(unit, "kind"), network_of(unit)].append((rate, failed))
    if all(len(rates) < 2 for rates in tried.values()):
        return ()
    by_kind: dict[str, list[float]] = defaultdict(list)
    for (kind, _), rates in tried.items():
        stable = takewhile(lambda each: not each[1], sorted(rates))
        by_kind[kind].append(max((rate for rate, _ in stable), default=0.0))
    return tuple(
        (
            f"largest stable learning rate, {kind}",
            tally(f"at {rate:g}" for rate in rates),
        )
        for kind, rates in sorted(by_kind.items())
    )


_LADDER = f"{_DEPTHS} depths x {_SEEDS} seeds"
CLAIMS.register("H2")(
    Claim(
        "H2",
        "In plain networks the returns to nominal depth diminish.",
        f"plain networks of at least {_LADDER}, with batch norm and without",
        _h2,
    )
)
CLAIMS.register("H3")(
    Claim(
        "H3",
        "In plain networks the gradient attenuates with depth, more than in networks"
        " with shortcuts.",
        "plain networks and networks with shortcuts of equal setting, layers and size"
        f" on at least 3 depths, {LEAST_N // 2} of each, with the slope of the log"
        " gradient norm over layers at initialization",
        _h3,
    )
)
CLAIMS.register("H4")(
    Claim(
        "H4",
        "Networks with shortcuts or branches stay trainable as they grow deeper, where"
        " plain ones do not.",
        "plain networks and networks with shortcuts or branches of equal setting,"
        f" layers and size on at least 3 depths, {LEAST_N // 2} of each, with their"
        " learning curves",
        _h4,
    )
)
