"""Networks trained at once end as they do when trained one by one, on the digits."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from nasdepth.training import population, together
from nasdepth.training.loop import fit, judge
from nasdepth.training.population import fit_population
from nasdepth.training.recipe import Diverged, Fit, TrainingConfig
from nasdepth.training.side_by_side import members_at_once

SEEDS = (3, 4, 5)
SHORT = TrainingConfig(epochs=2, precision="fp32")
CPU = torch.device("cpu")


@pytest.fixture
def shifted(digits):
    """Few digits, which are augmented."""
    return replace(
        digits,
        train_images=digits.train_images[:650],
        train_labels=digits.train_labels[:650],
        augmentation=replace(digits.augmentation, shift=1),
    )


@pytest.fixture
def networks(small_network):
    """Three networks with weights of their own."""
    found = [small_network() for _ in SEEDS]
    for seed, network in zip(SEEDS, found, strict=True):
        generator = torch.Generator().manual_seed(seed)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, generator=generator)
    return found


def alone(networks, dataset, config):
    """Results of copies trained one by one, and the copies."""
    copies, results = deepcopy(networks), []
    for network, seed in zip(copies, SEEDS, strict=True):
        try:
            results.append(fit(network, dataset, config, seed=seed, device="cpu"))
        except Diverged as error:
            results.append(error)
    return results, copies


def assert_alike(results, networks, others, copies):
    """Curves and weights of two ways to train."""
    for one, other in zip(results, others, strict=True):
        assert type(one) is type(other)
        for first, second in zip(one.curve, other.curve, strict=True):
            assert first.index == second.index
            assert first.loss == pytest.approx(second.loss, abs=1e-4)
            assert first.validation_accuracy == second.validation_accuracy
            assert first.validation_loss == pytest.approx(
                second.validation_loss, abs=1e-4
            )
    for network, same in zip(networks, copies, strict=True):
        state = same.state_dict()
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, state[name], rtol=0, atol=1e-3)


@pytest.mark.parametrize("at_once", [3, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"clip_norm": 0.05},
        {"cooldown": 0.5, "batch_size": 13},
        {"optimizer": "adamw", "learning_rate": 0.01, "schedule": "cosine"},
        {"clip_norm": 0.0, "label_smoothing": 0.0, "batch_size": 65},
    ],
    ids=["clipped", "cooldown", "adamw", "neither clipped nor smoothed"],
)
def test_a_population_is_its_trainings_one_by_one(shifted, networks, options, at_once):
    config = replace(SHORT, **options)
    others, copies = alone(networks, shifted, config)

    results = fit_population(
        networks, shifted, config, seeds=SEEDS, device="cpu", at_once=at_once
    )

    assert_alike(results, networks, others, copies)
    assert not any(network.training for network in networks)


@pytest.mark.parametrize("halvings", [0, 1])
def test_a_member_that_diverges_disturbs_no_other(shifted, networks, halvings):
    config = replace(SHORT, halvings=halvings)
    with torch.no_grad():
        networks[1][0].weight.fill_(torch.nan)
    others, copies = alone(networks, shifted, config)

    results = fit_population(
        networks, shifted, config, seeds=SEEDS, device="cpu", at_once=3
    )

    assert isinstance(results[1], Diverged)
    assert results[1].args == others[1].args == (1, ())
    assert_alike(results[::2], networks[::2], others[::2], copies[::2])


@pytest.mark.parametrize(("halvings", "again"), [(0, []), (1, [SEEDS[1]])])
def test_a_diverged_member_gets_its_second_try_alone(
    shifted, networks, monkeypatch, halvings, again
):
    """As `fit` would give it: with half the rate, from where it was still finite."""
    with torch.no_grad():
        networks[1][0].weight.fill_(torch.nan)
    tried = []
    monkeypatch.setattr(
        population, "fit", lambda network, *_, seed, **options: tried.append(seed)
    )

    config = replace(SHORT, halvings=halvings)

    fit_population(networks, shifted, config, seeds=SEEDS, device="cpu", at_once=3)

    assert tried == again


def test_where_all_diverge_no_further_epoch_is_run(shifted, networks):
    config = replace(SHORT, epochs=10_000, halvings=0)
    for network in networks:
        nn.init.constant_(network[0].weight, torch.nan)

    results = fit_population(
        networks, shifted, config, seeds=SEEDS, device="cpu", at_once=3
    )

    assert [type(result) for result in results] == [Diverged] * 3


def test_each_epoch_of_each_member_is_told_once(shifted, networks):
    told = []

    results = fit_population(
        networks,
        shifted,
        SHORT,
        seeds=SEEDS,
        device="cpu",
        at_once=2,
        on_epoch=lambda member, epoch: told.append((member, epoch)),
    )

    assert [(member, epoch.index) for member, epoch in told] == [
        *((member, index) for index in (1, 2) for member in (0, 1)),
        *((2, index) for index in (1, 2)),
    ]
    for member, result in enumerate(results):
        assert result.curve == tuple(epoch for each, epoch in told if each == member)


def test_seconds_are_shares_of_the_time_that_all_took(shifted, networks):
    results = fit_population(
        networks, shifted, SHORT, seeds=SEEDS, device="cpu", at_once=3
    )

    (seconds,) = {result.seconds for result in results}
    for result in results:
        assert 0 < sum(epoch.seconds for epoch in result.curve) <= seconds


def test_where_memory_is_short_they_are_trained_one_by_one(
    shifted, networks, monkeypatch
):
    def refuse(*arguments, **options):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(together, "population_run", refuse)

    results = fit_population(
        networks, shifted, SHORT, seeds=SEEDS, device="cpu", at_once=3
    )

    assert [type(result) for result in results] == [Fit] * 3


def test_epochs_that_are_repeated_alone_are_told_once(shifted, networks, monkeypatch):
    told = []

    def refuse(run, state, *arguments):
        if state.epoch == 2:
            raise torch.OutOfMemoryError
        return judge(run, state, *arguments)

    monkeypatch.setattr(together, "judge", refuse)

    fit_population(
        networks,
        shifted,
        SHORT,
        seeds=SEEDS,
        device="cpu",
        at_once=3,
        on_epoch=lambda member, epoch: told.append((member, epoch.index)),
    )

    assert told == [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)]


def test_what_on_epoch_raises_ends_all(shifted, networks):
    class Pruned(Exception):
        pass

    def prune(member, epoch):
        raise Pruned

    with pytest.raises(Pruned):
        fit_population(
            networks,
            shifted,
            SHORT,
            seeds=SEEDS,
            device="cpu",
            at_once=3,
            on_epoch=prune,
        )


def test_every_network_has_a_seed(shifted, networks):
    with pytest.raises(ValueError, match="one seed a network, but got 2 seeds for 3"):
        fit_population(networks, shifted, SHORT, seeds=(0, 1), device="cpu")


def test_the_global_generator_is_left_as_it_was(shifted, networks):
    before = torch.get_rng_state()

    fit_population(networks, shifted, SHORT, seeds=SEEDS, device="cpu", at_once=3)

    assert torch.equal(before, torch.get_rng_state())


# --- how many at once


def test_the_probe_names_a_size_and_leaves_the_network_as_it_is(shifted, networks):
    before = [tensor.clone() for tensor in networks[0].state_dict().values()]
    state = torch.get_rng_state()

    size = members_at_once(networks[0], shifted, SHORT, members=6, device=CPU)

    assert size in (1, 4, 6)
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(torch.equal, before, networks[0].state_dict().values()))


def test_the_probe_is_asked_once(shifted, networks, own_cache):
    size = members_at_once(networks[0], shifted, SHORT, members=4, device=CPU)
    (file,) = own_cache.rglob("probes.json")
    found = file.read_text()

    again = members_at_once(networks[0], shifted, SHORT, members=4, device=CPU)

    assert again == size
    assert file.read_text() == found


def test_one_network_and_foreign_layers_are_trained_one_by_one(shifted, networks):
    foreign = nn.Sequential(nn.Softmax(1), nn.Flatten(), nn.Linear(64, 10))

    assert members_at_once(networks[0], shifted, SHORT, members=1, device=CPU) == 1
    assert members_at_once(foreign, shifted, SHORT, members=4, device=CPU) == 1
