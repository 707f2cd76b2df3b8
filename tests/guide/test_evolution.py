"""Facts about regularised evolution: who lives, who is a parent, what a child is."""

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase
from optuna.trial import create_trial
from problems import layers, objective, study_of

from nasdepth.guide.draws import drawn
from nasdepth.guide.evolution import EvolutionSampler


class TestEvolutionSampler(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        # of a space that no test of the suite suggests: all is drawn apart
        return lambda: EvolutionSampler(lambda t: t.suggest_float("own", 0, 1), seed=0)


def bits(trial: Any) -> float:
    return sum(trial.suggest_categorical(f"b{place}", (0, 1)) for place in range(40))


def known(values: list[float], direction: str = "maximize") -> optuna.Study:
    """A study whose trial n has bit n alone and the n-th value."""
    study = study_of(None, direction)
    laws = drawn(bits, lambda name, law: 0).distributions
    for place, value in enumerate(values):
        point = {name: int(name == f"b{place}") for name in laws}
        study.add_trial(create_trial(params=point, distributions=laws, value=value))
    return study


def parent(child: dict[str, int]) -> set[int]:
    """The trials of `known` that one change makes a child of."""
    on = [int(name[1:]) for name, bit in child.items() if bit]
    return set(on)


def children(study: optuna.Study, seeds: int = 20, **options: int) -> list[set[int]]:
    found = []
    for seed in range(seeds):
        study.sampler = EvolutionSampler(bits, seed=seed, **options)
        trial = study.ask()
        bits(trial)
        found.append(parent(trial.params))
    return found


def test_parent_is_the_best_of_the_living_where_all_compete():
    study = known([0.1, 0.9, 0.2, 0.3])

    found = children(study, population=4, sample=4)

    # one bit of trial 1 and another one, or none where its own was changed
    assert all((1 in each and len(each) == 2) or not each for each in found)
    assert sum(1 in each for each in found) > 15


def test_least_is_best_where_the_study_minimises():
    study = known([0.1, 0.9, 0.2], "minimize")

    found = children(study, population=3, sample=3)

    assert sum(0 in each for each in found) > 15


def test_oldest_dies_even_if_it_is_the_best():
    study = known([0.9, 0.1, 0.2, 0.3])

    found = children(study, population=3, sample=3)

    assert sum(3 in each for each in found) > 15
    assert sum(0 in each for each in found) < 3


def test_few_compete():
    study = known([0.1, 0.2, 0.3, 0.9])

    found = children(study, 40, population=4, sample=1)

    assert all(sum(n in each for each in found) > 3 for n in range(4))


def test_trials_are_random_until_the_population_is_full():
    study = known([0.1, 0.2, 0.9])

    found = children(study, population=4, sample=4)

    assert min(len(each) for each in found) > 5


def test_pruned_and_failed_trials_are_no_parents():
    study = known([0.1, 0.2])
    laws = drawn(bits, lambda name, law: 0).distributions
    for state in (optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL):
        study.add_trial(
            create_trial(state=state, params=dict.fromkeys(laws, 1), distributions=laws)
        )

    found = children(study, population=2, sample=2)

    assert max(len(each) for each in found) <= 2


def test_evolution_improves_on_its_population():
    study = study_of(EvolutionSampler(layers, population=10, sample=5, seed=0))

    study.optimize(objective, n_trials=80)

    values = [trial.value for trial in study.trials]
    assert max(values[:10]) < max(values)
    assert sum(values[:10]) / 10 < sum(values[-10:]) / 10 - 0.5


def test_one_seed_evolves_alike():
    studies = [study_of(EvolutionSampler(layers, population=5, seed=3)) for _ in "ab"]

    for study in studies:
        study.optimize(objective, n_trials=15)

    one, other = ([trial.params for trial in study.trials] for study in studies)
    assert one == other


def test_enqueued_trial_keeps_what_was_given():
    study = study_of(EvolutionSampler(layers, population=5, seed=0))
    given = {"depth": 1, "kind0": "skip", "width0": 64}
    study.enqueue_trial(given)

    study.optimize(objective, n_trials=1)

    assert study.trials[0].params == given


@pytest.mark.parametrize(("population", "sample"), [(4, 5), (4, 0)])
def test_sample_is_of_the_population(population, sample):
    with pytest.raises(ValueError, match=rf"sample={sample}, population=4"):
        EvolutionSampler(layers, population=population, sample=sample)
