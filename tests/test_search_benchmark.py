"""The search benchmark: what is paid, what is free, and how methods are compared."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from click.testing import CliRunner
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler

from nasdepth.evidence.nasbench201_cells import DEAD, EDGES, OPERATIONS, live

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(FOLDER))  # last: its coverage.py is not the package of that name

import search_methods as methods  # noqa: E402  # found by the line above
import search_report as page  # noqa: E402
import search_rows as rows  # noqa: E402
import search_tables as tables  # noqa: E402


def _loaded() -> Any:
    """The script; a folder of the tests has its name."""
    spec = spec_from_file_location("search_benchmark", FOLDER / "search.py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = _loaded()
SIZES = {"nor_conv_1x1": 10, "nor_conv_3x3": 90}


def _network(cell: tuple[str, ...]) -> tables.Network:
    size = 100 + sum(SIZES.get(name, 0) for name in cell)
    digest = sha256("".join(cell).encode()).hexdigest()
    tie = int(digest[:6], 16) / 16**8
    mean = 60 + size / 100 - cell.count("avg_pool_3x3") + tie
    return tables.Network(
        digest=digest,
        cell=cell,
        size=size,
        mean=mean,
        runs=((mean - 0.1, 0.0), (mean + 0.1, 0.0)),
        short=(mean / 2,),
        measures={"live_params": float(size), "effective_depth": 3.0, "nn_mass": -9.0},
    )


@pytest.fixture(scope="module")
def table() -> tables.Table:
    every = list(product(OPERATIONS, repeat=len(EDGES)))
    bare = sorted({live(cell) for cell in every} - {DEAD})
    known = {cell: _network(cell) for cell in bare}
    cells = {cell: known[live(cell)] for cell in every if live(cell) != DEAD}
    return tables.Table(cells, {network.digest: network for network in known.values()})


@pytest.fixture(scope="module")
def half(table: tables.Table) -> tables.Task:
    return tables.made("cifar10@50", table)


@pytest.fixture(scope="module")
def epochs(table: tables.Table) -> tables.Task:
    return tables.made("cifar10@50:epochs", table)


@pytest.fixture(scope="module")
def hopeless(epochs: tables.Task) -> tables.Task:
    """Its target is out of reach: searches go on to their cap."""
    return replace(epochs, best=1_000.0, top=1_000.0)


Run = Callable[..., Any]


@pytest.fixture
def run() -> Run:
    def searched(known: tables.Task, name: str, cap: int = 30, seed: int = 0) -> Any:
        ledger = script.Ledger(known, seed, cap=cap)
        return script.run(ledger, methods.METHODS[name])

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return searched


def _row(seed: int, found: int | None, *, spent: int = 300, **other: Any) -> rows.Row:
    known: dict[str, Any] = {
        "task": "cifar10@50",
        "method": "tpe",
        "seed": seed,
        "until": "found",
        "cap": 300,
        "networks": spent,
        "shorts": 0,
        "epochs": 200 * spent,
        "blind": 10.0,
        "unit": 1,
        "found_half": found,
        "found_top": found,
        "held_half": None,
        "held_top": None,
        "asked": 400,
        "fallbacks": 0,
        "seconds": 0.01,
        "trace": "1:4 51:2",
    }
    return rows.Row(**(known | other))


def _runs(*costs: int | None) -> Mapping[int, rows.Row]:
    return {seed: _row(seed, cost) for seed, cost in enumerate(costs)}


def test_the_half_is_strictly_under_the_median_of_live_parameters(
    table: tables.Table, half: tables.Task
) -> None:
    sizes = sorted(network.size for network in table.networks.values())

    middle = (sizes[len(sizes) // 2 - 1] + sizes[len(sizes) // 2]) / 2

    assert max(network.size for network in half.networks) < middle == half.limit
    assert len(half.networks) == sum(size < middle for size in sizes)


def test_a_network_breaks_the_rules_from_the_limit_on(half: tables.Task) -> None:
    known = half.networks[0]
    limit = round(half.limit)

    sizes = (limit - 1, limit, 2 * limit)

    found = [half.violation(replace(known, size=size)) for size in sizes]
    assert found[0] <= 0 < found[1] < found[2]


def test_a_cell_without_a_path_may_not_be_trained(half: tables.Task) -> None:
    dead = dict.fromkeys(tables.NAMES, "none")

    assert half.violation(half.network(dead)) == 1
    assert not half.feasible(dead)


def test_dead_edges_do_not_tell_networks_apart(half: tables.Task) -> None:
    bare = dict.fromkeys(tables.NAMES, "none") | {"edge3": "skip_connect"}

    assert half.network(bare) is half.network(bare | {"edge0": "nor_conv_3x3"})


def test_the_top_is_a_thousandth_of_the_networks_rounded_up(half: tables.Task) -> None:
    count = len(half.networks)

    top = sum(network.mean >= half.top for network in half.networks)

    assert count % 1000
    assert top == count // 1000 + 1


def test_a_training_is_the_same_for_all_methods_of_a_seed(half: tables.Task) -> None:
    network = half.networks[5]

    values = [network.trained(seed) for seed in range(20)]

    assert values == [network.trained(seed) for seed in range(20)]
    assert set(values) == {network.mean - 0.1, network.mean + 0.1}


def test_a_network_is_paid_once(half: tables.Task) -> None:
    ledger = script.Ledger(half, 0)

    values = [ledger.train(half.networks[0]) for _ in range(3)]

    assert ledger.cost == 1
    assert len(set(values)) == 1


def test_finishing_a_short_training_pays_the_full_one_alone(
    epochs: tables.Task,
) -> None:
    ledger = script.Ledger(epochs, 0)
    network = epochs.networks[0]

    costs = []
    for act in (ledger.glance, ledger.glance, ledger.train, ledger.train):
        act(network)
        costs.append(ledger.cost)

    assert costs == [12, 12, 212, 212]


def test_the_incumbent_is_the_best_seen_and_its_regret_is_in_means(
    half: tables.Task,
) -> None:
    poor = min(half.networks, key=lambda n: n.mean)
    good = max(half.networks, key=lambda n: n.mean)
    lucky = replace(poor, digest="f" * 64, runs=((good.mean + 5, 0.0),))
    ledger = script.Ledger(half, 0)

    for network in (lucky, good):
        ledger.train(network)

    assert ledger.incumbent is lucky
    assert ledger.trace == [(1, round(half.best - lucky.mean, 4))]
    assert ledger.reached == {"found_half": 2, "found_top": 2}


@pytest.mark.parametrize(
    "name", ["tpe", "tpe-independent", "nsgaii", "random", "size", "evolution"]
)
def test_a_method_pays_up_to_the_cap_for_networks_under_the_limit(
    half: tables.Task, run: Run, name: str
) -> None:
    ledger = run(half, name)

    assert ledger.cost == len(ledger.long) == 30 <= ledger.asked
    assert ledger.long.keys() <= {network.digest for network in half.networks}


def test_grouped_tpe_suggests_what_the_default_does(
    half: tables.Task, run: Run
) -> None:
    default, grouped = run(half, "tpe", 40), run(half, "tpe-group", 40)

    assert list(default.long.items()) == list(grouped.long.items())


def test_ranking_by_size_begins_with_the_largest(half: tables.Task, run: Run) -> None:
    known = {network.digest: network.size for network in half.networks}

    ledger = run(half, "size", 50)

    sizes = [known[digest] for digest in ledger.long]
    assert sizes == sorted(known.values(), reverse=True)[:50]
    assert run(half, "size", 50, 1).long.keys() != ledger.long.keys()


def test_a_method_that_repeats_itself_is_given_a_random_network(
    half: tables.Task,
) -> None:
    cell = tables.params_of(half.networks[0])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        stuck: BaseSampler = PartialFixedSampler(cell, RandomSampler(seed=0))
    ledger = script.Ledger(half, 0, cap=4)

    script.run(ledger, methods.Method(lambda task, seed: stuck))

    assert (len(ledger.long), ledger.fallbacks) == (4, 3)
    assert ledger.asked == 1 + 3 * (script.FREE + 1)


def test_halving_ends_most_trainings_after_12_epochs(
    hopeless: tables.Task, run: Run
) -> None:
    ledger = run(hopeless, "random+halving3", 10)

    assert ledger.cost == 12 * len(ledger.short) + 200 * len(ledger.long)
    assert len(ledger.long) < len(ledger.short) / 2


def test_the_guide_asks_for_nothing_that_is_free(half: tables.Task, run: Run) -> None:
    ledger = run(half, "guided", 14)

    assert ledger.asked == len(ledger.long) == 14


def test_the_guide_with_short_runs_finishes_one_in_ten(
    hopeless: tables.Task, run: Run
) -> None:
    ledger = run(hopeless, "guided+short", 3)

    # the budget is for 20 trials; the 10th and the 20th finish the best of the others
    assert (len(ledger.long), len(ledger.short)) == (2, 18)


def test_sizes_are_features_on_their_logarithm_where_they_have_one(
    half: tables.Task,
) -> None:
    network = half.networks[0]

    found = methods.features(
        half,
        ("live_params", "effective_depth", "nn_mass", "macs"),
        tables.params_of(network),
    )

    expected = {"live_params": np.log(network.size), "effective_depth": 3.0}
    assert found == expected | {"nn_mass": None, "macs": None}


def test_the_area_lies_under_the_median_regret_to_100_networks() -> None:
    runs = [_row(0, 1, trace="1:4 51:2"), _row(1, 1, trace="1:4 101:0")]

    # blind never; medians of (4, 4) for 50 networks, then of (2, 4) for 50
    assert rows.area(runs) == 50 * 4 + 50 * 3


def test_before_the_first_incumbent_the_regret_is_that_of_the_median_network() -> None:
    late = [_row(0, 1, trace="2400:1", unit=200, cap=60_000)]

    assert rows.area(late) == 11 * 10 + 89 * 1


def test_a_ratio_is_of_medians_against_the_better_of_the_others() -> None:
    ours, slow, fast = _runs(10, 20, 30), _runs(90, 90, 90), _runs(40, 40, 40)

    found = rows.ratio(ours, [slow, fast], "found_half")

    assert (found.value, found.low, found.high) == (0.5, 0.25, 0.75)


def test_a_median_at_the_cap_bounds_the_ratio() -> None:
    reached, missed = _runs(30, 30, 30), _runs(None, None, 20)

    assert str(rows.ratio(reached, [missed], "found_half")).startswith("≤ 0.10")
    assert str(rows.ratio(missed, [reached], "found_half")).startswith("≥ 10.00")


def test_only_seeds_that_both_have_are_compared() -> None:
    ours = _runs(10, 10, 10, 10)
    other = dict(list(_runs(20, 20, 1, 1).items())[:2])

    assert rows.ratio(ours, [other], "found_half").value == 0.5


def test_a_target_that_was_left_open_before_the_cap_is_not_compared() -> None:
    early = {0: _row(0, 20, spent=100), 1: _row(1, 20, spent=100)}

    assert rows.ratio(early, [early], "held_half") is None
    assert rows.ratio(early, [early], "found_half").value == 1


def test_the_lower_cap_counts_for_both() -> None:
    capped = {seed: _row(seed, None, cap=100, spent=100) for seed in range(2)}

    found = rows.ratio(capped, [_runs(250, 250)], "found_half")

    assert (found.value, found.sign) == (1.0, "")


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    known = [_row(0, None), _row(1, 7)]

    for row in known:
        script.append(tmp_path / "runs.csv", row)

    assert rows.read(tmp_path / "runs.csv", rows.Row) == known


def test_methods_are_interleaved_seed_by_seed() -> None:
    found = list(script.wanted(["a", "b"], ["x", "y"], range(2)))

    assert found[:4] == [("a", "x", 0), ("a", "y", 0), ("b", "x", 0), ("b", "y", 0)]
    assert {seed for _, _, seed in found[4:]} == {1}


def test_the_page_says_where_size_alone_wins() -> None:
    quick = [replace(row, method="size") for row in _runs(2, 2, 2).values()]
    guided = [replace(row, method="guided") for row in _runs(20, 20, 20).values()]

    text = page.report_on([*quick, *guided], [])

    assert "Plain ranking by size wins here: it needs 1/10.0 as many." in text
    assert "wins" not in page.report_on(guided, [])


def test_the_page_holds_the_guide_against_its_figures() -> None:
    guided = [replace(row, method="guided") for row in _runs(20, 20, 20).values()]
    other = [*_runs(50, 50, 50).values()]

    text = page.report_on([*guided, *other], [])

    assert "| `cifar10@50` | better TPE | 0.40 [0.40, 0.40] | yes | no |" in text


def test_equal_rows_count_once_and_the_first_of_them() -> None:
    assert page.ordered([_row(1, 5), _row(0, 3), _row(1, 9)]) == [
        _row(0, 3),
        _row(1, 5),
    ]


@pytest.mark.parametrize("name", ["cifar11", "cifar10@25", "cifar10:short"])
def test_an_unknown_task_is_named_with_the_choices(name: str) -> None:
    with pytest.raises(ValueError, match=rf"DATA one of cifar10, .* got '{name}'"):
        tables.task(name)


def test_an_unknown_method_is_named_with_the_choices() -> None:
    result = CliRunner().invoke(script.main, ["--methods", "tpe,annealing"])

    assert "Unknown method 'annealing'; choose from: guided" in str(result.exception)


def test_epochs_need_the_short_results(table: tables.Table) -> None:
    bare = {
        name: replace(network, short=()) for name, network in table.networks.items()
    }

    with pytest.raises(ValueError, match="must have a --table with the 12-epoch"):
        tables.made("cifar10:epochs", tables.Table(table.cells, bare))
