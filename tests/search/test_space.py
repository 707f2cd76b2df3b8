"""Facts about spaces: what they draw, how it is taken back, and what is near it."""

from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution

from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture
from nasdepth.guide.draws import Draw, at_quantile, draw_random
from nasdepth.search.space import Space
from nasdepth.search.space_config import GROWTH_STEP, TOPOLOGIES, SpaceConfig

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Small spaces of any topologies, mixed or not, in which every draw is valid."""

    def bounds(low: int, high: int, step: int = 1) -> list[int]:
        first = draw(st.integers(0, (high - low) // step))
        last = draw(st.integers(first, (high - low) // step))
        return [low + step * first, low + step * last]

    def some(values: list[Any]) -> list[Any]:
        return draw(st.lists(st.sampled_from(values), min_size=1, unique=True))

    config = SpaceConfig(
        stages=bounds(1, 3),
        depth=bounds(1, 4),
        width=bounds(16, 40, 8),
        growth=bounds(4, 16, GROWTH_STEP),
        topologies=some(sorted(TOPOLOGIES)),
        kernel=some([1, 3, 5]),
        branches=bounds(2, 4),
        links=bounds(1, 20),
        expansion=some([1, 2, 4]),
        dropped=draw(st.booleans()),
        mixed=draw(st.booleans()),
        stem=some([8, 16]),
        stem_stride=some([1, 2]),
        activation=some(["relu", "gelu", "tanh"]),
        norm=some(["batch", "group", "none"]),
        links_seed=draw(st.integers(0, 3)),
    )
    return Space(config, (3, 32, 32), 7)


def drawn(space: Space, seed: int) -> tuple[Draw, Architecture]:
    draw = Draw(draw_random(np.random.default_rng(seed)))
    return draw, space.sample(draw)


def space(**options: Any) -> Space:
    return Space(SpaceConfig(**options), (3, 32, 32), 10)


@given(spaces(), SEEDS)
def test_params_of_inverts_sample(space, seed):
    draw, architecture = drawn(space, seed)

    assert space.params_of(architecture) == draw.params


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_params_of_inverts_sample_for_every_topology(topology, mixed):
    space = Space(
        SpaceConfig(topologies=(topology,), mixed=mixed, kernel=(1, 3)), (1, 28, 28), 10
    )

    for seed in range(20):
        draw, architecture = drawn(space, seed)
        assert space.params_of(architecture) == draw.params


@given(spaces(), SEEDS)
def test_sample_is_a_function_of_the_parameters(space, seed):
    draw, architecture = drawn(space, seed)

    again = space.sample(Draw(lambda name, distribution: draw.params[name]))

    assert again == architecture


@given(spaces(), SEEDS)
def test_same_seed_draws_the_same(space, seed):
    assert drawn(space, seed)[1] == drawn(space, seed)[1]


def test_other_seeds_draw_others():
    assert len({drawn(space(), seed)[1] for seed in range(20)}) > 15


@given(spaces(), SEEDS)
def test_draws_keep_to_their_distributions(space, seed):
    draw, _ = drawn(space, seed)

    assert draw.params.keys() == draw.distributions.keys()
    for name, distribution in draw.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(draw.params[name]))


@given(spaces(), SEEDS)
def test_architecture_is_for_the_images_and_within_the_ranges(space, seed):
    config, (_, architecture) = space.config, drawn(space, seed)

    assert architecture.input_shape == space.input_shape
    assert architecture.num_classes == space.num_classes
    assert architecture.seed == config.links_seed
    assert config.stages[0] <= len(architecture.stages) <= config.stages[1]
    for stage in architecture.stages:
        low, high = config.growth if stage.links == "all" else config.width
        assert low <= stage.width <= high
        assert config.depth[0] <= stage.depth <= config.depth[1]
        assert stage.kernel in config.kernel


@given(spaces(), SEEDS)
def test_every_stage_but_the_first_halves_the_map(space, seed):
    _, architecture = drawn(space, seed)

    first, *rest = architecture.stages
    assert first.stride == 1
    assert all(stage.stride == 2 for stage in rest)


@given(spaces(), SEEDS)
def test_stages_of_an_unmixed_network_have_one_topology(space, seed):
    _, architecture = drawn(space, seed)

    kinds = {(stage.family, stage.block) for stage in architecture.stages}
    assert len(kinds) == 1 or space.config.mixed


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_topology_draws_its_family_and_block_and_can_be_built(topology):
    _, architecture = drawn(space(topologies=(topology,)), 0)

    graph = lower(architecture)

    kinds = {(stage.family, stage.block) for stage in architecture.stages}
    assert kinds == {TOPOLOGIES[topology]}
    assert graph.nodes[-1].op.features == 10


@given(spaces(), SEEDS)
def test_optuna_trial_and_draw_agree_on_distributions_and_network(space, seed):
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(sampler=sampler)
    trial = study.ask()
    architecture = space.sample(trial)
    draw = Draw(lambda name, distribution: trial.params[name])

    assert space.sample(draw) == architecture
    assert draw.params == trial.params
    assert draw.distributions == trial.distributions


@given(spaces(), SEEDS, SEEDS)
def test_neighbour_differs_in_one_choice_and_what_depends_on_it(space, seed, other):
    old, architecture = drawn(space, seed)
    new = space.perturb(old.params, np.random.default_rng(other))

    neighbour = space.sample(new)

    both = new.params.keys() & old.params.keys()
    changed = [n for n in new.params if n in both and old.params[n] != new.params[n]]
    free = [n for n in changed if contained(new.distributions[n], old.params[n])]
    appeared = new.params.keys() ^ old.params.keys()
    if all(d.single() for d in old.distributions.values()):
        assert neighbour == architecture
    else:
        assert len(free) == 1
        assert changed == free or free[0].endswith("depth")
        assert not appeared or free[0].endswith(("stages", "topology"))


def contained(distribution: Any, value: Any) -> bool:
    return distribution._contains(distribution.to_internal_repr(value))


@given(spaces(), SEEDS, SEEDS)
def test_neighbour_can_be_drawn_again_from_its_parameters(space, seed, other):
    old, _ = drawn(space, seed)
    new = space.perturb(old.params, np.random.default_rng(other))

    neighbour = space.sample(new)

    assert space.params_of(neighbour) == new.params


def test_every_open_choice_is_changed_now_and_then():
    generator = np.random.default_rng(0)
    options = space(kernel=(1, 3), stem=(8, 16), topologies=("plain", "cell"))
    old, _ = drawn(options, 0)

    changed = set()
    for _ in range(200):
        new = options.perturb(old.params, generator)
        options.sample(new)
        common = new.params.keys() & old.params.keys()
        changed |= {name for name in common if new.params[name] != old.params[name]}

    assert changed == {n for n, d in old.distributions.items() if not d.single()}


def test_shrunken_stage_draws_a_width_of_its_group_anew():
    options = space(stages=(1, 1), topologies=("parallel",), depth=(1, 4))
    old = {"stages": 1, "stage1.depth": 4, "stage1.width": 16, "stage1.parallel": 4}

    for seed in range(50):
        new = options.perturb(old, np.random.default_rng(seed))
        stage = options.sample(new).stages[0]
        assert stage.branches <= stage.depth


def test_single_choice_is_no_parameter_and_single_number_is():
    draw, _ = drawn(space(stages=(2, 2), kernel=(3,), stem=(16,)), 0)

    assert not any(name.endswith("kernel") for name in draw.params)
    assert "stem" not in draw.params
    assert draw.params["stages"] == 2


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 5), st.integers(0, 9))
def test_quantile_is_a_member(quantile, step, count):
    distribution = IntDistribution(3, 3 + step * count, step=step)

    assert contained(distribution, at_quantile(distribution, quantile))


@pytest.mark.parametrize(
    "distribution",
    [IntDistribution(4, 16, step=4), CategoricalDistribution(["a", "b", "c", "d"])],
)
def test_quantiles_are_uniform(distribution):
    values = [at_quantile(distribution, (i + 0.5) / 40) for i in range(40)]

    assert [values.count(v) for v in dict.fromkeys(values)] == [10, 10, 10, 10]
