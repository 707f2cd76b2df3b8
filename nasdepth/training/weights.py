"""Weights of a network in a safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from nasdepth.training.files import replacing


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the state of a network; no reader ever sees half a file.

    Args:
        network: on any device.
        path: replaced where it exists; its folder must.
    """
    state = {name: t.detach().cpu().contiguous() for name, t in _state(network)}
    with replacing(path, synced=True) as file:
        file.write(save(state))


def load_weights(network: nn.Module, path: Path) -> None:
    """Read the state of a network into it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another kind, or of another network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Weights must be a file, but {path} is not there.")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"Weights must be a safetensors file, but {path} is not: {error}."
        ) from error
    if problem := _mismatch(network, {n: tuple(t.shape) for n, t in state.items()}):
        raise ValueError(f"Weights must fit the network, but in {path} {problem}.")
    network.load_state_dict(state)


def _state(network: nn.Module) -> list[tuple[str, Tensor]]:
    return list(network.state_dict().items())


def _mismatch(network: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """First difference between a network and the shapes in a file; "" if none."""
    own = {name: tuple(tensor.shape) for name, tensor in _state(network)}
    for name in sorted(own.keys() | shapes.keys()):
        if name not in shapes:
            return f"{name!r} is missing"
        if name not in own:
            return f"{name!r} is foreign"
        if own[name] != shapes[name]:
            return f"{name!r} has the shape {shapes[name]}, not {own[name]}"
    return ""
