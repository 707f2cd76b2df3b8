"""The headline on one sample and its three confirmations, no more.

(i) The signed partial correlation of effective depth given nominal depth and size, and
the mirror, for both readings of nominal depth; (ii) the difference of the raw rank
correlations; (iii) cross-validated R2 of nested models; (iv) with families, fixed
effects and the slopes within and between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from nasdepth.claims.claim import Options
from nasdepth.claims.scope import LEAST_N, held_fixed
from nasdepth.evidence.preregistration import EFFECTIVE, Preregistration
from nasdepth.evidence.units import Sample
from nasdepth.statistics.calibration import offered
from nasdepth.statistics.dependent import DependentCorrelations, compare_correlations
from nasdepth.statistics.grouped import Grouped, within_families
from nasdepth.statistics.linear import Vector
from nasdepth.statistics.nested import ModelFit, cross_validated
from nasdepth.statistics.regression import PartialCorrelation, partial_correlation

Role: TypeAlias = Literal["headline", "mirror"]
# Simulated methods beside the primary one.
_CHECKS = ("fisher_z", "williams_pearson", "meng_pearson")
_WORDS = {
    "fisher_z": "Fisher's z",
    "williams_pearson": "Williams's test",
    "meng_pearson": "Meng's test",
    "partial_correlation": "the interval of the partial correlation",
    "within_families": "the contrast within families",
}
# Families below which folds by family would test too few of them.
_FAMILY_FOLDS = 10


@dataclass(frozen=True, slots=True)
class Fit:
    """One depth and the response, the other depth and the size held fixed.

    Attributes:
        role: ``headline`` is effective depth, ``mirror`` nominal depth.
        reading: Which nominal depth.
        preregistered: Whether that is the preregistered reading.
        predictor: Measure in question.
        covariates: Names of what is held fixed.
        result: The partial correlation.
    """

    role: Role
    reading: str
    preregistered: bool
    predictor: str
    covariates: tuple[str, ...]
    result: PartialCorrelation


@dataclass(frozen=True, slots=True)
class Contrast:
    """Raw correlation of effective depth against that of a rival.

    Attributes:
        rival: The measure.
        ranks: Spearman's correlations, their difference and its interval; the tests on
            ranks do not hold their level and are left out.
        linear: Pearson's on the scale of the fits, with Williams's and Meng's tests.
    """

    rival: str
    ranks: DependentCorrelations
    linear: DependentCorrelations


@dataclass(frozen=True, slots=True)
class Headline:
    """The headline and its confirmations on one sample.

    Attributes:
        unit: What a row of the sample is: ``architectures`` or ``rows``.
        n: Rows of the sample.
        fits: Headline and mirror for both readings, the preregistered one first.
        contrasts: Effective depth against both readings and each baseline.
        models: Nested models, cross-validated.
        folds: What the folds leave whole: ``family`` or ``digest``.
        families: Within and between families, None where there is one family.
        notes: Methods that are not offered at this n, each with the figure that fails.
        cautions: Methods that are, and do not hold everywhere.
    """

    unit: str
    n: int
    fits: tuple[Fit, ...]
    contrasts: tuple[Contrast, ...]
    models: tuple[ModelFit, ...]
    folds: str
    families: Grouped | None
    notes: tuple[str, ...]
    cautions: tuple[str, ...]

    @property
    def primary(self) -> PartialCorrelation:
        """Effective depth given the preregistered nominal depth and size."""
        return self.fits[0].result

    @property
    def mirror(self) -> PartialCorrelation:
        """The preregistered nominal depth given effective depth and size."""
        return self.fits[1].result


def headline(
    sample: Sample, plan: Preregistration, options: Options, *, unit: str
) -> Headline:
    """The headline and its confirmations.

    Args:
        sample: At least `LEAST_N` units at which every name of the plan is defined.
        plan: What is tested.
        options: Seeds and draws.
        unit: What a row of the sample is, in words.
    """
    folds = "family" if len(set(sample.families)) >= _FAMILY_FOLDS else "digest"
    return Headline(
        unit=unit,
        n=len(sample),
        fits=_fits(sample, plan, options),
        contrasts=_contrasts(sample, plan),
        models=_models(sample, plan, folds, options),
        folds=folds,
        families=_families(sample, plan, options),
        notes=tuple(
            f"Not offered: {_worded(*each)}." for each in _withheld(len(sample)).items()
        ),
        cautions=_cautions(sample),
    )


def _cautions(sample: Sample) -> tuple[str, ...]:
    """What must be read with care at this n, with the figures."""
    n = len(sample)
    cautions = []
    interval = offered("partial_correlation", n, kind="coverage")
    if not interval.offered:
        text = _worded("partial_correlation", interval.reason)
        cautions.append(
            f"{text[:1].upper()}{text[1:]}. The error of the verdict, simulated as"
            " such, holds."
        )
    within = offered("within_families", n) if len(set(sample.families)) > 1 else None
    if within is not None and not within.offered:
        text = _worded("within_families", within.reason)
        cautions.append(
            f"{text[:1].upper()}{text[1:]}: it can take a verdict back, never give one."
        )
    return tuple(cautions)


def _worded(method: str, reason: str) -> str:
    """Why a method is not offered, the method in words."""
    return f"{_WORDS[method]}{reason.removeprefix(method)}"


def _withheld(n: int) -> dict[str, str]:
    """Checks that do not hold their level at n, with the reason."""
    offers = {name: offered(name, n) for name in _CHECKS}
    return {name: each.reason for name, each in offers.items() if not each.offered}


def _fits(sample: Sample, plan: Preregistration, options: Options) -> tuple[Fit, ...]:
    """Headline and mirror for both readings."""
    fits = []
    for nominal in plan.readings:
        pairs: tuple[tuple[Role, str, str], ...] = (
            ("headline", EFFECTIVE, nominal),
            ("mirror", nominal, EFFECTIVE),
        )
        for role, predictor, other in pairs:
            names = (other, *_sizes(plan, nominal), *plan.covariates)
            result = partial(sample, plan, predictor, other, options, nominal=nominal)
            if "fisher_z" in _withheld(len(sample)):
                result = replace(result, fisher=None)
            first = nominal == plan.nominal
            fits.append(Fit(role, nominal, first, predictor, names, result))
    return tuple(fits)


def partial(
    sample: Sample,
    plan: Preregistration,
    predictor: str,
    other: str,
    options: Options,
    *,
    nominal: str = "",
) -> PartialCorrelation:
    """Partial correlation of a measure given another, the baselines and covariates."""
    logs = _sizes(plan, nominal or other)
    columns = [sample.measure(predictor), sample.measure(other)]
    columns += sample.covariates(logs, plan.covariates)
    known = ~np.isnan(np.array(columns)).any(axis=0)
    n = int(known.sum())
    if n < LEAST_N:
        problem = f"defined in {n} architectures, at least {LEAST_N} are needed"
        return PartialCorrelation(n, len(columns) - 1, problem=problem)
    first, *rest = (column[known] for column in columns)
    part = sample if known.all() else sample.where(known)
    return partial_correlation(
        sample.response(plan.response)[known],
        first,
        rest,
        groups=_groups(part),
        seed=options.seed,
        draws=options.draws,
    )


def _sizes(plan: Preregistration, nominal: str) -> tuple[str, ...]:
    """Baselines without the nominal depth that is compared."""
    return tuple(name for name in plan.baselines if name != nominal)


def _groups(sample: Sample) -> tuple[str, ...] | None:
    """Digests where rows share them."""
    digests = sample.digests
    return digests if len(set(digests)) < len(digests) else None


def _contrasts(sample: Sample, plan: Preregistration) -> tuple[Contrast, ...]:
    """Effective depth against each rival, alone."""
    response, effective = sample.response(plan.response), sample.measure(EFFECTIVE)
    contrasts = []
    for rival in dict.fromkeys((*plan.readings, *plan.baselines)):
        values = sample.measure(rival, "log" if rival in plan.baselines else "linear")
        known = ~np.isnan(values)
        if known.sum() < LEAST_N:
            continue
        columns = response[known], effective[known], values[known]
        ranks = compare_correlations(*columns)
        linear = compare_correlations(*columns, ranks=False)
        contrasts.append(Contrast(rival, _untested(ranks), _admitted(linear)))
    return tuple(contrasts)


def _untested(found: DependentCorrelations) -> DependentCorrelations:
    """The comparison without tests."""
    return replace(
        found,
        williams_t=None,
        williams_p=None,
        meng_z=None,
        meng_p=None,
        meng_interval=None,
    )


def _admitted(found: DependentCorrelations) -> DependentCorrelations:
    """The comparison without the tests that do not hold their level at its n."""
    withheld = _withheld(found.n)
    if "williams_pearson" in withheld:
        found = replace(found, williams_t=None, williams_p=None)
    if "meng_pearson" in withheld:
        found = replace(found, meng_z=None, meng_p=None, meng_interval=None)
    return found


def _models(
    sample: Sample, plan: Preregistration, folds: str, options: Options
) -> tuple[ModelFit, ...]:
    """Size alone, with each depth, with all of them."""
    size = list(held_fixed(sample, plan))
    depths = {name: sample.measure(name) for name in (*plan.readings, EFFECTIVE)}
    known = {name: v for name, v in depths.items() if not np.isnan(v).any()}
    models: dict[str, Sequence[Vector]] = {"size": size}
    models |= {f"size + {name}": [*size, values] for name, values in known.items()}
    nominal = known.get(plan.nominal)
    if nominal is not None:
        both = [*size, nominal, known[EFFECTIVE]]
        models[f"size + {plan.nominal} + {EFFECTIVE}"] = both
    return cross_validated(
        sample.response(plan.response),
        models,
        groups=sample.families if folds == "family" else sample.digests,
        seed=options.seed,
    )


def _families(
    sample: Sample, plan: Preregistration, options: Options
) -> Grouped | None:
    """Effective depth within and between families, given nominal depth and size."""
    if len(set(sample.families)) < 2:
        return None
    return within_families(
        sample.response(plan.response),
        sample.measure(EFFECTIVE),
        [sample.measure(plan.nominal), *held_fixed(sample, plan)],
        sample.families,
        groups=_groups(sample),
        seed=options.seed,
        draws=options.draws,
    )
