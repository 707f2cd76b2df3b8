"""How each family wires its blocks, and which channels the links draw."""

from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import architectures

from nasdepth.architecture.families import family
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.links import draw_links
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import (
    Activation,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    GroupNorm,
    InvalidGraph,
    Linear,
    Op,
    Pool,
    Select,
)
from nasdepth.architecture.spec import Architecture, Head, Stage, Stem


def ops(graph: Graph, kind: type[Op]) -> list[Op]:
    return [node.op for node in graph.nodes if isinstance(node.op, kind)]


def one(stage: Stage, **options: object) -> Graph:
    """A stage on a map of its own width, without stem."""
    shape = (stage.width, 16, 16)
    return lower(Architecture((stage,), input_shape=shape, **options))


def sides(graph: Graph) -> list[int]:
    """Sides of the maps that convolutions give, in order."""
    pairs = zip(graph.nodes, graph.shapes(), strict=True)
    return [shape[1] for node, shape in pairs if isinstance(node.op, Conv)]


@given(architectures())
def test_every_architecture_ends_in_its_classes(architecture: Architecture) -> None:
    graph = lower(architecture)

    assert graph.shapes()[-1] == (architecture.num_classes,)
    assert graph.nodes[-1].scope == "head.classifier1"
    assert lower(architecture) == graph


@given(architectures())
def test_scopes_are_unique_names(architecture: Architecture) -> None:
    scopes = [node.scope for node in lower(architecture).nodes]

    assert len(set(scopes)) == len(scopes)
    assert all(part.isidentifier() for scope in scopes for part in scope.split("."))


def test_scopes_of_a_residual_block() -> None:
    graph = lower(Architecture((Stage(depth=1, width=8, skip="add", span=2),)))

    inner = [n.scope.removeprefix("stage1.block0.") for n in graph.nodes[1:10]]
    body = ["conv1", "norm1", "act1", "conv2", "norm2"]
    assert inner == [*body, "shortcut.conv1", "shortcut.norm1", "add1", "act2"]


# --- families


def test_plain_stages_convolve_normalise_activate() -> None:
    kinds = [type(n.op) for n in one(Stage(depth=2, width=8)).nodes[1:7]]

    assert kinds == [Conv, BatchNorm, Activation] * 2


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Stage(depth=2, width=8, stride=2), [8, 8]),
        (Stage(depth=2, width=8, stride=2, pool=2), [8, 8]),
        (Stage(depth=2, width=8, skip="add", span=2, stride=2), [8, 8, 8, 8, 8]),
        (Stage("bottleneck", 1, 8, skip="add", stride=2), [16, 8, 8, 8]),
        (Stage("inverted", 1, 8, skip="add", stride=2), [16, 8, 8]),
        (Stage(depth=2, width=8, skip="add", stride=2), [8, 8, 8]),
        (Stage("inception", 1, 8, branches=2, stride=2), [8, 8, 8]),
        (Stage(depth=2, width=8, skip="concat", links="all", stride=2), [16, 8, 8]),
        (Stage(depth=2, width=8, skip="concat", stride=2), [8, 8]),
    ],
    ids=lambda x: f"{x.family}-{x.block}" if isinstance(x, Stage) else "",
)
def test_where_each_family_strides(stage: Stage, expected: list[int]) -> None:
    assert sides(one(stage)) == expected


@pytest.mark.parametrize(
    ("stage", "pool"),
    [
        (Stage(stride=2, pool=2), Pool("max", 2, 2)),
        (Stage(stride=2, pool=3), Pool("max", 3, 2, ceil=True)),
        (Stage("inception", branches=2, stride=2), Pool("max", 3, 2, ceil=True)),
        (Stage("inception", branches=2, stride=2, pool=2), Pool("max", 2, 2)),
        (Stage(skip="concat", links="all", stride=2), Pool("avg", 2, 2)),
        (Stage(skip="concat", stride=2), Pool("max", 2, 2)),
        (Stage(skip="concat", stride=2, pool=3), Pool("max", 3, 2, ceil=True)),
    ],
)
def test_which_pooling_strides(stage: Stage, pool: Pool) -> None:
    assert ops(one(stage), Pool) == [pool]


