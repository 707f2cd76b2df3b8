"""What a forward pass does inside a module: its layers, rectifiers and last map.

A *layer* is a call of a convolution or a linear layer. Layers are seen by hooks;
activations and pooling by the torch functions that modules, functional calls and
tensor methods all end in, so generated source and hand-written modules agree.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from nasdepth.measures.structure import Undefined

Images: TypeAlias = Float[Tensor, "batch channels height width"]
Labels: TypeAlias = Int64[Tensor, " batch"]
LAYERS: Final = (nn.Conv2d, nn.Linear)

#: functions whose output is zero wherever their input is negative
RECTIFIERS: Final = frozenset({"relu", "relu_", "relu6", "hardtanh", "hardtanh_"})
#: functions whose output is positive exactly where their input is
HINGES: Final = RECTIFIERS | {"leaky_relu", "leaky_relu_", "prelu", "rrelu", "rrelu_"}
_POOLS: Final = frozenset({"adaptive_avg_pool2d", "adaptive_max_pool2d"})


@dataclass(frozen=True, slots=True, eq=False)  # tensors have no single equality
class Call:
    """One call of a layer: its name, module, input and output."""

    name: str
    layer: nn.Conv2d | nn.Linear
    input: Tensor
    output: Tensor


@dataclass(frozen=True, slots=True)
class Reading:
    """A number about a network, with the values of the layers that it sums up.

    Attributes:
        value: the number.
        names: of the layers, in order of execution; a layer called twice comes twice.
        layers: value of each.
        errors: standard error of each where it was estimated; 0 where it is exact.
    """

    value: float
    names: tuple[str, ...] = ()
    layers: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()


def fresh(module: nn.Module, like: Tensor | None = None) -> nn.Module:
    """A copy to work on, which normalises with the statistics of the batch.

    Batch norm is in train mode, as in a new module; all else (dropout, stochastic
    depth, auxiliary heads) in eval mode, so that nothing draws random numbers.

    Args:
        module: stays as it is.
        like: tensor whose precision and device the copy takes.
    """
    copy = deepcopy(module).eval().requires_grad_(True)
    for part in copy.modules():
        if isinstance(part, _BatchNorm):
            part.train()
    return copy if like is None else copy.to(like.device, like.dtype)


def layers(module: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Convolutions and linear layers by name, in order of registration.

    Raises:
        Undefined: there is none.
    """
    found = {n: part for n, part in module.named_modules() if isinstance(part, LAYERS)}
    if not found:
        raise Undefined("A network without convolution or linear layer has no weights.")
    return found


def weights(module: nn.Module) -> list[Tensor]:
    """Weights of the convolutions and linear layers, without biases and norms."""
    return [layer.weight for layer in layers(module).values()]


@contextmanager
def calls(module: nn.Module) -> Iterator[list[Call]]:
    """The calls of layers while the context is open, in order of execution.

    What is recorded goes on as a copy: a later in-place activation does not reach it.
    """
    found: list[Call] = []

    def hook(name: str) -> Callable[..., Tensor]:
        def record(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            found.append(Call(name, layer, inputs[0], output))
            return output.clone()

        return record

    handles = [
        layer.register_forward_hook(hook(name))
        for name, layer in module.named_modules()
        if isinstance(layer, LAYERS)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


class Activations(TorchFunctionMode):
    """While it is open, collects the outputs of the named activation functions.

    An output that a later in-place operation may change is copied.

    Args:
        names: of torch functions, from `RECTIFIERS` or `HINGES`.
    """

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__()
        self._names = names
        self.outputs: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if _name(func) in self._names and _starts_at_zero(func, args, kwargs or {}):
            self.outputs.append(result.detach().clone())
        return result


class LastMap(TorchFunctionMode):
    """While it is open, finds the feature map that global pooling reads.

    That is the input of the first call after the last convolution that pools
    adaptively, or that leaves one vector an image: a mean over height and width, a
    flattening, a pooling window that covers the map.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen_conv = False
        self._map: Tensor | None = None

    @property
    def map(self) -> Tensor:
        """The map, `(batch, channels, height, width)`.

        Raises:
            Undefined: the network has none.
        """
        if self._map is None:
            raise Undefined(
                "A network without convolution before a pooling has no map."
            )
        return self._map

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name, first = _name(func), args[0] if args else None
        if name == "conv2d":
            self._seen_conv, self._map = True, None
        elif (
            self._seen_conv
            and self._map is None
            and isinstance(first, Tensor)
            and first.ndim == 4
            and (name in _POOLS or _is_vector(first, result))
        ):
            self._map = first
        return result


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__name__", "")


def _starts_at_zero(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Whether a hardtanh is the relu6 that torch writes as one; true of all others."""
    if not _name(func).startswith("hardtanh"):
        return True
    low = args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)
    return bool(low == 0)


def _is_vector(before: Tensor, after: object) -> bool:
    """Whether a call turned a map into one vector for each image."""
    if not isinstance(after, Tensor) or len(after) != len(before):
        return False
    pooled = after.shape[2:] == (1, 1) != before.shape[2:]
    return after.ndim == 2 or (after.ndim == 4 and pooled)
