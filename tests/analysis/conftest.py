"""Invented studies for the tests of the analysis."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from nasdepth.analysis.records import TrialRecord

Study = Callable[..., list[TrialRecord]]


def _record(number: int) -> TrialRecord:
    return TrialRecord(
        number=number,
        arm="unselected",
        state="complete",
        architecture='{"format": 1}',
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


@pytest.fixture
def study() -> Study:
    """A maker of studies in which log error follows effective depth and size."""

    def make(n: int, *, slope: float = 0.0, seed: int = 0) -> list[TrialRecord]:
        draw = np.random.default_rng(seed)
        rows = []
        for number in range(n):
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
            accuracy = min(max(accuracy, 0.0), 1.0)
            rows.append(replace(_record(number), measures=measures, accuracy=accuracy))
        return rows

    return make