def test_a_dense_transition_halves_channels() -> None:
    stage = Stage(depth=1, width=8, skip="concat", links="all", stride=2)

    first = ops(lower(Architecture((stage,), Stem(20))), Conv)[1]

    assert first == Conv(10, 1, padding=0)


@pytest.mark.parametrize("block", ["conv", "bottleneck"])
def test_a_residual_stage_projects_only_where_the_map_changes(block: str) -> None:
    def shortcuts(stage: Stage, width: int) -> int:
        graph = lower(Architecture((stage,), Stem(width)))
        return sum("shortcut.conv" in node.scope for node in graph.nodes)

    span = 2 if block == "conv" else 1
    plain = Stage(block, 3, 8, skip="add", span=span)
    strided = Stage(block, 3, 8, skip="add", span=span, stride=2)

    assert (shortcuts(plain, 8), shortcuts(plain, 4)) == (0, 1)
    assert (shortcuts(strided, 8), shortcuts(strided, 4)) == (1, 1)


def test_inverted_blocks_skip_only_where_the_map_stays() -> None:
    def adds(**options: int) -> int:
        stage = Stage("inverted", 3, 8, skip="add", **options)
        return len(ops(lower(Architecture((stage,), Stem(8))), Add))

    assert (adds(), adds(stride=2), adds(expansion=1)) == (3, 2, 3)


def test_inverted_blocks_expand_their_input() -> None:
    stage = Stage("inverted", 1, 8, skip="add", expansion=3)

    widths = [op.channels for op in ops(lower(Architecture((stage,), Stem(4))), Conv)]

    assert widths == [4, 12, 12, 8]


def test_expansion_one_leaves_the_first_convolution_out() -> None:
    stage = Stage("inverted", 1, 8, skip="add", expansion=1)

    convs = ops(one(stage), Conv)

    assert [(op.channels, op.kernel, op.groups) for op in convs] == [
        (8, 3, 8),
        (8, 1, 1),
    ]


def test_parallel_groups_hold_all_layers_and_a_remainder() -> None:
    graph = one(Stage(depth=7, width=8, branches=3, skip="add"))

    arms = [len(n.inputs) for n in graph.nodes if isinstance(n.op, Add)]

    assert arms == [4, 4, 2]
    assert len(ops(graph, Conv)) == 7


@pytest.mark.parametrize("p", [1, 2, 3])
def test_groups_have_the_same_parameters_whatever_p(p: int) -> None:
    stage = Stage(depth=3, width=8, branches=p, skip="add", stride=2)
    graph = lower(Architecture((stage,), Stem(4)))

    assert [op.channels for op in ops(graph, Conv)] == [4, 8, 8, 8, 8]
    assert len(ops(graph, BatchNorm)) == 1 + 3 + 1


def test_one_layer_is_sequential_and_parallel_at_once() -> None:
    single = Stage(depth=1, width=8, skip="add")
    sequential, parallel = (
        Stage(depth=2, width=8, branches=p, skip="add") for p in (1, 2)
    )

    # at L = 1 the largest group, p = L, is the least, p = 1
    assert single.branches == single.depth
    assert one(sequential) != one(parallel)


@pytest.mark.parametrize("block", ["bottleneck", "conv"])
def test_a_grouped_cell_reads_the_image_whole(block: str) -> None:
    stage = Stage(block, 2, 8, skip="concat", groups=2)

    convs = ops(lower(Architecture((stage,))), Conv)

    assert (convs[0].groups, convs[-1].groups) == (1, 2)


def test_groups_that_do_not_divide_the_channels_are_an_error() -> None:
    grouped = Architecture((Stage(width=8, groups=2),))

    with pytest.raises(InvalidGraph, match="but got groups=2 for 3 -> 8"):
        lower(grouped)


