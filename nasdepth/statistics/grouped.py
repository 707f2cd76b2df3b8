"""Slopes within, between and regardless of families of architectures.

Networks of one family share what no covariate measures, so a slope over all rows
mixes how networks differ inside a family with how families differ (Mundlak 1978,
doi:10.2307/1913646; Bell & Jones 2015, doi:10.1017/psrm.2014.7). Primary is the slope
within families: a fixed effect per family among the covariates, tested by the wild
bootstrap-t. It needs no assumption on the families, and it alone holds its level at a
handful of them. Beside it stand the slope over all rows, which ignores families, the
slope of the family means, and a random intercept per family.

All slopes are in standard deviations of the response per standard deviation of the
predictor, both over all rows, so that they can be compared with each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from nasdepth.statistics.linear import (
    Codes,
    Groups,
    Interval,
    Vector,
    basis,
    group_codes,
    is_constant,
    residual,
)
from nasdepth.statistics.mixed import UNIT, Mixed, mixed_model
from nasdepth.statistics.regression import (
    DRAWS,
    PartialCorrelation,
    partial_correlation,
)

__all__ = [
    "BETWEEN_LEAST",
    "UNIT",
    "FamilySummary",
    "Grouped",
    "Mixed",
    "Slope",
    "family_summary",
    "mixed_model",
    "within_families",
]

# Fewer families than this leave the slope of their means undecided by design.
BETWEEN_LEAST = 10


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope in the module's unit.

    Attributes:
        n: Rows, or families where the rows are their means.
        value: The slope, None where it is not estimable.
        interval: By inversion of the wild bootstrap-t; an end at a correlation of -1
            or 1 is none.
        correlation: The signed partial correlation that the slope rescales.
        problem: Why there is no slope or no interval, else empty.
        p_value: Of a slope of 0, by the test that the interval inverts.
    """

    n: int
    value: float | None = None
    interval: Interval | None = None
    correlation: float | None = None
    problem: str = ""
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Grouped:
    """How a predictor and the response go together in a sample of families.

    Attributes:
        families: Families.
        n: Rows.
        informative: Families of two rows or more in which the predictor varies: all
            that the slope within families rests on.
        singles: Rows left out of it, because their family has no other row.
        overall: The slope over all rows; its interval ignores families and excludes 0
            too often where they matter.
        within: The partial correlation with a fixed effect per family: primary.
        slope_within: The same as a slope.
        between: The slope of the unweighted family means.
        mixed: The slope beside a random intercept per family.
        reversal: Whether the slope within families and another one have opposite
            signs and intervals that both exclude 0.
        headline: What the slopes say together, in one sentence.
        problem: Why there is no slope within families, else empty.
    """

    families: int
    n: int
    informative: int
    singles: int
    overall: Slope
    within: PartialCorrelation
    slope_within: Slope
    between: Slope
    mixed: Mixed
    reversal: bool
    headline: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FamilySummary:
    """One family of a sample.

    Attributes:
        family: Its label.
        n: Rows.
        predictor_range: Least and greatest value of the predictor.
        response_range: Least and greatest response.
        correlation: Pearson's r of predictor and response, None below 3 rows or
            where one of them is constant.
    """

    family: str
    n: int
    predictor_range: Interval
    response_range: Interval
    correlation: float | None


def within_families(
    response: Vector,
    predictor: Vector,
    covariates: Sequence[Vector],
    families: Groups,
    *,
    groups: Groups | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Grouped:
    """The slopes within, between and regardless of families.

    A reversal (Simpson 1951, doi:10.1111/j.2517-6161.1951.tb00088.x) is declared only
    where two intervals exclude 0 on opposite sides: signs alone differ half of the
    time without any effect, while this fires at most as often as the test within
    families rejects.

    Args:
        response: One value per row.
        predictor: One value per row.
        covariates: Vectors of one value per row.
        families: The family of each row.
        groups: The architecture of each row, None if each row is its own.
        seed: Seed of the bootstrap.
        draws: Bootstrap draws.
    """
    table = _Table(response, predictor, tuple(covariates), groups, seed, draws)
    codes, count = group_codes(families, table.n)
    unit = _ratio(np.std(predictor), np.std(response)) if table.n else 0.0
    informative = _informative(predictor, codes, count)
    alone = np.bincount(codes, minlength=count)[codes] == 1
    if informative:
        slope, within = _slope(table.within(codes, ~alone), unit)
    else:
        problem = "no family has two rows that differ in the predictor"
        left = int(np.sum(~alone))
        slope = Slope(left, problem=problem)
        within = PartialCorrelation(left, len(covariates), problem=problem)
    overall, _ = _slope(table, unit)
    between = _between(table.means(codes, count), unit)
    reversal, headline = _compare(slope, between, overall)
    return Grouped(
        families=count,
        n=table.n,
        informative=informative,
        singles=int(np.sum(alone)),
        overall=overall,
        within=within,
        slope_within=slope,
        between=between,
        mixed=mixed_model(response, predictor, covariates, families),
        reversal=reversal,
        headline=headline,
        problem=within.problem,
    )


def family_summary(
    response: Vector, predictor: Vector, families: Groups
) -> tuple[FamilySummary, ...]:
    """One line per family, the largest first.

    Args:
        response: One value per row.
        predictor: One value per row.
        families: The family of each row.
    """
    codes, count = group_codes(families, len(response))
    labels = [str(families[int(np.argmax(codes == code))]) for code in range(count)]
    lines = [
        _summary(label, response[codes == code], predictor[codes == code])
        for code, label in enumerate(labels)
    ]
    return tuple(sorted(lines, key=lambda line: -line.n))


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """What a slope is made of."""

    response: Vector
    predictor: Vector
    covariates: tuple[Vector, ...]
    groups: Groups | None
    seed: int
    draws: int

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.response)

    def within(self, codes: Codes, kept: npt.NDArray[np.bool_]) -> "_Table":
        """The rows kept, with an indicator of each family among the covariates."""
        groups, _ = group_codes(self.groups, self.n)
        members = [codes[kept] == code for code in np.unique(codes[kept])]
        return replace(
            self,
            response=self.response[kept],
            predictor=self.predictor[kept],
            covariates=(
                *(covariate[kept] for covariate in self.covariates),
                *(member.astype(np.float64) for member in members[1:]),
            ),
            groups=None if self.groups is None else groups[kept],
        )

    def means(self, codes: Codes, count: int) -> "_Table":
        """The unweighted mean of each family as a row."""
        sizes = np.bincount(codes, minlength=count)

        def mean(values: Vector) -> Vector:
            return np.asarray(np.bincount(codes, values, count) / sizes)

        return replace(
            self,
            response=mean(self.response),
            predictor=mean(self.predictor),
            covariates=tuple(mean(covariate) for covariate in self.covariates),
            groups=None,
        )


