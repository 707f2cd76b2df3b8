"""A study's configuration: validated TOML, one section for each concern."""

import json
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    model_validator,
)

from nasdepth.architecture.registry import unknown
from nasdepth.evidence.observations import RECORDED
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.measures.catalogue import CATALOGUE
from nasdepth.search.space_config import Section, SpaceConfig
from nasdepth.training.data import DataConfig
from nasdepth.training.recipe import TrainingConfig
from nasdepth.training.schedule import rungs

#: what pydantic calls a key that is unknown
_FOREIGN: Final = ("extra_forbidden", "unexpected_keyword_argument")
#: keys younger than the first studies, at their defaults
_YOUNGER: Final[Mapping[str, Any]] = {
    "space.dropped": False,
    "preregistration.covariates": [],
    "preregistration.threshold": 0.0,
    "design.replicates": 1,
    "training.rungs": [],
    "training.cooldown": 0.0,
    "training.halvings": 1,
    "training.deterministic": False,
    "training.compile": False,
    "training.cuda_graph": False,
}
#: a cost that is timed, see `network/latency.py`
LATENCY: Final = "latency"
#: costs known from the graph
COSTS: Final = tuple(name for name, row in CATALOGUE.items() if row.cost)


def _objectives(names: tuple[str, ...]) -> tuple[str, ...]:
    choices = [*COSTS, LATENCY]
    if names[:1] != ("accuracy",) or len(names) > 2:
        raise ValueError(
            f"must be accuracy, or accuracy and one of {', '.join(choices)}, but got "
            f"{','.join(names) or 'nothing'}"
        )
    for name in names[1:]:
        if name not in choices:
            raise ValueError(unknown("cost", name, choices))
    return names


def _corner(reference: tuple[float, float]) -> tuple[float, float]:
    accuracy, cost = reference
    if not (0 <= accuracy < 1 and cost > 0):
        raise ValueError(
            "must be [accuracy, cost], accuracy in [0, 1) and cost above 0, but got "
            f"{list(reference)}"
        )
    return reference


def _measures(weights: dict[str, float]) -> dict[str, float]:
    for name in weights:
        CATALOGUE[name]
    return weights


def _measured(plan: Preregistration) -> Preregistration:
    if plan.response not in RECORDED:
        raise ValueError(unknown("response of a study", plan.response, RECORDED))
    for name in (*plan.baselines, *plan.covariates):
        CATALOGUE[name]
    return plan


class BudgetConfig(Section):
    """Greatest cost of a candidate; None sets no limit.

    Attributes:
        params: learnable parameters.
        macs: multiply-accumulates for one image.
        peak_memory: bytes of activations alive at once in a forward pass of one image.
    """

    params: int | None = Field(None, ge=1)
    macs: int | None = Field(None, ge=1)
    peak_memory: int | None = Field(None, ge=1)

    def limits(self) -> dict[str, int]:
        """Measure → limit, of those that are set."""
        return {k: v for k, v in self.model_dump().items() if v is not None}


class ScreenConfig(Section):
    """The training-free stage.

    Attributes:
        pool: candidates scored for one trial.
        neighbours: share of the pool that are neighbours of the best trials.
        weights: measure → weight of its z-score in the pool.
    """

    pool: int = Field(64, ge=1)
    neighbours: float = Field(0.5, ge=0, le=1)
    weights: Annotated[dict[str, float], AfterValidator(_measures)] = Field(
        default_factory=lambda: {"effective_depth": 1.0, "nn_mass": 1.0}
    )


class DesignConfig(Section):
    """The unselected arm: architectures spread over the space, trained to the end.

    Attributes:
        trials: how many.
        candidates: feasible architectures to choose each one from.
        replicates: trainings of each, with seeds of their own; its value is the mean
            of those that did not diverge.
    """

    trials: int = Field(12, ge=0)
    candidates: int = Field(25, ge=1)
    replicates: int = Field(1, ge=1, le=64)