def test_the_first_layer_of_a_depthwise_cell_reads_the_image_whole() -> None:
    stage = Stage("depthwise", 2, 8, skip="concat")

    bare = ops(lower(Architecture((stage,))), Conv)
    stemmed = ops(lower(Architecture((stage,), Stem(4))), Conv)

    assert [op.groups for op in bare] == [1, 1, 8, 1]
    assert [op.groups for op in stemmed] == [1, 1, 8, 1, 1, 8, 1]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (14, [[7], [3, 7]]),
        (14, [[6], [2, 4], [2, 4, 4]]),
        (18, [[6], [2, 4], [2, 4, 4], [4]]),
    ],
)
def test_inception_splits_its_width(width: int, expected: list[list[int]]) -> None:
    branches = len(expected)
    graph = one(Stage("inception", 1, width, branches=branches))

    found = [
        [n.op.channels for n in graph.nodes if f"branch{i}.conv" in n.scope]
        for i in range(branches)
    ]

    assert found == expected
    assert sum(widths[-1] for widths in found) == width


def test_given_branch_widths_are_taken() -> None:
    widths = ((4,), (2, 4), (1, 2, 8), (16,))
    stage = Stage("inception", 1, 32, branches=4, branch_widths=widths, kernel=5)
    graph = one(stage)

    convs = [n for n in graph.nodes if "branch" in n.scope and isinstance(n.op, Conv)]

    assert [n.op.channels for n in convs] == [4, 2, 4, 1, 2, 8, 16]
    assert [n.op.kernel for n in convs] == [1, 1, 5, 1, 5, 5, 1]
    pools = [n for n in graph.nodes if isinstance(n.op, Pool)]
    assert [n.op for n in pools] == [Pool("max", 3, 1, 1)]
    assert pools[0].scope == "stage1.block0.branch3.pool1"


# --- stem, head, style


def test_the_stem_pads_as_told() -> None:
    kept, told = (
        lower(Architecture((Stage(),), Stem(8, 5, padding=padding)))
        for padding in (-1, 0)
    )

    assert (sides(kept)[0], sides(told)[0]) == (32, 28)


def test_the_head_in_its_order() -> None:
    head = Head(grid=2, hidden=(5, 4), features=7, pool=2, dropout=0.25)
    graph = lower(Architecture((Stage(width=8),), head=head, num_classes=3))

    scopes = [n.scope for n in graph.nodes if n.scope.startswith("head")]

    assert [scope.removeprefix("head.") for scope in scopes] == [
        "pool1",
        "conv1",
        "norm1",
        "act1",
        "pool2",
        "flatten1",
        "linear1",
        "act2",
        "dropout1",
        "linear2",
        "act3",
        "dropout2",
        "classifier1",
    ]
    assert [op.features for op in ops(graph, Linear)] == [5, 4, 3]


def test_without_hidden_layers_dropout_stands_before_the_classifier() -> None:
    graph = lower(Architecture((Stage(),), head=Head(dropout=0.5)))

    assert graph.nodes[-2].op == Dropout(0.5)


@pytest.mark.parametrize(
    ("norm", "kind", "count"),
    [("batch", BatchNorm, 1), ("group", GroupNorm, 1), ("none", BatchNorm, 0)],
)
def test_norms(norm: str, kind: type[Op], count: int) -> None:
    graph = lower(Architecture((Stage(width=12),), norm=norm))

    assert len(ops(graph, kind)) == count
    assert [op.bias for op in ops(graph, Conv)] == [norm == "none"]


@pytest.mark.parametrize(("width", "groups"), [(16, 8), (12, 4), (7, 1)])
def test_group_norm_has_at_most_eight_groups(width: int, groups: int) -> None:
    graph = lower(Architecture((Stage(width=width),), norm="group"))

    assert ops(graph, GroupNorm) == [GroupNorm(groups)]


def test_an_image_too_small_is_an_error() -> None:
    deep = Architecture(
        tuple(Stage(width=8, stride=2, pool=2) for _ in range(4)), input_shape=(1, 8, 8)
    )

    with pytest.raises(InvalidGraph, match="does not fit a side of 1"):
        lower(deep)


# --- links


