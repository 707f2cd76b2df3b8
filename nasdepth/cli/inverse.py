"""The command that designs a smaller network like a known one: design."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nasdepth.cli.base import architecture_of, format_option, main, output_path

if TYPE_CHECKING:
    from nasdepth.inverse.design import Design, Row
    from nasdepth.tables import Form


@main.command()
@click.option("--like", required=True, help="Family name or architecture file.")
@click.option(
    "--keep", default="nn_mass", show_default=True, help="Measure of it to keep."
)
@click.option("--minimize", default="params", show_default=True, help="Cost to lower.")
@click.option(
    "--tolerance",
    type=float,
    default=0.01,
    show_default=True,
    help="Relative deviation of the kept measure, to both sides.",
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Greatest value of a measure, like macs=300e6; may be repeated. Params, MACs, "
    "activations and peak memory without one may not grow beyond the reference's.",
)
@click.option(
    "--max-depth",
    type=click.IntRange(0),
    default=0,
    help="Greatest depth of a stage [default: twice the reference's, and 2 more].",
)
@click.option(
    "--min-width",
    type=float,
    default=0.5,
    show_default=True,
    help="Least width of a stage, as a share of the reference's.",
)
@click.option("--input", "shape", help="Channels,height,width of an image.")
@click.option(
    "-o",
    "--output",
    type=output_path,
    default="architecture.json",
    show_default=True,
    help="Write the network here, for train.",
)
@format_option
def design(
    like: str,
    shape: str | None,
    budgets: tuple[str, ...],
    output: Path,
    form: "Form",
    **options: Any,
) -> None:
    """The smallest network that keeps a measure of a known one, without training.

    Depths, widths and links vary, exactly within a box. NN-Mass bounds no depth: the
    limits do, and the table shows in nominal depth, MACs and memory what was paid.
    Nothing in the box costs less than the column bound says.

    \b
    Example:  nasdepth design --like mobilenet_v2:1.4 --keep nn_mass --minimize params
              nasdepth design --like resnet50 --budget macs=2e9 --tolerance 0.02
    """
    from nasdepth.inverse import design as inverse
    from nasdepth.tables import render, table

    reference = architecture_of(_untraced(like), shape)
    found = inverse.design(
        reference,
        options["keep"],
        options["minimize"],
        tolerance=options["tolerance"],
        budgets=dict(map(_budget, budgets)),
        max_depth=options["max_depth"],
        min_width=options["min_width"],
    )
    assert found.best.architecture is not None
    output.write_text(found.best.architecture.to_json() + "\n", encoding="utf-8")
    if form == "table":
        click.echo(table([_shown(row, found) for row in found.rows]))
    else:
        click.echo(render([_full(row, found) for row in found.rows], form))
    click.echo(f"{_verdict(found)}\nWrote {output}. Next:", err=True)
    click.echo(f"  nasdepth train {shlex.quote(str(output))} --data …", err=True)


def _untraced(like: str) -> str:
    if like.endswith(".json"):
        text = Path(like).read_text(encoding="utf-8")
        try:
            data = json.loads(text)
        except ValueError:
            return like  # the reader of architectures says what is wrong
        if isinstance(data, dict) and "nodes" in data and "stages" not in data:
            raise ValueError(
                f"--like needs a network of stages: {like} holds a traced graph, which "
                f"has no depths and widths to vary."
            )
    return like


def _budget(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError as error:
        raise ValueError(f"--budget must be NAME=NUMBER, but got {text!r}.") from error


def _columns(found: "Design") -> dict[str, str]:
    """Columns of the table by their head: kept, minimised, then what is paid."""
    from nasdepth.measures.catalogue import CATALOGUE, SHOWN

    names = [found.keep, found.minimize, *SHOWN.values(), *found.budgets]
    return {
        CATALOGUE[name].head or CATALOGUE[name].label: name
        for name in dict.fromkeys(names)
    }


def _shown(row: "Row", found: "Design") -> dict[str, str]:
    from nasdepth.tables import quantity, shorthand

    cells = {head: quantity(row.values.get(n)) for head, n in _columns(found).items()}
    built = row.architecture
    return {
        "network": row.label,
        **cells,
        "bound": quantity(_finite(row)),
        "stages": shorthand(built) if built else "–",
    }


def _full(row: "Row", found: "Design") -> dict[str, Any]:
    values = {name: row.values.get(name) for name in _columns(found).values()}
    built = row.architecture.to_json() if row.architecture else None
    return {
        "network": row.label,
        **values,
        "bound": _finite(row),
        "architecture": built,
    }


def _finite(row: "Row") -> float | None:
    # JSON has no infinity
    return row.bound if row.bound is not None and abs(row.bound) < 1e300 else None


def _verdict(found: "Design") -> str:
    """What the search found, as a sentence."""
    from nasdepth.tables import quantity

    cost = found.best.values[found.minimize] or 0.0
    before = found.rows[0].values[found.minimize] or 0.0
    bound = _finite(found.best)
    how = "the least in the box, proved" if found.proved else "not proved the least"
    if not found.proved and bound is not None:
        how += f" (no less than {quantity(bound)})"
    return (
        f"{quantity(cost)} {found.minimize}, {1 - cost / before:.0%} below the "
        f"reference at {found.keep} within {found.tolerance * 100:g} %: {how}."
    )
