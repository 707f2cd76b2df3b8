"""Populations of architectures whose true correlations are known.

Two depths and the sizes are jointly normal. The response adds to them a noise of unit
variance: normal; heteroscedastic, its deviation rising as exp(x/2) with the depth x
under test; heavy-tailed, Student's t with 3 degrees of freedom; or normal below a
ceiling, read as an accuracy that is clipped half a test image below 1 and then as minus
the logarithm of its error. In families each column and the noise consist of a part per
family and a part per row.

The truths follow from the loadings and need no simulation. Below the ceiling the
response is a function g of a normal index L, and its covariance with a normal column is
E[g'(L)] times that of L (Stein 1981, doi:10.1214/aos/1176345632): no effect on L is no
effect on g(L), and other effects shrink by a factor that one integral gives.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from nasdepth.statistics.linear import Codes, Vector

Noise: TypeAlias = Literal["normal", "heteroscedastic", "heavy", "ceiling"]
NOISES: tuple[Noise, ...] = get_args(Noise)

#: correlation of two rows of one family: in the noise, and in each predictor, since
#: a family is first of all a range of depths and sizes
NOISE_SHARE, PREDICTOR_SHARE = 0.5, 0.8
#: slope of the response on the other depth and on each size
NUISANCE = 0.4
# Share of a size's variance that the depths explain, and how much of the rest the
# sizes have in common: log params and log MACs correlate at .7.
_SIZE_BY_DEPTH, _SIZE_IN_COMMON = 0.25, 0.6
# Mean and deviation of accuracy below the ceiling (so that 1 % of the rows are
# clipped) and the test images behind it: the order of a small network's on
# Fashion-MNIST.
_ACCURACY, _DEVIATION, _IMAGES = 0.93, 0.03, 10_000
_HEAVY_FREEDOM = 3


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """A sample of a known population.

    Attributes:
        response: One value per row; larger is better.
        first: The depth under test.
        second: The other depth.
        covariates: Logarithms of sizes.
        families: One label per row, empty where rows are independent.
    """

    response: Vector
    first: Vector
    second: Vector
    covariates: tuple[Vector, ...]
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """What holds in the population of `simulate` where rows are independent.

    Attributes:
        partial: Partial correlation of the response with `first`, given the rest.
        slope: Slope on `first` of the best linear prediction from it and the rest.
        delta_r2: What `first` adds to the share of variance that the rest explains.
    """

    partial: float
    slope: float
    delta_r2: float


def simulate(
    n: int,
    *,
    r: float = 0.0,
    noise: Noise = "normal",
    effect: float = 0.0,
    covariates: int = 2,
    families: int = 0,
    nuisance: float = NUISANCE,
    seed: int = 0,
) -> Simulated:
    """Sample in which `first` has a given partial correlation with the response.

    Args:
        n: Rows.
        r: Correlation of the two depths.
        noise: Kind of noise.
        effect: Partial correlation of the response with `first` given `second` and
            the sizes, within families if there are any; below a ceiling that of the
            index under it.
        covariates: Number of sizes.
        families: Families of equal size, 0 for independent rows.
        nuisance: Slope of the response on `second` and on each size.
        seed: Seed of the sample.
    """
    loadings = _loadings(r, covariates)
    slopes = _slopes(loadings, effect, nuisance)
    if families:
        slopes[0] *= math.sqrt((1 - NOISE_SHARE) / (1 - PREDICTOR_SHARE))
    population = _Population(loadings, slopes, loadings[0])
    return _sample(population, n, noise, families, seed)


def simulate_tie(
    n: int,
    *,
    r: float = 0.0,
    noise: Noise = "normal",
    covariates: int = 0,
    seed: int = 0,
) -> Simulated:
    """Sample in which the two depths explain the response equally well.

    They are exchangeable: their slopes are the same, and heteroscedastic noise follows
    their sum. Without sizes each correlates with the response at
    .4 (1 + r) / sqrt(1 + .32 (1 + r)): .35 where r = 0 and .62 where r = .99.

    Args:
        n: Rows.
        r: Correlation of the two depths.
        noise: Kind of noise.
        covariates: Number of sizes.
        seed: Seed of the sample.
    """
    loadings = _loadings(r, covariates)
    both = (loadings[0] + loadings[1]) / math.sqrt(2 + 2 * r)
    population = _Population(loadings, np.full(len(loadings), NUISANCE), both)
    return _sample(population, n, noise, 0, seed)


def truth(
    *, r: float = 0.0, noise: Noise = "normal", effect: float = 0.0, covariates: int = 2
) -> Truth:
    """True partial correlation, slope and ΔR² of `simulate` without families.

    Args:
        r: Correlation of the two depths.
        noise: Kind of noise.
        effect: Partial correlation below the ceiling, where there is one.
        covariates: Number of sizes.
    """
    loadings = _loadings(r, covariates)
    slopes = _slopes(loadings, effect, NUISANCE)
    index = float(np.sum((slopes @ loadings) ** 2)) + 1
    added = effect**2 / (1 - effect**2) / index
    base = 1 - added - 1 / index
    scale = 1.0
    if noise == "ceiling":
        rise, variance = _ceiling_moments()
        scale = rise / math.sqrt(index)
        added, base = rise**2 * added / variance, rise**2 * base / variance
    partial = math.copysign(math.sqrt(added / (1 - base)), effect)
    return Truth(partial, float(slopes[0]) * scale, added)


def _noise(kind: Noise, driver: Vector, generator: np.random.Generator) -> Vector:
    """Independent noise of mean 0 and unit variance, one value per row.

    Below a ceiling the noise is normal: the ceiling acts on the response.

    Args:
        kind: Kind of noise.
        driver: What the deviation of heteroscedastic noise follows, as
            exp(driver / 2 - 1/4): variance 1 where the driver is standard normal.
        generator: Source of the draws.

    Raises:
        ValueError: The kind is unknown.
    """
    n = len(driver)
    if kind == "heavy":
        shrink = math.sqrt((_HEAVY_FREEDOM - 2) / _HEAVY_FREEDOM)
        return generator.standard_t(_HEAVY_FREEDOM, n) * shrink
    if kind == "heteroscedastic":
        return generator.standard_normal(n) * np.exp(driver / 2 - 0.25)
    if kind in ("normal", "ceiling"):
        return generator.standard_normal(n)
    raise ValueError(f"Unknown noise {kind!r}; choose from: {', '.join(NOISES)}.")


def ceiling(index: Vector) -> Vector:
    """Minus log error of accuracies .93 + .03 index, clipped half a test image below 1.

    Args:
        index: Standard normal, larger is better.
    """
    error = 1 - _ACCURACY - _DEVIATION * index
    return np.asarray(-np.log(np.maximum(error, 0.5 / _IMAGES)))


@dataclass(frozen=True, slots=True, eq=False)
class _Population:
    """Jointly normal predictors and what the response makes of them.

    Attributes:
        loadings: `(2 + sizes, sources)`: the predictors' weights of independent
            standard normal sources, rows of unit length.
        slopes: The response's slope on each predictor.
        driver: Weights of the sources in what heteroscedastic noise follows.
    """

    loadings: Vector
    slopes: Vector
    driver: Vector


def _sample(
    population: _Population, n: int, kind: Noise, families: int, seed: int
) -> Simulated:
    """Rows of the population, alike within families if there are any."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) * families // n).astype(np.int64)
    sources = generator.standard_normal((n, population.loadings.shape[1]))
    disturbance = _noise(kind, sources @ population.driver, generator)
    if families:
        sources = _alike(sources, labels, PREDICTOR_SHARE, generator)
        disturbance = _alike(disturbance, labels, NOISE_SHARE, generator)
    columns = sources @ population.loadings.T
    response = columns @ population.slopes + disturbance
    if kind == "ceiling":
        weights = population.slopes @ population.loadings
        response = ceiling(response / math.sqrt(weights @ weights + 1))
    first, second, *sizes = columns.T.copy()
    names = tuple(f"family {label}" for label in labels) if families else ()
    return Simulated(response, first, second, tuple(sizes), names)


