"""Does an early result rank networks, and what does a search gain by it?

    export OMP_NUM_THREADS=1
    python benchmarks/fidelity.py --train
    python benchmarks/fidelity.py --report
    python benchmarks/fidelity.py --quick

40 networks of one space, each trained in 3 replicates by every recipe: 9 epochs of
warmup-stable-decay with its rungs at epochs 1 and 3, of one-cycle, and one-cycle in
full within 1 and within 3 epochs. Ranks by the early results are compared with the
final accuracies of other replicates, and searches are replayed on the recorded values.
Every training that ends is appended to a CSV: a call resumes what is there. `--quick`
runs all parts on few tiny networks, in a temporary file.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Final

import torch
from fidelity_report import page
from fidelity_trainings import (
    NETWORKS,
    QUICK,
    REPLICATES,
    STUDY,
    Row,
    read,
    run_all,
    sample,
)

FOLDER: Final = Path(__file__).parent
ROWS: Final = FOLDER / "fidelity.csv"
PAGE: Final = FOLDER / "fidelity.md"


def show(row: Row) -> None:
    """One line of a training that ended."""
    final = row.accuracies[-1] if row.accuracies else float("nan")
    told = f"{row.replicate} {row.network:2} {row.recipe:11} {final:.4f} {row.seconds}"
    print(told, flush=True)


def quick() -> str:
    """The page of few tiny networks, in which all parts have worked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        run_all(sample(QUICK, 4), path, replicates=2, seen=show)
        return page(read(path), draws=99, replayed=9)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.quick:
        print(quick())
    if options.train:
        drawn, replicates = sample(STUDY, NETWORKS), options.replicates
        run_all(drawn, options.rows, replicates=replicates, seen=show)
    if options.report:
        PAGE.write_text(page(read(options.rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
