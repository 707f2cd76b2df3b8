"""The benchmark of early results: who goes on, what is paid, what is told."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.pruners import SuccessiveHalvingPruner
from scipy.stats import spearmanr

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(FOLDER))  # last: its coverage.py is not the package of that name

import fidelity_compare as compare  # noqa: E402  # found by the line above
import fidelity_ranks as ranks  # noqa: E402
import fidelity_report as report  # noqa: E402
import fidelity_search as search  # noqa: E402
import fidelity_trainings as trainings  # noqa: E402

LENGTHS = {"wsd": 9, "one-cycle": 9, "one-cycle-1": 1, "one-cycle-3": 3, "cooled": 3}


def row(network=0, replicate=0, recipe="wsd", accuracy=0.5):
    length = LENGTHS[recipe]
    return trainings.Row(
        network, f"d{network}", 100, 1_000, replicate, recipe, 1.5,
        (accuracy,) * length, (accuracy,) * min(length, 2), (1 - accuracy,) * length,
    )  # fmt: skip


def rows_of(worth, replicates=3, mid_run=None):
    """Trainings whose early results rank as the worth, one-cycle's as told."""
    found = []
    for network, value in enumerate(worth):
        for replicate in range(replicates):
            for recipe in LENGTHS:
                each = row(network, replicate, recipe, value + 0.001 * replicate)
                if recipe == "one-cycle" and mid_run is not None:
                    early = (mid_run[network],) * 8
                    each = replace(each, accuracies=(*early, each.accuracies[-1]))
                found.append(each)
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """All trainings of one tiny network, and the file that they are in."""
    path = tmp_path_factory.mktemp("fidelity") / "rows.csv"
    drawn = trainings.sample(trainings.QUICK, 1)
    trainings.run_all(drawn, path, replicates=1)
    return drawn, path


def test_a_training_that_is_in_the_file_is_not_run_again(trained):
    drawn, path = trained
    new = []

    trainings.run_all(drawn, path, replicates=1, seen=new.append)

    assert new == []
    assert [row.recipe for row in trainings.read(path)] == list(trainings.RECIPES)


def test_every_recipe_trains_the_epochs_it_promises(trained):
    rows = trainings.read(trained[1])

    assert {row.recipe: len(row.accuracies) for row in rows} == LENGTHS


def test_a_cooled_branch_leaves_the_training_as_it_was(trained):
    rows = {row.recipe: row for row in trainings.read(trained[1])}

    assert rows["cooled"].losses == rows["wsd"].losses[:3]
    assert rows["cooled"].raw == rows["wsd"].raw
    assert rows["cooled"].accuracies != rows["wsd"].accuracies[:3]


def test_one_cycle_is_judged_by_its_raw_weights(trained):
    rows = {row.recipe: row for row in trainings.read(trained[1])}

    assert rows["one-cycle"].raw == rows["one-cycle"].accuracies[0:3:2]


def test_a_row_is_read_back_as_it_was_written(tmp_path):
    written = row(recipe="cooled")

    trainings.append(tmp_path / "rows.csv", written)

    assert trainings.read(tmp_path / "rows.csv") == [written]


def test_halving_prunes_as_optuna_does():
    generator = np.random.default_rng(3)
    values = [generator.integers(9, size=(4, 20)).astype(float) for _ in range(2)]

    found = search.halving(values, (1, 2, 6))

    for order in range(4):
        paid, finished = by_optuna(values[0][order], values[1][order])
        assert found.finished[order].tolist() == finished
        assert found.paid[order].tolist() == paid


def by_optuna(first, second):
    pruner = SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    paid, finished = [0], []
    for early in zip(first, second, strict=True):
        trial, last = study.ask(), 9
        for epoch, value in zip((1, 3), early, strict=True):
            trial.report(value, epoch)
            if trial.should_prune():
                last = epoch
                break
        pruned = optuna.trial.TrialState.PRUNED
        study.tell(trial, **({"values": 0.0} if last == 9 else {"state": pruned}))
        paid.append(paid[-1] + last)
        finished.append(last == 9)
    return paid[1:], finished


