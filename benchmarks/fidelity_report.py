"""The page on early results, from the rows of the trainings."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import optuna
import torch
from fidelity_compare import (
    BUDGETS,
    CONFIRMED,
    HALVINGS,
    LEVELS,
    NONE,
    RIVAL,
    RUNG,
    Rivals,
    replay,
)
from fidelity_ranks import (
    BOTH,
    DRAWS,
    SCHEDULES,
    TOGETHER,
    Estimate,
    Floats,
    Measured,
    agreement,
    estimate,
    measured,
    resampled,
    spread,
)
from fidelity_trainings import COOLDOWN, EPOCHS, RUNGS, STUDY, Row

#: what the page calls an early result
NAMES: Final[Mapping[str, str]] = {
    "rung": "rung: averaged weights, WSD",
    "raw": "raw weights, WSD",
    "loss": "mean training loss of the epoch, WSD",
    TOGETHER: "rung and loss, sum of ranks",
    "mid-run": "one-cycle, mid-run",
    "mid-run loss": "training loss, one-cycle mid-run",
    "in full": "one-cycle in full within these epochs",
    "cooled": "cooled branch, WSD",
    "params": "parameters, no training",
    "macs": "multiply-accumulates, no training",
}
#: pairs of early results whose difference is told
PAIRS: Final = (
    ("rung", "mid-run"),
    ("rung", "raw"),
    ("rung", "in full"),
    ("rung", "loss"),
    ("cooled", "rung"),
    ("cooled", "in full"),
    ("loss", "in full"),
    (TOGETHER, "in full"),
)
#: a row of the goals: words, whether it is met, the estimate with its interval
Verdict: TypeAlias = tuple[str, bool, str]
_REPLAYED: Final = 499


def page(rows: Sequence[Row], *, draws: int = DRAWS, replayed: int = _REPLAYED) -> str:
    """The whole page.

    Args:
        rows: of all trainings.
        draws: of the bootstrap of the ranks.
        replayed: of that of the searches.

    Raises:
        ValueError: the trainings are not whole, see `measured`.
    """
    results = measured(rows)
    drawn = resampled(results.shape[0], draws)
    found, known = replay(results, replayed)
    parts = [
        _head(results, rows),
        _verdicts(_goals(results, drawn, found)),
        _accuracies(results, drawn),
        "## Ranks",
        _ranks(results, drawn),
        _differences(results, drawn),
        "## Searches",
        _epochs(found),
        _regrets(found, known),
        _choices(known),
    ]
    return "\n\n".join(parts) + "\n"


def _head(results: Measured, rows: Sequence[Row]) -> str:
    networks, replicates = results.shape
    sizes = {row.network: row.params for row in rows}.values()
    limit, macs = STUDY.data.limit, STUDY.budget.macs
    first, second = RUNGS
    return f"""# Early results as ranks of networks

    export OMP_NUM_THREADS=1
    python benchmarks/fidelity.py --train
    python benchmarks/fidelity.py --report

{networks} networks, quasi-random over one space ({min(sizes):,} to {max(sizes):,}
parameters, at most {macs:,} multiply-accumulates), in {replicates} replicates
on Fashion-MNIST at 14x14: {limit:,} training images in 50 steps an epoch,
2,000 validation images. {EPOCHS} epochs; rungs after {first} and {second}. All recipes
of one network in one replicate share first weights and data order. One core of a shared
machine ({_processor()}), torch {torch.__version__}, optuna {optuna.__version__};
{results.rows} trainings, {results.seconds / 60:.0f} minutes of processor time,
{results.diverged} diverged.

