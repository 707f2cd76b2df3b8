"""A population that was stopped or killed goes on bit by bit, on the digits."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nasdepth.training import population, side_by_side
from nasdepth.training.checkpoint import read_header
from nasdepth.training.ledger import ledger_file
from nasdepth.training.memory import predicted_bytes
from nasdepth.training.population import fit_population
from nasdepth.training.recipe import Diverged, Fit, Stopped, TrainingConfig
from nasdepth.training.side_by_side import members_at_once, members_that_fit

INTERRUPTED = Path(__file__).with_name("interrupted_population.py")
SEEDS = (3, 4, 5)
SHORT = TrainingConfig(epochs=2, precision="fp32")
CPU = torch.device("cpu")
#: asked in the first epoch of two, in its judgement, in the second one, in the third
#: network's training
ASKED = (1, 4, 7, 12, 18)
OPTIONS = {
    "averaged": {},
    "adamw, cooled": {"optimizer": "adamw", "learning_rate": 0.003, "cooldown": 0.5},
    "no momentum, cosine": {"schedule": "cosine", "momentum": 0.0},
}


@pytest.fixture
def few(digits):
    """Digits for 5 steps an epoch."""
    return replace(
        digits,
        train_images=digits.train_images[:650],
        train_labels=digits.train_labels[:650],
        augmentation=replace(digits.augmentation, shift=1),
    )


@pytest.fixture
def make(small_network):
    """Maker of the same three networks with dropout each time."""

    def networks(*, ruined=()):
        found = [nn.Sequential(*small_network(), nn.Dropout(0.0)) for _ in SEEDS]
        for place, (seed, network) in enumerate(zip(SEEDS, found, strict=True)):
            network.insert(6, nn.Dropout(0.1))
            value = torch.nan if place in ruined else seed / 100
            nn.init.constant_(network[1].bias, value)
        return found

    return networks


@pytest.fixture
def train(few, tmp_path):
    """Trains networks; their checkpoints are in the folder of that name."""

    def run(networks, config=SHORT, *, folder=None, asked=None, **options):
        if folder is not None:
            place = tmp_path / folder
            place.mkdir(exist_ok=True)
            options["checkpoints"] = [place / str(seed) for seed in SEEDS]
        if asked is not None:
            left = iter(range(asked))
            options["stop"] = lambda: next(left, None) is None
        options = {"at_once": 2, **options}
        return fit_population(
            networks, few, config, seeds=SEEDS, device="cpu", **options
        )

    return run


def bits(networks):
    return [t.numpy().tobytes() for n in networks for t in n.state_dict().values()]


def losses(results):
    return [[(e.loss, e.validation_loss) for e in r.curve] for r in results]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_stopped_population_goes_on_bit_by_bit(make, train, options):
    config, whole = replace(SHORT, **options), make()
    first = train(whole, config)

    for asked in ASKED:
        with pytest.raises(Stopped):
            train(make(), config, folder=str(asked), asked=asked)
        resumed = make()
        second = train(resumed, config, folder=str(asked))

        assert bits(resumed) == bits(whole)
        assert losses(second) == losses(first)


def test_it_may_be_stopped_at_every_step(make, train):
    whole = make()
    first = train(whole)
    stops, resumed = 0, None
    while resumed is None:
        networks = make()
        try:
            second, resumed = train(networks, folder="steps", asked=5), networks
        except Stopped:
            stops += 1
            assert stops < 20

    assert stops > 4
    assert bits(resumed) == bits(whole)
    assert losses(second) == losses(first)


@pytest.mark.parametrize("ruined", [(0,), (1,), (0, 1)], ids=str)
def test_diverged_members_are_remembered(make, train, ruined):
    whole = make(ruined=ruined)
    first = train(whole)

    for asked in (10, 14, 18):  # in the second epoch, in their own training, after it
        with pytest.raises(Stopped):
            train(make(ruined=ruined), folder=str(asked), asked=asked)
        resumed = make(ruined=ruined)
        second = train(resumed, folder=str(asked))

        assert [type(r) for r in second] == [type(r) for r in first]
        assert [place for place, r in enumerate(second) if isinstance(r, Diverged)] == [
            *ruined
        ]
        assert losses(second) == losses(first)
        sound = [n for n in range(3) if n not in ruined]
        assert bits(resumed[n] for n in sound) == bits(whole[n] for n in sound)


def test_killed_populations_go_on_bit_by_bit(tmp_path):
    command = [sys.executable, str(INTERRUPTED), "SIGKILL", "6", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.stderr == ""
    assert [row["equal"] for row in rows] == [True] * 6
    assert all(row["reported"] - row["held"] <= 1 for row in rows)
    assert any(0 < row["held"] < 5 for row in rows)


def test_epochs_of_a_checkpoint_are_told_again(make, train):
    told = []
    with pytest.raises(Stopped):
        train(make(), folder="told", asked=12)

    results = train(
        make(), folder="told", on_epoch=lambda place, epoch: told.append((place, epoch))
    )

    assert [(place, epoch.index) for place, epoch in told] == [
        *((place, index) for index in (1, 2) for place in (0, 1)),
        *((2, index) for index in (1, 2)),
    ]
    for member, result in enumerate(results):
        assert result.curve == tuple(epoch for place, epoch in told if place == member)


def test_an_epoch_is_on_its_way_to_disk_before_it_is_told(make, train, tmp_path):
    class Gone(Exception):
        pass

    def leave(place, epoch):
        raise Gone

    with pytest.raises(Gone):
        train(make(), folder="gone", on_epoch=leave)

    held = read_header(tmp_path / "gone" / "3")["state"]["members"]
    assert [len(member["curve"]) for member in held] == [1, 1]


def test_what_was_begun_together_goes_on_so_and_no_probe_is_asked(
    make, train, monkeypatch
):
    whole = make()
    train(whole)
    with pytest.raises(Stopped):
        train(make(), folder="begun", asked=12)
    monkeypatch.delattr(population, "members_at_once")
    monkeypatch.delattr(side_by_side, "choose")

    resumed = make()
    train(resumed, folder="begun", at_once=None)

    assert bits(resumed) == bits(whole)


def test_what_was_begun_alone_goes_on_alone(make, train, monkeypatch):
    whole = make()
    train(whole, at_once=1)
    with pytest.raises(Stopped):
        train(make(), folder="alone", asked=12, at_once=1)

    resumed = make()
    train(resumed, folder="alone", at_once=3)

    assert bits(resumed) == bits(whole)


def test_finished_populations_are_returned_from_their_checkpoints(make, train):
    whole, again = make(), make()
    first = train(whole, folder="finished")

    second = train(again, folder="finished", stop=lambda: True)

    assert [r.curve for r in second] == [r.curve for r in first]
    assert bits(again) == bits(whole)
    assert not any(network.training for network in again)


def test_checkpoints_do_not_change_the_trainings(make, train):
    with_, without = make(), make()

    train(with_, folder="files")
    train(without)

    assert bits(with_) == bits(without)


def test_checkpoint_of_another_population_is_refused(make, train, few):
    train(make(), folder="first", at_once=3)

    with pytest.raises(ValueError, match="of another training: recipe was"):
        train(make(), replace(SHORT, epochs=3), folder="first")


def test_every_network_has_a_checkpoint(make, few, tmp_path):
    with pytest.raises(ValueError, match="one checkpoint a network, but got 1 check"):
        fit_population(
            make(), few, SHORT, seeds=SEEDS, device="cpu", checkpoints=[tmp_path / "a"]
        )


# --- memory and determinism


def test_no_more_are_trained_at_once_than_memory_is_predicted_to_hold(
    make, train, few, monkeypatch
):
    (network, *_), told = make(), []
    each = predicted_bytes(network, (1, 8, 8), 128, precision="fp32")
    monkeypatch.setattr(side_by_side, "available_bytes", lambda device: 2 * each)

    train(make(), at_once=3, on_epoch=lambda place, epoch: told.append(place))

    assert members_that_fit(network, few, SHORT, CPU) == 2
    assert told == [0, 1, 0, 1, 2, 2]


def test_where_memory_holds_one_network_none_is_timed(
    make, few, monkeypatch, own_cache
):
    monkeypatch.setattr(side_by_side, "available_bytes", lambda device: 1)

    assert members_at_once(make()[0], few, SHORT, members=3, device=CPU) == 1
    assert not list(own_cache.rglob("probes.json"))


def test_a_group_that_memory_refused_is_begun_again_alone(
    make, train, monkeypatch, tmp_path
):
    def refuse(*arguments, **options):
        raise torch.OutOfMemoryError

    whole = make()
    train(whole, at_once=1)
    with pytest.raises(Stopped):
        train(make(), folder="short", asked=12)
    monkeypatch.setattr("nasdepth.training.together.judge", refuse)

    networks = make()
    results = train(networks, folder="short")

    assert [type(result) for result in results] == [Fit] * 3
    assert bits(networks) == bits(whole)
    assert "members" not in read_header(tmp_path / "short" / "3")["training"]


def test_a_group_reserves_the_memory_of_all(make, train):
    held = []

    def look(place, epoch):
        entries = json.loads(ledger_file(CPU).read_text())["entries"]
        held.append([entry["size"] for entry in entries])

    for at_once in (1, 3):
        train(make(), replace(SHORT, epochs=1), at_once=at_once, on_epoch=look)

    (alone,), (together,) = held[0], held[-1]
    kernels = 16 * 2**20
    assert together - kernels == pytest.approx(3 * (alone - kernels), rel=0.1)


def test_deterministic_trainings_use_deterministic_kernels_and_no_timing(
    make, train, own_cache
):
    config, seen = replace(SHORT, epochs=1, deterministic=True), []

    def look(place, epoch):
        seen.append((place, torch.are_deterministic_algorithms_enabled()))

    train(make(), config, at_once=3, on_epoch=look)
    train(make(), config, at_once=None, on_epoch=look)

    assert seen == [(place, True) for place in range(3)] * 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert not list(own_cache.rglob("probes.json"))


def test_the_probe_may_be_ended(make, few):
    def end():
        raise Stopped

    with pytest.raises(Stopped):
        members_at_once(make()[0], few, SHORT, members=3, device=CPU, poll=end)
