"""Facts about weights on disk."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nasdepth.training.weights import load_weights, save_weights


def network(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


def test_round_trip_is_the_identity(tmp_path):
    first, second = network(), network()
    first[1].running_mean.fill_(7)

    save_weights(first, tmp_path / "w.safetensors")
    load_weights(second, tmp_path / "w.safetensors")

    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_channels_last_weights_are_saved_alike(tmp_path):
    module = network()
    plain, last = tmp_path / "plain", tmp_path / "last"

    save_weights(module, plain)
    save_weights(module.to(memory_format=torch.channels_last), last)

    assert plain.read_bytes() == last.read_bytes()


def test_saving_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_text("old")

    save_weights(network(), path)

    load_weights(network(), path)
    assert list(tmp_path.iterdir()) == [path]


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    path.write_text("old")

    def fail(handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("nasdepth.training.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_weights(network(), path)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors is not there"):
        load_weights(network(), tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x04\x95cos\nsystem"])
def test_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"must be a safetensors file, but .*x is not"):
        load_weights(network(), path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("0.bias"), r"'0\.bias' is missing"),
        (lambda state: state.update(more=torch.zeros(1)), "'more' is foreign"),
        (
            lambda state: state.update({"0.bias": torch.zeros(5)}),
            r"'0\.bias' has the shape \(5,\), not \(4,\)",
        ),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, change, message):
    state = dict(network().state_dict())
    change(state)
    save_file(state, tmp_path / "x")
    module = network()
    before = module[0].weight.clone()

    with pytest.raises(ValueError, match=message):
        load_weights(module, tmp_path / "x")

    assert torch.equal(module[0].weight, before)
