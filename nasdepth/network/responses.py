"""Zero-cost proxies that read a network's responses: Jacobians, codes, perturbations.

They need no labels. Batch norm uses the statistics of the batch, all else is in eval
mode (see `watch.fresh`); names with `_paper` follow the paper where the code departs.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nasdepth.measures.structure import Undefined
from nasdepth.network.watch import HINGES, LAYERS, Activations, Images, LastMap, fresh

#: keeps the logarithm and the inverse of an eigenvalue finite (Mellor et al. 2020)
_SHIFT = 1e-5
#: share of noise added to the second input (Lin et al. 2021, the code's default)
_MIX = 0.01


def jacov(module: nn.Module, images: Images, labels: Tensor) -> float:
    """Log-likelihood of correlated input gradients (Mellor et al. 2020, first version).

    arXiv:2006.04647v1, as in the code of Abdelfattah et al. 2021 (arXiv:2101.08134).
    With v the eigenvalues of the correlation matrix of the images' gradients (of the
    sum of logits with respect to the pixels): −sum(ln(v + 1e-5) + 1 / (v + 1e-5)).
    Higher is better: images are told apart. Values depend on the number of images.
    Fails where two gradients agree, since one eigenvalue near zero counts −1e5 and
    drowns the rest: shallow or nearly linear networks, images that repeat.

    Raises:
        Undefined: fewer than two images, or a gradient that is constant.
    """
    _require_two(images)
    copy = fresh(module, images)
    inputs = images.detach().clone().requires_grad_(True)
    scores = copy(inputs)
    if not scores.requires_grad:
        raise Undefined("The logits must depend on the image, but do not.")
    (jacobian,) = torch.autograd.grad(
        scores.sum(), inputs, allow_unused=True, materialize_grads=True
    )
    values = torch.linalg.eigvalsh(_correlation(jacobian.flatten(1).double()))
    shifted = values + _SHIFT
    return -float((shifted.log() + 1 / shifted).sum())


def nwot(module: nn.Module, images: Images, labels: Tensor) -> float:
    """Log determinant of agreement of activation codes (Mellor et al. 2021).

    arXiv:2006.04647, code BayesWatch/nas-without-training. For each call of a
    rectifier, an image's code says which inputs are above zero (zero is off); K sums
    over calls, for each pair of images, the units on which they agree; the score is
    ln |det K|. Higher is better. Values depend on the number of images. Fails by
    measuring the number of units: doubling every code adds batch · ln 2.

    Rectifiers are relu, relu6 (whose upper kink is ignored) and the leaky forms, as
    modules, functions or methods, in place or not: what the code finds by the name
    "ReLU". Other activations (elu, gelu, silu, tanh) have no on and off; their calls
    are not counted, and a network of them alone has no score.

    Raises:
        Undefined: fewer than two images, no rectifier, or images of one code.
    """
    _require_two(images)
    copy = fresh(module, images)
    with torch.no_grad(), Activations(HINGES) as seen:
        copy(images)
    if not seen.outputs:
        raise Undefined("A network without relu, relu6 or leaky relu has no codes.")
    codes = torch.cat([(out > 0).flatten(1).double() for out in seen.outputs], 1)
    agreement = codes @ codes.T + (1 - codes) @ (1 - codes).T
    sign, log = torch.linalg.slogdet(agreement)
    if sign == 0 or not log.isfinite():
        raise Undefined("Codes must differ between images, but two agree in all units.")
    return float(log)


def zen(
    module: nn.Module, images: Images, labels: Tensor | None = None, *, seed: int = 0
) -> float:
    """Zen-score as its code has it, one draw of Gaussian weights (Lin et al. 2021).

    arXiv:2102.01063, code idstcv/ZenNAS. Weights of convolutions and linear layers
    from N(0, 1), biases 0, norms 1 and 0 with new running statistics; then
    `zen_score` on two batches of N(0, 1). The module's weights do not matter,
    the images give the shape alone. Higher is better. Fails by rewarding depth and
    width without end (no normalisation, so a sum over layers), and it was published
    for networks whose residual links had been removed; here they stay. The standard
    deviation over seeds is that of one draw.

    Args:
        module: the network, unchanged.
        images: their number and shape.
        labels: unused.
        seed: of weights and inputs.

    Raises:
        Undefined: no map before global pooling, or a batch norm without statistics.
    """
    copy, first, noise = _drawn(module, images, seed)
    return zen_score(copy, first, noise)


def zen_paper(
    module: nn.Module, images: Images, labels: Tensor | None = None, *, seed: int = 0
) -> float:
    """`zen` with the paper's norm and variances (arXiv:2102.01063, algorithm 1).

    D is the mean over images of the Frobenius norm of the difference, and the batch
    variance of the first pass takes the place of the running variance (which after
    two passes is mostly its initial 1). Residual links stay. Higher is better; fails
    as `zen` does.

    Raises:
        Undefined: no map before global pooling.
    """
    copy, first, noise = _drawn(module, images, seed)
    norms = _batch_norms(copy)
    variances: list[Tensor] = []
    handles = [
        norm.register_forward_hook(
            lambda _, args, __: variances.append(
                args[0].var((0, 2, 3), correction=0).mean()
            )
        )
        for norm in norms
    ]
    before = _last_map(copy, first)
    for handle in handles:
        handle.remove()
    difference = before - _last_map(copy, first + _MIX * noise)
    distance = difference.flatten(1).double().norm(dim=1).mean()
    return _zen(distance, variances)


def zen_score(module: nn.Module, images: Images, noise: Images) -> float:
    """Zen-score of the weights and running statistics that the module has.

    ln D + sum over BatchNorm2d of ln sqrt(mean over channels of the running variance
    after both passes); D the mean over images of the sum over the last map (see
    `watch.LastMap`) of |f(x) − f(x + 0.01 e)|. Not divided by 0.01.

    Args:
        module: the network, unchanged.
        images: x.
        noise: e, of the same shape.

    Raises:
        Undefined: no map before global pooling, or a batch norm without statistics.
    """
    copy = fresh(module, images)
    difference = _last_map(copy, images) - _last_map(copy, images + _MIX * noise)
    distance = difference.flatten(1).double().abs().sum(1).mean()
    variances: list[Tensor] = []
    for norm in _batch_norms(copy):
        if norm.running_var is None:
            raise Undefined("A batch norm must track its variance, but one does not.")
        variances.append(norm.running_var.mean())
    return _zen(distance, variances)


def _require_two(images: Tensor) -> None:
    if len(images) < 2:
        raise Undefined(
            f"Images are compared: two or more are needed, but got {len(images)}."
        )


def _correlation(
    rows: Float[Tensor, "batch features"],
) -> Float[Tensor, "batch batch"]:
    centred = rows - rows.mean(1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    if not (norms > 0).all():
        raise Undefined("An image's gradient must vary over pixels, but is constant.")
    unit = centred / norms
    return torch.mm(unit, unit.T)


def _drawn(
    module: nn.Module, images: Images, seed: int
) -> tuple[nn.Module, Tensor, Tensor]:
    """A copy with Gaussian weights, an input and a noise, all from the seed."""
    generator = torch.Generator().manual_seed(seed)
    copy = fresh(module, images)
    with torch.no_grad():
        for part in copy.modules():
            if isinstance(part, LAYERS):
                part.weight.copy_(_normal(part.weight, generator))
                if part.bias is not None:
                    part.bias.zero_()
            elif isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.reset_parameters()
    return copy, _normal(images, generator), _normal(images, generator)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    # drawn on the CPU: one seed gives one draw on every device
    draw: Tensor = torch.randn(like.shape, generator=generator).to(like)
    return draw


def _last_map(copy: nn.Module, images: Images) -> Tensor:
    seen = LastMap()
    with torch.no_grad(), seen:
        copy(images)
    return seen.map


def _batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def _zen(distance: Tensor, variances: list[Tensor]) -> float:
    if not 0 < distance < torch.inf:
        what = distance.item()
        raise Undefined(f"A perturbation must reach the map and stay finite: {what}.")
    scales = sum(variance.double().sqrt().log().item() for variance in variances)
    return distance.log().item() + scales
