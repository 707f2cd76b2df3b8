"""A space inferred from a study's own trials, conditions included."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from nasdepth.guide.draws import DefineByRun, Draw, Params, draw_random, perturbed

#: states of trials that have suggested all they do
_WHOLE: Final = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, slots=True)
class Shape:
    """Trials that suggested the same names.

    Attributes:
        distributions: of the latest of them.
        allowed: name → choices that lead to this shape, of categorical parameters.
    """

    distributions: dict[str, BaseDistribution]
    allowed: dict[str, tuple[Any, ...]]

    def space(self, draw: Draw) -> None:
        """Suggest the shape's parameters."""
        for name, law in self.distributions.items():
            draw.suggest(name, law)

    def admits(self, params: Params) -> bool:
        """Whether the choices lead to this shape."""
        return all(params[name] in choices for name, choices in self.allowed.items())


@dataclass(frozen=True, slots=True)
class InferredSpace:
    """Shapes seen so far; drawn from and perturbed like a space that was given."""

    shapes: tuple[Shape, ...]

    def sample(self, generator: np.random.Generator) -> Draw:
        """A random shape with random parameters that lead to it."""
        shape = self.shapes[generator.integers(len(self.shapes))]
        return self._drawn(shape, shape.space, generator)

    def perturb(self, params: Params, generator: np.random.Generator) -> Draw:
        """A neighbour within the shape of the parameters."""
        for shape in self.shapes:
            if shape.distributions.keys() == params.keys():
                near = perturbed(shape.space, params, generator)
                return near if shape.admits(near.params) else self.sample(generator)
        return self.sample(generator)

    @staticmethod
    def _drawn(
        shape: Shape, space: DefineByRun, generator: np.random.Generator
    ) -> Draw:
        fresh = draw_random(generator)

        def choose(name: str, law: BaseDistribution) -> Any:
            if name in shape.allowed:
                choices = shape.allowed[name]
                return choices[int(generator.integers(len(choices)))]
            return fresh(name, law)

        draw = Draw(choose)
        space(draw)
        return draw


def inferred(trials: Sequence[FrozenTrial]) -> InferredSpace | None:
    """The space of the trials' parameters; None before any has one that is open.

    Trials that suggested the same names have one shape. Where there are several, a
    categorical parameter takes in each shape the choices seen there, and those seen
    nowhere: what decides on the shape is among them.
    """
    groups: dict[frozenset[str], list[FrozenTrial]] = {}
    for trial in trials:
        open_ = frozenset(
            n for n, law in trial.distributions.items() if not law.single()
        )
        if open_ and trial.state in _WHOLE:
            groups.setdefault(open_, []).append(trial)
    shapes = [_shape(names, own, trials) for names, own in groups.items()]
    if len(shapes) > 1:
        return InferredSpace(tuple(shapes))
    free = (Shape(shape.distributions, {}) for shape in shapes)
    return InferredSpace(tuple(free)) if shapes else None


def _shape(
    names: frozenset[str], own: Sequence[FrozenTrial], trials: Sequence[FrozenTrial]
) -> Shape:
    latest = max(own, key=lambda trial: trial.number)
    laws = {n: law for n, law in latest.distributions.items() if n in names}
    allowed = {}
    for name, law in laws.items():
        if not isinstance(law, CategoricalDistribution):
            continue
        here: set[Hashable] = {trial.params[name] for trial in own}
        anywhere = {t.params[name] for t in trials if name in t.params}
        allowed[name] = tuple(c for c in law.choices if c in here or c not in anywhere)
    return Shape(laws, allowed)
