"""Layerwise dynamical isometry: singular values of the layer-to-layer Jacobians.

Lee et al. 2020 (*A Signal Propagation Perspective for Pruning Neural Networks at
Initialization*, arXiv:1906.06307); Bhardwaj, Li & Marculescu 2021 (arXiv:1910.00780).
The Jacobian is that of the layer's linear map alone, without the activation, on all
that the layer reads, channels of long-range links included: it does not depend on the
data. A map from n inputs to k outputs has min(n, k) singular values, zeros included.

A linear layer's come from a singular value decomposition of its weight. A convolution
acts on maps, where a decomposition is out of reach; its mean singular value is

    mean = E[vᵀ (J Jᵀ)^(1/2) v],   v uniform on the unit sphere,

each term by Lanczos quadrature (Ubaru, Chen & Saad 2017, doi:10.1137/16M1104974) on
the smaller side of J, and the mean square is exact (zero padding: the sum of squared
weights over the places where they meet the map) or vᵀ J Jᵀ v. Errors are standard
errors over v; the quadrature's own error, which they do not hold, falls with the
square of the number of steps.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import prod, sqrt
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from nasdepth.measures.structure import Undefined
from nasdepth.network.watch import Call, Images, Reading, calls, fresh

_Map: TypeAlias = Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]]


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Singular values of one layer's Jacobian, summed up.

    Attributes:
        name: of the layer.
        count: of singular values.
        mean: of them.
        sd: population standard deviation.
        mean_error: standard error of the mean; 0 where it is exact.
        sd_error: standard error of the deviation; 0 where it is exact.
    """

    name: str
    count: int
    mean: float
    sd: float
    mean_error: float = 0.0
    sd_error: float = 0.0


def spectra(
    module: nn.Module,
    images: Images,
    *,
    probes: int = 4,
    steps: int = 32,
    seed: int = 0,
) -> tuple[Spectrum, ...]:
    """Spectrum of every layer in order of execution, in float64.

    Args:
        module: the network, unchanged.
        images: their shape alone matters.
        probes: vectors v a convolution, at least 2.
        steps: of Lanczos a vector.
        seed: of the vectors.

    Raises:
        ValueError: too few probes or steps.
        Undefined: no layer.
    """
    if probes < 2 or steps < 2:
        raise ValueError(
            f"Probes and steps must be 2 or more, but got {probes=}, {steps=}."
        )
    copy = fresh(module).to(images.device, torch.float64)
    with torch.no_grad(), calls(copy) as seen:
        copy(images.double())
    if not seen:
        raise Undefined("A network without convolution or linear layer has no layers.")
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        _linear(call)
        if isinstance(call.layer, nn.Linear)
        else _convolution(call, call.layer, probes, steps, generator)
        for call in seen
    )


def ldi_mean(
    module: nn.Module, images: Images, labels: Tensor | None = None, *, seed: int = 0
) -> Reading:
    """Mean over layers of the mean singular value of their Jacobians.

    Every layer weighs the same, the first and the classifier included.

    Raises:
        Undefined: no layer.
    """
    found = spectra(module, images, seed=seed)
    means = tuple(each.mean for each in found)
    errors = tuple(each.mean_error for each in found)
    return Reading(float(np.mean(means)), tuple(e.name for e in found), means, errors)


def ldi_sd(
    module: nn.Module, images: Images, labels: Tensor | None = None, *, seed: int = 0
) -> Reading:
    """Mean over layers of the standard deviation of their singular values.

    Zero is perfect isometry up to a scale. Every layer weighs the same.

    Raises:
        Undefined: no layer.
    """
    found = spectra(module, images, seed=seed)
    sds = tuple(each.sd for each in found)
    errors = tuple(each.sd_error for each in found)
    return Reading(float(np.mean(sds)), tuple(e.name for e in found), sds, errors)


def _linear(call: Call) -> Spectrum:
    values = torch.linalg.svdvals(call.layer.weight.detach())
    deviation = values.std(correction=0).item()
    return Spectrum(call.name, len(values), values.mean().item(), deviation)


def _convolution(
    call: Call,
    layer: nn.Conv2d,
    probes: int,
    steps: int,
    generator: torch.Generator,
) -> Spectrum:
    inputs, outputs = call.input.shape[1:], call.output.shape[1:]
    count = min(prod(inputs), prod(outputs))
    gram = _gram(layer, inputs, outputs)
    like = layer.weight
    roots, squares = np.empty(probes), np.empty(probes)
    for place in range(probes):
        start = torch.randn(count, generator=generator, dtype=like.dtype)
        roots[place], squares[place] = _quadrature(gram, start.to(like.device), steps)
    if layer.padding_mode == "zeros":
        squares[:] = _frobenius(layer, inputs) / count
    mean = float(roots.mean())
    deviation = sqrt(max(float(squares.mean()) - mean**2, 0.0))
    # the deviation, linearised in each probe's two estimates
    change = (squares - 2 * mean * roots) / (2 * deviation) if deviation else 0 * roots
    errors = [float(each.std(ddof=1)) / sqrt(probes) for each in (roots, change)]
    return Spectrum(call.name, count, mean, deviation, *errors)


def _gram(layer: nn.Conv2d, inputs: torch.Size, outputs: torch.Size) -> _Map:
    """The map J Jᵀ or Jᵀ J, whichever acts on the smaller space."""
    weight = layer.weight.detach()

    def forward(x: Tensor) -> Tensor:
        found: Tensor = layer._conv_forward(x.view(1, *inputs), weight, None)
        return found

    def adjoint(y: Tensor) -> Tensor:
        origin = weight.new_zeros(prod(inputs)).requires_grad_(True)
        found = torch.autograd.grad(forward(origin), origin, y.view(1, *outputs))
        return found[0]

    if prod(outputs) <= prod(inputs):
        return lambda v: forward(adjoint(v)).flatten()
    return lambda v: adjoint(forward(v))


def _frobenius(layer: nn.Conv2d, inputs: torch.Size) -> float:
    """Sum of squares of the Jacobian of a convolution with zero padding."""
    squares = deepcopy(layer).requires_grad_(False)
    squares.weight.square_()
    ones = layer.weight.new_ones(1, *inputs)
    return float(squares._conv_forward(ones, squares.weight, None).sum())


def _quadrature(gram: _Map, start: Tensor, steps: int) -> tuple[float, float]:
    """Of the unit vector v along `start`: vᵀ G^(1/2) v and vᵀ G v."""
    diagonal, beside = _lanczos(gram, start / start.norm(), min(steps, len(start)))
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    nodes, vectors = np.linalg.eigh(matrix)
    shares = vectors[0] ** 2
    return float(shares @ np.sqrt(nodes.clip(0))), float(diagonal[0])


def _lanczos(
    gram: _Map, unit: Tensor, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Diagonal and off-diagonal of G in the Krylov space of a unit vector."""
    basis = unit[None]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = gram(basis[-1])
        diagonal.append((basis[-1] @ image).item())
        # twice: once leaves rounding that brings found directions back
        for _ in range(2):
            image = image - basis.T @ (basis @ image)
        length = image.norm().item()
        if len(diagonal) == steps or length <= 1e-10 * max(diagonal):
            return np.array(diagonal), np.array(beside)
        beside.append(length)
        basis = torch.cat([basis, image[None] / length])
