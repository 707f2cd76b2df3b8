"""Networks of one architecture side by side: as one training, and how many are fastest.

The loss has one value a member, and gradients are clipped member by member, so that the
steps are those of each network alone.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nasdepth.network.population import Population
from nasdepth.training.allocator import keeping_freed_memory
from nasdepth.training.batches import FORMATS, Batches, Preparation
from nasdepth.training.checkpoint import identity, read_header
from nasdepth.training.data import Dataset
from nasdepth.training.ledger import correction
from nasdepth.training.memory import available_bytes, predicted_bytes
from nasdepth.training.optimizers import optimizer_of
from nasdepth.training.probe import Choice, choose, fastest, kind, place
from nasdepth.training.recipe import TrainingConfig
from nasdepth.training.run import Run, holding_memory, prepared, seeded
from nasdepth.training.state import State
from nasdepth.training.steps import take_step

#: populations that a probe tries, beside one network and all of them
_SIZES: Final = (4, 16)
#: gain in speed from which networks are trained at once
_MARGIN: Final = 0.1
# Seconds of one network's step from which nothing is gained on the CPU and so nothing
# tried: what a population saves is the start of each operation.
_LONG: Final = 0.03


def population_run(
    networks: Sequence[nn.Module],
    seeds: Sequence[int],
    dataset: Dataset,
    config: TrainingConfig,
    device: torch.device,
    *,
    checkpoint: Path | None = None,
) -> Run:
    """What stays the same over the steps of a population.

    Args:
        networks: of one architecture; they are copied.
        seeds: of each.
        dataset: as `load` returns it.
        config: how to train each.
        device: where to train.
        checkpoint: where there is this file, it says in which precision and layout.
    """
    size = min(config.batch_size, len(dataset.train_labels))
    population = Population(networks)
    training = _identity(population, seeds, dataset, config)
    if checkpoint is not None and checkpoint.is_file():
        choice = Choice(*read_header(checkpoint)["training"]["choice"])
    else:
        choice = choose(
            networks[0],
            dataset.input_shape,
            max(size, 2),  # batch norm needs two values of each channel
            device,
            precision=config.precision,
            deterministic=config.deterministic,
        )
    population.to(device).to(memory_format=FORMATS[choice.layout])
    data = dataset.to(device)
    preparation = Preparation.of(data, device, choice.layout)
    augmentation = config.augmentation(data.augmentation)
    parameters = tuple(population.parameters())
    return Run(
        network=population,
        forward=torch.compile(population) if config.compile else population,
        parameters=parameters,
        batches=_SideBySide(
            tuple(Batches(data, size, augmentation, s, preparation) for s in seeds)
        ),
        loss=partial(_losses, smoothing=config.label_smoothing),
        clip=partial(_clip, population, parameters, config.clip_norm),
        config=config,
        device=device,
        precision=choice.precision,
        layout=choice.layout,
        training={**training, "choice": [choice.precision, choice.layout]},
    )


def _identity(
    population: Population,
    seeds: Sequence[int],
    dataset: Dataset,
    config: TrainingConfig,
) -> dict[str, object]:
    shapes = {name: list(t.shape) for name, t in population.state_dict().items()}
    return identity(
        members=len(seeds),
        seeds=list(seeds),
        recipe=asdict(config),
        images=dataset.fingerprint,
        network=shapes,
    )


def population_state(run: Run, members: int) -> State:
    """A training before its first step, with a sum of losses for each member."""
    optimizer = optimizer_of(run.network, run.config)
    total = torch.zeros(members, device=run.device)
    return State(run.network, optimizer, run.device, total)


def holding_all_memory(
    run: Run, wait: Callable[[], None]
) -> AbstractContextManager[None]:
    """The memory of all members reserved among all that share the device.

    Args:
        run: of a population.
        wait: called between two looks whether there is room; what it raises gives up.
    """
    assert isinstance(run.network, Population)
    return holding_memory(replace(run, network=_OfOne(run.network)), 1, wait)


class _OfOne(nn.Module):
    """A population that takes the images of one network."""

    def __init__(self, population: Population) -> None:
        super().__init__()
        self.population = population

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.population(
            images.repeat(1, self.population.members, 1, 1)
        )
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class _SideBySide:
    """Batches of several trainings side by side: images by channels, labels in rows."""

    members: tuple[Batches, ...]

    @property
    def dataset(self) -> Dataset:
        """Whose images they are."""
        return self.members[0].dataset

    @property
    def size(self) -> int:
        """Images of a batch of one member."""
        return self.members[0].size

    @property
    def steps(self) -> int:
        """Batches of one epoch."""
        return self.members[0].steps

    def epoch(
        self, index: int, *, first: int = 0, count: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images `(batch, members * channels, ...)` and labels `(batch, members)`."""
        layout = FORMATS[self.members[0].preparation.layout]
        own = [each.epoch(index, first=first, count=count) for each in self.members]
        for batches in zip(*own, strict=True):
            images = torch.cat([images for images, _ in batches], 1)
            labels = torch.stack([labels for _, labels in batches], 1)
            yield images.contiguous(memory_format=layout), labels


