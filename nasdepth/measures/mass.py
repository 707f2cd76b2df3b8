"""NN-Mass: how much of a network's width is joined by long-range links.

Bhardwaj, Li & Marculescu 2021, *How does topology influence gradient propagation …*
(arXiv:1910.00780). A cell of d layers of width w whose layer l >= 2 takes
min(t, w (l - 1)) channels of the layers 0 … l - 2 has

    density  rho = 2 sum_{l=2}^{d-1} min(w (l - 1), t) / (w (d - 1)(d - 2))
    mass       m = w d rho.

Residual blocks of input width a and middle width h count a + h (two convolutions) or
a (a + 2h) / (2a + h) (bottleneck; inverted residual where the input is added as it
is). Cells are recognised in the graph, so built and hand-written networks agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from nasdepth.architecture.ops import Add, Concat, Conv, Select
from nasdepth.measures.structure import Arm, Structure, Undefined


@dataclass(frozen=True, slots=True)
class Mass:
    """NN-Mass of a network and the number of cells that it sums over."""

    mass: float
    cells: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a network.

    Attributes:
        form: "residual", "linked" (drawn links) or "dense" (all of them).
        scope: where it is: a residual block's first convolution, the last layer that
            takes links, the last convolution of the first dense layer.
        width: channels of a layer; of a residual block those of its input.
        layers: number of layers, of a dense block its dense layers.
        mass: NN-Mass.
    """

    form: str
    scope: str
    width: int
    layers: int
    mass: float


def cell_density(width: int, depth: int, links: int) -> float:
    """Density of one cell, in [0, 1].

    >>> round(cell_density(width=8, depth=16, links=1), 7)
    0.0166667

    Args:
        width: channels (neurons) w of each layer.
        depth: layers d, the classifier included where the cell is an MLP.
        links: channels t that a layer draws at most.

    Raises:
        Undefined: fewer than three layers: no long-range link is possible.
    """
    if depth < 3:
        raise Undefined(f"A cell needs 3 layers for a density, but got {depth=}.")
    drawn = sum(min(width * (layer - 1), links) for layer in range(2, depth))
    return 2 * drawn / (width * (depth - 1) * (depth - 2))


def cell_mass(width: int, depth: int, links: int) -> float:
    """NN-Mass of one cell; 0 where it is too shallow for a long-range link.

    >>> round(cell_mass(width=8, depth=24, links=100), 4)
    154.0553
    """
    return width * depth * cell_density(width, depth, links) if depth >= 3 else 0.0


def links_for_mass(mass: float, depth: int) -> float:
    """Channels t per layer that give a cell the mass, exact while t <= w.

    >>> round(links_for_mass(cell_mass(8, 16, 3), 16), 9)
    3.0
    """
    return mass * (depth - 1) / (2 * depth)


def nn_mass(structure: Structure) -> Mass:
    """NN-Mass of a network, over the cells and residual blocks found in its graph.

    Raises:
        Undefined: a concatenation that is neither a cell nor branches of one input.
    """
    cells = mass_cells(structure)
    return Mass(float(sum(cell.mass for cell in cells)), len(cells))


def mass_cells(structure: Structure) -> tuple[Cell, ...]:
    """The cells that NN-Mass sums over.

    >>> from nasdepth.architecture.families import family
    >>> from nasdepth.architecture.lower import lower
    >>> cells = mass_cells(Structure(lower(family("resnet18"))))
    >>> cells[0]
    Cell(form='residual', scope='stage1.block0.conv1', width=64, layers=2, mass=128)

    Raises:
        Undefined: a concatenation that is neither a cell nor branches of one input.
    """
    structure = structure.ungated
    return (*_residual(structure), *_linked(structure), *_dense(structure))


def _residual(structure: Structure) -> Iterator[Cell]:
    for node in structure.graph.nodes:
        if len(node.inputs) == 2 and isinstance(node.op, Add):
            first, second = (structure.arm(i) for i in node.inputs)
            if first.start == second.start:
                arms = sorted((first, second), key=lambda arm: len(arm.transformations))
                mass = _block_mass(structure, *arms)
                if mass is not None:
                    layers = arms[1].transformations
                    scope = structure.graph.nodes[layers[0]].scope
                    width = structure.shapes[arms[1].start][0]
                    yield Cell("residual", scope, width, len(layers), mass)


