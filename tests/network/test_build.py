"""Built modules: conformance over every family, block, norm and activation."""

from copy import deepcopy
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import architectures, fed_graphs, graphs
from torch import nn

from nasdepth.architecture.canonical import canonical
from nasdepth.architecture.graph import Graph, GraphBuilder, Node
from nasdepth.architecture.lower import lower
from nasdepth.architecture.opaque import Opaque
from nasdepth.architecture.ops import (
    ACTIVATIONS,
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    GroupNorm,
    Input,
    InvalidGraph,
    Linear,
    Op,
    Pool,
    Zeros,
)
from nasdepth.architecture.spec import FAMILIES, NORMS, Architecture, Head, Stage, Stem
from nasdepth.measures.cost import activations, macs, params
from nasdepth.measures.depth import path_statistics, weighted_layers
from nasdepth.measures.structure import Structure
from nasdepth.network.build import build, initialize

ROWS = [(family, block) for family, row in FAMILIES.items() for block in row.blocks]


def small(
    family: str, block: str, norm: str, activation: str, dropped: int = 0
) -> Architecture:
    """An architecture of two stages of one family, the second one strided."""
    row = FAMILIES[family]
    options: dict[str, object] = {"skip": row.skip, "branches": row.branches[0]}
    options["dropped"] = dropped
    if row.skip == "add" and block == "conv":
        options["span"] = row.span
    if row.linked:
        options["links"] = "all" if family == "dense" else 5
    if family == "parallel":
        options["branches"] = 2
    style = {"norm": norm, "activation": activation, "num_classes": 3}
    if block == "linear":
        cell = Stage(block, 3, 8, **options)
        return Architecture((cell,), input_shape=(1, 4, 4), **style)
    stages = tuple(Stage(block, 3, 8, stride=stride, **options) for stride in (1, 2))
    head = Head(hidden=(4,), dropout=0.5)
    return Architecture(stages, Stem(8), head, input_shape=(2, 8, 8), **style)


ALL = [
    pytest.param(small(*row, norm, activation), id=f"{'-'.join(row)}-{norm}-{act}")
    for row, norm, activation in product(ROWS, NORMS, ACTIVATIONS)
    if (act := activation)
]
DROPPED = [
    pytest.param(small(*row, norm, "relu", dropped=1), id=f"{'-'.join(row)}-{norm}-1")
    for row, norm in product(ROWS, NORMS)
    if FAMILIES[row[0]].droppable
]
ALL += DROPPED
ONE_EACH = [
    pytest.param(small(*row, "batch", "relu"), id="-".join(row)) for row in ROWS
] + DROPPED[::3]


def images(architecture: Architecture, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, *architecture.input_shape, generator=generator)


def counted(module: nn.Module, image: torch.Tensor) -> tuple[int, int]:
    """Multiply-accumulates and output elements of convolutions and linear layers."""
    found = [0, 0]

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        found[0] += output.numel() * layer.weight[0].numel()
        found[1] += output.numel()

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    module(image)
    return found[0], found[1]


# --- conformance


@pytest.mark.parametrize("architecture", ALL)
def test_graph_and_module_agree(architecture: Architecture) -> None:
    graph = lower(architecture)
    structure = Structure(graph)
    module = build(architecture).eval()

    spent = counted(module, images(architecture, batch=1))

    assert module(images(architecture)).shape == (2, *graph.shapes()[-1])
    assert sum(p.numel() for p in module.parameters()) == params(graph)
    assert spent == (macs(structure), activations(structure))
    found = path_statistics(structure)
    assert found.shortest <= found.mean + 1e-9
    assert found.mean <= found.longest + 1e-9
    assert found.longest <= weighted_layers(structure)
    assert Architecture.from_json(architecture.to_json()) == architecture


@given(architectures())
@settings(max_examples=20)
def test_graph_and_module_agree_on_any_architecture(architecture: Architecture) -> None:
    graph = lower(architecture)
    module = build(graph).eval()

    spent = counted(module, images(architecture, batch=1))

    assert sum(p.numel() for p in module.parameters()) == params(graph)
    assert spent == (macs(Structure(graph)), activations(Structure(graph)))


