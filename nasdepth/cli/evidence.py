"""The command analyze, and the options by which commands take evidence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import click

from nasdepth.cli.base import main, output_path, storage_options, study_of

if TYPE_CHECKING:
    from nasdepth.architecture.graph import Graph
    from nasdepth.architecture.ops import Shape
    from nasdepth.evidence.observations import Evidence
    from nasdepth.evidence.preregistration import Preregistration

F = TypeVar("F", bound=Callable[..., Any])


class Choice(TypedDict):
    """What `evidence_options` collect."""

    storage: str
    artifacts: Path | None
    study_name: str | None
    tables: tuple[str, ...]
    records: Path | None
    plan: Path | None
    response: str | None
    nominal: str | None
    baselines: tuple[str, ...]
    covariates: tuple[str, ...]
    columns: str | None
    family: str | None


def evidence_options(command: F) -> F:
    """Options of every command that takes a study, a table or a CSV."""
    options = (
        storage_options,
        click.option("--study-name", help="A study of the storage."),
        click.option(
            "--table",
            "tables",
            multiple=True,
            help="A published table, as nasbench201:cifar10 or torchvision:imagenet.",
        ),
        click.option(
            "--records",
            type=output_path,
            help="A CSV: of `nasdepth trials`, or with a response and measures.",
        ),
        click.option(
            "--plan",
            type=output_path,
            help="TOML with a [preregistration] instead of the source's own.",
        ),
        click.option("--response", help="What is explained: a response or a column."),
        click.option("--nominal", help="The primary reading of nominal depth."),
        click.option(
            "--baseline",
            "baselines",
            multiple=True,
            help="A measure of size held fixed [default: params, macs].",
        ),
        click.option(
            "--covariate",
            "covariates",
            multiple=True,
            help="A further measure or column held fixed.",
        ),
        click.option(
            "--columns",
            help="Names of a CSV's columns: effective_depth=deff,params=size.",
        ),
        click.option("--family", help="The CSV's column of families."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def analysis_options(command: F) -> F:
    """Options of every command that analyses evidence."""
    options = (
        click.option(
            "--claim",
            "claims",
            multiple=True,
            help="H1 to H10, or all [default: H1]; may be repeated.",
        ),
        click.option(
            "--allow-selected",
            is_flag=True,
            help="Let in what a sampler chose; labelled exploratory.",
        ),
        click.option(
            "--draws", type=click.IntRange(99), default=1999, show_default=True
        ),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
        click.option(
            "--brief", is_flag=True, help="Leave out the exploratory results."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def gather(**choice: Unpack[Choice]) -> "list[Evidence]":
    """The evidence that the options name, under the plan that they give.

    Raises:
        ValueError: no source or several kinds of one, or one that cannot be read.
    """
    kinds = (choice["study_name"], choice["tables"], choice["records"])
    if sum(map(bool, kinds)) != 1:
        raise ValueError("Give one source: --study-name, --table or --records.")
    if not choice["records"] and (choice["columns"] or choice["family"]):
        raise ValueError("--columns and --family are about the CSV of --records.")
    if choice["records"] and choice["plan"] and choice["response"]:
        raise ValueError("--response and the file of --plan both state a response.")
    plan = _plan_of(choice["plan"]) if choice["plan"] else None
    return [_planned(each, plan, choice) for each in _sources(choice, plan)]


def _sources(choice: Choice, plan: "Preregistration | None") -> "list[Evidence]":
    if choice["study_name"]:
        from nasdepth.search.storage import evidence

        study = study_of(choice["storage"], choice["study_name"])
        return [evidence(study, threshold=plan.threshold if plan else None)]
    if choice["tables"]:
        from nasdepth.evidence.tables import table

        return [table(name, _graph_of) for name in dict.fromkeys(choice["tables"])]
    from nasdepth.evidence.columns import evidence_of_csv

    assert choice["records"] is not None
    return [
        evidence_of_csv(
            choice["records"],
            response=choice["response"] or (plan.response if plan else ""),
            columns=_columns(choice["columns"]),
            family=choice["family"] or "",
            factors=choice["covariates"] or (plan.covariates if plan else ()),
            plan=plan,
        )
    ]


def _graph_of(name: str, shape: "Shape | None") -> "Graph":
    """Graph of a foreign network; torch is loaded when one has to be measured."""
    from nasdepth.networks import graph_of

    return graph_of(name, shape)


def _columns(text: str | None) -> dict[str, str]:
    """Ours to theirs, from "effective_depth=deff,params=size"."""
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    for ours, _, theirs in pairs:
        if not ours.strip() or not theirs.strip():
            raise ValueError(
                "--columns must be like effective_depth=deff,params=size, but got"
                f" {text!r}."
            )
    names = [ours.strip() for ours, _, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"--columns names {', '.join(twice)} twice.")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def _planned(
    evidence: "Evidence", plan: "Preregistration | None", choice: Choice
) -> "Evidence":
    """The evidence under the plan of the options, if they give one.

    A study and a table have a plan of their own, so that another one was not fixed
    beforehand; records show by their digest that a study's file was.
    """
    from dataclasses import replace

    from nasdepth.analysis.answer import evidence_of

    if plan and choice["records"] and choice["plan"]:
        told = _registered(choice["records"], choice["plan"])
        evidence = replace(evidence, plan=plan, registered=told)
    elif plan:
        evidence = evidence_of(evidence, plan)
    changes: dict[str, Any] = {
        name: choice[name]
        for name in ("nominal", "baselines", "covariates")
        if choice[name]
    }
    if choice["response"] and not choice["records"]:
        changes["response"] = choice["response"]
    return evidence_of(evidence, replace(evidence.plan, **changes))


def _registered(records: Path, study_file: Path) -> str:
    """How a CSV shows that its study's plan was fixed before; empty if it does not."""
    from nasdepth.evidence.records import read_csv
    from nasdepth.search.config import load_config

    try:
        kept = {row.config_digest for row in read_csv(records)}
        ours = {load_config(study_file).digest()}
    except ValueError:  # a foreign CSV, or a file with a plan alone
        return ""
    told = "hashed with the study's configuration, which every row carries"
    return told if kept == ours else ""


