"""Networks of one architecture as one module: their channels side by side.

Of `members` networks with maps of C channels, the population has maps of `members * C`:
member `m` holds the channels from `m * C` on. Convolutions and group norms then have
`members` times the groups, batch norms and activations work on each channel anyway, and
a linear layer is a product of batches of matrices. So a small network's step, most of
which is not spent on arithmetic, is paid once for all of them.
"""

import builtins
import operator
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.nn import functional as F


class Population(nn.Module):
    """Several networks of one architecture, each with weights of its own.

    `state_dict` has the names of one network; see `state` for that of each member.
    Elements dropped out are drawn for all members together.

    Args:
        networks: of one architecture; they are copied.

    Raises:
        ValueError: there is none, they differ, or hold what cannot be put side by side.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        traces = [fx.symbolic_trace(network) for network in networks]
        _require_alike(traces)
        self.members = len(traces)
        self.network = _side_by_side(traces)
        self.train(networks[0].training)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch members classes"]:
        """Class scores of each member.

        Args:
            images: those of each member in channels of their own, in order.
        """
        scores: Tensor = self.network(images)
        return _apart(scores, 1, self.members)

    def state(self, member: int) -> dict[str, Tensor]:
        """State of a member under the names in its network, sharing memory."""
        shared = self.network.state_dict()
        return {name: self.split(tensor)[member] for name, tensor in shared.items()}

    def split(self, tensor: Tensor) -> Tensor:
        """Parameter or buffer of the population, `(members, ...)`, sharing memory."""
        if tensor.ndim == 0:  # a count of batches, which all members have seen
            return tensor.expand(self.members)
        return _apart(tensor, 0, self.members)

    @torch.no_grad()
    def write(self, member: int, network: nn.Module) -> None:
        """Copy a member's state into a network of the architecture.

        Args:
            member: from 0.
            network: its layers that no forward pass reaches stay as they are.
        """
        own = network.state_dict()
        for name, tensor in self.state(member).items():
            own[name].copy_(tensor)


class _Linear(nn.Linear):
    """Linear layers of all members, on vectors side by side."""

    members: int

    def forward(self, x: Tensor) -> Tensor:
        weight = _apart(self.weight, 0, self.members).transpose(1, 2)
        each = _apart(x, 1, self.members).transpose(0, 1)
        if self.bias is None:
            found = torch.bmm(each, weight)
        else:
            bias = self.bias.view(self.members, 1, -1)
            found = torch.baddbmm(bias, each, weight)
        return found.transpose(0, 1).flatten(1)


def _conv(layer: Any, members: int) -> None:
    layer.in_channels *= members
    layer.out_channels *= members
    layer.groups *= members


def _norm(layer: Any, members: int) -> None:
    layer.num_features *= members


def _group_norm(layer: Any, members: int) -> None:
    layer.num_channels *= members
    layer.num_groups *= members


def _linear(layer: Any, members: int) -> None:
    layer.__class__ = _Linear
    layer.members = members


def _flatten(layer: Any, members: int) -> None:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise _foreign(f"the layer {layer}")


def _kept(layer: Any, members: int) -> None:
    """For a layer that works on each channel alone."""


#: how a layer that holds the weights of all members differs from one member's
_LAYERS: Final[Mapping[type[nn.Module], Callable[[Any, int], None]]] = {
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.GroupNorm: _group_norm,
    nn.Linear: _linear,
    nn.Flatten: _flatten,
    **dict.fromkeys(
        (
            nn.Identity,
            nn.Dropout,
            nn.ReLU,
            nn.ReLU6,
            nn.GELU,
            nn.SiLU,
            nn.ELU,
            nn.Tanh,
            nn.MaxPool2d,
            nn.AvgPool2d,
            nn.AdaptiveAvgPool2d,
        ),
        _kept,
    ),
}
#: functions that work on each channel alone, and sums
_FUNCTIONS: Final = frozenset(
    {
        F.relu,
        F.relu6,
        F.gelu,
        F.silu,
        F.elu,
        torch.relu,
        torch.tanh,
        F.max_pool2d,
        F.avg_pool2d,
        F.adaptive_avg_pool2d,
        operator.add,
        torch.add,
    }
)


def _require_alike(traces: Sequence[fx.GraphModule]) -> None:
    if not traces:
        raise ValueError("A population must have at least 1 network, but got 0.")
    first = _form(traces[0])
    for place, trace in enumerate(traces):
        if _form(trace) != first:
            raise ValueError(
                "The networks of a population must be of one architecture, but "
                f"networks[{place}] differs from networks[0]."
            )


def _form(trace: fx.GraphModule) -> tuple[object, ...]:
    """All that two networks of one architecture have in common."""
    taken = [
        tuple(trace.get_buffer(str(node.target)).tolist())
        for node in trace.graph.nodes
        if node.op == "get_attr"
    ]
    shapes = [(name, tuple(t.shape)) for name, t in trace.state_dict().items()]
    return trace.code, repr(trace), taken, shapes


def _side_by_side(traces: Sequence[fx.GraphModule]) -> fx.GraphModule:
    """The first trace, turned to the layers and operations of all of them."""
    members, found = len(traces), traces[0]
    for name in {n.target for n in found.graph.nodes if n.op == "call_module"}:
        layers = [trace.get_submodule(name) for trace in traces]
        found.set_submodule(name, _layer(name, layers))
    for node in found.graph.nodes:
        if node.op == "get_attr":
            _forget(found, str(node.target))
        elif node.op in ("call_function", "call_method"):
            _widen(node, members)
    found.recompile()
    return found


def _layer(name: str, layers: Sequence[nn.Module]) -> nn.Module:
    """One layer with the weights of several, in memory of its own."""
    if type(layers[0]) not in _LAYERS:
        raise _foreign(f"the layer {name} of type {type(layers[0]).__name__}")
    found = copy(layers[0])
    found._parameters = dict(found._parameters)
    found._buffers = dict(found._buffers)
    for key, weight in found._parameters.items():
        if weight is not None:
            stacked = torch.cat([layer.get_parameter(key) for layer in layers])
            found._parameters[key] = nn.Parameter(stacked.detach())
    for key, value in found._buffers.items():
        if value is not None:
            values = [layer.get_buffer(key) for layer in layers]
            found._buffers[key] = torch.cat(values) if value.ndim else value.clone()
    _LAYERS[type(layers[0])](found, len(layers))
    return found


def _forget(network: fx.GraphModule, target: str) -> None:
    """Take a constant out of the state, where the networks do not have it either."""
    owner, _, name = target.rpartition(".")
    constant = network.get_buffer(target).clone()
    module = network.get_submodule(owner)
    module.register_buffer(name, constant, persistent=False)


def _widen(node: fx.Node, members: int) -> None:
    """Make an operation on one member's maps the one on those of all members.

    Raises:
        ValueError: it is none of those that a population can hold.
    """
    match node.target, node.args[1:]:
        case torch.cat, (1,):
            node.target, node.args = _concat, (node.args[0], members)
        case "index_select", (1, channels):
            node.op, node.target = "call_function", _select
            node.args = (node.args[0], channels, members)
        case "new_zeros", (batch, int() as channels, *sides):
            node.args = (node.args[0], batch, members * channels, *sides)
        case (("flatten" | torch.flatten), (1,)):
            return
        case (builtins.getattr, ("shape",)) | (operator.getitem, (0,)):  # the batch
            return
        case function, _ if function in _FUNCTIONS:
            return
        case function, _:
            name = getattr(function, "__name__", function)
            raise _foreign(f"the operation {name} with arguments {node.args[1:]}")


def _apart(x: Tensor, axis: int, members: int) -> Tensor:
    """The members along an axis of their own, sharing memory."""
    found: Tensor = x.unflatten(axis, (members, -1))  # type: ignore[no-untyped-call]  # torch's own
    return found


def _concat(maps: Sequence[Tensor], members: int) -> Tensor:
    """Each member's channels of all maps side by side."""
    if _channels_last(maps[0]):
        parts = [_apart(x.permute(0, 2, 3, 1), 3, members) for x in maps]
        return torch.cat(parts, 4).flatten(3).permute(0, 3, 1, 2)
    parts = [_apart(x, 1, members) for x in maps]
    return torch.cat(parts, 2).flatten(1, 2)


def _select(x: Tensor, channels: Tensor, members: int) -> Tensor:
    """The named channels of each member."""
    if _channels_last(x):
        each = _apart(x.permute(0, 2, 3, 1), 3, members)
        return each.index_select(4, channels).flatten(3).permute(0, 3, 1, 2)
    each = _apart(x, 1, members)
    return each.index_select(2, channels).flatten(1, 2)


def _channels_last(x: Tensor) -> bool:
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)


def _foreign(what: str) -> ValueError:
    known = sorted(layer.__name__ for layer in _LAYERS)
    return ValueError(
        "A population must consist of what generated networks do, and of layers "
        f"{', '.join(known)}, but got {what}."
    )
