"""Tables of the search by real trainings, from its CSV files.

Ratios are paired: both methods of a pair are resampled by the same seeds. A run that
never reached the threshold counts as the cap.
"""

import csv
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from search_digits_trainings import (
    ARM,
    ARM_REPLICATE,
    CAP,
    FLOOR,
    FRESH,
    START,
    Training,
    read_rows,
    read_trainings,
    threshold_among,
)

Vector: TypeAlias = NDArray[np.float64]
#: method → seed → row
Runs: TypeAlias = Mapping[str, Mapping[int, Mapping[str, str]]]
DRAWS: Final = 4_999
GUIDED: Final = ("guided", "guided-short")
BASELINES: Final = ("random", "tpe", "tpe-group")
EPOCHS: Final = 12


@dataclass(frozen=True, slots=True)
class Arm:
    """Networks that no method selected.

    Attributes:
        accuracies: of the finished networks.
        pairs: accuracies of those that were trained twice, `(networks, 2)`.
    """

    accuracies: Vector
    pairs: Vector

    @property
    def threshold(self) -> float:
        """The 99th percentile."""
        return threshold_among(self.accuracies)

    @property
    def share(self) -> float:
        """Of networks at the threshold or above."""
        return float((self.accuracies >= self.threshold).mean())


def arm_from(trainings: Sequence[Training]) -> Arm:
    """The arm of a task among its trainings."""
    once = {t.digest: t for t in trainings if t.replicate == ARM_REPLICATE}
    twice = {t.digest: t for t in trainings if t.replicate == ARM_REPLICATE + 1}
    first = list(once.values())[:ARM]
    return Arm(
        np.array([each.curve[-1] for each in first]),
        np.array([(once[d].curve[-1], t.curve[-1]) for d, t in twice.items()]),
    )