Intervals are 95 % percentiles of a bootstrap of the networks. In the searches they are
wide and lean to one side: a draw may lack the few best networks or hold them twice."""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.split(":")[1].strip() for line in lines if "model name" in line)
    return next(names, platform.machine())


def _goals(
    results: Measured, drawn: np.ndarray, found: Mapping[str, Floats]
) -> list[Verdict]:
    goals: list[Verdict] = []
    for epoch in RUNGS:
        gain = _gain(results, drawn, ("rung", "mid-run"), epoch, BOTH)
        met = gain.value >= 0.2 and gain.low > 0
        told = f"Spearman of the rung minus one-cycle mid-run, epoch {epoch}: at least"
        goals.append((f"{told} +0.20, lower bound above 0", met, str(gain)))
    for level in LEVELS:
        ratio = found[f"level {level}: {RUNG}"]
        told = f"Epochs to the regret of no pruning after {level * EPOCHS}"
        told = f"{told}, halving by rungs / no pruning: at most 0.50"
        goals.append((told, bool(ratio[0] <= 0.5), _ratio(ratio)))
    for budget in BUDGETS:
        loss = estimate(found[f"at {budget}: {RUNG}"] - found[f"at {budget}: {RIVAL}"])
        told = f"Regret after {budget} epochs, halving by rungs − {RIVAL}"
        goals.append((f"{told}: at most 0 (points)", loss.value <= 0, str(loss)))
    return goals


def _verdicts(goals: Sequence[Verdict]) -> str:
    rows = [
        (words, each, "met" if met else "**not met**") for words, met, each in goals
    ]
    return _table(("goal", "measured", ""), rows)


def _accuracies(results: Measured, drawn: np.ndarray) -> str:
    rows = []
    for name in SCHEDULES:
        final = results.finals[name]
        between, within = spread(final)
        means = 100 * final.mean(axis=1)
        rows.append(
            (
                name,
                f"{means.mean():.1f}",
                f"{means.min():.1f} to {means.max():.1f}",
                f"{100 * between:.2f}",
                f"{100 * within:.2f}",
                estimate(agreement(final, results.truths[name], drawn)),
            )
        )
    gap = results.finals["wsd"].mean(axis=1) - results.finals["one-cycle"].mean(axis=1)
    gain = estimate(100 * gap[drawn].mean(axis=1))
    head = (
        "schedule",
        "mean final accuracy, %",
        "range of networks",
        "sd of networks",
        "sd of replicates",
        "Spearman of a final with the other replicates' finals",
    )
    told = f"WSD − one-cycle at the end: {gain} points of accuracy."
    return f"{_table(head, rows)}\n\n{told}"


def _ranks(results: Measured, drawn: np.ndarray) -> str:
    rows = []
    for (name, epoch), signal in results.signals.items():
        cells = (
            estimate(agreement(signal, results.truths[truth], drawn))
            for truth in (BOTH, *SCHEDULES)
        )
        rows.append((NAMES[name], _cost(name, epoch), *cells))
    head = ("early result", "epochs paid", *(f"truth: {t}" for t in (BOTH, *SCHEDULES)))
    text = (
        "Spearman's correlation with the mean final accuracy of the other replicates, "
        "mean over replicates."
    )
    return f"{text}\n\n{_table(head, rows)}"


def _cost(name: str, epoch: int) -> str:
    """Epochs that a result costs; all branches until then count."""
    branches = sum(rung for rung in RUNGS if rung <= epoch)
    return f"{epoch + COOLDOWN * branches:g}" if name == "cooled" else str(epoch)


def _differences(results: Measured, drawn: np.ndarray) -> str:
    rows = []
    for pair in PAIRS:
        for epoch in RUNGS:
            if all((name, epoch) in results.signals for name in pair):
                words = " − ".join(NAMES[name] for name in pair)
                cells = (
                    _gain(results, drawn, pair, epoch, truth)
                    for truth in (BOTH, *SCHEDULES)
                )
                rows.append((words, str(epoch), *cells))
    head = ("difference", "epoch", *(f"truth: {t}" for t in (BOTH, *SCHEDULES)))
    return f"Differences, paired by network.\n\n{_table(head, rows)}"


def _gain(
    results: Measured,
    drawn: np.ndarray,
    pair: tuple[str, str],
    epoch: int,
    truth: str,
) -> Estimate:
    first, second = (
        agreement(results.signals[name, epoch], results.truths[truth], drawn)
        for name in pair
    )
    return estimate(first - second)


def _epochs(found: Mapping[str, Floats]) -> str:
    rows = [
        (name, *(_ratio(found[f"level {level}: {name}"]) for level in LEVELS))
        for name in (*HALVINGS, CONFIRMED)
        if f"level {LEVELS[0]}: {name}" in found
    ]
    head = ("method", *(f"regret of {level * EPOCHS} epochs" for level in LEVELS))
    text = "Epochs to the regret of no pruning after some epochs, over these epochs."
    return f"{_SEARCHES}\n\n{text}\n\n{_table(head, rows)}"


def _ratio(values: Floats) -> str:
    each = estimate(values)
    return f"{_bound(each.value)} [{_bound(each.low)}, {_bound(each.high)}]"


def _bound(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "never"


def _regrets(found: Mapping[str, Floats], known: Rivals) -> str:
    rivals = dict.fromkeys(name for name, _ in known)
    rows = [
        (name, *(_regret(found, name, budget) for budget in BUDGETS))
        for name in (*HALVINGS, CONFIRMED, *rivals, NONE)
        if f"at {BUDGETS[0]}: {name}" in found
    ]
    head = ("method", *(f"regret after {budget} epochs" for budget in BUDGETS))
    text = (
        "Regret in points at equal epochs; in parentheses that of halving by rungs "
        "minus it, with its interval: below 0 the rungs win."
    )
    return f"{text}\n\n{_table(head, rows)}"


def _regret(found: Mapping[str, Floats], name: str, budget: int) -> str:
    own = found[f"at {budget}: {name}"]
    if name == RUNG:
        return f"{own[0]:.2f}"
    return f"{own[0]:.2f} ({estimate(found[f'at {budget}: {RUNG}'] - own)})"


def _choices(known: Rivals) -> str:
    rows = [
        (name, str(budget), str(c.early), str(c.taken), str(c.kept))
        for (name, budget), (_, c) in known.items()
    ]
    head = ("rival", "epochs", "short training", "networks", "K")
    text = (
        "What the rivals do. The best K, and length of the short training, is chosen "
        "in hindsight on these trainings, an advantage that no search has."
    )
    return f"{text}\n\n{_table(head, rows)}"


_SEARCHES: Final = (
    "Searches replayed on the recorded values, one worker. They meet networks drawn "
    "from the sample with replacement, each in a random replicate. An incumbent is the "
    "finished network of the highest final accuracy, worth its mean final accuracy "
    "over the other replicates and both schedules; regret is from the network of the "
    "highest such mean. Halving is Optuna's asynchronous rule, factor 3, rungs at "
    'epochs 1 and 3. "Top K" trains all for some epochs, by one-cycle in full and '
    'the best K then afresh, or by rungs, from which the best K go on. "The best of '
    'ten" is the rule of `pruner.kind = "short"`: all end at the first rung, and '
    "after each ten networks the best that was left there goes on."
)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
