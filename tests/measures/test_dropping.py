"""Residual stages without some of their shortcuts: depth at fixed cost and size."""

from dataclasses import replace
from itertools import pairwise
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasdepth.architecture.blocks import without_shortcut
from nasdepth.architecture.canonical import digest
from nasdepth.architecture.graph import Graph
from nasdepth.architecture.lower import lower
from nasdepth.architecture.ops import Add, InvalidGraph
from nasdepth.architecture.spec import (
    FAMILIES,
    Architecture,
    InvalidArchitecture,
    Stage,
    Stem,
)
from nasdepth.measures.catalogue import measure
from nasdepth.measures.depth import DepthConvention, path_count, path_counts
from nasdepth.measures.structure import Structure
from nasdepth.measures.summaries import summarize

#: what no dropped shortcut may change
FIXED = (
    "params",
    "live_params",
    "macs",
    "activations",
    "receptive_field",
    "weighted_layers",
    "nominal_depth",
    "longest_path",
)
CONVS = {"conv": 2, "bottleneck": 3, "inverted": 3}


def residual(block: str = "conv", depth: int = 4, width: int = 16, **options: object):
    """A residual stage of a block."""
    span = 2 if block == "conv" else 1
    return Stage(block, depth, width, skip="add", span=span, **options)


def network(*stages: Stage, stem: int = 16) -> Architecture:
    return Architecture(stages, Stem(stem), input_shape=(3, 16, 16))


def adds(graph: Graph) -> list[str]:
    """Names of the blocks with a sum."""
    return [n.scope.split(".")[1] for n in graph.nodes if isinstance(n.op, Add)]


residuals = st.builds(
    residual,
    block=st.sampled_from(sorted(CONVS)),
    depth=st.integers(2, 6),
    width=st.sampled_from([16, 24]),
    kernel=st.sampled_from([3, 5]),
    stride=st.sampled_from([1, 2]),
)


# --- theorems


@given(residuals, residuals)
def test_dropping_changes_depth_alone(stage: Stage, behind: Stage) -> None:
    ladder = [
        measure(lower(network(replace(stage, dropped=k), behind)))
        for k in range(stage.depth)
    ]

    for name in FIXED:
        assert len({values[name] for values in ladder}) == 1, name
    for before, after in pairwise(ladder):
        step = after["effective_depth"] - before["effective_depth"]
        assert step == pytest.approx(CONVS[stage.block] / 2)
        assert after["merge_depth"] - before["merge_depth"] == pytest.approx(step)
        assert before["log2_paths"] - after["log2_paths"] == pytest.approx(1)
        assert after["mass_cells"] == before["mass_cells"] - 1


@given(st.sampled_from(sorted(CONVS)), st.integers(1, 7), st.data())
def test_what_is_left_is_a_shifted_binomial_law(
    block: str, depth: int, data: st.DataObject
) -> None:
    dropped = data.draw(st.integers(0, depth))
    stage = residual(block, depth, dropped=dropped)
    shape = (stage.width, 8, 8)
    structure = Structure(lower(Architecture((stage,), input_shape=shape)))

    found = path_counts(structure, DepthConvention(classifier=False))

    convs, left = CONVS[block], depth - dropped
    law = {convs * (dropped + k): comb(left, k) for k in range(left + 1)}
    assert found == law


@pytest.mark.parametrize("block", CONVS)
def test_without_any_shortcut_effective_depth_is_nominal(block: str) -> None:
    stages = (residual(block, 4, dropped=4), residual(block, 3, dropped=3))
    graph = lower(network(*stages))

    values = measure(graph)

    assert values["effective_depth"] == values["nominal_depth"] == 7 * CONVS[block] + 2
    assert (values["nn_mass"], values["mass_cells"]) == (0, 0)
    assert path_count(graph) == 1
    assert adds(graph) == []


@given(st.integers(1, 5), st.sampled_from([1, 3]))
def test_without_shortcuts_a_residual_stage_is_a_plain_one(
    depth: int, kernel: int
) -> None:
    bare = network(residual("conv", depth, kernel=kernel, dropped=depth))
    plain = network(Stage(depth=2 * depth, width=16, kernel=kernel))

    assert digest(lower(bare)) == digest(lower(plain))


