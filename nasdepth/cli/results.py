"""Commands about results: export, dashboard, doctor."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nasdepth.cli.base import (
    format_option,
    main,
    output_path,
    storage_options,
    study_name_option,
    study_of,
)

if TYPE_CHECKING:
    from nasdepth.tables import Form


@main.command()
@storage_options
@study_name_option
@click.option("--trial", type=int, help="This trial instead of the best.")
@click.option(
    "-o", "--output", type=output_path, required=True, help="Folder to write."
)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
def export(
    storage: str,
    artifacts: Path | None,
    study_name: str,
    trial: int | None,
    output: Path,
    device: str | None,
) -> None:
    """The best trial as a folder that loads without nasdepth.

    \b
    Example:  nasdepth export --study-name fashion-mnist -o best/
    """
    from nasdepth import export as exporting
    from nasdepth.architecture.spec import Architecture
    from nasdepth.search import storage as stored
    from nasdepth.training.data import load, load_test
    from nasdepth.training.device import pick_device

    exporting.check_vacant(output)
    study = study_of(storage, study_name)
    chosen = stored.best_trial(study, trial)
    folder = stored.artifact_directory(storage, artifacts)
    config = stored.study_config(study)
    row = stored.record(chosen, study.user_attrs)
    source = exporting.ExportSource(
        Architecture.from_json(row.architecture),
        stored.weights_file(chosen, study, folder),
        load(config.data),
        load_test(config.data),
        next(iter(row.ended), row.accuracy or 0.0),  # of the weights that were kept
        {
            "study": study_name,
            "trial": row.number,
            "seed": row.seed,
            "versions": row.versions,
        },
    )
    device_ = pick_device(device or "auto")
    click.echo(_told(exporting.export(source, output, device=device_), output))


def _told(metrics: dict[str, Any], output: Path) -> str:
    program = shlex.quote(f"{output}/model.py")
    following = f"Wrote {output}. Next:\n  python {program} IMAGE…"
    return f"{json.dumps(metrics, indent=2)}\n{following}"


@main.command()
@storage_options
@click.option("--study-name", help="Only to check that it is there.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
def dashboard(
    storage: str, artifacts: Path | None, study_name: str | None, host: str, port: int
) -> None:
    """optuna-dashboard on the studies, with pictures, curves and notes.

    \b
    Example:  nasdepth dashboard --study-name fashion-mnist
    """
    from nasdepth.dashboard import serve
    from nasdepth.search.storage import artifact_directory, existing_storage

    if study_name:
        study_of(storage, study_name)
    folder = artifact_directory(storage, artifacts)
    click.echo(f"http://{host}:{port} (Ctrl-C ends it)", err=True)
    opened = existing_storage(storage)
    serve(opened, host=host, port=port, artifact_directory=folder)


@main.command()
@storage_options
@format_option
def doctor(storage: str, artifacts: Path | None, form: "Form") -> None:
    """Versions, devices, storage, data sets: what works here and what does not.

    \b
    Example:  nasdepth doctor
    """
    from nasdepth.doctor import examine
    from nasdepth.tables import render

    click.echo(render(examine(storage), form))
