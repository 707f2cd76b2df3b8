"""The picture of docs/search.md: median regret against networks trained.

python benchmarks/search_figure.py
"""

from pathlib import Path
from typing import Final

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from search_rows import SPAN, Row, by_task, read, regrets
from search_tables import HALF

from nasdepth.evidence.nasbench201_cells import DATA_SETS

FOLDER: Final = Path(__file__).parent
OUTPUT: Final = FOLDER.parent / "docs" / "search.png"
#: colours of Okabe & Ito, which most colour-blind people tell apart
STYLES: Final = {
    "guided": ("guided", "#0072B2", "-", 2.4),
    "tpe": ("TPE", "#D55E00", "-", 1.4),
    "evolution": ("regularised evolution", "#009E73", "-", 1.2),
    "random": ("random", "#999999", "-", 1.2),
    "size": ("largest first, nothing learnt", "#000000", "--", 1.4),
}


def main() -> None:
    """Draw the three tasks of half the networks."""
    found = by_task(read(FOLDER / "search.csv", Row))
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), constrained_layout=True)
    for axis, (name, about) in zip(axes, DATA_SETS.items(), strict=True):
        runs = found[f"{name}{HALF}"]
        for method, (label, colour, line, width) in STYLES.items():
            values = regrets(list(runs[method].values()))
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
            grid = np.arange(1, SPAN + 1)
            axis.plot(grid, middle, line, color=colour, lw=width, label=label)
            if method in ("guided", "tpe"):
                axis.fill_between(grid, low, high, color=colour, alpha=0.15, lw=0)
        axis.set_title(f"{about.label}, n = {len(runs['guided'])} seeds", fontsize=10)
        axis.set_xlabel("networks trained")
        axis.set_ylim(0, np.quantile(regrets(list(runs["random"].values())), 0.97))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("regret of the best seen, points of accuracy")
    axes[-1].legend(frameon=False, fontsize=8)
    figure.savefig(OUTPUT, dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    mpl.use("Agg")
    main()
