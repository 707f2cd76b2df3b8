"""Spaces as functions: drawn from, and perturbed one choice at a time.

A space is any function of a trial that suggests, as an objective does before it
computes. What it suggests may depend on what was suggested before.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Params: TypeAlias = dict[str, Any]
Distributions: TypeAlias = Mapping[str, BaseDistribution]
Chooser: TypeAlias = Callable[[str, BaseDistribution], Any]
#: a function of a trial that suggests; what it returns is not looked at
DefineByRun: TypeAlias = Callable[[Any], object]


class NoCandidate(ValueError):
    """No feasible unseen point was found."""


class Suggest(Protocol):
    """The part of an Optuna trial that a space needs."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int: ...

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
    ) -> float: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(slots=True)  # not frozen: it collects what is suggested
class Draw:
    """Suggests by a function of name and distribution, and keeps what it chose."""

    choose: Chooser
    params: Params = field(default_factory=dict)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """An integer in [low, high]."""
        return int(self.suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
    ) -> float:
        """A number in [low, high]."""
        law = FloatDistribution(low, high, log=log, step=step)
        return float(self.suggest(name, law))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        kinds = tuple(map(type, choices))  # 1, 1.0 and True are equal
        try:
            law = _categorical(tuple(choices), kinds)
        except TypeError:  # Optuna warns of choices that have no hash
            law = CategoricalDistribution(choices)
        return self.suggest(name, law)

    def suggest(self, name: str, distribution: BaseDistribution) -> Any:
        """A value of the distribution; the same at every call with one name."""
        if name not in self.params:
            self.params[name] = self.choose(name, distribution)
            self.distributions[name] = distribution
        return self.params[name]


def drawn(space: DefineByRun, choose: Chooser) -> Draw:
    """Draw of a space, every choice by the chooser."""
    draw = Draw(choose)
    space(draw)
    return draw


@runtime_checkable
class Space(Protocol):
    """What a guide draws from."""

    def sample(self, generator: np.random.Generator) -> Draw:
        """A random point."""
        ...

    def perturb(self, params: Params, generator: np.random.Generator) -> Draw:
        """A neighbour of a point."""
        ...


#: what a user may give as a space
SpaceLike: TypeAlias = DefineByRun | Mapping[str, BaseDistribution] | Space


@dataclass(frozen=True, slots=True)
class FunctionSpace:
    """The space of a function that suggests."""

    function: DefineByRun

    def sample(self, generator: np.random.Generator) -> Draw:
        """A random point."""
        return drawn(self.function, draw_random(generator))

    def perturb(self, params: Params, generator: np.random.Generator) -> Draw:
        """A neighbour of a point: see `perturbed`."""
        return perturbed(self.function, params, generator)


def fixed(distributions: Distributions) -> DefineByRun:
    """Space of independent parameters."""

    def space(draw: Draw) -> None:
        for name, distribution in distributions.items():
            draw.suggest(name, distribution)

    return space


def space_of(space: SpaceLike) -> Space:
    """A space as a user gives it: a function, distributions by name, or a space."""
    if isinstance(space, Mapping):
        return FunctionSpace(fixed(dict(space)))
    if isinstance(space, Space):
        return space
    if callable(space):
        return FunctionSpace(space)
    raise ValueError(
        "GuidedSampler: space must be a function of a trial, distributions by name or"
        f" an object with sample and perturb, but got {space!r}."
    )


def draw_random(generator: np.random.Generator) -> Chooser:
    """Uniform choice."""
    return lambda name, distribution: at_quantile(distribution, generator.random())


def at_quantile(distribution: BaseDistribution, quantile: float) -> Any:
    """Value at a quantile in [0, 1) of the uniform law over a distribution.

    Uniform in the logarithm where the distribution is.

    >>> at_quantile(IntDistribution(8, 64, step=8), 0.99)
    64
    >>> round(at_quantile(FloatDistribution(1e-4, 1.0, log=True), 0.5), 6)
    0.01
    """
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(quantile * len(distribution.choices))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if isinstance(distribution, IntDistribution) and distribution.log:
        # every integer has the room of half a step on both sides
        ends = math.log(low - 0.5), math.log(high + 0.5)
        value = math.exp(ends[0] + quantile * (ends[1] - ends[0]))
        return min(max(round(value), low), high)
    if isinstance(distribution, FloatDistribution) and step is None:
        if distribution.log:
            ends = math.log(low), math.log(high)
            value = math.exp(ends[0] + quantile * (ends[1] - ends[0]))
            return min(max(value, low), high)
        return low + quantile * (high - low)
    assert step is not None
    place = int(quantile * (round((high - low) / step) + 1))
    value = low + step * place
    return value if isinstance(distribution, IntDistribution) else min(value, high)


def perturbed(
    space: DefineByRun, params: Params, generator: np.random.Generator
) -> Draw:
    """Draw of a neighbour: one active choice anew, and whatever depends on it.

    What the old and the new parameters share keeps its value.

    Args:
        space: to draw from.
        params: of a point; what the space no longer holds is drawn anew.
        generator: of the choices.
    """
    fresh = draw_random(generator)

    def keep(name: str, distribution: BaseDistribution) -> Any:
        if name in params and holds(distribution, params[name]):
            return params[name]
        return fresh(name, distribution)

    old = drawn(space, keep)
    open_names = [n for n, law in old.distributions.items() if not law.single()]
    if not open_names:
        return old
    changed = str(generator.choice(open_names))

    def choose(name: str, distribution: BaseDistribution) -> Any:
        if name == changed:
            return _other(generator, name, distribution, old.params[name])
        return keep(name, distribution)

    return drawn(space, choose)


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a distribution can give a value."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    inside = bool(distribution.low <= value <= distribution.high)
    step = distribution.step
    if not inside or step is None:
        return inside
    steps = (value - distribution.low) / step
    return bool(abs(steps - round(steps)) < 1e-8)


@lru_cache(maxsize=1024)
def _categorical(
    choices: tuple[Any, ...], kinds: tuple[type, ...]
) -> CategoricalDistribution:
    """Distribution of the choices: it takes ten times as long to make as to draw."""
    return CategoricalDistribution(choices)


def _other(
    generator: np.random.Generator, name: str, distribution: BaseDistribution, old: Any
) -> Any:
    """Another value; of choices one at another place, since 1 and True are equal."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        rest = [place for place in range(len(choices)) if place != choices.index(old)]
        return choices[rest[int(generator.integers(len(rest)))]]
    fresh = draw_random(generator)
    value = fresh(name, distribution)
    while value == old:
        value = fresh(name, distribution)
    return value