def test_a_projection_stays() -> None:
    stage = residual(depth=3, width=32, stride=2, dropped=2)

    values = measure(lower(network(stage)))

    assert adds(lower(network(stage))) == ["block0"]
    assert values["weighted_layers"] == 2 * 3 + 1 + 2
    assert values["effective_depth"] == 2 + 2 * 2 + 1


def test_mass_of_the_blocks_that_keep_theirs() -> None:
    # a basic block of input width 16 and middle width 16 counts 32
    masses = [measure(lower(network(residual(dropped=k))))["nn_mass"] for k in range(5)]

    assert masses == [128, 96, 64, 32, 0]


@given(st.integers(1, 200), st.data())
def test_dropped_blocks_are_spread_evenly(depth: int, data: st.DataObject) -> None:
    dropped = data.draw(st.integers(0, depth))
    size = data.draw(st.integers(1, depth))

    lost = without_shortcut(depth, dropped)

    assert (len(lost), sum(lost)) == (depth, dropped)
    assert lost[0] == (dropped == depth)
    # any two windows of one size behind the first block hold alike many, one apart
    windows = {sum(lost[i : i + size]) for i in range(1, depth - size + 1)}
    assert not windows or max(windows) - min(windows) <= 1


@pytest.mark.parametrize(
    ("dropped", "kept"),
    [
        (0, [0, 1, 2, 3, 4]),
        (1, [0, 1, 3, 4]),
        (2, [0, 2, 4]),
        (3, [0, 3]),
        (4, [0]),
        (5, []),
    ],
)
def test_which_blocks_keep_their_shortcut(dropped: int, kept: list[int]) -> None:
    graph = lower(network(residual(depth=5, dropped=dropped)))

    assert adds(graph) == [f"block{number}" for number in kept]


def test_blocks_are_numbered_as_without_dropping() -> None:
    def names(dropped: int) -> list[str]:
        stage = residual(depth=5, width=24, stride=2, dropped=dropped)
        nodes = lower(network(stage)).nodes
        return [n.scope for n in nodes if n.op.transforms]

    assert names(0) == names(1) == names(3)


def test_deep_stages_are_measured_by_runs_of_like_blocks() -> None:
    deep = residual(depth=2001, dropped=1000)

    values = summarize(network(deep))

    assert values["nominal_depth"] == 4004
    assert values["effective_depth"] == pytest.approx(2 + 2000 + 1001)


# --- messages and stored forms


def test_json_leaves_out_what_is_not_dropped() -> None:
    kept, lost = network(residual()), network(residual(dropped=2))

    assert "dropped" not in kept.to_json()
    assert '"dropped":2' in lost.to_json()
    assert Architecture.from_json(lost.to_json()) == lost


@pytest.mark.parametrize(
    ("options", "most"),
    [({"dropped": 5}, 4), ({"dropped": 4, "stride": 2}, 3), ({"dropped": -1}, 4)],
)
def test_more_than_there_are_is_refused(options: dict, most: int) -> None:
    rule = (
        rf"Stage.dropped must be in \[0, {most}\] .* got dropped={options['dropped']}"
    )

    with pytest.raises(InvalidArchitecture, match=rule):
        residual(**options)


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_no_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidArchitecture, match="got dropped="):
        residual(dropped=value)


@pytest.mark.parametrize(
    "stage",
    [
        {},
        {"skip": "add"},
        {"block": "inception", "branches": 2},
        {"skip": "concat"},
        {"skip": "concat", "links": "all"},
    ],
    ids=lambda options: Stage(**options).family,
)
def test_only_residual_stages_have_a_shortcut_to_drop(stage: dict) -> None:
    assert not FAMILIES[Stage(**stage).family].droppable
    with pytest.raises(InvalidArchitecture, match=r"dropped must be in \[0, 0\]"):
        Stage(depth=4, dropped=1, **stage)


@pytest.mark.parametrize("block", CONVS)
def test_a_first_block_that_widens_keeps_its_shortcut(block: str) -> None:
    wide = network(residual(block, 3, 24, dropped=3))

    with pytest.raises(InvalidGraph, match="takes 16 channels to 24"):
        lower(wide)
    with pytest.raises(InvalidGraph, match="takes 16 channels to 24"):
        summarize(wide)