def test_an_incumbent_is_the_best_seen_and_worth_its_truth():
    paid = np.array([[9.0, 10.0, 19.0, 28.0]])
    finished = np.array([[True, False, True, True]])
    seen = search.Search(paid, finished)
    final = np.array([[0.5, 0.99, 0.7, 0.6]])
    truth = np.array([[0.1, 0.2, 0.3, 0.4]])

    worth = search.held(seen, final, truth, 30, first=9)

    assert worth.tolist() == [0.1] * 10 + [0.3] * 12


def test_worth_is_the_mean_over_the_orders():
    seen = search.everything(2, 2, 9)
    final = np.array([[0.1, 0.2], [0.2, 0.1]])

    worth = search.held(seen, final, final, 18, first=9)

    assert worth.tolist() == pytest.approx([0.15] * 9 + [0.2])


@pytest.mark.parametrize(
    ("level", "epochs"), [(0.1, 9), (0.2, 11), (0.3, float("inf"))]
)
def test_epochs_until_a_worth_are_counted_from_the_first(level, epochs):
    assert search.epochs_until(np.array([0.1, 0.1, 0.2]), level, first=9) == epochs


def test_the_best_few_are_of_the_networks_that_were_taken():
    early = np.array([[0.1, 0.3, 0.2, 0.9]])

    kept = search.best_first(early, 3, 2)

    assert kept.tolist() == [[False, True, True, False]]


def test_the_best_that_is_left_is_finished_after_each_so_many_networks():
    early = np.array([[0.5, 0.9, 0.8, 0.1, 0.2, 0.3, 0.99]])

    assert search.confirmed(early, 2).tolist() == [[1, 2, 0]]


def test_a_search_without_a_finished_network_is_worth_nothing():
    seen = search.everything(1, 2, 9)
    final = np.array([[0.1, 0.2]])

    worth = search.held(seen, final, final, 10, first=7)

    assert worth.tolist() == [-np.inf, -np.inf, 0.1, 0.1]


def test_searches_meet_all_networks_and_replicates_alike():
    met = search.meet(np.array([3, 5, 5]), 3, (200, 100), np.random.default_rng(0))

    assert (met.networks == 5).mean() == pytest.approx(2 / 3, abs=0.02)
    assert np.bincount(met.replicates.ravel()) / 20_000 == pytest.approx(
        1 / 3, abs=0.02
    )


def test_the_truth_leaves_a_result_s_own_replicate_out():
    finals = np.array([[0.1, 0.2, 0.6]])

    assert ranks.of_others(finals)[0] == pytest.approx([0.4, 0.35, 0.15])


