"""Facts about checkpoints: what is killed goes on as if it never had been."""

import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nasdepth.training.checkpoint import (
    CheckpointWriter,
    identity,
    read_checkpoint,
    read_header,
    write_checkpoint,
)
from nasdepth.training.loop import TrainingConfig, fit
from nasdepth.training.recipe import Stopped
from nasdepth.training.state import Snapshot

INTERRUPTED = Path(__file__).with_name("interrupted.py")
SNAPSHOT = Snapshot({"weight": torch.arange(6.0).view(2, 3)}, {"step": 4})
OPTIONS = [
    {},
    {"optimizer": "adamw", "learning_rate": 0.003},
    {"schedule": "cosine", "momentum": 0.0},
    {"clip_norm": 0.0, "precision": "bf16"},
]


def bits(network: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in network.state_dict().values()]


def losses(result):
    return [(epoch.loss, epoch.validation_loss) for epoch in result.curve]


def interrupted(names: Sequence[str], folder: Path, count: int) -> list[list[dict]]:
    """What became of trainings that signals reached at random moments.

    A process for each signal, all at once.
    """
    started = []
    for name in names:
        (folder / name).mkdir()
        command = [sys.executable, INTERRUPTED, name, str(count), folder / name]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, **pipes))
    told = [process.communicate() for process in started]
    assert [errors for _, errors in told] == [""] * len(names)
    return [[json.loads(line) for line in rows.splitlines()] for rows, _ in told]


@pytest.fixture(scope="module")
def hundreds(tmp_path_factory) -> tuple[list[dict], list[dict]]:
    """A hundred trainings that are killed, and a hundred that are asked to stop."""
    folder = tmp_path_factory.mktemp("hundreds")
    killed, asked = interrupted(["SIGKILL", "SIGTERM"], folder, 100)
    assert not list(folder.glob("*/*.tmp"))
    return killed, asked


def test_killed_training_goes_on_bit_by_bit_a_hundred_times(hundreds):
    rows, _ = hundreds

    assert len(rows) == 100
    assert all(row["equal"] for row in rows)
    assert all(row["reported"] - row["held"] <= 1 for row in rows)
    assert len({row["held"] for row in rows}) > 4  # the moments were spread


def test_asked_training_saves_its_last_step_and_leaves_a_hundred_times(hundreds):
    _, rows = hundreds

    assert len(rows) == 100
    assert all(row["equal"] for row in rows)
    assert all(row["held"] >= row["reported"] for row in rows)
    assert any(row["step"] for row in rows)
    assert max(row["seconds"] for row in rows) < 1


def test_other_signals_are_heeded_alike(tmp_path):
    for rows in interrupted(["SIGINT", "SIGUSR1"], tmp_path, 3):
        assert len(rows) == 3
        assert all(row["equal"] and row["checkpoint"] for row in rows)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("asked", [1, 7, 10, 11, 25])
def test_stopped_training_goes_on_bit_by_bit(
    digits, small_network, tmp_path, options, asked
):
    config = TrainingConfig(epochs=3, **options)
    whole, stopped, resumed = (small_network() for _ in range(3))
    first = fit(whole, digits, config, seed=1, device="cpu")
    left = iter(range(asked))
    path = tmp_path / "checkpoint"
    with pytest.raises(Stopped):
        fit(
            stopped,
            digits,
            config,
            seed=1,
            device="cpu",
            checkpoint=path,
            stop=lambda: next(left, None) is None,
        )

    second = fit(resumed, digits, config, seed=1, device="cpu", checkpoint=path)

    assert bits(resumed) == bits(whole)
    assert losses(second) == losses(first)


def test_finished_training_is_returned_from_its_checkpoint(
    digits, small_network, tmp_path
):
    path, seen = tmp_path / "checkpoint", []
    whole, again = small_network(), small_network()
    config = TrainingConfig(epochs=3)
    first = fit(whole, digits, config, seed=1, device="cpu", checkpoint=path)

    second = fit(
        again,
        digits,
        config,
        seed=1,
        device="cpu",
        checkpoint=path,
        on_epoch=seen.append,
    )

    assert second.curve == first.curve == tuple(seen)
    assert bits(again) == bits(whole)
    assert not again.training


