"""Summaries: every measure from the parts is that of the whole graph."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import architectures, stages

from nasdepth.architecture.blocks import PLAIN, Layers, Unit
from nasdepth.architecture.families import NETWORKS, family
from nasdepth.architecture.lower import Part, lower, sections
from nasdepth.architecture.ops import AdaptivePool, Conv, InvalidGraph
from nasdepth.architecture.spec import Architecture, Head, Stage, Stem
from nasdepth.measures.catalogue import CATALOGUE, Measure, measure
from nasdepth.measures.depth import DEFAULT, DepthConvention
from nasdepth.measures.summaries import INSEPARABLE, RULED, Memo, Summaries, summarize

CONVENTIONS = (
    DEFAULT,
    DepthConvention(projections=True),
    DepthConvention(pooling=True),
    DepthConvention(classifier=False),
    DepthConvention(projections=True, pooling=True, classifier=False, gates=True),
)
#: keeps what earlier examples left, nothing, and so little that it forgets all the time
KEPT = {size: {c: Summaries(c, size) for c in CONVENTIONS} for size in (1000, 0, 4)}


def outcome(call: Callable[[], dict[str, float | None]]) -> dict | str:
    """The result, or what the error says."""
    try:
        return call()
    except InvalidGraph as error:
        return str(error)


def check(architecture: Architecture, convention: DepthConvention, size: int) -> None:
    """Equal integers, floats to 1e-12, `None` and errors alike, in the same order."""
    wanted = outcome(lambda: measure(lower(architecture), None, convention))
    found = outcome(lambda: KEPT[size][convention].measure(architecture))

    if isinstance(wanted, str) or isinstance(found, str):
        assert found == wanted
        return
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert type(found[name]) is type(value), name
        if isinstance(value, float):
            assert math.isclose(found[name], value, rel_tol=1e-12), name
        else:
            assert found[name] == value, name


@given(architectures(), st.sampled_from(CONVENTIONS), st.sampled_from(sorted(KEPT)))
def test_summaries_measure_what_the_whole_graph_does(
    architecture: Architecture, convention: DepthConvention, size: int
) -> None:
    check(architecture, convention, size)


@given(
    st.lists(stages(), min_size=1, max_size=2),
    st.integers(1, 30),
    st.integers(4, 40),
    st.sampled_from(CONVENTIONS),
    st.sampled_from(sorted(KEPT)),
)
def test_depth_and_small_images_change_nothing_about_that(
    some: list[Stage], depth: int, side: int, convention: DepthConvention, size: int
) -> None:
    # repeated blocks, remainders of groups, maps that end up too small
    least = ((stage, max(stage.branches, stage.dropped + 1)) for stage in some)
    deep = tuple(replace(stage, depth=max(depth, most)) for stage, most in least)
    architecture = Architecture(deep, Stem(8), input_shape=(3, side, side))

    check(architecture, convention, size)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [0, 1000])
def test_published_networks_agree(name: str, size: int) -> None:
    check(family(name), DEFAULT, size)


@given(st.sampled_from([1, 2, 3]), st.integers(0, 3), st.integers(1, 4))
def test_every_place_of_a_cell_draws_its_own_links(
    count: int, seed: int, depth: int
) -> None:
    # equal stages on equal maps, which only the draw tells apart
    cell = Stage(depth=depth + 2, width=16, skip="concat", links=5)
    network = Architecture((cell,) * count, Stem(16), seed=seed)

    check(network, DEFAULT, 1000)


def test_a_cell_that_reads_the_image_is_not_one_that_reads_a_map() -> None:
    cell = Stage("bottleneck", 3, 16, skip="concat", links=5)
    first = Architecture((cell,), input_shape=(16, 8, 8))

    for network in (first, replace(first, stem=Stem(16)), first):
        check(network, DEFAULT, 1000)


@pytest.fixture
def strange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage of a block that cannot be measured alone, or has no mass."""
    wire = request.param
    monkeypatch.setitem(PLAIN._members, "conv", wire)
    return Stage(depth=3, width=8)


def _doubled(layers: Layers, x: int, unit: Unit) -> int:
    # a sum of one node twice, which joins the sum before it
    return layers.add(x, x)


def _crossed(layers: Layers, x: int, unit: Unit) -> int:
    # a concatenation that matches no cell
    arm = layers.conv(layers.conv(x, 4), 2)
    return layers.conv(layers.concat(layers.act(layers.add(arm, arm)), arm, x), 8)


def _oblong(layers: Layers, x: int, unit: Unit) -> int:
    return layers.emit(Conv(8, (1, 5), padding=(0, 2)), x)


def _striding(layers: Layers, x: int, unit: Unit) -> int:
    return layers.conv_norm_act(x, unit.width, stride=2)


@pytest.mark.parametrize("strange", [_striding], indirect=True)
@pytest.mark.parametrize("side", [1, 2, 9])
def test_repetitions_that_stride_on_one_pixel_agree(strange: Stage, side: int) -> None:
    network = Architecture((strange,), Stem(8), input_shape=(3, side, side))

    check(network, DEFAULT, 1000)