def _plan_of(path: Path) -> "Preregistration":
    from nasdepth.search.config import load_plan

    return load_plan(path)


@main.command()
@evidence_options
@analysis_options
@click.option("--figure", type=output_path, help="Write the scatter figure here.")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "json"]),
    default="table",
    show_default=True,
)
def analyze(
    claims: tuple[str, ...],
    allow_selected: bool,
    draws: int,
    seed: int,
    brief: bool,
    figure: Path | None,
    form: str,
    **choice: Unpack[Choice],
) -> None:
    """Does effective depth predict accuracy beyond nominal depth and size?

    Prints what the data can say, a verdict by rules fixed beforehand, the tests behind
    it and exploratory results. Several tables are corrected for their number.

    \b
    Example:  nasdepth analyze --study-name fashion-mnist
              nasdepth analyze --table nasbench201:cifar100 --claim H9
              nasdepth analyze --records mine.csv --response accuracy --family family
    """
    from nasdepth.analysis.answer import analyze_all
    from nasdepth.claims.claim import CLAIMS, Options

    sources = gather(**choice)
    found = analyze_all(
        sources,
        claims=tuple(CLAIMS) if "all" in claims else claims or ("H1",),
        options=Options(seed=seed, draws=draws, allow_selected=allow_selected),
        explore=not brief,
    )
    if figure:
        from nasdepth.analysis.figures import scatter

        rows = [row for each in sources for row in each.observations]
        scatter(rows, figure, title=", ".join(each.name for each in sources))
    if form == "json":
        values = [each.as_dict() for each in found]
        shown = values[0] if len(values) == 1 else values
        click.echo(json.dumps(shown, indent=2, allow_nan=False))
    elif form == "markdown":
        click.echo("\n\n".join(each.markdown() for each in found))
    else:
        click.echo("\n\n\n".join(map(str, found)))
