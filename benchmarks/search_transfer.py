"""What another study's results are worth as prior knowledge, and what they can spoil.

    python benchmarks/search_transfer.py --table nasbench201.csv
    python benchmarks/search_transfer.py --report

The prior study is 40 random networks of one table, each trained once; the study at hand
searches another. "permuted" gives the prior's networks each other's accuracies: what
it says is then noise. Cold and warm searches of a seed share all trainings. The table
is of the regret after 20 networks, in means: of the best seen, and the best trained.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Final

import click
import numpy as np
import optuna
from search_methods import features, identity
from search_tables import Task, default_file, params_of, space, task

from nasdepth.guide.sampler import GuidedSampler
from nasdepth.guide.transfer import Prior
from nasdepth.measures.catalogue import CATALOGUE

FOLDER: Final = Path(__file__).parent
#: networks of a search, and of the prior study
NETWORKS: Final = 20
PRIOR: Final = 40
#: source, target, whether the source's accuracies are permuted
PAIRS: Final = (
    ("cifar10@50", "cifar100@50", False),
    ("cifar100@50", "imagenet16-120@50", False),
    ("imagenet16-120@50", "cifar10@50", False),
    ("cifar10@50", "cifar100@50", True),
    ("cifar100@50", "imagenet16-120@50", True),
    ("imagenet16-120@50", "cifar10@50", True),
)
_DRAWS: Final = 9_999


@dataclass(frozen=True, slots=True)
class Row:
    """One search.

    Attributes:
        target: that was searched.
        source: of the prior; empty for a cold search.
        permuted: whether the prior says nothing.
        seed: of all draws and trainings.
        seen: regret of the network with the best accuracy seen, in points.
        found: regret of the best network trained, in points.
        weight: mean weight of the prior after the start.
    """

    target: str
    source: str
    permuted: bool
    seed: int
    seen: float
    found: float
    weight: float


def prior_of(source: Task, seed: int, *, permuted: bool) -> Prior:
    """Random networks of a table with an accuracy each."""
    generator = np.random.default_rng([seed, 77])
    chosen = generator.choice(len(source.networks), PRIOR, replace=False)
    networks = [source.networks[place] for place in chosen]
    values = [network.trained(seed) for network in networks]
    if permuted:
        values = [values[place] for place in generator.permutation(len(values))]
    known = [features(source, tuple(CATALOGUE), params_of(n)) for n in networks]
    return Prior(known, values)


def run(target: Task, seed: int, prior: Prior | None) -> tuple[float, float, float]:
    """Regret of the best seen and of the best trained, and the prior's mean weight."""
    sampler = GuidedSampler(
        space,
        features=partial(features, target, tuple(CATALOGUE)),
        feasible=target.feasible,
        identity=partial(identity, target),
        prior=prior,
        seed=seed,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    trained, weights = {}, []
    while len(trained) < NETWORKS:
        trial = study.ask()
        network = target.network(space(trial))
        assert network is not None
        trained[network.digest] = network
        told = study.get_trials(deepcopy=False)[trial.number].user_attrs["guide"]
        weights += [told["weight"]] if told["n"] else []
        study.tell(trial, network.trained(seed))
    best = max(trained.values(), key=lambda network: network.trained(seed))
    found = min(target.regret(network) for network in trained.values())
    return target.regret(best), found, fmean(weights)


def wanted(seeds: int) -> Iterator[tuple[str, str, bool, int]]:
    """Every search, cold ones once a target."""
    for seed in range(seeds):
        for target in dict.fromkeys(target for _, target, _ in PAIRS):
            yield target, "", False, seed
        for source, target, permuted in PAIRS:
            yield target, source, permuted, seed


def read(path: Path) -> list[Row]:
    """Rows of a file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            Row(
                row["target"],
                row["source"],
                row["permuted"] == "True",
                int(row["seed"]),
                *(float(row[name]) for name in ("seen", "found", "weight")),
            )
            for row in csv.DictReader(stream)
        ]


def ratio(warm: Sequence[float], cold: Sequence[float]) -> tuple[float, float, float]:
    """Ratio of means over paired seeds with its 95 % bootstrap interval."""
    pairs = np.array([warm, cold])
    generator = np.random.default_rng(0)
    places = generator.integers(len(warm), size=(_DRAWS, len(warm)))
    means = pairs[:, places].mean(axis=2)
    low, high = np.quantile(means[0] / means[1], [0.025, 0.975])
    return float(pairs[0].mean() / pairs[1].mean()), float(low), float(high)


def report(rows: Sequence[Row]) -> str:
    """The table, in Markdown."""
    lines = [
        "| target | prior | n | weight | regret after 20, cold | warm |"
        " ratio, best seen | ratio, best trained |",
        "| --- | --- | --: | --: | --: | --: | --: | --: |",
    ]
    for source, target, permuted in PAIRS:
        warm = {
            row.seed: row
            for row in rows
            if (row.target, row.source, row.permuted) == (target, source, permuted)
        }
        cold = {r.seed: r for r in rows if r.target == target and not r.source}
        seeds = sorted(warm.keys() & cold.keys())
        if not seeds:
            continue
        seen = [[each[s].seen for s in seeds] for each in (warm, cold)]
        found = [[each[s].found for s in seeds] for each in (warm, cold)]
        cells = [
            target,
            f"{source}{', permuted' if permuted else ''}",
            f"{len(seeds)}",
            f"{fmean(warm[s].weight for s in seeds):.2f}",
            f"{fmean(seen[1]):.2f}",
            f"{fmean(seen[0]):.2f}",
            *(
                "{:.2f} [{:.2f}, {:.2f}]".format(*ratio(*each))
                for each in (seen, found)
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def append(path: Path, row: Row) -> None:
    """Adds a row to a file, with a header to a new one."""
    fresh = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as stream:
        names = [entry.name for entry in fields(Row)]
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(asdict(row))


@click.command()
@click.option("--seeds", default=40, show_default=True)
@click.option("--table", "file", type=click.Path(path_type=Path))
@click.option(
    "--runs", type=click.Path(path_type=Path), default=FOLDER / "search_transfer.csv"
)
@click.option("--report", "told", is_flag=True, help="Print the table.")
def main(seeds: int, file: Path | None, runs: Path, told: bool) -> None:
    """Search with and without another table's results."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if told:
        click.echo(report(read(runs)), nl=False)
        return
    file = file or default_file()
    done = {(r.target, r.source, r.permuted, r.seed) for r in read(runs)}
    for key in wanted(seeds):
        if key not in done:
            target, source, permuted, seed = key
            prior = None
            if source:
                prior = prior_of(task(source, file), seed, permuted=permuted)
            append(runs, Row(*key, *run(task(target, file), seed, prior)))


if __name__ == "__main__":
    main()
