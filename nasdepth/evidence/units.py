"""From observations to the sample of a test: which rows, averaged by architecture.

The unit of replication is the architecture: rows of one digest are averaged and
counted. Only complete rows of the unselected arm enter, because what a sampler chose
or a pruner cut is a biased sample; every row left out is counted with its reason.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nasdepth.evidence.observations import Observation
from nasdepth.evidence.responses import response_named
from nasdepth.measures.catalogue import Scale, on_scale
from nasdepth.statistics.linear import Vector

# Relative difference between two values of one measure that rounding explains.
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Unit:
    """One architecture with the mean of its rows.

    Attributes:
        digest: Identity of the network; the row's place where it has none.
        places: Where its rows are found.
        family: Kind of network, empty where unknown.
        measures: Mean of each measure that is defined in every row.
        outcomes: Name to the value of every training.
        factors: Name to level to the share of the rows with it.
        images: Images behind an accuracy, 0 if unknown.
    """

    digest: str
    places: tuple[str, ...]
    family: str
    measures: Mapping[str, float]
    outcomes: Mapping[str, tuple[float, ...]]
    factors: Mapping[str, Mapping[str, float]]
    images: int

    def outcome(self, name: str) -> float:
        """Mean of an outcome over the trainings, NaN where there is none."""
        values = self.outcomes.get(name, ())
        return math.fsum(values) / len(values) if values else math.nan


@dataclass(frozen=True, slots=True)
class Sample:
    """The units of a test, column by column; one value per unit everywhere."""

    units: tuple[Unit, ...]

    def __len__(self) -> int:
        """Number of units."""
        return len(self.units)

    def outcome(self, name: str) -> Vector:
        """Mean of an outcome over each unit's trainings, NaN where there is none."""
        return np.array([unit.outcome(name) for unit in self.units], dtype=np.float64)

    def response(self, name: str) -> Vector:
        """A response of `RESPONSES`, larger is better, NaN where it is unknown."""
        kind = response_named(name)
        images = np.array([unit.images for unit in self.units], dtype=np.float64)
        return kind.transform(self.outcome(kind.column), images)

    def measure(self, name: str, scale: Scale = "linear") -> Vector:
        """A measure on the given scale, NaN where it is undefined."""
        values = (on_scale(unit.measures.get(name), scale) for unit in self.units)
        # None becomes NaN
        return np.array(list(values), dtype=np.float64)

    def factor(self, name: str) -> tuple[Vector, ...]:
        """Share of each level of a factor but the first: its dummies, averaged."""
        levels = sorted(
            {level for u in self.units for level in u.factors.get(name, ())}
        )
        return tuple(
            np.array([u.factors.get(name, {}).get(level, 0.0) for u in self.units])
            for level in levels[1:]
        )

    def covariates(
        self, logs: Sequence[str], others: Sequence[str] = ()
    ) -> tuple[Vector, ...]:
        """Columns held fixed: logarithms of measures, then measures and factors."""
        columns = [self.measure(name, "log") for name in logs]
        for name in others:
            columns += self.factor(name) if self.is_factor(name) else ()
            columns += () if self.is_factor(name) else (self.measure(name),)
        return tuple(columns)

    @property
    def digests(self) -> tuple[str, ...]:
        """Digest of each unit: rows that share one are not independent."""
        return tuple(unit.digest for unit in self.units)

    @property
    def families(self) -> tuple[str, ...]:
        """Family of each unit."""
        return tuple(unit.family for unit in self.units)

    def where(self, mask: npt.ArrayLike) -> "Sample":
        """The units at which the mask is true."""
        return Sample(
            tuple(
                unit
                for unit, keep in zip(self.units, np.asarray(mask), strict=True)
                if keep
            )
        )

    def recorded(self) -> tuple[str, ...]:
        """Names of the measures that any unit has, in order of appearance."""
        return tuple(dict.fromkeys(n for unit in self.units for n in unit.measures))

    def is_factor(self, name: str) -> bool:
        """Whether any unit has a level of it."""
        return any(name in unit.factors for unit in self.units)

    def stated(self, name: str) -> Vector:
        """1 where every row of a unit has a level of the factor, else NaN."""
        shares = [math.fsum(u.factors.get(name, {}).values()) for u in self.units]
        whole = np.isclose(np.array(shares, dtype=np.float64), 1)
        return np.where(whole, 1.0, math.nan)


def why_unused(
    row: Observation, response: str = "accuracy", *, allow_selected: bool = False
) -> str:
    """Why a row is no part of the sample, empty if it is.

    Args:
        row: The row.
        response: What is explained; a diverged training is an outcome where
            divergence is, and left out elsewhere.
        allow_selected: Whether rows that a sampler chose may enter.
    """
    column = response_named(response).column
    if row.arm != "unselected" and not allow_selected:
        return f"{row.arm} arm"
    diverged = column == "diverged" and row.reason.startswith("diverged")
    if row.state != "complete" and not diverged:
        return row.reason.split(":")[0] if row.reason else row.state
    return "" if row.outcomes.get(column) else f"no {column.replace('_', ' ')}"


