"""What is asked of a design: a measure to keep, a cost to lower, budgets, a box."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Final

from nasdepth.architecture.lower import lower
from nasdepth.architecture.registry import unknown
from nasdepth.architecture.spec import Architecture
from nasdepth.inverse.bounds import CLOSE
from nasdepth.inverse.box import Box
from nasdepth.inverse.parts import Parts
from nasdepth.measures.catalogue import CATALOGUE, SHOWN, measure

#: costs of the reference that may not grow where nothing else is said
BUDGETED: Final = ("params", "macs", "activations", "peak_memory")


@dataclass(frozen=True)  # no slots: the parts are measured once
class Question:
    """A reference, what of it is kept, what is lowered, and what is allowed.

    Attributes:
        reference: the network to be like.
        keep: kept measure.
        minimize: minimised cost.
        budgets: greatest values of measures, peak memory in bytes among them.
        box: what may vary.
        values: measures of the reference.
    """

    reference: Architecture
    keep: str
    minimize: str
    budgets: Mapping[str, float]
    box: Box
    values: Mapping[str, float | None]

    @property
    def target(self) -> float:
        """Value to keep."""
        return self.values[self.keep] or 0.0

    def cost_of(self, values: Mapping[str, float | None]) -> float:
        """The minimised cost among measures."""
        return values[self.minimize] or 0.0

    def has(self, architecture: Architecture | None) -> bool:
        """Whether the depths of an architecture lie in the box."""
        return architecture is not None and all(
            stage.depth in self.box.depths(place, stage)
            for place, stage in enumerate(architecture.stages)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What is added up over parts: the kept measure, then the costs."""
        # of the networks of one peak memory, the one of fewest parameters
        first = "params" if self.minimize == "peak_memory" else self.minimize
        names = dict.fromkeys((first, *self.budgets))
        return (self.keep, *(name for name in names if name != "peak_memory"))

    @cached_property
    def parts(self) -> Parts:
        """Choices of the box with what they add."""
        return Parts(self.reference, self.box, self.names)

    @cached_property
    def sums(self) -> dict[str, float]:
        """What the parts of the reference add up to."""
        depths = tuple(stage.depth for stage in self.reference.stages)
        alone = Parts(self.reference, Box(depths, 1.0), self.names)
        return dict(zip((*self.names, "peak_memory"), alone.sums, strict=True))

    @property
    def most_peak(self) -> float:
        """Peak memory that parts may have, in bytes.

        Parts overstate that of drawn links; the reference must stay in the box.
        """
        over = self.sums["peak_memory"] - (self.values["peak_memory"] or 0.0)
        return self.budgets["peak_memory"] + max(0.0, over)

    def measured(self, architecture: Architecture) -> dict[str, float | None]:
        """Measures of another network, read off its graph."""
        return measure(lower(architecture), self.values)

    def admits(self, values: Mapping[str, float | None], tolerance: float) -> bool:
        """Whether measures are within the tolerance and the budgets."""
        off = abs((values[self.keep] or 0.0) - self.target)
        return off <= self.target * (tolerance + CLOSE) and all(
            (values[name] or 0.0) <= most * (1 + CLOSE)
            for name, most in self.budgets.items()
        )


def ask(
    reference: Architecture,
    keep: str,
    minimize: str,
    budgets: Mapping[str, float],
    max_depth: int,
    min_width: float,
) -> Question:
    """A question, once it makes sense; arguments as of `inverse.design`.

    Raises:
        ValueError: an option out of range, nothing to keep, or no sum over blocks.
    """
    _check(keep, minimize, budgets, max_depth, min_width)
    shown = [name for name in SHOWN.values() if CATALOGUE[name].needs == "graph"]
    names = dict.fromkeys((keep, minimize, *BUDGETED, *shown, *budgets))
    values = measure(lower(reference), names)
    _require_value(keep, values)
    limits = {name: values[name] or 0.0 for name in BUDGETED} | dict(budgets)
    deepest = tuple(max_depth or 2 * stage.depth + 2 for stage in reference.stages)
    box = Box(deepest, min_width)
    question = Question(reference, keep, minimize, limits, box, values)
    _require_sums(question)
    return question


def _check(
    keep: str,
    minimize: str,
    budgets: Mapping[str, float],
    max_depth: int,
    min_width: float,
) -> None:
    if max_depth < 0:
        raise ValueError(f"max_depth must be 0 or more, but got {max_depth}.")
    if not 0 < min_width <= 1:
        raise ValueError(f"min_width must be in (0, 1], but got {min_width}.")
    costs = [n for n, row in CATALOGUE.items() if row.cost and row.needs == "graph"]
    if minimize not in costs:
        raise ValueError(unknown("cost to minimize", minimize, costs))
    for name in (keep, *budgets):
        if CATALOGUE[name].needs != "graph":
            raise ValueError(f"{name} cannot be read off a graph, so nothing adds up.")
    if keep in (minimize, "peak_memory"):
        raise ValueError(
            f"The measure to keep must be neither the minimised cost nor peak_memory, "
            f"but got {keep=} with {minimize=}."
        )
    for name, most in budgets.items():
        if not (isfinite(most) and most >= 0):
            raise ValueError(f"Budget {name} must be 0 or more, but got {most}.")


def _require_value(keep: str, values: Mapping[str, float | None]) -> None:
    if values[keep]:
        return
    others = [n for n in ("effective_depth", "nominal_depth") if n != keep]
    what = "is 0" if values[keep] == 0 else "has no value"
    raise ValueError(
        f"{keep} of the reference {what}, so there is nothing to keep; keep "
        f"{' or '.join(others)} instead."
    )


def _require_sums(question: Question) -> None:
    """The search adds up parts: that is right only where the reference's own do."""
    for name in question.names:
        whole, total = question.values[name] or 0.0, question.sums[name]
        if abs(total - whole) > 1e-6 * max(1.0, abs(whole)):
            raise ValueError(
                f"{name} does not add up over the blocks of this network, so no search "
                f"can split it; take nn_mass, effective_depth or nominal_depth."
            )
