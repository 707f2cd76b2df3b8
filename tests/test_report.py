"""The report on real analyses: what the page says, loads, escapes and draws."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner, Result
from optuna.trial import TrialState

from nasdepth.analysis.answer import analyze, evidence_of
from nasdepth.claims.claim import Options
from nasdepth.cli import main
from nasdepth.evidence.observations import Evidence
from nasdepth.evidence.records import TrialRecord, read_csv
from nasdepth.report import Body, Origin, report_of
from nasdepth.report_page import Part, Report, html, markdown, plain_json
from nasdepth.report_study import (
    best_part,
    compute_part,
    duration,
    facts_of,
    fate_part,
    toml_of,
    without_password,
)
from nasdepth.search.config import StudyConfig, load_config
from nasdepth.search.storage import evidence, open_storage, records

STUDIES = Path(__file__).parents[1] / "studies"
ARM = STUDIES / "cifar10-arm" / "records.csv"
OPTIONS = Options(draws=99)
ORIGIN = Origin("2026-01-02", "nasdepth report -o r.html", OPTIONS)
HOSTILE = "<script>alert(1)</script>"
SCREEN = {
    "drawn": 30,
    "dropped": {"over params": 7, "repeated": 3},
    "pool": 20,
    "origin": "neighbour",
    "score": 1.5,
}


class Page(HTMLParser):
    """What a page holds: tags, what it would load, its text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "link", "br"):
            self._open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"unbalanced {tag}"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.text[self._open[-1]][-1] += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def arm() -> Body:
    """Forty real trainings, analysed with few draws."""
    rows = read_csv(ARM)
    source = replace(evidence_of(rows), name="forty networks")
    return Body(source, analyze(source, options=OPTIONS), rows)


@pytest.fixture(scope="module")
def page(arm: Body) -> str:
    return html(report_of([arm], ORIGIN))


@pytest.fixture(scope="module")
def parsed(page: str) -> Page:
    return Page(page)


def made(folder: Path, name: str) -> optuna.Study:
    """A study of ours without trials."""
    found = optuna.create_study(
        storage=open_storage(f"journal:///{folder}/study.log"),
        study_name=name,
        direction="maximize",
    )
    config = StudyConfig.model_validate({"name": name, "data": {"name": "digits"}})
    found.set_user_attr("config", config.to_json())
    found.set_user_attr("config_digest", config.digest())
    found.set_user_attr("dataset", "digits")
    found.set_user_attr("validation_images", 288)
    return found


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.disable_default_handler()
    yield
    optuna.logging.enable_default_handler()


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    """A study of ten trials that a hostile person named."""
    found = made(tmp_path, HOSTILE)
    for row in read_csv(ARM)[:10]:
        found.add_trial(_trial(row))
    return found


def _trial(row: TrialRecord) -> Any:
    """A trial as the run records it; number 8 was pruned, 9 was chosen by a screen."""
    pruned = row.number == 8
    network = {
        "architecture": row.architecture,
        "digest": row.digest,
        "measures": dict(row.measures),
    }
    outcome: dict[str, Any] = {"seconds": row.seconds, "seed": row.seed}
    outcome |= {"reason": "pruned by successive halving"} if pruned else {}
    trained = {"accuracy": row.accuracy, "images_per_second": 50.0, "precision": "fp32"}
    outcome |= {} if pruned else trained
    attributes: dict[str, Any] = {
        "arm": "search" if row.number >= 8 else "unselected",
        "network": network,
        "outcome": {**outcome, "versions": "nasdepth 0.1.0"},
        "worker": {"host": "a", "pid": 1 + row.number % 2, "born": 5},
    }
    attributes |= {"screen": SCREEN} if row.number == 9 else {}
    return optuna.create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        value=row.accuracy,
        user_attrs=attributes,
        intermediate_values=dict(enumerate(row.curve, 1)),
    )


