"""Invented observations of known truth, for the tests of the claims."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from nasdepth.evidence.observations import Evidence, Observation

NORMS = ("batch", "none")


def network(
    number: int,
    response: float = 1.0,
    *,
    family: str = "plain",
    outcomes: Mapping[str, float] | None = None,
    norm: str = "batch",
    seed: int = 0,
    **measures: float,
) -> Observation:
    """A training whose minus log error is `response`."""
    accuracy = {"accuracy": 1 - float(np.exp(-response))}
    paths = {"log2_paths": 0.0 if family == "plain" else 5.0}
    return Observation(
        place=f"trial {number}.{seed}",
        digest=f"digest {number}",
        measures=paths | measures,
        outcomes={k: (v,) for k, v in (accuracy | dict(outcomes or {})).items()},
        family=family,
        factors={"norm": norm},
        dataset="invented",
    )


def evidence(rows: Iterable[Observation]) -> Evidence:
    """Rows as one body of evidence."""
    return Evidence("the ladder", tuple(rows))


def selected(source: Evidence) -> Evidence:
    """The same rows, chosen by a sampler."""
    rows = tuple(replace(row, arm="search") for row in source.observations)
    return replace(source, observations=rows)


def diverged(row: Observation) -> Observation:
    """The same training, had it diverged in its second epoch."""
    return replace(
        row,
        state="pruned",
        reason="diverged: epoch 2",
        outcomes={"diverged": (1.0,)},
    )


def dropped_skips(slope: float, *, groups: int = 8, seed: int = 0) -> Evidence:
    """Residual networks that lack 0 to 4 shortcuts; `slope` a unit of Deff."""
    draw = np.random.default_rng(seed)
    rows = []
    for group in range(groups):
        for lost in range(5):
            layers = 8.0 + 2 * group
            deff = layers / 2 + lost
            level = 3 + group / 4 + slope * deff + draw.normal(0, 0.1)
            rows.append(
                network(
                    len(rows),
                    level,
                    family="residual",
                    nominal_depth=layers,
                    weighted_layers=layers,
                    longest_path=layers,
                    params=1000 * layers,
                    macs=9000 * layers,
                    effective_depth=deff,
                    dropped=lost,
                )
            )
    return evidence(rows)


def dense_nets(by_mass: float, by_params: float, *, n: int = 40) -> Evidence:
    """Cells whose response follows log mass and log params."""
    draw = np.random.default_rng(1)
    rows = []
    for number in range(n):
        params, mass = draw.normal(10, 1), draw.normal(5, 1)
        level = 20 + by_mass * mass + by_params * params + draw.normal(0, 0.3)
        rows.append(
            network(
                number,
                level / 10,
                family="cell",
                params=np.exp(params),
                nn_mass=np.exp(mass),
            )
        )
    return evidence(rows)


def boxes(by_depth: float, *, n: int = 60) -> Evidence:
    """Networks whose log epochs to the threshold follow log depth at any params."""
    draw = np.random.default_rng(2)
    rows = []
    for number in range(n):
        depth, params = draw.uniform(1, 4), draw.normal(10, 1)
        epochs = 2 + by_depth * depth - 0.1 * params + draw.normal(0, 0.3)
        rows.append(
            network(
                number,
                outcomes={"epochs_to_threshold": float(np.exp(epochs))},
                nominal_depth=np.exp(depth),
                params=np.exp(params),
            )
        )
    return evidence(rows)


def plain_ladder(
    curvature: float,
    *,
    depths: Iterable[int] = (2, 4, 8, 16, 32, 64),
    seeds: int = 3,
    norms: Iterable[str] = NORMS,
) -> Evidence:
    """Plain networks of several filters; `curvature` of the response in log depth."""
    draw = np.random.default_rng(3)
    rows = []
    for norm in norms:
        for filters in (8, 16, 32):
            for depth in depths:
                number = len(rows)
                log = np.log2(depth) - 3.5
                for seed in range(seeds):
                    level = 2 + 0.1 * log + curvature * log**2 + draw.normal(0, 0.05)
                    rows.append(
                        network(
                            number,
                            level,
                            norm=norm,
                            seed=seed,
                            nominal_depth=depth,
                            filters=filters,
                        )
                    )
    return evidence(rows)


def kinds(
    plain: float, skipped: float, *, outcome: str, family: str = "residual"
) -> Evidence:
    """Plain and other networks; what the outcome gains a layer (slope) or doubling."""
    draw = np.random.default_rng(4)
    rows = []
    for norm in NORMS:
        for layers in (4, 6, 8, 12, 16, 24, 32, 48):
            for kind, gain in (("plain", plain), (family, skipped)):
                noise = draw.normal(0, 0.05)
                value = float(np.exp(1 + gain * np.log2(layers) + noise))
                if "slope" in outcome:
                    value = gain + noise / layers
                rows.append(
                    network(
                        len(rows),
                        family=kind,
                        norm=norm,
                        outcomes={outcome: value, "diverged": 0.0},
                        weighted_layers=layers,
                        params=100 * layers + len(kind),
                    )
                )
    return evidence(rows)


def stacks(
    log_ratio: float, gap: float, *, noise: float = 0.01, pairs: int = 8
) -> Evidence:
    """Pairs in sequence and in parallel, in every bin of the determination ratio."""
    draw = np.random.default_rng(5)
    rows = []
    for ratio in (0.5, 2.0, 5.0, 20.0):
        for pair in range(pairs):
            layers = 4 + pair
            train = float(np.exp(draw.normal(-1, 0.3)))
            for branches in (1, layers):
                sign = 1 if branches == 1 else -1
                own = float(np.exp(draw.normal(0, noise) + sign * log_ratio / 2))
                spread = 0.5 - sign * gap / 2 + draw.normal(0, 0.02)
                rows.append(
                    network(
                        len(rows),
                        family="parallel",
                        outcomes={
                            "validation_loss": own,
                            "train_loss": train * float(np.exp(draw.normal(0, 0.1))),
                            "generalization_gap": spread,
                        },
                        weighted_layers=layers + 2,
                        params=1000 * 10 / ratio + pair,
                        train_images=1000,
                        outputs=10,
                        layers=layers,
                        branches=branches,
                    )
                )
    return evidence(rows)


def figures(layers: float, filters: float, ratio: float, *, seed: int = 6) -> Evidence:
    """The three series of H8; what log loss gains with each doubling."""
    draw = np.random.default_rng(seed)
    shapes = [(n, 1, layers * np.log2(n)) for n in (2, 4, 8, 64, 128, 256)]
    shapes += [(16, n, filters * np.log2(n)) for n in (3, 4, 6, 8, 12, 32)]
    shapes += [(n, 32 // n, 2 * ratio * np.log2(n)) for n in (1, 2, 4, 8)]
    rows = []
    for norm in NORMS:
        for count, width, level in shapes:
            for branches in sorted({1, count}):
                loss = float(np.exp(level + draw.normal(0, 0.05)))
                rows.append(
                    network(
                        len(rows),
                        family="parallel",
                        norm=norm,
                        outcomes={"validation_loss": loss},
                        layers=count,
                        filters=width,
                        branches=branches,
                    )
                )
    return evidence(rows)
