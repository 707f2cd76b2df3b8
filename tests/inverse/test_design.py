"""Designs: against exhaustive enumeration, the MobileNetV2 point, limits, errors."""

from dataclasses import replace
from itertools import product
from random import Random

import numpy as np
import pytest
import torch

from nasdepth.architecture.families import family, mobilenet_v2
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture, Head, Stage, Stem
from nasdepth.inverse import design as inverse
from nasdepth.inverse.bounds import Layer
from nasdepth.inverse.box import Box, designed, links_of
from nasdepth.inverse.design import Unreachable, design
from nasdepth.inverse.parts import Parts
from nasdepth.inverse.routes import Found, cheapest
from nasdepth.measures.catalogue import measure
from nasdepth.network.build import build

SETTINGS = (
    (1, 16, 2, 1),
    (6, 24, 3, 2),
    (6, 32, 4, 2),
    (6, 64, 5, 2),
    (6, 96, 4, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
COSTS = ("params", "macs", "activations", "peak_memory")


def small(*stages: Stage, **options: object) -> Architecture:
    return Architecture(
        stages, Stem(16), **{"input_shape": (3, 16, 16), "num_classes": 5, **options}
    )


def residual(block: str, depth: int, width: int, stride: int = 1) -> Stage:
    span = 2 if block == "conv" else 1
    return Stage(block, depth, width, skip="add", span=span, stride=stride)


def concat(block: str, depth: int, width: int, links: int | str, stride: int) -> Stage:
    return Stage(block, depth, width, skip="concat", links=links, stride=stride)


SMALL = {
    "basic": small(residual("conv", 2, 16), residual("conv", 1, 24, 2)),
    "bottleneck": small(
        residual("bottleneck", 2, 32), residual("bottleneck", 1, 64, 2)
    ),
    "inverted": small(
        residual("inverted", 2, 16),
        residual("inverted", 2, 24, 2),
        head=Head(features=64),
    ),
    "cell": small(concat("conv", 4, 16, 3, 1), concat("conv", 3, 16, 2, 2)),
    "depthwise": replace(
        small(concat("depthwise", 4, 16, 2, 1), concat("depthwise", 3, 16, 2, 2)),
        stem=None,
    ),
    "dense": small(
        concat("conv", 3, 8, "all", 1), concat("bottleneck", 3, 16, "all", 2)
    ),
    "mlp": family("nn_mass_mlp:6:5:3:12:4"),
    "mixed": small(Stage("conv", 1, 16), residual("conv", 2, 16, 2)),
    "parallel": small(
        Stage("conv", 4, 16, branches=2, skip="add"), residual("conv", 1, 16)
    ),
    "inception": small(
        Stage("inception", 1, 24, branches=3), residual("conv", 2, 24, 2)
    ),
}


def every(reference: Architecture, most: int, narrowest: float) -> list[Architecture]:
    """All networks of a box, the slow way."""
    deepest = (most,) * len(reference.stages)
    box = Box(deepest, narrowest)
    per_stage = [
        product(box.depths(place, stage), box.widths(stage), links_of(stage))
        for place, stage in enumerate(reference.stages)
    ]
    return [designed(reference, choices) for choices in product(*per_stage)]


def least(
    reference: Architecture, keep: str, minimize: str, tolerance: float, most: int
) -> float:
    """Least cost over all networks of the box that keep measure and costs."""
    own = measure(lower(reference), (keep, *COSTS))
    found = []
    for each in every(reference, most, 0.3):
        values = measure(lower(each), (keep, *COSTS))
        near = abs(values[keep] - own[keep]) <= own[keep] * (tolerance + 1e-9)
        if near and all(values[cost] <= own[cost] for cost in COSTS):
            found.append(values[minimize])
    return min(found)


# --- exact in its box


@pytest.mark.parametrize("tolerance", [0.0, 0.02, 0.2])
@pytest.mark.parametrize(
    ("name", "keep", "minimize"),
    [
        ("basic", "nn_mass", "params"),
        ("basic", "effective_depth", "macs"),
        ("bottleneck", "nn_mass", "macs"),
        ("inverted", "nn_mass", "params"),
        ("inverted", "nn_mass", "peak_memory"),
        ("bottleneck", "nn_mass", "peak_memory"),
        ("dense", "effective_depth", "peak_memory"),
        ("parallel", "effective_depth", "peak_memory"),
        ("cell", "nn_mass", "params"),
        ("depthwise", "nn_mass", "activations"),
        ("dense", "nn_mass", "params"),
        ("dense", "effective_depth", "params"),
        ("mlp", "nn_mass", "params"),
        ("mixed", "nominal_depth", "params"),
        ("parallel", "effective_depth", "macs"),
        ("inception", "weighted_layers", "params"),
    ],
)
def test_the_design_is_the_least_of_all(
    name: str, keep: str, minimize: str, tolerance: float
) -> None:
    reference = SMALL[name]
    most = max(4, *(stage.depth for stage in reference.stages))

    found = design(
        reference,
        keep,
        minimize,
        tolerance=tolerance,
        max_depth=most,
        min_width=0.3,
    )

    wanted = least(reference, keep, minimize, tolerance, most)
    assert found.best.values[minimize] == wanted
    assert found.proved
    assert found.best.bound == wanted


@pytest.mark.parametrize("name", SMALL)
def test_parts_add_up_to_the_whole(name: str) -> None:
    reference = SMALL[name]
    linked = name in ("cell", "depthwise", "mlp")
    kept = ("nn_mass", "nominal_depth", "mass_cells")
    kept += () if linked else ("effective_depth", "merge_depth", "log2_paths")
    names = (*kept, "params", "macs", "activations", "live_params")
    parts = Parts(reference, Box((5,) * len(reference.stages), 0.3), names)
    random = Random(0)

    for _ in range(20):
        route, total = walked(parts, random)
        values = measure(
            lower(designed(reference, parts.choices(route))), (*names, "peak_memory")
        )
        assert dict(zip(names, total, strict=False)) == pytest.approx(
            {each: values[each] for each in names}
        )
        # links that no later layer draws from free their layers' maps
        low = 0.5 if linked else 1.0
        assert low * total[-1] <= values["peak_memory"] <= total[-1]


def walked(parts: Parts, random: Random) -> tuple[list[object], np.ndarray]:
    """A random route over the parts, and what it adds up to."""
    state, route, total = 0, [], np.zeros(len(parts.names) + 1)
    for edges in parts._edges:
        picked = [edge for edge in edges if edge[0] == state]
        _, state, vector, choice = random.choice(picked)
        peak = max(total[-1], vector[-1])
        total = total + vector
        total[-1] = peak
        route.append(choice)
    return route, total


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("whole", [True, False])
def test_the_cheapest_route_is_the_least_of_all(seed: int, *, whole: bool) -> None:
    generator = np.random.default_rng(seed)
    layers = [random_layer(generator, whole=whole) for _ in range(3)]
    limits = [np.inf, 18.0, 20.0]
    window = (9.0, 10.0)

    found = cheapest(layers, window, limits)

    costs = [
        sum(layer.costs[e] for layer, e in zip(layers, edges, strict=True))
        for edges in product(*(range(len(layer.choices)) for layer in layers))
        if leads(layers, edges) and 9 <= kept_by(layers, edges) <= 10
    ]
    fitting = [cost[0] for cost in costs if (cost <= limits).all()]
    assert found.proved
    assert (found.route and found.route.costs[0]) == (min(fitting) if fitting else None)


def random_layer(generator: np.random.Generator, *, whole: bool) -> Layer:
    kept = generator.integers(0, 7, 9) + (0 if whole else generator.random(9))
    source, target = np.repeat([0, 1, 2], 3), np.tile([0, 1, 2], 3)
    costs = generator.integers(1, 12, (9, 3)).astype(float)
    return Layer(source, target, kept.astype(float), costs, tuple(range(9)))


def leads(layers: list[Layer], edges: tuple[int, ...]) -> bool:
    state = 0
    for layer, edge in zip(layers, edges, strict=True):
        if layer.source[edge] != state:
            return False
        state = layer.target[edge]
    return True


def kept_by(layers: list[Layer], edges: tuple[int, ...]) -> float:
    return float(sum(a.kept[e] for a, e in zip(layers, edges, strict=True)))


def test_a_route_that_is_refused_leaves_the_proof_open() -> None:
    ends = np.zeros(2, int)
    layer = Layer(ends, ends, np.array([1.0, 1.0]), np.array([[1.0], [2.0]]), (0, 1))
    other = replace(layer, kept=np.array([1.0, 2.0]))

    found = cheapest([other], (1, 2), [np.inf], lambda route: route.kept == 2)

    assert found.route is not None
    assert found.route.choices == (1,)
    assert not found.proved
    assert found.bound == 1


# --- the authors' point


def test_the_mobilenet_of_the_authors_lies_in_the_box() -> None:
    reference, theirs = family("mobilenet_v2:1.4"), mobilenet_v2(1.1, SETTINGS)
    box = Box(tuple(2 * stage.depth + 2 for stage in reference.stages), 0.5)
    choices = [(stage.depth, stage.width, stage.links) for stage in theirs.stages]

    values = measure(lower(theirs), ("nn_mass", "params"))

    assert values == {"nn_mass": 1797, "params": 4_304_504}
    assert designed(reference, choices) == theirs
    for place, (own, stage) in enumerate(
        zip(reference.stages, theirs.stages, strict=True)
    ):
        assert stage.width in box.widths(own)
        assert stage.depth in box.depths(place, own)


@pytest.mark.slow
def test_the_mobilenet_of_the_authors_is_beaten() -> None:
    reference = family("mobilenet_v2:1.4")
    own = measure(lower(reference), COSTS)
    theirs = measure(lower(mobilenet_v2(1.1, SETTINGS)), COSTS)

    found = design(reference)

    rows = {row.label: row for row in found.rows}
    assert list(rows) == [
        "reference",
        "closed form",
        "within 0 %",
        "within 0.5 %",
        "within 1 %",
        "within 2 %",
    ]
    assert found.proved
    assert found.best == rows["within 1 %"]
    assert rows["reference"].values["params"] == 6_108_776
    for label in ("closed form", "within 0 %", "within 0.5 %"):
        values = rows[label].values
        assert values["nn_mass"] >= 1797
        assert values["params"] < theirs["params"] == 4_304_504
        assert values["macs"] < theirs["macs"]
        assert all(values[cost] <= own[cost] for cost in COSTS)
    params = [row.values["params"] for row in found.rows[2:]]
    assert params == sorted(params, reverse=True)


# --- closed form, limits


def test_the_closed_form_of_a_cell_narrows_it_to_its_links() -> None:
    reference = small(concat("conv", 8, 32, 10, 1))

    row = design(reference).rows[1]

    assert row.architecture is not None
    assert row.architecture.stages[0].width == 16
    assert row.architecture.stages[0].links == 10
    assert row.values["nn_mass"] == design(reference).rows[0].values["nn_mass"]


def test_the_closed_form_of_blocks_is_deeper_and_narrower() -> None:
    reference = small(residual("conv", 3, 64), residual("conv", 3, 128, 2))

    found = design(reference, tolerance=0.1)

    reference_row, closed = found.rows[:2]
    assert closed.architecture is not None
    pairs = zip(closed.architecture.stages, reference.stages, strict=True)
    assert all(new.depth > old.depth and new.width < old.width for new, old in pairs)
    assert closed.values["nn_mass"] == pytest.approx(
        reference_row.values["nn_mass"], rel=0.1
    )
    assert found.best.values["params"] <= closed.values["params"]


def test_budgets_are_kept() -> None:
    reference = SMALL["basic"]
    free = design(reference, tolerance=0.1).best.values
    budgets = {"nominal_depth": free["nominal_depth"] - 2, "macs": 1e9}

    found = design(reference, tolerance=0.1, budgets=budgets)

    assert found.best.values["nominal_depth"] <= budgets["nominal_depth"]
    assert found.best.values["params"] >= free["params"]
    assert found.budgets["macs"] == 1e9


def test_depth_and_width_keep_to_their_limits() -> None:
    found = design(SMALL["basic"], max_depth=2, min_width=1.0)

    assert found.best.architecture is not None
    for stage, own in zip(
        found.best.architecture.stages, SMALL["basic"].stages, strict=True
    ):
        assert stage.depth <= 2
        assert stage.width == own.width


def test_two_runs_agree() -> None:
    assert design(SMALL["inverted"]) == design(SMALL["inverted"])


def test_stem_and_head_keep_their_ratio_to_the_stages() -> None:
    found = designed(SMALL["inverted"], [(1, 8, 0), (1, 8, 0)])

    assert found.stem is not None
    assert found.stem.width == 8
    assert found.head.features == 24  # 64 * 8 / 24, to the nearest multiple of 8


def test_wide_stages_are_stepped_through_coarsely() -> None:
    widths = Box((1,), 0.5).widths(Stage("conv", 1, 2048))

    assert widths == list(range(1024, 2049, 32))


@pytest.mark.parametrize("name", ["inverted", "cell", "dense"])
def test_a_design_runs(name: str) -> None:
    best = design(SMALL[name]).best.architecture
    assert best is not None

    read = Architecture.from_json(best.to_json())
    scores = build(read, seed=0).eval()(torch.zeros(2, *read.input_shape))

    assert scores.shape == (2, read.num_classes)


# --- what fails


def test_nothing_in_the_box_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(Unreachable, match=r"nn_mass .* the nearest found has \d+"):
        design(SMALL["basic"], budgets={"nominal_depth": 8}, max_depth=1)


def test_budgets_that_nothing_meets_are_an_error() -> None:
    with pytest.raises(Unreachable, match="none within 100 % either"):
        design(SMALL["basic"], budgets={"macs": 10})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": -0.1}, r"tolerance must be in \[0, 1\), but got -0.1"),
        ({"tolerance": 1.0}, "tolerance must be in"),
        ({"max_depth": -1}, "max_depth must be 0 or more, but got -1"),
        ({"min_width": 0.0}, r"min_width must be in \(0, 1\], but got 0.0"),
        ({"minimize": "nn_mass"}, "choose from: .*macs.*params"),
        ({"keep": "mass"}, "Unknown measure 'mass'"),
        ({"keep": "params"}, "neither the minimised cost nor peak_memory"),
        ({"keep": "peak_memory"}, "neither the minimised cost nor peak_memory"),
        ({"keep": "path_sd"}, "path_sd does not add up"),
        ({"budgets": {"macs": float("nan")}}, "Budget macs must be 0 or more"),
        ({"budgets": {"mac": 1.0}}, "Unknown measure 'mac'.*Did you mean 'macs'"),
    ],
)
def test_bad_options_are_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        design(SMALL["basic"], **options)


