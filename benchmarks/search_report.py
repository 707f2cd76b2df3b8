"""The page about the search benchmark: tables of ratios, and what they say."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeAlias

from search_methods import BETTER, METHODS, SHORT
from search_rows import (
    Ratio,
    Row,
    Runs,
    Speed,
    area,
    by_task,
    cost_cell,
    ratio,
)
from search_tables import EPOCHS, HALF

from nasdepth.evidence.nasbench201_cells import DATA_SETS

FOLDER: Final = Path(__file__).parent
Found: TypeAlias = Mapping[str, Runs]
_ORDER: Final = {name: place for place, name in enumerate(METHODS)}
_GUIDED: Final = "guided"
_SHORT: Final = "guided+short"
_BETTER: Final = "better TPE"
_HALVING: Final = "better TPE + halving"
_ABOUT: Final = """\
# Search on NAS-Bench-201

How many networks are trained until a good one is found, method against method, on the
published trainings of Dong & Yang 2020 (arXiv:2001.00326). Every row of the tables is a
row a run of [search.csv](search.csv); the commands are

    python benchmarks/search.py --methods guided,tpe,evolution,nsgaii,random,size
    python benchmarks/search.py --seconds --methods guided,tpe,gp
    python benchmarks/search.py --report

**Space.** Six categorical parameters of five operations, asked for alike by every
method. A network is a digest: cells that are one network share their trainings (5,424
distinct networks, 2,528 of them under the median of live parameters: `@50`). A network
that was trained is free and returns its value again; one without a path, or over the
limit, is free and infeasible (constraint above 0, then pruned). After 20 free trials in
a row a random network is trained instead: *fallbacks*.

**Value.** One training drawn from the network's published two or three (more where
cells share them), the same for all methods of a seed. Regret is in the mean of the
network whose value is the best seen, the incumbent.

**Figures.** *Area*: under the median regret up to 100 networks, in points x networks.
*Within 0.5*, *top 0.1 %*: networks trained until one of them is within 0.5 points of
the best mean, or of the top 0.1 % (3 networks of `@50`, 6 of all); *held*: until it is
the incumbent, which one lucky training of another can prevent for ever. Medians over
seeds (quartiles). A run that never got there counts as its cap. Ratios are guided over
other, of medians, with 95 % percentile intervals of 1,999 bootstrap draws of paired
seeds; `≤` and `≥` mark those whose median is at the cap. Below 1 the guide needs less.

`tpe` is Optuna's default, which in version 5 is the multivariate one; on a space
without conditions `multivariate=True, group=True` (`tpe-group`) suggests the same,
value for value. `tpe-independent` is the default of version 4.
"""


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Rows by task, method and seed, each once."""
    once = {(row.task, row.method, row.seed): row for row in reversed(list(rows))}
    return sorted(once.values(), key=_place)


def _place(row: Row) -> tuple[bool, bool, int, int, int]:
    data_set = row.task.removesuffix(EPOCHS).removesuffix(HALF)
    place = list(DATA_SETS).index(data_set)
    return EPOCHS in row.task, HALF not in row.task, place, *_method_place(row)


def _method_place(row: Row) -> tuple[int, int]:
    return _ORDER.get(row.method, len(_ORDER)), row.seed


def report_on(rows: Sequence[Row], speeds: Sequence[Speed]) -> str:
    """The page, in Markdown."""
    tasks = by_task(ordered(rows))
    parts = [_ABOUT, _hardware(), _goals(tasks)]
    parts += [_task(name, found) for name, found in tasks.items() if EPOCHS not in name]
    parts += [_epochs(name, found) for name, found in tasks.items() if EPOCHS in name]
    parts += [_ablations(tasks), _speeds(speeds)]
    return "\n".join(part for part in parts if part)


def _hardware() -> str:
    names = ("optuna", "scikit-learn", "numpy", "torch")
    used = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"Hardware: {_processor()}, {os.cpu_count()} cores, one used; Python"
        f" {platform.python_version()}, {used}.\n"
    )


