"""Zero-cost proxies that sum over weights: gradients, Hessians, synaptic flow.

W is the weight of a convolution or linear layer, g its gradient; the loss is the
cross-entropy, mean over the batch. Biases and norms are left out of every sum, which
is plain: no logarithm, no division by the number of weights, unless it is said. Batch
norm uses the statistics of the batch, all else is in eval mode (see `watch.fresh`).
The implementations meant are those of Abdelfattah et al. 2021 (*Zero-Cost Proxies for
Lightweight NAS*, arXiv:2101.08134, code SamsungLabs/zero-cost-nas) and, for `zico`, of
Li et al. 2023; names with `_paper` follow the paper where code and paper part.

All scores are sums, so they grow with the number of layers and weights: a rank
correlation with accuracy has to be held against that of the parameters alone
(Krishnakumar et al. 2022, *NAS-Bench-Suite-Zero*, arXiv:2210.03230).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from nasdepth.measures.structure import Undefined
from nasdepth.network.watch import Images, Labels, calls, fresh, weights


def grad_norm(module: nn.Module, images: Images, labels: Labels) -> float:
    """Sum over layers of the Euclidean norm of the gradient (arXiv:2101.08134).

    Not the norm of the whole gradient. Higher is taken as better. Fails where
    gradients explode: an untrainable network scores highest.
    """
    return _sum(g.norm() for g in _gradients(fresh(module, images), images, labels))


def snip(module: nn.Module, images: Images, labels: Labels) -> float:
    """Sum of |g W| (SNIP, Lee et al. 2019, arXiv:1810.02340).

    Not divided by its sum over the network as SNIP's pruning score is. Higher is
    better. Fails where gradients explode, as `grad_norm` does.
    """
    copy = fresh(module, images)
    grads = _gradients(copy, images, labels)
    return _sum((g * w).abs() for g, w in zip(grads, weights(copy), strict=True))


def plain(module: nn.Module, images: Images, labels: Labels) -> float:
    """Sum of g W with its sign (arXiv:2101.08134).

    Higher is better. Fails by cancellation: a layer before a batch norm has the sum
    zero but for the norm's epsilon, so the classifier and rounding are what is left.
    """
    copy = fresh(module, images)
    grads = _gradients(copy, images, labels)
    return _sum(g * w for g, w in zip(grads, weights(copy), strict=True))


def grasp(module: nn.Module, images: Images, labels: Labels) -> float:
    """Minus the sum of W (H g), H the Hessian (GraSP, Wang et al. 2020).

    arXiv:2002.07376. One batch for both passes, temperature 1, H over the layers'
    weights alone; GraSP used 200 and class-balanced images. The sign is that of
    arXiv:2101.08134: higher is better. Fails where terms cancel (noise larger than
    the value with residual links and batch norm), and needs a second derivative.
    """
    copy = fresh(module, images)
    parameters = weights(copy)
    grads = _gradients(copy, images, labels, graph=True)
    inner = torch.stack([(g.detach() * g).sum() for g in grads]).sum()
    products = _grad(inner, parameters)
    return -_sum(w * hg for w, hg in zip(parameters, products, strict=True))


def fisher(module: nn.Module, images: Images, labels: Labels) -> float:
    """Fisher information of channels, times weights a channel, as the code has it.

    Turner et al. 2020 (BlockSwap, arXiv:1906.04113) by way of arXiv:2101.08134. For a
    layer's output a (after bias, before norm and activation): s[i, k] the sum over
    pixels of a dL/da, F[k] half the mean over images of s[i, k]², and the score sums
    F[k] times the weights of channel k, a factor that the paper does not have. Higher
    is better. Fails by growing with fan-in and, as 1/batch², with the batch.
    """
    found = _fisher(module, images, labels)
    return _sum(layer.weight[0].numel() * value for layer, value in found)


def fisher_paper(module: nn.Module, images: Images, labels: Labels) -> float:
    """Sum over layers and channels of F[k], without `fisher`'s factor fan-in.

    The half and the place (before the activation) stay as in the code. Higher is
    better. Fails as `fisher` does, fan-in apart.
    """
    return _sum(value for _, value in _fisher(module, images, labels))


def synflow(module: nn.Module, images: Images, labels: Labels) -> float:
    """Natural log of the synaptic flow (Tanaka et al. 2020, arXiv:2006.05467).

    The flow is the sum of |W dR/dW| with every parameter replaced by its absolute
    value, batch norm by the identity, R the sum of logits of one image of ones; in
    float64, in which alone it is finite for deep networks. Published without the log.
    Images and labels are unused but for the images' shape. Higher is better. Fails
    by measuring size: it grows about linearly with depth and with log width.
    """
    copy = fresh(module, images)
    _drop_batch_norm(copy)
    return _log_flow(copy, images)


def synflow_bn(module: nn.Module, images: Images, labels: Labels) -> float:
    """`synflow` with batch norm kept, on the statistics of the one image.

    What the code of arXiv:2101.08134 computes by default; not in a paper. Higher is
    better. Fails on one image of ones, whose maps are constant away from the border:
    the score is the border's. Torch refuses it where a map is a single pixel.
    """
    return _log_flow(fresh(module, images), images)


def l2_norm(module: nn.Module, images: Images, labels: Labels) -> float:
    """Sum over layers of the Euclidean norm of W (arXiv:2101.08134, code only).

    Images and labels are unused. Higher is taken as better. Fails by knowing nothing
    but fan-in, widths and the number of layers.
    """
    return _sum(w.norm() for w in weights(fresh(module)))


def zico(
    module: nn.Module, images: Images, labels: Labels, *, batches: int = 2
) -> float:
    """ZiCo as its code has it (Li et al. 2023, arXiv:2301.11300; SLDGroup/ZiCo).

    Over equal parts of the batch, m the mean of |g| and s the population standard
    deviation of g: sum over layers of ln(sum over weights of m / s). Weights with
    s = 0 and layers without a sum are left out. Higher is better. Fails by
    noise: with two parts m / s is unbounded where the gradients nearly agree; four
    parts of a quarter are steadier and give other values.

    Args:
        module: the network, unchanged.
        images: split in order.
        labels: of the images.
        batches: number of parts, at least 2.

    Raises:
        Undefined: fewer images than parts.
    """
    grads = _gradients_by_part(module, images, labels, batches)
    return _zico([g.abs().mean(0) / _positive(g.std(0, correction=0)) for g in grads])


def zico_paper(
    module: nn.Module, images: Images, labels: Labels, *, batches: int = 2
) -> float:
    """ZiCo as its paper has it: s is the deviation of |g| (arXiv:2301.11300).

    Higher is better. Fails as `zico` does, more so: |g| agrees more often than g.

    Raises:
        Undefined: fewer images than parts.
    """
    sizes = [g.abs() for g in _gradients_by_part(module, images, labels, batches)]
    return _zico([a.mean(0) / _positive(a.std(0, correction=0)) for a in sizes])


def _gradients(
    copy: nn.Module, images: Images, labels: Labels, *, graph: bool = False
) -> list[Tensor]:
    """Gradient of the loss for every layer's weight; zero where none leads there."""
    loss = cross_entropy(copy(images), labels)
    return _grad(loss, weights(copy), graph=graph)


