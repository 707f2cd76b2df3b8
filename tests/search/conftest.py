"""Small spaces and studies for the tests of the search."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from nasdepth.search import candidates, storage
from nasdepth.search.config import StudyConfig
from nasdepth.search.space import Space
from nasdepth.training.data import DataConfig, Dataset, load

Configure = Callable[..., StudyConfig]
SMALL: dict[str, dict[str, Any]] = {
    "data": {"name": "digits", "validation": 0.2},
    "space": {
        "stages": [1, 2],
        "depth": [1, 3],
        "width": [8, 24],
        "links": [1, 16],
        "stem": [8, 16],
    },
    "budget": {"params": 20_000},
    "screen": {"pool": 8},
    "design": {"trials": 2, "candidates": 5},
    "training": {"epochs": 3},
    # an epoch has 8 steps, and without being told no rung stands before 50
    "pruner": {"first_rung": 1},
    "search": {"n_trials": 4},
}


def small(**sections: dict[str, Any]) -> StudyConfig:
    """The small study, sections overridden key by key."""
    names = {**SMALL, **sections}
    merged = {name: {**SMALL.get(name, {}), **sections.get(name, {})} for name in names}
    return StudyConfig.model_validate({"name": "small", **merged})


@pytest.fixture(scope="session")
def configure() -> Configure:
    return small


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load(DataConfig(**SMALL["data"]))


@pytest.fixture(scope="session")
def space_of_digits() -> Callable[[StudyConfig], Space]:
    """Maker of the space of a study on 8x8 grey images in ten classes."""
    return lambda config: Space(config.space, (1, 8, 8), 10)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A SQLite storage that is not there yet."""
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces count as used up after few draws."""
    monkeypatch.setattr(candidates, "_PATIENCE", 10)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's cache, data or storage."""
    monkeypatch.setenv("NASDEPTH_CACHE", str(tmp_path / "cache"))
    for name in ("NASDEPTH_DATA", "OPTUNA_STORAGE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Databases that a test opens are closed after it."""
    opened: list[optuna.storages.RDBStorage] = []

    def opening(*args: Any, **options: Any) -> optuna.storages.RDBStorage:
        opened.append(optuna.storages.RDBStorage(*args, **options))
        return opened[-1]

    monkeypatch.setattr(storage, "RDBStorage", opening)
    yield
    for each in opened:
        each.remove_session()
        each.engine.dispose()


@pytest.fixture(scope="package", autouse=True)
def _quiet_on_one_thread() -> Iterator[None]:
    threads, level = torch.get_num_threads(), optuna.logging.get_verbosity()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(level)
    torch.set_num_threads(threads)