def _alike(
    own: Vector, labels: Codes, share: float, generator: np.random.Generator
) -> Vector:
    """Columns of which a share of the variance is common to the rows of one label."""
    common = generator.standard_normal((labels.max() + 1, *own.shape[1:]))[labels]
    return np.asarray(math.sqrt(share) * common + math.sqrt(1 - share) * own)


def _loadings(r: float, covariates: int) -> Vector:
    """Weights of the sources in the two depths (correlated at r) and in the sizes.

    A size is part the depths' sum, part a source of all sizes, part one of its own.

    Raises:
        ValueError: r is no correlation of different depths.
    """
    if not -1 < r < 1:
        raise ValueError(f"r must lie in (-1, 1), but got r={r}.")
    loadings = np.zeros((2 + covariates, 3 + covariates))
    loadings[0, 0] = 1
    loadings[1, :2] = r, math.sqrt(1 - r**2)
    both = (loadings[0] + loadings[1]) / math.sqrt(2 + 2 * r)
    rest = 1 - _SIZE_BY_DEPTH
    for size in range(covariates):
        loadings[2 + size] = math.sqrt(_SIZE_BY_DEPTH) * both
        loadings[2 + size, 2] = math.sqrt(rest * _SIZE_IN_COMMON)
        loadings[2 + size, 3 + size] = math.sqrt(rest * (1 - _SIZE_IN_COMMON))
    return loadings


def _slopes(loadings: Vector, effect: float, nuisance: float) -> Vector:
    """Slopes by which the first predictor's partial correlation is the effect.

    Raises:
        ValueError: The effect is no correlation below 1.
    """
    if not -1 < effect < 1:
        raise ValueError(f"effect must lie in (-1, 1), but got effect={effect}.")
    slopes = np.full(len(loadings), nuisance)
    # Of the first predictor's variance, what the others leave.
    left = 1 / np.linalg.inv(loadings @ loadings.T)[0, 0]
    slopes[0] = effect / math.sqrt((1 - effect**2) * left)
    return slopes


def _ceiling_moments() -> tuple[float, float]:
    """Slope on its standard normal index, and variance, of the clipped log error."""
    index, step = np.linspace(-9, 9, 20_001, retstep=True)
    weight = np.exp(-(index**2) / 2) / math.sqrt(2 * math.pi) * step
    values = ceiling(index)
    mean = weight @ values
    return float(weight @ (values * index)), float(weight @ (values - mean) ** 2)
