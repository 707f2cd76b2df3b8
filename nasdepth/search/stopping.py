"""Signals that ask a worker to leave: a flag in a training, an interrupt elsewhere."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

#: what schedulers and people send: Slurm SIGUSR1, a terminal SIGINT
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopFlag:
    """Whether a signal has asked this process to leave.

    A training looks at it between steps and saves itself first. Outside of one the
    signal raises KeyboardInterrupt where it arrives.
    """

    def __init__(self) -> None:
        self._asked = False
        self._armed = False

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self._asked

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take the signals inside the block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {name: signal.signal(name, self._take) for name in SIGNALS}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Signals only set the flag inside the block; see `disarm` for its end."""
        self.arm()
        try:
            yield
        finally:
            self._armed = False
        self.disarm()

    def arm(self) -> None:
        """From here on signals only set the flag."""
        self._armed = True

    def disarm(self) -> None:
        """From here on signals interrupt again.

        Raises:
            KeyboardInterrupt: one came meanwhile.
        """
        self._armed = False
        if self._asked:
            raise KeyboardInterrupt

    def _take(self, number: int, frame: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        # a second one finds the process leaving: it must not cut that short
        if first and not self._armed:
            raise KeyboardInterrupt
