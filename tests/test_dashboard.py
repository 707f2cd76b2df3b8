"""The dashboard on real storages, and really served: what a browser would fetch."""

import json
import logging
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import optuna_dashboard
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.trial import Trial

from nasdepth.analysis.answer import analyze
from nasdepth.architecture.canonical import digest
from nasdepth.architecture.lower import lower
from nasdepth.architecture.spec import Architecture, Stage, Stem
from nasdepth.dashboard import annotate, annotate_study, serve, study_note
from nasdepth.evidence.records import TrialRecord
from nasdepth.measures.catalogue import measure
from nasdepth.search.config import StudyConfig

CURVE = (0.61, 0.72, 0.83)


def record(number: int = 0, **changes: Any) -> TrialRecord:
    stage = Stage("conv", 1 + number, 16, skip="add", span=2)
    architecture = Architecture((stage,), Stem(16), input_shape=(1, 8, 8))
    graph = lower(architecture)
    row: dict[str, Any] = {
        "number": number,
        "arm": "unselected",
        "state": "complete",
        "architecture": architecture.to_json(),
        "digest": digest(graph),
        "measures": measure(graph),
        "curve": CURVE,
        "accuracy": 0.83 + number / 100,
        "validation_images": 144,
        "seconds": 1.5,
        "seed": 5,
        "reason": "",
        "dataset": "digits",
        "config_digest": "",
        "versions": "",
    }
    return TrialRecord(**{**row, **changes})


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.disable_default_handler()
    yield
    optuna.logging.enable_default_handler()


@pytest.fixture
def store(tmp_path: Path) -> FileSystemArtifactStore:
    (tmp_path / "artifacts").mkdir()
    return FileSystemArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def study(tmp_path: Path) -> Iterator[optuna.Study]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    yield optuna.create_study(storage=storage, study_name="quick", direction="maximize")
    storage.engine.dispose()


def contents(
    owner: Trial | optuna.Study, store: FileSystemArtifactStore
) -> dict[str, bytes]:
    """Artifacts of a trial or study by file name."""
    found = {}
    for meta in get_all_artifact_meta(owner):
        with store.open_reader(meta.artifact_id) as file:
            assert meta.filename not in found
            found[meta.filename] = file.read()
    return found


def test_trial_shows_picture_curve_layers_and_note(
    study: optuna.Study, store: FileSystemArtifactStore
) -> None:
    trial = study.ask()

    annotate(trial, record(), store)

    found = contents(trial, store)
    assert set(found) == {"architecture.svg", "learning-curve.svg", "layers.csv"}
    assert found["architecture.svg"].startswith(b"<svg ")
    assert b"<svg " in found["learning-curve.svg"]
    assert found["layers.csv"].startswith(b"scope,operation,output,")
    note = optuna_dashboard.get_note(trial)
    assert "## Trial 0: 83.00% validation accuracy" in note
    assert "digits · 144 validation images · unselected arm · 1.5 s · seed 5" in note
    assert "| effective depth | 3 | layers |" in note
    addresses = re.findall(r"\((/artifacts/1/1/[0-9a-f-]+)\)", note)
    known = {meta.artifact_id for meta in get_all_artifact_meta(trial)}
    assert {address.split("/")[-1] for address in addresses} == known


def test_artifacts_are_announced_as_what_they_are(
    study: optuna.Study, store: FileSystemArtifactStore
) -> None:
    trial = study.ask()

    annotate(trial, record(), store)

    types = {meta.filename: meta.mimetype for meta in get_all_artifact_meta(trial)}
    assert types == {
        "architecture.svg": "image/svg+xml",
        "learning-curve.svg": "image/svg+xml",
        "layers.csv": "text/csv",
    }


def test_note_says_why_a_trial_was_pruned(
    study: optuna.Study, store: FileSystemArtifactStore
) -> None:
    trial = study.ask()
    reason = "worse than half of the others at epoch 3"

    annotate(trial, record(state="pruned", accuracy=None, reason=reason), store)

    note = optuna_dashboard.get_note(trial)
    assert "## Trial 0: pruned, 83.00% after epoch 3" in note
    assert f"Why it was pruned: {reason}" in note


def test_trial_without_an_epoch_has_a_note(
    study: optuna.Study, store: FileSystemArtifactStore
) -> None:
    trial = study.ask()

    annotate(trial, record(state="pruned", accuracy=None, curve=()), store)

    assert "## Trial 0: pruned\n" in optuna_dashboard.get_note(trial)


