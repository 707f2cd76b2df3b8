"""How signals and gradients fare through the layers of a network as it stands.

Layers are calls of convolutions and linear layers in order of execution, projections
and parallel branches included, so in a branched network the place is not the depth.
The loss is the cross-entropy, mean over the batch; batch norm uses the batch, all else
is in eval mode. Activations and back-propagated gradients over layers are the figures
of Glorot & Bengio 2010 (*Understanding the difficulty of training deep feedforward
neural networks*, AISTATS); the least-squares slopes are ours.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasdepth.measures.structure import Undefined
from nasdepth.network.watch import (
    RECTIFIERS,
    Activations,
    Call,
    Images,
    Labels,
    Reading,
    calls,
    fresh,
)


def gradient_norm(module: nn.Module, images: Images, labels: Labels) -> Reading:
    """Euclidean norm of the loss's gradient for each layer's weight.

    The value is the norm over all layers together, biases and norms left out.

    Raises:
        Undefined: no layer.
    """
    seen, loss = _run(module, images, labels)
    names = tuple(dict.fromkeys(call.name for call in seen))
    owners = {call.name: call.layer.weight for call in seen}
    norms = _norms(loss, [owners[name] for name in names])
    return Reading(float(np.linalg.norm(norms)), names, norms)


def attenuation_slope(module: nn.Module, images: Images, labels: Labels) -> Reading:
    """Slope of the log gradient norm over layers, in nats a layer.

    The gradient is that of the loss with respect to a layer's output (before norm and
    activation), its norm Euclidean over the whole batch: what back-propagation brings
    to the layer (Glorot & Bengio 2010, figure 7). Natural log against place, least
    squares. Positive: the gradient attenuates on its way to the first layer;
    negative: it grows; 0: isometry. The layers are the norms themselves.

    Raises:
        Undefined: fewer than two layers, or a layer that no gradient reaches.
    """
    seen, loss = _run(module, images, labels)
    norms = _norms(loss, [call.output for call in seen])
    return Reading(_slope(norms, "gradient"), _names(seen), norms)


def weight_gradient_slope(module: nn.Module, images: Images, labels: Labels) -> Reading:
    """As `attenuation_slope`, for the gradient of each layer's weight.

    What the optimiser sees. Where activations shrink forwards as gradients do
    backwards it is flat although both vanish (Glorot & Bengio 2010, section 4.2.2).

    Raises:
        Undefined: fewer than two layers, or a layer that no gradient reaches.
    """
    found = gradient_norm(module, images, labels)
    return Reading(_slope(found.layers, "gradient"), found.names, found.layers)


def variance_slope(module: nn.Module, images: Images, labels: Labels) -> Reading:
    """Slope of the log activation variance over layers, in nats a layer.

    The variance is that of all elements of a layer's output (before norm and
    activation) over images, channels and positions. The layers are the variances.

    Raises:
        Undefined: fewer than two layers, or a layer whose output is constant.
    """
    copy = fresh(module, images)
    with torch.no_grad(), calls(copy) as seen:
        copy(images)
    found = tuple(call.output.double().var(correction=0).item() for call in seen)
    return Reading(_slope(found, "activation variance"), _names(seen), found)


def dead_units(module: nn.Module, images: Images, labels: Labels) -> Reading:
    """Share of rectified units that are 0 for every image of the batch, in [0, 1].

    A unit is one element of the output of a relu or relu6, `(channel, row, column)`;
    the value is over all units, the layers are the calls in order. Depends on the
    batch: a unit that is on for one image in two is dead in a batch of n with
    probability 2⁻ⁿ.

    Raises:
        Undefined: no relu or relu6.
    """
    return _dead(module, images, lambda off: off)


def dead_channels(module: nn.Module, images: Images, labels: Labels) -> Reading:
    """Share of rectified channels that are 0 everywhere for the whole batch.

    As `dead_units`, with a channel as the unit: its filter gets no gradient.

    Raises:
        Undefined: no relu or relu6.
    """
    return _dead(module, images, lambda off: off.reshape(len(off), -1).all(1))


def _run(
    module: nn.Module, images: Images, labels: Labels
) -> tuple[Sequence[Call], Tensor]:
    copy = fresh(module, images)
    with calls(copy) as seen:
        loss = cross_entropy(copy(images), labels)
    if not seen:
        raise Undefined("A network without convolution or linear layer has no layers.")
    return seen, loss


def _norms(loss: Tensor, places: Sequence[Tensor]) -> tuple[float, ...]:
    grads = torch.autograd.grad(loss, places, allow_unused=True, materialize_grads=True)
    return tuple(grad.double().norm().item() for grad in grads)


def _names(seen: Sequence[Call]) -> tuple[str, ...]:
    return tuple(call.name for call in seen)


def _slope(values: Sequence[float], what: str) -> float:
    """Least-squares slope of the natural log over consecutive places."""
    if len(values) < 2:
        raise Undefined(f"A slope needs two layers, but got {len(values)}.")
    for place, value in enumerate(values):
        if not 0 < value < np.inf:
            rule = f"The {what} must be positive and finite for a logarithm"
            raise Undefined(f"{rule}, but is {value} in layer {place + 1}.")
    logs = np.log(values)
    places = np.arange(len(values)) - (len(values) - 1) / 2
    return float(places @ logs / (places @ places))


def _dead(
    module: nn.Module, images: Images, group: Callable[[Tensor], Tensor]
) -> Reading:
    copy = fresh(module, images)
    with torch.no_grad(), Activations(RECTIFIERS) as seen:
        copy(images)
    off = [group((out == 0).all(0)) for out in seen.outputs]
    if not off:
        raise Undefined("A network without relu or relu6 has no dead units.")
    shares = tuple(each.double().mean().item() for each in off)
    dead = sum(int(each.sum()) for each in off) / sum(each.numel() for each in off)
    return Reading(dead, tuple(f"relu{i + 1}" for i in range(len(off))), shares)
