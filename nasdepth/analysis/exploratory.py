"""What else can be asked of a sample, marked exploratory: no verdict comes from it."""

from dataclasses import dataclass, replace

import numpy as np

from nasdepth.claims.claim import Options
from nasdepth.claims.scope import held_fixed
from nasdepth.evidence.observations import VARIANTS
from nasdepth.evidence.preregistration import EFFECTIVE, Preregistration
from nasdepth.evidence.responses import ACCURACY, RESPONSES, response_named
from nasdepth.evidence.units import Sample
from nasdepth.measures.catalogue import CATALOGUE, label_of, scale_of
from nasdepth.statistics.calibration import offered
from nasdepth.statistics.linear import Vector
from nasdepth.statistics.multiverse import Curve, Specification, specification_curve
from nasdepth.statistics.nested import DeltaR2, delta_r2
from nasdepth.statistics.regression import Correlation, correlation
from nasdepth.statistics.rivals import JTest, Vuong, j_test, vuong
from nasdepth.statistics.subsets import Bands, TopShare, budget_bands, top_share

_WORDS = {
    "vuong": "Vuong's test",
    "specification_curve": "the curve's permutations of Freedman and Lane",
}


@dataclass(frozen=True, slots=True)
class Alone:
    """One measure and the response, nothing held fixed."""

    measure: str
    label: str
    result: Correlation


@dataclass(frozen=True, slots=True)
class Added:
    """What a depth adds to the R2 of size, beside other covariates."""

    depth: str
    given: tuple[str, ...]
    result: DeltaR2


@dataclass(frozen=True, slots=True)
class Exploratory:
    """Exploratory results on one sample.

    Attributes:
        added: R2 that each depth adds to size, descriptive.
        j_test: Size with nominal against size with effective depth.
        vuong: The same two models by likelihood.
        bands: Partial correlations inside budgets.
        top: The same among the best tenth, range-restricted.
        curve: Every definition of effective depth and every scale of the response.
        notes: Tests that are not offered at this n, each with the figure that fails.
    """

    added: tuple[Added, ...]
    j_test: JTest
    vuong: Vuong
    bands: Bands
    top: TopShare
    curve: Curve
    notes: tuple[str, ...]


def alone(sample: Sample, plan: Preregistration) -> tuple[Alone, ...]:
    """Every recorded measure alone, the known ones first."""
    recorded = [name for name in sample.recorded() if "(" not in name]
    known = [name for name in CATALOGUE if name in recorded]
    response = sample.response(plan.response)
    entries = []
    for name in dict.fromkeys((*known, *sorted(recorded))):
        values = sample.measure(name, scale_of(name))
        defined = ~np.isnan(values)
        result = correlation(response[defined], values[defined])
        entries.append(Alone(name, label_of(name), result))
    return tuple(entries)


def exploratory(sample: Sample, plan: Preregistration, options: Options) -> Exploratory:
    """All exploratory results on units at which every name of the plan is defined."""
    response = sample.response(plan.response)
    effective, nominal = sample.measure(EFFECTIVE), sample.measure(plan.nominal)
    size = held_fixed(sample, plan)
    given = (nominal, *size)
    seed, draws = options.seed, options.draws
    return Exploratory(
        added=_added(sample, plan, options),
        j_test=j_test(response, nominal, effective, size, seed=seed),
        vuong=_offered_vuong(vuong(response, nominal, effective, size)),
        bands=budget_bands(
            response,
            effective,
            given,
            sample.measure(plan.baselines[0]) if plan.baselines else nominal,
            seed=seed,
            draws=draws,
        ),
        top=top_share(response, effective, given, seed=seed, draws=draws),
        curve=_offered_curve(
            specification_curve(specifications(sample, plan), given, seed=seed)
        ),
        notes=_notes(len(sample)),
    )


def _notes(n: int) -> tuple[str, ...]:
    """Tests that do not hold their level at n, with the reason."""
    offers = {name: offered(name, n) for name in _WORDS}
    return tuple(
        f"Not offered: {_WORDS[name]}{each.reason.removeprefix(name)}."
        for name, each in offers.items()
        if not each.offered
    )


def _offered_vuong(found: Vuong) -> Vuong:
    """Vuong's test where it holds its level."""
    if found.problem or offered("vuong", found.n).offered:
        return found
    return Vuong(found.n, problem="not offered, see below")


def _offered_curve(found: Curve) -> Curve:
    """The curve with the joint tests that hold their level."""
    if offered("specification_curve", found.n).offered:
        return found
    return replace(found, p_value=None)


def specifications(sample: Sample, plan: Preregistration) -> tuple[Specification, ...]:
    """Every definition of effective depth with every scale of the response."""
    scales = ACCURACY if plan.response in ACCURACY else (plan.response, "rank")
    responses = {name: _scaled(sample, plan, name) for name in scales}
    return tuple(
        Specification(_worded(name), _scale(plan, scale), values, response)
        for name, values in _definitions(sample).items()
        for scale, response in responses.items()
    )


def _definitions(sample: Sample) -> dict[str, Vector]:
    """Effective depth by each definition and convention that tells units apart anew."""
    kept: dict[str, Vector] = {}
    for name in sample.recorded():
        if name.split(" (")[0] not in VARIANTS:
            continue
        values = sample.measure(name)
        centred = values - values.mean()
        if np.isnan(values).any() or any(
            np.allclose(centred, other - other.mean()) for other in kept.values()
        ):
            continue
        kept[name] = values
    return kept


def _worded(name: str) -> str:
    """A measure in words, with the convention it was recorded under."""
    measure, mark, convention = name.partition(" (")
    return f"{label_of(measure)}{mark}{convention}"


def _scale(plan: Preregistration, name: str) -> str:
    """A scale of the response in words."""
    if name == "rank" and plan.response not in ACCURACY:
        return f"the rank of {response_named(plan.response).label}"
    return response_named(name).label


def _scaled(sample: Sample, plan: Preregistration, name: str) -> Vector:
    """The response on another scale; the rank of it where it is no accuracy."""
    if name == "rank" and plan.response not in ACCURACY:
        response = sample.response(plan.response)
        return RESPONSES["rank"].transform(response, response)
    return sample.response(name)


def _added(
    sample: Sample, plan: Preregistration, options: Options
) -> tuple[Added, ...]:
    """What each depth adds to size, and effective depth to size and each nominal."""
    response, size = sample.response(plan.response), held_fixed(sample, plan)
    cases: list[tuple[str, tuple[str, ...]]] = [
        *((name, ()) for name in (*plan.readings, EFFECTIVE)),
        *((EFFECTIVE, (name,)) for name in plan.readings),
    ]
    entries = []
    for depth, given in cases:
        columns = [sample.measure(name) for name in (depth, *given)]
        if np.isnan(np.array(columns)).any():
            continue
        added, *rest = columns
        found = delta_r2(
            response,
            [*size, *rest],
            [added],
            draws=options.draws,
            seed=options.seed,
            groups=sample.digests,
        )
        entries.append(Added(depth, given, found))
    return tuple(entries)