def _losses(scores: Tensor, labels: Tensor, *, smoothing: float) -> Tensor:
    """Mean loss of each member, from scores `(batch, members, classes)`."""
    each = cross_entropy(
        scores.transpose(1, 2), labels, label_smoothing=smoothing, reduction="none"
    )
    return each.mean(0)


@torch.no_grad()
def _clip(
    population: Population, parameters: Sequence[nn.Parameter], norm: float
) -> None:
    """Cut the gradient of each member to a norm, as `nn.utils.clip_grad_norm_` does."""
    parts = [population.split(p.grad) for p in parameters if p.grad is not None]
    norms = [torch.linalg.vector_norm(g, dim=tuple(range(1, g.ndim))) for g in parts]
    total = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    factor = (norm / (total + 1e-6)).clamp(max=1.0)
    for part in parts:
        part.mul_(factor.view(-1, *[1] * (part.ndim - 1)))


def members_at_once(
    network: nn.Module,
    dataset: Dataset,
    config: TrainingConfig,
    *,
    members: int,
    device: torch.device,
    poll: Callable[[], None] | None = None,
) -> int:
    """How many of the networks train fastest at the same time; 1 is one by one.

    A deterministic recipe is not timed, and trains them one by one.

    Args:
        network: of the architecture; it is left as it is.
        dataset: to train on.
        config: how to train.
        members: networks to train.
        device: where.
        poll: called between two timings; what it raises ends them.
    """
    if members < 2 or config.deterministic or not _composable(network):
        return 1
    most = members_that_fit(network, dataset, config, device)
    sizes = [n for n in sorted({*_SIZES, members}) if n <= min(most, members)]
    if not sizes:
        return 1
    shape = f"{dataset.input_shape} x {config.batch_size} x {members}"
    key = f"population | {place(device)} | {kind(network)} | {shape}"
    made = partial(_timed_run, network, dataset, config, device)
    trials = {
        str(n): _Trial(n, members, partial(made, n), poll or _go_on)
        for n in (1, *sizes)
    }
    with seeded(0, device), keeping_freed_memory():
        if device.type == "cpu" and min(trials["1"].step() for _ in "12") > _LONG:
            return 1
        return int(fastest(key, trials, default="1", margin=_MARGIN))


def members_that_fit(
    network: nn.Module, dataset: Dataset, config: TrainingConfig, device: torch.device
) -> int:
    """How many of the networks memory holds at the same time; at least 1.

    Args:
        network: of the architecture; it is left as it is.
        dataset: to train on.
        config: how to train.
        device: where.
    """
    each = predicted_bytes(
        copy.deepcopy(network).to(device),
        dataset.input_shape,
        min(config.batch_size, len(dataset.train_labels)),
        precision="bf16" if config.precision == "bf16" else "fp32",
    )
    return max(1, int(available_bytes(device) / (correction(device) * each)))


def _composable(network: nn.Module) -> bool:
    try:
        Population([network])
    except ValueError:
        return False
    return True


def _timed_run(
    network: nn.Module,
    dataset: Dataset,
    config: TrainingConfig,
    device: torch.device,
    members: int,
) -> Run:
    """A training of copies of a network, as it would be with so many members."""
    copies = [copy.deepcopy(network) for _ in range(members)]
    if members == 1:
        run, _, _ = prepared(copies[0], dataset, config, seed=0, device=device)
        return run
    return population_run(copies, range(members), dataset, config, device)


class _Trial:
    """As many steps as there are networks, some at once; prepared at the first call."""

    def __init__(
        self,
        at_once: int,
        members: int,
        made: Callable[[], Run],
        poll: Callable[[], None],
    ) -> None:
        self._made = made
        self._poll = poll
        self._at_once = at_once
        self._rounds = -(-members // at_once)
        self._ready: tuple[Run, State, Tensor, Tensor] | None = None

    def __call__(self) -> None:
        for _ in range(self._rounds):
            self.step()

    def step(self) -> float:
        """Take one step; the seconds of it."""
        self._poll()
        if self._ready is None:
            run = self._made()
            state = population_state(run, self._at_once)
            self._ready = run, state, *next(run.batches.epoch(1))
        run, state, images, labels = self._ready
        start = time.perf_counter()
        take_step(run, state, images, labels)
        state.total.sum().item()  # waits for the device
        return time.perf_counter() - start


def _go_on() -> None:
    """Nothing ends the timings."""
