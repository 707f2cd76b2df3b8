"""The rows of a claim's test: what kind of network each is, averaged over seeds.

A *setting* is everything but the network: data set, normalisation, learning rate,
number of training images and the factors of the recipe. Rows of one network in one
setting are averaged (a *cell*); cells of one network share its digest, by which they
are resampled together.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from nasdepth.claims.claim import Details, Options
from nasdepth.evidence.observations import Evidence, Observation
from nasdepth.evidence.units import Sample, Unit, by_digest, count, why_unused
from nasdepth.statistics.linear import Vector

Kind: TypeAlias = Literal["plain", "shortcut", "branch", ""]
Arrangement: TypeAlias = Literal["sequential", "parallel", ""]

# Between a digest and its setting; occurs in neither.
_SEPARATOR = "\n"
# Relative difference in parameters up to which two networks count as of one size:
# the places of normalisation differ between families.
_SAME_SIZE = 0.05
_ROUNDING = 1e-6
_SETTING_MEASURES = ("learning_rate", "train_images")
_OWN_FACTORS = frozenset(("setting", "norm", "kind", "arrangement"))


def chosen(
    evidence: Evidence, options: Options, response: str, *, diverged: bool = False
) -> tuple[Observation, ...]:
    """Rows that may enter a test, each told apart by setting, kind and arrangement.

    Args:
        evidence: All rows.
        options: Whether selected rows may enter.
        response: What is explained; rows without it stay out.
        diverged: Whether diverged trainings enter as well, with whatever they have.
    """
    rows = []
    for row in evidence.observations:
        reason = why_unused(row, response, allow_selected=options.allow_selected)
        if reason and not (diverged and _diverged(row, options)):
            continue
        rows.append(replace(row, factors={**row.factors, **_own_factors(row)}))
    return tuple(rows)


def sample_details(
    evidence: Evidence, options: Options, response: str, used: Sequence[Observation]
) -> Details:
    """What of the evidence stayed out of a test, and whether it is exploratory."""
    places = {row.place for row in used}
    reasons = count(
        why_unused(row, response, allow_selected=options.allow_selected)
        or "of another kind"
        for row in evidence.observations
        if row.place not in places
    )
    text = ", ".join(f"{number} {reason}" for reason, number in reasons)
    total = len(evidence.observations)
    unused = f" (unused: {text})" if text else ""
    lines = [("rows at hand", f"{len(used)} of {total}{unused}")]
    if options.allow_selected:
        lines.append(("sample", "exploratory: rows that a sampler chose are in it"))
    return tuple(lines)


def cells(rows: Iterable[Observation]) -> Sample:
    """One unit per network and setting, seeds averaged."""
    return by_digest(
        (
            replace(
                row,
                digest=f"{row.digest or row.place}{_SEPARATOR}{row.factors['setting']}",
            )
            for row in rows
        ),
        (),
    )


def networks_of(sample: Sample) -> tuple[str, ...] | None:
    """Digest of each cell's network, None where every cell has its own."""
    digests = tuple(network_of(unit) for unit in sample.units)
    return digests if len(set(digests)) < len(digests) else None


def network_of(unit: Unit) -> str:
    """Digest of a cell's network."""
    return unit.digest.split(_SEPARATOR)[0]


def level(unit: Unit, name: str) -> str:
    """Level of a factor in which all rows of a cell agree."""
    return next(iter(unit.factors.get(name, {})), "")


def levels(sample: Sample, name: str) -> tuple[str, ...]:
    """Level of a factor, one per cell."""
    return tuple(level(unit, name) for unit in sample.units)


def known(sample: Sample, *columns: Vector) -> Sample:
    """Cells at which every column is a number."""
    return sample.where(np.all([np.isfinite(each) for each in columns], axis=0))


def dummies(labels: Sequence[object]) -> tuple[Vector, ...]:
    """Indicator of each label but the first."""
    seen = list(dict.fromkeys(labels))
    return tuple(
        np.array([float(label == one) for label in labels]) for one in seen[1:]
    )


def varied(
    sample: Sample, key: Callable[[Unit], object], name: str
) -> tuple[Sample, tuple[object, ...]]:
    """Cells whose group varies in a measure, and the group of each.

    Args:
        sample: Cells.
        key: What the members of a group share.
        name: The measure; cells without it stay out.
    """
    sample = known(sample, sample.measure(name))
    groups: dict[object, list[float]] = {}
    for unit in sample.units:
        groups.setdefault(key(unit), []).append(unit.measures[name])
    vary = {one for one, values in groups.items() if _spread(values)}
    kept = sample.where([key(unit) in vary for unit in sample.units])
    return kept, tuple(key(unit) for unit in kept.units)