def _slope(table: _Table, unit: float) -> tuple[Slope, PartialCorrelation]:
    """The slope of a table, and the partial correlation that it rescales."""
    found = partial_correlation(
        table.response,
        table.predictor,
        table.covariates,
        groups=table.groups,
        seed=table.seed,
        draws=table.draws,
    )
    if found.value is None:
        return Slope(table.n, problem=found.problem), found
    given = basis(table.covariates, table.n)
    y, x = (residual(v, given)[0] for v in (table.response, table.predictor))
    factor = _ratio(np.linalg.norm(y), np.linalg.norm(x)) * unit
    interval = found.interval
    if interval is not None:
        interval = (interval[0] * factor, interval[1] * factor)
    value = found.value * factor
    slope = Slope(table.n, value, interval, found.value, p_value=found.p_value)
    return slope, found


def _between(means: _Table, unit: float) -> Slope:
    """The slope of the families' means, without an interval where they are few."""
    slope, _ = _slope(means, unit)
    if means.n >= BETWEEN_LEAST:
        return slope
    problem = f"between fewer than {BETWEEN_LEAST} families: undecided by design"
    return replace(slope, interval=None, p_value=None, problem=problem)


def _informative(predictor: Vector, codes: Codes, count: int) -> int:
    """The number of families in which the predictor varies."""
    return sum(not is_constant(predictor[codes == code]) for code in range(count))


def _compare(within: Slope, between: Slope, overall: Slope) -> tuple[bool, str]:
    """Whether the slopes show a reversal, and what they say in one sentence."""
    if within.value is None:
        return False, (
            f"No slope within families ({within.problem}): what networks share and"
            " what the predictor does cannot be told apart."
        )
    others = (("between families", between), ("over all rows", overall))
    known = [(place, slope) for place, slope in others if slope.value is not None]
    own = _text("within families", within)
    for place, slope in known:
        if _opposed(within, slope):
            return True, (
                f"Simpson's reversal: the slope is {own} but {_text(place, slope)}."
            )
    texts = " and ".join(_text(place, slope) for place, slope in known)
    if any(slope.value * within.value < 0 for _, slope in known if slope.value):
        return False, (
            f"The slopes differ in sign, {own}, {texts}, but no two intervals exclude"
            " 0 on opposite sides: a Simpson's reversal is possible, not shown."
        )
    return False, f"The slopes have one sign: {own}, {texts or 'nothing beside it'}."


def _opposed(first: Slope, second: Slope) -> bool:
    """Whether two intervals exclude 0 on opposite sides."""
    if first.interval is None or second.interval is None:
        return False
    return (first.interval[0] > 0 > second.interval[1]) or (
        second.interval[0] > 0 > first.interval[1]
    )


def _text(place: str, slope: Slope) -> str:
    """A slope with its interval, in words."""
    if slope.interval is None:
        return f"{slope.value:+.2f} {place}"
    low, high = slope.interval
    return f"{slope.value:+.2f} [{low:+.2f}, {high:+.2f}] {place}"


def _summary(family: str, response: Vector, predictor: Vector) -> FamilySummary:
    """The line of one family."""
    r = None
    if len(response) > 2 and not (is_constant(response) or is_constant(predictor)):
        r = float(stats.pearsonr(predictor, response).statistic)
    return FamilySummary(
        family,
        len(response),
        (float(predictor.min()), float(predictor.max())),
        (float(response.min()), float(response.max())),
        r,
    )


def _ratio(numerator: float | np.floating, denominator: float | np.floating) -> float:
    """A quotient, 0 where the denominator is."""
    return float(numerator / denominator) if denominator else 0.0
