"""What may be sampled: from suggested parameters to an architecture and back.

A space needs only an object with `suggest_int` and `suggest_categorical`, such as an
Optuna trial; nothing here depends on a study.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from nasdepth.architecture.ops import Shape
from nasdepth.architecture.spec import (
    FAMILIES,
    Architecture,
    InvalidArchitecture,
    Stage,
    Stem,
)
from nasdepth.guide.draws import Draw, Params, Suggest, drawn, perturbed
from nasdepth.search.space_config import GROWTH_STEP, TOPOLOGIES, SpaceConfig


@dataclass(frozen=True, slots=True)
class Space:
    """Architectures that a configuration allows for images of one shape."""

    config: SpaceConfig
    input_shape: Shape
    num_classes: int

    def sample(self, trial: Suggest) -> Architecture:
        """Architecture of the suggested parameters."""
        config = self.config
        count = trial.suggest_int("stages", *config.stages)
        stem = Stem(
            _choice(trial, "stem", config.stem),
            stride=_choice(trial, "stem_stride", config.stem_stride),
        )
        activation = _choice(trial, "activation", config.activation)
        norm = _choice(trial, "norm", config.norm)
        stages = tuple(self._stage(trial, place) for place in range(1, count + 1))
        return Architecture(
            stages,
            stem,
            activation=activation,
            norm=norm,
            input_shape=self.input_shape,
            num_classes=self.num_classes,
            seed=config.links_seed,
        )

    def suggest(self, trial: Suggest) -> None:
        """Suggest parameters; those of no valid architecture end where it is clear."""
        with suppress(InvalidArchitecture):
            self.sample(trial)

    def params_of(self, architecture: Architecture) -> Params:
        """Parameters that `sample` turns into the architecture."""
        assert architecture.stem is not None
        wanted: Params = {
            "stages": len(architecture.stages),
            "stem": architecture.stem.width,
            "stem_stride": architecture.stem.stride,
            "activation": architecture.activation,
            "norm": architecture.norm,
        }
        for place, stage in enumerate(architecture.stages, start=1):
            wanted.update(_stage_params(f"stage{place}.", stage))
            wanted["topology"] = wanted[f"stage{place}.topology"]
        return drawn(self.sample, lambda name, distribution: wanted[name]).params

    def perturb(self, params: Params, generator: np.random.Generator) -> Draw:
        """Draw of a neighbour: see `perturbed`."""
        return perturbed(self.suggest, params, generator)

    def _stage(self, trial: Suggest, place: int) -> Stage:
        config, at = self.config, f"stage{place}."
        which = f"{at}topology" if config.mixed else "topology"
        topology = _choice(trial, which, config.topologies)
        family, block = TOPOLOGIES[topology]
        row = FAMILIES[family]
        depth = trial.suggest_int(f"{at}depth", *config.depth)
        attributes: dict[str, Any] = {}
        if family == "dense":
            width = trial.suggest_int(f"{at}growth", *config.growth, step=GROWTH_STEP)
            attributes["links"] = "all"
        else:
            width = trial.suggest_int(
                f"{at}width", *config.width, step=config.width_step
            )
        if family == "cell":
            attributes["links"] = trial.suggest_int(f"{at}links", *config.links)
        elif family == "parallel":
            attributes["branches"] = trial.suggest_int(f"{at}parallel", 1, depth)
        elif family == "inception":
            attributes["branches"] = trial.suggest_int(
                f"{at}branches", *config.branches
            )
        elif block == "inverted":
            expansion = _choice(trial, f"{at}expansion", config.expansion)
            attributes["expansion"] = float(expansion)
        if row.droppable and config.dropped:
            # all but the first, whose shortcut may be a projection
            attributes["dropped"] = trial.suggest_int(f"{at}dropped", 0, depth - 1)
        kernel = _choice(trial, f"{at}kernel", config.kernel)
        return Stage(
            block,
            depth,
            width,
            skip=row.skip,
            span=row.span if block == "conv" else 1,
            kernel=kernel,
            stride=1 if place == 1 else 2,
            **attributes,
        )


def _choice(trial: Suggest, name: str, choices: Sequence[Any]) -> Any:
    """Categorical suggestion; a single choice is no parameter."""
    return trial.suggest_categorical(name, choices) if len(choices) > 1 else choices[0]


def _stage_params(at: str, stage: Stage) -> Params:
    rows: Mapping[tuple[str, str], str] = {v: k for k, v in TOPOLOGIES.items()}
    values = {
        "topology": rows[stage.family, stage.block],
        "depth": stage.depth,
        "growth": stage.width,
        "width": stage.width,
        "links": stage.links,
        "parallel": stage.branches,
        "branches": stage.branches,
        "expansion": int(stage.expansion),
        "kernel": stage.kernel,
        "dropped": stage.dropped,
    }
    return {f"{at}{name}": value for name, value in values.items()}