def test_picture_that_cannot_be_drawn_is_a_warning(
    study: optuna.Study,
    store: FileSystemArtifactStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def objective(trial: Trial) -> float:
        annotate(trial, record(architecture='{"format": 9}'), store)
        return 0.5

    with caplog.at_level(logging.WARNING):
        study.optimize(objective, n_trials=1)

    assert study.best_value == 0.5
    assert [r.getMessage().split(" (")[0] for r in caplog.records] == [
        "Not shown on the dashboard: architecture.svg of trial 0",
        "Not shown on the dashboard: layers.csv of trial 0",
    ]
    (artifact,) = get_all_artifact_meta(study.trials[0], storage=study._storage)
    assert artifact.filename == "learning-curve.svg"


def test_trial_is_not_lost_with_the_folder_of_artifacts(
    study: optuna.Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = FileSystemArtifactStore(str(tmp_path / "gone"))
    trial = study.ask()

    with caplog.at_level(logging.WARNING):
        annotate(trial, record(), gone)

    assert len(caplog.records) == 3
    assert "/artifacts/" not in optuna_dashboard.get_note(trial)
    study.tell(trial, 0.5)


def test_bug_in_a_picture_is_not_hidden(
    study: optuna.Study,
    store: FileSystemArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*args: object, **options: object) -> str:
        raise TypeError("a bug")

    monkeypatch.setattr("nasdepth.dashboard.architecture_svg", broken)

    with pytest.raises(TypeError, match="a bug"):
        annotate(study.ask(), record(), store)


def test_study_shows_scatter_verdict_and_best_architectures(
    study: optuna.Study, store: FileSystemArtifactStore
) -> None:
    rows = [record(number) for number in range(6)]

    annotate_study(study, rows, store, "Quick")

    assert set(contents(study, store)) == {
        "accuracy-against-measures.png",
        "pareto-front.png",
    }
    note = optuna_dashboard.get_note(study)
    assert "digits: 6 complete." in note
    assert note.index("![accuracy against measures]") < note.index("**Pareto front.**")
    assert analyze(rows).opening in note
    best = re.findall(r"\| \[(\d)\]\(/dashboard/studies/1/trials\?numbers=\1\)", note)
    assert best == ["5", "4", "3", "2", "1"]
    assert "| unselected | 88.00% |" in note


def costed(number: int, accuracy: float, **costs: float) -> TrialRecord:
    return record(number, accuracy=accuracy, measures={**record(0).measures, **costs})


def test_note_names_the_trials_of_each_front(
    study: optuna.Study, store: FileSystemArtifactStore
) -> None:
    rows = [
        costed(0, 0.6, params=10, macs=30),
        costed(1, 0.8, params=20, macs=10),
        costed(2, 0.7, params=30, macs=20),
    ]

    annotate_study(study, rows, store, "Quick")

    link = "/dashboard/studies/1/trials?numbers="
    assert (
        "**Pareto front.** Of 3 complete trials 2 are beaten by none in accuracy and"
        f" params: [0]({link}0), [1]({link}1). Of 3 complete trials 1 are beaten by"
        f" none in accuracy and MACs: [1]({link}1).\n"
    ) in optuna_dashboard.get_note(study)


def test_of_a_long_front_the_most_accurate_are_named(study: optuna.Study) -> None:
    rows = [costed(n, 0.5 + n / 100, params=10 + n, macs=1) for n in range(20)]

    note = study_note(study, rows, "", {}, costs=("params",))

    front = note[note.index("**Pareto") : note.index("\n\n|")]
    assert "params: … [8](" in front
    assert front.count("](") == 12


def test_front_is_in_the_costs_of_the_study(
    study: optuna.Study, store: FileSystemArtifactStore
) -> None:
    config = StudyConfig.model_validate({"name": "quick", "data": {"name": "digits"}})
    study.set_user_attr("config", config.to_json())
    rows = [costed(0, 0.6, params=10, macs=30), costed(1, 0.8, params=20, macs=10)]

    annotate_study(study, rows, store, "Quick")

    note = optuna_dashboard.get_note(study)
    assert "in accuracy and params:" in note
    assert "![accuracy against cost]" in note


def test_new_scatter_takes_the_place_of_the_earlier_one(
    study: optuna.Study, store: FileSystemArtifactStore
) -> None:
    annotate_study(study, [record(0)], store, "Quick")
    before = contents(study, store)

    annotate_study(study, [record(0), record(1)], store, "Quick")

    after = contents(study, store)
    assert set(before) == {"accuracy-against-measures.png"}
    assert set(after) == {*before, "pareto-front.png"}
    assert all(after[name] != before[name] for name in before)
    assert "digits: 2 complete." in optuna_dashboard.get_note(study)


def test_scatter_that_was_deleted_in_the_dashboard_is_drawn_anew(
    study: optuna.Study, store: FileSystemArtifactStore
) -> None:
    annotate_study(study, [record(0)], store, "Quick")
    (old,) = get_all_artifact_meta(study)
    key = f"artifacts:{old.artifact_id}"
    # what the dashboard writes
    study._storage.set_study_system_attr(study._study_id, key, json.dumps(None))
    store.remove(old.artifact_id)

    annotate_study(study, [record(0)], store, "Quick")

    (address,) = re.findall(
        r"/artifacts/1/([0-9a-f-]+)", optuna_dashboard.get_note(study)
    )
    assert address != old.artifact_id
    with store.open_reader(address) as file:
        assert file.read(4) == b"\x89PNG"


def test_records_that_contradict_each_other_leave_the_note(
    study: optuna.Study,
    store: FileSystemArtifactStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = {**measure(lower(Architecture((Stage(),)))), "effective_depth": 99.0}
    rows = [record(0), record(1, digest=record(0).digest, measures=other)]

    with caplog.at_level(logging.WARNING):
        annotate_study(study, rows, store, "Quick")

    assert "the analysis of study 'quick'" in caplog.text
    assert "digits: 2 complete." in optuna_dashboard.get_note(study)


@pytest.mark.parametrize(
    ("rows", "summary"),
    [
        ([], "no finished trial yet."),
        ([record(0, state="failed", accuracy=None)], "digits: 1 failed."),
    ],
)
def test_study_without_a_complete_trial_has_a_note(
    study: optuna.Study, rows: Sequence[TrialRecord], summary: str
) -> None:
    assert study_note(study, rows, "", {}) == f"## quick\n\n{summary}\n"


SERVER = """
import signal
import sys
from pathlib import Path
import optuna
from nasdepth.dashboard import serve
# ignored where the tests themselves run in the background of a script
signal.signal(signal.SIGINT, signal.default_int_handler)
storage = optuna.storages.RDBStorage(sys.argv[1])
serve(storage, port=int(sys.argv[2]), artifact_directory=Path(sys.argv[3]))
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def fetch(port: int, path: str) -> tuple[bytes, str]:
    """Content and type; waits for a server that is starting."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 120
    while True:
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.read(), answer.headers["Content-Type"]
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.mark.slow
def test_served_study_has_its_notes_and_pictures(
    study: optuna.Study, store: FileSystemArtifactStore, tmp_path: Path
) -> None:
    rows = [record(number) for number in range(3)]
    for row in rows:
        trial = study.ask()
        annotate(trial, row, store)
        study.tell(trial, row.accuracy)
    annotate_study(study, rows, store, "Quick")
    port = free_port()
    words = [f"sqlite:///{tmp_path}/study.db", str(port), str(tmp_path / "artifacts")]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        page, _ = fetch(port, "/dashboard/studies/1/trials?numbers=0")
        meta = json.loads(fetch(port, "/api/meta")[0])
        detail = json.loads(fetch(port, "/api/studies/1?after=0")[0])
        shown = detail["trials"][2]["note"]["body"]
        address = re.findall(r"!\[architecture\]\((.*?)\)", shown)[0]
        picture, kind = fetch(port, address)
        figure = re.findall(r"!\[accuracy.*?\]\((.*?)\)", detail["note"]["body"])[0]
        scatter, _ = fetch(port, figure)
        with pytest.raises(ValueError, match=rf"127.0.0.1:{port}: the port is taken; "):
            serve(study._storage, port=port, artifact_directory=tmp_path)
    finally:
        server.send_signal(signal.SIGINT)
        out, _ = server.communicate(timeout=60)

    assert b"<!doctype html>" in page.lower()
    assert meta["artifact_is_available"]
    assert detail["name"] == "quick"
    assert len(detail["trials"][2]["artifacts"]) == 3
    assert kind == "image/svg+xml"
    assert picture.startswith(b"<svg ")
    assert b"trial 2" in picture
    assert scatter.startswith(b"\x89PNG")
    assert out == ""


def test_address_that_is_not_here_is_one_line(
    study: optuna.Study, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"cannot listen at 192\.0\.2\.1:") as caught:
        serve(study._storage, host="192.0.2.1", port=8080, artifact_directory=tmp_path)

    assert str(caught.value).endswith("; choose another host or port.")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("port", [0, 70000])
def test_port_that_cannot_be_is_refused(
    study: optuna.Study, tmp_path: Path, port: int
) -> None:
    with pytest.raises(ValueError, match=f"1 to 65535, but got {port}"):
        serve(study._storage, port=port, artifact_directory=tmp_path)
