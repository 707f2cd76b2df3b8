"""Commands that measure any network without training it: describe, compare."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from nasdepth.cli.base import (
    F,
    format_option,
    graph_of,
    main,
    output_path,
    shape_of,
)

if TYPE_CHECKING:
    from nasdepth.measures.depth import DepthConvention
    from nasdepth.measures.description import Measures
    from nasdepth.network.latency import Latency
    from nasdepth.network.probes import Probed
    from nasdepth.tables import Form

#: images of a probe's batch
_BATCH: Final = 16
#: columns of what a probe knows of each layer, by the probe
_BY_LAYER: Final = {
    "gradient_norm": "gradient_norm",
    "variance_slope": "activation_variance",
}
_DYNAMICS: Final = (
    *_BY_LAYER,
    "attenuation_slope",
    "weight_gradient_slope",
    "dead_units",
    "dead_channels",
)
_counted = click.option(
    "--count",
    multiple=True,
    type=click.Choice(["projections", "pooling", "gates"]),
    help="Let these weigh in depths too; give it once for each.",
)
_input = click.option("--input", "shape", help="Channels,height,width of an image.")
#: options of a timing, and what holds where they are not given
_TIMING: Final = {"batch": 1, "threads": 1, "device": "cpu"}


def _timing_options(command: F) -> F:
    """Options of a command that can time a forward pass."""
    for option in (
        click.option("--device", help="Where to time: cpu, cuda, cuda:N, auto [cpu]."),
        click.option("--threads", type=int, help="CPU threads while it is timed [1]."),
        click.option("--batch", type=int, help="Images of a timed pass [1]."),
        click.option("--latency", is_flag=True, help="Time a forward pass (torch)."),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("network")
@_input
@_counted
@click.option("--scopes", type=click.IntRange(1), help="Parts, by N names of scopes.")
@click.option("--cells", is_flag=True, help="The cells that NN-Mass sums over.")
@click.option("--paths", is_flag=True, help="Number of paths of each weight.")
@click.option("--sensitivity", is_flag=True, help="Depths under each convention.")
@click.option("--gradients", is_flag=True, help="Probes at initialization (torch).")
@_timing_options
@click.option("--draw", type=output_path, help="Write a picture (.svg, .png) here.")
@format_option
def describe(
    network: str,
    shape: str | None,
    count: tuple[str, ...],
    draw: Path | None,
    form: "Form",
    **sections: Any,
) -> None:
    """Measures of any network, without training.

    NETWORK is a family name, an architecture file, torchvision:NAME, timm:NAME, or
    package.module:callable, whose module is read by running it without numbers.

    \b
    Example:  nasdepth describe resnet50
              nasdepth describe best.json --input 3,64,64 --draw best.svg
              nasdepth describe torchvision:densenet201 --cells --scopes 2
              nasdepth describe torchvision:resnet18 --latency --batch 8
    """
    from nasdepth.measures.description import Measures
    from nasdepth.tables import render

    timing = _timing(sections)
    wanted = {name: option for name, option in sections.items() if option}
    if form == "csv" and wanted:
        flags = ", ".join(f"--{name}" for name in wanted)
        raise ValueError(f"{flags}: rows of their own; choose -f table or -f json.")
    found = Measures(graph_of(network, shape), _convention(count))
    if draw:
        from nasdepth.pictures.network import picture

        click.echo(f"Wrote {picture(found.graph, draw, title=network)}.", err=True)
    timed = {"latency": _latency(network, shape, timing).as_dict()} if timing else {}
    if form == "table":
        click.echo(_overview(network, found))
    wanted.pop("latency", None)
    probing = wanted.pop("gradients", False)
    rows = {name: _SECTIONS[name](found, option) for name, option in wanted.items()}
    if probing:
        rows |= _probed(network, shape)
    if form != "table":
        click.echo(render([{"network": network, **found} | rows | timed], form))
        return
    rows |= {name: _listed(values) for name, values in timed.items()}
    for name, section in rows.items():
        click.echo(f"\n{name}\n{render(section, 'table')}")


@main.command()
@click.argument("networks", nargs=-1, required=True)
@_input
@_counted
@_timing_options
@format_option
def compare(
    networks: tuple[str, ...],
    shape: str | None,
    count: tuple[str, ...],
    form: "Form",
    **options: Any,
) -> None:
    """Measures of several networks side by side.

    \b
    Example:  nasdepth compare resnet50 torchvision:convnext_tiny vgg16_bn
              nasdepth compare resnet18 mobilenet_v2 --latency
    """
    from nasdepth.measures.catalogue import CATALOGUE
    from nasdepth.measures.description import Measures
    from nasdepth.tables import quantity, render, table

    convention = _convention(count)
    timing = _timing(options)
    found = {name: Measures(graph_of(name, shape), convention) for name in networks}
    times = {name: _quartiles(name, shape, timing) for name in networks}
    if form != "table":
        rows = [
            {"network": name, **values, **times[name]} for name, values in found.items()
        ]
        click.echo(render(rows, form))
        return
    sides = {
        name: dict.fromkeys(["input"], _size(each)) for name, each in found.items()
    }
    for name, each in found.items():
        sides[name] |= {key: quantity(value) for key, value in each.items()}
        sides[name] |= {key: quantity(value) for key, value in times[name].items()}
    units = {key: CATALOGUE[key].unit for key in CATALOGUE}
    units |= dict.fromkeys(times[networks[0]], "s")
    click.echo(
        table(
            [
                {
                    "measure": key,
                    **{name: side[key] for name, side in sides.items()},
                    "unit": units.get(key, ""),
                }
                for key in ("input", *CATALOGUE, *times[networks[0]])
            ]
        )
    )


def _convention(count: tuple[str, ...]) -> "DepthConvention":
    from nasdepth.measures.depth import DepthConvention

    return DepthConvention(**dict.fromkeys(count, True))


def _overview(network: str, found: "Measures") -> str:
    """The measures of one network as a table, under what was measured."""
    from nasdepth.measures.catalogue import CATALOGUE
    from nasdepth.tables import quantity, table

    rows = [
        {
            "measure": name,
            "value": quantity(value),
            "exact": "–" if value is None else f"{value:.12g}",
            "unit": CATALOGUE[name].unit,
            "meaning": found.reasons.get(name, CATALOGUE[name].label),
            "source": CATALOGUE[name].source,
        }
        for name, value in found.items()
    ]
    return f"{network} on {_size(found)}: {_shorthand(network)}\n\n{table(rows)}"


def _size(found: "Measures") -> str:
    return "×".join(map(str, found.graph.shapes()[0]))


def _shorthand(network: str) -> str:
    """What the network is: our own in short, a foreign one by where it is from."""
    from nasdepth.architecture.families import is_named, named
    from nasdepth.tables import shorthand

    return shorthand(named(network)) if is_named(network) else "read by tracing"


def _scopes(found: "Measures", level: int) -> list[dict[str, Any]]:
    return [
        {
            "scope": part.scope,
            "layers": part.layers,
            "expected_layers": part.expected_layers,
            "params": part.params,
            "macs": part.macs,
            "activations": part.activations,
        }
        for part in found.by_scope(level)
    ]


def _cells(found: "Measures", wanted: bool) -> list[dict[str, Any]]:
    return [
        {
            "cell": cell.form,
            "scope": cell.scope,
            "width": cell.width,
            "layers": cell.layers,
            "mass": cell.mass,
        }
        for cell in found.mass_cells()
    ]


def _paths(found: "Measures", wanted: bool) -> list[dict[str, Any]]:
    """Exact counts, as text where they are beyond a float, and shares of all paths."""
    law = found.path_law()
    total = sum(law.values())
    return [
        {"layers": weight, "paths": str(number), "share": number / total}
        for weight, number in law.items()
    ]


def _sensitivity(found: "Measures", wanted: bool) -> list[dict[str, Any]]:
    return [{"counted": name, **row} for name, row in found.sensitivity().items()]


def _subject(network: str, shape: str | None) -> tuple[Any, Any]:
    """What torch is to run, and the shape of its images where it does not know it."""
    from nasdepth.architecture.families import is_named
    from nasdepth.cli.base import architecture_of

    if is_named(network):
        return architecture_of(network, shape), None
    from nasdepth.zoo import load

    return load(network, shape_of(shape), empty=False)


def _timing(options: dict[str, Any]) -> dict[str, Any]:
    """How to time, taken out of the options; empty without --latency."""
    wanted = options["latency"]
    given = {name: options.pop(name) for name in _TIMING}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not wanted:
        flags = ", ".join(f"--{name}" for name in given)
        raise ValueError(f"{flags}: says how to time; add --latency.")
    return {**_TIMING, **given} if wanted else {}


def _latency(network: str, shape: str | None, timing: dict[str, Any]) -> "Latency":
    """Seconds of a forward pass; what torch cannot do becomes an error in one line."""
    from nasdepth.network.latency import latency
    from nasdepth.training.device import is_out_of_memory, pick_device

    device = pick_device(timing["device"])
    subject, dims = _subject(network, shape)
    try:
        timed = latency(subject, dims, **timing | {"device": device})
    except (RuntimeError, MemoryError, TypeError) as error:
        why = (
            "memory is exhausted; choose a smaller --batch or --input"
            if is_out_of_memory(error)
            else str(error).strip().partition("\n")[0]
        )
        raise ValueError(f"{network} with --batch {timing['batch']}: {why}.") from error
    if not timed.quiet:
        click.echo(
            f"{network}: the machine was not quiet (quartiles {timed.spread:.0%} of "
            f"the median apart{_at_work(timed)}); alone it may be quicker.",
            err=True,
        )
    return timed


def _at_work(timed: "Latency") -> str:
    return "" if timed.busy is None else f", {timed.busy:.0%} of the time at work"


def _listed(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a value of a timing."""
    seconds = ("median", "lower", "upper")
    return [
        {"what": name, "unit": "s" if name in seconds else "", "value": value}
        for name, value in values.items()
    ]


