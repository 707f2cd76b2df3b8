"""Path measures against enumeration, worked graphs and published depths."""

import csv
from fractions import Fraction
from math import comb, log2, prod
from pathlib import Path

import oracles
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import edges, fed_graphs, graphs, inserted

from nasdepth.architecture.canonical import canonical
from nasdepth.architecture.families import family
from nasdepth.architecture.graph import Graph, GraphBuilder, Node
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import (
    Activation,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    GroupNorm,
    Linear,
    Pool,
    Zeros,
)
from nasdepth.architecture.spec import Architecture, Head, Stage, Stem
from nasdepth.measures.depth import (
    DEFAULT,
    DepthConvention,
    attenuated_depth,
    nominal_depth,
    path_count,
    path_counts,
    path_statistics,
    path_weights,
    weighted_layers,
)
from nasdepth.measures.structure import Structure, Undefined

ALL = DepthConvention(projections=True)
BODY = DepthConvention(classifier=False)
MAP = (2, 4, 4)
WITHOUT_WEIGHT = [Activation("relu"), BatchNorm(), GroupNorm(1), Dropout(0.5)]

with (Path(__file__).parents[1] / "golden" / "depth.csv").open() as file:
    PUBLISHED = list(csv.DictReader(line for line in file if line[0] != "#"))


def law_of(graph: Graph) -> dict[int, int]:
    return oracles.path_weights(graph, [int(n.op.transforms) for n in graph.nodes])


# --- against enumeration


@given(fed_graphs())
def test_statistics_are_those_of_all_paths(graph: Graph) -> None:
    law = law_of(graph)
    mean, variance, bits = oracles.moments(law)

    found = path_statistics(Structure(graph), ALL)

    assert (found.shortest, found.longest) == (min(law), max(law))
    assert found.mean == pytest.approx(float(mean))
    assert found.variance == pytest.approx(float(variance), abs=1e-9)
    assert found.log2_count == pytest.approx(bits, abs=1e-9)


@given(fed_graphs())
def test_distribution_is_that_of_all_paths(graph: Graph) -> None:
    assert path_counts(Structure(graph), ALL) == law_of(graph)


@given(graphs())
def test_count_is_that_of_all_paths(graph: Graph) -> None:
    assert path_count(graph) == len(oracles.paths(graph))


@given(fed_graphs())
def test_merge_depth_is_that_of_all_walks_back_from_the_output(graph: Graph) -> None:
    form = canonical(graph)
    walks = oracles.merge_depth(form, [int(n.op.transforms) for n in form.nodes])

    assert path_statistics(Structure(graph), ALL).merge == pytest.approx(float(walks))


@given(fed_graphs(), st.fractions(Fraction(1, 1000), 1))
def test_attenuated_depth_is_the_tilted_mean_of_all_paths(
    graph: Graph, attenuation: Fraction
) -> None:
    expected = oracles.attenuated(law_of(graph), attenuation)

    found = attenuated_depth(Structure(graph), float(attenuation), ALL)

    assert found == pytest.approx(float(expected))


@given(fed_graphs())
def test_attenuation_goes_from_the_shortest_path_to_the_mean(graph: Graph) -> None:
    structure = Structure(graph)
    found = path_statistics(structure)

    assert attenuated_depth(structure, 1.0) == pytest.approx(found.mean)
    assert attenuated_depth(structure, 1e-9) == pytest.approx(found.shortest, abs=1e-3)


@given(graphs())
def test_weighted_layers_are_those_on_any_path(graph: Graph) -> None:
    on_paths = {i for path in oracles.paths(graph) for i in path}

    found = weighted_layers(Structure(graph))

    assert found == sum(graph.nodes[i].op.transforms for i in on_paths)


