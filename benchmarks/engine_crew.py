"""The row that sets two processes of one thread beside one."""

import multiprocessing
from multiprocessing.connection import Connection
from time import perf_counter

import torch
from engine_networks import BATCH, network, some_images
from engine_pairs import Measured, Settings, in_turn, rates, ratios

from nasdepth.training.loop import fit
from nasdepth.training.recipe import TrainingConfig

KIND, EPOCHS = "plain", 2


def workers(settings: Settings, count: int = 2) -> Measured:
    """Images/s of several processes at once over those of one.

    The processes are warm: each has trained before.
    """
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(count)]
    crew = [
        context.Process(target=_serve, args=(theirs, settings.quick), daemon=True)
        for _, theirs in pipes
    ]
    for process in crew:
        process.start()
    ours = [pipe for pipe, _ in pipes]
    try:
        pairs = in_turn(
            lambda: _throughput(ours), lambda: _throughput(ours[:1]), settings.pairs
        )
    finally:
        for pipe in ours:
            pipe.send(False)
        for process in crew:
            process.join()
    return Measured(ratios(pairs), rates(pairs))


def _throughput(pipes: list[Connection]) -> float:
    """Images/s of the processes at the other ends, all started at once."""
    start = perf_counter()
    for pipe in pipes:
        pipe.send(True)
    images = sum(pipe.recv() for pipe in pipes)
    return images / (perf_counter() - start)


def _serve(pipe: Connection, quick: bool) -> None:
    """Train once for each that is asked for, and say with how many images."""
    torch.set_num_threads(1)
    data = some_images(KIND, quick=quick)
    config = TrainingConfig(epochs=EPOCHS, precision="fp32")
    while pipe.recv():
        fit(network(KIND, data.input_shape), data, config, seed=0, device="cpu")
        pipe.send(EPOCHS * (len(data.train_labels) // BATCH * BATCH))