def test_checkpoint_does_not_change_the_training(digits, small_network, tmp_path):
    with_, without = small_network(), small_network()
    config = TrainingConfig(epochs=3)

    fit(with_, digits, config, seed=1, device="cpu", checkpoint=tmp_path / "file")
    fit(without, digits, config, seed=1, device="cpu")

    assert bits(with_) == bits(without)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": 2}, "seed was 1, is 2"),
        ({"recipe": {"epochs": 4}}, "recipe was"),
        ({"images": "other"}, "images was"),
    ],
)
def test_checkpoint_of_another_training_is_refused(
    digits, small_network, tmp_path, changed, told
):
    path, config = tmp_path / "checkpoint", TrainingConfig(epochs=3)
    fit(small_network(), digits, config, seed=1, device="cpu", checkpoint=path)
    other = replace(config, **changed.get("recipe", {}))
    images = replace(digits, fingerprint=changed.get("images", digits.fingerprint))

    with pytest.raises(ValueError, match=f"of another training: {told}"):
        fit(
            small_network(),
            images,
            other,
            seed=changed.get("seed", 1),
            device="cpu",
            checkpoint=path,
        )


def test_checkpoint_of_another_network_is_refused(digits, small_network, tmp_path):
    path, config = tmp_path / "checkpoint", TrainingConfig(epochs=1)
    fit(small_network(), digits, config, seed=1, device="cpu", checkpoint=path)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    with pytest.raises(ValueError, match="network was"):
        fit(other, digits, config, seed=1, device="cpu", checkpoint=path)


def test_snapshot_survives_the_file(tmp_path):
    path = tmp_path / "checkpoint"

    write_checkpoint(path, SNAPSHOT, identity(seed=1))

    read = read_checkpoint(path, identity(seed=1))
    assert torch.equal(read.tensors["weight"], SNAPSHOT.tensors["weight"])
    assert read.header == SNAPSHOT.header
    assert read_header(path)["versions"]["torch"] == torch.__version__
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"x" * 99, pickle.dumps({"weight": 1})])
def test_other_files_are_no_checkpoints(tmp_path, content):
    path = tmp_path / "checkpoint"
    path.write_bytes(content)

    with pytest.raises(ValueError, match="is not a checkpoint"):
        read_checkpoint(path, {})


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not there"):
        read_checkpoint(tmp_path / "nowhere", {})


def test_checkpoint_of_a_later_format_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    monkeypatch.setattr("nasdepth.training.checkpoint.FORMAT", 2)
    write_checkpoint(path, SNAPSHOT, {})
    monkeypatch.undo()

    with pytest.raises(ValueError, match="has format 2, but 1 is read"):
        read_checkpoint(path, {})


def test_checkpoint_of_other_versions_is_read_with_a_warning(
    tmp_path, monkeypatch, caplog
):
    path = tmp_path / "checkpoint"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "1.0")
        write_checkpoint(path, SNAPSHOT, {})

    read_checkpoint(path, {})

    assert "equal to rounding, not bit by bit" in caplog.text


# A limit on the size of files is what a full disk is to a process.
FULL = """
import logging, resource, signal, sys
from pathlib import Path
import torch
from torch import nn
from nasdepth.training.data import DataConfig, load
from nasdepth.training.loop import TrainingConfig, fit
from nasdepth.training.checkpoint import read_header
logging.basicConfig(format="%(message)s", stream=sys.stdout)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
def fill(epoch):
    if epoch.index == 2:
        while not path.is_file() or len(read_header(path)["state"]["curve"]) < 2:
            pass
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
torch.set_num_threads(1)
network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
result = fit(network, load(DataConfig("digits")), TrainingConfig(epochs=5), seed=0,
             device="cpu", on_epoch=fill, checkpoint=path)
print(len(result.curve))
"""


def test_full_disk_leaves_the_last_good_checkpoint_and_the_training(tmp_path):
    path = tmp_path / "checkpoint"

    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )

    told, epochs = done.stdout.splitlines()
    assert told.startswith("A checkpoint could not be written: File too large")
    assert told.endswith("the last good one stands.")
    assert epochs == "5"
    assert len(read_header(path)["state"]["curve"]) == 2
    assert list(tmp_path.glob("checkpoint*")) == [path]


def test_unwritable_folder_is_told_once(tmp_path, caplog):
    with CheckpointWriter(tmp_path / "nowhere" / "file", {}) as writer:
        for _ in range(3):
            writer.submit(SNAPSHOT)

    assert caplog.text.count("could not be written") == 1
    assert "there is none yet" in caplog.text
