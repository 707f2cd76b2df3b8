"""Made-up searches for the tests of the guide: spaces, measures, results."""

import math
import time
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from nasdepth.guide.draws import Params
from nasdepth.guide.sampler import GuidedSampler, Settings

#: quick, and enough for small spaces
SMALL: Final = Settings(start=10, pool=100, design=50)


def layers(trial: Any) -> Params:
    """Networks of one to four layers, each of a kind and a width."""
    for place in range(trial.suggest_int("depth", 1, 4)):
        trial.suggest_categorical(f"kind{place}", ("conv", "pool", "skip"))
        trial.suggest_int(f"width{place}", 8, 64, step=8)
    return dict(trial.params)


def measures(params: Params) -> dict[str, float]:
    """What is known of a network without training."""
    places = range(params["depth"])
    return {
        "layers": params["depth"],
        "size": math.log(sum(params[f"width{place}"] ** 2 for place in places)),
        "skips": sum(params[f"kind{place}"] == "skip" for place in places),
    }


def accuracy(params: Params) -> float:
    """What training gives: best with one skip, two convolutions and a middle size."""
    known = measures(params)
    kinds = [params[f"kind{place}"] for place in range(params["depth"])]
    missed = (known["skips"] - 1) ** 2 + (kinds.count("conv") - 2) ** 2
    narrow = (params["width0"] - 24) ** 2
    return -missed / 5 - (known["size"] - 8) ** 2 / 10 - narrow / 3000


def objective(trial: optuna.Trial) -> float:
    """Accuracy of the network that a trial suggests."""
    return accuracy(layers(trial))


def guided(space: Any = layers, seed: int = 0, **options: Any) -> GuidedSampler:
    """A quick sampler of a space."""
    return GuidedSampler(space, seed=seed, settings=SMALL, **options)


def study_of(sampler: Any, direction: str = "maximize") -> optuna.Study:
    """A study without a result."""
    return optuna.create_study(direction=direction, sampler=sampler)


def told(study: optuna.Study) -> list[dict[str, Any]]:
    """What the guide told of each trial."""
    return [trial.user_attrs["guide"] for trial in study.trials]


# what spawned processes run: here they find it by name


def storage_of(kind: str, folder: Path) -> BaseStorage:
    if kind == "sqlite":
        return RDBStorage(f"sqlite:///{folder}/study.db")
    return JournalStorage(JournalFileBackend(f"{folder}/study.log"))


def close(storage: BaseStorage) -> None:
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def work(kind: str, folder: Path, count: int) -> None:
    """What each process of a study does."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = storage_of(kind, folder)
    study = optuna.load_study(study_name="shared", storage=storage, sampler=guided())

    def slowly(trial: optuna.Trial) -> float:
        result = objective(trial)
        # a training takes longer than a proposal
        time.sleep(0.3 + 0.15 * (trial.number % 2))
        return result

    study.optimize(slowly, n_trials=count)
    close(storage)