def test_a_reference_without_a_mass_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"nn_mass of the reference is 0.*depth"):
        design(small(Stage("conv", 2, 16)))


def test_the_reference_stands_where_nothing_less_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = Found(None, 5.0)
    monkeypatch.setattr(inverse, "cheapest", lambda *args, **options: lost)

    found = design(SMALL["basic"], tolerance=0, max_depth=2, min_width=1.0)

    assert found.best.architecture == SMALL["basic"]
    assert (found.best.label, found.best.bound) == ("within 0 %", 5)
    assert not found.proved


def test_a_known_solution_is_only_undercut() -> None:
    ends = np.zeros(2, int)
    layer = Layer(ends, ends, np.ones(2), np.array([[1.0], [2.0]]), ("a", "b"))

    assert cheapest([layer], (1, 1), [np.inf], upper=1.5).route is not None
    assert cheapest([layer], (1, 1), [np.inf], upper=1.0).route is None


@pytest.mark.parametrize("block", ["conv", "bottleneck"])
def test_branches_do_not_set_the_depth(block: str) -> None:
    stages = (Stage("inception", 1, 24, branches=4), residual(block, 1, 24))

    closed = design(small(*stages), "nominal_depth", tolerance=0).rows[1]

    assert closed.architecture is not None
    assert closed.architecture.stages[0].depth == 1
