"""The group of commands and the options they share."""

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from nasdepth import __version__

if TYPE_CHECKING:
    import optuna

    from nasdepth.architecture.graph import Graph
    from nasdepth.architecture.ops import Shape
    from nasdepth.architecture.spec import Architecture
    from nasdepth.training.data import DataConfig

F = TypeVar("F", bound=Callable[..., Any])


class _Group(click.Group):
    """Turns what bad input raises into one line and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # who reads has read enough, and click ends quietly
        except (ValueError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("Interrupted: what was finished is kept.", err=True)
            ctx.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nasdepth")
@click.option("-v", "--verbose", count=True, help="More log lines; twice for all.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors and results.")
@click.option("--log-file", type=click.Path(path_type=Path), help="Write the log here.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(verbose: int, quiet: bool, log_file: Path | None, debug: bool) -> None:
    """Search image classifiers by topology, train the promising, test the claim.

    \b
    Start:  nasdepth search studies/quickstart.toml
    """
    level = logging.WARNING - 10 * verbose + 10 * quiet
    form = "%(asctime)s %(name)s %(message)s"
    where = {"filename": log_file} if log_file else {"stream": sys.stderr}
    logging.basicConfig(level=level, format=form, force=True, **where)
    # both end a command alike, also where a script's background jobs ignore SIGINT
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.default_int_handler)


def storage_options(command: F) -> F:
    """Options of every command that opens a storage."""
    storage = click.option(
        "--storage",
        envvar="OPTUNA_STORAGE",
        default="sqlite:///nasdepth.db",
        show_default=True,
        help="Optuna storage URL, or journal:///path.",
    )
    artifacts = click.option(
        "--artifacts",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of weights and pictures [default: nasdepth-artifacts beside it].",
    )
    return storage(artifacts(command))


study_name_option = click.option(
    "--study-name", required=True, help="Name of the study."
)
format_option = click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="For people, or for programs.",
)
output_path: Final = click.Path(path_type=Path)


def study_of(storage: str, name: str) -> "optuna.Study":
    """Study of that name in a storage that is there."""
    from nasdepth.search.storage import existing_storage, load_study

    return load_study(existing_storage(storage), name)


def architecture_of(network: str, shape: str | None = None) -> "Architecture":
    """Architecture of a file or a family name, for images of the given shape."""
    from dataclasses import replace

    from nasdepth.architecture.families import is_named, named

    if not is_named(network) and ":" in network:
        raise ValueError(
            f"{network} was written elsewhere: it can be described and compared, but "
            "only a family name or an architecture.json is built here."
        )
    architecture = named(network)
    dims = shape_of(shape)
    return replace(architecture, input_shape=dims) if dims else architecture


def graph_of(network: str, shape: str | None = None) -> "Graph":
    """Graph of any network by name; torch is loaded for foreign ones alone."""
    from nasdepth.architecture.families import is_named
    from nasdepth.architecture.lower import lower

    if is_named(network):
        return lower(architecture_of(network, shape))
    from nasdepth.networks import graph_of

    return graph_of(network, shape_of(shape))


def shape_of(text: str | None) -> "Shape | None":
    """Shape of an image from "channels,height,width"."""
    if text is None:
        return None
    try:
        dims = tuple(int(side) for side in text.split(","))
    except ValueError as error:
        raise ValueError(
            f"--input must be like 3,224,224, but got {text!r}."
        ) from error
    if not all(side > 0 for side in dims):
        raise ValueError(f"--input must have positive sides, but got {text!r}.")
    return dims


def data_config_of(data: str) -> "DataConfig":
    """Data configuration of a name, an image folder, or a study file's [data]."""
    from nasdepth.search.config import load_config
    from nasdepth.training.data import DATASETS, DataConfig

    path = Path(data).expanduser()
    if path.suffix == ".toml":
        return load_config(path).data
    if data not in DATASETS and path.is_dir():
        return DataConfig("folder", str(path.resolve()))
    return DataConfig(data)
