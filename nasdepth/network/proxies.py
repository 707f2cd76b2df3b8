"""The table of published zero-cost proxies: function, source, direction, variant."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from nasdepth.architecture.registry import Registry
from nasdepth.network import responses, saliency

Score: TypeAlias = Callable[..., float]


@dataclass(frozen=True, slots=True)
class Proxy:
    """One row of the table.

    Attributes:
        name: key in results.
        function: score of `(module, images, labels)`; leaves module, images and the
            global random state as they are; raises `Undefined` where it has none.
        label: in words.
        source: paper or code.
        better: 1 where a higher score is taken as better, -1 where a lower one is.
        variant: what the name alone leaves open.
        seeded: whether the function draws, and takes `seed`.
    """

    name: str
    function: Score
    label: str
    source: str
    variant: str
    better: Literal[1, -1] = 1
    seeded: bool = False


PROXIES = Registry[Proxy]("proxy")

_ZERO_COST: Final = "Abdelfattah et al. 2021, arXiv:2101.08134"
_FISHER: Final = f"Turner et al. 2020, arXiv:1906.04113; {_ZERO_COST}"
_NASWOT: Final = "Mellor et al. 2021, arXiv:2006.04647"
_SYNFLOW: Final = "Tanaka et al. 2020, arXiv:2006.05467"
_ZEN: Final = "Lin et al. 2021, arXiv:2102.01063"
_ZICO: Final = "Li et al. 2023, arXiv:2301.11300"

_ROWS: Final = (
    Proxy(
        "grad_norm",
        saliency.grad_norm,
        "gradient norm",
        _ZERO_COST,
        "sum of layers' norms; batch norm on the batch",
    ),
    Proxy(
        "snip",
        saliency.snip,
        "SNIP",
        f"Lee et al. 2019, arXiv:1810.02340; {_ZERO_COST}",
        "sum of |g W|, not normalised; batch norm on the batch",
    ),
    Proxy(
        "plain",
        saliency.plain,
        "plain saliency",
        _ZERO_COST,
        "sum of g W, signed; batch norm on the batch",
    ),
    Proxy(
        "grasp",
        saliency.grasp,
        "GraSP",
        f"Wang et al. 2020, arXiv:2002.07376; {_ZERO_COST}",
        "minus the sum of W (H g), one batch; batch norm on the batch",
    ),
    Proxy(
        "fisher",
        saliency.fisher,
        "Fisher",
        _FISHER,
        "code: times weights per channel; batch norm on the batch",
    ),
    Proxy(
        "fisher_paper",
        saliency.fisher_paper,
        "Fisher (paper)",
        _FISHER,
        "without the factor fan-in; batch norm on the batch",
    ),
    Proxy(
        "synflow",
        saliency.synflow,
        "log SynFlow",
        _SYNFLOW,
        "natural log, float64, one image of ones, no batch norm",
    ),
    Proxy(
        "synflow_bn",
        saliency.synflow_bn,
        "log SynFlow with batch norm",
        f"{_SYNFLOW}; {_ZERO_COST}, code",
        "natural log, float64, batch norm on one image of ones",
    ),
    Proxy(
        "l2_norm",
        saliency.l2_norm,
        "weight norm",
        f"{_ZERO_COST}, code",
        "sum of layers' norms; no data",
    ),
    Proxy(
        "zico",
        saliency.zico,
        "ZiCo",
        _ZICO,
        "code: deviation of the signed gradient; two halves of the batch",
    ),
    Proxy(
        "zico_paper",
        saliency.zico_paper,
        "ZiCo (paper)",
        _ZICO,
        "deviation of the gradient's size; two halves of the batch",
    ),
    Proxy(
        "jacov",
        responses.jacov,
        "Jacobian covariance",
        f"Mellor et al. 2020, arXiv:2006.04647v1; {_ZERO_COST}",
        "eigenvalues of the correlation of input gradients; no labels",
    ),
    Proxy(
        "nwot",
        responses.nwot,
        "NASWOT",
        _NASWOT,
        "ln |det K| over calls of rectifiers; batch norm on the batch; no labels",
    ),
    Proxy(
        "zen",
        responses.zen,
        "Zen-score",
        _ZEN,
        "code: sum of |difference|, running variance; own weights, no data",
        seeded=True,
    ),
    Proxy(
        "zen_paper",
        responses.zen_paper,
        "Zen-score (paper)",
        _ZEN,
        "Frobenius norm, batch variance; own weights, no data",
        seeded=True,
    ),
)
for _row in _ROWS:
    PROXIES.register(_row.name)(_row)