def _quartiles(
    network: str, shape: str | None, timing: dict[str, Any]
) -> dict[str, float]:
    """Median and quartiles of a network's latency by column, none without a timing."""
    if not timing:
        return {}
    timed = _latency(network, shape, timing)
    click.echo(f"{network}: {timed.timed}.", err=True)
    return {
        "latency": timed.median,
        "latency_lower": timed.lower,
        "latency_upper": timed.upper,
    }


def _probed(network: str, shape: str | None) -> dict[str, list[dict[str, Any]]]:
    """Probes over three seeds on random images, and what is known of each layer."""
    from nasdepth.network.probes import PROBES, probe

    subject, dims = _subject(network, shape)
    click.echo(
        f"Probing {_BATCH} random images with 3 seeds of weights; a large network "
        "takes minutes on a CPU, and less with a smaller --input.",
        err=True,
    )
    results = probe(subject, _DYNAMICS, batch=_BATCH, shape=dims)
    gradients = [
        {
            "probe": name,
            "mean": result.mean,
            "sd": result.sd,
            "n": result.n,
            "meaning": result.reason or PROBES[name].label,
            "variant": PROBES[name].variant,
        }
        for name, result in results.items()
    ]
    return {"gradients": gradients, "layers": _layers(results)}


def _layers(results: Mapping[str, "Probed"]) -> list[dict[str, Any]]:
    """Gradient norm and activation variance of every layer, in order of execution."""
    found: dict[str, dict[str, Any]] = {}
    for name in _BY_LAYER:
        values = results[name].layers
        for place, layer in enumerate(results[name].names):
            row = found.setdefault(layer, {"layer": layer})
            row[_BY_LAYER[name]] = None if values is None else float(values[place])
    heads = ["layer", *_BY_LAYER.values()]
    return [{head: row.get(head) for head in heads} for row in found.values()]


_SECTIONS = {
    "scopes": _scopes,
    "cells": _cells,
    "paths": _paths,
    "sensitivity": _sensitivity,
}
