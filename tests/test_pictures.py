"""Pictures are read back from their SVG: what is drawn, and that nothing is crossed."""

import csv
import io
import re
from collections.abc import Iterator
from itertools import pairwise
from math import prod
from xml.etree import ElementTree

import pytest
from hypothesis import given
from strategies import architectures

from nasdepth.architecture.families import NETWORKS, family
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import InvalidGraph
from nasdepth.architecture.spec import Architecture, Stage, Stem
from nasdepth.measures.catalogue import measure
from nasdepth.pictures import architecture_svg, layer_table
from nasdepth.sketch import MOST_BOXES, sketch

SVG = "{http://www.w3.org/2000/svg}"
DEEP = ("resnet152", "resnet101", "densenet121", "densenet201", "stack:200")
NAMED = sorted(set(NETWORKS) | set(DEEP))

PLAIN = Stage(depth=3, width=16)
RESIDUAL = Stage("conv", 2, 16, skip="add", span=2)
PROJECTED = Stage("conv", 2, 32, skip="add", span=2, stride=2)
PARALLEL = Stage("conv", 6, 16, branches=3, skip="add")
INCEPTION = Stage("inception", 2, 64, branches=4)
DENSE = Stage("conv", 4, 12, skip="concat", links="all")
CELL = Stage("conv", 5, 16, skip="concat", links=10)


def net(*stages: Stage, **options: object) -> Architecture:
    return Architecture(stages, Stem(16), **options)


def is_whole(architecture: Architecture) -> bool:
    """Whether the shapes of a drawn architecture fit each other."""
    try:
        lower(architecture)
    except InvalidGraph:
        return False
    return True


def frames(text: str) -> Iterator[ElementTree.Element]:
    """Groups of the picture that have a frame around them."""
    for group in ElementTree.fromstring(text).iter(f"{SVG}g"):
        if group.find(f"{SVG}rect[@class='frame']") is not None:
            yield group