def by_digest(rows: Iterable[Observation], exact: Sequence[str]) -> Sample:
    """One unit per digest, in the order of first appearance.

    Args:
        rows: What enters the sample.
        exact: Measures in which all rows of a digest have to agree.

    Raises:
        ValueError: Rows of one digest contradict each other in an exact measure.
    """
    groups: dict[tuple[str, int], list[Observation]] = {}
    for index, row in enumerate(rows):
        key = (row.digest, -1) if row.digest else (row.place, index)
        groups.setdefault(key, []).append(row)
    for (digest, _), members in groups.items():
        if len(members) > 1:
            _check_agreement(digest, members, exact)
    return Sample(tuple(_unit(name, members) for (name, _), members in groups.items()))


def by_row(rows: Iterable[Observation]) -> Sample:
    """One unit per row; rows of one digest share it."""
    return Sample(tuple(_unit(row.digest or row.place, (row,)) for row in rows))


def reliability_of(sample: Sample, response: str) -> float | None:
    """Share of the response's variance that is no seed noise.

    1 - mean(s^2 / seeds) / var(response), with s^2 pooled over the units of several
    trainings and ranks taken as the outcome itself. None where it is not estimable.
    """
    kind = response_named("accuracy" if response == "rank" else response)
    runs = [unit.outcomes.get(kind.column, ()) for unit in sample.units]
    counts = np.array([len(values) for values in runs if values])
    if len(counts) < 2:
        return None
    every = np.array([value for values in runs for value in values], dtype=np.float64)
    images = np.array([u.images for u in sample.units if u.outcomes.get(kind.column)])
    scaled = kind.transform(every, np.repeat(images, counts).astype(np.float64))
    rows = np.split(scaled, np.cumsum(counts)[:-1])
    variance = float(np.var([row.mean() for row in rows], ddof=1))
    freedom = int(np.sum(counts - 1))
    if not freedom or variance == 0 or not math.isfinite(variance):
        return None
    squares = math.fsum(float(np.sum((row - row.mean()) ** 2)) for row in rows)
    return 1 - squares / freedom * float(np.mean(1 / counts)) / variance


def spread_of(sample: Sample, outcome: str) -> float | None:
    """Standard deviation of an outcome over the trainings of one architecture.

    Pooled over the units of several trainings, None where there are none.
    """
    runs = [np.array(unit.outcomes.get(outcome, ())) for unit in sample.units]
    several = [values for values in runs if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = math.fsum(float(np.sum((v - v.mean()) ** 2)) for v in several)
    return math.sqrt(squares / freedom) if freedom else None


def lost_trainings(outcomes: Mapping[str, Sequence[float]]) -> int:
    """Number of trainings behind a row or unit that diverged and have no accuracy."""
    runs = outcomes.get("diverged", ())
    without = len(runs) - len(outcomes.get("accuracy", ()))
    return max(0, min(sum(value > 0 for value in runs), without))


def count(reasons: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Each non-empty reason with how often it occurs, the commonest first."""
    return tuple(Counter(reason for reason in reasons if reason).most_common())


def _unit(digest: str, rows: Sequence[Observation]) -> Unit:
    """The mean of the rows of one digest."""
    return Unit(
        digest=digest,
        places=tuple(row.place for row in rows),
        family=rows[0].family,
        measures=_means(rows),
        outcomes=_pooled(rows),
        factors=_shares(rows),
        images=max(row.images for row in rows),
    )


def _means(rows: Sequence[Observation]) -> dict[str, float]:
    """Mean of each measure that is defined in every row."""
    if len(rows) == 1:
        return {k: v for k, v in rows[0].measures.items() if v is not None}
    means = {}
    for name in rows[0].measures:
        values = [v for row in rows if (v := row.measures.get(name)) is not None]
        if len(values) == len(rows):
            means[name] = math.fsum(values) / len(rows)
    return means


def _pooled(rows: Sequence[Observation]) -> Mapping[str, tuple[float, ...]]:
    """Every training's outcomes by name."""
    if len(rows) == 1:
        return rows[0].outcomes
    names = dict.fromkeys(name for row in rows for name in row.outcomes)
    return {
        name: tuple(value for row in rows for value in row.outcomes.get(name, ()))
        for name in names
    }


def _shares(rows: Sequence[Observation]) -> dict[str, dict[str, float]]:
    """Share of the rows at each level of each factor."""
    shares: dict[str, dict[str, float]] = {}
    for row in rows:
        for name, level in row.factors.items():
            levels = shares.setdefault(name, {})
            levels[level] = levels.get(level, 0.0) + 1 / len(rows)
    return shares


def _check_agreement(
    digest: str, rows: Sequence[Observation], exact: Sequence[str]
) -> None:
    """Raises if the rows of one digest differ in a measure beyond rounding."""
    for name in exact:
        seen = {row.measures.get(name) for row in rows}
        known = [value for value in seen if value is not None]
        spread = max(known, default=0) - min(known, default=0)
        if spread > _SAME * max(map(abs, known), default=0) or (known and None in seen):
            raise ValueError(
                f"{name} must be the same in all rows of one digest, but got"
                f" {', '.join(map(str, seen))} for digest {digest[:12]} in"
                f" {', '.join(row.place for row in rows)}."
            )