def matched(sample: Sample, first: str, second: frozenset[str]) -> Sample:
    """Cells of one kind with a cell of another kind equal in setting, W and size.

    Args:
        sample: Cells with weighted layers and parameters.
        first: One kind.
        second: The kinds compared with it.
    """
    sides: dict[bool, dict[object, list[float]]] = {True: {}, False: {}}
    for unit in sample.units:
        kind = level(unit, "kind")
        if kind == first or kind in second:
            sizes = sides[kind == first].setdefault(_place(unit), [])
            sizes.append(unit.measures.get("params", np.nan))

    def has_match(unit: Unit) -> bool:
        kind = level(unit, "kind")
        if kind != first and kind not in second:
            return False
        size = unit.measures.get("params", np.nan)
        others = np.array(sides[kind != first].get(_place(unit), []))
        return bool(np.any(np.abs(others - size) <= _SAME_SIZE * size))

    return sample.where([has_match(unit) for unit in sample.units])


def norm_of(row: Observation) -> str:
    """Normalisation: the factor ``norm``, or what the measure ``batch_norm`` says."""
    if "norm" in row.factors:
        return row.factors["norm"]
    flag = row.measures.get("batch_norm")
    return "" if flag is None else ("batch" if flag else "none")


def kind_of(row: Observation) -> Kind:
    """Plain (one path), with shortcuts, with branches; empty where it is neither.

    A residual network that lacks some of its shortcuts is neither.
    """
    paths = row.measures.get("log2_paths")
    if paths == 0 or (paths is None and row.family == "plain"):
        return "plain"
    if not row.family or row.family == "plain" or row.measures.get("dropped"):
        return ""
    if "inception" in row.family or "googlenet" in row.family:
        return "branch"
    if "parallel" in row.family and arrangement_of(row) != "sequential":
        return "branch"
    return "shortcut"


def arrangement_of(row: Observation) -> Arrangement:
    """Whether one-convolution residual layers stand one after another or in one group.

    Read from the factor ``arrangement``, else from the measures ``branches`` and
    ``layers``, else from the paths: L layers in sequence have 2**L paths and a longest
    path L above the shortest, one group of L has L + 1 paths and 1 above. Empty for
    what lies between, and for a single layer.
    """
    if "arrangement" in row.factors:
        given = row.factors["arrangement"]
        return _arranged(given == "sequential", given == "parallel")
    if "parallel" not in row.family.split("+"):
        return ""
    branches, layers = row.measures.get("branches"), row.measures.get("layers")
    if branches is not None and layers is not None:
        if layers < 2:
            return ""
        return _arranged(branches == 1, branches == layers)
    paths = row.measures.get("log2_paths")
    longest, shortest = (
        row.measures.get(f"{end}_path") for end in ("longest", "shortest")
    )
    if paths is None or longest is None or shortest is None or paths < 1.5:
        return ""
    span = longest - shortest
    return _arranged(abs(paths - span) < _ROUNDING, span == 1)


def _arranged(sequential: bool, parallel: bool) -> Arrangement:
    if sequential:
        return "sequential"
    return "parallel" if parallel else ""


def _own_factors(row: Observation) -> Mapping[str, str]:
    return {
        "setting": _setting_of(row),
        "norm": norm_of(row),
        "kind": kind_of(row),
        "arrangement": arrangement_of(row),
    }


def _setting_of(row: Observation) -> str:
    """Everything but the network, as one label."""
    parts = [row.dataset, f"norm {norm_of(row)}"]
    parts += [
        f"{name} {value}"
        for name, value in sorted(row.factors.items())
        if name not in _OWN_FACTORS
    ]
    parts += [f"{name} {row.measures.get(name)}" for name in _SETTING_MEASURES]
    return ", ".join(parts)


def _diverged(row: Observation, options: Options) -> bool:
    """Whether a training diverged, in an arm that may enter."""
    usable = row.arm == "unselected" or options.allow_selected
    return usable and row.state != "complete" and row.reason.startswith("diverged")


def _place(unit: Unit) -> object:
    return level(unit, "setting"), unit.measures.get("weighted_layers")


def _spread(values: Sequence[float]) -> bool:
    """Whether the values differ beyond rounding."""
    return max(values) - min(values) > _ROUNDING * max(1.0, abs(max(values)))


def tally(labels: Iterable[object]) -> str:
    """Each label with how often it occurs."""
    return ", ".join(f"{n} {label}" for label, n in Counter(labels).items())


def mask_of(sample: Sample, name: str, wanted: str) -> npt.NDArray[np.bool_]:
    """Cells at one level of a factor."""
    return np.array([each == wanted for each in levels(sample, name)], dtype=np.bool_)
