"""Which classifiers of torchvision and timm can be read, and what their depths are.

    python benchmarks/coverage.py torchvision
    python benchmarks/coverage.py timm --every 4

Reads each network in evaluation mode without weights, and writes one row each to
benchmarks/coverage-SOURCE.csv; rows that are there already are kept, so an interrupted
run goes on. Parameters are checked against the module's own, MACs against the metadata
of torchvision's weights.
"""

import csv
import signal
import time
import warnings
from pathlib import Path

import click
import torch
import torchvision.models
from torch import nn

from nasdepth.measures.catalogue import measure
from nasdepth.network.trace import trace
from nasdepth.zoo import load

MEASURES = (
    "nominal_depth",
    "weighted_layers",
    "effective_depth",
    "nn_mass",
    "mass_cells",
    "params",
    "macs",
    "receptive_field",
)
FIELDS = ("network", "read", "seconds", "shape", *MEASURES, "unread_params", "reason")


@click.command()
@click.argument("source", type=click.Choice(["torchvision", "timm"]))
@click.option("--every", type=int, default=1, help="Take every N-th name.")
@click.option("--limit", type=int, default=120, help="Seconds for one network.")
def main(source: str, every: int, limit: int) -> None:
    """Read every network of a source and write its row."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    path = Path(__file__).with_name(f"coverage-{source}.csv")
    done = rows_of(path)
    fresh = not done
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if fresh:
            writer.writeheader()
        for name in names(source)[::every]:
            if name not in done:
                done[name] = row_of(f"{source}:{name}", limit) | {"network": name}
                writer.writerow(done[name])
                file.flush()
    report(source, done)


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    """Rows written so far, by network."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["network"]: row for row in csv.DictReader(file)}


def names(source: str) -> list[str]:
    """Names of the source's classifiers."""
    if source == "torchvision":
        return torchvision.models.list_models(module=torchvision.models)
    import timm

    return timm.list_models()


def row_of(name: str, limit: int) -> dict[str, object]:
    """What reading one network gave, or why it failed."""
    start = time.perf_counter()
    signal.signal(signal.SIGALRM, expired)
    signal.alarm(limit)
    try:
        module, shape = load(name)
        values = measure(trace(module, shape), MEASURES)
    except Exception as error:  # a row says why
        text = " ".join(str(error).split())[:240]
        return {"read": "no", "seconds": since(start), "reason": text}
    finally:
        signal.alarm(0)
    row = {key: "" if v is None else f"{v:.10g}" for key, v in values.items()}
    return {
        "read": "yes",
        "seconds": since(start),
        "shape": "x".join(map(str, shape)),
        "unread_params": count(module) - int(values["params"] or 0),
        **row,
    }


def expired(*_: object) -> None:
    """End a network that takes too long."""
    raise TimeoutError("out of time")


def since(start: float) -> str:
    """Seconds, rounded."""
    return f"{time.perf_counter() - start:.1f}"


def count(module: nn.Module) -> int:
    """Learnable numbers of a module."""
    return sum(p.numel() for p in module.parameters())


def report(source: str, rows: dict[str, dict[str, object]]) -> None:
    """Print how many were read, and the reasons of the others."""
    read = [row for row in rows.values() if row["read"] == "yes"]
    click.echo(f"{source}: {len(read)} of {len(rows)} read")
    for name, row in rows.items():
        if row["read"] == "no":
            click.echo(f"  {name}: {row['reason']}")


if __name__ == "__main__":
    main()
