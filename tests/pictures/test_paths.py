"""The law of path lengths: shares of exact counts, and the plot of them."""

import re
from itertools import pairwise
from math import fsum, isclose, log2
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasdepth.architecture.families import family
from nasdepth.architecture.lower import lower
from nasdepth.measures.catalogue import measure
from nasdepth.measures.structure import Undefined
from nasdepth.pictures.network import graph_svg
from nasdepth.pictures.paths import caption, law, path_law, path_law_svg

SVG = "{http://www.w3.org/2000/svg}"
COUNTS = st.dictionaries(
    st.integers(0, 300),
    st.integers(1, 9) | st.integers(1, 2**1500),
    min_size=1,
    max_size=40,
)


def marks(text: str) -> list[float]:
    """Places of nominal depth, midrange and effective depth on the axis."""
    paths = ElementTree.fromstring(text).iter(f"{SVG}path")
    found = [p.get("d", "") for p in paths if p.get("class") == "mark"]
    return [float(re.match(r"M([\d.]+)", d)[1]) for d in found]


def labels(text: str) -> str:
    return " | ".join(
        "".join(each.itertext())
        for each in ElementTree.fromstring(text).iter(f"{SVG}text")
    )


@given(COUNTS)
def test_shares_add_up_to_one(counts: dict[int, int]) -> None:
    found = law(counts)

    assert isclose(fsum(found.shares.values()), 1, abs_tol=1e-12)
    assert list(found.shares) == sorted(counts)
    assert found.longest == max(counts)
    assert min(counts) - 1e-9 <= found.mean <= max(counts) + 1e-9


@given(COUNTS)
def test_every_law_is_drawn_inside_its_canvas(counts: dict[int, int]) -> None:
    text = path_law_svg(law(counts), title="any & all")

    root = ElementTree.fromstring(text)
    x, y = map(float, re.findall(r"[\d.]+", root.find(f"{SVG}g").get("transform")))
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for bar in root.iter(f"{SVG}rect"):
        if bar.get("class") == "bar":
            left, top = float(bar.get("x", "")), float(bar.get("y", ""))
            assert x + left >= 0
            assert x + left + float(bar.get("width", "")) <= width
            assert y + top + float(bar.get("height", "")) <= height
    assert all(0 <= mark + x <= width for mark in marks(text))
    assert "nan" not in text
    assert "inf" not in text


def test_bars_are_as_high_as_their_shares() -> None:
    text = path_law_svg(law({1: 2**1500, 2: 2**1501, 5: 2**1500}))

    bars = [r for r in ElementTree.fromstring(text).iter(f"{SVG}rect") if r.get("x")]
    heights = [float(bar.get("height", "")) for bar in bars]
    assert heights == [42, 84, 42]
    assert [bar.findtext(f"{SVG}title") for bar in bars] == [
        "weight 1: 25 % of the paths",
        "weight 2: 50 % of the paths",
        "weight 5: 25 % of the paths",
    ]


def test_wide_law_is_one_shape_with_a_step_a_weight() -> None:
    counts = {w: 1 + (w % 2) for w in range(50, 251)}

    text = path_law_svg(law(counts))

    (shape,) = [
        p.get("d", "")
        for p in ElementTree.fromstring(text).iter(f"{SVG}path")
        if p.get("class") == "steps"
    ]
    assert shape.count("H") == len(counts)
    assert shape.count("V") == len(counts) + 1


def test_single_path_is_one_bar_where_all_markers_stand() -> None:
    found = path_law(lower(family("vgg11")))

    text = path_law_svg(found)

    assert found.shares == {11: 1.0}
    assert len({*marks(text)}) == 1
    assert caption(found) == "Dnom 11 · W 11 · Deff 11 · sd 0 · log₂ paths 0"


def test_markers_stand_at_their_values() -> None:
    nominal, midrange, effective = marks(path_law_svg(law({0: 3, 10: 1})))

    assert effective < midrange < nominal
    # weights are spread evenly: 2.5, 5 and 10
    assert isclose((nominal - midrange) / (midrange - effective), 2, rel_tol=0.01)


def test_no_marker_runs_through_the_label_of_another() -> None:
    text = path_law_svg(law({0: 1, 20: 30}))

    rows = [
        (float(t.get("x", "")), float(t.get("y", "")))
        for t in ElementTree.fromstring(text).iter(f"{SVG}text")
        if "halo" in t.get("class", "")
    ]
    assert all(a[0] >= b[0] and a[1] < b[1] for a, b in pairwise(rows))


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "nn_mass_cnn", "stack"])
def test_law_agrees_with_the_measures(name: str) -> None:
    graph = lower(family(name))

    found = path_law(graph)

    names = ["nominal_depth", "weighted_layers", "effective_depth"]
    nominal, layers, effective = measure(graph, names).values()
    assert (found.longest, found.layers) == (nominal, layers)
    assert isclose(found.mean, effective, rel_tol=1e-9)


def test_logarithm_of_a_huge_number_of_paths_is_exact() -> None:
    assert law({1: 2**1500, 7: 2**1500}).log2_paths == 1501
    assert law({1: 3}).log2_paths == log2(3)


def test_no_path_has_no_law() -> None:
    with pytest.raises(Undefined):
        law({})


def test_law_stands_below_the_network_with_its_caption() -> None:
    graph = lower(family("resnet50"))

    with_law, without = graph_svg(graph), graph_svg(graph, law=False)

    line = "Dnom 50 · W 54 · Deff 26 · sd 6 · log₂ paths 16"
    assert labels(with_law).endswith(line)
    assert line not in labels(without)
    for text in (
        "nominal depth 50",
        "midrange 26",
        "effective depth 26",
        "peak 19.6 %",
    ):
        assert text in labels(with_law)
