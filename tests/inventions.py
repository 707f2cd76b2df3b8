"""Invented studies and tables for the tests of the analysis."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nasdepth.claims.claim import Options
from nasdepth.evidence.observations import Evidence, Observation
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.records import TrialRecord

Study = Callable[..., list[TrialRecord]]
Source = Callable[..., Evidence]


def _record(number: int) -> TrialRecord:
    return TrialRecord(
        number=number,
        arm="unselected",
        state="complete",
        architecture='{"format":1,"stages":[{}]}',
        digest=f"digest{number}",
        measures={},
        curve=(0.5, 0.75),
        accuracy=0.75,
        validation_images=5000,
        seconds=1.5,
        seed=number,
        reason="",
        dataset="invented",
        config_digest="abc",
        versions="nasdepth 0.1.0",
    )


@pytest.fixture
def record() -> TrialRecord:
    """One complete trial of the unselected arm without measures."""
    return _record(0)


def _rows(n: int, slope: float, seed: int) -> list[tuple[dict[str, float], float]]:
    """Measures and accuracies in which log error follows effective depth and size."""
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        nominal = float(draw.integers(5, 60))
        effective = nominal * draw.uniform(0.3, 1)
        log_params, log_ratio = draw.normal(11, 1), draw.normal(4, 0.5)
        level = slope * effective + 0.3 * (log_params - 11) + draw.normal(0, 0.3)
        measures = {
            "params": float(np.exp(log_params)),
            "macs": float(np.exp(log_params + log_ratio)),
            "nominal_depth": nominal,
            "weighted_layers": nominal + float(draw.integers(0, 9)),
            "effective_depth": effective,
        }
        accuracy = float(1 - 0.2 * np.exp(-level))
        rows.append((measures, min(max(accuracy, 0.0), 1.0)))
    return rows


@pytest.fixture
def study() -> Study:
    """A maker of studies in which log error follows effective depth and size."""

    def make(n: int, *, slope: float = 0.0, seed: int = 0) -> list[TrialRecord]:
        return [
            replace(_record(number), measures=measures, accuracy=accuracy)
            for number, (measures, accuracy) in enumerate(_rows(n, slope, seed))
        ]

    return make


@pytest.fixture
def row() -> Observation:
    """One complete unselected row without measures."""
    return Observation("row 0", "digest0", {}, {"accuracy": (0.75,)}, images=5000)


@pytest.fixture
def source(row: Observation) -> Source:
    """A maker of evidence in which log error follows effective depth and size."""

    def make(
        n: int,
        *,
        slope: float = 0.0,
        seed: int = 0,
        families: int = 1,
        plan: Preregistration | None = None,
    ) -> Evidence:
        rows = tuple(
            replace(
                row,
                place=f"row {i}",
                digest=f"digest{i}",
                measures=measures,
                outcomes={"accuracy": (accuracy,)},
                family=f"family {i % families}" if families > 1 else "",
                dataset="invented",
            )
            for i, (measures, accuracy) in enumerate(_rows(n, slope, seed))
        )
        name, told = "an invented table", "fixed in invented.toml"
        return Evidence(name, rows, plan or Preregistration(), registered=told)

    return make


@pytest.fixture
def options() -> Options:
    """Options of a quick test."""
    return Options(draws=199)
