"""Images per second of training steps by precision and memory layout.

    python benchmarks/precision.py [--device cuda] [--batch 128] [--pairs 7]

Four networks of three stages (plain, residual, inverted, dense) on random images of
28x28 in batches of one size; the four settings run in turn, `--pairs` times after a
warm-up, and the median of each is printed beside its ratio to fp32 in NCHW. The rule in
`nasdepth/training/device.py` follows from this table.
"""

import argparse
import statistics
import time
from itertools import product

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nasdepth import Architecture, Stage, Stem, build

STAGES = {
    "plain": Stage(depth=2),
    "residual": Stage(depth=2, skip="add", span=2),
    "inverted": Stage("inverted", depth=2, skip="add", expansion=4.0),
    "dense": Stage(depth=4, skip="concat", links="all"),
}
SETTINGS = tuple(product(("fp32", "bf16"), ("NCHW", "channels-last")))


def network(name: str, width: int) -> nn.Module:
    """Three stages of a kind, widths doubling, growth 16 in dense ones."""
    stage = STAGES[name]
    widths = [16] * 3 if name == "dense" else [width * 2**i for i in range(3)]
    fields = {f: getattr(stage, f) for f in ("block", "depth", "skip", "span", "links")}
    stages = tuple(
        Stage(width=w, stride=1 + bool(i), expansion=stage.expansion, **fields)
        for i, w in enumerate(widths)
    )
    return build(Architecture(stages, Stem(width), input_shape=(1, 28, 28)), seed=0)


def seconds(module: nn.Module, images: torch.Tensor, precision: str) -> float:
    """One training step."""
    labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    start = time.perf_counter()
    bf16 = precision == "bf16"
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        scores = module(images)
    cross_entropy(scores.float(), labels).backward()
    optimizer.step()
    if images.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--width", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    heads = [f"{precision} {layout}" for precision, layout in SETTINGS]
    print(f"torch {torch.__version__}, {device}, {options.pairs} interleaved runs")
    print(f"{'network':10}", *(f"{head:>20}" for head in heads))
    for name in STAGES:
        module = network(name, options.width).to(device)
        images = torch.randn(options.batch, 1, 28, 28, device=device)
        times: dict[tuple[str, str], list[float]] = {key: [] for key in SETTINGS}
        for turn in range(options.pairs + 1):
            for precision, layout in SETTINGS:
                form = (
                    torch.channels_last
                    if layout == "channels-last"
                    else torch.contiguous_format
                )
                module.to(memory_format=form)
                took = seconds(module, images.to(memory_format=form), precision)
                if turn:
                    times[precision, layout].append(took)
        medians = [statistics.median(times[key]) for key in SETTINGS]
        cells = (f"{options.batch / m:7.0f} ({medians[0] / m:4.2f}x)" for m in medians)
        print(f"{name:10}", *(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
