"""The command that says how many architectures settle a study's question: plan."""

import csv
import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from nasdepth.cli.base import format_option, main, output_path

if TYPE_CHECKING:
    from nasdepth.search.config import StudyConfig
    from nasdepth.search.plan import Plan
    from nasdepth.search.space import Space
    from nasdepth.tables import Form

_FORMATS: Final = (".csv", ".json", ".jsonl")


@main.command()
@click.argument("study_file", type=output_path)
@click.option(
    "--effect",
    type=float,
    help="Partial correlation to be detected [default: the preregistered smallest].",
)
@click.option(
    "--power",
    type=float,
    default=0.8,
    show_default=True,
    help="Wanted probability of detecting it.",
)
@click.option(
    "--n",
    "trials",
    type=click.IntRange(1),
    help="Plan for so many architectures instead of as many as are needed.",
)
@click.option(
    "-o",
    "--output",
    type=output_path,
    help="Write the designed architectures here: .csv, or .json with one a line.",
)
@format_option
def plan(
    study_file: Path,
    effect: float | None,
    power: float,
    trials: int | None,
    output: Path | None,
    form: "Form",
) -> None:
    """How many architectures, of which kind, settle a study's question.

    Draws the architectures that the study would train unselected, measures how far
    they tell effective depth (Deff) from nominal depth (Dnom), weighted layers (W)
    and size, and simulates the preregistered test on them. Nothing is trained.

    \b
    Example:  nasdepth plan studies/cifar10.toml
              nasdepth plan studies/cifar10.toml --effect 0.3 -o designs.csv
    """
    from nasdepth.search import plan as planning
    from nasdepth.search.config import load_config
    from nasdepth.tables import render

    if output and output.suffix not in _FORMATS:
        raise ValueError(
            f"--output must end in {', '.join(_FORMATS)}, but got {str(output)!r}."
        )
    if output and not output.parent.is_dir():
        raise ValueError(f"--output must be in a folder, but {output.parent} is none.")
    if effect is not None and not 0 < effect < 1:
        raise ValueError(f"--effect must lie in (0, 1), but got {effect}.")
    config = load_config(study_file)
    space = _space_of(config)
    found = planning.plan(config, space, effect=effect, power=power, trials=trials)
    if form == "table":
        click.echo("\n".join(_told(found, config, study_file)))
    else:
        click.echo(render([_row(found, form)], form))
    if output:
        _write(found, output)
        click.echo(f"Wrote {len(found.arm)} architectures to {output}.", err=True)


def _space_of(config: "StudyConfig") -> "Space":
    """Space of a study; images are read only where nothing else says their shape."""
    from nasdepth.search.space import Space
    from nasdepth.training.datasets import DATASETS

    data, known = config.data, DATASETS[config.data.name]
    if not all((*known.shape, known.classes)):
        from nasdepth.search.study import space_of
        from nasdepth.training.data import load

        return space_of(config, load(data))
    channels, height, width = known.shape
    sides = ((data.size or side) * data.upscale for side in (height, width))
    return Space(config.space, (data.channels or channels, *sides), len(known.classes))


def _told(found: "Plan", config: "StudyConfig", study_file: Path) -> Iterator[str]:
    """The plan as a person reads it; why it cannot be comes first."""
    from nasdepth.tables import quantity, table

    for problem in filter(None, (found.problem, found.shortage)):
        yield f"{problem}\n"
    siblings = " with their siblings" if config.space.dropped else ""
    yield (
        f"Study {config.name}: {found.looked_at:,} feasible architectures looked at"
        f"{siblings}, of {found.drawn:,} drawn.\n"
    )
    yield table(list(_attained(found)))
    file = shlex.quote(str(study_file))
    if found.problem:
        yield f"\nAfter the change:\n  nasdepth plan {file}"
        return
    yield f"\n{_size(found)}\n"
    kinds = [
        {
            "with a stage of": kind.topology,
            "architectures": str(kind.architectures),
            "paired": str(kind.paired),
        }
        for kind in found.kinds
    ]
    yield table(kinds)
    yield from _pairs(found, config)
    epochs = config.training.epochs
    yield (
        f"\nCost: {len(found.arm)} trainings of {epochs} epochs; together "
        f"{quantity(_total(found, 'params'))} parameters and "
        f"{quantity(_total(found, 'macs'))} MACs an image.\n"
    )
    yield f"Write into {study_file}:\n  [design]\n  trials = {len(found.arm)}"
    if config.search.n_trials < len(found.arm):
        yield f"  [search]\n  n_trials = {len(found.arm)}"
    yield f"Next:\n  nasdepth search {file}"


