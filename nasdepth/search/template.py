"""A commented study file that fits a data set, to start from."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from nasdepth.training.data import DataConfig, SourceInfo

_SIDES = (16, 32, 64, 96, 128)
_TEMPLATE = """\
# {label}: {images} training images, {classes} classes, {sizes}.
# Run it:  nasdepth search {file} --timeout 3600

[data]
name = "{name}"{path}{size}
# share of the training images that architectures are compared on
validation = {validation}

[space]
# every stage but the first halves the map
stages = [2, {stages}]
depth = [1, 4]
width = [16, 64]
# also: "inverted", "inception", "cell_bottleneck", "cell_depthwise", "dense_bottleneck"
topologies = ["plain", "residual", "bottleneck", "parallel", "dense", "cell"]
links = [1, 32]
stem = [16, 32]
# 2 halves every map: four times faster, a little less accurate
stem_stride = {stem_stride}

[budget]
params = 300_000
macs = {macs:_}

[design]
# trials of the unselected arm: what the regression may be run on
trials = 8

[training]
epochs = {epochs}
batch_size = {batch}

[search]
# a regression on the study's own results leads; also: "tpe", "nsgaii", "gp", "random",
# "qmc", "evolution"
sampler = "guided"
# with a cost, known before training, the search is for a Pareto front
objectives = ["accuracy"]  # or ["accuracy", "macs"], "params", "peak_memory", "latency"
# total of finished trials; more time, more trials
n_trials = 40
seed = 0
# one process a usable core, on a GPU as its memory allows; or a number
workers = "auto"
"""


@dataclass(frozen=True, slots=True)
class Template:
    """What a study file is made for.

    Attributes:
        data: the data set.
        info: what it holds.
        file: name of the study file.
    """

    data: DataConfig
    info: SourceInfo
    file: Path

    def text(self) -> str:
        """The study file."""
        info, side = self.info, self._side()
        images = sum(info.counts)
        small = images < 5_000
        stem_stride = 1 if side <= 16 else 2
        path = f"\npath = {_quoted(self.data.path)}" if self.data.path else ""
        return _TEMPLATE.format(
            label=_printable(info.label),
            images=images,
            classes=len(info.classes),
            sizes=_sizes(info.sizes),
            file=_printable(shlex.quote(str(self.file))),
            name=self.data.name,
            path=path,
            size=f"\nsize = {side}" if self.data.name == "folder" else "",
            validation=0.2 if small else 0.1,
            stages=2 if side < 16 else 3,
            stem_stride=[stem_stride],
            # of a map as large as the stem leaves it
            macs=max(1_000_000, 16_000 * (side // stem_stride) ** 2),
            epochs=20 if small else 8,
            batch=32 if small else 128,
        )

    def _side(self) -> int:
        """Side to train at: for folders the nearest below the typical native one."""
        native = int(median(min(size) for size in self.info.sizes))
        if self.data.name != "folder":
            return native
        return max((s for s in _SIDES if s <= native), default=_SIDES[0])


def _quoted(text: str) -> str:
    """TOML string: JSON's, but for the one character that only TOML escapes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _printable(text: str) -> str:
    """Text that a comment may hold."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _sizes(sizes: tuple[tuple[int, int], ...]) -> str:
    low, high = min(sizes), max(sizes)
    first = f"{low[0]}x{low[1]} pixels"
    return first if low == high else f"{first} to {high[0]}x{high[1]}"
