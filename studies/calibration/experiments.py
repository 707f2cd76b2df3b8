"""What one simulated run of a method is: its sample, and what counts as an error.

An experiment takes a cell of the study and a seed and returns events by (method, kind):
for a size whether a true hypothesis was rejected at 5 %, for a coverage whether the
95 % interval held the truth. A method that gave no result returns no event. The
package's own functions are called, by their public signatures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from unittest.mock import patch

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

from nasdepth.claims.finding import verdict_of
from nasdepth.statistics import mixed
from nasdepth.statistics import rivals as rival_models
from nasdepth.statistics.dependent import compare_correlations
from nasdepth.statistics.grouped import within_families
from nasdepth.statistics.linear import basis, residual
from nasdepth.statistics.multiverse import Specification, specification_curve
from nasdepth.statistics.nested import delta_r2
from nasdepth.statistics.regression import partial_correlation
from nasdepth.statistics.simulation import (
    Noise,
    Simulated,
    Truth,
    simulate,
    simulate_tie,
    truth,
)

LEVEL = 0.05
#: smallest effect of interest, as preregistered by default
SMALLEST = 0.2
Events = dict[tuple[str, str], bool]
Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cell:
    """One population, a sample size, and how often it is drawn.

    Attributes:
        experiment: Name in `EXPERIMENTS`.
        n: Rows.
        r: Correlation of the two depths.
        noise: Kind of noise.
        effect: True partial correlation (of the index, below a ceiling).
        families: Families, 0 for independent rows.
        runs: Samples drawn.
        draws: Bootstrap draws or permutations within a run, 0 where there are none.
    """

    experiment: str
    n: int
    r: float
    noise: Noise
    effect: float = 0.0
    families: int = 0
    runs: int = 2000
    draws: int = 399

    def sample(self, seed: int) -> Simulated:
        return simulate(
            self.n,
            r=self.r,
            noise=self.noise,
            effect=self.effect,
            families=self.families,
            seed=seed,
        )

    def truth(self) -> Truth:
        return _truth(self.r, self.noise, self.effect)


@cache
def _truth(r: float, noise: Noise, effect: float) -> Truth:
    return truth(r=r, noise=noise, effect=effect)


def partial(cell: Cell, seed: int) -> Events:
    """The primary test of the first depth given the second and two sizes."""
    data = cell.sample(seed)
    found = partial_correlation(
        data.response,
        data.first,
        (data.second, *data.covariates),
        seed=_other(seed),
        draws=cell.draws,
    )
    events: Events = {}
    if cell.effect == 0 and found.p_value is not None:
        events["partial_correlation", "size"] = found.p_value <= LEVEL
    for method, interval in (
        ("partial_correlation", found.interval),
        ("fisher_z", found.fisher),
    ):
        if interval is not None:
            inside = interval[0] <= cell.truth().partial <= interval[1]
            events[method, "coverage"] = inside
            if cell.effect == 0 and method == "fisher_z":
                events[method, "size"] = not inside
    return events


def verdict(cell: Cell, seed: int) -> Events:
    """The verdict that the primary test and its interval give, by the rules of H1.

    Without an effect *supported* is false; at an effect that is at least the smallest
    of interest *contradicted* is.
    """
    data = cell.sample(seed)
    found = partial_correlation(
        data.response,
        data.first,
        (data.second, *data.covariates),
        seed=_other(seed),
        draws=cell.draws,
    )
    if found.interval is None:
        return {}
    said = verdict_of(found.interval, SMALLEST)
    false = "contradicted" if cell.effect else "supported"
    assert not cell.effect or cell.truth().partial >= SMALLEST - 1e-9
    return {("verdict", "size"): said == false}


def scaled(cell: Cell, seed: int) -> Events:
    """The primary interval as one of the slope, scaled by the sample's deviations.

    The partial correlation is that slope over the population's deviations.
    """
    data = cell.sample(seed)
    given = (data.second, *data.covariates)
    found = partial_correlation(
        data.response, data.first, given, seed=_other(seed), draws=cell.draws
    )
    if found.interval is None:
        return {}
    span = basis(given, cell.n)
    x, y = (residual(each, span)[0] for each in (data.first, data.response))
    true = cell.truth().slope * np.linalg.norm(x) / np.linalg.norm(y)
    inside = bool(found.interval[0] <= true <= found.interval[1])
    return {("partial_slope", "coverage"): inside}


def slopes(cell: Cell, seed: int) -> Events:
    """Student's t of least squares, and of HC3: for contrast, not in the package."""
    data = cell.sample(seed)
    return {
        (f"{name}_t", "size"): p <= LEVEL
        for name, p in _least_squares(data, (data.second, *data.covariates)).items()
    }


