"""Commands about studies: init, search, worker, trials, best, repair."""

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nasdepth.cli.base import (
    data_config_of,
    format_option,
    main,
    output_path,
    storage_options,
    study_name_option,
    study_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    import optuna

    from nasdepth.evidence.records import TrialRecord
    from nasdepth.search.config import StudyConfig
    from nasdepth.tables import Form


class _Count(click.ParamType[Any]):
    """A number of processes, or "auto"."""

    name = "integer|auto"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "auto":
            return value
        return click.IntRange(1).convert(value, param, ctx)


_COUNT = _Count()


@main.command()
@click.option("--data", required=True, help="Image folder, or a data set's name.")
@click.option(
    "-o", "--output", type=output_path, required=True, help="Study file to write."
)
def init(data: str, output: Path) -> None:
    """Write a commented study file that fits the data.

    \b
    Example:  nasdepth init --data ~/my-images -o my-study.toml
    """
    from nasdepth.search.template import Template
    from nasdepth.training.data import describe_source

    if output.exists():
        raise FileExistsError(f"{output} exists; give another name.")
    config = data_config_of(data)
    template = Template(config, describe_source(config), output)
    output.write_text(template.text(), encoding="utf-8")
    command = f"nasdepth search {shlex.quote(str(output))} --timeout 3600"
    click.echo(f"Wrote {output}. Next:\n  {command}")


@main.command()
@click.argument("study_file", type=output_path)
@storage_options
@click.option("--n-trials", type=click.IntRange(1), help="The study's total.")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds; then none starts.")
@click.option("--workers", type=_COUNT, help="Processes; auto fills the machine.")
@click.option("--threads", type=click.IntRange(1), help="Of each on the CPU.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--objectives", help="accuracy, or accuracy and a cost: accuracy,macs (a front)."
)
@click.option(
    "--prior-study", help="Study in the same storage, as prior knowledge for the guide."
)
def search(
    study_file: Path,
    storage: str,
    artifacts: Path | None,
    timeout: float | None,
    **options: Any,
) -> None:
    """Screen, train, prune, store; resumes a study of the same name.

    \b
    Example:  nasdepth search studies/fashion-mnist.toml --workers 2
    """
    from nasdepth import present, watching
    from nasdepth.analysis.answer import analyze
    from nasdepth.dashboard import annotate_study
    from nasdepth.search import storage as stored
    from nasdepth.search import workers
    from nasdepth.search.config import load_config
    from nasdepth.search.study import open_study, prepare_process
    from nasdepth.training.data import load
    from nasdepth.training.memory import available_bytes
    from nasdepth.training.processors import default_workers

    config = _with_options(load_config(study_file), options)
    run = config.search
    device = prepare_process(run.threads, run.device)
    dataset = load(config.data)
    count = run.workers
    if count == "auto":
        free, images = available_bytes(device), dataset.nbytes
        count = default_workers(device, free=free, images=images, threads=run.threads)
    study, repaired = open_study(config, dataset, storage)
    for number in repaired:
        click.echo(
            f"Trial {number}, left by a dead process, is queued again.", err=True
        )
    folder = stored.artifact_directory(storage, artifacts)
    store = stored.artifact_store(folder)
    until = time.time() + timeout if timeout is not None else float("inf")
    arguments = ["--storage", storage, "--study-name", config.name]
    arguments += ["--artifacts", str(folder), "--until", str(until)]
    fleet = workers.start(arguments, count, folder, run.threads)
    try:
        watching.watch(study, fleet, run.n_trials)
    finally:
        fleet.interrupt()
        stored.repair(study, "interrupted", blamed=False)
    if failure := fleet.failure(watching.missing(study, run.n_trials)):
        raise click.ClickException(failure)
    rows = stored.records(study)
    found = analyze(stored.evidence(study), explore=False)
    annotate_study(study, rows, store, config.name, analysis=found)
    click.echo(present.summary(study, found, study_file, storage))


def _with_options(config: "StudyConfig", options: dict[str, Any]) -> "StudyConfig":
    """The configuration with what the command line says of [search]."""
    given = {k: v for k, v in options.items() if v is not None}
    if "objectives" in given:
        given["objectives"] = tuple(given["objectives"].replace(" ", "").split(","))
    return config.with_search(given)


@main.command()
@storage_options
@study_name_option
@click.option("--until", type=float, default=float("inf"), hidden=True)
@click.option("--parent", type=int, default=0, hidden=True)
@click.option("--status", type=output_path, hidden=True)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
def worker(
    storage: str,
    artifacts: Path | None,
    study_name: str,
    until: float,
    parent: int,
    status: Path | None,
    device: str | None,
) -> None:
    """One more process on an existing study, here or on another machine.

    \b
    Example:  nasdepth worker --storage mysql://host/db --study-name cifar10
    """
    from nasdepth.dashboard import annotate
    from nasdepth.search import storage as stored
    from nasdepth.search.status import Status, StatusFile
    from nasdepth.search.study import (
        POISONED,
        DevicePoisoned,
        Worker,
        prepare_process,
        work,
    )
    from nasdepth.search.workers import INTERRUPTED
    from nasdepth.training.data import load

    study = study_of(storage, study_name)
    config = stored.study_config(study)
    chosen = prepare_process(config.search.threads, device or config.search.device)
    folder = stored.artifact_directory(storage, artifacts)
    store = stored.artifact_store(folder)
    dataset = load(config.data).to(chosen)
    telling = StatusFile(status)
    telling.write(Status())
    process = Worker(
        config, dataset, chosen, store, annotate, until, parent, folder, telling
    )
    try:
        work(study, process)
    except DevicePoisoned as error:
        click.echo(f"Error: {error}", err=True)
        _leave(POISONED, parent)
    except KeyboardInterrupt:
        if parent:
            _leave(INTERRUPTED, parent)
        raise


def _leave(code: int, parent: int) -> "NoReturn":
    """End a worker; one of a fleet without the interpreter's tidying.

    That takes a second with torch, and may not end where the device is lost.
    """
    if parent:
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


@main.command()
@storage_options
@study_name_option
@format_option
@click.option(
    "--pareto", is_flag=True, help="Only trials that none beats in all objectives."
)
@click.option(
    "--objectives",
    help="Of --pareto, as accuracy,macs [default: the study's own; accuracy,params,macs"
    " where that is accuracy alone].",
)
def trials(
    storage: str,
    artifacts: Path | None,
    study_name: str,
    form: "Form",
    pareto: bool,
    objectives: str | None,
) -> None:
    """What a study holds; as CSV the records that `analyze --records` reads.

    \b
    Example:  nasdepth trials --study-name fashion-mnist -f csv > records.csv
              nasdepth trials --study-name fashion-mnist --pareto
    """
    from nasdepth.evidence.records import write_csv
    from nasdepth.present import readable
    from nasdepth.search.storage import records
    from nasdepth.tables import table

    if objectives is not None and not pareto:
        raise ValueError("--objectives goes with --pareto; give both.")
    study = study_of(storage, study_name)
    rows = records(study)
    costs: tuple[str, ...] = ()
    if pareto:
        rows, costs = _front_of(study, rows, objectives)
    if form == "csv":
        write_csv(rows, sys.stdout)
    elif form == "json":
        click.echo(json.dumps([row.as_dict() for row in rows], indent=2))
    else:
        click.echo(table([readable(row, costs) for row in rows]))


def _front_of(
    study: "optuna.Study", rows: "Sequence[TrialRecord]", objectives: str | None
) -> "tuple[tuple[TrialRecord, ...], tuple[str, ...]]":
    """Trials on the Pareto front, and its costs; tells on stderr what it is of."""
    from nasdepth.analysis.front import chosen_costs, cost_label, costs_of, trial_front
    from nasdepth.search.storage import study_config

    if objectives is None:
        costs = costs_of(study_config(study).search.objectives)
    else:
        costs = chosen_costs(objectives, rows)
    found = trial_front(rows, costs)
    weighed = ", ".join(["accuracy", *map(cost_label, costs[:-1])])
    done = sum(row.state == "complete" for row in rows)
    told = f"Of {found.n} complete trials {len(found.trials)} are beaten by none"
    left = f"; {done - found.n} without them are left out" if done > found.n else ""
    click.echo(f"{told} in {weighed} and {cost_label(costs[-1])}{left}.", err=True)
    return found.trials, costs


@main.command()
@storage_options
@study_name_option
@click.option("--trial", type=int, help="This trial instead of the best.")
@click.option("-o", "--output", type=output_path, help="Write the architecture here.")
def best(
    storage: str,
    artifacts: Path | None,
    study_name: str,
    trial: int | None,
    output: Path | None,
) -> None:
    """The architecture of the best validation accuracy, as JSON.

    \b
    Example:  nasdepth best --study-name fashion-mnist -o best.json
    """
    from nasdepth.search.storage import best_trial

    chosen = best_trial(study_of(storage, study_name), trial)
    text = chosen.user_attrs["network"]["architecture"]
    click.echo(
        f"trial {chosen.number}, validation accuracy {chosen.value:.4f}", err=True
    )
    if output:
        output.write_text(text + "\n", encoding="utf-8")
    else:
        click.echo(text)


@main.command()
@storage_options
@study_name_option
def repair(storage: str, artifacts: Path | None, study_name: str) -> None:
    """Fail and requeue the trials that dead processes left running.

    \b
    Example:  nasdepth repair --study-name fashion-mnist
    """
    from nasdepth.search import storage as stored

    repaired = stored.repair(study_of(storage, study_name))
    told = ", ".join(map(str, repaired)) or "none"
    click.echo(f"Trials failed and queued again: {told}.")