@given(fed_graphs())
def test_weights_are_those_of_the_named_options(graph: Graph) -> None:
    structure = Structure(graph)
    nodes = structure.graph.nodes
    pools = sum(type(n.op).__name__ in ("Pool", "AdaptivePool") for n in nodes)
    linear = any(isinstance(n.op, Linear) for n in nodes)

    base = sum(path_weights(structure, ALL))

    counted = DepthConvention(projections=True, pooling=True)
    headless = DepthConvention(projections=True, classifier=False)
    assert base == weighted_layers(structure)
    assert sum(path_weights(structure, counted)) == base + pools
    assert sum(path_weights(structure, headless)) == base - linear
    assert sum(path_weights(structure, DEFAULT)) == base - len(structure.projections)


# --- what must not change, and how


@given(fed_graphs(), st.sampled_from(WITHOUT_WEIGHT), st.data())
def test_an_operation_without_weight_changes_no_path_measure(
    graph: Graph, op: object, data: st.DataObject
) -> None:
    form = canonical(graph)
    assume(len(form.nodes) > 1)
    place = data.draw(st.sampled_from(edges(form)))
    assume(len(form.shapes()[form.nodes[place[0]].inputs[place[1]]]) == 3)

    longer = inserted(form, op, *place)

    before, after = Structure(form), Structure(longer)
    assert path_statistics(after) == path_statistics(before)
    assert path_counts(after) == path_counts(before)
    assert attenuated_depth(after, 0.5) == attenuated_depth(before, 0.5)
    assert weighted_layers(after) == weighted_layers(before)
    assert nominal_depth(after) == nominal_depth(before)


@given(fed_graphs(), st.data())
def test_a_skip_never_lengthens_the_shortest_path(
    graph: Graph, data: st.DataObject
) -> None:
    shapes = graph.shapes()
    ends = [
        (start, end)
        for end in range(len(shapes))
        for start in range(end)
        if shapes[start] == shapes[end]
    ]
    assume(ends)
    start, end = data.draw(st.sampled_from(ends))
    nodes = [*graph.nodes[: end + 1], Node(Add(), (end, start), "skip")]
    for node in graph.nodes[end + 1 :]:
        moved = (i + (i >= end) for i in node.inputs)
        nodes.append(Node(node.op, tuple(moved), node.scope))

    found = path_statistics(Structure(Graph(tuple(nodes))), ALL).shortest

    assert found <= path_statistics(Structure(graph), ALL).shortest


@given(fed_graphs(heads=False), st.data())
def test_statistics_add_over_networks_in_series(
    graph: Graph, data: st.DataObject
) -> None:
    channels = graph.shapes()[-1][0]
    other = data.draw(fed_graphs(channels=channels))
    nodes = [*graph.nodes, Node(Activation("relu"), (len(graph.nodes) - 1,), "between")]
    offset = len(graph.nodes)
    for node in other.nodes[1:]:
        moved = (i + offset for i in node.inputs)
        nodes.append(Node(node.op, tuple(moved), f"other.{node.scope}"))
    parts = [path_statistics(Structure(g), ALL) for g in (graph, other)]

    whole = path_statistics(Structure(Graph(tuple(nodes))), ALL)

    total = parts[0] + parts[1]
    assert (whole.shortest, whole.longest) == (total.shortest, total.longest)
    for name in ("mean", "variance", "merge", "log2_count"):
        assert getattr(whole, name) == pytest.approx(getattr(total, name), abs=1e-9)


@given(st.integers(0, 12))
def test_a_chain_has_one_depth(layers: int) -> None:
    builder = GraphBuilder(MAP)
    x = 0
    for _ in range(layers):
        x = builder.emit(Activation("relu"), builder.emit(Conv(2), x))

    found = path_statistics(Structure(builder.graph()))

    assert found.shortest == found.longest == found.mean == found.merge == layers
    assert found.variance == found.log2_count == 0


# --- worked graphs and laws


def dense_block(layers: int) -> Graph:
    """One convolution a layer, which reads the input and all layers before."""
    builder = GraphBuilder(MAP)
    features = [0]
    for _ in range(layers):
        seen = builder.emit(Concat(), *features) if len(features) > 1 else 0
        features.append(builder.emit(Conv(1), seen))
    builder.emit(Concat(), *features)
    return builder.graph()


