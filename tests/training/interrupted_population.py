"""As `interrupted.py`, with trainings of three networks of which two go at once."""

import os
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # run on its own, and by pytest
import interrupted
import torch
import torch._dynamo  # here, as each child's first optimizer would import it anew

from nasdepth.training.population import fit_population

CONFIG = replace(interrupted.CONFIG, epochs=5)
SEEDS = (7, 8, 9)


def trained(dataset, checkpoint, told, stop=None) -> str:
    """SHA-256 of all tensors of the trainings, and of their curves."""
    modules = [interrupted.network() for _ in SEEDS]

    def on_epoch(member, epoch) -> None:
        if member == 0:
            os.write(told, f"{epoch.index}\n".encode())

    results = fit_population(
        modules,
        dataset,
        CONFIG,
        seeds=SEEDS,
        device="cpu",
        at_once=2,
        on_epoch=on_epoch,
        checkpoints=[checkpoint, *(Path(f"{checkpoint}-{n}") for n in (1, 2))],
        stop=stop,
    )
    digest = sha256()
    for module in modules:
        for tensor in module.state_dict().values():
            digest.update(tensor.numpy().tobytes())
    told_of = [(e.loss, e.validation_loss) for r in results for e in r.curve]
    digest.update(repr(told_of).encode())
    return digest.hexdigest()


if __name__ == "__main__":
    torch.set_num_threads(1)
    interrupted.trained = trained
    interrupted.main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
