"""Parts of a sample: which rows are in them, and what is said of small ones."""

import numpy as np
import pytest

from nasdepth.statistics.linear import Vector
from nasdepth.statistics.regression import partial_correlation
from nasdepth.statistics.subsets import budget_bands, top_share


def sample(n: int, seed: int = 0) -> tuple[Vector, Vector, list[Vector], Vector]:
    """Response, predictor, covariates and size, the size among the covariates."""
    draw = np.random.default_rng(seed)
    size = draw.standard_normal(n)
    other = draw.standard_normal(n)
    predictor = size + draw.standard_normal(n)
    response = 0.5 * predictor + size + draw.standard_normal(n)
    return response, predictor, [other, size], size


def test_a_band_holds_the_partial_correlation_of_its_rows() -> None:
    y, x, z, size = sample(80)

    found = budget_bands(y, x, z, size, seed=3, draws=99)

    rows = np.argsort(size)[20:40]
    inside = [covariate[np.sort(rows)] for covariate in z]
    expected = partial_correlation(
        y[np.sort(rows)], x[np.sort(rows)], inside, seed=3, draws=99
    )
    assert len(found.bands) == 4
    assert found.bands[1].result == expected
    assert found.bands[1].range == (size[rows[0]], size[rows[-1]])


def test_bands_share_out_the_rows_by_size() -> None:
    y, x, z, size = sample(90)

    found = budget_bands(y, x, z, size, bands=3, draws=19)

    assert [band.result.n for band in found.bands] == [30, 30, 30]
    ends = [end for band in found.bands for end in band.range]
    assert ends == sorted(ends)
    assert (ends[0], ends[-1]) == (size.min(), size.max())


def test_equal_sizes_share_a_band() -> None:
    y, x, z, _ = sample(80)
    size = np.repeat([1.0, 2.0], [60, 20])

    found = budget_bands(y, x, z, size, draws=19)

    assert [(band.range, band.result.n) for band in found.bands] == [
        ((1.0, 1.0), 60),
        ((2.0, 2.0), 20),
    ]


def test_bands_are_marked_exploratory() -> None:
    y, x, z, size = sample(80)

    found = budget_bands(y, x, z, size, draws=19)

    assert found.label == "exploratory: not corrected for the number of bands"


def test_band_needs_eight_rows_beyond_its_covariates() -> None:
    y, x, z, size = sample(19)

    found = budget_bands(y, x, z, size, bands=2, draws=19)

    large, small = (band.result for band in found.bands)
    assert (small.n, large.n) == (9, 10)
    assert small.value is small.interval is None
    assert small.problem == "9 rows, 2 covariates need at least 10 here"
    assert large.problem == ""
    assert large.value is not None


def test_size_that_does_not_vary_has_no_bands() -> None:
    y, x, z, _ = sample(40)

    found = budget_bands(y, x, z, np.ones(40))

    assert found.bands == ()
    assert found.problem == "size does not vary enough to be cut into bands"


def test_no_rows_have_no_bands() -> None:
    y, x, z, size = sample(0)

    found = budget_bands(y, x, z, size)

    assert found.problem == "0 rows, there is nothing to cut into bands"


def test_one_band_is_refused() -> None:
    with pytest.raises(ValueError, match="bands must be at least 2, but got 1"):
        budget_bands(*sample(40), bands=1)


def test_top_share_holds_the_partial_correlation_of_the_best_rows() -> None:
    y, x, z, _ = sample(200)

    found = top_share(y, x, z, 0.1, seed=3, draws=99)

    rows = np.sort(np.argsort(y)[-20:])
    expected = partial_correlation(
        y[rows], x[rows], [covariate[rows] for covariate in z], seed=3, draws=99
    )
    assert found.result == expected
    assert found.threshold == y[rows].min()
    assert (found.n, found.share, found.result.n) == (200, 0.1, 20)


def test_top_share_says_that_its_range_is_restricted() -> None:
    y, x, z, _ = sample(200)

    found = top_share(y, x, z, draws=19)

    assert found.label == "range-restricted: rows chosen by the response"


def test_top_share_takes_every_row_that_ties_at_its_threshold() -> None:
    _, x, z, _ = sample(100)
    tied = np.where(np.arange(100) < 35, 1.0, 0.0) + np.eye(100)[0]

    found = top_share(tied, x, z, 0.3, draws=19)

    assert found.threshold == 1
    assert found.result.n == 35


@pytest.mark.parametrize(("share", "count"), [(0.1, 20), (0.07, 14), (0.111, 23)])
def test_share_is_rounded_up_to_whole_rows(share: float, count: int) -> None:
    y, x, z, _ = sample(200)

    assert top_share(y, x, z, share, draws=19).result.n == count


def test_top_share_of_few_rows_is_not_estimable() -> None:
    y, x, z, _ = sample(90)

    found = top_share(y, x, z, 0.1)

    assert found.result.value is None
    assert found.result.problem == "9 rows, 2 covariates need at least 10 here"


def test_no_rows_have_no_top() -> None:
    y, x, z, _ = sample(0)

    found = top_share(y, x, z)

    assert found.threshold is None
    assert found.result.problem == "0 rows, 2 covariates need at least 10 here"


@pytest.mark.parametrize("share", [0.0, 1.0, 10.0])
def test_share_that_is_none_is_refused(share: float) -> None:
    y, x, z, _ = sample(40)

    with pytest.raises(ValueError, match=rf"share must lie in \(0, 1\).*{share}"):
        top_share(y, x, z, share)


def test_architectures_are_the_clusters_of_a_part() -> None:
    y, x, z, size = sample(80)
    groups = [f"digest{row // 2}" for row in range(80)]

    bands = budget_bands(y, x, z, size, bands=2, groups=groups, draws=19)
    top = top_share(y, x, z, 0.5, groups=groups, draws=19)

    low = {groups[row] for row in np.argsort(size)[:40]}
    best = {groups[row] for row in np.argsort(y)[-40:]}
    assert bands.bands[0].result.clusters == len(low) < 40
    assert top.result.clusters == len(best) < 40
