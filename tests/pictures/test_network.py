"""Pictures are read back from their SVG: what is drawn, and that nothing is crossed."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from math import prod
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont
from strategies import architectures

from nasdepth.architecture.families import NETWORKS, family
from nasdepth.architecture.graph import Graph, Node
from nasdepth.architecture.lower import lower
from nasdepth.architecture.opaque import Gate, Opaque, OpaqueLayer
from nasdepth.architecture.ops import (
    Activation,
    AdaptivePool,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Input,
    InvalidGraph,
    Pool,
)
from nasdepth.architecture.spec import Architecture, Stage, Stem
from nasdepth.measures.catalogue import measure
from nasdepth.pictures import svg
from nasdepth.pictures.network import architecture_svg, graph_svg, layer_table, picture
from nasdepth.pictures.sketch import MOST_BOXES, sketch

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

#: what the random networks hold; all keep the shape, so that any may read any
SHAPE = (8, 8, 8)
ONE = (
    Conv(8),
    Conv(8, (1, 3), padding=(0, 1)),
    Conv(8, 1, padding=0),
    BatchNorm(),
    Activation("relu"),
    Pool("max", 3, 1, 1),
    Opaque("layer_norm", SHAPE),
    Opaque("permute", SHAPE),
    OpaqueLayer("a_layer_without_an_op_of_its_own", SHAPE),
)
MANY = (Add(), Opaque("multiply", SHAPE))
SCOPES = ("a.0.x", "a.1.x", "a", "b.c", "b.0.1", "stage1.block0", "stage1", "")


def net(*stages: Stage, **options: object) -> Architecture:
    return Architecture(stages, Stem(16), **options)


@st.composite
def foreign(draw: st.DrawFn) -> Graph:
    """Networks of any wiring and any scopes; the last node reads all loose ends."""
    nodes = [Node(Input(SHAPE), scope="input")]
    for index in range(1, draw(st.integers(2, 16))):
        scope, earlier = draw(st.sampled_from(SCOPES)), st.integers(0, index - 1)
        if draw(st.booleans()):
            node = Node(draw(st.sampled_from(ONE)), (draw(earlier),), scope)
        elif draw(st.booleans()):
            node = Node(Gate("gate", SHAPE), (draw(earlier), draw(earlier)), scope)
        else:
            inputs = tuple(draw(st.lists(earlier, min_size=1, max_size=4)))
            node = Node(draw(st.sampled_from(MANY)), inputs, scope)
        nodes.append(node)
    loose = set(range(len(nodes))).difference(i for n in nodes for i in n.inputs)
    return Graph((*nodes, Node(Concat(), tuple(sorted(loose)), "end")))


def squeezed() -> Graph:
    """A convolution whose channels a squeeze-excite branch weighs."""
    return Graph(
        (
            Node(Input((3, 32, 32)), scope="input"),
            Node(Conv(16), (0,), "stem.conv"),
            Node(AdaptivePool(1), (1,), "se.pool"),
            Node(Conv(4, 1, padding=0), (2,), "se.fc1"),
            Node(Conv(16, 1, padding=0), (3,), "se.fc2"),
            Node(Opaque("sigmoid", (16, 1, 1)), (4,), "se.act"),
            Node(Gate("mul", (16, 32, 32)), (1, 5), "se.mul"),
            Node(Conv(8), (6,), "last.conv"),
        )
    )


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


@given(foreign())
def test_any_graph_is_drawn_tidily(graph: Graph) -> None:
    picture = graph_svg(graph)

    assert_tidy(picture)


@given(foreign())
def test_wires_are_as_many_as_links(graph: Graph) -> None:
    assert number_of_wires(graph_svg(graph)) == len(sketch(graph).edges)


@pytest.mark.parametrize("name", NAMED)
def test_named_networks_have_all_their_wires(name: str) -> None:
    graph = lower(family(name))

    assert number_of_wires(graph_svg(graph)) == len(sketch(graph).edges)


def number_of_wires(text: str) -> int:
    """Paths that draw a link, not the way out of a frame or to a letter."""
    classes = [
        path.get("class", "").split()
        for frame in frames(text)
        for path in frame.findall(f"{SVG}path")
    ]
    return sum(
        not {"wire", "reuse", "link", "gate"}.isdisjoint(c) and "way" not in c
        for c in classes
    )


@pytest.mark.parametrize("name", [*NAMED, "nn_mass_cnn:8:2:10:20:40", "stack:32:4"])
def test_no_text_is_wider_than_what_holds_it(name: str) -> None:
    text = architecture_svg(family(name), title=name)

    root = ElementTree.fromstring(text)
    headline = root.find(f"{SVG}text[@class='t']")
    assert 26 + length(headline, 15) <= float(root.get("width", ""))
    for frame in frames(text):
        width = float(frame.find(f"{SVG}rect").get("width", ""))
        assert 9 + 6 + length(frame.find(f"{SVG}text"), 11) <= width
        for group in frame.findall(f"{SVG}g"):
            if (box := group.find(f"{SVG}rect")) is not None:
                room = float(box.get("width", "")) - 1
                first, second = group.findall(f"{SVG}text")
                assert length(first, 10) <= room
                assert length(second, 9.5) <= room


def length(element: ElementTree.Element, size: float) -> float:
    """Length of a line in the font of the PNG, as if all of it were bold."""
    fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
    font = ImageFont.truetype(fonts / "DejaVuSans-Bold.ttf", 100)
    return font.getlength("".join(element.itertext())) * size / 100


def assert_tidy(picture: str) -> None:
    assert_page(picture)
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
            assert all(0 <= x <= width + 0.1 for x, _ in wire), wire
            assert all(top + 18 < y < low for _, y in wire), wire  # below the name


def assert_page(picture: str) -> None:
    """Every frame is inside the canvas, and none on another."""
    root = ElementTree.fromstring(picture)
    found = []
    for group in frames(picture):
        x, y = map(float, re.findall(r"-?[\d.]+", group.get("transform", "")))
        frame = group.find(f"{SVG}rect[@class='frame']")
        top = y + float(frame.get("y", ""))
        right = x + float(frame.get("width", ""))
        found.append((x, top, right, top + float(frame.get("height", ""))))
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    assert all(x > 0 and y > 60 and r < width and b < height for x, y, r, b in found)
    for a, b in combinations(found, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1], (a, b)


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

    legend = text.split("outputs | ")[1].split(" | Weight")[0]
    assert legend == "convolution 3×3 | linear | pooling | activation | sum"


# --- gates


def test_branch_of_a_gate_is_a_dashed_wire_and_no_boxes() -> None:
    text = graph_svg(squeezed())

    dashed = [p for f in frames(text) for p in f.findall(f"{SVG}path[@class='gate']")]
    assert len(dashed) == 1
    assert not {"se.pool", "se.fc1", "se.fc2"} & set(scopes(text))
    assert "se.mul: gate (mul), weighed by convolution 1x1, convolution 1x1" in text
    assert ".gate{stroke-dasharray" in text
    assert "| gate | branch that weighs" in words(text)


def test_gate_without_a_branch_has_no_dashed_wire() -> None:
    nodes = list(squeezed().nodes)
    nodes[6] = Node(Opaque("mul", (16, 32, 32)), (1,), "se.mul")

    text = graph_svg(Graph(tuple(nodes)))

    assert 'class="gate"' not in text


# --- foreign names


def test_wire_past_a_row_goes_by_letter() -> None:
    scopes = ("input", "stem.c", "stage1.c", "stage2.c", "head.add")
    ops = (Input(SHAPE), Conv(8), Conv(8), Conv(8), Add())
    inputs = ((), (0,), (1,), (2,), (3, 1))
    nodes = (Node(*each) for each in zip(ops, inputs, scopes, strict=True))

    text = graph_svg(Graph(tuple(nodes)))

    assert_tidy(text)
    letters = [g for f in frames(text) for g in f.findall(f"{SVG}g[@class='tag']")]
    assert [g.findtext(f"{SVG}text") for g in letters] == ["A", "A"]
    titles = [g.findtext(f"{SVG}title") for g in letters]
    assert titles == ["stem.c, read further on", "from stem.c"]


def test_equal_arms_are_no_repetition() -> None:
    nodes = [Node(Input(SHAPE), scope="input"), Node(Conv(4), (0,), "stage1.first")]
    arms = range(2, 2 + MOST_BOXES)
    nodes += [Node(Conv(8), (1,), f"stage1.arm{i}.conv") for i in arms]
    nodes.append(Node(Add(), tuple(arms), "stage1.add"))

    plan = sketch(Graph(tuple(nodes)))

    assert {unit.repeat for row in plan.rows for unit in row.units} == {1}


def test_names_may_hold_any_character() -> None:
    nodes = [replace(n, scope=f"<{n.scope}>&\x00") for n in squeezed().nodes]

    text = graph_svg(Graph(tuple(nodes)), title="\x01<&>")

    assert "<stem.conv>&: convolution 3x3, 16 × 32 × 32" in [
        t.text for t in ElementTree.fromstring(text).iter(f"{SVG}title")
    ]


def test_graph_without_a_path_is_a_picture_still() -> None:
    nodes = (Node(Input(SHAPE)), Node(Opaque("parameters", SHAPE), (0,)))

    assert words(graph_svg(Graph(nodes))).endswith("log₂ paths 0")


# --- files


def test_picture_is_written_by_its_suffix(tmp_path: Path) -> None:
    graph = squeezed()

    vector = picture(graph, tmp_path / "net.svg", title="net")
    pixels = picture(graph, str(tmp_path / "net.PNG"), title="net")

    text = vector.read_text(encoding="utf-8")
    assert text == graph_svg(graph, title="net")
    with Image.open(pixels) as image:
        assert image.format == "PNG"
        root = ElementTree.fromstring(text)
        size = (int(root.get("width", "")), int(root.get("height", "")))
        assert image.size == (2 * size[0], 2 * size[1])


def test_png_shows_boxes_and_text() -> None:
    text = graph_svg(squeezed(), title="net")
    bare = re.sub(r"<text.*?</text>", "", text)

    full, empty = (
        np.asarray(Image.open(io.BytesIO(svg.png(each))).convert("L"))
        for each in (text, bare)
    )

    assert (empty < 250).mean() > 0.01  # boxes and frames
    assert ((full < 128) & (empty > 200)).sum() > 3000  # dark letters where none was


def test_png_is_the_same_each_time() -> None:
    text = graph_svg(squeezed())

    assert svg.png(text) == svg.png(text)


@pytest.mark.parametrize("name", ["net.gif", "net", "svg"])
def test_other_suffixes_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.svg or \.png, but got"):
        picture(squeezed(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_png_of_an_absurd_size_is_refused(tmp_path: Path) -> None:
    page = svg.page("", 50_000, 4000, "absurd")

    with pytest.raises(ValueError, match=r"100000 × 8000 pixels .* write \.svg"):
        svg.save(page, tmp_path / "net.png")
    assert svg.save(page, tmp_path / "net.svg").exists()


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
