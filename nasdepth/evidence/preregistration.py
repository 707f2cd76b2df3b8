"""What a study or a published table commits to before any result is looked at."""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Literal, TypeAlias, get_args

Nominal: TypeAlias = Literal["nominal_depth", "weighted_layers", "longest_path"]
Direction: TypeAlias = Literal["positive", "negative"]

EFFECTIVE = "effective_depth"


@dataclass(frozen=True, slots=True)
class Preregistration:
    """What is tested, fixed beforehand.

    Attributes:
        response: Row of `RESPONSES`, or the name of a column where larger is better.
        nominal: Which reading of nominal depth is primary.
        baselines: Measures of size held fixed; their logarithms are taken.
        direction: Expected sign of effective depth's effect.
        smallest_effect: Smallest |partial correlation| of interest.
        covariates: Further things held fixed, each a factor (as the training recipe)
            or a measure.
        threshold: Validation accuracy in [0, 1] that ``epochs_to_threshold`` counts
            to; 0 is the median of the final accuracies.
    """

    response: str = "log_error"
    nominal: Nominal = "nominal_depth"
    baselines: tuple[str, ...] = ("params", "macs")
    direction: Direction = "positive"
    smallest_effect: float = 0.2
    covariates: tuple[str, ...] = ()
    threshold: float = 0.0

    def __post_init__(self) -> None:
        """Refuses what no test could be made of."""
        choices = {"nominal": Nominal, "direction": Direction}
        for name, kind in choices.items():
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ValueError(
                    f"Preregistration.{name} must be one of"
                    f" {', '.join(get_args(kind))}, but got {value!r}."
                )
        if not 0 < self.smallest_effect < 1:
            raise ValueError(
                "Preregistration.smallest_effect must lie in (0, 1), but got"
                f" {self.smallest_effect}."
            )
        if not 0 <= self.threshold <= 1:
            raise ValueError(
                f"Preregistration.threshold must lie in [0, 1], but got"
                f" {self.threshold}."
            )
        object.__setattr__(self, "baselines", tuple(self.baselines))
        object.__setattr__(self, "covariates", tuple(self.covariates))
        held = (*self.baselines, *self.covariates)
        if {EFFECTIVE, self.nominal} & set(held) or len(set(held)) < len(held):
            raise ValueError(
                "Preregistration.baselines and covariates must name each measure once"
                f" and none of the compared depths, but got {', '.join(held)}."
            )

    @property
    def readings(self) -> tuple[Nominal, Nominal]:
        """Both readings of nominal depth, the preregistered one first."""
        if self.nominal == "weighted_layers":
            return ("weighted_layers", "nominal_depth")
        return (self.nominal, "weighted_layers")

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of everything above, by which it is registered."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