def boxes(frame: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of the boxes and circles of a frame."""
    found = []
    for group in frame.findall(f"{SVG}g"):
        x, y = map(float, re.findall(r"-?[\d.]+", group.get("transform", "")))
        if (circle := group.find(f"{SVG}circle")) is not None:
            width = height = 2 * float(circle.get("r", ""))
        else:
            box = group.find(f"{SVG}rect")
            width, height = float(box.get("width", "")), float(box.get("height", ""))
        found.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return found


def straight_wires(frame: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """Corners of the wires of a frame that are no arcs."""
    paths = [p for p in frame.findall(f"{SVG}path") if "wire" in p.get("class", "")]
    numbers = [re.findall(r"-?\d+\.?\d*", path.get("d", "")) for path in paths]
    return [
        list(zip(map(float, n[::2]), map(float, n[1::2]), strict=True)) for n in numbers
    ]


def scopes(text: str) -> list[str]:
    """Scopes of the drawn operations, from the tooltips."""
    titles = ElementTree.fromstring(text).iter(f"{SVG}title")
    return [(title.text or "").split(":")[0] for title in titles]


def words(text: str) -> str:
    """All words of the picture but the tooltips, in their order."""
    root = ElementTree.fromstring(text)
    return " | ".join("".join(t.itertext()) for t in root.iter(f"{SVG}text"))


def crosses(
    wire: list[tuple[float, float]], box: tuple[float, float, float, float]
) -> bool:
    """Whether a wire of upright and level lines runs through the inside of a box."""
    left, top, right, bottom = box
    for (x1, y1), (x2, y2) in pairwise(wire):
        over = min(x1, x2) < right - 1.5 and max(x1, x2) > left + 1.5
        along = min(y1, y2) < bottom - 1.5 and max(y1, y2) > top + 1.5
        if over and along:
            return True
    return False


@given(architectures().filter(lambda a: is_whole(a)))
def test_no_box_lies_on_another_and_no_wire_runs_through_one(
    architecture: Architecture,
) -> None:
    picture = architecture_svg(architecture)

    assert_tidy(picture)


@pytest.mark.parametrize("name", NAMED)
def test_named_networks_are_drawn_tidily(name: str) -> None:
    picture = architecture_svg(family(name))

    assert_tidy(picture)


def assert_tidy(picture: str) -> None:
    for frame in frames(picture):
        own = boxes(frame)
        for i, a in enumerate(own):
            for b in own[:i]:
                apart = a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
                assert apart, (a, b)
        border = frame.find(f"{SVG}rect[@class='frame']")
        top, width = float(border.get("y", "")), float(border.get("width", ""))
        low = top + float(border.get("height", ""))
        assert all(b[0] > 0 and b[2] < width for b in own)
        assert all(b[1] > top and b[3] < low for b in own)
        for wire in straight_wires(frame):
            assert not any(crosses(wire, box) for box in own), wire


@given(architectures().filter(lambda a: is_whole(a)))
def test_every_transformation_of_a_searched_network_is_a_box(
    architecture: Architecture,
) -> None:
    nodes = lower(architecture).nodes

    drawn = scopes(architecture_svg(architecture))

    expected = [node.scope for node in nodes if node.op.transforms]
    assert sorted(s for s in drawn if s in set(expected)) == sorted(expected)


@pytest.mark.parametrize("name", DEEP)
def test_equal_blocks_of_deep_networks_are_drawn_once_and_counted(name: str) -> None:
    graph = lower(family(name))

    plan = sketch(graph)

    def transformations(nodes: tuple[int, ...]) -> int:
        return sum(plan.op(node).transforms for node in nodes)

    units = [unit for row in plan.rows for unit in row.units]
    assert sum(transformations(unit.nodes) for unit in units) <= MOST_BOXES
    counted = sum(unit.repeat * transformations(unit.nodes) for unit in units)
    assert counted == sum(node.op.transforms for node in graph.nodes)


def test_number_of_equal_blocks_stands_below_them() -> None:
    picture = architecture_svg(family("resnet152"))

    assert re.findall(r"\| × (\d+) \|", words(picture)) == ["2", "7", "35", "2"]


def test_headline_has_the_measures() -> None:
    text = words(architecture_svg(family("resnet18"), title="ours"))

    first, second, *_ = text.split(" | ")
    title, *values = first.split(" · ")
    assert title == "ours"
    assert dict(value.rsplit(maxsplit=1) for value in values[2:]) == {
        "nominal depth": "18",
        "weighted layers": "21",
        "effective depth": "10",
        "NN-Mass": "3,392",  # (a + h) summed over blocks: 256 + 448 + 896 + 1792
    }
    assert values[:2] == ["params 11.7 M", "MACs 1.81 G"]
    assert second == "relu, batch norm"


def test_title_may_hold_any_character() -> None:
    text = words(architecture_svg(net(PLAIN), title='<a> & "b"'))

    assert text.startswith('<a> & "b" · ')


def test_picture_is_self_contained_and_reproducible() -> None:
    first = architecture_svg(net(CELL, INCEPTION))
    second = architecture_svg(net(CELL, INCEPTION))

    assert first == second
    assert "href" not in first
    assert "url(#to)" in first
    assert first.count("http") == 1  # the namespace


@pytest.mark.parametrize(
    ("stage", "kind", "number"),
    [
        (PLAIN, "link", 0),
        (RESIDUAL, "reuse", 0),
        (CELL, "link", 6),  # 1 + 2 + 3 pairs of a layer and an earlier one
        (DENSE, "reuse", 3 + 4 + 3 + 0),
    ],
)
def test_arcs_are_drawn_for_what_is_read_again(
    stage: Stage, kind: str, number: int
) -> None:
    picture = architecture_svg(net(stage))

    arcs = [
        path
        for frame in frames(picture)
        for path in frame.findall(f"{SVG}path[@class='{kind}']")
    ]
    assert len(arcs) == number


def test_links_are_as_thick_as_their_channels_are_many() -> None:
    def thickness(links: int) -> float:
        picture = architecture_svg(
            net(Stage("conv", 3, 16, skip="concat", links=links))
        )
        (found,) = re.findall(
            r'class="link" style="stroke-width:([\d.]+)" d="M\d', picture
        )
        return float(found)

    assert thickness(2) < thickness(8) < thickness(16)


def test_norm_and_activation_stand_behind_a_box_that_comes_first() -> None:
    plan = sketch(lower(Architecture((PLAIN,))))

    convolutions = [n for n in plan.rows[0].nodes if plan.op(n).transforms]
    assert not plan.before
    assert {plan.after[n] for n in convolutions} == {("norm", "activation")}


def test_norm_and_activation_stand_before_a_preactivated_box() -> None:
    plan = sketch(lower(Architecture((PARALLEL,), Stem(16))))

    stage = plan.rows[1]
    convolutions = [n for n in stage.nodes if plan.op(n).transforms]
    assert {plan.before[n] for n in convolutions} == {("norm", "activation")}
    assert not any(n in plan.after for n in convolutions)


def test_projection_stands_above_its_block() -> None:
    frame = list(frames(architecture_svg(net(PROJECTED))))[1]

    titles = [group.findtext(f"{SVG}title") or "" for group in frame.findall(f"{SVG}g")]
    heights = dict(zip(titles, (box[1] for box in boxes(frame)), strict=True))
    (shortcut,) = [name for name in heights if "shortcut" in name]
    assert heights[shortcut] == min(heights.values())


def test_long_stage_continues_on_further_lines() -> None:
    text = words(architecture_svg(net(Stage("conv", 12, 16, skip="add", span=2))))

    assert "stage 1, continued" in text


def test_legend_explains_what_is_there_and_nothing_else() -> None:
    text = words(architecture_svg(net(RESIDUAL, norm="none")))

    legend = text.split("classes | ")[1]
    assert legend == "convolution 3×3 | linear | pooling | activation | sum"


@given(architectures().filter(lambda a: is_whole(a)))
def test_layer_table_adds_up_to_the_measures(architecture: Architecture) -> None:
    graph = lower(architecture)

    rows = list(csv.DictReader(io.StringIO(layer_table(architecture))))

    found = measure(graph, ["params", "macs"])
    assert sum(int(row["parameters"]) for row in rows) == found["params"]
    assert sum(int(row["macs"]) for row in rows) == found["macs"]
    sizes = [prod(map(int, row["output"].split("x"))) for row in rows]
    assert sizes == [prod(shape) for shape in graph.shapes()]


def test_layer_table_names_each_operation() -> None:
    stage = Stage("inverted", 1, 16, skip="add", stride=2, expansion=2)

    lines = layer_table(Architecture((stage,))).splitlines()

    assert lines[0] == "scope,operation,output,parameters,macs"
    assert lines[1] == "input,input,3x32x32,0,0"
    assert lines[2] == "stage1.block0.conv1,convolution 1x1,6x32x32,18,18432"
    operation = '"convolution 3x3, stride 2, groups 6"'
    assert f"stage1.block0.conv2,{operation},6x16x16,54,13824" in lines
    assert "stage1.block0.norm2,batch norm,6x16x16,12,0" in lines
