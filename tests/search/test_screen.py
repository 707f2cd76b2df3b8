"""Facts about the training-free stage, under every sampler that may lead it."""

import json

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.guide.draws import NoCandidate
from nasdepth.search import screen
from nasdepth.search.screen import SAMPLERS, ScreenSampler, screen_candidates

TRIALS = 13


class Ran:
    """A study under the screen, with a stub for the training and every pool scored."""

    def __init__(self, config, space, study=None):
        self.config, self.space = config, space
        self.study = study or optuna.create_study(direction="maximize")
        self.pools = {}
        self.sampler = ScreenSampler(config, space)
        self.study.sampler = self.sampler

    def objective(self, trial):
        architecture = self.space.sample(trial)
        screened = self.sampler.screened(trial.number)
        if screened is not None:
            trial.set_user_attr("network", screened.chosen.attributes())
            trial.set_user_attr("screen", dict(screened.report))
        # deterministic, and no function of the score
        return int(digest(lower(architecture))[:6], 16) / 2**24

    def optimize(self, count):
        original = screen.score

        def recorded(pool, weights):
            scores = original(pool, weights)
            self.pools[len(self.study.trials) - 1] = (list(pool), scores)
            return scores

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(screen, "score", recorded)
            self.study.optimize(self.objective, n_trials=count)
        return self

    @property
    def params(self):
        return [trial.params for trial in self.study.trials]

    @property
    def networks(self):
        return [trial.user_attrs["network"] for trial in self.study.trials]


@pytest.fixture(scope="module")
def configure(configure):
    """The small study under a sampler that proposes for a scored pool."""

    def make(**sections):
        search = {"sampler": "tpe", **sections.pop("search", {})}
        return configure(search=search, **sections)

    return make


@pytest.fixture
def run(configure, space_of_digits):
    """Maker of a study of small pools that has run some trials."""

    def make(count=3, study=None, **sections):
        config = configure(**{"screen": {"pool": 5}, **sections})
        return Ran(config, space_of_digits(config), study).optimize(count)

    return make


@pytest.fixture(scope="module", params=sorted(SAMPLERS))
def ran(request, configure, space_of_digits):
    """A study of each sampler, far enough that it learns from its trials."""
    config = configure(screen={"pool": 5}, search={"sampler": request.param})
    return Ran(config, space_of_digits(config)).optimize(TRIALS)


def test_no_network_is_trained_twice(ran):
    digests = [network["digest"] for network in ran.networks]

    assert len(set(digests)) == TRIALS


def test_every_trial_is_under_budget(ran):
    limit = ran.config.budget.params

    assert all(network["measures"]["params"] <= limit for network in ran.networks)


def test_trial_is_the_network_that_was_recorded(ran):
    for trial, network in zip(ran.study.trials, ran.networks, strict=True):
        architecture = ran.space.sample(optuna.trial.FixedTrial(trial.params))
        assert architecture.to_json() == network["architecture"]
        assert digest(lower(architecture)) == network["digest"]


def test_trial_is_the_best_of_its_pool(ran):
    weights = ran.config.screen.weights

    assert ran.pools.keys() == set(range(TRIALS))
    for number, (pool, _) in ran.pools.items():
        total = np.zeros(len(pool))
        for name, weight in weights.items():
            values = np.array([np.nan] * len(pool))
            for place, each in enumerate(pool):
                if each.measures[name] is not None:
                    values[place] = each.measures[name]
            if not np.isnan(values).all() and np.nanstd(values) > 0:
                z = (values - np.nanmean(values)) / np.nanstd(values)
                total += weight * np.nan_to_num(z)
        best = pool[int(np.argmax(total))]
        assert ran.networks[number]["digest"] == best.digest
        assert ran.study.trials[number].user_attrs["screen"]["score"] == pytest.approx(
            total.max()
        )


def test_report_says_what_became_of_every_draw(ran):
    for trial in ran.study.trials:
        report = json.loads(json.dumps(trial.user_attrs["screen"]))
        assert report["drawn"] == report["pool"] + sum(report["dropped"].values())
        assert report["pool"] == len(ran.pools[trial.number][0])
        assert report["origin"] in ("sampler", "random", "neighbour")


def test_pool_holds_a_proposal_of_the_sampler_and_others(ran):
    origins = [each.origin for pool, _ in ran.pools.values() for each in pool]

    assert origins.count("sampler") > TRIALS / 2
    assert {"random", "neighbour"} <= set(origins)


def test_same_seed_gives_the_same_trials(ran):
    again = Ran(ran.config, ran.space).optimize(TRIALS)

    assert again.params == ran.params


def test_resumed_study_goes_on_as_if_it_had_not_stopped(ran):
    first = Ran(ran.config, ran.space).optimize(TRIALS - 2)

    resumed = Ran(ran.config, ran.space, first.study).optimize(2)

    assert resumed.params == ran.params


def test_inner_sampler_learns_from_the_trials(configure, space_of_digits):
    """Where pools hold its proposal alone, TPE's trials are better than at random."""
    options = {"stages": [1, 1], "topologies": ["plain"], "stem": [8], "depth": [1, 9]}

    def best_half(sampler):
        config = configure(
            space={**options, "width": [8, 128]},
            budget={"params": None},
            screen={"pool": 1},
            search={"sampler": sampler},
        )
        space = space_of_digits(config)
        study = optuna.create_study(direction="maximize")
        study.sampler = ScreenSampler(config, space)
        study.optimize(lambda t: space.sample(t).stages[0].width, n_trials=30)
        return np.mean([trial.value for trial in study.trials[15:]])

    assert best_half("tpe") > best_half("random")