class GuideConfig(Section):
    """The sampler "guided": see docs/search.md.

    Attributes:
        start: trials spread over the space before the model leads; those of the
            unselected arm count.
        pool: feasible candidates that the model compares for each trial.
    """

    start: int = Field(5, ge=2)
    pool: int = Field(2000, ge=10)


class PrunerConfig(Section):
    """Which trainings end early.

    Attributes:
        kind: "halving" is successive halving (Jamieson & Talwalkar 2016,
            arXiv:1502.07943); "short" ends all at the first rung but those that the
            guide wants finished, "top" too, which finishes the best when all are there.
        first_rung: epoch of the first decision; 0 is 1 / factor**2 of the epochs, and
            not before 50 steps.
        factor: of the epochs from rung to rung; one trial in so many goes on.
        confirm: of so many trials one finishes the best short run; of "top" at the end.
    """

    kind: Literal["halving", "short", "top"] = "halving"
    first_rung: int = Field(0, ge=0)
    factor: int = Field(3, ge=2)
    confirm: int = Field(10, ge=2)


class SearchConfig(Section):
    """How the study runs.

    Attributes:
        sampler: that chooses the candidates; all but "guided" propose one for a pool
            that is scored by `ScreenConfig`.
        objectives: "accuracy", and for a Pareto front a cost known before training.
        reference: accuracy and cost that a network must beat to count for the front;
            None for the worst one expected of what was tried, and a little beyond the
            greatest cost in the pool.
        log_cost: whether the logarithm of the cost counts.
        prior_study: study in the same storage whose results are prior knowledge.
        n_trials: the study's total, complete and pruned.
        seed: of everything random.
        workers: processes; "auto" is as many as the processor has usable cores, or as
            the GPU has room for.
        threads: of each process on the CPU.
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    sampler: Literal["guided", "tpe", "nsgaii", "gp", "random", "qmc", "evolution"] = (
        "guided"
    )
    objectives: Annotated[tuple[str, ...], AfterValidator(_objectives)] = ("accuracy",)
    reference: Annotated[tuple[float, float], AfterValidator(_corner)] | None = None
    log_cost: bool = True
    prior_study: str = ""
    n_trials: int = Field(40, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)
    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    threads: int = Field(1, ge=1)
    device: str = "auto"

    @property
    def cost(self) -> str | None:
        """The objective beside accuracy; None where there is none."""
        return self.objectives[1] if len(self.objectives) > 1 else None

    @model_validator(mode="after")
    def _guided_alone(self) -> Self:
        """Raises where another sampler is asked for what only the guide does."""
        if self.reference is not None and self.cost is None:
            raise ValueError("reference needs a cost among objectives, but got none")
        for name in ("objectives", "reference", "prior_study"):
            default = type(self).model_fields[name].default
            if self.sampler != "guided" and getattr(self, name) != default:
                raise ValueError(
                    f"{name} needs sampler = 'guided', but got {self.sampler!r}"
                )
        return self


class StudyConfig(Section):
    """All that defines a study; `name` defaults to the file's stem."""

    name: str = Field("", max_length=200)
    data: DataConfig
    space: SpaceConfig = SpaceConfig()
    budget: BudgetConfig = BudgetConfig()
    screen: ScreenConfig = ScreenConfig()
    guide: GuideConfig = GuideConfig()
    design: DesignConfig = DesignConfig()
    training: TrainingConfig = TrainingConfig()
    pruner: PrunerConfig = PrunerConfig()
    search: SearchConfig = SearchConfig()
    preregistration: Annotated[Preregistration, AfterValidator(_measured)] = (
        Preregistration()
    )

    def to_json(self) -> str:
        """JSON text that `from_json` reads back."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> "StudyConfig":
        """Inverse of `to_json`."""
        return _checked(json.loads(text), "the stored study")

    def with_search(self, values: Mapping[str, Any]) -> "StudyConfig":
        """The configuration with other values of [search].

        Raises:
            ValueError: a value out of range.
        """
        search = {**self.search.model_dump(), **values}
        return _checked({**self.model_dump(), "search": search}, "the command line")

    def rungs(self, images: int) -> tuple[int, ...]:
        """Epochs at which trials are compared; the last is the end.

        Args:
            images: to train on.
        """
        training, pruner = self.training, self.pruner
        steps = max(1, images // training.batch_size)
        return rungs(
            training.epochs, steps, factor=pruner.factor, first=pruner.first_rung
        )

    @model_validator(mode="after")
    def _guide_confirms(self) -> Self:
        """Raises where short runs have nobody who finishes the best."""
        kind, sampler = self.pruner.kind, self.search.sampler
        if kind != "halving" and sampler != "guided":
            raise ValueError(
                f"pruner.kind = {kind!r} needs search.sampler = 'guided', but got "
                f"{sampler!r}"
            )
        return self

    @model_validator(mode="after")
    def _pruner_sets_rungs(self) -> Self:
        """Raises where rungs are set beside those of the pruner."""
        if self.training.rungs:
            raise ValueError(
                "training.rungs follow from [pruner], but got "
                f"{list(self.training.rungs)}; set pruner.first_rung and pruner.factor"
            )
        return self

    def fixed(self) -> dict[str, Any]:
        """What may not change while a study goes on, by dotted key."""
        sections = ("data", "space", "budget", "training", "preregistration", "design")
        content = json.loads(self.to_json())
        flat = {
            f"{name}.{key}": value
            for name in sections
            for key, value in content[name].items()
        }
        # where the files lie is no property of the data; their content is checked apart
        flat.pop("data.path")
        return {**flat, "search.seed": self.search.seed}

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of what may not change.

        A key that is younger than the first studies counts where it is not at its
        default, so that a study of before keeps its digest.
        """
        fixed = self.fixed()
        told = {k: v for k, v in fixed.items() if (k, v) not in _YOUNGER.items()}
        return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class _PlanFile(Section):
    """The part of a TOML file that `load_plan` reads."""

    preregistration: Preregistration


