"""Depth: statistics of the weight of all input-output paths.

A path is a sequence of edges from input to output, parallel edges with multiplicity;
its weight is the number of transformations on it. One pass in topological order
gives everything: with w the weight of a node v, u its inputs and q_u = N_u / N_v,

    N_v = sum N_u,  mean_v = w + sum q_u mean_u,  merge_v = w + average of merge_u,
    var_v = sum q_u (var_u + (mean_u - sum q mean)^2).

Effective depth after Fischer & Pitts 2026 (arXiv:2602.13298), attenuation after Veit,
Wilber & Belongie 2016 (arXiv:1605.06431).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log, log2
from typing import Final

from nasdepth.architecture.graph import Graph
from nasdepth.architecture.ops import Linear, Pool
from nasdepth.measures.cost import pools
from nasdepth.measures.structure import Structure, Undefined


@dataclass(frozen=True, slots=True)
class DepthConvention:
    """What counts as a transformation; recorded with every result.

    Attributes:
        projections: projection shortcuts weigh 1.
        pooling: pooling weighs 1.
        classifier: the last linear layer weighs 1.
        gates: branches that weigh others (squeeze-excite, attention) are paths.
    """

    projections: bool = False
    pooling: bool = False
    classifier: bool = True
    gates: bool = False


DEFAULT: Final = DepthConvention()
#: conventions beside each other, for how much a result turns on them
CONVENTIONS: Final = {
    "default": DEFAULT,
    "projections": DepthConvention(projections=True),
    "pooling": DepthConvention(pooling=True),
    "no classifier": DepthConvention(classifier=False),
    "gates": DepthConvention(gates=True),
}


@dataclass(frozen=True, slots=True)
class PathStatistics:
    """Statistics of the path weights of a network or a part of one.

    Attributes:
        shortest: least weight.
        longest: greatest weight.
        mean: over all paths, each equally likely (effective depth).
        variance: of the weight over all paths.
        merge: mean when an arm is chosen uniformly at every merge, from the output.
        log2_count: logarithm to base 2 of the number of paths.
    """

    shortest: int
    longest: int
    mean: float
    variance: float
    merge: float
    log2_count: float

    def __add__(self, other: "PathStatistics") -> "PathStatistics":
        """Statistics of two networks in series: counts multiply, the rest add."""
        return PathStatistics(
            self.shortest + other.shortest,
            self.longest + other.longest,
            self.mean + other.mean,
            self.variance + other.variance,
            self.merge + other.merge,
            self.log2_count + other.log2_count,
        )


def path_statistics(
    structure: Structure, convention: DepthConvention = DEFAULT
) -> PathStatistics:
    """Statistics of the weight over all input-output paths.

    >>> from nasdepth.architecture.families import family
    >>> from nasdepth.architecture.lower import lower
    >>> path_statistics(Structure(lower(family("resnet50")))).mean
    26.0

    Raises:
        Undefined: no input-output path.
    """
    structure = _counted(structure, convention)
    weights = path_weights(structure, convention)
    passed: list[PathStatistics] = []
    for weight, inputs in zip(weights, structure.live, strict=True):
        passed.append(_merged([passed[i] for i in inputs], weight))
    return passed[-1]


def path_weights(structure: Structure, convention: DepthConvention) -> list[int]:
    """Weight of every node of the structure's graph under a convention."""
    weights = [int(node.op.transforms) for node in structure.graph.nodes]
    if not convention.projections:
        for index in structure.projections:
            weights[index] = 0
    nodes = structure.graph.nodes
    if convention.pooling:
        for index, node in enumerate(nodes):
            weights[index] += isinstance(node.op, Pool) or pools(node.op)
    if not convention.classifier:
        linear = [i for i, node in enumerate(nodes) if isinstance(node.op, Linear)]
        for index in linear[-1:]:
            weights[index] = 0
    return weights


def weighted_layers(structure: Structure) -> int:
    """Number of transformations on any input-output path (W).

    >>> from nasdepth.architecture.families import family
    >>> from nasdepth.architecture.lower import lower
    >>> weighted_layers(Structure(lower(family("resnet50"))))
    54
    """
    return sum(node.op.transforms for node in structure.ungated.graph.nodes)


def nominal_depth(structure: Structure) -> int:
    """Weight of the longest path, projections at 0 (Dnom): the number in the name.

    Raises:
        Undefined: no input-output path.
    """
    return path_statistics(structure, DEFAULT).longest