def body_of(study: optuna.Study) -> Body:
    source = evidence(study)
    found = analyze(source, options=OPTIONS, explore=False)
    facts = facts_of(study, "mysql://me:secret@host/db")
    return Body(source, found, records(study), facts)


# --- what the page holds


def test_page_loads_nothing(parsed: Page) -> None:
    addresses = [
        attrs[name]
        for _, attrs in parsed.tags
        for name in ("src", "href", "srcset", "data", "action", "poster")
        if name in attrs
    ]

    assert addresses
    assert all(re.match("#|data:image/svg", address or "") for address in addresses)
    assert not parsed.all("link") + parsed.all("iframe") + parsed.all("object")
    assert "@import" not in parsed.text["style"][0]
    assert "url(" not in parsed.text["style"][0]


def test_policy_forbids_the_browser_to_load_anything(parsed: Page) -> None:
    policy = next(m for m in parsed.all("meta") if "http-equiv" in m)["content"]

    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "self" not in policy


def test_library_is_there_once(parsed: Page) -> None:
    large = [text for text in parsed.text["script"] if len(text) > 1_000_000]

    assert len(large) == 1
    assert all("src" not in attrs for attrs in parsed.all("script"))


def test_page_is_the_same_each_time(arm: Body, page: str) -> None:
    assert html(report_of([arm], ORIGIN)) == page


def test_another_date_changes_the_date_alone(arm: Body, page: str) -> None:
    other = html(report_of([arm], replace(ORIGIN, made="2027-03-04")))

    assert other != page
    assert other.replace("2027-03-04", "2026-01-02") == page


def test_parts_stand_in_the_order_of_an_argument(parsed: Page) -> None:
    titles = [text.strip() for text in parsed.text["h2"]]

    assert titles[1:] == [
        "What the data can say",
        "Warnings",
        "Headline and confirmations, n = 40 architectures",
        "The response against each depth",
        "What each depth adds",
        "Each measure alone",
        "Exploratory",
        "Best architectures",
        "Pareto front",
        "What was pruned or failed, and why",
        "Learning curves",
        "Compute used",
        "Environment",
        "How to repeat it",
    ]


def test_verdict_is_a_word_and_a_sign_beside_its_colour(arm: Body, page: str) -> None:
    found = arm.analysis.findings[0]
    sign = {"supported": "✓", "contradicted": "✗", "undecided": "?"}[found.verdict]

    card = page[page.index('<section class="verdict ') :].split("</section>")[0]

    assert card.startswith(f'<section class="verdict {found.verdict}">')
    assert f"{sign}</span> {found.verdict.capitalize()}, exploratory</span>" in card
    assert found.reason in card


def test_every_figure_has_words_for_those_who_do_not_see_it(parsed: Page) -> None:
    figures = [attrs for attrs in parsed.all("div") if attrs.get("role") == "img"]

    assert len(figures) == 3 + 4 + 1 + 2 + 1
    assert all(len(attrs["aria-label"] or "") > 40 for attrs in figures)
    assert all(attrs.get("alt") for attrs in parsed.all("img"))
    assert len(parsed.text["figcaption"]) >= len(figures) + 5


def test_every_table_has_a_caption_and_scopes(parsed: Page) -> None:
    assert len(parsed.all("table")) == len(parsed.text["caption"]) >= 9
    assert all(attrs.get("scope") in ("col", "row") for attrs in parsed.all("th"))


def test_contents_lead_to_every_part(parsed: Page) -> None:
    names = {attrs["id"] for attrs in parsed.all("h2") if "id" in attrs}

    links = [attrs["href"] for attrs in parsed.all("a")]

    assert links == [f"#{name}" for name in sorted(names, key=_place)]
    assert len(links) == 14


def _place(name: str | None) -> int:
    return int((name or "").split("-")[1])


def test_identities_are_unique(parsed: Page) -> None:
    names = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]

    assert len(set(names)) == len(names)