def _block_mass(structure: Structure, shortcut: Arm, body: Arm) -> float | None:
    """Mass of a residual block; None where it is of no form that has one."""
    nodes, shapes = structure.graph.nodes, structure.shapes
    ops = [nodes[i].op for i in body.transformations]
    convs = [op for op in ops if isinstance(op, Conv)]
    if len(convs) != len(ops) or len(ops) not in (2, 3):
        return None
    if len(shortcut.transformations) > 1:
        return None
    identity = not shortcut.transformations
    width = shapes[body.start][0]
    middle = convs[0].channels
    areas = [conv.area for conv in convs]
    spatial = convs[-2]  # of a bottleneck or an inverted residual
    depthwise = spatial.groups == spatial.channels > 1
    if len(convs) == 2 and areas[-1] > 1:
        return width + middle
    bottleneck = len(convs) == 3 and not depthwise
    inverted = depthwise and identity
    pointwise = areas[-1] == 1 and (len(convs) == 2 or areas[0] == 1)
    if pointwise and (bottleneck or inverted):
        return width * (width + 2 * middle) / (2 * width + middle)
    return None


def _linked(structure: Structure) -> Iterator[Cell]:
    """Masses of the cells with drawn links: chains of concats that read selections."""
    nodes, shapes = structure.graph.nodes, structure.shapes
    cells: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        if len(node.inputs) < 2 or not isinstance(node.op, Concat):
            continue
        links = [i for i in node.inputs if isinstance(nodes[i].op, Select)]
        if not links:
            continue
        if len(node.inputs) - len(links) != 1:
            raise Undefined("A linked layer reads one whole layer beside its links.")
        (main,) = set(node.inputs) - set(links)
        sources = {nodes[i].inputs[0] for i in links}
        if len({shapes[i][0] for i in (main, *sources)}) > 1:
            raise Undefined("The layers of a cell have one width.")
        counts = cells.pop(_layer_before(structure, main, sources), [])
        cells[index] = [*counts, sum(shapes[i][0] for i in links)]
    for index, counts in cells.items():
        depth, main = len(counts) + 2, nodes[index].inputs[0]
        mass = depth * 2 * sum(counts) / ((depth - 1) * (depth - 2))
        yield Cell("linked", nodes[index].scope, shapes[main][0], depth, mass)


def _layer_before(structure: Structure, node: int, sources: set[int]) -> int:
    """The linked layer that feeds `node`; -1 where this is the first of its cell.

    Only a cell's first linked layer draws from a layer that lies behind the nearest
    linked one: later layers draw from what came before it.
    """
    while structure.is_chain(node):
        node = structure.graph.nodes[node].inputs[0]
        if node in sources:
            return -1
    return node if isinstance(structure.graph.nodes[node].op, Concat) else -1


def _dense(structure: Structure) -> Iterator[Cell]:
    """Masses of dense blocks: saturated cells of the growth's width."""
    nodes = structure.graph.nodes
    concats = {
        node.inputs: index
        for index, node in enumerate(nodes)
        if isinstance(node.op, Concat)
        and not any(isinstance(nodes[i].op, Select) for i in node.inputs)
    }
    prefixes = {arms[:-1] for arms in concats}
    for arms in concats:
        if arms in prefixes:
            continue
        if _is_dense(structure, arms, concats):
            if len(arms) > 3:
                growth, layers = structure.shapes[arms[1]][0], len(arms) - 1
                scope = nodes[arms[1]].scope
                yield Cell("dense", scope, growth, layers, growth * layers)
        elif len({_origin(structure, arm) for arm in arms}) > 1:
            raise Undefined("A concatenation matches no NN-Mass cell.")


def _is_dense(
    structure: Structure, arms: tuple[int, ...], concats: dict[tuple[int, ...], int]
) -> bool:
    """Whether each arm but the first is computed from all before it, of one width."""
    for place, arm in enumerate(arms[1:], start=1):
        seen = concats.get(arms[:place]) if place > 1 else arms[0]
        if seen is None or not _leads(structure, seen, arm):
            return False
    return len({structure.shapes[arm][0] for arm in arms[1:]}) == 1


def _leads(structure: Structure, start: int, end: int) -> bool:
    while end != start and structure.is_chain(end):
        end = structure.graph.nodes[end].inputs[0]
    return end == start


def _origin(structure: Structure, arm: int) -> int:
    """The fork or merge that the arm comes from."""
    chain = structure.arm(arm)
    return chain.start
