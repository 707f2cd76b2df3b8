"""Quiet studies for the tests of the guide."""

from collections.abc import Iterator

import optuna
import pytest


@pytest.fixture(scope="package", autouse=True)
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)
