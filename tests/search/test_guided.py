"""Facts about the guide of our own studies: what it proposes, reports and refuses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest

from nasdepth.evidence.records import TrialRecord
from nasdepth.guide.draws import NoCandidate
from nasdepth.measures.catalogue import CATALOGUE
from nasdepth.search.config import StudyConfig
from nasdepth.search.guided import (
    Sight,
    StudyGuide,
    check_prior,
    prior_of,
    prior_records,
    scaled,
)
from nasdepth.search.space import Space

QUICK = {"start": 4, "pool": 40}
Maker = Callable[[StudyConfig], Space]


@pytest.fixture
def guide(configure, space_of_digits) -> Callable[..., StudyGuide]:
    """Maker of a quick guide, sections of the study overridden."""

    def make(prior: tuple[TrialRecord, ...] = (), **sections: Any) -> StudyGuide:
        config = configure(**{"guide": QUICK, **sections})
        return StudyGuide(config, space_of_digits(config), prior=prior)

    return make


@pytest.fixture
def small_space(configure, space_of_digits) -> Space:
    return space_of_digits(configure())


def ran(guide: StudyGuide, space: Space, count: int) -> list[Any]:
    """What was proposed for trials that end with the size of their network."""
    study = optuna.create_study(direction="maximize", sampler=guide)
    found = []

    def objective(trial: optuna.Trial) -> float:
        space.suggest(trial)
        screened = guide.screened(trial.number)
        assert screened is not None
        found.append(screened)
        return float(screened.chosen.measures["params"] or 0)

    study.optimize(objective, n_trials=count)
    return found


def test_proposals_keep_to_the_budget(guide, small_space):
    found = ran(guide(budget={"params": 4000}), small_space, 9)

    assert max(each.chosen.measures["params"] for each in found) <= 4000


def test_no_network_is_proposed_twice(guide, small_space):
    found = ran(guide(), small_space, 12)

    assert len({each.chosen.digest for each in found}) == 12


def test_candidate_is_the_architecture_of_its_parameters(guide, small_space):
    (found,) = ran(guide(), small_space, 1)

    chosen = found.chosen
    assert small_space.params_of(chosen.architecture) == chosen.params
    assert chosen.params.keys() == chosen.distributions.keys()
    assert chosen.measures.keys() == CATALOGUE.keys()


def test_report_counts_the_draws_of_each_trial_alone(guide, small_space):
    own = guide(budget={"params": 4000})

    found = ran(own, small_space, 8)

    reports = [each.report for each in found]
    assert sum(each["drawn"] for each in reports) == own.sight.sieve.drawn
    assert [each["origin"] for each in reports[:4]] == ["start"] * 4
    assert {each["origin"] for each in reports[4:]} <= {"pool", "neighbour"}
    assert all(
        each["drawn"] == each["pool"] + sum(each["dropped"].values())
        for each in reports
    )


def test_enqueued_trial_has_no_report(guide, small_space):
    own = guide()
    study = optuna.create_study(sampler=own)
    study.enqueue_trial({"stages": 1})

    small_space.suggest(study.ask())

    assert own.screened(0) is None


def test_empty_budget_is_an_error_that_names_the_rule(guide, small_space):
    with pytest.raises(NoCandidate, match=r"params must be at most 10, but the small"):
        ran(guide(budget={"params": 10}), small_space, 1)


def test_empty_band_of_two_rules_names_both(guide, small_space):
    with pytest.raises(NoCandidate, match=r"params must be .*, macs must be at most 5"):
        ran(guide(budget={"params": 10, "macs": 5}), small_space, 1)


def some(space: Space) -> dict[str, Any]:
    """Parameters of a point."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    space.suggest(trial)
    return trial.params


def test_sight_keeps_what_it_has_measured(configure, small_space):
    sight = Sight(configure(), small_space)
    params = some(small_space)

    first, again = sight.known(params), sight.known(dict(params))

    assert first is again
    assert sight.digest(params) == sight.digest(dict(params))


def test_cost_is_the_measure_that_is_an_objective(configure, small_space):
    config = configure(search={"objectives": ["accuracy", "macs"]})
    sight = Sight(config, small_space)
    params = some(small_space)

    assert sight.cost(params) == sight.known(params)[1]["macs"]


def test_front_of_a_study_is_searched(guide, small_space):
    own = guide(search={"objectives": ["accuracy", "macs"]})

    found = ran(own, small_space, 7)

    assert found[6].report["origin"] in ("pool", "neighbour")


def finished(record: TrialRecord, count: int) -> tuple[TrialRecord, ...]:
    return tuple(
        replace(record, accuracy=n / 10, measures={"params": 10.0**n, "width": n})
        for n in range(count)
    )


def test_prior_is_of_finished_trials_on_the_scales_of_the_catalogue(record):
    rows = (*finished(record, 5), replace(record, accuracy=None, measures={"width": 1}))

    prior = prior_of(rows)

    assert list(prior.responses) == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert prior.features[2] == scaled({"params": 100.0, "width": 2})
    assert prior.features[2]["params"] == pytest.approx(4.60517)


def test_prior_of_few_results_is_refused(record):
    with pytest.raises(ValueError, match="at least 5 results, but got 4"):
        prior_of(finished(record, 4))


def test_prior_study_leads_the_start(guide, record, small_space):
    own = guide(prior=finished(record, 8))

    found = ran(own, small_space, 6)

    assert len(found) == 6


def test_study_without_a_prior_needs_no_storage(configure):
    assert prior_records(configure(), None) == ()
    check_prior(configure(), None)


def test_prior_study_of_an_empty_storage_is_refused(configure):
    config = configure(search={"prior_study": "other"})

    with pytest.raises(ValueError, match="prior study 'other': the storage is empty"):
        check_prior(config, None)


def test_prior_study_that_is_not_there_is_refused_in_one_line(configure):
    config = configure(search={"prior_study": "other"})
    storage = optuna.storages.InMemoryStorage()

    with pytest.raises(ValueError, match="other") as caught:
        check_prior(config, storage)

    assert "\n" not in str(caught.value)


def test_prior_study_without_a_finished_trial_is_refused(configure):
    config = configure(search={"prior_study": "other"})
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="other", storage=storage)
    study.set_user_attr("config", configure().to_json())

    with pytest.raises(ValueError, match="'other' must have finished trials") as caught:
        check_prior(config, storage)

    assert "\n" not in str(caught.value)
