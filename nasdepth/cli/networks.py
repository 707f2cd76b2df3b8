"""Commands about networks of ours: screen, train."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nasdepth.cli.base import (
    architecture_of,
    data_config_of,
    format_option,
    main,
    output_path,
)

if TYPE_CHECKING:
    from nasdepth.tables import Form


@main.command()
@click.argument("study_file", type=output_path)
@click.option("--candidates", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--top", type=click.IntRange(1), default=20, show_default=True)
@click.option("-o", "--output", type=output_path, help="Write the rows as CSV here.")
@format_option
def screen(
    study_file: Path, candidates: int, top: int, output: Path | None, form: "Form"
) -> None:
    """The training-free stage alone: draw, drop what is over budget, score, rank.

    \b
    Example:  nasdepth screen studies/cifar10.toml --candidates 20000 --top 20
    """
    from nasdepth.measures.catalogue import SHOWN
    from nasdepth.search.config import load_config
    from nasdepth.search.screen import screen_candidates
    from nasdepth.search.study import space_of
    from nasdepth.tables import quantity, render, shorthand, table
    from nasdepth.training.data import load

    config = load_config(study_file)
    space = space_of(config, load(config.data))
    ranked, sieve = screen_candidates(config, space, candidates, top)
    full = [
        {"score": s, **c.measures, "architecture": c.architecture.to_json()}
        for s, c in ranked
    ]
    if output:
        output.write_text(render(full, "csv") + "\n", encoding="utf-8")
    if form != "table":
        click.echo(render(full, form))
        return
    rows = [
        {
            "score": f"{s:.3f}",
            **{head: quantity(c.measures[name]) for head, name in SHOWN.items()},
            "architecture": shorthand(c.architecture),
        }
        for s, c in ranked
    ]
    dropped = ", ".join(f"{n} {reason}" for reason, n in sorted(sieve.dropped.items()))
    click.echo(table(rows))
    click.echo(f"{sieve.drawn} drawn; dropped: {dropped or 'none'}", err=True)


@main.command()
@click.argument("network")
@click.option("--data", required=True, help="Data set, image folder or study file.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=20, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=128, show_default=True)
@click.option("--learning-rate", type=float, default=0.1, show_default=True)
@click.option(
    "--schedule",
    type=click.Choice(["one-cycle", "cosine", "wsd"]),
    default="one-cycle",
    show_default=True,
)
@click.option("--deterministic", is_flag=True, help="The same bits each time.")
@click.option("-o", "--output", type=output_path, help="Export the best seed here.")
@click.option(
    "--checkpoints",
    type=output_path,
    help="Folder for the state at every epoch: the same command goes on from it.",
)
@click.option("--threads", type=click.IntRange(1), default=os.cpu_count())
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@format_option
def train(
    network: str,
    data: str,
    seeds: int,
    output: Path | None,
    checkpoints: Path | None,
    threads: int,
    device: str,
    form: "Form",
    **training: Any,
) -> None:
    """Train one architecture afresh to its end, then open the test set.

    \b
    Example:  nasdepth train best.json --data fashion-mnist --seeds 3
    """
    from dataclasses import replace
    from functools import partial

    from nasdepth import retrain as again
    from nasdepth.export import check_vacant
    from nasdepth.search.stopping import StopFlag
    from nasdepth.search.study import prepare_process
    from nasdepth.tables import render
    from nasdepth.training.data import load, load_test
    from nasdepth.training.recipe import (
        Diverged,
        DoesNotFit,
        Epoch,
        Stopped,
        TrainingConfig,
    )

    if output:
        check_vacant(output)
    architecture = architecture_of(network)
    # the limit of a study makes its comparisons cheap; the final training uses all
    data_config = replace(data_config_of(data), limit=0)
    config = TrainingConfig(**training)
    chosen = prepare_process(threads, device)
    dataset, test = load(data_config), load_test(data_config)
    architecture = again.fitted_to(architecture, dataset)

    def tell(epoch: Epoch) -> None:
        click.echo(
            f"epoch {epoch.index}/{config.epochs}: loss {epoch.loss:.4f}, validation "
            f"{epoch.validation_accuracy:.4f}, {epoch.images_per_second:.0f} images/s",
            err=True,
        )

    if config.deterministic:
        cost = again.deterministic_cost(architecture, dataset, config, chosen)
        click.echo(f"A deterministic step takes {cost:.2f} times as long.", err=True)
    stop = StopFlag()
    once = partial(
        again.retrain,
        architecture,
        dataset,
        config,
        device=chosen,
        test=test,
        on_epoch=tell,
        folder=checkpoints,
        stop=stop,
    )
    try:
        with stop.watching(), stop.armed():
            runs = [once(seed=seed) for seed in range(seeds)]
    except (Diverged, DoesNotFit) as error:
        raise click.ClickException(str(error)) from error
    except Stopped:
        if checkpoints is not None:
            raise KeyboardInterrupt from None
        click.echo("Interrupted: without --checkpoints nothing is kept.", err=True)
        sys.exit(130)
    click.echo(render([run.row() for run in runs], form))
    click.echo(f"{dataset.label}, {again.summarised(runs)}", err=True)
    if output:
        again.export_best(runs, architecture, dataset, test, output)
        program = shlex.quote(f"{output}/model.py")
        click.echo(f"Wrote {output}. Next:\n  python {program} IMAGE…", err=True)
