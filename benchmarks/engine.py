"""The training engine set beside other loops, part by part: a table of ratios.

    python benchmarks/engine.py
    python benchmarks/engine.py --rows bare,tiny --pairs 7 -o benchmarks/engine.csv

A name asks for a row, or for all with that part in their names; `accuracy`, a quarter
of an hour, runs only where it is asked for. A row that the file holds from the same
code is not run again, unless `--again`. The page beside the file is written anew each
time. Nothing else should run on the machine: the load before each row is kept.

The rows beside Lightning and skorch need `pip install nasdepth[bench]`, those on CUDA a
device. `--quick` only shows that rows run.
"""

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Final

import click
import torch
from engine_pairs import Measured, Settings, interval
from engine_report import middle, shown, write_report
from engine_rows import FOLDER, Result, Row, chosen, code_digest, read, replaced, write

#: the figures that are told of
KEPT: Final = FOLDER / "engine.csv"


def run(row: Row, settings: Settings, digest: str) -> Result:
    """Measure a row."""
    torch.set_num_threads(row.threads or 1)
    module, _, name = row.function.partition(":")
    load, start = os.getloadavg()[0], time.perf_counter()
    measured: Measured = getattr(import_module(module), name)(settings, *row.arguments)
    low, high = interval(measured.values, mean=row.unit == "points")
    return Result(
        row=row.name,
        command=_command(row, settings),
        n=len(measured.values),
        middle=middle(row, measured.values),
        low=low,
        high=high,
        seconds=time.perf_counter() - start,
        hardware=_hardware(row.needs),
        torch=torch.__version__,
        threads=row.threads,
        load=load,
        digest=digest,
        note=measured.note,
        values=measured.values,
    )


@click.command()
@click.option("--rows", default="", help="Names of rows, or parts of them.")
@click.option("--pairs", default=7, show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=KEPT,
)
@click.option("--again", is_flag=True, help="Also what the file holds.")
@click.option("--quick", is_flag=True, help="As little as runs at all.")
def main(rows: str, pairs: int, output: Path, again: bool, quick: bool) -> None:
    """Measure rows, and write them and their page."""
    try:
        settings, wanted = Settings(pairs, quick), chosen(rows)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if quick and output == KEPT:
        raise click.UsageError(f"--quick must not write {KEPT.name}; name another -o.")
    digest = code_digest()
    held = {each.command for each in read(output) if each.digest == digest}
    for row in wanted:
        if row.needs == "cuda" and not torch.cuda.is_available():
            click.echo(f"{row.name}: no CUDA device")
            continue
        if _command(row, settings) in held and not again:
            click.echo(f"{row.name}: held")
            continue
        result = run(row, settings, digest)
        click.echo(f"{row.name}: {shown(row, result)} ({result.note})")
        results = replaced(read(output), result)  # read anew: others may write too
        write(output, results)
        write_report(output.with_suffix(".md"), results)


def _command(row: Row, settings: Settings) -> str:
    quick = " --quick" if settings.quick else ""
    return f"engine.py --rows {row.name} --pairs {settings.pairs}{quick}"


def _hardware(needs: str) -> str:
    if needs == "cuda":
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    pairs = (line.partition(":") for line in lines)
    told = {key.strip(): value.strip() for key, _, value in pairs}
    tiles = "AMX" if torch.cpu._is_amx_tile_supported() else "no AMX"
    able = torch.backends.cpu.get_cpu_capability()
    cores = len(os.sched_getaffinity(0))
    return (
        f"{told['model name']} (model {told['model']}, {able}, {tiles}), {cores} cores"
    )


if __name__ == "__main__":
    main()
