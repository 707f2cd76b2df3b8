"""Candidates per second from `Architecture` to all graph measures, beside torch.

    python benchmarks/measures.py [--rounds 7] [--stream 20000] [--long 200000]

Candidates are those of `studies/cifar10.toml`. The *search-like stream* is a search
without training: neighbours of the five best so far (score of the study's screen,
within its budget), begun anew from random draws every 2,000 candidates; drawing them is
outside the timing. It is measured from nothing kept, and again with what that left.
*Distinct* candidates are random draws; *no memory* keeps nothing from one candidate to
the next, drawn links included; *whole graph* is `measure(lower(...))`, likewise. Torch
builds, runs and scores six of the same ones.

All rows run in turn, `--rounds` times after a warm-up; each figure is the median, with
the least and the greatest. `--long` is the number of candidates, no two with a common
stage, over which the memory of the process is watched; 10 million take an hour.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from nasdepth import Architecture, Space, Stage, Stem, StudyConfig, build, lower
from nasdepth.architecture.links import draw_links
from nasdepth.architecture.spec import InvalidArchitecture
from nasdepth.guide.draws import Draw, Params, draw_random
from nasdepth.measures.catalogue import measure
from nasdepth.measures.summaries import Summaries
from nasdepth.network.proxies import PROXIES

STUDY = Path(__file__).parents[1] / "studies" / "cifar10.toml"
SHAPE, CLASSES = (3, 32, 32), 10
SEARCH, PARENTS, STARTS = 2000, 5, 16
DEPTHS = (10, 100, 1000, 10_000)
Rows = dict[str, tuple[int, Callable[[], object]]]


def stream(config: StudyConfig, space: Space, count: int) -> list[Architecture]:
    """Candidates of searches one after another, in the order they are looked at."""
    generator = np.random.default_rng(0)
    known, found = Summaries(), []
    scale = scales(config, space, generator, known)
    while len(found) < count:
        parents: list[tuple[float, Params]] = []
        for place in range(SEARCH):
            if place < STARTS or not parents:
                draw = Draw(draw_random(generator))
            else:
                parent = parents[generator.integers(len(parents))][1]
                draw = space.perturb(parent, generator)
            try:
                architecture = space.sample(draw)
            except InvalidArchitecture:
                continue
            found.append(architecture)
            values = known.measure(architecture)
            limits = config.budget.limits().items()
            if all((values[name] or 0) <= most for name, most in limits):
                score = sum(w * (values[n] or 0) / scale[n] for n, w in weights(config))
                if all(score != other for other, _ in parents):
                    parents.append((score, draw.params))
            parents = sorted(parents, key=lambda pair: -pair[0])[:PARENTS]
    return found[:count]


def weights(config: StudyConfig) -> Iterable[tuple[str, float]]:
    """Measures that the study's screen adds up, with their weights."""
    return config.screen.weights.items()


def scales(
    config: StudyConfig, space: Space, generator: np.random.Generator, known: Summaries
) -> dict[str, float]:
    """Standard deviation of each measure of the score over random draws."""
    values = [known.measure(each) for each in draws(space, generator, 200)]
    names = [name for name, _ in weights(config)]
    return {n: float(np.std([v[n] or 0.0 for v in values])) for n in names}


def draws(
    space: Space, generator: np.random.Generator, count: int
) -> list[Architecture]:
    """Distinct random candidates."""
    found: dict[Architecture, None] = {}
    while len(found) < count:
        found[space.sample(Draw(draw_random(generator)))] = None
    return list(found)


def over(
    candidates: list[Architecture], call: Callable[[Architecture], object]
) -> tuple[int, Callable[[], object]]:
    """A row: number of candidates, and one pass over them."""

    def run() -> None:
        for each in candidates:
            call(each)

    return len(candidates), run


def graph_rows(flow: list[Architecture], some: list[Architecture]) -> Rows:
    """Rows of our own measures."""
    left, warm, none = Summaries(), Summaries(), Summaries(size=0)
    for each in flow:
        left.measure(each)
    for each in some:
        warm.measure(each)

    def fresh() -> None:
        known = Summaries()
        for each in flow:
            known.measure(each)

    def forgetful(call: Callable[[Architecture], object]) -> Callable[..., object]:
        return lambda each: (draw_links.cache_clear(), call(each))

    few = some[:200]
    return {
        "search-like stream, nothing kept at its start": (len(flow), fresh),
        "search-like stream, summaries kept": over(flow, left.measure),
        "distinct, summaries kept": over(some, warm.measure),
        "distinct, no memory": over(few, forgetful(none.measure)),
        "distinct, whole graph": over(few, forgetful(lambda e: measure(lower(e)))),
    }