def test_embedded_json_is_the_analysis(arm: Body, parsed: Page) -> None:
    places = [attrs.get("type") for attrs in parsed.all("script")]
    text = parsed.text["script"][places.index("application/json")]

    found = json.loads(text)

    analysis = json.loads(json.dumps(arm.analysis.as_dict()))
    assert found["sources"][0]["analysis"] == analysis
    assert len(found["sources"][0]["trials"]) == 40
    assert found["made"] == "2026-01-02"


def test_json_format_is_what_the_page_embeds(arm: Body, parsed: Page) -> None:
    places = [attrs.get("type") for attrs in parsed.all("script")]
    embedded = parsed.text["script"][places.index("application/json")]

    assert json.loads(plain_json(report_of([arm], ORIGIN))) == json.loads(embedded)


def test_best_five_are_drawn_apart_from_the_page(arm: Body, parsed: Page) -> None:
    best = sorted(arm.records, key=lambda row: -(row.accuracy or 0))[:5]

    titles = [text for text in parsed.text["h3"] if text.startswith("Trial ")]

    assert titles == [f"Trial {row.number}, {row.accuracy:.2%}" for row in best]
    assert len(parsed.all("img")) == 5
    assert "svg" not in parsed.text


def test_published_table_leaves_out_what_only_a_study_has(arm: Body) -> None:
    alone = Body(arm.evidence, arm.analysis)

    titles = [part.section.title for part in report_of([alone], ORIGIN).parts]

    assert "Pareto front" in titles
    assert not {"Best architectures", "Learning curves", "Compute used"} & set(titles)


def test_several_sources_are_named_in_every_part(arm: Body) -> None:
    other = replace(arm, analysis=replace(arm.analysis, source="another"), records=())

    report = report_of([arm, other], ORIGIN)
    page = Page(html(report))

    assert report.parts[0].section.title == "What the data can say: forty networks"
    assert "What the data can say: another" in page.text["h2"]
    names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(names)) == len(names)
    assert len([text for text in page.text["script"] if len(text) > 1_000_000]) == 1


def test_evidence_without_a_usable_row_gives_a_page() -> None:
    empty = Evidence("nothing", ())
    body = Body(empty, analyze(empty, options=OPTIONS))

    text = html(report_of([body], ORIGIN))

    assert "Undecidable" in text
    assert "These data cannot say it" in text


def test_verdict_of_a_plan_fixed_beforehand_is_not_called_exploratory(
    arm: Body,
) -> None:
    source = replace(arm.evidence, registered="fixed before")
    body = replace(arm, analysis=analyze(source, options=OPTIONS, explore=False))

    text = markdown(report_of([body], ORIGIN))

    assert f"**H1: {body.analysis.findings[0].verdict.upper()}.**" in text


# --- a study


def test_hostile_name_runs_nowhere(study: optuna.Study) -> None:
    text = html(report_of([body_of(study)], ORIGIN))

    assert HOSTILE not in text
    assert "alert(1)" in text
    kinds = [script[:40] for script in Page(text).text["script"]]
    assert not [kind for kind in kinds if kind.startswith("alert")]


def test_hostile_name_is_no_tag_in_markdown(study: optuna.Study) -> None:
    text = markdown(report_of([body_of(study)], ORIGIN))

    outside = re.sub("```.*?```", "", text, flags=re.DOTALL)
    assert "\\<script>" in outside
    assert not re.search(r"(?<!\\)<[a-z/]", outside)


def test_password_of_the_storage_is_repeated_nowhere(study: optuna.Study) -> None:
    report = report_of([body_of(study)], ORIGIN)

    for text in (html(report), markdown(report), plain_json(report)):
        assert "secret" not in text
        assert "mysql://me:***@host/db" in text


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("postgresql://u:p%40ss@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("mysql+pymysql://u:p@q@h/db", "mysql+pymysql://u:***@h/db"),
        ("nasdepth report --storage redis://:pw@h/0", None),
    ],
)
def test_password_becomes_stars(url: str, told: str | None) -> None:
    assert without_password(url) == (told or url.replace("pw", "***"))


