"""Foreign networks by name: torchvision's, timm's, and whatever a callable makes."""

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
import torchvision.models
from torch import nn

from nasdepth.architecture.families import NETWORKS
from nasdepth.architecture.ops import Shape

_Devices: TypeAlias = Sequence[str]
#: what such files hold is run when it is loaded
_PICKLES: Final = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".tar", ".joblib")


class UnknownNetwork(ValueError):
    """A name that no source of networks knows."""


def load(
    name: str, input_shape: Shape | None = None, *, empty: bool = True
) -> tuple[nn.Module, Shape]:
    """A foreign network and the shape of one image for it.

    Weights are not loaded.

    >>> module, shape = load("torchvision:squeezenet1_0")
    >>> type(module).__name__, shape
    ('SqueezeNet', (3, 224, 224))

    Args:
        name: "torchvision:NAME", "timm:NAME" or "package.module:callable"; a callable
            is called without arguments, a module is taken as it is.
        input_shape: of one image; the source's own where it states one.
        empty: whether weights lie on the meta device, where the network allows that;
            otherwise they are initialised on the CPU.

    Raises:
        UnknownNetwork: with the nearest names of all sources.
        ValueError: the callable raises, gives no module, or states no shape.
    """
    source, _, rest = name.partition(":")
    if Path(name).suffix in _PICKLES:
        raise ValueError(
            f"{name!r} is not opened, since loading a pickle runs what it holds; name "
            "the code that makes the network: package.module:callable."
        )
    if not rest:
        raise UnknownNetwork(_unknown(name))
    make = _SOURCES.get(source)
    where = ("meta", "cpu") if empty else ("cpu",)
    if make:
        module, shape = make(rest, where, input_shape)
    else:
        module, shape = _callable(source, rest, where)
    wanted = input_shape or shape
    if wanted is None:
        raise ValueError(
            f"{name} does not say the shape of its images; give it with "
            "--input channels,height,width."
        )
    return module, wanted


def _from_torchvision(
    name: str, where: _Devices, wanted: Shape | None
) -> tuple[nn.Module, Shape | None]:
    models = torchvision.models
    if name not in _torchvision_names():
        raise UnknownNetwork(_unknown(f"torchvision:{name}"))
    # their own initialization takes minutes, and nothing here reads it
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    if name.startswith("vit_") and wanted:
        # its positions are learnt: each size of image is a network of its own
        options["image_size"] = wanted[-1]
    module = _made(lambda: models.get_model(name, weights=None, **options), name, where)
    side = getattr(module, "image_size", None)
    if side is None:
        weights = models.get_model_weights(name)
        side = min(_side(each.transforms().crop_size) for each in weights)
    return module, (3, int(side), int(side))


def _side(crop: Sequence[int]) -> int:
    return int(crop[0])


def _from_timm(
    name: str, where: _Devices, _: Shape | None
) -> tuple[nn.Module, Shape | None]:
    try:
        timm = import_module("timm")
    except ImportError as error:
        text = "timm is not installed: pip install 'nasdepth[timm]'."
        raise ValueError(text) from error
    if not timm.is_model(name):
        raise UnknownNetwork(_unknown(f"timm:{name}"))
    module = _made(lambda: timm.create_model(name, pretrained=False), name, where)
    size = getattr(module, "pretrained_cfg", {}).get("input_size")
    return module, tuple(size) if size else None


def _callable(
    path: str, attribute: str, where: _Devices
) -> tuple[nn.Module, Shape | None]:
    # a user's own file is found where the command was given, as with `python -m`
    if "" not in sys.path:
        sys.path.insert(0, "")
    name = f"{path}:{attribute}"
    try:
        with redirect_stdout(sys.stderr):
            found: Any = import_module(path)
    except ModuleNotFoundError as error:
        forms = "torchvision:NAME, timm:NAME or package.module:callable"
        raise UnknownNetwork(f"{name}: {error}; give {forms}.") from error
    except (Exception, SystemExit) as error:  # whatever the user's file does
        raise ValueError(_raised(name, error)) from error
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        near = get_close_matches(attribute, dir(sys.modules[path]), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownNetwork(f"{path} has no {attribute!r}.{hint}") from error
    module = found if isinstance(found, nn.Module) else _made(found, name, where)
    shape = getattr(module, "input_shape", None)
    return module, tuple(shape) if shape else None


def _made(make: Callable[[], Any], name: str, where: _Devices) -> nn.Module:
    """The network, on the first of the devices that its constructor works on."""
    # standard output is for results, whatever the constructor prints
    with torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr):
        try:
            module = _made_on(make, where)
        except (Exception, SystemExit) as error:  # whatever the constructor raises
            raise ValueError(_raised(name, error)) from error
    if not isinstance(module, nn.Module):
        kind = type(module).__name__
        raise ValueError(f"{name} must give a torch.nn.Module, but gave a {kind}.")
    return module


def _made_on(make: Callable[[], Any], where: _Devices) -> Any:
    for device in where[:-1]:
        try:
            with torch.device(device):
                return make()
        except Exception:  # it reads a number, which the meta device does not hold
            continue
    with torch.device(where[-1]):
        return make()


def _raised(name: str, error: BaseException) -> str:
    return f"{name} raised {type(error).__name__}: {error}"


def _torchvision_names() -> list[str]:
    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def _unknown(name: str) -> str:
    """Message with the nearest names of families, torchvision and timm."""
    bare = name.rpartition(":")[2]
    known = [*NETWORKS, *(f"torchvision:{each}" for each in _torchvision_names())]
    if "timm" in sys.modules or name.startswith("timm:"):
        timm = import_module("timm")
        known += [f"timm:{each}" for each in timm.list_models()]
    by_bare: dict[str, list[str]] = {}
    for each in known:
        by_bare.setdefault(each.rpartition(":")[2], []).append(each)
    nearest = get_close_matches(bare, by_bare, n=3)
    near = [each for match in nearest for each in by_bare[match]]
    hint = f"; did you mean {', '.join(near)}?" if near else "."
    return (
        f"Unknown network {name!r}; give a family, torchvision:NAME, timm:NAME, "
        f"package.module:callable or architecture.json{hint}"
    )


_Source: TypeAlias = Callable[
    [str, _Devices, Shape | None], tuple[nn.Module, Shape | None]
]
_SOURCES: Final[dict[str, _Source]] = {
    "torchvision": _from_torchvision,
    "timm": _from_timm,
}