def linked_layers(graph: Graph, layers: int, place: int) -> list[tuple[list[int], int]]:
    """Per layer from the third on: numbers of all source channels, and the main layer.

    Channels are numbered through the layers; -1 where a source is no layer's output.
    """
    outputs: list[int] = []
    for layer in range(layers):
        prefix = f"stage{place}.layer{layer}."
        own = [i for i, n in enumerate(graph.nodes) if n.scope.startswith(prefix)]
        outputs.append(max(i for i in own if isinstance(graph.nodes[i].op, Conv)))
    width = graph.shapes()[outputs[0]][0]
    found = []
    for node in graph.nodes:
        if not isinstance(node.op, Concat) or f"stage{place}." not in node.scope:
            continue
        main, *selects = node.inputs
        drawn = []
        for index in selects:
            (source,) = graph.nodes[index].inputs
            op = graph.nodes[index].op
            assert isinstance(op, Select)
            assert source in outputs
            drawn += [outputs.index(source) * width + c for c in op.channels]
        found.append((drawn, outputs.index(main)))
    return found


@given(
    st.sampled_from(["conv", "bottleneck"]),
    st.integers(3, 7),
    st.sampled_from([4, 8]),
    st.integers(1, 50),
    st.integers(0, 2**40),
)
def test_a_layer_draws_distinct_channels_of_all_layers_but_the_last(
    block: str, depth: int, width: int, links: int, seed: int
) -> None:
    stage = Stage(block, depth, width, skip="concat", links=links)
    graph = lower(Architecture((Stage(width=width), stage), seed=seed))

    found = linked_layers(graph, depth, 2)

    assert [main for _, main in found] == list(range(1, depth - 1))
    for layer, (drawn, _) in enumerate(found, start=2):
        candidates = width * (layer - 1)
        assert len(drawn) == len(set(drawn)) == min(links, candidates)
        assert all(0 <= channel < candidates for channel in drawn)


@given(st.integers(0, 99), st.integers(1, 9), st.integers(0, 300), st.integers(0, 300))
def test_a_draw_is_sorted_and_without_replacement(
    seed: int, place: int, candidates: int, wanted: int
) -> None:
    drawn = draw_links(seed, place, candidates, wanted)

    assert list(drawn) == sorted(set(drawn))
    assert len(drawn) == min(wanted, candidates)
    assert set(drawn) <= set(range(candidates))


def test_draws_of_fewer_channels_are_part_of_those_of_more() -> None:
    draws = [set(draw_links(3, 1, 64, wanted)) for wanted in (1, 5, 20, 64)]

    assert all(few < more for few, more in pairwise(draws))


def test_draws_differ_by_seed_stage_and_layer() -> None:
    draws = {
        draw_links(0, 1, 64, 8),
        draw_links(1, 1, 64, 8),
        draw_links(0, 2, 64, 8),
        draw_links(0, 1, 72, 8),
    }

    assert len(draws) == 4


def test_draws_are_uniform() -> None:
    # 8 of 32 channels, 2,000 seeds: each channel 500 times, sd 19.4
    counts = [0] * 32
    for seed in range(2000):
        for channel in draw_links(seed, 1, 32, 8):
            counts[channel] += 1

    assert max(abs(count - 500) for count in counts) < 5 * 19.4


def test_draws_are_fixed_for_good() -> None:
    # least of: for i in `seq 0 11`; do printf 7:2:12:$i | sha256sum; done
    assert draw_links(7, 2, 12, 4) == (4, 5, 8, 11)


def test_a_drawn_network_is_fixed_for_good() -> None:
    graph = lower(family("nn_mass_cnn:5:1:4:4:4"))
    channels = [op.channels for op in ops(graph, Select)]

    found = sha256(repr(channels).encode()).hexdigest()
    assert found == "a163dc94c825fb8df429099d3b74be653b06bd2dfdaccde272cfcc0a0580981f"


def test_without_links_a_cell_is_a_chain() -> None:
    graph = one(Stage(depth=5, width=8, skip="concat", links=0))

    assert not ops(graph, Concat)
    assert not ops(graph, Select)


def test_linear_cells_link_as_convolutional_ones(
    golden: Callable[[str, str], None],
) -> None:
    graph = lower(family("nn_mass_mlp:5:3:2:4:2"))

    lines = [f"{i}: {n.op} {n.inputs} {n.scope}" for i, n in enumerate(graph.nodes)]

    golden("nn_mass_mlp.txt", "\n".join([*lines, ""]))
