"""Facts about storages: how they open, what they refuse, what is read of a study."""

import os
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import upload_artifact
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from nasdepth.evidence.records import read_csv, write_csv
from nasdepth.search import retries
from nasdepth.search.storage import (
    artifact_directory,
    artifact_store,
    best_trial,
    evidence,
    existing_storage,
    is_absent,
    load_study,
    open_storage,
    record,
    records,
    registration,
    study_config,
    study_exists,
    weights_file,
)

NETWORK = {
    "architecture": '{"format":1,"stages":[{}]}',
    "digest": "abc",
    "measures": {"params": 12, "nn_mass": None, "effective_depth": 2.5},
}
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def url(tmp_path):
    """A storage that is opened faster than a database."""
    return f"journal:///{tmp_path}/study.log"


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def study(url, configure):
    """A study of ours without trials."""
    made = optuna.create_study(
        storage=open_storage(url), study_name="small", direction="maximize"
    )
    made.set_user_attr("config", configure().to_json())
    made.set_user_attr("config_digest", configure().digest())
    made.set_user_attr("dataset", "digits")
    made.set_user_attr("validation_images", 288)
    return made


def add(study, state=TrialState.COMPLETE, value=None, **outcome):
    """One more trial of the study, as the run records it."""
    attributes = {"arm": "search", "network": NETWORK, "outcome": outcome}
    made = optuna.create_trial(
        state=state,
        value=value,
        user_attrs=attributes,
        intermediate_values={2: 0.75, 1: 0.5},
    )
    study.add_trial(made)


def start(study, worker=None, network=NETWORK, outcome=None):
    """A trial left running by a worker."""
    attributes = {"worker": worker, "network": network, "outcome": outcome}
    made = optuna.create_trial(
        state=TrialState.RUNNING,
        params={"depth": 3},
        distributions={"depth": IntDistribution(1, 9)},
        user_attrs={k: v for k, v in attributes.items() if v is not None},
    )
    study.add_trial(made)
    return study.trials[-1]


def pragma(opened, name):
    with opened.engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_sqlite_has_a_write_ahead_log_on_every_connection(database):
    opened = open_storage(database)

    assert pragma(opened, "journal_mode") == "wal"
    assert pragma(opened, "synchronous") == 1
    assert pragma(opened, "busy_timeout") == 60_000


def test_relational_storage_has_a_heartbeat(database):
    opened = open_storage(database)

    assert opened.get_heartbeat_interval() == 30
    assert opened.get_heartbeat_stale_trial_callback() is retries.requeue


def test_journal_keeps_a_study(tmp_path):
    url = f"journal:///{tmp_path}/study.log"
    study = optuna.create_study(storage=open_storage(url), study_name="mine")
    study.optimize(lambda trial: trial.suggest_int("x", 0, 3), n_trials=2)

    again = existing_storage(url)

    assert study_exists(again, "mine")
    assert len(optuna.load_study(study_name="mine", storage=again).trials) == 2


REFUSED = {
    "scheme": ("foo://host/db", "foo"),
    "no URL": ("study.db", "parse"),
    "empty": ("", "parse"),
    "driver": ("mysql+nonsense://host/db", "nonsense"),
    "no folder": ("sqlite:///no/such/study.db", "unable to open"),
    "a folder": ("sqlite:///folder", "unable to open"),
    "no database": ("sqlite:///text.db", "not a database"),
    "memory": ("sqlite://", "must be a file"),
    "named memory": ("sqlite:///:memory:", "must be a file"),
    "no journal folder": ("journal:///no/such/study.log", "No such file"),
    "journal is a folder": ("journal:///folder", "directory"),
    "other JSON": ("journal:///other.log", "not a journal"),
}