def test_study_tells_what_was_drawn_dropped_and_chosen(study: optuna.Study) -> None:
    body = body_of(study)
    assert body.study is not None

    tables = fate_part(body.records, body.study.screens).section.tables

    assert tables[0].rows == (
        ("drawn", "30", "100.0%"),
        ("dropped: over params", "7", "23.3%"),
        ("dropped: repeated", "3", "10.0%"),
        ("scored", "20", "66.7%"),
        ("chosen and trained", "1", "3.3%"),
    )
    assert tables[1].rows == (("a neighbour of one of the best", "1"),)
    assert tables[2].rows == (
        ("unselected arm", "8", "0", "0", "8"),
        ("search arm", "1", "1", "0", "2"),
    )
    assert tables[3].rows == (("pruned by successive halving", "search", "1", "8"),)


def test_study_tells_its_compute(study: optuna.Study) -> None:
    body = body_of(study)
    parts = report_of([body], ORIGIN).parts

    pairs = dict(
        next(p for p in parts if p.section.title == "Compute used").section.pairs
    )

    seconds = sum(row.seconds for row in body.records)
    assert pairs["trainings"] == "10, 80 epochs"
    assert pairs["time of all trials"] == duration(seconds)
    assert pairs["worker processes"] == "2"
    assert pairs["machines"] == "1"
    assert pairs["precision"] == "fp32 (9 trials)"
    assert pairs["software"] == "nasdepth 0.1.0 (10 trials)"


def test_replicates_are_told_with_their_spread_and_their_losses(
    record: TrialRecord,
) -> None:
    two = replace(record, accuracies=(0.74, 0.76), seeds=(1, 2))
    lost = replace(two, number=1, accuracies=(0.74, None, 0.76), seeds=(1, 2, 3))

    best = best_part([two, lost])
    fates = fate_part([two, lost], ()).section.tables
    spent, short = (
        dict(compute_part(rows, None).section.pairs)["trainings"]
        for rows in ([two], [two, lost])
    )

    assert best is not None
    assert [row[1] for row in best.section.tables[0].rows] == [
        "75.00% ± 1.41% (2)",
        "75.00% ± 1.41% (2 of 3)",
    ]
    assert (fates[-1].caption, fates[-1].rows) == (
        "Replicates that diverged",
        (("1", "1", "3"),),
    )
    assert spent == "2 in 1 trials, 4 epochs"
    assert short == "5 in 2 trials, at most 10 epochs"


def test_study_can_be_repeated_from_the_page(study: optuna.Study) -> None:
    body = body_of(study)

    last = report_of([body], ORIGIN).parts[-1]

    pairs = dict(last.section.pairs)
    assert pairs["configuration"] == f"sha256 {study.user_attrs['config_digest']}"
    assert body.analysis.plan.digest() in pairs[f"plan of study {HOSTILE}"]
    assert pairs["seed"] == "0"
    assert last.listings[0].text == "nasdepth report -o r.html"
    assert last.listings[1].text.startswith("nasdepth search '<script>alert")
    config = StudyConfig.model_validate(tomllib.loads(last.listings[2].text))
    assert config.digest() == study.user_attrs["config_digest"]


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda p: p.stem)
def test_study_file_reads_back_as_the_same(path: Path) -> None:
    config = load_config(path)

    again = StudyConfig.model_validate(tomllib.loads(toml_of(config)))

    assert again == config


def test_study_file_keeps_odd_names() -> None:
    name = 'quote " and \\ and 😀 and \x7f'
    config = StudyConfig.model_validate({"name": name, "data": {"name": "digits"}})

    assert tomllib.loads(toml_of(config))["name"] == name


