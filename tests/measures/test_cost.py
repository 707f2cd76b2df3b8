"""Costs: published figures, a brute-force memory count, receptive fields."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fed_graphs, graphs

from nasdepth.architecture.families import MOBILENET_V2, family, mobilenet_v2
from nasdepth.architecture.graph import Graph, GraphBuilder
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    Linear,
    Pool,
    Zeros,
)
from nasdepth.architecture.spec import Architecture, Stage, Stem
from nasdepth.measures.cost import (
    activations,
    live_params,
    macs,
    params,
    peak_memory,
    receptive_field,
)
from nasdepth.measures.structure import Structure

GOLDEN = Path(__file__).parents[1] / "golden" / "references.json"
REFERENCES = json.loads(GOLDEN.read_text())["networks"]


@pytest.mark.parametrize("name", REFERENCES)
def test_published_parameters_and_macs(name: str) -> None:
    published = REFERENCES[name]

    graph = lower(family(name))

    assert params(graph) == published["params"]
    assert round(macs(Structure(graph)) / 1e9, 3) == published["gmacs"]


def test_mobilenet_of_equal_mass_needs_28_percent_fewer_macs() -> None:
    # Bhardwaj et al. 2021: deeper and narrower at equal NN-Mass
    settings = tuple(
        (t, c, n + (c in (24, 32, 64, 96)) + (c == 16), s)
        for t, c, n, s in MOBILENET_V2
    )
    narrow = lower(mobilenet_v2(1.1, settings))
    wide = lower(family("mobilenet_v2:1.4"))

    assert settings[0] == (1, 16, 2, 1)
    assert (params(narrow), params(wide)) == (4_304_504, 6_108_776)
    ratio = macs(Structure(narrow)) / macs(Structure(wide))
    assert ratio == pytest.approx(0.72, abs=0.005)


# --- by hand


def test_costs_of_a_network_worked_by_hand() -> None:
    builder = GraphBuilder((2, 4, 4))
    x = builder.emit(Conv(6, 3, stride=2, groups=2, bias=True), 0)
    x = builder.emit(Activation("relu"), builder.emit(BatchNorm(), x))
    x = builder.emit(Flatten(), builder.emit(AdaptivePool(), x))
    builder.emit(Linear(5), x)
    structure = Structure(builder.graph())

    assert params(structure.source) == 6 * (1 * 9 + 1) + 2 * 6 + 5 * (6 + 1)
    assert macs(structure) == (6 * 2 * 2) * (1 * 9) + 5 * 6
    assert activations(structure) == 6 * 2 * 2 + 5
    assert receptive_field(structure) == 3


@given(graphs())
def test_live_parameters_are_those_on_a_path(graph: Graph) -> None:
    structure = Structure(graph)

    live = live_params(structure)

    assert live == params(structure.graph)
    assert live <= params(graph)


def test_dead_layers_cost_parameters_only() -> None:
    builder = GraphBuilder((2, 4, 4))
    builder.emit(Conv(5), 0)
    builder.emit(Conv(3), 0)
    structure = Structure(builder.graph())

    assert params(structure.source) == 8 * 2 * 9
    assert live_params(structure) == 3 * 2 * 9
    assert macs(structure) == 16 * 3 * 2 * 9
    assert activations(structure) == 16 * 3


def test_without_a_path_nothing_is_spent() -> None:
    builder = GraphBuilder((2, 4, 4))
    builder.emit(Conv(3), builder.emit(Zeros((2, 4, 4))))
    structure = Structure(builder.graph())

    assert live_params(structure) == macs(structure) == activations(structure) == 0


# --- memory


def slow_peak(graph: Graph) -> int:
    """Bytes at the worst moment, asking of each map at each moment whether it lives."""
    shapes = graph.shapes()
    last = {}
    for index in reversed(range(len(graph.nodes))):
        readers = [r for r, n in enumerate(graph.nodes) if index in n.inputs]
        ends = [r for r in readers if not isinstance(graph.nodes[r].op, Flatten)]
        views = [last[r] for r in readers if isinstance(graph.nodes[r].op, Flatten)]
        last[index] = max([index, *ends, *views])
    held = {}
    for index, node in enumerate(graph.nodes):
        size = 1
        for side in shapes[index]:
            size *= side
        held[index] = 0 if isinstance(node.op, Flatten) else 4 * size
    moments = range(len(graph.nodes))
    return max(sum(held[i] for i in moments if i <= t <= last[i]) for t in moments)


@given(fed_graphs())
def test_peak_memory_is_that_of_the_worst_moment(graph: Graph) -> None:
    structure = Structure(graph)

    assert peak_memory(structure) == slow_peak(structure.graph)


def test_a_skip_holds_its_map() -> None:
    def peak(*, skip: bool) -> int:
        builder = GraphBuilder((2, 4, 4))
        x = builder.emit(Conv(2), builder.emit(Conv(2), 0))
        builder.emit(*((Add(), x, 0) if skip else (Activation("relu"), x)))
        return peak_memory(Structure(builder.graph()))

    assert (peak(skip=False), peak(skip=True)) == (2 * 32 * 4, 3 * 32 * 4)


def test_a_flattened_map_lives_until_the_vector_is_read() -> None:
    builder = GraphBuilder((3, 2, 2))
    builder.emit(Linear(100), builder.emit(Flatten(), 0))

    assert peak_memory(Structure(builder.graph())) == 4 * (12 + 100)


# --- receptive field


@given(
    st.integers(1, 8),
    st.sampled_from([1, 3, 5]),
    st.sampled_from(["sequential", "parallel"]),
)
def test_receptive_field_of_stacks(layers: int, kernel: int, form: str) -> None:
    p = layers if form == "parallel" else 1
    stage = Stage(depth=layers, width=8, branches=p, skip="add", kernel=kernel)
    stack = Architecture((stage,), input_shape=(8, 8, 8))

    found = receptive_field(Structure(lower(stack)))

    once = 1 if form == "parallel" else layers
    assert found == once * (kernel - 1) + 1


def test_strides_widen_what_later_windows_see() -> None:
    builder = GraphBuilder((3, 32, 32))
    x = builder.emit(Conv(4, 7, stride=2, padding=3), 0)  # 7, jump 2
    x = builder.emit(Pool("max", 3, 2, 1), x)  # 11, jump 4
    builder.emit(Conv(4), x)  # 19

    assert receptive_field(Structure(builder.graph())) == 19


def test_the_widest_arm_decides() -> None:
    builder = GraphBuilder((3, 8, 8))
    narrow, wide = (
        builder.emit(Conv(3, 1, padding=0), 0),
        builder.emit(Conv(3, 5, padding=2), 0),
    )
    builder.emit(Concat(), narrow, builder.emit(Pool("max", 3, 1, 1), wide))

    assert receptive_field(Structure(builder.graph())) == 7


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("vgg16", 212), ("alexnet", 195)],
)
def test_receptive_fields_of_published_networks(name: str, pixels: int) -> None:
    # Araujo et al. 2019, table 1 (its ResNets stride elsewhere than torchvision's)
    assert receptive_field(Structure(lower(family(name)))) == pixels


def test_a_stem_adds_its_window() -> None:
    stage = Stage(depth=2, width=8)
    bare, stemmed = Architecture((stage,)), Architecture((stage,), Stem(8, kernel=5))

    fields = [receptive_field(Structure(lower(a))) for a in (bare, stemmed)]

    assert fields == [5, 9]


def test_what_follows_a_pooling_to_a_grid_is_left_out() -> None:
    builder = GraphBuilder((3, 16, 16))
    x = builder.emit(AdaptivePool(4), builder.emit(Conv(4), 0))
    builder.emit(Conv(4), x)

    assert receptive_field(Structure(builder.graph())) == 3


def test_without_a_path_nothing_is_seen() -> None:
    builder = GraphBuilder((3, 8, 8))
    builder.emit(Conv(4), builder.emit(Zeros((3, 8, 8))))

    assert receptive_field(Structure(builder.graph())) == 0