def test_dense_block_of_three_layers() -> None:
    structure = Structure(dense_block(3))

    found = path_statistics(structure)

    assert path_counts(structure) == {0: 1, 1: 3, 2: 3, 3: 1}
    assert found.mean == pytest.approx(3 / 2)
    assert found.variance == pytest.approx(3 / 4)
    assert found.merge == pytest.approx(13 / 12)
    assert found.log2_count == pytest.approx(3)


def test_chain_of_four_nodes_with_two_shortcuts() -> None:
    # 0 -> 1 -> 2 -> 3 with 0 -> 3 and 1 -> 3, the inner nodes weighing 1
    builder = GraphBuilder(MAP)
    first = builder.emit(Conv(2), 0)
    second = builder.emit(Conv(2), first)
    builder.emit(Add(), second, 0, first)

    found = path_statistics(Structure(builder.graph()))

    assert path_count(builder.graph()) == 3
    assert (found.mean, found.merge) == pytest.approx((1, 1))
    assert found.variance == pytest.approx(2 / 3)


def one_stage(stage: Stage, side: int = 8) -> Structure:
    """A stage without stem, on as many channels as it has."""
    shape = (stage.width, side, side)
    return Structure(lower(Architecture((stage,), input_shape=shape, norm="none")))


@pytest.mark.parametrize(
    ("stage", "convs"),
    [
        (Stage(depth=5, width=8, skip="add"), 1),
        (Stage(depth=5, width=8, skip="add", span=2), 2),
        (Stage("bottleneck", 5, 8, skip="add"), 3),
        (Stage("inverted", 5, 8, skip="add"), 3),
    ],
)
def test_a_residual_chain_has_a_binomial_law(stage: Stage, convs: int) -> None:
    law = {convs * k: comb(5, k) for k in range(6)}
    structure = one_stage(stage)

    assert path_counts(structure, BODY) == law
    assert path_statistics(structure, BODY).merge == pytest.approx(5 * convs / 2)


@pytest.mark.parametrize(("block", "convs"), [("conv", 1), ("bottleneck", 2)])
@pytest.mark.parametrize("layers", [1, 2, 7])
def test_a_dense_block_has_a_binomial_law_but_a_harmonic_merge_depth(
    block: str, convs: int, layers: int
) -> None:
    stage = Stage(block, layers, 8, skip="concat", links="all")
    harmonic = sum(1 / n for n in range(1, layers + 2))

    structure = one_stage(stage)

    law = {convs * k: comb(layers, k) for k in range(layers + 1)}
    assert path_counts(structure, BODY) == law
    merge = path_statistics(structure, BODY).merge
    assert merge == pytest.approx(convs * (harmonic - 1))


def test_share_of_effective_paths_of_veit() -> None:
    # Veit et al. 2016: 0.45 % of the paths of 54 blocks have 5 to 17 modules
    counts = path_counts(one_stage(Stage(depth=54, width=8, skip="add")), BODY)

    share = Fraction(sum(counts[k] for k in range(5, 18)), sum(counts.values()))

    assert float(share) == 0.004536670150778743


def running_dense_block(layers: int) -> Graph:
    """The same paths with few edges: each concat adds one layer to the last one."""
    builder = GraphBuilder((1, 2, 2))
    seen = 0
    for _ in range(layers):
        seen = builder.emit(Concat(), seen, builder.emit(Conv(1), seen))
    return builder.graph()


def test_both_ways_to_write_a_dense_block_have_the_same_paths() -> None:
    counts = [path_counts(Structure(f(9))) for f in (dense_block, running_dense_block)]

    assert counts[0] == counts[1] == {k: comb(9, k) for k in range(10)}


def test_a_dense_block_of_1500_layers_does_not_overflow() -> None:
    graph = running_dense_block(1500)

    found = path_statistics(Structure(graph))

    assert found.mean == pytest.approx(750)
    assert found.variance == pytest.approx(375)
    assert found.log2_count == pytest.approx(1500)
    assert path_count(graph) == 2**1500