def test_study_without_a_trial_gives_a_page(tmp_path: Path) -> None:
    body = body_of(made(tmp_path, "empty"))

    text = html(report_of([body], ORIGIN))

    assert "Undecidable" in text
    assert "Best architectures" not in text
    assert "nasdepth search empty.toml" in text


# --- fronts, and what a guide expected


def part_of(report: Report, title: str) -> Part:
    return next(part for part in report.parts if part.section.title == title)


def test_facts_hold_what_a_front_is_counted_from(study: optuna.Study) -> None:
    facts = facts_of(study, "sqlite:///a.db")

    assert facts.objectives == ("accuracy",)
    assert (facts.reference, facts.log_cost) == (None, True)
    assert facts.finished == tuple(range(10))


def test_trials_are_told_in_the_order_in_which_they_finished(tmp_path: Path) -> None:
    found = made(tmp_path, "slow")
    rows = read_csv(ARM)
    for number, minutes in ((0, 9), (1, 3), (2, 5)):
        trial = _trial(rows[number])
        trial.datetime_complete = trial.datetime_start + timedelta(minutes=minutes)
        found.add_trial(trial)
    found.add_trial(optuna.create_trial(state=TrialState.FAIL))
    found.ask()

    assert facts_of(found, "sqlite:///a.db").finished == (1, 2, 0)


def test_area_over_time_stands_beside_the_fronts(study: optuna.Study) -> None:
    report = report_of([body_of(study)], ORIGIN)

    part = part_of(report, "Pareto front")

    assert [plot.name for plot in part.plots] == [
        "pareto-params",
        "pareto-macs",
        "hypervolume-params",
        "hypervolume-macs",
    ]
    area = report.data["sources"][0]["hypervolume"]["params"]
    line = part.plots[2].figure.data[0]
    assert area["areas"] == list(line.y)
    assert area["trials"] == list(range(10))
    accuracies = [row.accuracy for row in read_csv(ARM)[:10] if row.number != 8]
    assert area["reference"]["accuracy"] == min(accuracies)


def weighed(study: optuna.Study, **search: Any) -> Body:
    """The study's body had it been configured so."""
    config = json.loads(study.user_attrs["config"])
    config["search"] |= search
    study.set_user_attr("config", StudyConfig.model_validate(config).to_json())
    return body_of(study)


def test_front_of_the_studys_own_cost_comes_first(study: optuna.Study) -> None:
    body = weighed(study, objectives=["accuracy", "peak_memory"], reference=[0.3, 1e9])

    part = part_of(report_of([body], ORIGIN), "Pareto front")

    assert [plot.name for plot in part.plots] == [
        "pareto-peak_memory",
        "pareto-params",
        "pareto-macs",
        "hypervolume-peak_memory",
    ]
    table = part.section.tables[0]
    assert table.caption == "Front of accuracy against peak activation memory"
    assert table.head[2] == "peak activation memory"
    told = part.plots[-1].reading
    assert "30.00% accuracy and 1,000,000,000 peak activation memory, set" in told


def test_area_is_over_the_cost_itself_where_the_study_says_so(
    study: optuna.Study,
) -> None:
    body = weighed(study, objectives=["accuracy", "macs"], log_cost=False)

    part = part_of(report_of([body], ORIGIN), "Pareto front")

    assert "logarithm" not in part.plots[-1].reading


def foretold(folder: Path, count: int) -> optuna.Study:
    """A study whose first trials are as expected; two more say nothing."""
    found = made(folder, "foretold")
    rows = read_csv(ARM)[: count + 2]
    for row in rows:
        known = row.number < count
        told = {"mean": row.accuracy if known else None, "sd": 0.01 if known else None}
        trial = _trial(replace(row, number=0))
        trial.user_attrs["guide"] = {"origin": "pool", **told}
        found.add_trial(trial)
    cut = _trial(replace(rows[0], number=8))
    cut.user_attrs["guide"] = {"origin": "pool", "mean": 0.1, "sd": 0.01}
    found.add_trial(cut)
    return found


