"""ImageNet accuracies that torchvision states of its weights, networks measured.

Nothing is downloaded: the accuracies stand in the installed package, and networks are
measured without weights.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from nasdepth.architecture.canonical import digest
from nasdepth.evidence.cache import cached, fingerprint
from nasdepth.evidence.foreign_networks import GraphOf
from nasdepth.evidence.observations import SHIPPED, Evidence, Observation
from nasdepth.evidence.preregistration import Preregistration
from nasdepth.evidence.units import count
from nasdepth.measures.catalogue import measure

PLAN: Final = Preregistration(nominal="nominal_depth", covariates=("recipe",))
_HERE: Final = "evidence/zoo_accuracies.py"
IMAGES: Final = 50_000  # validation images of ImageNet-1K

#: Level of the training recipe by a phrase of what torchvision says of the weights;
#: the first phrase that is found counts.
RECIPES: Final = {
    # pretrained on 3.6 billion tagged photographs (arXiv:2201.08371)
    "frozen `SWAG": "SWAG, linear",
    "fine-tuning the original `SWAG": "SWAG, fine-tuned",
    # 600 epochs, label smoothing, mixup, CutMix, trivial augment, averaged weights
    "new training recipe": "new",
    # about 100 epochs of crops and flips
    "simple training recipe": "simple",
    "simplified training recipe": "simple",
}
#: of weights ported from, or trained like, the paper's own
OWN: Final = "paper's own"

#: family by the letters that a network's name begins with, where they differ
FAMILIES: Final = {
    "googlenet": "inception",
    "resnext": "resnet",
    "wide": "resnet",
}
_CAVEATS: Final = (
    "The networks were chosen by their authors and are no sample of any space.",
    "Depth goes with the family, and so does the year of its training.",
    "One training per row; some weights were ported, some fine-tuned at other sizes.",
    "The recipe is a level read from torchvision's words: simple, new, paper's own,"
    " SWAG linear, SWAG fine-tuned (pretrained on other images).",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One set of weights, as torchvision describes it.

    Attributes:
        network: Name of the network.
        weights: Name of the weights.
        side: Of the evaluated images in pixels.
        accuracy: Top-1 on ImageNet-1K in [0, 1], None for weights without a classifier.
        params: Parameters, as stated.
        gmacs: Billions of multiply-accumulates, as stated.
        words: What is said of the training.
    """

    network: str
    weights: str
    side: int
    accuracy: float | None
    params: int
    gmacs: float
    words: str

    @property
    def place(self) -> str:
        """Network and side of its images: what is measured once."""
        return f"{self.network}@{self.side}"


def torchvision_imagenet(graph_of: GraphOf | None = None) -> Evidence:
    """Top-1 accuracy of all classification weights of the installed torchvision.

    Args:
        graph_of: Graph of a network by name and shape of its images; called on the
            first measuring alone.

    Raises:
        ValueError: torchvision is not installed, or its networks are not measured yet
            and `graph_of` is None.
    """
    stored = cached("torchvision-imagenet", _key(), lambda: _described(graph_of))
    entries = [Entry(**each) for each in stored["entries"]]
    known: Mapping[str, Mapping[str, Any]] = stored["networks"]
    reasons = [_why_left_out(entry, known) for entry in entries]
    rows = [
        _observation(entry, known[entry.place])
        for entry, reason in zip(entries, reasons, strict=True)
        if not reason
    ]
    return Evidence(
        name="torchvision:imagenet",
        observations=tuple(rows),
        plan=PLAN,
        registered=SHIPPED,
        left_out=count(reasons),
        caveats=_CAVEATS,
    )


def recipe_of(words: str) -> str:
    """Level of the training recipe that torchvision's words describe.

    >>> recipe_of("These weights reproduce the paper using a simple training recipe.")
    'simple'
    """
    found = (level for phrase, level in RECIPES.items() if phrase in words)
    return next(found, OWN)


def family_of_network(name: str) -> str:
    """Family of a torchvision network.

    >>> family_of_network("wide_resnet50_2"), family_of_network("regnet_y_16gf")
    ('resnet', 'regnet')
    """
    letters = re.match("[a-z]*", name)
    start = letters.group() if letters else name
    return FAMILIES.get(start, start)


def _key() -> str:
    """Digest of what the measures follow from."""
    try:
        installed = version("torchvision")
    except PackageNotFoundError as error:
        raise ValueError(
            "torchvision is not installed: pip install torchvision."
        ) from (error)
    code = fingerprint("architecture", "measures", "network", "zoo.py", _HERE)
    return f"{installed} {code}"


def _described(graph_of: GraphOf | None) -> dict[str, Any]:
    """All entries and the measures of their networks, as plain JSON values."""
    if graph_of is None:
        raise ValueError(
            "The networks of torchvision:imagenet must be measured before they are"
            " read without graph_of."
        )
    entries = list(weights())
    networks = {}
    for entry in entries:
        if entry.accuracy is not None and entry.place not in networks:
            networks[entry.place] = _measured(entry, graph_of)
    return {"entries": [asdict(entry) for entry in entries], "networks": networks}


def weights() -> Iterator[Entry]:
    """Every classification weight of the installed torchvision."""
    from torchvision import models

    for network in models.list_models(module=models):
        for each in models.get_model_weights(network):
            yield _entry(network, each)


def _entry(network: str, each: Any) -> Entry:
    """One member of torchvision's enumerations of weights."""
    top1 = each.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    return Entry(
        network=network,
        weights=each.name,
        side=int(each.transforms().crop_size[0]),
        accuracy=top1 / 100 if math.isfinite(top1) else None,
        params=each.meta["num_params"],
        gmacs=each.meta["_ops"],
        words=" ".join(each.meta["_docs"].split()),
    )


def _measured(entry: Entry, graph_of: GraphOf) -> dict[str, Any]:
    """Digest and measures of an entry's network, or why there are none."""
    shape = (3, entry.side, entry.side)
    try:
        graph = graph_of(f"torchvision:{entry.network}", shape)
    except ValueError as error:
        return {"reason": f"no graph: {error}"}
    return {"digest": digest(graph), "measures": measure(graph)}


def _why_left_out(entry: Entry, known: Mapping[str, Mapping[str, Any]]) -> str:
    if entry.accuracy is None:
        return "weights without a classifier"
    reason: str = known[entry.place].get("reason", "")
    return reason


def _observation(entry: Entry, network: Mapping[str, Any]) -> Observation:
    return Observation(
        place=f"{entry.network} {entry.weights}",
        digest=network["digest"],
        measures=network["measures"],
        outcomes={"accuracy": (entry.accuracy or 0.0,)},
        family=family_of_network(entry.network),
        factors={"recipe": recipe_of(entry.words)},
        images=IMAGES,
        dataset="ImageNet-1K",
    )
