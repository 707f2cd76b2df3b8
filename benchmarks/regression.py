"""Seconds of `nasdepth analyze --table nasbench201:cifar10`, part by part.

    OMP_NUM_THREADS=1 python benchmarks/regression.py [ROUNDS]

15,625 cells, 1,999 bootstrap draws, by digest and by row; measures from the cache.
Parts are timed in interleaved rounds; each line is the median and range of processor
time, and its ratio to the named yardstick: one ordinary least squares fit by
`numpy.linalg.lstsq` of the same columns for every draw of the bootstrap.
"""

import platform
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from nasdepth.analysis.answer import analyze
from nasdepth.analysis.exploratory import exploratory
from nasdepth.claims import headline as head
from nasdepth.claims.claim import Options
from nasdepth.claims.scope import held_fixed, samples_of, scope_of
from nasdepth.evidence.tables import table

NAME = "nasbench201:cifar10"
OPTIONS = Options()


def main(rounds: int) -> None:
    """Prints the table."""
    evidence = table(NAME)
    samples = samples_of(evidence)
    plan, digests, rows = evidence.plan, samples.digests, samples.rows
    assert rows is not None
    parts: dict[str, Callable[[], object]] = {
        "read the table and its kept measures": lambda: table(NAME),
        "samples by digest and by row": lambda: samples_of(evidence),
        "what the data can say": lambda: scope_of(evidence, samples),
        "(i) wild bootstrap, by digest": lambda: head._fits(digests, plan, OPTIONS),
        "(i) wild bootstrap, by row, clustered": lambda: head._fits(
            rows, plan, OPTIONS
        ),
        "(ii) dependent correlations": lambda: head._contrasts(rows, plan),
        "(iii) nested models, by row": lambda: head._models(
            rows, plan, "digest", OPTIONS
        ),
        "headline and confirmations, all": lambda: analyze(evidence, explore=False),
        "exploratory": lambda: exploratory(digests, plan, OPTIONS),
        "yardstick: lstsq for every draw": lambda: _yardstick(digests, plan),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            start = time.process_time()
            part()
            seconds[name].append(time.process_time() - start)
    print(f"{platform.processor() or platform.machine()}, one thread, {rounds} rounds")
    print(f"{len(rows):,} rows, {len(digests):,} digests, {OPTIONS.draws:,} draws")
    yardstick = median(seconds["yardstick: lstsq for every draw"])
    for name, values in seconds.items():
        low, middle, high = min(values), median(values), max(values)
        ratio = f"{middle / yardstick:6.2f}"
        print(f"{name:<40}{middle:7.2f} s [{low:.2f}, {high:.2f}]  x {ratio}")


def _yardstick(sample: object, plan: object) -> None:
    """One fit of the headline's columns for every draw, by digest."""
    columns = held_fixed(sample, plan)  # type: ignore[arg-type]  # as above
    n = len(columns[0])
    design = np.column_stack([np.ones(n), *columns])
    responses = np.random.default_rng(0).normal(size=(n, OPTIONS.draws))
    for response in responses.T:
        np.linalg.lstsq(design, response, rcond=None)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