def dependent(cell: Cell, seed: int) -> Events:
    """The difference of two equal correlations with the response."""
    data = simulate_tie(cell.n, r=cell.r, noise=cell.noise, seed=seed)
    events: Events = {}
    for suffix, ranks in (("", True), ("_pearson", False)):
        found = compare_correlations(
            data.response, data.first, data.second, ranks=ranks
        )
        if found.williams_p is None or found.meng_p is None or found.interval is None:
            continue
        events["williams" + suffix, "size"] = found.williams_p <= LEVEL
        events["meng" + suffix, "size"] = found.meng_p <= LEVEL
        inside = found.interval[0] <= 0 <= found.interval[1]
        events["difference_interval" + suffix, "coverage"] = inside
    return events


def rivals(cell: Cell, seed: int) -> Events:
    """The J-test of a true model against one that adds nothing; Vuong at a tie.

    Both are run below the sizes from which the package offers them.
    """
    data = cell.sample(seed)
    tie = simulate_tie(cell.n, r=cell.r, noise=cell.noise, covariates=2, seed=seed)
    true, rival = _three_columns_each(cell, data, seed)
    options = {"seed": _other(seed), "draws": cell.draws}
    with patch.object(rival_models, "limits", lambda: rival_models.Limits(0, 0)):
        one = rival_models.j_test(
            data.response, data.second, data.first, data.covariates, **options
        )
        three = rival_models.j_test(data.response, true, rival, (), **options)
        closer = rival_models.vuong(tie.response, tie.first, tie.second, tie.covariates)
    found = {
        "j_test": one.p_first,
        "j_test_three": three.p_first,
        "j_test_asymptotic": _asymptotic(data.response, true, rival),
        "vuong": closer.p_value,
    }
    return {(name, "size"): p <= LEVEL for name, p in found.items() if p is not None}


def _three_columns_each(
    cell: Cell, data: Simulated, seed: int
) -> tuple[list[Vector], list[Vector]]:
    """A true model's columns, and a rival's that correlate with them at r."""
    true = [data.second, *data.covariates]
    generator = np.random.default_rng(_other(seed) + 1)
    other = np.sqrt(1 - cell.r**2)
    rival = [
        cell.r * column + other * generator.standard_normal(cell.n) for column in true
    ]
    return true, rival


def _asymptotic(
    response: Vector, true: list[Vector], rival: list[Vector]
) -> float | None:
    """P of the J-test as Davidson & MacKinnon (1981) have it, not in the package."""
    if len(response) < len(true) + 4:
        return None
    fitted = (
        sm.OLS(response, sm.add_constant(np.column_stack(rival))).fit().fittedvalues
    )
    fit = sm.OLS(response, sm.add_constant(np.column_stack([fitted, *true]))).fit()
    return float(fit.pvalues[1])


def delta(cell: Cell, seed: int) -> Events:
    """The descriptive interval of what the first depth adds to R2."""
    data = cell.sample(seed)
    found = delta_r2(
        data.response,
        (data.second, *data.covariates),
        (data.first,),
        seed=_other(seed),
        draws=cell.draws,
    )
    if found.interval is None:
        return {}
    inside = found.interval[0] <= cell.truth().delta_r2 <= found.interval[1]
    return {("delta_r2", "coverage"): inside}