def _pooled(layers: Layers, x: int, unit: Unit) -> int:
    # what follows a pooling to a fixed grid sees no window
    return layers.conv(layers.emit(AdaptivePool(4), x), 8, 3)


@pytest.mark.parametrize(
    "strange", [_doubled, _crossed, _oblong, _pooled], indirect=True
)
def test_a_part_that_cannot_be_measured_alone_is_measured_in_its_network(
    strange: Stage,
) -> None:
    after = Stage(width=8, skip="add", span=2)
    network = Architecture((strange, strange, after), Stem(8), input_shape=(3, 8, 8))

    wanted = measure(lower(network))

    assert Summaries().measure(network) == wanted


@pytest.mark.parametrize("strange", [_crossed], indirect=True)
def test_undefined_in_one_part_is_undefined(strange: Stage) -> None:
    values = Summaries().measure(Architecture((strange,), Stem(8)))

    assert values["nn_mass"] is None
    assert values["mass_cells"] is None
    assert values["params"] is not None


def test_every_measure_of_the_catalogue_has_a_rule() -> None:
    assert set(CATALOGUE) == RULED


def test_a_measure_without_a_rule_comes_from_the_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Summaries()
    network = family("resnet18")
    kept.measure(network)
    row = Measure("nodes", lambda s: len(s.structure.graph.nodes), "nodes", "test")
    monkeypatch.setitem(CATALOGUE._members, "nodes", row)

    values = kept.measure(network)

    assert values == pytest.approx(measure(lower(network)), rel=1e-12)
    assert values["nodes"] == len(lower(network).nodes)


def test_names_choose_and_order_and_the_convention_holds() -> None:
    network = family("vgg11")
    convention = DepthConvention(classifier=False)

    values = summarize(network, ["longest_path", "params"], convention)

    assert values == measure(lower(network), ["longest_path", "params"], convention)
    assert list(values) == ["longest_path", "params"]
    with pytest.raises(ValueError, match="Did you mean 'effective_depth'"):
        summarize(network, ["efective_depth"])


def distinct(count: int) -> list[Architecture]:
    return [Architecture((Stage(width=width),)) for width in range(1, count + 1)]


def test_what_is_kept_is_bounded() -> None:
    kept, most = Summaries(size=20), 0
    for network in distinct(100):
        kept.measure(network)
        most = max(most, len(kept))

    # sections, and as many blocks
    assert 20 < most <= 40


def test_nothing_is_kept_without_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, network = Summaries(size=0), family("resnet34")
    first = kept.measure(network)
    emitted = []
    graph = Part.graph
    monkeypatch.setattr(
        Part, "graph", lambda *given: emitted.append(given) or graph(*given)
    )

    again = kept.measure(network)

    assert again == first
    assert len(kept) == 0
    # stem, head, the first stage's block, two in every other stage
    assert len(emitted) == 9


@pytest.mark.parametrize("size", [0, 100])
def test_cost_does_not_grow_with_equal_blocks(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    emitted = []
    graph = Part.graph
    monkeypatch.setattr(
        Part, "graph", lambda *given: emitted.append(given) or graph(*given)
    )
    deep = Stage(depth=100_000, width=8, skip="add", span=2)

    values = Summaries(size=size).measure(Architecture((deep,), Stem(8)))

    assert values["nominal_depth"] == 200_002
    assert values["log2_paths"] == pytest.approx(100_000, rel=1e-12)
    assert len(emitted) == 3


def test_an_equal_architecture_is_measured_without_a_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Summaries()
    first = kept.measure(family("resnet50"))
    monkeypatch.delattr(Part, "graph")

    assert kept.measure(family("resnet50")) == first


def test_another_depth_needs_no_graph_either(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Summaries()
    kept.measure(family("resnet50"))
    wanted = measure(lower(family("resnet152")))
    monkeypatch.delattr(Part, "graph")

    assert kept.measure(family("resnet152")) == pytest.approx(wanted, rel=1e-12)


def test_results_share_nothing_with_what_is_kept() -> None:
    kept, network = Summaries(), family("resnet18")
    first = kept.measure(network)
    wanted = dict(first)
    for name in first:
        first[name] = -1.0

    assert kept.measure(network) == wanted


def test_what_is_used_stays_and_what_is_not_goes() -> None:
    memo = Memo(10)
    memo.put("used", INSEPARABLE)
    memo.put("unused", INSEPARABLE)
    for number in range(50):
        memo.put(number, INSEPARABLE)
        assert memo.get("used") is INSEPARABLE
        assert len(memo) <= 10

    assert memo.get("unused") is None


def test_a_stage_that_lacks_channels_fails_every_time() -> None:
    network = Architecture((Stage(stride=2, pool=2),), input_shape=(3, 1, 1))

    for _ in range(2):
        with pytest.raises(InvalidGraph, match="does not fit a side of 1"):
            summarize(network)


def test_sections_are_stem_stages_and_head() -> None:
    network = Architecture((Stage(), Stage(depth=2)), Stem(), Head(features=8))
    linear = family("nn_mass_mlp")

    kinds = [type(section) for section, _ in sections(network)]

    assert kinds == [Stem, Stage, Stage, Head]
    assert [type(section) for section, _ in sections(linear)] == [Stage]
