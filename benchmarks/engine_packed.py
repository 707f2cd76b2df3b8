"""The row that sets a GPU full of workers beside one worker."""

import tempfile
from pathlib import Path

import torch
from engine_networks import some_images
from engine_pairs import Measured, Settings, in_turn, rates, ratios
from engine_textbook import EPOCHS, networks, seconds

from nasdepth.training.memory import available_bytes
from nasdepth.training.processors import default_workers

NETWORKS = 64


def packed(settings: Settings, device: str) -> Measured:
    """Images/s of searched networks, as many at once as `workers = "auto"` allows.

    Beside them the same networks one after another in one process. The networks are
    random draws from the space of `studies/fashion-mnist.toml` within its budget;
    start of processes and probe are counted on both sides.
    """
    where = torch.device(device)
    workers = default_workers(where, free=available_bytes(where))
    count = len(networks(settings.quick, NETWORKS))
    epochs = 1 if settings.quick else EPOCHS
    data = some_images("plain", quick=settings.quick)
    images = count * epochs * len(data.train_labels)
    options = ["--networks", str(NETWORKS), "--epochs", str(EPOCHS)]
    options += ["--device", device]

    def side(processes: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            took = seconds("engine", processes, Path(folder), settings.quick, *options)
        return images / took

    pairs = in_turn(lambda: side(workers), lambda: side(1), settings.pairs)
    return Measured(ratios(pairs), f"{workers} workers; {rates(pairs)}")
