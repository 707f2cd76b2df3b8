"""Facts about breakdowns: parts sum to the whole, conventions change what they say."""

import pytest
from hypothesis import given
from strategies import architectures

from nasdepth.architecture.families import family
from nasdepth.architecture.graph import Graph, GraphBuilder
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Conv, Zeros
from nasdepth.architecture.spec import Architecture
from nasdepth.measures.breakdown import by_scope, sensitivity
from nasdepth.measures.catalogue import CATALOGUE, measure, undefined
from nasdepth.measures.depth import DepthConvention, path_shares
from nasdepth.measures.description import Measures
from nasdepth.measures.mass import mass_cells
from nasdepth.measures.structure import Structure, Undefined

RESNET = lower(family("cifar_resnet20"))
#: a network whose concatenation is no cell
ODD = "inception"


@given(architectures())
def test_parts_sum_to_the_whole(architecture: Architecture) -> None:
    graph = lower(architecture)
    values, parts = measure(graph), by_scope(graph, 2)

    assert sum(p.expected_layers for p in parts) == pytest.approx(
        values["effective_depth"]
    )
    assert sum(part.layers for part in parts) == values["weighted_layers"]
    assert sum(part.params for part in parts) == values["live_params"]
    assert sum(part.macs for part in parts) == values["macs"]
    assert sum(part.activations for part in parts) == values["activations"]


@given(architectures())
def test_cells_sum_to_the_mass(architecture: Architecture) -> None:
    graph = lower(architecture)
    values = measure(graph, ["nn_mass", "mass_cells"])
    if values["nn_mass"] is None:
        with pytest.raises(Undefined):
            mass_cells(Structure(graph))
        return
    cells = mass_cells(Structure(graph))

    assert sum(cell.mass for cell in cells) == pytest.approx(values["nn_mass"])
    assert len(cells) == values["mass_cells"]


def test_levels_are_names_of_scopes() -> None:
    assert [p.scope for p in by_scope(RESNET)] == [
        "stem",
        "stage1",
        "stage2",
        "stage3",
        "head",
    ]
    assert by_scope(RESNET, 2)[2].scope == "stage1.block0"


def test_a_level_must_be_positive() -> None:
    with pytest.raises(ValueError, match="level must be at least 1, but got level=0"):
        by_scope(RESNET, 0)


def test_shares_follow_the_convention() -> None:
    structure = Structure(RESNET)

    plain = path_shares(structure)
    counted = path_shares(structure, DepthConvention(projections=True))

    assert "stage2.block0.shortcut.conv1" not in plain
    assert counted["stage2.block0.shortcut.conv1"] == pytest.approx(0.5)


def test_a_network_without_a_path_has_no_shares() -> None:
    builder = GraphBuilder((3, 8, 8))
    builder.emit(Conv(4), builder.emit(Zeros((3, 8, 8))))

    with pytest.raises(Undefined, match="No path"):
        path_shares(Structure(builder.graph()))


def test_conventions_stand_beside_each_other() -> None:
    found = sensitivity(RESNET)

    assert found["default"]["effective_depth"] == pytest.approx(11)
    assert found["projections"]["effective_depth"] == pytest.approx(12)
    assert found["no classifier"]["effective_depth"] == pytest.approx(10)


def test_a_description_is_a_mapping_of_all_measures() -> None:
    found = Measures(RESNET)

    assert dict(found) == measure(RESNET)
    assert list(found) == list(CATALOGUE)
    assert found.reasons == {}
    assert sum(found.path_law().values()) == 2**9
    assert len(found.mass_cells()) == 9


def test_an_unknown_measure_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'nn_mass'"):
        Measures(RESNET)["nnmass"]


def no_path() -> Graph:
    builder = GraphBuilder((3, 8, 8))
    builder.emit(Zeros((3, 8, 8)))
    return builder.graph()


def test_what_has_no_value_says_why() -> None:
    found = Measures(no_path())

    assert found["effective_depth"] is None
    assert "No path" in found.reasons["effective_depth"]
    assert undefined(no_path(), ["effective_depth"]) == {
        "effective_depth": found.reasons["effective_depth"]
    }