def families(cell: Cell, seed: int) -> Events:
    """Rows of one family are alike; the depth has no effect, or one within families.

    Fixed effects, family means and the random intercept; the methods that ignore
    families are there for contrast.
    """
    data = cell.sample(seed)
    sizes = (data.second, *data.covariates)
    found = within_families(
        data.response,
        data.first,
        sizes,
        data.families,
        seed=_other(seed),
        draws=cell.draws,
    )
    within = found.within.interval
    events: Events = {}
    if within is not None:
        inside = within[0] <= cell.truth().partial <= within[1]
        events["within_families", "coverage"] = inside
    if cell.effect != 0:
        return events
    tested = {
        "within_families": within,
        "between_families": found.between.interval,
        "mixed_model": found.mixed.interval,
        "bootstrap_ignoring_families": found.overall.interval,
    }
    for name, interval in tested.items():
        if interval is not None:
            events[name, "size"] = not interval[0] <= 0 <= interval[1]
    for name, p in _least_squares(data, sizes).items():
        events[f"{name}_ignoring_families", "size"] = p <= LEVEL
    return events


def single(cell: Cell, seed: int) -> Events:
    """One predictor in few families, nothing else held fixed: mostly for contrast.

    The random intercept is run with fewer families than the package offers it for, and
    its z is what the package's t with few degrees of freedom replaces.
    """
    data = simulate(
        cell.n,
        r=cell.r,
        noise=cell.noise,
        covariates=0,
        families=cell.families,
        nuisance=0.0,
        seed=seed,
    )
    with patch.object(mixed, "MIXED_LEAST", 2):
        found = within_families(
            data.response,
            data.first,
            (),
            data.families,
            seed=_other(seed),
            draws=cell.draws,
        )
    intervals = {
        "within": found.within.interval,
        "bootstrap": found.overall.interval,
        "mixed": found.mixed.interval,
    }
    outside = {
        name: not interval[0] <= 0 <= interval[1]
        for name, interval in intervals.items()
        if interval is not None
    }
    if found.mixed.interval is not None and found.mixed.value is not None:
        quantile = stats.t.isf(LEVEL / 2, cell.families - 2)
        error = (found.mixed.interval[1] - found.mixed.value) / quantile
        outside["mixed_z"] = abs(found.mixed.value) > stats.norm.isf(LEVEL / 2) * error
    for name, p in _least_squares(data, ()).items():
        outside[name] = p <= LEVEL
    return {(f"{name}_one_predictor", "size"): out for name, out in outside.items()}


def curve(cell: Cell, seed: int) -> Events:
    """Four readings of a depth without effect, correlated at .9, and two responses."""
    data = cell.sample(seed)
    generator = np.random.default_rng(_other(seed))
    readings = [
        np.sqrt(0.9) * data.first + np.sqrt(0.1) * generator.standard_normal(cell.n)
        for _ in range(4)
    ]
    responses = {"value": data.response, "rank": stats.rankdata(data.response)}
    found = specification_curve(
        [
            Specification(f"reading {number}", name, reading, response)
            for number, reading in enumerate(readings)
            for name, response in responses.items()
        ],
        (data.second, *data.covariates),
        seed=_other(seed) + 1,
        permutations=cell.draws,
    )
    tested = {
        "specification_curve": found.p_value,
        "specification_curve_robust": found.p_robust,
    }
    return {(name, "size"): p <= LEVEL for name, p in tested.items() if p is not None}


def _least_squares(data: Simulated, given: tuple[Vector, ...]) -> dict[str, float]:
    """P-values of the first depth's slope, with plain and with HC3 errors."""
    if len(data.response) < len(given) + 4:
        return {}
    columns = sm.add_constant(np.column_stack([data.first, *given]))
    fit = sm.OLS(data.response, columns).fit()
    robust = fit.get_robustcov_results("HC3", use_t=True)
    return {"ols": float(fit.pvalues[1]), "hc3": float(robust.pvalues[1])}


def _other(seed: int) -> int:
    """A seed for the method: the sample's own would tie its draws to the data."""
    return seed + 50_000


EXPERIMENTS: dict[str, Callable[[Cell, int], Events]] = {
    "partial": partial,
    "verdict": verdict,
    "scaled": scaled,
    "slopes": slopes,
    "dependent": dependent,
    "rivals": rivals,
    "delta": delta,
    "families": families,
    "single": single,
    "curve": curve,
}
