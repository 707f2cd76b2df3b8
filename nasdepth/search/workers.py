"""Worker processes of a study: started, watched, interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: seconds that an interrupted worker has to save what it holds
_PATIENCE: Final = 30.0
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Fleet:
    """Worker processes and the files that take their logs."""

    processes: tuple[subprocess.Popen[bytes], ...]
    logs: tuple[Path, ...]

    def alive(self) -> int:
        """Number of processes still running."""
        return sum(process.poll() is None for process in self.processes)

    def interrupt(self) -> None:
        """Ask every process to stop at once; end those that do not."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        limit = time.monotonic() + _PATIENCE
        for process in self.processes:
            try:
                process.wait(max(0.1, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def failure(self) -> str:
        """Last log line of a worker that failed; "" where all went well."""
        for process, log in zip(self.processes, self.logs, strict=True):
            if process.poll() not in (None, 0, INTERRUPTED):
                lines = log.read_text(errors="replace").strip().splitlines()
                last = lines[-1] if lines else "no message"
                return f"A worker ended with code {process.returncode}: {last} ({log})"
        return ""


def start(arguments: Sequence[str], count: int, folder: Path, threads: int) -> Fleet:
    """Start `count` processes of `nasdepth worker` with the arguments.

    Each leads a session of its own, so that an interrupt reaches it once, from us.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
    }
    processes, logs = [], []
    for index in range(count):
        log = folder / f"worker-{os.getpid()}-{index}.log"
        with log.open("wb") as stream:
            command = [sys.executable, "-m", "nasdepth", "worker", *arguments]
            processes.append(
                subprocess.Popen(
                    [*command, "--parent", str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    env=environment,
                    start_new_session=True,
                )
            )
        logs.append(log)
    return Fleet(tuple(processes), tuple(logs))