def test_other_seed_gives_other_trials(run):
    assert run(2, search={"seed": 1}).params != run(2).params


@pytest.mark.parametrize("stages", [[1, 1], [2, 2]])
def test_first_choice_that_is_none_does_not_switch_the_screen_off(run, stages):
    ran = run(2, space={"stages": stages})

    assert len(ran.networks) == 2


def test_enqueued_trial_is_left_alone(run, configure, space_of_digits):
    given = {
        "stages": 1,
        "stem": 16,
        "stage1.topology": "plain",
        "stage1.depth": 2,
        "stage1.width": 24,
    }
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(given)

    ran = run(2, study=study)

    assert ran.params[0] == given
    assert "screen" not in study.trials[0].user_attrs
    assert "screen" in study.trials[1].user_attrs


def test_retried_trial_is_left_alone(run):
    source = run(1).study.trials[0]
    study = optuna.create_study(direction="maximize")
    retry = optuna.create_trial(
        state=TrialState.WAITING,
        params=source.params,
        distributions=source.distributions,
        system_attrs={"failed_trial": 0, "retry_history": [0]},
    )
    study.add_trial(retry)

    ran = run(1, study=study)

    assert ran.params == [source.params]
    assert "screen" not in study.trials[0].user_attrs


def test_network_that_waits_or_trains_is_not_proposed_again(run):
    first = run(1)
    taken = first.study.trials[0]
    study = optuna.create_study(direction="maximize")
    waiting = {"network": taken.user_attrs["network"]}
    study.add_trial(optuna.create_trial(state=TrialState.WAITING, user_attrs=waiting))
    sampler = ScreenSampler(first.config, first.space)

    trial = study._storage.get_all_trials(study._study_id)[0]
    sampler.infer_relative_search_space(study, trial)

    pool = sampler.screened(0)
    assert pool is not None
    assert pool.chosen.digest != taken.user_attrs["network"]["digest"]
    assert pool.report["dropped"]["repeated"] == 1


def test_network_of_a_failed_trial_may_come_again(run):
    first = run(1)
    network = first.networks[0]
    study = optuna.create_study(direction="maximize")
    study.add_trial(
        optuna.create_trial(state=TrialState.FAIL, user_attrs={"network": network})
    )
    sampler = ScreenSampler(first.config, first.space)

    fresh = optuna.create_study(direction="maximize")
    sampler.infer_relative_search_space(study, fresh.ask()._cached_frozen_trial)

    screened = sampler.screened(0)
    assert screened is not None
    assert screened.chosen.digest == network["digest"]


def test_screen_works_with_ask_and_tell(configure, space_of_digits):
    config = configure()
    space = space_of_digits(config)
    sampler = ScreenSampler(config, space)
    study = optuna.create_study(direction="maximize", sampler=sampler)

    for value in (0.25, 0.5):
        trial = study.ask()
        architecture = space.sample(trial)
        screened = sampler.screened(trial.number)
        assert screened.chosen.architecture == architecture
        study.tell(trial, value)

    assert [trial.value for trial in study.trials] == [0.25, 0.5]


def test_report_of_a_trial_is_handed_out_once(run):
    ran = run(1)

    assert ran.sampler.screened(0) is None


def test_neighbours_of_the_best_alone_fill_the_pool_where_told(run):
    ran = run(4, screen={"pool": 8, "neighbours": 1.0})

    origins = [{each.origin for each in ran.pools[n][0]} for n in (0, 3)]
    assert "neighbour" not in origins[0]
    assert origins[1] <= {"neighbour", "sampler"}


def test_no_neighbours_where_told(run):
    ran = run(3, screen={"pool": 5, "neighbours": 0.0})

    origins = {each.origin for pool, _ in ran.pools.values() for each in pool}
    assert "neighbour" not in origins


def test_used_up_space_is_an_error(run):
    few = {"stages": [1, 1], "topologies": ["plain"], "width": [8, 8], "stem": [8]}

    with pytest.raises(NoCandidate, match=r"No unseen architecture is left .*repeated"):
        run(4, space=few)


def test_parameter_foreign_to_the_space_is_drawn_within_its_range(run):
    ran = run(1)
    study = ran.study
    trial = study.ask()
    ran.space.sample(trial)

    assert 0 <= trial.suggest_int("foreign", 0, 9) <= 9


@pytest.fixture(scope="module")
def ranked(configure, space_of_digits):
    config = configure()
    return screen_candidates(config, space_of_digits(config), 60, 10)


def test_screen_alone_returns_the_best_first(ranked):
    rows, _ = ranked

    scores = [value for value, _ in rows]
    assert len(rows) == 10
    assert scores == sorted(scores, reverse=True)


def test_screen_alone_drops_what_is_over_budget_or_repeated(ranked):
    rows, sieve = ranked

    assert sieve.drawn == 60
    assert all(each.measures["params"] <= 20_000 for _, each in rows)
    assert len({each.digest for _, each in rows}) == 10


def test_screen_alone_follows_from_the_seed(ranked, configure, space_of_digits):
    config = configure()

    again, _ = screen_candidates(config, space_of_digits(config), 60, 10)

    assert [each.digest for _, each in again] == [each.digest for _, each in ranked[0]]


def test_screen_alone_finds_nothing_where_nothing_is_feasible(
    configure, space_of_digits
):
    config = configure(budget={"params": 10})

    with pytest.raises(NoCandidate, match="no feasible architecture in 20 draws"):
        screen_candidates(config, space_of_digits(config), 20, 10)