def test_page_says_whether_the_guides_intervals_held(tmp_path: Path) -> None:
    body = body_of(foretold(tmp_path, 5))

    part = part_of(report_of([body], ORIGIN), "What the guide expected")

    assert part.section.tables[0].rows == (
        ("95 %", "5", "5", "100%", "57% to 100%"),
        ("50 %", "5", "5", "100%", "57% to 100%"),
    )
    assert [plot.name for plot in part.plots] == ["predictions"]
    assert [len(trace.x) for trace in part.plots[0].figure.data] == [2, 5]
    assert "The 50 % intervals are too wide." in part.plots[0].reading


def test_only_trials_that_ran_to_their_end_are_judged(tmp_path: Path) -> None:
    found = foretold(tmp_path, 5)

    told = facts_of(found, "sqlite:///a.db").predictions

    assert [each.number for each in told] == [0, 1, 2, 3, 4]
    assert all(each.mean == each.result for each in told)


def test_too_few_predictions_have_no_part(tmp_path: Path) -> None:
    report = report_of([body_of(foretold(tmp_path, 4))], ORIGIN)

    titles = [part.section.title for part in report.parts]

    assert "What the guide expected" not in titles


# --- Markdown


def test_markdown_says_the_verdict_and_reads_the_figures(arm: Body) -> None:
    text = markdown(report_of([arm], ORIGIN))

    found = arm.analysis.findings[0]
    assert text.startswith("# Does effective depth go with higher accuracy beyond")
    assert f"**H1: {found.verdict.upper()}, EXPLORATORY.**" in text
    assert "**Figure: Minus log error against effective depth.** Each point" in text
    assert "## How to repeat it" in text
    assert "```\nnasdepth report -o r.html\n```" in text


# --- the command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_command_writes_a_page(tmp_path: Path) -> None:
    done = run("--records", ARM, "--draws", 99, "--brief", "-o", tmp_path / "r.html")

    assert done.exit_code == 0, done.output
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "Best architectures" in text


def test_command_prints_json(tmp_path: Path) -> None:
    done = run("--records", ARM, "--draws", 99, "--brief", "-f", "json", "-o", "-")

    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["sources"][0]["trials"]) == 40


def test_command_reports_a_study(study: optuna.Study, tmp_path: Path) -> None:
    target = tmp_path / "r.md"
    where = ("--study-name", HOSTILE, "--storage", f"journal:///{tmp_path}/study.log")

    done = run(*where, "--draws", 99, "--brief", "-f", "markdown", "-o", target)

    assert done.exit_code == 0, done.output
    text = target.read_text(encoding="utf-8")
    assert "What was drawn, dropped and pruned, and why" in text
    assert "fp32 (9 trials)" in text


def test_missing_folder_is_one_line_before_any_work(tmp_path: Path) -> None:
    done = run("--records", "nowhere.csv", "-o", tmp_path / "no" / "r.html")

    assert done.exit_code == 2
    assert "is no folder to write into" in done.stderr
    assert done.stderr.count("\n") == 1


def test_source_must_be_given() -> None:
    done = run("-o", "-")

    assert done.exit_code == 2
    assert "Give one source" in done.stderr


# --- in a browser


def test_browser_draws_every_figure_and_complains_of_nothing(
    page: str, tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    require(browser is not None, "apt-get install chromium")
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options += [f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=8000"]
    logged = ["--enable-logging=stderr", "--v=0"]

    done = subprocess.run(
        [str(browser), *options, *logged, file.as_uri()],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )

    assert "CONSOLE" not in done.stderr
    drawn = re.findall(r'<div id="([^"]+)" class="plotly-graph-div', page)
    assert len(drawn) == 11
    for name in drawn:
        figure = done.stdout.split(f'<div id="{name}"')[1]
        assert 'class="main-svg"' in figure[:3000]
    assert done.stdout.count('class="point"') >= 11 * 20