def _processor() -> str:
    """Name of the processor, where Linux tells it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def table_of(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))


def _best_of(found: Found, name: str) -> list[Runs]:
    """The runs of a method, or of those of which the better counts."""
    return [found[part] for part in BETTER.get(name, (name,)) if part in found]


def _against(found: Found, name: str, metric: str, ours: str = _GUIDED) -> Ratio | None:
    others = _best_of(found, name)
    return ratio(found[ours], others, metric) if ours in found and others else None


def _shown(value: Ratio | None) -> str:
    return "–" if value is None else str(value)


def _goals(tasks: Mapping[str, Found]) -> str:
    """The comparisons that the guide is measured by."""
    lines = []
    for name, found in tasks.items():
        halving = EPOCHS in name
        if not halving and HALF not in name:
            continue
        other, ours = (_HALVING, _SHORT) if halving else (_BETTER, _GUIDED)
        value = _against(found, other, "found_half", ours)
        if value is not None:
            met = value.value <= 1 / 2 and value.high < 1
            goal = value.value <= (1 / 3 if halving else 1 / 4)
            lines.append((f"`{name}`", other, str(value), _yes(met), _yes(goal)))
    if not lines:
        return ""
    head = ("cost to within 0.5 points", "of", "ratio", "≤ 1/2, bound < 1", "goal")
    return f"## What was to be reached\n\n{table_of(head, lines)}"


def _yes(reached: object) -> str:
    return "yes" if reached else "no"


def _task(name: str, found: Found) -> str:
    """One task of networks: every method, and the guide over it."""
    chosen = [method for method in found if not _is_ablation(method)]
    heads = ("within 0.5", "top 0.1 %", "held 0.5")
    costs = table_of(
        ("method", "seeds", "area", *heads),
        [_costs(method, found[method]) for method in chosen],
    )
    metrics = ("area", "found_half", "found_top", "held_half")
    others = [*(other for other in chosen if other != _GUIDED), _BETTER]
    lines = [
        (other, *(_shown(_against(found, other, metric)) for metric in metrics))
        for other in others
    ]
    ratios = table_of(("guided over", "area", *heads), lines)
    if _GUIDED not in found:
        ratios = ""
    parts = (f"## {name}\n", costs, ratios, _size_wins(found))
    return "\n".join(part for part in parts if part)


def _is_ablation(method: str) -> bool:
    return method.startswith(f"{_GUIDED}-")


def _costs(method: str, runs: Runs) -> tuple[str, ...]:
    rows = list(runs.values())
    metrics = ("found_half", "found_top", "held_half")
    cells = [cost_cell(rows, metric) for metric in metrics]
    mark = f" (cap {rows[0].cap})" if rows[0].cap < 300 else ""
    return f"{method}{mark}", str(len(rows)), f"{area(rows):.0f}", *cells


def _size_wins(found: Found) -> str:
    """Says so where ranking by size alone does better than the guide."""
    value = _against(found, "size", "found_half")
    if value is None or value.value <= 1:
        return ""
    return f"Plain ranking by size wins here: it needs 1/{value.value:.1f} as many.\n"


def _epochs(name: str, found: Found) -> str:
    """One task of epochs: costs, and the guide with short runs over it."""
    lines = []
    for method, runs in found.items():
        rows = list(runs.values())
        shorts = f"{sum(row.shorts for row in rows) / len(rows):.0f}"
        cells = [cost_cell(rows, metric) for metric in ("found_half", "held_half")]
        value = _shown(_against(found, method, "found_half", _SHORT))
        lines.append((method, str(len(rows)), shorts, *cells, value))
    better = _against(found, _HALVING, "found_half", _SHORT)
    lines.append((_HALVING, "", "", "", "", _shown(better)))
    head = ("method", "seeds", "short runs", "epochs to 0.5", "held", f"{_SHORT} over")
    about = (
        f"A short training costs {SHORT} epochs on its own schedule, finishing it 200"
        " more.\n"
    )
    return "\n".join((f"## {name}\n", about, table_of(head, lines)))


def _ablations(tasks: Mapping[str, Found]) -> str:
    """The guide over each of its variants: above 1 the variant does better."""
    lines = [
        (
            f"`{name}`",
            method,
            str(len(runs)),
            f"{area(list(runs.values())):.0f}",
            *cells,
        )
        for name, found in tasks.items()
        for method, runs in found.items()
        if _is_ablation(method)
        for cells in [_variant(found, method)]
    ]
    if not lines:
        return ""
    head = ("task", "variant", "seeds", "area", "area", "within 0.5", "top 0.1 %")
    about = "Ratios are guided over the variant.\n"
    return "\n".join(("## What each part is worth\n", about, table_of(head, lines)))


def _variant(found: Found, method: str) -> list[str]:
    metrics = ("area", "found_half", "found_top")
    return [_shown(_against(found, method, metric)) for metric in metrics]


def _speeds(speeds: Sequence[Speed]) -> str:
    """Seconds of a suggestion."""
    if not speeds:
        return ""
    head = ("method", "median", "mean", "longest", "first, with setting up")
    lines = [
        (s.method, *(f"{v:.3f}" for v in (s.median, s.mean, s.longest, s.first)))
        for s in speeds
    ]
    about = (
        f"After {speeds[0].trials} finished trials of `{speeds[0].task}`; 25"
        " suggestions after the first, each with its answer; measures are looked up.\n"
    )
    title = "## Seconds of one suggestion\n"
    return "\n".join((title, about, table_of(head, lines)))
