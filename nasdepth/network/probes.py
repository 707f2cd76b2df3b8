"""What is measured on a network at initialization: the table, and one call for all.

Proxies, gradients, activations and singular values on a batch of real or random
images, repeated over seeds of the weights: every result is a mean with its standard
deviation, and a network that a probe does not suit gets the reason instead.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nasdepth.architecture.registry import Registry
from nasdepth.architecture.spec import Architecture
from nasdepth.measures.structure import Undefined
from nasdepth.network import dynamics, isometry
from nasdepth.network.build import build
from nasdepth.network.proxies import PROXIES
from nasdepth.network.watch import Images, Labels, Reading

Measured: TypeAlias = Callable[..., float | Reading]


@dataclass(frozen=True, slots=True)
class Probe:
    """One row of the table.

    Attributes:
        name: key in results.
        function: of `(module, images, labels)`; raises `Undefined`.
        label: in words.
        source: paper, code or convention.
        variant: what the name alone leaves open.
        better: 1 or -1 where a higher or lower value is taken as better, 0 where the
            source does not say.
        seeded: whether the function draws, and takes `seed`.
    """

    name: str
    function: Measured
    label: str
    source: str
    variant: str
    better: int = 0
    seeded: bool = False


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single equality
class Probed:
    """A probe's result over seeds.

    Attributes:
        mean: over seeds; None where it has no value.
        sd: sample standard deviation over seeds; None for fewer than two.
        n: number of seeds with a value; 0 where it has none.
        values: one a seed.
        names: layers in order of execution, where there are values of layers.
        layers: their mean over seeds, `(layers,)`.
        layers_sd: their standard deviation over seeds, `(layers,)`; zeros for one.
        errors: standard errors of `layers` from the estimation alone, `(layers,)`.
        reason: why there is no value; empty where there is one.
    """

    mean: float | None
    sd: float | None = None
    n: int = 0
    values: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    layers: NDArray[np.float64] | None = None
    layers_sd: NDArray[np.float64] | None = None
    errors: NDArray[np.float64] | None = None
    reason: str = ""


PROBES = Registry[Probe]("probe")

_GLOROT: Final = "Glorot & Bengio 2010, AISTATS"
_LDI: Final = (
    "Lee et al. 2020, arXiv:1906.06307; Bhardwaj et al. 2021, arXiv:1910.00780"
)
_OURS: Final = "nasdepth"

_ROWS: Final = (
    Probe(
        "gradient_norm",
        dynamics.gradient_norm,
        "gradient norm of all weights",
        _GLOROT,
        "norm over layers together; batch norm on the batch",
    ),
    Probe(
        "attenuation_slope",
        dynamics.attenuation_slope,
        "attenuation slope",
        _GLOROT,
        "nats a layer, gradients of layers' outputs; batch norm on the batch",
    ),
    Probe(
        "weight_gradient_slope",
        dynamics.weight_gradient_slope,
        "slope of weight gradients",
        _GLOROT,
        "nats a layer, gradients of layers' weights; batch norm on the batch",
    ),
    Probe(
        "variance_slope",
        dynamics.variance_slope,
        "slope of activation variance",
        _GLOROT,
        "nats a layer, layers' outputs before norm; batch norm on the batch",
    ),
    Probe(
        "dead_units",
        dynamics.dead_units,
        "share of dead units",
        _OURS,
        "elements of relu maps, 0 for the whole batch; batch norm on the batch",
    ),
    Probe(
        "dead_channels",
        dynamics.dead_channels,
        "share of dead channels",
        _OURS,
        "channels of relu maps, 0 for the whole batch; batch norm on the batch",
    ),
    Probe(
        "ldi_mean",
        isometry.ldi_mean,
        "mean singular value",
        _LDI,
        "mean over layers, linear maps without activation; no data",
        seeded=True,
    ),
    Probe(
        "ldi_sd",
        isometry.ldi_sd,
        "spread of singular values",
        _LDI,
        "mean over layers, linear maps without activation; no data",
        better=-1,
        seeded=True,
    ),
    *(
        Probe(
            row.name,
            row.function,
            row.label,
            row.source,
            row.variant,
            row.better,
            row.seeded,
        )
        for row in PROXIES.values()
    ),
)
for _row in _ROWS:
    PROBES.register(_row.name)(_row)


def probe(
    network: Architecture | nn.Module,
    names: str | Iterable[str] | None = None,
    *,
    images: Images | None = None,
    labels: Labels | None = None,
    seeds: Sequence[int] | None = (0, 1, 2),
    batch: int = 64,
    shape: tuple[int, int, int] | None = None,
    device: str | torch.device = "cpu",
) -> dict[str, Probed]:
    """Results of the named probes on a network at initialization, over seeds.

    Args:
        network: an architecture, built and initialised for every seed (`build`); or a
            module, whose copy is drawn anew for every seed by the `reset_parameters`
            of its parts (parameters of parts without one stay as they are).
        names: of probes, or the one; None takes all of `PROBES`.
        images: the same for every seed, normalised; None draws them from N(0, 1).
        labels: of the images; None draws them uniformly over the classes.
        seeds: of weights, drawn images and labels, and of what a probe draws; None
            measures a module as it stands, once.
        batch: number of images to draw.
        shape: `(channels, height, width)` of the images to draw for a module.
        device: where it is measured.

    Raises:
        ValueError: unknown name, no seed, labels that do not fit, a module with
            neither images nor shape, an architecture without seeds.
    """
    wanted = [names] if isinstance(names, str) else names
    rows = [PROBES[name] for name in (PROBES if wanted is None else wanted)]
    dims = _shape(network, images, labels, shape)
    if seeds is None and isinstance(network, Architecture):
        raise ValueError("An architecture has no weights: seeds must be given.")
    if seeds is not None and not seeds:
        raise ValueError("Seeds must be one or more, or None, but got none.")
    if images is None and batch < 1:
        raise ValueError(f"A batch must hold an image or more, but got {batch=}.")
    readings: dict[str, list[Reading | str]] = {row.name: [] for row in rows}
    for seed in (0,) if seeds is None else seeds:
        module = _module(network, None if seeds is None else seed).to(device)
        dtype = next((p.dtype for p in module.parameters()), torch.float32)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, *dims, generator=generator)
        x = (x if images is None else images).to(device, dtype)
        y = _labels(module, x, generator) if labels is None else labels.to(device)
        for row in rows:
            readings[row.name].append(_read(row, module, x, y, seed))
    return {name: _over_seeds(found) for name, found in readings.items()}


def _shape(
    network: Architecture | nn.Module,
    images: Tensor | None,
    labels: Tensor | None,
    shape: tuple[int, ...] | None,
) -> tuple[int, ...]:
    """Shape of one image, after a check that what is given fits together."""
    if labels is not None and (images is None or labels.shape != images.shape[:1]):
        wanted = "no images" if images is None else f"{len(images)} images"
        what = tuple(labels.shape)
        raise ValueError(f"Labels must be one an image, but got {what} for {wanted}.")
    if images is not None:
        if images.ndim != 4:
            what = tuple(images.shape)
            rule = "(batch, channels, height, width)"
            raise ValueError(f"Images must be {rule}, but got {what}.")
        return tuple(images.shape[1:])
    if isinstance(network, Architecture):
        return network.input_shape
    if shape is None:
        raise ValueError("A module needs images, or the shape of images to draw.")
    return shape


def _module(network: Architecture | nn.Module, seed: int | None) -> nn.Module:
    if isinstance(network, Architecture):
        return build(network, seed=seed)
    copy = deepcopy(network)
    if seed is None:
        return copy
    # on the CPU, so that one seed gives one network on every device
    copy = copy.cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in copy.modules():
            if callable(reset := getattr(part, "reset_parameters", None)):
                reset()
    return copy


def _labels(module: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
    copy = deepcopy(module).eval()
    with torch.no_grad():
        classes = copy(images[:1]).shape[1]
    drawn = torch.randint(0, classes, (len(images),), generator=generator)
    return drawn.to(images.device)


def _read(
    row: Probe, module: nn.Module, images: Tensor, labels: Tensor, seed: int
) -> Reading | str:
    """A probe's reading, or why there is none."""
    options = {"seed": seed} if row.seeded else {}
    try:
        found = row.function(module, images, labels, **options)
    except Undefined as error:
        return str(error)
    except (RuntimeError, ValueError) as error:
        # torch's own words on what it cannot do with this network
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    reading = found if isinstance(found, Reading) else Reading(found)
    finite = np.isfinite([reading.value, *reading.layers]).all()
    return reading if finite else f"The value must be finite, but is {reading.value}."


def _over_seeds(found: Sequence[Reading | str]) -> Probed:
    reasons = [each for each in found if isinstance(each, str)]
    if reasons:
        return Probed(None, reason=reasons[0])
    readings = [each for each in found if isinstance(each, Reading)]
    n = len(readings)
    values = tuple(reading.value for reading in readings)
    mean = float(np.mean(values))
    sd = float(np.std(values, ddof=1)) if n > 1 else None
    first = readings[0]
    if not first.layers:
        return Probed(mean, sd, n, values)
    layers = np.array([reading.layers for reading in readings])
    errors = np.array([reading.errors for reading in readings])
    return Probed(
        mean,
        sd,
        n,
        values,
        first.names,
        layers.mean(0),
        layers.std(0, ddof=1) if n > 1 else np.zeros(layers.shape[1]),
        np.sqrt((errors**2).sum(0)) / n if first.errors else None,
    )