def load_config(path: Path) -> StudyConfig:
    """Study configuration of a TOML file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no TOML, an unknown key (with the nearest), a value out of range.
    """
    config = _checked(_toml(path), str(path))
    return config if config.name else config.model_copy(update={"name": path.stem})


def load_plan(path: Path) -> Preregistration:
    """The [preregistration] of a TOML file: of a study, or of a published table.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no TOML, no such section, an unknown key, a value out of range.
    """
    content = _toml(path)
    # a study's file may leave the section out: then it is the default
    section = content.get("preregistration", {} if "data" in content else None)
    if section is None:
        raise ValueError(f"{path} must have a section [preregistration].")
    try:
        return _PlanFile(preregistration=section).preregistration
    except ValidationError as error:
        raise ValueError(_message(error, str(path))) from None


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"No study file {str(path)!r}.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}.") from error


def _checked(data: dict[str, Any], place: str) -> StudyConfig:
    try:
        return StudyConfig.model_validate(data)
    except ValidationError as error:
        raise ValueError(_message(error, place)) from None


def _message(error: ValidationError, place: str) -> str:
    """The first problem in one line: rule, value, place.

    An unknown key comes before the one that may be missing in its stead.
    """
    problems = error.errors(include_url=False)
    first = min(problems, key=lambda problem: problem["type"] not in _FOREIGN)
    where = [str(part) for part in first["loc"]]
    if first["type"] == "missing":
        return f"{'.'.join(where)} must be given (in {place})."
    if first["type"] in _FOREIGN:
        *section, key = where
        at = f"[{'.'.join(section) or 'top'}] in {place}"
        return f"{unknown('key', key, _keys(section))} ({at})"
    rule = first["msg"].removeprefix("Value error, ").rstrip(".")
    if "but got" not in rule and "choose from" not in rule:
        rule = f"{rule}, but got {first['input']!r}"
    return f"{'.'.join(where)}: {rule} (in {place})."


def _keys(section: list[str]) -> list[str]:
    model: Any = StudyConfig
    for name in section:
        model = model.model_fields[name].annotation
    fields = getattr(model, "model_fields", None) or model.__dataclass_fields__
    return [name for name in fields if not name.startswith("__")]
