"""From records to the sample of a test: which rows, averaged by architecture.

The unit of replication is the architecture: rows of one digest are averaged and
counted. Only the unselected arm's complete trials enter, because what a sampler chose
or a pruner cut is a biased sample; every row left out is counted with its reason.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from nasdepth.analysis.records import TrialRecord
from nasdepth.analysis.regression import Vector
from nasdepth.measures.catalogue import Scale

Response = Literal["log_error", "accuracy", "rank"]

# Relative difference between two values of one measure that rounding explains.
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Unit:
    """One architecture with the mean of its rows.

    Attributes:
        digest: Identity of the network; the row's number where it has none.
        accuracies: Validation accuracy of each row, in [0, 1].
        images: Validation images behind an accuracy, 0 if unknown.
        measures: Mean of each measure that is defined in every row.
    """

    digest: str
    accuracies: tuple[float, ...]
    images: int
    measures: Mapping[str, float]

    @property
    def accuracy(self) -> float:
        """Mean validation accuracy."""
        return math.fsum(self.accuracies) / len(self.accuracies)


def why_unused(record: TrialRecord) -> str:
    """Why a row is no part of the default sample, empty if it is."""
    if record.arm != "unselected":
        return f"{record.arm} arm"
    if record.state != "complete":
        return record.state
    if record.accuracy is None:
        return "no accuracy"
    return ""


def units_of(records: Iterable[TrialRecord], exact: Sequence[str]) -> tuple[Unit, ...]:
    """One unit per digest, in the order of first appearance.

    Args:
        records: Rows with an accuracy.
        exact: Measures in which all rows of a digest have to agree.

    Raises:
        ValueError: Rows of one digest contradict each other in an exact measure.
    """
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        groups.setdefault(record.digest or f"#{record.number}", []).append(record)
    return tuple(_unit(digest, rows, exact) for digest, rows in groups.items())


def values_of(units: Sequence[Unit], name: str, scale: Scale) -> Vector:
    """One value of a measure per unit on the given scale, NaN where undefined."""
    raw = np.array([unit.measures.get(name, math.nan) for unit in units])
    if scale == "linear":
        return raw
    if scale == "log1p":
        return np.log1p(np.where(raw >= 0, raw, math.nan))
    return np.log(np.where(raw > 0, raw, math.nan))


def response_of(accuracy: Vector, images: Vector, kind: Response) -> Vector:
    """The response, larger is better.

    Args:
        accuracy: Validation accuracies in [0, 1].
        images: Validation images behind each, 0 if unknown.
        kind: ``log_error`` is minus the natural logarithm of the error, which is
            clipped at half an image (half the smallest error seen where the number
            of images is unknown); ``accuracy`` as it is; ``rank`` with ties averaged.
    """
    if kind == "accuracy":
        return accuracy
    if kind == "rank":
        return np.asarray(stats.rankdata(accuracy), dtype=np.float64)
    error = 1 - accuracy
    seen = error[error > 0]
    least = float(seen.min()) / 2 if seen.size else 0.5
    floor = np.where(images > 0, 0.5 / np.maximum(images, 1), least)
    return np.asarray(-np.log(np.maximum(error, floor)))


def reliability_of(units: Sequence[Unit], kind: Response) -> float | None:
    """Share of the response's variance that is no seed noise.

    1 - mean(s^2 / seeds) / var(response), with s^2 pooled over the replicated units
    and ranks taken as accuracies. None where it is not estimable.
    """
    if len(units) < 2:
        return None
    scale: Response = "accuracy" if kind == "rank" else kind
    counts = np.array([len(unit.accuracies) for unit in units])
    every = np.array([value for unit in units for value in unit.accuracies])
    images = np.repeat([unit.images for unit in units], counts)
    rows = np.split(response_of(every, images, scale), np.cumsum(counts)[:-1])
    replicated = [row for row in rows if len(row) > 1]
    variance = float(np.var([row.mean() for row in rows], ddof=1))
    if not replicated or variance == 0:
        return None
    squares = math.fsum(float(np.sum((row - row.mean()) ** 2)) for row in replicated)
    within = squares / sum(len(row) - 1 for row in replicated)
    return 1 - within * float(np.mean(1 / counts)) / variance


def count(reasons: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Each non-empty reason with how often it occurs, the commonest first."""
    return tuple(Counter(reason for reason in reasons if reason).most_common())


def _unit(digest: str, rows: Sequence[TrialRecord], exact: Sequence[str]) -> Unit:
    """The mean of the rows of one digest."""
    for name in exact:
        seen = {row.measures.get(name) for row in rows}
        known = [value for value in seen if value is not None]
        spread = max(known, default=0) - min(known, default=0)
        if spread > _SAME * max(map(abs, known), default=0) or (known and None in seen):
            raise ValueError(
                f"{name} must be the same in all rows of one digest, but got"
                f" {', '.join(map(str, seen))} for digest {digest} in trials"
                f" {', '.join(str(row.number) for row in rows)}."
            )
    return Unit(
        digest=digest,
        accuracies=tuple(row.accuracy for row in rows if row.accuracy is not None),
        images=max(row.validation_images for row in rows),
        measures={
            name: math.fsum(values) / len(rows)
            for name in rows[0].measures
            if len(values := _defined(rows, name)) == len(rows)
        },
    )


def _defined(rows: Sequence[TrialRecord], name: str) -> list[float]:
    """The defined values of a measure."""
    values = (row.measures.get(name) for row in rows)
    return [value for value in values if value is not None]
