"""Asking, between steps, whether a training is to stop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nasdepth.training.recipe import Stopped

#: seconds between two looks whether memory is free
_PAUSE: Final = 0.1


def never() -> bool:
    """Nobody asks."""
    return False


@dataclass(frozen=True, slots=True)
class Poll:
    """Raises where a training is asked to stop.

    Attributes:
        stop: says whether it is.
    """

    stop: Callable[[], bool] = never

    def __call__(self) -> None:
        """Go on, unless asked to stop.

        Raises:
            Stopped: as asked.
        """
        if self.stop():
            raise Stopped

    def wait(self) -> None:
        """Let some time pass, unless asked to stop."""
        self()
        time.sleep(_PAUSE)