def ratio(
    first: Vector, second: Vector, centre: Callable[..., Vector]
) -> tuple[float, float, float]:
    """Ratio of two centres over the same seeds, with its 95 % bootstrap interval.

    Args:
        first: one value a seed.
        second: of the same seeds.
        centre: of the last axis.
    """
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(first), size=(DRAWS, len(first)))
    ratios = centre(first[drawn], axis=-1) / centre(second[drawn], axis=-1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(centre(first) / centre(second)), float(low), float(high)


def geometric(values: Vector, axis: int = -1) -> Vector:
    """Geometric mean."""
    return np.asarray(np.exp(np.log(values).mean(axis=axis)))


def reached(row: Mapping[str, str], threshold: float) -> float:
    """Epochs paid until a finished network reached an accuracy; the cap if none did."""
    for each in row["trace"].split():
        epochs, accuracy = each.split(":")
        if float(accuracy) >= threshold - 1e-9:
            return min(float(epochs), float(CAP * EPOCHS))
    return float(CAP * EPOCHS)


def write_report(folder: Path, target: Path) -> None:
    """Write the tables, and the rows that they are made of, into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    runs = list(read_rows(folder / "runs.csv"))
    trainings = read_trainings(folder / "trainings.csv")
    parts = [_head(runs)]
    for task in dict.fromkeys(each.task for each in trainings):
        own = [each for each in trainings if each.task == task]
        if sum(each.replicate == ARM_REPLICATE for each in own) >= ARM:
            there = [row for row in runs if row["task"] == task]
            parts.append(_task(task, own, there))
    (target / "table.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    if runs:
        shutil.copyfile(folder / "runs.csv", target / "runs.csv")
    _write_trainings(trainings, target / "trainings.csv")


def _head(rows: Sequence[Mapping[str, str]]) -> str:
    seeds = sorted({int(row["seed"]) for row in rows})
    told = f"{seeds[0]} to {seeds[-1]}" if seeds else "none"
    return (
        "# Epochs that a search by real trainings pays\n\n"
        "`python benchmarks/search_digits.py --report`: digits, 8x8, of scikit-learn, "
        f"287 validation images; {EPOCHS} epochs a network; cap {CAP * EPOCHS} epochs."
        f" Seeds {told}, paired: one network in one seed has one curve. Trained on one"
        f" core ({_processor()}), torch {torch.__version__}, optuna"
        f" {optuna.__version__}. A run that did not reach the threshold counts as the"
        " cap. Trials that are infeasible or repeated are free."
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.split(":")[1].strip() for line in lines if "model name" in line)
    return next(names, platform.machine())


def _write_trainings(trainings: Iterable[Training], path: Path) -> None:
    """Those of the arm and the fresh ones; those of the runs are in their traces."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "digest", "replicate", "params", "accuracy", "curve"])
        for t in trainings:
            if t.replicate >= ARM_REPLICATE:
                curve = " ".join(f"{value:.4f}" for value in t.curve)
                accuracy = f"{t.curve[-1]:.6f}"
                writer.writerow(
                    [t.task, t.digest, t.replicate, t.params, accuracy, curve]
                )


def _task(
    task: str, trainings: Sequence[Training], runs: Sequence[Mapping[str, str]]
) -> str:
    arm = arm_from(trainings)
    parts = [f"## {task}", _arm_text(arm)]
    by = {
        name: {int(row["seed"]): row for row in runs if row["method"] == name}
        for name in (*BASELINES, *GUIDED)
    }
    by = {name: rows for name, rows in by.items() if rows}
    if not by:
        return "\n\n".join(parts)
    fresh: dict[str, list[float]] = {}
    for each in trainings:
        if each.replicate in FRESH:
            fresh.setdefault(each.digest, []).append(each.curve[-1])
    parts += [_start_text(arm, by), _methods(arm, by, fresh)]
    parts += [_ratios(by, percentile, arm) for percentile in (99, 95)]
    parts.append(_fresh_differences(by, fresh))
    return "\n\n".join(part for part in parts if part)


def _arm_text(arm: Arm) -> str:
    low, middle, high, top = np.quantile(
        arm.accuracies, [0.25, 0.5, 0.75, 0.95], method="inverted_cdf"
    )
    text = (
        f"Arm: {len(arm.accuracies)} networks finished once; accuracy quartiles "
        f"{low:.4f}, {middle:.4f}, {high:.4f}, 95th percentile {top:.4f}, best "
        f"{arm.accuracies.max():.4f}; {len(np.unique(arm.accuracies))} distinct values."
        f" **Threshold {arm.threshold:.4f}** (99th percentile): {arm.share:.1%} of the"
        " arm reach it."
    )
    if len(arm.pairs) < 3:
        return text
    within = float(np.sqrt(((arm.pairs[:, 0] - arm.pairs[:, 1]) ** 2).mean() / 2))
    alike = float(np.corrcoef(arm.pairs.T)[0, 1])
    upper = arm.pairs[(arm.pairs.mean(axis=1) >= np.median(arm.pairs.mean(axis=1)))]
    best = float(np.corrcoef(upper.T)[0, 1])
    return (
        f"{text} {len(arm.pairs)} of them trained again with another seed: standard"
        f" deviation of one training {within:.4f}, correlation of the two"
        f" {alike:.2f} (better half: {best:.2f})."
    )


def _start_text(arm: Arm, by: Runs) -> str:
    rows = by.get("random", {}).values()
    if not rows:
        return ""
    lucky = sum(float(row["start"]) >= arm.threshold - 1e-9 for row in rows)
    expected = 1 - (1 - arm.share) ** START
    verdict = (
        "the task is **not discriminating**"
        if lucky >= len(rows) / 2
        else "the task discriminates"
    )
    return (
        f"Start-up: random reached the threshold with its first {START} networks in"
        f" {lucky} of {len(rows)} runs ({expected:.0%} expected if all were finished):"
        f" {verdict}."
    )


def _methods(
    arm: Arm,
    by: Runs,
    fresh: Mapping[str, Sequence[float]],
) -> str:
    lines = [
        "| method | runs | reached | median epochs (quartiles) | networks begun | if"
        f" taken up afresh | best after {FLOOR * EPOCHS} epochs | of it trained anew |"
        " s a trial |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, rows in by.items():
        epochs = np.array([reached(row, arm.threshold) for row in rows.values()])
        quartiles = [_epochs(v) for v in np.quantile(epochs, [0.25, 0.5, 0.75])]
        cap = CAP * EPOCHS
        afresh = [float(row["afresh"] or cap) for row in rows.values()]
        begun = [float(row["networks"] or row["begun"]) for row in rows.values()]
        floor = [float(row["floor_accuracy"]) for row in rows.values()]
        anew = [
            np.mean(a) for r in rows.values() if (a := fresh.get(r["floor_digest"]))
        ]
        asking = np.mean([float(row["seconds_asking"]) for row in rows.values()])
        lines.append(
            f"| {name} | {len(rows)} | {int((epochs < cap).sum())} | {quartiles[1]}"
            f" ({quartiles[0]}, {quartiles[2]}) | {np.median(begun):.0f} |"
            f" {_epochs(float(np.median(afresh)))} | {np.mean(floor):.4f} |"
            f" {f'{np.mean(anew):.4f}' if anew else '–'} | {asking:.2f} |"
        )
    return "\n".join(lines)


def _epochs(value: float) -> str:
    cap = CAP * EPOCHS
    return f"> {cap}" if value >= cap else f"{value:.0f}"


def _ratios(by: Runs, percentile: int, arm: Arm) -> str:
    level = threshold_among(arm.accuracies, percentile)
    lines = [
        f"Epochs to {level:.4f} ({percentile}th percentile of the arm), ratios with"
        " 95 % intervals:",
        "",
        "| | seeds | medians | geometric means |",
        "| --- | --- | --- | --- |",
    ]
    for guided in (each for each in GUIDED if each in by):
        for other in (each for each in BASELINES if each in by):
            seeds = sorted(set(by[guided]) & set(by[other]))
            if len(seeds) < 2:
                continue
            first, second = (
                np.array([reached(by[method][seed], level) for seed in seeds])
                for method in (guided, other)
            )
            cells = [
                "{:.2f} [{:.2f}, {:.2f}]".format(*ratio(first, second, centre))
                for centre in (partial(np.median), geometric)
            ]
            lines.append(f"| {guided} / {other} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 4 else ""


def _fresh_differences(
    by: Runs,
    fresh: Mapping[str, Sequence[float]],
) -> str:
    """Second reading: the chosen networks trained anew, differences by seed."""
    lines = []
    for guided in (each for each in GUIDED if each in by):
        for other in (each for each in BASELINES if each in by):
            pairs = [
                (fresh.get(row["floor_digest"]), fresh.get(own["floor_digest"]))
                for seed, row in by[guided].items()
                if (own := by[other].get(seed))
            ]
            gains = np.array(
                [100 * (np.mean(a) - np.mean(b)) for a, b in pairs if a and b]
            )
            if len(gains) < 2:
                continue
            drawn = np.random.default_rng(0).choice(gains, (DRAWS, len(gains)))
            low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
            lines.append(
                f"| {guided} − {other} | {len(gains)} | {gains.mean():+.2f}"
                f" [{low:+.2f}, {high:+.2f}] |"
            )
    if not lines:
        return ""
    head = [
        f"Second reading: the network that a run would choose after {FLOOR * EPOCHS}"
        f" epochs, trained anew with {len(FRESH)} other seeds; points of accuracy:",
        "",
        "| | seeds | mean difference |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*head, *lines])
