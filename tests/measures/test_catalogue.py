"""The catalogue: one row a measure, consistent on every network."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import architectures, edges, graphs, inserted

from nasdepth.architecture.families import family
from nasdepth.architecture.graph import Graph, GraphBuilder
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Concat, Conv, Identity, Zeros
from nasdepth.architecture.spec import Architecture
from nasdepth.measures.catalogue import (
    CATALOGUE,
    SHOWN,
    Measure,
    label_of,
    measure,
    scale_of,
)
from nasdepth.measures.depth import DepthConvention

PATHS = (
    "nominal_depth",
    "shortest_path",
    "longest_path",
    "midrange_depth",
    "effective_depth",
    "merge_depth",
    "attenuated_depth",
    "path_sd",
    "log2_paths",
)
COSTS = ("params", "live_params", "macs", "activations", "peak_memory")


def row(name: str) -> Measure:
    return CATALOGUE[name]


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_row_says_what_it_is(name: str) -> None:
    found = row(name)

    assert found.name == name
    assert found.label
    assert found.source
    assert found.cost == (name in COSTS)
    assert found.needs == "graph"
    assert found.scale in ("linear", "log", "log1p")


def test_labels_are_unique() -> None:
    assert len({row(name).label for name in CATALOGUE}) == len(CATALOGUE)


def test_heads_of_columns_name_measures() -> None:
    assert [row(name).head for name in SHOWN.values()] == list(SHOWN)
    assert {"params", "macs", "nominal_depth", "effective_depth"} <= set(SHOWN.values())


@pytest.mark.parametrize(
    ("name", "label", "scale"),
    [
        ("params", "log params", "log"),
        ("nominal_depth", "nominal depth", "linear"),
        ("nn_mass", "log(1 + NN-Mass)", "log1p"),
        ("my_measure", "my measure", "linear"),
    ],
)
def test_labels_say_the_scale(name: str, label: str, scale: str) -> None:
    assert label_of(name) == label
    assert scale_of(name) == scale


@given(architectures())
def test_a_measure_on_a_log_scale_is_positive(architecture: Architecture) -> None:
    values = measure(lower(architecture))

    assert all(values[name] > 0 for name in CATALOGUE if row(name).scale == "log")
    assert all(values[name] >= 0 for name in CATALOGUE if row(name).scale == "log1p")


def test_values_of_a_known_network() -> None:
    values = measure(lower(family("resnet18")))

    assert values == {
        "params": 11_689_512,
        "live_params": 11_689_512,
        "macs": 1_814_073_344,
        "activations": 2_484_712,
        "peak_memory": 4 * 2 * 64 * 112 * 112,
        "receptive_field": 435,
        "weighted_layers": 21,
        "nominal_depth": 18,
        "shortest_path": 2,
        "longest_path": 18,
        "midrange_depth": 10,
        "effective_depth": pytest.approx(10),
        "merge_depth": pytest.approx(10),
        "attenuated_depth": pytest.approx(2 + 8 * 2 * 0.25 / 1.25),
        "path_sd": pytest.approx(math.sqrt(8)),
        "log2_paths": pytest.approx(8),
        "nn_mass": 3392,
        "mass_cells": 8,
    }


@given(architectures())
def test_measures_of_architectures_are_consistent(architecture: Architecture) -> None:
    values = measure(lower(architecture))

    assert values["shortest_path"] <= values["effective_depth"] + 1e-9
    assert values["effective_depth"] <= values["longest_path"] + 1e-9
    assert values["shortest_path"] <= values["merge_depth"] + 1e-9
    assert values["merge_depth"] <= values["longest_path"] + 1e-9
    assert values["attenuated_depth"] <= values["effective_depth"] + 1e-9
    assert values["longest_path"] <= values["weighted_layers"]
    assert values["live_params"] <= values["params"]
    assert None not in values.values()
    assert all(math.isfinite(value) for value in values.values())


@given(graphs(), st.data())
def test_an_identity_changes_no_measure_at_all(
    graph: Graph, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(edges(graph) or [None]))

    longer = graph if place is None else inserted(graph, Identity(), *place)

    assert measure(longer) == measure(graph)


def test_without_a_path_path_measures_are_none() -> None:
    builder = GraphBuilder((2, 4, 4))
    builder.emit(Conv(3), builder.emit(Zeros((2, 4, 4))))

    values = measure(builder.graph())

    assert {name for name, value in values.items() if value is None} == set(PATHS)
    assert (values["params"], values["live_params"]) == (54, 0)


def test_an_undefined_mass_is_none_and_the_rest_stands() -> None:
    builder = GraphBuilder((2, 4, 4))
    first = builder.emit(Conv(2), 0)
    third = builder.emit(Conv(2), builder.emit(Conv(2), first))
    builder.emit(Concat(), third, first, 0)

    values = measure(builder.graph(), ["nn_mass", "mass_cells", "longest_path"])

    assert values == {"nn_mass": None, "mass_cells": None, "longest_path": 3}


def test_names_choose_and_order() -> None:
    names = ["longest_path", "params"]

    assert list(measure(lower(family("vgg11")), names)) == names


def test_the_convention_holds_but_for_the_nominal_depth() -> None:
    convention = DepthConvention(classifier=False, projections=True)
    names = ["nominal_depth", "longest_path", "shortest_path", "attenuated_depth"]

    values = measure(lower(family("resnet18")), names, convention)

    assert values["nominal_depth"] == 18
    assert values["longest_path"] == 17
    assert values["shortest_path"] == 4
    assert 4 < values["attenuated_depth"] < 17


def test_an_unknown_measure_names_the_nearest() -> None:
    graph = lower(family("vgg11"))

    with pytest.raises(ValueError, match="Unknown measure 'efective_depth'; choose"):
        measure(graph, ["efective_depth"])
    with pytest.raises(ValueError, match=r"Did you mean 'effective_depth'\?"):
        measure(graph, ["efective_depth"])
