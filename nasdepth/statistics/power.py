"""Power of the primary test on a measured design, by simulation.

The predictor and the covariates are fixed; only the response is drawn:

    y = b x + e,  b = r / sqrt(1 - r^2),

where x is what the covariates leave of the predictor, scaled to unit variance on its
n - k - 1 degrees of freedom, and e is noise of unit mean variance: r is the partial
correlation in the population. The test is that of `partial_correlation`, the wild
bootstrap-t with HC3, so its price beside Fisher's z is in the figures.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from scipy import stats

from nasdepth.statistics.linear import Vector, basis, residual
from nasdepth.statistics.regression import required_n
from nasdepth.statistics.wild import Design, WildBootstrap

Noise: TypeAlias = Literal["normal", "heteroscedastic", "heavy"]

RUNS: Final = 2000
#: of the test; (draws + 1) * level is an integer at 5 %
DRAWS: Final = 199
#: degrees of freedom of the heavy-tailed noise: kurtosis is infinite, variance is not
_TAILS: Final = 3
#: sizes simulated at most
_STEPS: Final = 4
#: a further size this near, as a share, would tell nothing new
_NEAR: Final = 0.02


@dataclass(frozen=True, slots=True)
class Power:
    """Share of simulated responses in which an effect is detected.

    Attributes:
        n: Rows of the design.
        effect: Partial correlation in the population.
        runs: Simulated responses.
        value: Share of them in which the test rejects, None where there is no test.
        error: Monte Carlo standard error of the share.
        problem: Why there is no test, else empty.
    """

    n: int
    effect: float
    runs: int
    value: float | None = None
    error: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Needed:
    """Rows at which an effect is detected with the wanted power.

    Attributes:
        formula: By Fisher's z.
        n: By simulation, None where that was not possible.
        error: Monte Carlo standard error of n.
        simulated: The powers that n is read from, in the order of their simulation.
        problem: Why nothing was simulated, else empty.
    """

    formula: int
    n: int | None = None
    error: float | None = None
    simulated: tuple[Power, ...] = ()
    problem: str = ""


def simulated_power(
    design: Vector,
    effect: float,
    *,
    runs: int = RUNS,
    seed: int = 0,
    draws: int = DRAWS,
    level: float = 0.05,
    noise: Noise = "normal",
) -> Power:
    """Power of the wild bootstrap-t on a design, with its Monte Carlo error.

    Args:
        design: `(n, 1 + k)`, the predictor and then the covariates; a constant is
            always added, constant and collinear covariates change nothing.
        effect: Partial correlation in the population, in (-1, 1); 0 gives the size.
        runs: Responses to simulate.
        seed: Of the responses and of the test's signs.
        draws: Of the bootstrap.
        level: Of the test.
        noise: "normal"; "heteroscedastic", its deviation 1 + |x| up to a factor;
            "heavy", Student's t on 3 degrees of freedom.

    Raises:
        ValueError: The effect is no correlation, or the noise is unknown.
    """
    _check(effect, noise)
    n = len(design)
    span, x = _held_fixed(design)
    problem = _no_test(x, n, span.shape[1] - 1)
    if problem:
        return Power(n, effect, runs, problem=problem)
    fixed = Design(x / np.linalg.norm(x), span, np.arange(n), n)
    if fixed.problem:
        return Power(n, effect, runs, problem=fixed.problem)
    rejected = 0
    responses = draw_responses(design, effect, runs=runs, seed=seed, noise=noise)
    for run, response in enumerate(responses):
        y, _ = residual(response, span)
        generator = np.random.default_rng(seed + run)
        test = WildBootstrap(y / np.linalg.norm(y), fixed, generator, draws)
        rejected += int(test.p_values(np.zeros(1))[0] <= level)
    share = rejected / runs
    return Power(n, effect, runs, share, _error(share, runs))


def draw_responses(
    design: Vector, effect: float, *, runs: int, seed: int = 0, noise: Noise = "normal"
) -> Vector:
    """Responses of the given partial correlation with a design's predictor.

    Args:
        design: As in `simulated_power`; the covariates do not explain the predictor.
        effect: Partial correlation in the population.
        runs: How many, one row each.
        seed: Of the noise.
        noise: As in `simulated_power`.

    Returns:
        `(runs, n)`.
    """
    span, x = _held_fixed(design)
    unit = x * math.sqrt(len(x) - span.shape[1]) / np.linalg.norm(x)
    generator = np.random.default_rng(seed)
    shape = (runs, len(x))
    if noise == "heavy":
        left = generator.standard_t(_TAILS, shape) / math.sqrt(_TAILS / (_TAILS - 2))
    else:
        left = generator.standard_normal(shape)
    if noise == "heteroscedastic":
        spread = 1 + np.abs(unit)
        left *= spread / math.sqrt(float(np.mean(spread**2)))
    return np.asarray(effect / math.sqrt(1 - effect**2) * unit + left)


def n_for_power(
    design_of: Callable[[int], Vector],
    effect: float,
    *,
    power: float = 0.8,
    runs: int = RUNS,
    seed: int = 0,
    noise: Noise = "normal",
) -> Needed:
    """Rows at which the effect is detected with the wanted power, on real designs.

    Fisher's formula is the start. The effect lies about a sqrt(n) standard errors
    from 0, so that the power is Phi(a sqrt(n) - 1.96): each simulated power gives a,
    that the next n, and all of them together the answer.

    Args:
        design_of: Design of about so many rows, as `simulated_power` takes it.
        effect: Partial correlation in the population, not 0.
        power: Wanted probability of detection, in (0.05, 1).
        runs: Responses to simulate for each size.
        seed: Of the simulations.
        noise: As in `simulated_power`.

    Raises:
        ValueError: The effect or the power is out of range.
    """
    check_power(power)
    covariates = design_of(8).shape[1] - 1
    formula = required_n(effect, covariates, power=power)
    found: list[Power] = []
    n = float(formula)
    while len(found) < _STEPS:
        design = design_of(math.ceil(n))
        known = [each.n for each in found]
        if any(abs(len(design) - size) <= _NEAR * size for size in known):
            break
        now = simulated_power(
            design, effect, runs=runs, seed=seed + len(found) * runs, noise=noise
        )
        if now.problem:
            return Needed(formula, simulated=tuple(found), problem=now.problem)
        found.append(now)
        n = _size(found, power)[0]
    n, error = _size(found, power)
    return Needed(formula, math.ceil(n), error, tuple(found))


def check_power(power: float) -> None:
    """Refuses a power that no size of a test at 5 % has.

    Raises:
        ValueError: The power is out of range.
    """
    if not 0.05 < power < 1:
        raise ValueError(f"power must lie in (0.05, 1), but got {power}.")


def _size(found: Sequence[Power], power: float) -> tuple[float, float]:
    """Rows for the wanted power and their standard error, from simulated powers."""
    bound = float(stats.norm.isf(0.025))
    slopes, weights = [], []
    for each in found:
        # one run more of each kind, so that neither all nor none has no distance
        share = ((each.value or 0.0) * each.runs + 1) / (each.runs + 2)
        distance = float(stats.norm.ppf(share))
        spread = _error(share, each.runs) / float(stats.norm.pdf(distance))
        slopes.append(max(distance + bound, 0.1) / math.sqrt(each.n))
        weights.append(each.n / spread**2)
    slope = float(np.average(slopes, weights=weights))
    wanted = float(stats.norm.ppf(power)) + bound
    n = (wanted / slope) ** 2
    return n, 2 * n / slope / math.sqrt(sum(weights))


def _held_fixed(design: Vector) -> tuple[Vector, Vector]:
    """Basis of the covariates, and what they leave of the predictor."""
    span = basis(list(design[:, 1:].T), len(design))
    return span, residual(design[:, 0], span)[0]


def _no_test(x: Vector, n: int, covariates: int) -> str:
    """Why a design has no test, or empty."""
    if n < covariates + 4:
        return f"{n} rows, {covariates} covariates need at least {covariates + 4}"
    if not x.any():
        return "the predictor is a linear function of the covariates"
    return ""


def _error(share: float, runs: int) -> float:
    return math.sqrt(share * (1 - share) / runs)


def _check(effect: float, noise: str) -> None:
    if not -1 < effect < 1:
        raise ValueError(f"effect must lie in (-1, 1), but got {effect}.")
    if noise not in get_args(Noise):
        choices = ", ".join(get_args(Noise))
        raise ValueError(f"noise must be one of {choices}, but got {noise!r}.")
