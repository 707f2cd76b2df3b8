"""The benchmark of the search on real training: what it counts, keeps and tells."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib import import_module
from math import isnan, nan
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from nasdepth.search.candidates import Candidate
from nasdepth.search.config import GuideConfig
from nasdepth.training.recipe import Diverged, Epoch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield


@pytest.fixture(scope="module")
def trained(path: None) -> ModuleType:
    return import_module("search_digits_trainings")


@pytest.fixture(scope="module")
def search(path: None) -> ModuleType:
    return import_module("search_digits")


@pytest.fixture(scope="module")
def told(path: None) -> ModuleType:
    return import_module("search_digits_report")


@pytest.fixture(scope="module")
def small(trained: ModuleType) -> Any:
    """The task, with a guide that looks at few networks."""
    task = trained.task_of("small")
    guide = GuideConfig(start=4, pool=40)
    return replace(task, config=task.config.model_copy(update={"guide": guide}))


@pytest.fixture(scope="module")
def short(trained: ModuleType) -> Any:
    return trained.task_of("small", epochs=2)


@pytest.fixture(scope="module")
def networks(trained: ModuleType, small: Any) -> list[Candidate]:
    found: list[Candidate] = trained.arm_of(small, 3)
    return found


@pytest.fixture
def fits(trained: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests in the order they are trained, with accuracies that grow with size."""
    order: list[str] = []

    def fit(
        task: Any,
        architecture: Any,
        digest: str,
        replicate: int,
        on_epoch: Callable[[Epoch], None],
    ) -> None:
        order.append(digest)
        size = sum(stage.depth * stage.width for stage in architecture.stages)
        noise = np.random.default_rng([replicate, int(digest[:8], 16)]).normal()
        for index in range(1, task.epochs + 1):
            accuracy = float(1 - 1 / (index * size) + 1e-4 * noise)
            on_epoch(Epoch(index, 0.0, accuracy, 0.0, 0.0, 1.0))

    monkeypatch.setattr(trained.Task, "fit", fit)
    return order


def _stop_at(last: int) -> Callable[[int, float], None]:
    def visit(epoch: int, accuracy: float) -> None:
        if epoch == last:
            raise StopIteration

    return visit


def test_a_training_follows_from_digest_and_replicate(
    trained: ModuleType, short: Any, networks: list[Candidate], tmp_path: Path
) -> None:
    first, again = (
        trained.Trainings(tmp_path / name, short) for name in ("1.csv", "2.csv")
    )

    curves = [first.run(networks[1], seed).curve for seed in (0, 1)]

    assert again.run(networks[1], 0).curve == curves[0]
    assert curves[0] != curves[1]


def test_what_was_trained_is_read_back_and_not_trained_again(
    trained: ModuleType,
    small: Any,
    networks: list[Candidate],
    fits: list[str],
    tmp_path: Path,
) -> None:
    done = trained.Trainings(tmp_path / "t.csv", small).run(networks[0], 5)

    read = trained.Trainings(tmp_path / "t.csv", small).run(networks[0], 5)

    assert read == done
    assert fits == [networks[0].digest]


def test_a_training_that_was_cut_short_goes_on_where_it_ended(
    trained: ModuleType,
    small: Any,
    networks: list[Candidate],
    fits: list[str],
    tmp_path: Path,
) -> None:
    trainings = trained.Trainings(tmp_path / "t.csv", small)
    with pytest.raises(StopIteration):
        trainings.run(networks[0], 0, _stop_at(4))
    kept = trainings.get(networks[0].digest, 0).curve
    visited: list[int] = []

    whole = trainings.run(networks[0], 0, lambda epoch, _: visited.append(epoch)).curve

    assert len(kept) == 4
    assert whole[:4] == kept
    assert visited == list(range(1, 13))


