"""NN-Mass: closed form against graph, authors' figures, what has no mass."""

import csv
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasdepth.architecture.families import family, mobilenet_v2, nn_mass_cnn
from nasdepth.architecture.graph import Graph, GraphBuilder
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Activation, Add, Concat, Conv, Linear, Op, Select
from nasdepth.architecture.spec import Architecture, Stage, Stem
from nasdepth.measures.cost import params
from nasdepth.measures.mass import (
    Mass,
    cell_density,
    cell_mass,
    links_for_mass,
    nn_mass,
)
from nasdepth.measures.structure import Structure, Undefined

with (Path(__file__).parents[1] / "golden" / "nn_mass.csv").open() as file:
    AUTHORS = list(csv.DictReader(line for line in file if line[0] != "#"))
MLPS = [row for row in AUTHORS if row["family"].startswith("MLP")]
CNNS = [row for row in AUTHORS if row["family"].startswith("CNN")]
MOBILE = [row for row in AUTHORS if row["family"] == "MobileNetV2"]
RESNETS = [row for row in AUTHORS if row["family"] == "ResNet-type"]


def mass_of(architecture: Architecture) -> Mass:
    return nn_mass(Structure(lower(architecture)))


def of_row(rows: list[dict[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=lambda row: row["nn_mass"])


# --- the authors' figures


@of_row(MLPS)
def test_mlps_of_the_authors(row: dict[str, str]) -> None:
    depth, width = int(row["depth_or_celldepth"]), int(row["width_or_wm"])
    links, inputs = int(row["tc"]), int(row["input_dims"])
    classes = row["num_classes"]

    mlp = family(f"nn_mass_mlp:{depth}:{width}:{links}:{inputs}:{classes}")

    assert cell_density(width, depth, links) == pytest.approx(float(row["nn_density"]))
    assert mass_of(mlp).mass == pytest.approx(float(row["nn_mass"]))
    assert params(lower(mlp)) == int(row["params"])


@of_row(CNNS)
def test_cnns_of_the_authors(row: dict[str, str]) -> None:
    depth, multiplier = int(row["depth_or_celldepth"]), int(row["width_or_wm"])
    first, second, third = map(int, row["tc"].split())
    block = "depthwise" if "depth_wise" in row["family"] else "conv"

    cnn = nn_mass_cnn(
        depth,
        multiplier,
        (first, second, third),
        block=block,
        classes=int(row["num_classes"]),
    )

    densities = [
        cell_density(16 * multiplier * 2**i, depth, links)
        for i, links in enumerate((first, second, third))
    ]
    assert densities == pytest.approx([float(x) for x in row["nn_density"].split()])
    found = mass_of(cnn)
    assert (found.mass, found.cells) == pytest.approx((float(row["nn_mass"]), 3))
    assert params(lower(cnn)) == int(row["params"])


@of_row(MOBILE)
def test_mobilenets_of_the_authors(row: dict[str, str]) -> None:
    settings = row["block_setting"]
    multiplier = float(row["width_or_wm"])
    mobile = (
        mobilenet_v2(multiplier)
        if settings == "torchvision default"
        else mobilenet_v2(multiplier, tuple(map(tuple, json.loads(settings))))
    )

    assert mass_of(mobile).mass == float(row["nn_mass"])
    assert params(lower(mobile)) == int(row["params"])


@of_row(RESNETS)
def test_resnets_of_the_authors(row: dict[str, str]) -> None:
    resnet = family(row["block_setting"])

    assert mass_of(resnet).mass == pytest.approx(float(row["nn_mass"]))
    assert params(lower(resnet)) == int(row["params"])


@pytest.mark.parametrize(
    ("name", "mass", "cells"), [("resnet18", 3392, 8), ("resnet50", 9006.9333, 16)]
)
def test_masses_of_two_resnets(name: str, mass: float, cells: int) -> None:
    found = mass_of(family(name))

    assert (found.mass, found.cells) == pytest.approx((mass, cells))


# --- by hand


def test_mlp_with_one_link_by_hand() -> None:
    # 14 layers of 2 ... 15 draw one channel each: rho = 2 * 14 / (8 * 15 * 14) = 1/60
    assert cell_density(8, 16, 1) == pytest.approx(1 / 60)
    assert cell_mass(8, 16, 1) == pytest.approx(8 * 16 / 60)
    assert round(cell_mass(8, 16, 1), 4) == 2.1333
    assert params(lower(family("nn_mass_mlp:16:8:1"))) == 7492


def test_mlp_with_saturated_first_layers_by_hand() -> None:
    # w 8, d 24, t 100: layers 2 ... 13 draw all 8 (l - 1), layers 14 ... 23 draw 100
    drawn = sum(8 * n for n in range(1, 13)) + 10 * 100

    assert cell_density(8, 24, 100) == pytest.approx(2 * drawn / (8 * 23 * 22))
    assert round(cell_mass(8, 24, 100), 4) == 154.0553


def test_three_cells_by_hand() -> None:
    cells = [(32, 40), (64, 80), (128, 125)]

    total = sum(cell_mass(width, 13, links) for width, links in cells)

    assert round(total, 4) == 526.1061


# --- closed forms

WIDTHS, DEPTHS, LINKS = st.integers(1, 40), st.integers(3, 30), st.integers(0, 200)


@given(WIDTHS, DEPTHS, LINKS)
def test_mass_is_its_closed_form(width: int, depth: int, links: int) -> None:
    q = min(links // width, depth - 2)
    rest = Fraction(width * q * (q + 1), 2) + (depth - 2 - q) * links
    closed = Fraction(2 * depth, (depth - 1) * (depth - 2)) * rest

    assert cell_mass(width, depth, links) == pytest.approx(float(closed))


@given(WIDTHS, DEPTHS, LINKS)
def test_density_is_a_share(width: int, depth: int, links: int) -> None:
    density = cell_density(width, depth, links)

    assert 0 <= density <= 1
    assert (density == 1) == (links >= width * (depth - 2))


@given(WIDTHS, DEPTHS, st.data())
def test_links_for_mass_inverts_the_mass(
    width: int, depth: int, data: st.DataObject
) -> None:
    links = data.draw(st.integers(0, width))

    mass = cell_mass(width, depth, links)

    assert mass == pytest.approx(2 * depth * links / (depth - 1))
    assert links_for_mass(mass, depth) == pytest.approx(links)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_shallow_cell_has_no_density_and_mass_zero(depth: int) -> None:
    assert cell_mass(8, depth, 5) == 0
    with pytest.raises(Undefined, match=f"needs 3 layers .* but got depth={depth}"):
        cell_density(8, depth, 5)


# --- the graph agrees

BLOCKS = st.sampled_from(["conv", "bottleneck", "depthwise"])


@st.composite
def cells(draw: st.DrawFn, **fixed: int) -> Stage:
    return Stage(
        draw(BLOCKS),
        fixed.get("depth") or draw(st.integers(3, 7)),
        draw(st.sampled_from([4, 8, 16])),
        skip="concat",
        links=draw(st.integers(1, 60)),
        stride=draw(st.sampled_from([1, 2])),
    )


@given(
    st.lists(cells(), min_size=1, max_size=3),
    st.sampled_from(["batch", "none"]),
    st.sampled_from([None, Stem(4)]),
)
def test_masses_of_cells_in_a_row_are_found_in_the_graph(
    stages: list[Stage], norm: str, stem: Stem | None
) -> None:
    expected = sum(cell_mass(s.width, s.depth, int(s.links)) for s in stages)

    found = mass_of(Architecture(tuple(stages), stem, norm=norm))

    assert found.mass == pytest.approx(expected)
    assert found.cells == len(stages)


@given(st.integers(3, 12), st.integers(1, 12), st.integers(1, 60))
def test_mass_of_an_mlp_is_found_in_the_graph(
    depth: int, width: int, links: int
) -> None:
    found = mass_of(family(f"nn_mass_mlp:{depth}:{width}:{links}:5:3"))

    assert found.mass == pytest.approx(cell_mass(width, depth, links))
    assert found.cells == 1


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("block", ["conv", "bottleneck"])
def test_dense_blocks_are_saturated_cells(block: str, stride: int) -> None:
    dense = [
        Stage(block, depth, 8, skip="concat", links="all", stride=stride)
        for depth in (3, 5)
    ]

    found = mass_of(Architecture(tuple(dense), Stem(16)))

    assert found == Mass(8 * 3 + 8 * 5, 2)
    assert cell_mass(8, 5, 10**6) == 8 * 5


def test_densenet_has_a_cell_a_block() -> None:
    assert mass_of(family("densenet121")) == Mass(32 * (6 + 12 + 24 + 16), 4)


@pytest.mark.parametrize("depth", [1, 2])
def test_shallow_dense_blocks_and_cells_count_nothing(depth: int) -> None:
    dense = Stage(depth=depth, width=8, skip="concat", links="all")
    cell = Stage(depth=depth, width=8, skip="concat", links=5)

    assert mass_of(Architecture((dense,), Stem(8))) == Mass(0, 0)
    assert mass_of(Architecture((cell,), Stem(8))) == Mass(0, 0)


@pytest.mark.parametrize(
    "name", ["vgg16", "alexnet", "googlenet", "stack:8:1", "stack:8:4", "stack:8:8"]
)
def test_networks_without_cells_have_mass_zero(name: str) -> None:
    assert mass_of(family(name)) == Mass(0, 0)


def test_a_mixed_network_sums_over_what_is_defined() -> None:
    stages = (
        Stage(depth=2, width=8),
        Stage(depth=2, width=8, skip="add", span=2),
        Stage("inception", 1, 16, branches=3),
        Stage(depth=4, width=8, skip="concat", links=3),
    )

    found = mass_of(Architecture(stages))

    assert found.cells == 3
    assert found.mass == pytest.approx(2 * (8 + 8) + cell_mass(8, 4, 3))


# --- residual forms


def block(width: int, *body: Op, shortcut: tuple[Op, ...] = ()) -> Structure:
    builder = GraphBuilder((width, 8, 8))
    arms = []
    for ops in (body, shortcut):
        x = 0
        for op in ops:
            x = builder.emit(Activation("relu"), builder.emit(op, x))
        arms.append(x)
    builder.emit(Add(), *arms)
    return Structure(builder.graph())


def point(channels: int) -> Conv:
    return Conv(channels, 1, padding=0)


def depthwise(channels: int, *, stride: int = 1) -> Conv:
    return Conv(channels, 3, stride, groups=channels)


@pytest.mark.parametrize(
    ("structure", "mass"),
    [
        (block(4, Conv(6), Conv(4)), 4 + 6),
        (block(4, Conv(6), Conv(8), shortcut=(point(8),)), 4 + 6),
        (block(4, Conv(4, groups=4), Conv(4, groups=4)), 4 + 4),
        (block(4, point(2), Conv(2), point(4)), 4 * (4 + 4) / (8 + 2)),
        (
            block(4, point(2), Conv(2, stride=2), point(8), shortcut=(Conv(8, 3, 2),)),
            4 * (4 + 4) / (8 + 2),
        ),
        (block(4, point(8), depthwise(8), point(4)), 4 * (4 + 16) / (8 + 8)),
        (block(4, depthwise(4), point(4)), 4),
    ],
)
def test_residual_blocks_by_hand(structure: Structure, mass: float) -> None:
    assert nn_mass(structure) == Mass(pytest.approx(mass), 1)


@pytest.mark.parametrize(
    "structure",
    [
        block(4, Conv(4)),
        block(4, point(6), point(4)),
        block(4, Conv(6), Conv(6), Conv(4)),
        block(4, Conv(6), Conv(6), point(4)),
        block(4, Conv(6), Conv(6), Conv(6), Conv(4)),
        block(4, point(8), depthwise(8), point(6), shortcut=(point(6),)),
    ],
)
def test_other_residual_blocks_have_no_mass(structure: Structure) -> None:
    assert nn_mass(structure) == Mass(0, 0)


def test_linear_layers_around_a_skip_have_no_mass() -> None:
    builder = GraphBuilder((4,))
    x = builder.emit(Linear(4), builder.emit(Linear(6), 0))
    builder.emit(Add(), x, 0)

    assert nn_mass(Structure(builder.graph())) == Mass(0, 0)


def test_arms_of_different_origin_are_no_block() -> None:
    builder = GraphBuilder((4, 8, 8))
    fork = builder.emit(Activation("relu"), 0)
    body = builder.emit(Conv(4), builder.emit(Conv(4), fork))
    after = builder.emit(Conv(4), builder.emit(Add(), body, 0))
    builder.emit(Add(), after, builder.emit(Conv(4), fork))

    assert nn_mass(Structure(builder.graph())) == Mass(0, 0)


# --- concatenations without a mass


def joined(emit: Callable[[GraphBuilder], object]) -> Graph:
    builder = GraphBuilder((4, 8, 8))
    emit(builder)
    return builder.graph()


def two_origins(builder: GraphBuilder) -> None:
    first = builder.emit(Conv(4), 0)
    second = builder.emit(Conv(4), first)
    third = builder.emit(Conv(4), second)
    builder.emit(Concat(), third, first, 0)


def unequal_growth(builder: GraphBuilder) -> None:
    first = builder.emit(Conv(4), 0)
    second = builder.emit(Conv(5), builder.emit(Concat(), 0, first))
    builder.emit(Concat(), 0, first, second)


def partly_dense(builder: GraphBuilder) -> None:
    first = builder.emit(Conv(4), 0)
    second = builder.emit(Conv(4), first)
    builder.emit(Concat(), 0, first, second)


@pytest.mark.parametrize("emit", [two_origins, unequal_growth, partly_dense])
def test_other_concatenations_have_no_mass(
    emit: Callable[[GraphBuilder], object],
) -> None:
    with pytest.raises(Undefined, match="matches no NN-Mass cell"):
        nn_mass(Structure(joined(emit)))


def two_layers_beside_a_link(builder: GraphBuilder) -> None:
    first = builder.emit(Conv(4), 0)
    second = builder.emit(Conv(4), first)
    builder.emit(Concat(), second, first, builder.emit(Select((1,)), 0))


def unequal_widths(builder: GraphBuilder) -> None:
    first = builder.emit(Conv(4), 0)
    second = builder.emit(Conv(5), first)
    builder.emit(Concat(), second, builder.emit(Select((1,)), first))


@pytest.mark.parametrize(
    ("emit", "reason"),
    [
        (two_layers_beside_a_link, "reads one whole layer beside its links"),
        (unequal_widths, "layers of a cell have one width"),
    ],
)
def test_linked_layers_that_form_no_cell_have_no_mass(
    emit: Callable[[GraphBuilder], object], reason: str
) -> None:
    with pytest.raises(Undefined, match=reason):
        nn_mass(Structure(joined(emit)))


def test_branches_of_one_origin_are_no_cell() -> None:
    def branches(builder: GraphBuilder) -> None:
        arms = [builder.emit(Conv(4), 0), builder.emit(Conv(4, 5, padding=2), 0)]
        builder.emit(Concat(), *arms, 0)

    assert nn_mass(Structure(joined(branches))) == Mass(0, 0)


# --- inverse design


def test_narrow_mobilenet_has_the_mass_of_the_wide_one() -> None:
    # 1.1 with two or one blocks more a stage against 1.4 (Bhardwaj et al. 2021)
    settings = (
        (1, 16, 2, 1),
        (6, 24, 3, 2),
        (6, 32, 4, 2),
        (6, 64, 5, 2),
        (6, 96, 4, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    narrow, wide = mobilenet_v2(1.1, settings), mobilenet_v2(1.4)

    assert (mass_of(narrow).mass, mass_of(wide).mass) == (1797, 1807)


def test_convolutions_beside_as_many_are_no_block() -> None:
    two = (Conv(4), Conv(4))

    assert nn_mass(block(4, *two, shortcut=two)) == Mass(0, 0)
