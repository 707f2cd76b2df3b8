"""One trained network as the statistics see it, wherever it comes from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median

from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.records import TrialRecord
from nasdepth.evidence.responses import OUTCOMES
from nasdepth.measures.catalogue import measure
from nasdepth.measures.depth import CONVENTIONS

#: definitions of effective depth, and the conventions they are repeated under
VARIANTS = ("effective_depth", "midrange_depth", "merge_depth", "attenuated_depth")
REPEATED = ("projections", "pooling")
#: how the plan of a published table was fixed
SHIPPED = "shipped with nasdepth; the table was public before it"
#: responses that every study records
RECORDED = ("log_error", "accuracy", "rank", "epochs_to_threshold", "diverged")


@dataclass(frozen=True, slots=True)
class Observation:
    """One row of evidence: a network, what is known of it and how it trained.

    Attributes:
        place: Where it is found, for messages: "trial 3", "row 12", "resnet50".
        digest: Identity of the network; an empty one is shared with no other row.
        measures: Name to value, None where the measure is undefined.
        outcomes: Name to values, one for each training behind the row; accuracies
            are in [0, 1].
        family: Kind of network, empty where unknown.
        factors: Name to level of what differs between trainings, as the recipe.
        images: Images behind an accuracy, 0 if unknown.
        arm: ``unselected`` or ``search``; a published table is unselected.
        state: ``complete``, ``pruned`` or ``failed``.
        reason: Why it was pruned or failed, else empty.
        dataset: Label of the data set.
    """

    place: str
    digest: str
    measures: Mapping[str, float | None]
    outcomes: Mapping[str, tuple[float, ...]]
    family: str = ""
    factors: Mapping[str, str] = field(default_factory=dict)
    images: int = 0
    arm: str = "unselected"
    state: str = "complete"
    reason: str = ""
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All rows of one source, with what was committed to beforehand.

    Attributes:
        name: "study fashion-mnist", "nasbench201:cifar10", "mine.csv".
        observations: Every row, usable or not.
        plan: What is tested.
        registered: Where and when the plan was fixed, in words; empty where that was
            not beforehand for this sample, which makes everything exploratory.
        by_row: Whether the literature reports the table per row, so that it is shown
            per row beside the averages by digest.
        left_out: Reason and number of rows that could not even become observations.
        caveats: What a reader has to know of the source.
    """

    name: str
    observations: tuple[Observation, ...]
    plan: Preregistration = Preregistration()  # noqa: RUF009 -- a frozen value
    registered: str = ""
    by_row: bool = False
    left_out: tuple[tuple[str, int], ...] = ()
    caveats: tuple[str, ...] = ()


def observations_of(
    records: Iterable[TrialRecord], threshold: float = 0.0
) -> tuple[Observation, ...]:
    """Rows of a study as observations, with one outcome for each training.

    Args:
        records: The study's rows.
        threshold: Validation accuracy to which epochs are counted; 0 is the median of
            the final accuracies of the complete unselected rows.
    """
    rows = tuple(records)
    finals = [
        row.accuracy
        for row in rows
        if row.accuracy is not None and row.arm == "unselected"
    ]
    level = threshold or (median(finals) if finals else 1.0)
    return tuple(_placed(row, level) for row in rows)


def _placed(row: TrialRecord, threshold: float) -> Observation:
    """One record as an observation; an architecture that is none names its trial."""
    try:
        return _observation(row, threshold)
    except ValueError as error:
        raise ValueError(f"Trial {row.number}: {error}") from error


def _observation(row: TrialRecord, threshold: float) -> Observation:
    """One record as an observation."""
    measured = {k: v for k, v in row.measures.items() if k not in OUTCOMES}
    if row.architecture and row.arm == "unselected":
        measured |= conventions(row.architecture)
    recorded = {
        name: (value,)
        for name, value in row.measures.items()
        if name in OUTCOMES and value is not None
    }
    return Observation(
        place=f"trial {row.number}",
        digest=row.digest,
        measures=measured,
        outcomes=_outcomes(row, threshold) | recorded,
        family=family_of(row.architecture),
        factors=_factors(row.architecture),
        images=row.validation_images,
        arm=row.arm,
        state=row.state,
        reason=row.reason,
        dataset=row.dataset,
    )


def _outcomes(row: TrialRecord, threshold: float) -> dict[str, tuple[float, ...]]:
    """What a study's row says of its trainings.

    A diverged replicate has no accuracy and is counted as diverged. The curve is one,
    whatever the replicates; where it never reaches the threshold it counts one epoch
    more than it had: the least that is known of it.
    """
    outcomes = {"diverged": _divergence(row)}
    if row.accuracy is not None:
        outcomes["accuracy"] = row.ended
    if row.state == "complete" and row.curve:
        reached = (i for i, value in enumerate(row.curve, 1) if value >= threshold)
        outcomes["epochs_to_threshold"] = (float(next(reached, len(row.curve) + 1)),)
    return outcomes


def _divergence(row: TrialRecord) -> tuple[float, ...]:
    """1 for each training that diverged, 0 for any other."""
    if row.accuracies:
        return tuple(float(value is None) for value in row.accuracies)
    return (float(row.diverged_replicates),)


def family_of(architecture: str) -> str:
    """Families of an architecture's stages, joined by "+"; empty for no JSON."""
    if not architecture:
        return ""
    stages = Architecture.from_json(architecture).stages
    return "+".join(sorted({stage.family for stage in stages}))


def _factors(architecture: str) -> Mapping[str, str]:
    """How an architecture normalises, which claims about depth tell apart."""
    if not architecture:
        return {}
    return {"norm": Architecture.from_json(architecture).norm}


@lru_cache(maxsize=4096)
def conventions(architecture: str) -> Mapping[str, float | None]:
    """Effective depth by its other definitions under other conventions.

    Args:
        architecture: Its JSON text.

    Returns:
        "effective_depth (pooling)" and the like to the value.
    """
    graph = lower(Architecture.from_json(architecture))
    return {
        f"{name} ({convention})": value
        for convention in REPEATED
        for name, value in measure(graph, VARIANTS, CONVENTIONS[convention]).items()
    }