@pytest.mark.parametrize("architecture", ONE_EACH)
def test_names_in_the_state_are_the_scopes(architecture: Architecture) -> None:
    nodes = lower(architecture).nodes
    learnt = {
        node.scope
        for node in nodes
        if isinstance(node.op, Conv | Linear | BatchNorm | GroupNorm)
    }

    names = build(architecture).state_dict()

    assert {name.rpartition(".")[0] for name in names} == learnt


@pytest.mark.parametrize("architecture", ONE_EACH)
def test_a_copy_is_equal_and_apart(architecture: Architecture) -> None:
    module = build(architecture, seed=0).eval()
    image = images(architecture)
    expected = module(image)

    twin = deepcopy(module)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(1)

    assert torch.equal(twin(image), expected)
    assert not torch.equal(module(image), expected)


@pytest.mark.parametrize("architecture", ONE_EACH)
def test_every_weight_gets_a_gradient(architecture: Architecture) -> None:
    module = build(architecture, seed=1)

    module(images(architecture, batch=4)).square().sum().backward()

    assert all(weight.grad is not None for weight in module.parameters())


EXPORTED = [
    small("residual", "bottleneck", "batch", "silu"),
    small("cell", "depthwise", "group", "tanh"),
    small("dense", "conv", "none", "gelu"),
]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", EXPORTED, ids=["residual", "cell", "dense"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_export_and_compile_keep_the_function(architecture: Architecture) -> None:
    module = build(architecture, seed=0).eval()
    image = images(architecture)
    expected = module(image)

    exported = torch.export.export(module, (image,)).module()
    compiled = torch.compile(module, backend="eager", fullgraph=True)

    torch.testing.assert_close(exported(image), expected)
    torch.testing.assert_close(compiled(image), expected)


# --- weights


@pytest.mark.parametrize("architecture", ONE_EACH)
def test_one_seed_gives_one_set_of_weights(architecture: Architecture) -> None:
    states = []
    for seed, noise in ((5, 0), (5, 1), (6, 0)):
        torch.manual_seed(noise)
        states.append(build(architecture, seed=seed).state_dict())

    first, second, other = states
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_without_a_seed_torch_draws() -> None:
    architecture = small("plain", "conv", "none", "relu")
    torch.manual_seed(3)
    first = build(architecture).state_dict()
    torch.manual_seed(3)
    second = build(architecture).state_dict()

    third = build(architecture).state_dict()

    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_weights_have_the_variance_of_he() -> None:
    wide = Architecture((Stage(width=256), Stage(width=256, groups=4)), norm="none")
    module = build(wide, seed=0)

    for layer, fan_in in ((module.stage1.block0.conv1, 27), (module.stage2, 64 * 9)):
        weight = layer.block0.conv1.weight if layer is module.stage2 else layer.weight
        assert weight.var().item() == pytest.approx(2 / fan_in, rel=0.05)
        assert abs(weight.mean().item()) < 0.01


def test_the_last_linear_layer_is_uniform_and_biases_are_zero() -> None:
    tall = Architecture((Stage(width=64),), head=Head(hidden=(400,)), norm="none")
    module = build(tall, seed=0)

    classifier, hidden = module.head.classifier1, module.head.linear1

    assert classifier.weight.abs().max().item() <= 400**-0.5
    assert classifier.weight.std().item() == pytest.approx((3 * 400) ** -0.5, rel=0.05)
    assert hidden.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    biases = [p for name, p in module.named_parameters() if name.endswith("bias")]
    assert len(biases) == 3
    assert not any(bias.any() for bias in biases)


def test_initialize_leaves_norms_and_the_global_generator_alone() -> None:
    module = build(small("plain", "conv", "batch", "relu"))
    nn.init.constant_(module.stem.norm1.weight, 7)
    state = torch.get_rng_state()

    initialize(module, seed=4)

    assert torch.equal(torch.get_rng_state(), state)
    assert (module.stem.norm1.weight == 7).all()


def test_a_network_without_a_linear_layer_is_initialised() -> None:
    builder = GraphBuilder((2, 4, 4))
    builder.emit(Conv(3), 0)

    first, second = (build(builder.graph(), seed=s) for s in (0, 0))

    assert torch.equal(first.conv1.weight, second.conv1.weight)


# --- any graph


