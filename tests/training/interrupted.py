"""Trainings that are killed at random moments, each in a forked process of its own.

    python interrupted.py SIGNAL COUNT FOLDER

prints for each a JSON line: whether a checkpoint was left, the epochs it held, the
epochs that had been reported, whether the resumed training ended with the same bits,
and the seconds from the signal to the process's end.
"""

import json
import os
import random
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

import torch
import torch._dynamo  # here, as each child's first optimizer would import it anew
from torch import nn

from nasdepth.training.checkpoint import read_header
from nasdepth.training.data import DataConfig, load
from nasdepth.training.loop import TrainingConfig, fit
from nasdepth.training.recipe import Stopped

CONFIG = TrainingConfig(epochs=9, decay=0.3)
SEED = 7


def network() -> nn.Module:
    """A small network with all that a checkpoint must hold: norm and dropout too."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def trained(dataset, checkpoint, told, stop=None) -> str:
    """SHA-256 of all tensors of a training, and of its curve."""
    module = network()

    def on_epoch(epoch) -> None:
        os.write(told, f"{epoch.index}\n".encode())

    result = fit(
        module,
        dataset,
        CONFIG,
        seed=SEED,
        device="cpu",
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        stop=stop,
    )
    digest = sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    digest.update(repr([(e.loss, e.validation_loss) for e in result.curve]).encode())
    return digest.hexdigest()


def child(dataset, checkpoint: Path, told: int) -> None:
    """Train, and leave when a signal asks for it."""
    asked = []
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(name, lambda number, frame: asked.append(number))
    try:
        digest = trained(dataset, checkpoint, told, stop=lambda: bool(asked))
    except Stopped:
        os._exit(3)
    os.write(told, f"{digest}\n".encode())
    os._exit(0)


def spawn(dataset, checkpoint: Path) -> tuple[int, int]:
    """Process and pipe of a forked training."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        child(dataset, checkpoint, writer)
    os.close(writer)
    return pid, reader


def finished(pid: int, reader: int) -> list[str]:
    """What a process said until its end."""
    with os.fdopen(reader) as stream:
        lines = stream.read().split()
    os.waitpid(pid, 0)
    return lines


def main(name: str, count: int, folder: Path) -> None:
    """Interrupt that many trainings."""
    torch.set_num_threads(1)
    dataset = load(DataConfig("digits"))
    start = time.perf_counter()
    wanted = finished(*spawn(dataset, folder / "whole"))[-1]
    length = time.perf_counter() - start
    moments = random.Random(0)
    for index in range(count):
        checkpoint = folder / str(index)
        pid, reader = spawn(dataset, checkpoint)
        time.sleep(moments.uniform(0.01, 0.95) * length)
        asked = time.perf_counter()
        os.kill(pid, getattr(signal, name))
        told = finished(pid, reader)
        seconds = time.perf_counter() - asked
        if told[-1:] == [wanted]:  # it was done before the signal came
            told = told[:-1]
        held = read_header(checkpoint) if checkpoint.is_file() else None
        again = finished(*spawn(dataset, checkpoint))
        print(
            json.dumps(
                {
                    "checkpoint": held is not None,
                    "held": len(held["state"]["curve"]) if held else 0,
                    "step": held["state"]["step"] if held else 0,
                    "reported": len(told),
                    "equal": again[-1] == wanted,
                    "seconds": seconds,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
