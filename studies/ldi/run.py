"""NN-Mass and layerwise dynamical isometry (Bhardwaj et al. 2021, arXiv:1910.00780).

    python studies/ldi/run.py

Writes records.csv (one row a network), laws.csv (Gaussian matrices) and figure.png
beside this file, and prints the table of the README. About a minute on one core.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

import nasdepth
from nasdepth.network.isometry import spectra

HERE = Path(__file__).parent
WIDTH, DEPTHS, LINKS = 8, (16, 20, 24, 28, 32), range(13)
SEEDS, IMAGES = range(10), 16
MATRICES = 40_000
#: derivative of the activation from the layer's input x = elu(z), by name
DERIVATIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": lambda x: torch.where(x > 0, 1.0, x + 1),
    # as ldi.py of SLDGroup/NN_Mass writes it: exp(z) where z > 0, else 0
    "code": lambda x: torch.where(x > 0, x.exp(), 0.0),
}
Row = dict[str, float]


def gaussian(width: int, mass: int) -> tuple[float, float]:
    """Mean singular value of w x (w + m/2) matrices of N(0, 1), and its error."""
    generator = torch.Generator().manual_seed(1000 * width + mass)
    draws = torch.randn(MATRICES, width, width + mass // 2, generator=generator)
    means = torch.linalg.svdvals(draws.double()).mean(1)
    return means.mean().item(), means.std().item() / MATRICES**0.5


def network(depth: int, links: int, seed: int) -> Row:
    """One MLP at torch's default initialization: size, mass, singular values."""
    architecture = nasdepth.family(f"nn_mass_mlp:{depth}:{WIDTH}:{links}")
    with torch.random.fork_rng():
        torch.manual_seed(10_000 * seed + 100 * depth + links)
        module = nasdepth.build(architecture)
        images = torch.rand(IMAGES, 1, 1, 784)
    known = nasdepth.measure(nasdepth.lower(architecture), ["nn_mass", "params"])
    row: Row = {"depth": depth, "links": links, "seed": seed, **known}
    found = spectra(module, images)
    row["weight_mean"] = float(np.mean([each.mean for each in found]))
    row["weight_sd"] = float(np.mean([each.sd for each in found]))
    reads = inputs(module, images)
    for name, derivative in DERIVATIVES.items():
        values = [singular(layer, x, derivative) for layer, x in reads]
        row[f"{name}_mean"] = float(np.mean([v.mean() for v in values]))
        row[f"{name}_sd"] = float(np.mean([v.std(1).mean() for v in values]))
    return row


def inputs(module: nn.Module, images: Tensor) -> list[tuple[nn.Linear, Tensor]]:
    """Every linear layer but the first with what it reads, `(images, features)`."""
    found: list[tuple[nn.Linear, Tensor]] = []
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda own, x, _: found.append((own, x[0])))
    with torch.no_grad():
        module(images)
    return found[1:]


def singular(
    layer: nn.Linear, x: Tensor, derivative: Callable[[Tensor], Tensor]
) -> NDArray[np.float64]:
    """Singular values of W diag(derivative) for every image, `(images, values)`."""
    jacobian = layer.weight.detach() * derivative(x)[:, None, :]
    return torch.linalg.svdvals(jacobian.double()).numpy()


def rows() -> Iterator[Row]:
    """All networks: 5 depths, 13 numbers of links, 10 seeds."""
    for depth in DEPTHS:
        for links in LINKS:
            for seed in SEEDS:
                yield network(depth, links, seed)


def averaged(records: Sequence[Row], seeds: int) -> dict[str, NDArray[np.float64]]:
    """Columns over the 65 configurations, means over the first seeds."""
    groups: dict[tuple[float, float], list[Row]] = {}
    for row in records:
        if row["seed"] < seeds:
            groups.setdefault((row["depth"], row["links"]), []).append(row)
    return {
        name: np.array([np.mean([row[name] for row in own]) for own in groups.values()])
        for name in records[0]
    }


def r_squared(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Share of variance that a straight line explains."""
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def table(records: Sequence[Row]) -> Iterator[str]:
    """Lines of the README's table of R²."""
    for kind in ("weight", *DERIVATIVES):
        for seeds in (1, 3, 5, 10):
            own = averaged(records, seeds)
            cells = [
                r_squared(own[size], own[f"{kind}_{what}"])
                for what in ("sd", "mean")
                for size in ("nn_mass", "params")
            ]
            yield (
                f"| {kind} | {seeds} | " + " | ".join(f"{c:.2f}" for c in cells) + " |"
            )
    own = averaged(records, 1)
    yield f"params on mass: {r_squared(own['nn_mass'], own['params']):.2f}"


def draw(records: Sequence[Row]) -> Figure:
    """Mean and spread of singular values against NN-Mass, and against parameters."""
    own = averaged(records, len(SEEDS))
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    grid = figure.subplots(2, 2, sharey="row", sharex="col")
    axes_of = {"nn_mass": "NN-Mass m", "params": "parameters"}
    rows_of = {"mean": "mean singular value", "sd": "standard deviation"}
    for line, (what, label) in zip(grid, rows_of.items(), strict=True):
        for axes, (size, title) in zip(line, axes_of.items(), strict=True):
            points = axes.scatter(
                own[size], own[f"weight_{what}"], c=own["depth"], cmap="viridis", s=26
            )
            value = r_squared(own[size], own[f"weight_{what}"])
            axes.set_title(f"R² = {value:.2f}", fontsize=9, loc="left")
            axes.grid(visible=True, color="#E4E4E4", linewidth=0.7)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            if what == "sd":
                axes.set_xlabel(title)
        line[0].set_ylabel(label)
    figure.colorbar(points, ax=grid, label="depth d", ticks=DEPTHS)
    figure.suptitle(
        "Singular values of layers of ELU MLPs at initialization (w 8, t 0-12)\n"
        f"65 configurations, {len(SEEDS)} seeds each, torch's default initialization",
        fontsize=11,
    )
    return figure


def write(path: Path, records: Sequence[Row]) -> None:
    """Rows as CSV, seven significant digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, records[0], lineterminator="\n")
        writer.writeheader()
        for row in records:
            writer.writerow({name: f"{value:.7g}" for name, value in row.items()})


def main() -> None:
    """Run all, write the files, print the tables."""
    torch.set_num_threads(1)
    laws = []
    for width in (8, 16):
        for mass in (0, 10, 20, 40):
            mean, error = gaussian(width, mass)
            laws.append({"width": width, "mass": mass, "mean": mean, "error": error})
            print(f"w {width} m {mass}: {mean:.4f} +- {error:.4f}")
    write(HERE / "laws.csv", laws)
    records = list(rows())
    write(HERE / "records.csv", records)
    print(*table(records), sep="\n")
    draw(records).savefig(HERE / "figure.png", dpi=120)


if __name__ == "__main__":
    main()
