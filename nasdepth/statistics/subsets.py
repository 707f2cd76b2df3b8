"""Partial correlations in parts of a sample: bands of size, and the best rows.

Exploratory by nature: no part is a test of its own, nothing is corrected for their
number, and each part has fewer rows and less range than the whole. Rows chosen by the
response are worse: the range of what is to be explained is itself restricted, which
biases their correlations, mostly towards 0 (Sackett & Yang 2000,
doi:10.1037/0021-9010.85.1.112), so they are labelled.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nasdepth.statistics.linear import Groups, Interval, Vector, group_codes
from nasdepth.statistics.regression import (
    DRAWS,
    PartialCorrelation,
    partial_correlation,
)

BANDS_LABEL = "exploratory: not corrected for the number of bands"
TOP_LABEL = "range-restricted: rows chosen by the response"
# Rows a part needs beyond its covariates for an interval worth printing.
SPARE_ROWS = 8


@dataclass(frozen=True, slots=True)
class Band:
    """One band of size.

    Attributes:
        range: Least and greatest size of the rows in it.
        result: Partial correlation over its rows.
    """

    range: Interval
    result: PartialCorrelation


@dataclass(frozen=True, slots=True)
class Bands:
    """Partial correlations inside bands of a measure of size.

    Attributes:
        n: Rows.
        bands: From the smallest size to the largest; equal sizes share a band, so
            that there may be fewer bands than asked for.
        label: How the result may be used.
        problem: Why there are no bands, else empty.
    """

    n: int
    bands: tuple[Band, ...] = ()
    label: str = BANDS_LABEL
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TopShare:
    """The partial correlation among the rows with the best responses.

    Attributes:
        n: Rows.
        share: Share of the rows that was asked for.
        threshold: Least response among the chosen rows, None without rows.
        result: Partial correlation over the chosen rows; its `n` counts them, ties
            at the threshold included.
        label: How the result may be used.
    """

    n: int
    share: float
    threshold: float | None
    result: PartialCorrelation
    label: str = TOP_LABEL


def budget_bands(
    response: Vector,
    predictor: Vector,
    covariates: Sequence[Vector],
    size: Vector,
    *,
    bands: int = 4,
    groups: Groups | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Bands:
    """Partial correlation inside each quantile band of a measure of size.

    Args:
        response: One value per row.
        predictor: One value per row.
        covariates: Vectors of one value per row; size itself is best among them,
            since it still varies inside a band.
        size: What is cut into bands of about equal numbers of rows.
        bands: Number of bands.
        groups: The architecture of each row, None if each row is its own.
        seed: Seed of the bootstrap.
        draws: Bootstrap draws.

    Raises:
        ValueError: Fewer than 2 bands.
    """
    if bands < 2:
        raise ValueError(f"bands must be at least 2, but got {bands}.")
    n = len(response)
    if n == 0:
        return Bands(n, problem="0 rows, there is nothing to cut into bands")
    edges = np.quantile(size, np.arange(1, bands) / bands)
    place = np.searchsorted(edges, size, side="left")
    parts = [place == index for index in np.unique(place)]
    if len(parts) < 2:
        return Bands(n, problem="size does not vary enough to be cut into bands")
    table = _Table(response, predictor, tuple(covariates), groups, seed, draws)
    return Bands(
        n,
        tuple(
            Band((float(size[p].min()), float(size[p].max())), table.inside(p))
            for p in parts
        ),
    )


def top_share(
    response: Vector,
    predictor: Vector,
    covariates: Sequence[Vector],
    share: float = 0.1,
    *,
    groups: Groups | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> TopShare:
    """Partial correlation among the share of rows with the largest responses.

    Args:
        response: One value per row, larger is better.
        predictor: One value per row.
        covariates: Vectors of one value per row.
        share: Share of the rows, in (0, 1); rounded up to whole rows.
        groups: The architecture of each row, None if each row is its own.
        seed: Seed of the bootstrap.
        draws: Bootstrap draws.

    Raises:
        ValueError: The share lies outside (0, 1).
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie in (0, 1), but got {share}.")
    n = len(response)
    table = _Table(response, predictor, tuple(covariates), groups, seed, draws)
    if n == 0:
        return TopShare(n, share, None, table.inside(np.zeros(0, dtype=np.bool_)))
    # The product of a decimal share may exceed its whole number by rounding.
    count = math.ceil(share * n - 1e-9)
    threshold = float(np.sort(response)[n - count])
    return TopShare(n, share, threshold, table.inside(response >= threshold))


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """A sample of which parts are looked at."""

    response: Vector
    predictor: Vector
    covariates: tuple[Vector, ...]
    groups: Groups | None
    seed: int
    draws: int

    def inside(self, part: npt.NDArray[np.bool_]) -> PartialCorrelation:
        """The partial correlation over the rows of a part."""
        n, k = int(part.sum()), len(self.covariates)
        if n < k + SPARE_ROWS:
            problem = f"{n} rows, {k} covariates need at least {k + SPARE_ROWS} here"
            return PartialCorrelation(n, k, problem=problem)
        groups, _ = group_codes(self.groups, len(part))
        return partial_correlation(
            self.response[part],
            self.predictor[part],
            [covariate[part] for covariate in self.covariates],
            groups=None if self.groups is None else groups[part],
            seed=self.seed,
            draws=self.draws,
        )