def test_a_diverged_training_ends_in_a_nan_and_is_kept(
    trained: ModuleType,
    small: Any,
    networks: list[Candidate],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def fit(*arguments: Any) -> None:
        raise Diverged(1, ())

    monkeypatch.setattr(trained.Task, "fit", fit)
    trainings = trained.Trainings(tmp_path / "t.csv", small)
    visited: list[float] = []

    for _ in range(2):
        trainings.run(networks[0], 0, lambda _, accuracy: visited.append(accuracy))

    assert len(visited) == 2
    assert all(map(isnan, visited))
    assert len(list(trained.read_rows(tmp_path / "t.csv"))) == 1


def test_taking_a_network_up_again_pays_the_rest(search: ModuleType) -> None:
    ledger = search.Ledger()
    for known, last in ((0, 4), (4, 12), (12, 4)):
        for epoch in range(1, last + 1):
            ledger.pay("a", epoch)
        ledger.close("a", known)

    assert ledger.epochs == 12
    assert ledger.afresh == 16


@pytest.mark.parametrize("method", ["random", "tpe", "guided", "guided-short"])
def test_a_run_pays_for_its_epochs_alone(
    search: ModuleType,
    trained: ModuleType,
    small: Any,
    fits: list[str],
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(search, "CAP", 6)
    trainings = trained.Trainings(tmp_path / "t.csv", small)

    run = search.run(small, trainings, method, 3, threshold=2.0)

    lengths = [len(training.curve) for training in trainings.replicate(3)]
    assert run.epochs == sum(lengths)
    assert 72 <= run.epochs < 84
    assert (run.begun, run.finished) == (len(lengths), lengths.count(12))
    assert run.reached is None


def test_the_guide_asks_for_nothing_infeasible_and_random_does(
    search: ModuleType,
    trained: ModuleType,
    small: Any,
    fits: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(search, "CAP", 4)
    trainings = trained.Trainings(tmp_path / "t.csv", small)

    guided, drawn = (
        search.run(small, trainings, name, 0, threshold=2.0)
        for name in ("guided", "random")
    )

    assert guided.asked == guided.begun
    assert drawn.asked > 2 * drawn.begun


def test_a_run_ends_once_the_threshold_is_reached_and_the_floor_paid(
    search: ModuleType,
    trained: ModuleType,
    small: Any,
    fits: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(search, "FLOOR", 3)
    trainings = trained.Trainings(tmp_path / "t.csv", small)

    run = search.run(small, trainings, "random", 0, threshold=0.0)

    assert run.reached == run.afresh == 12
    assert run.networks == 1
    assert 36 <= run.epochs < 48
    assert run.trace.startswith("12:0.")


def test_runs_that_are_in_the_file_are_not_run_again(
    search: ModuleType,
    trained: ModuleType,
    small: Any,
    fits: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(search, "CAP", 2)
    monkeypatch.setattr(search, "threshold_of", lambda task, trainings: 2.0)
    trainings = trained.Trainings(tmp_path / "t.csv", small)
    for seeds in (1, 2):
        search.run_all(small, trainings, ["random"], range(seeds), tmp_path / "r.csv")

    rows = list(trained.read_rows(tmp_path / "r.csv"))

    assert [row["seed"] for row in rows] == ["0", "1"]


def test_an_arm_that_is_not_finished_has_no_threshold(
    search: ModuleType, trained: ModuleType, small: Any, tmp_path: Path
) -> None:
    trainings = trained.Trainings(tmp_path / "t.csv", small)

    with pytest.raises(ValueError, match="the arm must have 200 networks, but has 0"):
        search.threshold_of(small, trainings)


def test_the_99th_percentile_of_200_is_the_third_largest(trained: ModuleType) -> None:
    assert trained.threshold_among(np.arange(200) / 200) == 197 / 200


def test_the_ratio_of_proportional_runs_has_no_spread(told: ModuleType) -> None:
    epochs = np.array([100.0, 200.0, 400.0, 80.0])

    found = told.ratio(epochs / 4, epochs, told.geometric)

    assert found == pytest.approx((0.25, 0.25, 0.25))


@pytest.mark.parametrize(
    ("threshold", "epochs"), [(0.9, 12), (0.95, 40), (0.97, 720), (0.99, 720)]
)
def test_epochs_to_a_threshold_are_read_from_the_trace(
    told: ModuleType, threshold: float, epochs: float
) -> None:
    row = {"trace": "12:0.900000 24:0.880000 40:0.950000 730:0.980000"}

    assert told.reached(row, threshold) == epochs


@pytest.mark.parametrize(
    ("start", "verdict"), [(0.5, "discriminates"), (1.0, "**not discriminating**")]
)
def test_the_report_says_whether_random_gets_there_in_its_start(
    told: ModuleType,
    search: ModuleType,
    trained: ModuleType,
    start: float,
    verdict: str,
    tmp_path: Path,
) -> None:
    values = [*np.linspace(0.5, 0.9, 196), nan, 0.95, 0.96, 0.97, 0.98]
    for place, value in enumerate(v for v in values if not isnan(v)):
        row = trained.Training("small", f"d{place}", 1000, 9, 1.0, (value,), "{}")
        told_row = asdict(row) | {"curve": f"{value:.6f}"}
        trained.append_row(tmp_path / "trainings.csv", told_row)
    run = search.Run(
        "small", "random", 0, 240, 240, 20, start, "d199", 0.98, 0.98, 240, 20, 9, 50,
        0, 0.1, "240:0.980000",
    )  # fmt: skip
    half = replace(run, method="guided", trace="120:0.980000")
    for each in (run, replace(run, seed=1), half, replace(half, seed=1)):
        trained.append_row(tmp_path / "runs.csv", asdict(each))

    told.write_report(tmp_path, tmp_path / "out")

    text = (tmp_path / "out" / "table.md").read_text()
    assert "**Threshold 0.9600**" in text
    assert verdict in text
    assert "| guided / random | 2 | 0.50 [0.50, 0.50] | 0.50 [0.50, 0.50] |" in text