def attenuated_depth(
    structure: Structure, attenuation: float, convention: DepthConvention = DEFAULT
) -> float:
    """Mean weight when a path of weight n counts attenuation**n (Veit et al. 2016).

    Raises:
        ValueError: `attenuation` not in (0, 1].
        Undefined: no input-output path.
    """
    if not 0 < attenuation <= 1:
        raise ValueError(f"attenuation must be in (0, 1], but got {attenuation=}.")
    structure = _counted(structure, convention)
    tilt = log(attenuation)
    logs: list[float] = []
    means: list[float] = []
    weights = path_weights(structure, convention)
    for weight, inputs in zip(weights, structure.live, strict=True):
        if len(inputs) == 1:
            logs.append(logs[inputs[0]] + weight * tilt)
            means.append(weight + float(means[inputs[0]]))
            continue
        total, shares = _shares([logs[i] for i in inputs])
        logs.append(total + weight * tilt)
        arms = zip(shares, inputs, strict=True)
        means.append(weight + sum(share * means[i] for share, i in arms))
    return means[-1]


def path_counts(
    structure: Structure, convention: DepthConvention = DEFAULT
) -> dict[int, int]:
    """Exact number of paths of each weight, by weight.

    >>> from nasdepth.architecture.families import family
    >>> from nasdepth.architecture.lower import lower
    >>> path_counts(Structure(lower(family("vgg11"))))
    {11: 1}

    Raises:
        Undefined: no input-output path.
    """
    structure = _counted(structure, convention)
    laws: list[Counter[int]] = []
    weights = path_weights(structure, convention)
    for weight, inputs in zip(weights, structure.live, strict=True):
        law: Counter[int] = Counter()
        for source in inputs:
            for length, count in laws[source].items():
                law[length + weight] += count
        laws.append(law if inputs else Counter({weight: 1}))
    return dict(sorted(laws[-1].items()))


def path_shares(
    structure: Structure, convention: DepthConvention = DEFAULT
) -> dict[str, float]:
    """Expected weight of each node on a path, by scope: what it adds to the mean.

    The share of all paths that pass a node, times its weight; the sum over all nodes
    is the effective depth.

    >>> from nasdepth.architecture.families import family
    >>> from nasdepth.architecture.lower import lower
    >>> shares = path_shares(Structure(lower(family("resnet18"))))
    >>> share = shares["stage1.block0.conv1"]
    >>> round(share, 9), round(sum(shares.values()), 9)
    (0.5, 10.0)

    Raises:
        Undefined: no input-output path.
    """
    structure = _counted(structure, convention)
    weights = path_weights(structure, convention)
    arriving: list[float] = []
    for inputs in structure.live:
        arriving.append(_shares([arriving[i] for i in inputs])[0])
    leaving: list[list[float]] = [[] for _ in arriving]
    leaving[-1] = [0.0]
    total = arriving[-1]
    found: dict[str, float] = {}
    for index in range(len(arriving) - 1, -1, -1):
        onward = _shares(leaving[index])[0] if leaving[index] else -inf
        for source in structure.live[index]:
            leaving[source].append(onward)
        if weights[index]:
            share = exp(arriving[index] + onward - total)
            scope = structure.graph.nodes[index].scope
            found[scope] = found.get(scope, 0.0) + weights[index] * share
    return dict(reversed(found.items()))


def path_count(graph: Graph) -> int:
    """Exact number of input-output paths of a graph; 0 where there is none."""
    structure = Structure(graph).ungated
    if not structure.has_path:
        return 0
    counts: list[int] = []
    for inputs in structure.live:
        counts.append(sum(counts[i] for i in inputs) if inputs else 1)
    return counts[-1]


def _counted(structure: Structure, convention: DepthConvention) -> Structure:
    """The structure whose edges are paths under the convention."""
    counted = structure if convention.gates else structure.ungated
    if not counted.has_path:
        raise Undefined("No path leads from input to output.")
    return counted


def _merged(arms: Sequence[PathStatistics], weight: int) -> PathStatistics:
    if not arms:
        return PathStatistics(weight, weight, weight, 0.0, weight, 0.0)
    if len(arms) == 1:
        (arm,) = arms
        if weight == 0:
            return arm
        return PathStatistics(
            weight + arm.shortest,
            weight + arm.longest,
            weight + arm.mean,
            arm.variance,
            weight + arm.merge,
            arm.log2_count,
        )
    total, shares = _shares([arm.log2_count * log(2) for arm in arms])
    mean = sum(q * arm.mean for q, arm in zip(shares, arms, strict=True))
    variance = sum(
        q * (arm.variance + (arm.mean - mean) ** 2)
        for q, arm in zip(shares, arms, strict=True)
    )
    return PathStatistics(
        weight + min(arm.shortest for arm in arms),
        weight + max(arm.longest for arm in arms),
        weight + mean,
        variance,
        weight + sum(arm.merge for arm in arms) / len(arms),
        total * log2(exp(1)),
    )


def _shares(logs: Sequence[float]) -> tuple[float, list[float]]:
    """Log of the sum of exponentials, and each one's share of it."""
    if not logs:
        return 0.0, []
    top = max(logs)
    parts = [exp(value - top) for value in logs]
    total = sum(parts)
    return top + log(total), [part / total for part in parts]
