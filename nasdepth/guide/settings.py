"""How a guide works, and what it proposes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nasdepth.guide.encoding import Point


@dataclass(frozen=True, slots=True)
class Settings:
    """How a guide works; `benchmarks/search.md` compares others.

    Attributes:
        start: trials placed by maximin distance before the model leads.
        design: feasible candidates that the start is chosen from.
        spread: whether the start is spread; else it is random.
        pool: random feasible candidates for each trial.
        parents: best trials whose neighbours join the pool.
        draws: neighbours of each.
        refit: observations between two fits of the hyperparameters.
        choices: whether the model sees the choices, or the features alone.
        short: step at which short runs end; None for none.
        confirm: of so many trials one finishes the best unfinished short run.
        confirm_from: trials before which none is finished, and after which all are;
            0 takes turns as `confirm` says.
        shortlist: candidates whose cost is found out, where finding out is slow.
    """

    start: int = 5
    design: int = 500
    spread: bool = True
    pool: int = 2000
    parents: int = 5
    draws: int = 20
    refit: int = 5
    choices: bool = True
    short: int | None = None
    confirm: int = 10
    confirm_from: int = 0
    shortlist: int = 8

    def __post_init__(self) -> None:
        """Refuses numbers that no guide can work with."""
        least = {"start": 2, "design": 1, "pool": 10, "parents": 0, "draws": 0}
        least |= {"refit": 1, "confirm": 2, "shortlist": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(
                    f"Settings.{name} must be at least {bound}, but got "
                    f"{getattr(self, name)}."
                )


@dataclass(frozen=True, slots=True)
class Reference:
    """The corner that hypervolume is measured from.

    Attributes:
        gain: least response that counts; None for the worst expected of what was tried.
        cost: greatest cost that counts; None for a tenth of the pool's range beyond its
            greatest.
        log: whether the logarithm of the cost counts.
        slow: whether a cost takes long to find out: then it is predicted for the pool,
            and found out for a shortlist.
    """

    gain: float | None = None
    cost: float | None = None
    log: bool = True
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """A point and why it was chosen.

    Attributes:
        point: where.
        origin: "start", "pool", "neighbour", "confirm" or "random".
        n: observations behind the model; 0 where there was none.
        mean: of the response before the trial, larger being better; None without model.
        sd: standard deviation of its result, noise included.
        full: whether the trial is to be finished, where others are short.
        model: "gp" or "ridge"; "" where there was none.
        weight: of the prior study's mean.
    """

    point: Point
    origin: str
    n: int = 0
    mean: float | None = None
    sd: float | None = None
    full: bool = False
    model: str = ""
    weight: float = 0.0

    def told(
        self, back: Callable[[float, float], tuple[float, float]]
    ) -> dict[str, Any]:
        """What a trial keeps of it; mean and deviation in the objective's unit."""
        mean: float | None = None
        sd: float | None = None
        if self.mean is not None and self.sd is not None:
            mean, sd = back(self.mean, self.sd)
        return {
            "origin": self.origin,
            "mean": mean,
            "sd": sd,
            "n": self.n,
            "full": self.full,
            "model": self.model,
            "weight": self.weight,
        }