def _attained(found: "Plan") -> Iterator[dict[str, str]]:
    """What is attained by a random sample and as designed, one line a figure."""
    names = {
        "n": "architectures",
        "r_nominal": "r(Dnom, Deff)",
        "r_weighted": "r(W, Deff)",
        "r_size": "r(log params, Deff)",
        "unexplained": "Deff unexplained by Dnom and size",
        "inflation": "variance inflation",
    }
    sampled, attained = asdict(found.sampled), asdict(found.attained)
    for name, words in names.items():
        yield {
            "": words,
            "random sample": _figure(sampled[name]),
            "designed": _figure(attained[name]),
        }


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _size(found: "Plan") -> str:
    """How many architectures are needed, and what those planned for would detect."""
    needed, at_arm = found.needed, found.at_arm
    what = f"a partial correlation of {found.effect:g} at {found.power:.0%} power"
    if needed.n is None:
        return f"For {what} nothing was simulated: {needed.problem}."
    text = (
        f"For {what}: {needed.n} ± {needed.error:.0f} architectures by simulation on "
        f"these designs (wild bootstrap-t; ± is Monte Carlo error), "
        f"{needed.formula} by Fisher's formula."
    )
    if at_arm.value is None:
        return f"{text}\nThese {at_arm.n} cannot be tested: {at_arm.problem}."
    share = f"{at_arm.value:.1%} ± {at_arm.error:.1%}"
    return f"{text}\nPower of these {at_arm.n}: {share}."


def _pairs(found: "Plan", config: "StudyConfig") -> Iterator[str]:
    """What of the arm differs in dropped shortcuts alone, or how some might."""
    if config.space.dropped:
        yield (
            f"{found.paired} of {len(found.arm)} are paired: siblings of equal params, "
            "MACs, W and Dnom, which differ in the shortcuts that they lack."
        )
    elif config.space.droppable:
        yield (
            "With dropped = true in [space] half are pairs of siblings of equal "
            "params, MACs, W and Dnom, which differ in the shortcuts that they lack."
        )


def _total(found: "Plan", name: str) -> float:
    return sum(candidate.measures[name] or 0.0 for candidate in found.arm)


def _row(found: "Plan", form: "Form") -> dict[str, Any]:
    """The plan as one row; in CSV without what is nested."""
    row: dict[str, Any] = {
        "trials": len(found.arm),
        "effect": found.effect,
        "power": found.power,
        "needed": found.needed.n,
        "needed_error": found.needed.error,
        "needed_fisher": found.needed.formula,
        "power_of_arm": found.at_arm.value,
        "power_of_arm_error": found.at_arm.error,
        "drawn": found.drawn,
        "looked_at": found.looked_at,
        "paired": found.paired,
        "params": _total(found, "params"),
        "macs": _total(found, "macs"),
        "problem": found.problem or found.shortage,
    }
    for name, part in (("sampled", found.sampled), ("designed", found.attained)):
        row |= {f"{name}_{key}": value for key, value in asdict(part).items()}
    if form == "json":
        row["kinds"] = [asdict(kind) for kind in found.kinds]
        row["simulated"] = [asdict(power) for power in found.needed.simulated]
    return row


def _write(found: "Plan", output: Path) -> None:
    """The architectures with their measures, in the order they are trained."""
    from nasdepth.search.siblings import backbone
    from nasdepth.tables import shorthand

    numbers: dict[object, int] = {}
    rows = []
    for each in found.arm:
        shared = backbone(each.architecture)
        row = {
            "network": shorthand(each.architecture),
            "siblings": numbers.setdefault(shared, len(numbers)),
            "digest": each.digest,
            "architecture": each.architecture.to_json(),
            **each.measures,
        }
        rows.append(row)
    with output.open("w", encoding="utf-8", newline="") as file:
        if output.suffix == ".csv":
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