def test_a_residual_chain_of_1500_layers_does_not_overflow() -> None:
    structure = one_stage(Stage(depth=1500, width=8, skip="add"), side=2)

    found = path_statistics(structure, BODY)

    assert found.mean == pytest.approx(750)
    assert found.log2_count == pytest.approx(1500)
    assert attenuated_depth(structure, 0.5, BODY) == pytest.approx(500)


def test_attenuated_depth_of_a_residual_chain_is_its_closed_form() -> None:
    # every block counts 1 around and a through: the mean is L a / (1 + a)
    structure = one_stage(Stage(depth=10, width=8, skip="add"))

    assert attenuated_depth(structure, 0.25, BODY) == pytest.approx(10 * 0.25 / 1.25)


# --- partial parallelisation

TABLE = [  # L = 32: p, longest, midrange, Deff = merge, sd, log2 paths
    (1, 32, 16, 16, 2.828, 32),
    (2, 16, 8, 10.667, 1.886, 25.36),
    (4, 8, 4, 6.4, 1.131, 18.58),
    (8, 4, 2, 3.556, 0.629, 12.68),
    (16, 2, 1, 1.882, 0.333, 8.17),
    (32, 1, 0.5, 0.970, 0.171, 5.04),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"p{row[0]}")
def test_partial_parallelisation_of_32_layers(row: tuple[float, ...]) -> None:
    p, longest, midrange, mean, sd, bits = row
    stage = Stage(depth=32, width=8, branches=int(p), skip="add")

    found = path_statistics(one_stage(stage), BODY)

    assert found.longest == longest
    assert (found.shortest + found.longest) / 2 == midrange
    assert (found.mean, found.merge) == pytest.approx((mean, mean), abs=5e-4)
    assert found.variance**0.5 == pytest.approx(sd, abs=5e-4)
    assert found.log2_count == pytest.approx(bits, abs=5e-3)


@given(st.integers(1, 12), st.data())
def test_groups_of_any_size_hold_all_layers_once(
    layers: int, data: st.DataObject
) -> None:
    p = data.draw(st.integers(1, layers))
    sizes = [p] * (layers // p) + [layers % p] * (layers % p > 0)
    stage = Stage(depth=layers, width=8, branches=p, skip="add")
    structure = one_stage(stage)

    found = path_statistics(structure, BODY)

    assert weighted_layers(structure) == layers + 1
    assert found.longest == len(sizes)
    assert found.mean == pytest.approx(sum(n / (n + 1) for n in sizes))
    assert found.merge == pytest.approx(found.mean)
    assert found.variance == pytest.approx(sum(n / (n + 1) ** 2 for n in sizes))
    assert found.log2_count == pytest.approx(log2(prod(n + 1 for n in sizes)))


def test_a_transition_is_one_convolution_whatever_the_groups() -> None:
    found = {
        weighted_layers(
            Structure(
                lower(
                    Architecture(
                        (Stage(depth=6, width=8, branches=p, skip="add", stride=2),),
                        Stem(4),
                    )
                )
            )
        )
        for p in (1, 2, 4, 6)
    }

    assert found == {1 + 1 + 6 + 1}


# --- published networks


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["network"])
def test_depths_of_published_networks(row: dict[str, str]) -> None:
    structure = Structure(lower(family(row["network"])))
    found = path_statistics(structure)
    counted = path_statistics(structure, ALL)

    assert weighted_layers(structure) == int(row["weighted_layers"])
    assert len(structure.projections) == int(row["projections"])
    assert nominal_depth(structure) == int(row["nominal_depth"])
    assert found.shortest == int(row["shortest_path"])
    assert found.mean == pytest.approx(float(row["effective_depth"]))
    midrange = (found.shortest + found.longest) / 2
    assert midrange == float(row["midrange_depth"])
    assert found.merge == pytest.approx(float(row["merge_depth"]))
    assert path_count(structure.source) == int(row["path_count"])
    expected = float(row["effective_depth_counting_projections"])
    assert counted.mean == pytest.approx(expected)
    assert counted.shortest == int(row["shortest_counting_projections"])


