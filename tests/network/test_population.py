"""Networks side by side compute what they compute alone."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from strategies import architectures, fed_graphs
from torch import Tensor, nn

from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import (
    FAMILIES,
    NORMS,
    Architecture,
    Head,
    Stage,
    Stem,
)
from nasdepth.network.build import build
from nasdepth.network.population import Population

MEMBERS = 3
LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}


def small(family: str, block: str, norm: str = "batch", **style: object) -> Graph:
    """Two stages of a family, the second one strided; a head of two layers."""
    row = FAMILIES[family]
    options: dict[str, object] = {"skip": row.skip, "branches": row.branches[0]}
    if row.skip == "add" and block == "conv":
        options["span"] = row.span
    if row.linked:
        options["links"] = "all" if family == "dense" else 5
    if family == "parallel":
        options["branches"] = 2
    style = {"norm": norm, "num_classes": 3, **style}
    if block == "linear":
        cell = Stage(block, 3, 8, **options)
        return lower(Architecture((cell,), input_shape=(2, 4, 4), **style))
    depth = 3 if row.linked else 2  # the first link leads to the third layer
    stages = tuple(
        Stage(block, depth, 8, stride=stride, **options) for stride in (1, 2)
    )
    head = Head(grid=2, hidden=(4,))
    return lower(
        Architecture(stages, Stem(8), head, input_shape=(2, 8, 8), **style)  # type: ignore[arg-type]
    )


ROWS = [(family, block) for family, row in FAMILIES.items() for block in row.blocks]
GRAPHS = [
    pytest.param(small(*row, norm=norm), id=f"{'-'.join(row)}-{norm}")
    for row in ROWS
    for norm in NORMS
] + [
    pytest.param(small("residual", "conv", activation=name), id=f"residual-{name}")
    for name in ("relu6", "gelu", "silu", "elu", "tanh")
]


def built(graph: Graph, members: int = MEMBERS) -> list[nn.Module]:
    """Networks of a graph with different weights, without dropout."""
    networks = [build(graph, seed=seed).double() for seed in range(members)]
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    return networks


def images_of(graph: Graph, members: int = MEMBERS, batch: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    dims = graph.nodes[0].op.shape([])
    drawn = torch.randn(members, batch, *dims, generator=generator)
    return list(drawn.double())


def assert_alike(
    graph: Graph, layout: torch.memory_format = torch.contiguous_format
) -> None:
    """Scores, gradients and batch-norm statistics are those of each network alone."""
    networks = [network.to(memory_format=layout) for network in built(graph)]
    population = Population(networks).to(memory_format=layout)
    images = images_of(graph)

    scores = population(torch.cat(images, 1).contiguous(memory_format=layout))

    alone = [network(x) for network, x in zip(networks, images, strict=True)]
    same(scores.unbind(1), alone)
    if not scores.requires_grad:
        return
    scores.square().sum().backward()
    torch.stack(alone).square().sum().backward()
    found = dict(population.network.named_parameters())
    for member, network in enumerate(networks):
        gradients = [(n, p.grad) for n, p in network.named_parameters()]
        reached = [(n, gradient) for n, gradient in gradients if gradient is not None]
        same(
            [population.split(found[n].grad)[member] for n, _ in reached],
            [gradient for _, gradient in reached],
        )
        state = network.state_dict()
        own = population.state(member)
        same(list(own.values()), [state[name] for name in own])


def same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("graph", GRAPHS)
def test_a_population_is_its_members(graph: Graph, layout: str) -> None:
    assert_alike(graph, LAYOUTS[layout])


@given(architectures())
@settings(max_examples=15)
def test_a_population_of_any_architecture_is_its_members(
    architecture: Architecture,
) -> None:
    assert_alike(lower(architecture))


@given(fed_graphs())
@settings(max_examples=20)
def test_a_population_of_any_graph_is_its_members(graph: Graph) -> None:
    assert_alike(graph)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_single_precision_the_difference_is_below_1e_4(layout: str) -> None:
    graph = small("residual", "conv")
    networks = [n.float().to(memory_format=LAYOUTS[layout]) for n in built(graph)]
    images = [x.float() for x in images_of(graph, batch=16)]

    scores = Population(networks)(torch.cat(images, 1))

    for member, (network, x) in enumerate(zip(networks, images, strict=True)):
        torch.testing.assert_close(scores[:, member], network(x), rtol=0, atol=1e-4)


def test_in_evaluation_mode_the_running_statistics_count() -> None:
    graph = small("residual", "conv")
    networks, images = built(graph), images_of(graph)
    for network in networks:
        network(images[0])
        network.eval()

    scores = Population(networks)(torch.cat(images, 1))

    same(scores.unbind(1), [n(x) for n, x in zip(networks, images, strict=True)])


# --- states


def test_a_population_that_computed_nothing_writes_what_it_read() -> None:
    graph = small("cell", "depthwise")
    networks, others = built(graph), built(graph, 2 * MEMBERS)[MEMBERS:]

    population = Population(networks)

    for member, other in enumerate(others):
        population.write(member, other)

    for one, other in zip(networks, others, strict=True):
        state = other.state_dict()
        assert all(torch.equal(t, state[name]) for name, t in one.state_dict().items())


def test_a_population_names_its_state_as_each_network_does() -> None:
    networks = built(small("cell", "conv"))

    state = Population(networks).state(1)

    shapes = {name: t.shape for name, t in networks[0].state_dict().items()}
    assert {name: t.shape for name, t in state.items()} == shapes


def test_a_population_leaves_its_networks_alone_until_it_writes() -> None:
    networks = built(small("residual", "conv"))
    before = [t.clone() for n in networks for t in n.state_dict().values()]
    population = Population(networks)
    images = torch.cat(images_of(small("residual", "conv")), 1)

    population(images)
    with torch.no_grad():
        for parameter in population.parameters():
            parameter.zero_()

    after = [t for n in networks for t in n.state_dict().values()]
    assert all(map(torch.equal, before, after))


def test_vectors_stay_vectors_so_that_they_do_not_decay() -> None:
    networks = built(small("plain", "conv", norm="none"))
    dims = {name: p.ndim for name, p in networks[0].named_parameters()}

    population = Population(networks)

    found = {name: p.ndim for name, p in population.network.named_parameters()}
    assert found == dims


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("width", [8, 16])
def test_a_member_that_is_no_number_disturbs_no_other(width: int, layout: str) -> None:
    stages = (Stage(depth=2, width=width, skip="add", span=2),)
    graph = lower(Architecture(stages, Stem(width), input_shape=(2, 8, 8)))
    networks = [n.float() for n in built(graph)]
    with torch.no_grad():
        next(networks[1].parameters()).fill_(torch.nan)
    population = Population(networks).to(memory_format=LAYOUTS[layout])
    images = torch.cat(images_of(graph), 1).float()

    scores = population(images.contiguous(memory_format=LAYOUTS[layout]))
    scores.square().sum().backward()

    assert scores.isfinite().all((0, 2)).tolist() == [True, False, True]
    for parameter in population.parameters():
        assert population.split(parameter.grad)[0].isfinite().all()
        assert population.split(parameter.grad)[2].isfinite().all()


# --- what is refused


def test_a_population_has_members() -> None:
    with pytest.raises(ValueError, match="at least 1 network, but got 0"):
        Population([])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.Conv2d(2, 4, 3), nn.Conv2d(2, 8, 3)),
        (nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3, stride=2)),
        (nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh())),
    ],
)
def test_networks_of_two_architectures_are_no_population(
    first: nn.Module, second: nn.Module
) -> None:
    networks = [nn.Sequential(each) for each in (first, first, second)]

    with pytest.raises(ValueError, match=r"one architecture, but networks\[2\] diff"):
        Population(networks)


def test_other_links_are_another_architecture() -> None:
    networks = []
    for seed in (0, 1):
        cell = Stage("conv", 3, 8, skip="concat", links=5)
        networks += built(lower(Architecture((cell,), seed=seed)), 1)

    with pytest.raises(ValueError, match="one architecture"):
        Population(networks)


def test_a_layer_that_mixes_channels_otherwise_is_refused() -> None:
    networks = [nn.Sequential(nn.Conv2d(1, 2, 3), nn.Softmax(1)) for _ in range(2)]

    with pytest.raises(ValueError, match="but got the layer 1 of type Softmax"):
        Population(networks)


class Mean(nn.Module):
    """Mixes channels by a function."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(1)


def test_a_function_that_mixes_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="but got the operation mean with"):
        Population([Mean(), Mean()])
