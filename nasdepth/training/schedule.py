"""Learning-rate factor as a pure function of the step.

With `t = step / steps`, warm-up share `w` and decay share `d`, every schedule starts
with the ramp `(step + 1) / (w * steps)`, cut at 1, and goes on with

    wsd        min(1, (1 - t) / d)            warm-up, stable, decay
    one-cycle  min(1, (1 - t) / (1 - w))      linear to 0 from the end of the ramp
    cosine     (1 + cos(pi (t - w) / (1 - w))) / 2
    constant   1

Sources: warm-up-stable-decay, Hu et al. 2024 (arXiv 2404.06395); one-cycle, Smith and
Topin 2017 (arXiv 1708.07120), without its momentum cycle; cosine, Loshchilov and
Hutter 2016 (arXiv 1608.03983), without restarts.
"""

import math
from collections.abc import Sequence
from typing import Final, Literal

#: steps before which no rung stands: fewer say nothing of a network
LEAST_STEPS: Final = 50

Kind = Literal["wsd", "one-cycle", "cosine", "constant"]


def rate_factor(
    kind: Kind, step: int, steps: int, *, warmup: float, decay: float
) -> float:
    """Factor of the peak learning rate at one optimizer step, in [0, 1].

    Args:
        kind: the schedule.
        step: index of the step, from 0; the factor at `steps` is where decay ends.
        steps: number of steps of the whole run.
        warmup: share of the steps in which the rate rises.
        decay: share of the steps in which the rate of `wsd` falls.

    >>> [rate_factor("wsd", s, 8, warmup=0.25, decay=0.5) for s in (0, 1, 4, 6, 8)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    ramp = min(1.0, (step + 1) / (warmup * steps)) if warmup > 0 else 1.0
    return ramp * _after_ramp(kind, step / steps, warmup, decay)


def stable_steps(steps: int, decay: float) -> int:
    """Number of first steps in which the rate of `wsd` does not decay.

    >>> stable_steps(8, 0.5)
    4
    """
    # The small term undoes the rounding of, say, (1 - 0.9) * 10.
    return math.floor((1 - decay) * steps + 1e-9)


def rungs(
    epochs: int, steps: int, *, factor: int = 3, first: int = 0
) -> tuple[int, ...]:
    """Epochs at whose end a training is compared with others; the last is the end.

    Args:
        epochs: of the whole run.
        steps: of one epoch.
        factor: from rung to rung.
        first: epoch of the first rung; 0 is 1 / factor**2 of the epochs, and not
            before 50 steps.

    >>> rungs(9, 100), rungs(9, 20), rungs(5, 400), rungs(9, 100, first=4)
    ((1, 3, 9), (3, 9), (1, 3, 5), (4, 9))
    """
    found = first or max(-(-epochs // factor**2), -(-LEAST_STEPS // steps))
    stand = []
    while found < epochs:
        stand.append(found)
        found *= factor
    return (*stand, epochs)


def window(
    epoch: int, rungs: Sequence[int], *, steps: int, decay: float
) -> tuple[int, int] | None:
    """First and last step whose weights, averaged, an epoch of `wsd` is judged by.

    The last half of the rung that ends with the epoch, or of the epoch where none does.
    Steps are counted from 1 over the whole run.

    Args:
        epoch: from 1.
        rungs: as `rungs` returns them.
        steps: of one epoch.
        decay: share of the steps in which the rate falls.

    Returns:
        None where the rate falls already: then the weights count as they are.

    >>> window(3, (1, 3, 9), steps=10, decay=0.25)
    (21, 30)
    >>> window(2, (1, 3, 9), steps=10, decay=0.25)
    (16, 20)
    """
    last = epoch * steps
    if epoch >= rungs[-1] or last > stable_steps(rungs[-1] * steps, decay):
        return None
    before = epoch - 1
    if epoch in rungs:
        before = max((rung for rung in rungs if rung < epoch), default=0)
    return (before * steps + last) // 2 + 1, last


def _after_ramp(kind: Kind, done: float, warmup: float, decay: float) -> float:
    if kind == "constant":
        return 1.0
    if kind == "wsd":
        return min(1.0, (1 - done) / decay) if decay > 0 else 1.0
    rest = (1 - done) / (1 - warmup)
    if rest >= 1:
        return 1.0
    return rest if kind == "one-cycle" else (1 - math.cos(math.pi * rest)) / 2