def _grad(
    scalar: Tensor, inputs: Sequence[Tensor], *, graph: bool = False
) -> list[Tensor]:
    # a Hessian that vanishes everywhere leaves nothing to differentiate
    if not scalar.requires_grad:
        return [torch.zeros_like(each) for each in inputs]
    return list(
        torch.autograd.grad(
            scalar,
            inputs,
            create_graph=graph,
            allow_unused=True,
            materialize_grads=True,
        )
    )


def _fisher(
    module: nn.Module, images: Images, labels: Labels
) -> list[tuple[nn.Conv2d | nn.Linear, Tensor]]:
    """Every call of a layer with the sum over its channels of F[k]."""
    copy = fresh(module, images)
    weights(copy)
    with calls(copy) as found:
        loss = cross_entropy(copy(images), labels)
    outputs = [call.output for call in found]
    grads = _grad(loss, outputs)
    return [
        (
            call.layer,
            0.5 * _by_channel(call.layer, a * g).double().square().mean(0).sum(),
        )
        for call, a, g in zip(found, outputs, grads, strict=True)
    ]


def _by_channel(layer: nn.Module, product: Tensor) -> Tensor:
    """Sums `(batch, channels)` over what is neither image nor channel."""
    if isinstance(layer, nn.Linear):
        product = product.movedim(-1, 1)
    return product.flatten(2).sum(2) if product.ndim > 2 else product


def _drop_batch_norm(module: nn.Module) -> None:
    for name, part in module.named_children():
        if isinstance(part, _BatchNorm):
            setattr(module, name, nn.Identity())
        else:
            _drop_batch_norm(part)


def _log_flow(copy: nn.Module, images: Images) -> float:
    copy = copy.double()
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.abs_()
    ones = torch.ones_like(images[:1], dtype=torch.float64)
    parameters = weights(copy)
    flow = _grad(copy(ones).sum(), parameters)
    total = torch.stack(
        [(w * f).abs().sum() for w, f in zip(parameters, flow, strict=True)]
    ).sum()
    if not total.isfinite() or total <= 0:
        raise Undefined(f"Synaptic flow must have a logarithm, but is {total.item()}.")
    return total.log().item()


def _gradients_by_part(
    module: nn.Module, images: Images, labels: Labels, batches: int
) -> list[Tensor]:
    """For every layer its gradients on each part of the batch, stacked."""
    if not 2 <= batches <= len(images):
        rule = "A deviation over batches needs two or more, of one image or more"
        raise Undefined(f"{rule}, but got {batches=} of {len(images)} images.")
    copy = fresh(module, images)
    parts = zip(images.tensor_split(batches), labels.tensor_split(batches), strict=True)
    grads = [_gradients(copy, x, y) for x, y in parts]
    return [torch.stack(each).double() for each in zip(*grads, strict=True)]


def _positive(deviation: Tensor) -> Tensor:
    """Infinite where it is zero, so that what is divided by it drops out."""
    return deviation.where(deviation > 0, torch.inf)


def _zico(ratios: Sequence[Tensor]) -> float:
    sums = [ratio.sum() for ratio in ratios]
    if not any(each > 0 for each in sums):
        raise Undefined("The gradient must differ between batches, but never does.")
    return _sum(each.log() for each in sums if each > 0)


def _sum(parts: Iterable[Tensor]) -> float:
    return float(sum(part.double().sum().item() for part in parts))
