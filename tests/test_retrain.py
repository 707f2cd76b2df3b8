"""Facts about training one architecture afresh, on a part of the real digits."""

import json
from dataclasses import replace

import pytest
import torch

from nasdepth import retrain as again
from nasdepth.architecture.spec import Architecture, InvalidArchitecture, Stage, Stem
from nasdepth.network.build import build
from nasdepth.training.data import DataConfig, load, load_test
from nasdepth.training.loop import evaluate
from nasdepth.training.recipe import Diverged, Stopped, TrainingConfig

DATA = DataConfig("digits", limit=200)
TINY = Architecture((Stage(depth=1, width=16),), Stem(8, stride=2))
CONFIG = TrainingConfig(epochs=2, batch_size=32)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    return load(DATA)


@pytest.fixture(scope="module")
def test():
    return load_test(DATA)


@pytest.fixture(scope="module")
def architecture(digits):
    return again.fitted_to(TINY, digits)


@pytest.fixture(scope="module")
def train(digits, test, architecture):
    """Training of the tiny network."""

    def run(seed=0, **options):
        arguments = {"device": torch.device("cpu"), "test": test, **options}
        return again.retrain(architecture, digits, CONFIG, seed=seed, **arguments)

    return run


@pytest.fixture(scope="module")
def runs(train):
    """Two trainings of two seeds."""
    return [train(0), train(1)]


def test_architecture_is_fitted_to_the_images(digits):
    fitted = again.fitted_to(TINY, digits)

    assert fitted.input_shape == (1, 8, 8)
    assert fitted.num_classes == 10
    assert fitted.stages == TINY.stages


def test_same_seed_gives_the_same_network(train, runs):
    second = train(0)

    assert second.validation == runs[0].validation
    assert second.test == runs[0].test
    for a, b in zip(
        second.network.state_dict().values(),
        runs[0].network.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_other_seed_gives_another_network(runs):
    first, second = (run.network.state_dict() for run in runs)

    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_accuracies_are_those_of_the_network(runs, digits, test):
    for run in runs:
        found = evaluate(run.network, *test, digits, device="cpu").accuracy
        held = (digits.validation_images, digits.validation_labels)
        validation = evaluate(run.network, *held, digits, device="cpu").accuracy
        assert run.test == found
        assert run.validation == validation


def test_without_a_test_set_there_is_no_test_accuracy(train):
    run = train(test=None)

    assert run.test is None
    assert run.row()["test"] is None


def test_row_is_json_with_seed_and_speed(runs):
    row = json.loads(json.dumps(runs[1].row()))

    assert row["seed"] == 1
    assert row["images_per_second"] > 0
    assert 0 <= row["validation"] <= 1


def test_every_epoch_is_told(train):
    told = []

    train(on_epoch=told.append)

    assert [epoch.index for epoch in told] == [1, 2]


def test_summary_is_mean_and_deviation_over_the_seeds(runs):
    made = [
        replace(run, validation=v, test=t)
        for run, v, t in zip(runs, (0.5, 0.75), (0.25, 0.25), strict=True)
    ]

    told = again.summarised(made)

    assert "2 seed(s)" in told
    assert "validation 0.6250 ± 0.1768" in told
    assert "test 0.2500 ± 0.0000" in told


def test_summary_of_one_seed_has_no_deviation(runs):
    told = again.summarised([replace(runs[0], test=None)])

    assert "±" not in told
    assert "test" not in told


@pytest.mark.slow
def test_seed_of_the_best_validation_is_exported(
    runs, digits, test, architecture, tmp_path
):
    best = max(runs, key=lambda run: run.validation)

    metrics = again.export_best(runs, architecture, digits, test, tmp_path / "best")

    assert metrics["provenance"]["seed"] == best.seed
    assert metrics["provenance"]["seeds trained"] == 2
    assert metrics["validation"]["recorded"] == best.validation
    assert metrics["accuracy"] == pytest.approx(best.test, abs=0.005)


def test_network_too_small_for_the_images_is_an_error(digits):
    stage = Stage(depth=1, width=8, kernel=3, stride=2, pool=3)
    deep = Architecture((stage,) * 9, Stem(8, kernel=7, padding=0))

    with pytest.raises(ValueError, match=r"\w"):
        build(again.fitted_to(deep, replace(digits, input_shape=(1, 4, 4))))


def test_diverged_training_is_no_run(digits, architecture):
    wild = replace(CONFIG, learning_rate=1e30, clip_norm=0.0)

    with pytest.raises(Diverged, match="non-finite in epoch 1"):
        again.retrain(
            replace(architecture, norm="none"),
            digits,
            wild,
            seed=0,
            device=torch.device("cpu"),
            test=None,
        )


def test_foreign_images_cannot_be_fitted(digits):
    with pytest.raises(InvalidArchitecture, match="num_classes"):
        again.fitted_to(TINY, replace(digits, classes=()))


def test_training_goes_on_from_its_checkpoint(train, tmp_path):
    whole = train(5)
    steps = iter(range(9))
    with pytest.raises(Stopped):
        train(5, folder=tmp_path, stop=lambda: next(steps, None) is None)

    again = train(5, folder=tmp_path)

    assert again.validation == whole.validation
    assert again.test == whole.test
    for name, value in whole.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value)


def test_cost_of_determinism_compares_bound_with_free_steps(
    digits, architecture, monkeypatch
):
    seen = set()
    forward = torch.nn.Linear.forward

    def watched(self, x):
        seen.add(torch.are_deterministic_algorithms_enabled())
        return forward(self, x)

    monkeypatch.setattr(torch.nn.Linear, "forward", watched)
    cost = again.deterministic_cost(architecture, digits, CONFIG, torch.device("cpu"))

    assert seen == {True, False}
    assert cost > 0
    assert not torch.are_deterministic_algorithms_enabled()