@pytest.mark.parametrize(
    ("name", "sd", "bits"),
    [
        ("vgg16", 0, 0),
        ("resnet18", 2.828, 8),
        ("resnet34", 4, 16),
        ("resnet50", 6, 16),
        ("resnet101", 8.617, 33),
        ("resnet152", 10.607, 50),
        ("googlenet", 1.5, 18),
        ("densenet121", 7.616, 58),
        ("mobilenet_v2", 4.743, 10),
    ],
)
def test_spread_and_number_of_paths(name: str, sd: float, bits: float) -> None:
    found = path_statistics(Structure(lower(family(name))))

    assert found.variance**0.5 == pytest.approx(sd, abs=5e-4)
    assert found.log2_count == pytest.approx(bits)


def test_googlenet_with_pooling_counted() -> None:
    # four max-poolings, one global pooling; a pooled branch weighs 2
    convention = DepthConvention(pooling=True)
    found = path_statistics(Structure(lower(family("googlenet"))), convention)

    assert (found.shortest + found.longest) / 2 == 22.5
    assert found.mean == pytest.approx(24.75)


def test_nominal_depth_leaves_projections_out_whatever_the_convention() -> None:
    structure = Structure(lower(family("resnet18")))

    assert nominal_depth(structure) == 18
    assert path_statistics(structure, ALL).longest == 18
    assert path_statistics(structure, ALL).shortest == 5


def test_only_the_last_linear_layer_is_the_classifier() -> None:
    mlp = Structure(lower(family("nn_mass_mlp:5:8:0")))

    weights = path_weights(mlp, BODY)

    linear = [i for i, n in enumerate(mlp.graph.nodes) if isinstance(n.op, Linear)]
    assert [weights[i] for i in linear] == [1, 1, 1, 1, 0]
    assert path_statistics(mlp).longest == 5
    assert path_statistics(mlp, BODY).longest == 4


def test_without_a_linear_layer_there_is_no_classifier() -> None:
    builder = GraphBuilder(MAP)
    builder.emit(Conv(2), 0)

    assert path_statistics(Structure(builder.graph()), BODY).longest == 1


def test_pooling_weighs_nothing_unless_asked_for() -> None:
    builder = GraphBuilder(MAP)
    builder.emit(Pool("avg", 2, 2), 0)
    structure = Structure(builder.graph())

    assert path_statistics(structure).longest == 0
    assert path_statistics(structure, DepthConvention(pooling=True)).longest == 1


# --- no path, bad arguments


def without_path() -> Structure:
    builder = GraphBuilder(MAP)
    builder.emit(Conv(3), builder.emit(Zeros(MAP)))
    return Structure(builder.graph())


@pytest.mark.parametrize(
    "measure",
    [path_statistics, path_counts, nominal_depth, lambda s: attenuated_depth(s, 0.5)],
)
def test_without_a_path_there_is_no_depth(measure: object) -> None:
    with pytest.raises(Undefined, match="No path leads from input to output"):
        measure(without_path())


def test_without_a_path_nothing_is_counted() -> None:
    structure = without_path()

    assert weighted_layers(structure) == 0
    assert path_count(structure.source) == 0


@pytest.mark.parametrize("attenuation", [0, -0.5, 1.5, float("nan")])
def test_attenuation_out_of_range_is_an_error(attenuation: float) -> None:
    structure = Structure(dense_block(2))

    with pytest.raises(ValueError, match=r"attenuation must be in \(0, 1\], but got"):
        attenuated_depth(structure, attenuation)


def test_head_and_stem_count_as_layers() -> None:
    plain = Architecture((Stage(depth=2),), Stem(8), Head(hidden=(4,), features=8))

    assert weighted_layers(Structure(lower(plain))) == 1 + 2 + 1 + 1 + 1