def outputs(graph: Graph, other: Graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of two graphs with the weights of the first, in double precision."""
    modules = [build(g, seed=0).double().eval() for g in (graph, other)]
    state = modules[0].state_dict()
    own = {name: state[name] for name in modules[1].state_dict()}
    modules[1].load_state_dict(own)
    dims = graph.nodes[0].op.shape([])
    image = torch.randn(2, *dims, generator=torch.Generator().manual_seed(1)).double()
    return modules[0](image), modules[1](image)


@given(graphs())
def test_the_canonical_form_keeps_the_function(graph: Graph) -> None:
    # dead arms hold nothing but constants without bias, which add up to zeros
    before, after = outputs(graph, canonical(graph)) if fed(graph) else (None, None)

    if before is not None:
        torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)


def fed(graph: Graph) -> bool:
    return Structure(graph).has_path


@given(graphs())
def test_any_graph_is_built_as_its_shapes_say(graph: Graph) -> None:
    module = build(graph).eval()
    dims = graph.nodes[0].op.shape([])

    result = module(torch.zeros(2, *dims))

    assert result.shape == (2, *graph.shapes()[-1])
    assert sum(p.numel() for p in module.parameters()) == params(graph)


@given(fed_graphs())
@settings(max_examples=20)
def test_any_graph_is_computed_as_node_by_node(graph: Graph) -> None:
    module = build(graph, seed=2).double().eval()
    dims = graph.nodes[0].op.shape([])
    image = torch.randn(2, *dims, generator=torch.Generator().manual_seed(1)).double()

    values: list[torch.Tensor] = []
    for node in graph.nodes:
        values.append(computed(module, node, [values[i] for i in node.inputs], image))

    torch.testing.assert_close(module(image), values[-1], rtol=1e-9, atol=1e-9)


def computed(
    module: nn.Module, node: Node, inputs: list[torch.Tensor], image: torch.Tensor
) -> torch.Tensor:
    """Value of one node, written down a second time."""
    own = dict(module.named_modules()).get(node.scope)
    if own is not None:
        return own(*inputs)
    op = node.op
    if isinstance(op, Input):
        return image
    if isinstance(op, Zeros):
        return torch.zeros(len(image), *op.dims, dtype=image.dtype)
    if isinstance(op, Add):
        return torch.stack(inputs).sum(0)
    if isinstance(op, Concat):
        return torch.concat(inputs, dim=1)
    if isinstance(op, Activation):
        return {"relu": nn.ReLU(), "tanh": nn.Tanh()}[op.kind](inputs[0])
    if isinstance(op, Pool):
        return nn.MaxPool2d(op.kernel, op.stride, op.padding)(inputs[0])
    if isinstance(op, AdaptivePool):
        return nn.AdaptiveAvgPool2d(op.grid)(inputs[0])
    if isinstance(op, Flatten):
        return inputs[0].reshape(len(image), -1)
    return inputs[0]


@pytest.mark.parametrize(
    ("op", "module"),
    [
        (Conv(4, 5, 2, 1, 2, bias=True), nn.Conv2d(6, 4, 5, 2, 1, groups=2)),
        (Pool("max", 3, 2, 1, ceil=True), nn.MaxPool2d(3, 2, 1, ceil_mode=True)),
        (Pool("max", 3, 2, ceil=True), nn.MaxPool2d(3, 2, ceil_mode=True)),
        (Pool("avg", 2, 3, 1, ceil=True), nn.AvgPool2d(2, 3, 1, ceil_mode=True)),
        (Pool("avg", 3, 1, 1), nn.AvgPool2d(3, 1, 1)),
        (GroupNorm(3), nn.GroupNorm(3, 6)),
        (BatchNorm(), nn.BatchNorm2d(6)),
        *((Activation(kind), None) for kind in ACTIVATIONS),
    ],
    ids=str,
)
@pytest.mark.parametrize("side", [5, 6, 7, 8])
def test_one_operation_is_that_of_torch(
    op: Op, module: nn.Module | None, side: int
) -> None:
    kinds = (nn.ReLU(), nn.ReLU6(), nn.GELU(), nn.SiLU(), nn.ELU(), nn.Tanh())
    module = module or dict(zip(ACTIVATIONS, kinds, strict=True))[op.kind]
    builder = GraphBuilder((6, side, side))
    builder.emit(op, 0)
    image = 4 * torch.randn(
        2, 6, side, side, generator=torch.Generator().manual_seed(0)
    )
    ours = build(builder.graph()).eval()
    ours.load_state_dict(
        dict(zip(ours.state_dict(), module.state_dict().values(), strict=True))
    )

    expected = module.eval()(image)

    assert expected.shape[1:] == builder.graph().shapes()[-1]
    torch.testing.assert_close(ours(image), expected)


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2))
def test_sides_of_hanging_windows_are_those_of_torch(
    side: int, kernel: int, stride: int, padding: int
) -> None:
    # torch wants padding of at most half a window
    pool = Pool("max", kernel, stride, min(padding, kernel // 2), ceil=True)
    torchs = nn.MaxPool2d(kernel, stride, pool.padding, ceil_mode=True)
    try:
        expected = tuple(torchs(torch.zeros(1, side, side)).shape)
    except RuntimeError:
        with pytest.raises(InvalidGraph, match="does not fit a side"):
            pool.shape([(1, side, side)])
    else:
        assert pool.shape([(1, side, side)]) == expected


def test_batch_norm_on_vectors() -> None:
    builder = GraphBuilder((2, 3, 3))
    builder.emit(BatchNorm(), builder.emit(Flatten(), 0))

    module = build(builder.graph())

    assert isinstance(module.batchnorm1, nn.BatchNorm1d)
    assert module(torch.randn(4, 2, 3, 3)).shape == (4, 18)


def test_constants_follow_the_image() -> None:
    # the image is gone by the time the constant is made, in another scope
    builder = GraphBuilder((2, 4, 4))
    with builder.scope("first"):
        x = builder.emit(Conv(3), 0)
    with builder.scope("second"):
        builder.emit(Concat(), builder.emit(Zeros((2, 4, 4))), x)

    result = build(builder.graph()).double()(torch.ones(5, 2, 4, 4).double())

    assert result.shape == (5, 5, 4, 4)
    assert result.dtype == torch.float64
    assert not result[:, :2].any()


def test_dead_layers_are_held_but_not_run() -> None:
    builder = GraphBuilder((2, 4, 4))
    with builder.scope("dead"):
        builder.emit(Conv(5), 0)
    with builder.scope("live"):
        builder.emit(Conv(3), 0)
    module = build(builder.graph())

    module(torch.ones(1, 2, 4, 4)).sum().backward()

    assert module.dead.conv1.weight.grad is None
    assert module.live.conv1.weight.grad is not None


def test_a_scope_may_come_twice() -> None:
    builder = GraphBuilder((2, 4, 4))
    x = 0
    for scope in ("a", "b", "a"):
        with builder.scope(scope):
            x = builder.emit(Conv(2), x)

    module = build(builder.graph())

    assert [name for name, _ in module.named_parameters()] == [
        "a.conv1.weight",
        "a.conv2.weight",
        "b.conv1.weight",
    ]
    image = torch.randn(1, 2, 4, 4)
    expected = module.a.conv2(module.b.conv1(module.a.conv1(image)))
    torch.testing.assert_close(module(image), expected)


def test_the_input_alone_is_the_identity() -> None:
    image = torch.randn(1, 2, 4, 4)

    assert torch.equal(build(GraphBuilder((2, 4, 4)).graph())(image), image)


def test_shapes_that_do_not_fit_are_invalid_graphs() -> None:
    nodes = (Node(Input((2, 4, 4)), scope="input"), Node(Conv(3, 5), (0,), "conv1"))

    with pytest.raises(InvalidGraph, match="does not fit"):
        build(Graph((*nodes, Node(Conv(3, 5), (1,), "conv2"))))


def test_what_was_only_seen_is_not_built() -> None:
    seen = Node(Opaque("roll", (2, 4, 4)), (0,), "roll")

    with pytest.raises(InvalidGraph, match="'roll' was read from foreign code"):
        build(Graph((Node(Input((2, 4, 4)), scope="input"), seen)))


def test_tracebacks_show_the_source() -> None:
    import linecache

    module = build(small("plain", "conv", "none", "relu"))
    code = type(module).forward.__code__

    line = linecache.getline(code.co_filename, code.co_firstlineno)

    assert "def forward(self, x):" in line