@pytest.mark.parametrize("opening", [open_storage, existing_storage])
@pytest.mark.parametrize("case", REFUSED)
def test_storage_that_cannot_be_opened_is_one_line(
    case, opening, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("text.db").write_text("this is no database\n" * 100)
    Path("other.log").write_text('{"a": 1}\n')
    url, reason = REFUSED[case]
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(ValueError, match="cannot be opened: ") as caught:
        opening(url)

    told = str(caught.value)
    assert "\n" not in told
    assert repr(url) in told
    assert reason in told or (opening is existing_storage and "no file" in told)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_one_line(tmp_path):
    tmp_path.chmod(0o500)

    with pytest.raises(ValueError, match="unable to open"):
        open_storage(f"sqlite:///{tmp_path}/study.db")


@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_reading_makes_no_file(scheme, tmp_path):
    url = f"{scheme}:///{tmp_path}/study.db"

    with pytest.raises(ValueError, match="cannot be opened: no file"):
        existing_storage(url)

    assert not list(tmp_path.iterdir())


def test_storage_is_absent_until_it_is_made(url):
    assert is_absent(url)

    open_storage(url)

    assert not is_absent(url)


def test_storage_that_is_no_file_is_never_absent():
    assert not is_absent("mysql://host/db")


def test_study_of_ours_is_loaded_with_its_configuration(study, url, configure):
    loaded = load_study(existing_storage(url), "small")

    assert study_config(loaded) == configure()


def test_unknown_study_is_told_with_those_there_are(study, url):
    with pytest.raises(ValueError, match=r"Unknown study 'smal'; .* mean 'small'\?"):
        load_study(existing_storage(url), "smal")


def test_study_in_an_empty_storage_is_unknown(url):
    with pytest.raises(ValueError, match="'small': the storage is empty"):
        load_study(open_storage(url), "small")


def test_foreign_study_is_refused(url):
    opened = open_storage(url)
    optuna.create_study(storage=opened, study_name="theirs")

    with pytest.raises(ValueError, match="'theirs' was not made by nasdepth"):
        load_study(opened, "theirs")


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("sqlite:///nasdepth.db", "nasdepth-artifacts"),
        ("sqlite:////tmp/a/b.db", "/tmp/a/nasdepth-artifacts"),
        ("sqlite:///a/b.db?timeout=3", "a/nasdepth-artifacts"),
        ("journal:////tmp/a/b.log", "/tmp/a/nasdepth-artifacts"),
        ("mysql://host/db", "nasdepth-artifacts"),
    ],
)
def test_artifacts_lie_beside_the_storage(url, folder):
    assert artifact_directory(url) == Path(folder)
    assert artifact_directory(url, Path("mine")) == Path("mine")


def test_records_are_the_finished_trials_in_their_order(study):
    add(study, value=0.75, accuracy=0.75, seconds=1.5, seed=7, versions="v")
    add(study, TrialState.PRUNED, 0.5, reason="diverged: in epoch 2", seconds=0.5)
    add(study, TrialState.FAIL)
    start(study)

    rows = records(study)

    assert [row.state for row in rows] == ["complete", "pruned", "failed"]
    assert [row.accuracy for row in rows] == [0.75, None, None]
    assert rows[0].curve == (0.5, 0.75)
    assert (rows[0].seconds, rows[0].seed, rows[0].versions) == (1.5, 7, "v")
    assert (rows[0].dataset, rows[0].validation_images) == ("digits", 288)
    assert dict(rows[0].measures) == NETWORK["measures"]
    assert rows[1].reason == "diverged: in epoch 2"


def test_records_survive_csv(study, tmp_path):
    add(study, value=0.1 + 0.2, accuracy=0.1 + 0.2, seconds=1 / 3, seed=2**32 - 1)
    add(study, TrialState.PRUNED, reason='out of memory: "a", b')
    study.add_trial(optuna.create_trial(state=TrialState.FAIL))
    path = tmp_path / "records.csv"

    write_csv(records(study), path)

    assert read_csv(path) == records(study)


def test_record_at_the_end_of_a_running_trial_says_how_it_ended(study):
    ends = ({"accuracy": 0.5}, {"reason": "diverged"})
    trials = [start(study, outcome=outcome) for outcome in ends]

    rows = [record(trial, study.user_attrs) for trial in trials]

    assert [row.state for row in rows] == ["complete", "pruned"]
    assert rows[0].accuracy == 0.5


@pytest.fixture
def registered(study, configure):
    """The study with the hash of its plan kept."""
    kept = {"sha256": configure().preregistration.digest(), "at": "2026-01-02T03:04"}
    study.set_user_attr("preregistration", kept)
    return study