def test_spearman_is_scipy_s_with_ties():
    generator = np.random.default_rng(0)
    first, second = generator.integers(6, size=(2, 3, 15))

    found = ranks.spearman(first, second)

    wanted = [spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    assert found == pytest.approx(wanted)


def test_the_spread_of_networks_is_free_of_their_replicates():
    generator = np.random.default_rng(1)
    finals = generator.normal(0, 0.03, (4_000, 1)) + generator.normal(
        0, 0.02, (4_000, 3)
    )

    assert ranks.spread(finals) == pytest.approx((0.03, 0.02), rel=0.05)


def test_a_training_that_diverged_is_the_worst():
    rows = rows_of([0.5, 0.6, 0.7])
    rows[0] = replace(rows[0], accuracies=(), raw=(), losses=())

    found = ranks.measured(rows)

    assert found.diverged == 1
    assert found.finals["wsd"][0, 0] == 0
    assert found.signals["rung", 1][0, 0] == 0
    assert found.signals["loss", 3][0, 0] == -np.inf


def test_a_lower_loss_is_the_better_signal():
    found = ranks.measured(rows_of([0.5, 0.6, 0.7]))

    assert np.diff(found.signals["loss", 1][:, 0]) == pytest.approx(0.1)


def test_sizes_are_signals_of_no_epochs():
    rows = [replace(r, macs=10 + r.network) for r in rows_of([0.5, 0.6])]

    assert ranks.measured(rows).signals["macs", 0].tolist() == [[10] * 3, [11] * 3]


def test_a_replicate_that_lacks_a_network_is_left_out():
    rows = [r for r in rows_of([0.5, 0.6]) if (r.network, r.replicate) != (1, 2)]

    found = ranks.measured(rows)

    assert found.shape == (2, 2)
    assert found.rows == 2 * 2 * len(LENGTHS)


def test_cooled_branches_may_be_missing():
    rows = [r for r in rows_of([0.5, 0.6]) if r.recipe != "cooled"]

    found = ranks.measured(rows)

    assert ("cooled", 1) not in found.signals
    assert found.shape == (2, 3)


def test_one_whole_replicate_has_no_truth():
    with pytest.raises(ValueError, match="at least 2 replicates, but are in 1"):
        ranks.measured(rows_of([0.5, 0.6], replicates=1))


@pytest.mark.parametrize("name", list(compare.FAMILIES))
def test_a_rival_spends_its_epochs_all_but_a_short_training(name):
    family = compare.FAMILIES[name]

    for choice in compare.choices(family, 60):
        spent = choice.taken * choice.early + choice.kept * family.rest(choice.early)
        assert choice.kept <= choice.taken <= compare.LENGTH
        assert 60 - choice.early < spent <= 60


def test_the_plain_rival_finishes_one_in_nine():
    choice = compare.plain_choice(compare.FAMILIES["top K of a rung, going on"], 90)

    assert choice == compare.TopK(early=1, kept=5, taken=50)


def test_the_best_choice_is_not_below_the_plain_one():
    results = ranks.measured(rows_of(np.linspace(0.4, 0.8, 30)))

    found, _ = compare.replay(results, 0, count=50)

    for name in compare.FAMILIES:
        best, plain = (
            found[f"at 90: {name}, {which}"] for which in ("best K", "one in nine")
        )
        assert best[0] <= plain[0]
    assert found["at 90: top K of a rung, going on, best K"][0] < 1.0


def test_a_perfect_rung_halves_the_epochs_and_a_useless_one_does_not():
    worth = np.linspace(0.4, 0.8, 30)
    noise = np.random.default_rng(5).permutation(worth)
    results = ranks.measured(rows_of(worth, mid_run=noise))

    found, _ = compare.replay(results, 0, count=200)

    assert found["level 20: halving by rungs"][0] < 0.5
    confirmed = found["level 20: the best of ten rungs goes on"]
    assert confirmed[0] == pytest.approx(0.2, abs=0.05)
    assert found["level 20: halving by one-cycle mid-run"][0] > 0.8
    assert found["level 20: no pruning"][0] == 1


def test_cooled_branches_are_paid():
    results = ranks.measured(rows_of(np.linspace(0.4, 0.8, 30)))

    found, _ = compare.replay(results, 0, count=200)

    plain, cooled = (
        found[f"level 20: halving by {signal}"][0]
        for signal in ("rungs", "cooled branches")
    )
    assert 1.1 < cooled / plain < 1.4


@pytest.mark.parametrize(
    ("mid_run", "verdict"), [("useless", " met |"), ("perfect", " **not met** |")]
)
def test_the_page_says_whether_a_goal_is_met(mid_run, verdict):
    worth = np.linspace(0.4, 0.8, 12)
    shuffled = np.random.default_rng(0).permutation(worth)
    rows = rows_of(worth, mid_run=shuffled if mid_run == "useless" else worth)

    page = report.page(rows, draws=99, replayed=5)

    goals = [line for line in page.splitlines() if "minus one-cycle mid-run" in line]
    assert len(goals) == 2
    assert all(line.endswith(verdict) for line in goals)


def test_committed_rows_are_whole_in_at_least_two_replicates():
    rows = trainings.read(FOLDER / "fidelity.csv")

    networks, replicates = ranks.measured(rows).shape

    assert networks == trainings.NETWORKS
    assert replicates >= 2


def test_committed_page_tells_the_ranks_of_the_rows():
    results = ranks.measured(trainings.read(FOLDER / "fidelity.csv"))
    page = (FOLDER / "fidelity.md").read_text(encoding="utf-8")

    for (name, epoch), signal in results.signals.items():
        for truth in results.truths.values():
            value = ranks.agreement(signal, truth, np.arange(40)[None])[0]
            lines = [s for s in page.splitlines() if report.NAMES[name] in s]
            assert any(f" {value:+.2f} [" in line for line in lines), (name, epoch)