def torch_rows(some: list[Architecture]) -> Rows:
    """Rows of what torch does with the same candidates."""
    modules = {each: build(each, seed=0) for each in some}
    one, many = torch.randn(1, *SHAPE), torch.randn(32, *SHAPE)
    labels = torch.arange(32) % CLASSES

    def meta(each: Architecture) -> None:
        with torch.device("meta"):
            build(each, seed=0)

    def forward(images: torch.Tensor, each: Architecture) -> None:
        with torch.inference_mode():
            modules[each].eval()(images)

    def proxy(name: str, each: Architecture) -> None:
        PROXIES[name].function(modules[each], many, labels)

    return {
        "module": over(some, partial(build, seed=0)),
        "module on the meta device": over(some, meta),
        "one forward, batch 1": over(some, partial(forward, one)),
        "one forward, batch 32": over(some, partial(forward, many)),
        "synflow": over(some, partial(proxy, "synflow")),
        "nwot, batch 32": over(some, partial(proxy, "nwot")),
    }


def interleaved(rows: Rows, rounds: int) -> dict[str, list[float]]:
    """Candidates per second of every row, once per round."""
    rates: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(rounds + 1):
        for name, (count, run) in rows.items():
            start = time.perf_counter()
            run()
            if turn:
                rates[name].append(count / (time.perf_counter() - start))
    return rates


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median seconds of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def depth_table() -> None:
    """Cost against depth: by the whole graph, and from parts without memory."""
    print(f"\n{'blocks':>8} {'stage':10} {'whole graph':>24} {'parts, no memory':>18}")
    for name, options in {"plain": {}, "residual": {"skip": "add", "span": 2}}.items():
        for depth in DEPTHS:
            network = Architecture((Stage(depth=depth, **options),), Stem())
            repeats = 3 if depth > 1000 else 9
            whole = seconds(lambda network=network: measure(lower(network)), repeats)
            parts = seconds(partial(Summaries(size=0).measure, network), 9)
            each = f"{whole * 1e3:8.1f} ms ({whole / depth * 1e6:4.0f} us/block)"
            print(f"{depth:8} {name:10} {each:>24} {parts * 1e6:15.0f} us")


def resident() -> float:
    """Megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_table(count: int) -> None:
    """Memory over a long stream in which every stage and every head is new."""
    known, before = Summaries(), resident()
    print(f"{'candidates':>12} {'summaries':>10} {'MB above the start':>19}")
    marks = {count // 40, count // 20, count // 10, count // 4, count // 2, count}
    for number in range(1, count + 1):
        stage = Stage(depth=1 + number % 9, width=number)
        known.measure(Architecture((stage,), Stem(16)))
        if number in marks:
            print(f"{number:12,} {len(known):10,} {resident() - before:19.1f}")


def describe() -> float:
    """Seconds of one whole process that describes a network."""
    command = [sys.executable, "-m", "nasdepth", "describe", "resnet152"]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def spread(values: list[float], form: str = ",.0f") -> str:
    """Median with the least and the greatest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--stream", type=int, default=20_000)
    parser.add_argument("--long", type=int, default=200_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, one thread, {options.rounds} interleaved rounds\n"
    )
    # first of all, while the process holds nothing else that may go
    memory_table(options.long)
    config = StudyConfig.model_validate(tomllib.loads(STUDY.read_text("utf-8")))
    space = Space(config.space, SHAPE, CLASSES)
    flow = stream(config, space, options.stream)
    some = draws(space, np.random.default_rng(1), 2000)
    print(f"\nstream of {len(flow):,}, {len(set(flow)):,} of them distinct\n")
    rates = interleaved(
        {**graph_rows(flow, some), **torch_rows(some[:6])}, options.rounds
    )
    ours = statistics.median(rates["search-like stream, summaries kept"])
    print(f"{'':46} {'candidates/s':>30} {'stream / this':>14}")
    for name, values in rates.items():
        ratio = ours / statistics.median(values)
        print(f"{name:46} {spread(values):>30} {ratio:14,.1f}")
    depth_table()
    times = [describe() for _ in range(options.rounds)]
    print(f"\ndescribe resnet152, whole process: {spread(times, '.2f')} s")


if __name__ == "__main__":
    main()