def changed(study, configure):
    """The study, its plan changed after that was hashed."""
    config = configure(preregistration={"response": "accuracy"})
    study.set_user_attr("config", config.to_json())
    return study


def test_evidence_of_a_study_is_registered_by_the_hash_kept_before_its_trials(
    registered, configure
):
    add(registered, value=0.75, accuracy=0.75)

    found = evidence(registered)

    assert found.name == "study small"
    assert found.plan == configure().preregistration
    assert found.registered == "hashed before the first trial, 2026-01-02T03:04"
    assert [row.outcomes["accuracy"] for row in found.observations] == [(0.75,)]


def test_plan_that_was_changed_since_its_hash_is_not_registered(registered, configure):
    found = evidence(changed(registered, configure))

    assert found.plan.response == "accuracy"
    assert found.registered == ""


def test_study_of_before_is_registered_by_the_hash_of_its_configuration(study):
    found = evidence(study)

    assert found.registered == "hashed with the configuration before the first trial"


def test_study_of_before_whose_configuration_was_changed_is_not_registered(
    study, configure
):
    assert evidence(changed(study, configure)).registered == ""


def test_study_without_any_hash_is_not_registered(url, configure):
    made = optuna.create_study(storage=open_storage(url), study_name="small")
    made.set_user_attr("config", configure().to_json())

    assert evidence(made).registered == ""


def test_registration_holds_the_hash_and_the_time_of_the_plan(configure):
    config = configure(preregistration={"smallest_effect": 0.1})

    found = registration(config)

    assert found["sha256"] == config.preregistration.digest()
    assert datetime.fromisoformat(found["at"]).tzinfo is UTC


@pytest.mark.parametrize(("threshold", "epochs"), [(None, 2), (0.4, 1), (0.9, 3)])
def test_epochs_are_counted_to_the_threshold_of_the_plan_or_to_another(
    study, configure, threshold, epochs
):
    config = configure(preregistration={"threshold": 0.7})
    study.set_user_attr("config", config.to_json())
    add(study, value=0.75, accuracy=0.75)

    (row,) = evidence(study, threshold=threshold).observations

    assert row.outcomes["epochs_to_threshold"] == (epochs,)


def test_best_trial_is_the_complete_one_of_the_highest_accuracy(study):
    for value in (0.5, 0.75, 0.25):
        add(study, value=value)
    add(study, TrialState.PRUNED, 0.9)

    assert best_trial(study).number == 1
    assert best_trial(study, 2).number == 2


@pytest.mark.parametrize(
    ("number", "told"),
    [(1, "Trial 1 must be complete, but it is pruned"), (9, "has no trial 9")],
)
def test_trial_that_is_not_complete_is_refused(study, number, told):
    add(study, value=0.5)
    add(study, TrialState.PRUNED, 0.5)

    with pytest.raises(ValueError, match=told):
        best_trial(study, number)


def test_study_without_a_complete_trial_has_no_best(study):
    with pytest.raises(ValueError, match="'small' has no complete trial yet"):
        best_trial(study)


def test_weights_are_found_among_the_artifacts_of_a_trial(study, tmp_path):
    folder = tmp_path / "artifacts"
    store = artifact_store(folder)
    trial = start(study)
    for name in ("note.txt", "model.safetensors"):
        (tmp_path / name).write_text(name)
        upload_artifact(
            artifact_store=store,
            file_path=str(tmp_path / name),
            study_or_trial=trial,
            storage=study._storage,
        )
    study.tell(trial.number, 0.5)

    found = weights_file(study.trials[0], study, folder)

    assert found.read_text() == "model.safetensors"


def test_missing_weights_are_an_error_that_names_the_folder(study, tmp_path):
    add(study, value=0.5)

    with pytest.raises(ValueError, match=r"weights of trial 0 are not in .*nowhere"):
        weights_file(study.trials[0], study, tmp_path / "nowhere")


def test_reader_and_writer_do_not_wait_for_each_other(database):
    """A reader in the middle of its transaction lets a trial be written."""
    study = optuna.create_study(storage=open_storage(database))
    reader = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM trials").fetchall()

    add(study, value=0.5)

    assert len(study.trials) == 1
    reader.close()
