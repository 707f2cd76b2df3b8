"""How to train, and what training returns: plain values."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

from nasdepth.training.augment import Augmentation
from nasdepth.training.device import Precision
from nasdepth.training.schedule import Kind, rungs

_CHOICES = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("wsd", "one-cycle", "cosine", "constant"),
    "precision": ("auto", "fp32", "bf16"),
}


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train a network.

    The defaults are for short runs of small networks. Validation accuracy after 4
    epochs of 8,000 images of Fashion-MNIST: residual, 96 k parameters, 0.809; with
    label smoothing 0.827; and with clipping 0.835. Six plain convolutions without norm,
    with label smoothing: 0.629, and with clipping 0.798.

    Args:
        epochs: passes over the training images.
        batch_size: images of one step.
        optimizer: "sgd" is with Nesterov momentum.
        learning_rate: peak of the schedule; 0.1 suits "sgd" with 128 images a batch,
            0.002 "adamw".
        momentum: of "sgd".
        weight_decay: not applied to biases and norm parameters.
        schedule: see `schedule.py`.
        warmup: share of the steps in which the rate rises.
        decay: share of the steps in which the rate of "wsd" falls to 0.
        label_smoothing: share of the target spread over all classes.
        clip_norm: largest norm of the gradient; 0 = not clipped.
        precision: "auto" follows the hardware, see `device.py`.
        augment: whether training images are augmented at all.
        flip: overrides the data set's default.
        shift: overrides the data set's default, in pixels.
        cutout: overrides the data set's default, in pixels.
        rungs: epochs at whose end trainings are compared; empty for those of
            `schedule.rungs`.
        cooldown: share of the steps up to a rung in which a branch of the training
            lets the rate fall to 0, to judge the rung by; the training itself goes on
            from before the branch. 0 judges by averaged weights.
        halvings: times that a training whose loss is no longer finite goes back to
            its last epoch and on with half the rate.
        deterministic: whether two processes give the same bits; nothing is timed then.
        compile: whether `torch.compile` makes the step: 4 to 38 s a network.
        cuda_graph: whether CUDA replays the step as one graph, which helps where it is
            shorter than 2 ms; elsewhere nothing changes. Not yet run on a GPU.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "allow_inf_nan": False,
    }

    epochs: int = 9
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Kind = "wsd"
    warmup: float = 0.1
    decay: float = 0.25
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    precision: Precision = "auto"
    augment: bool = True
    flip: bool | None = None
    shift: int | None = None
    cutout: int | None = None
    rungs: tuple[int, ...] = ()
    cooldown: float = 0.0
    halvings: int = 1
    deterministic: bool = False
    compile: bool = False
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            rule = f"one of {', '.join(choices)}"
            self._require(field, getattr(self, field) in choices, rule)
        self._require("epochs", self.epochs >= 1, "at least 1")
        # Batch norm needs two values of each channel.
        self._require("batch_size", self.batch_size >= 2, "at least 2")
        self._require("learning_rate", self.learning_rate > 0, "above 0")
        self._require("momentum", 0 <= self.momentum < 1, "in [0, 1)")
        self._require("weight_decay", self.weight_decay >= 0, "at least 0")
        self._require("warmup", 0 <= self.warmup < 1, "in [0, 1)")
        self._require("decay", 0 <= self.decay <= 1, "in [0, 1]")
        self._require("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)")
        self._require("clip_norm", self.clip_norm >= 0, "at least 0")
        self._require("cooldown", 0 <= self.cooldown < 1, "in [0, 1)")
        wsd = self.schedule == "wsd" or self.cooldown == 0
        self._require("cooldown", wsd, "0 with a schedule other than wsd")
        self._require("halvings", self.halvings >= 0, "at least 0")
        rising = all(a < b for a, b in pairwise((0, *self.rungs)))
        self._require("rungs", rising, "epochs that rise from at least 1")
        inside = max(self.rungs, default=0) <= self.epochs
        self._require("rungs", inside, f"at most the {self.epochs} epochs")
        if self.optimizer == "adamw":
            rule = "at most 0.05 with optimizer 'adamw'"
            self._require("learning_rate", self.learning_rate <= 0.05, rule)
        Augmentation(shift=self.shift or 0, cutout=self.cutout or 0)

    def rung_epochs(self, steps: int) -> tuple[int, ...]:
        """Epochs at whose end the training is compared; the last is the end.

        Args:
            steps: of one epoch.
        """
        if not self.rungs:
            return rungs(self.epochs, steps)
        return tuple(sorted({*self.rungs, self.epochs}))

    def augmentation(self, default: Augmentation) -> Augmentation:
        """What is drawn for each batch: the default, overridden field by field."""
        if not self.augment:
            return Augmentation()
        return Augmentation(
            flip=default.flip if self.flip is None else self.flip,
            shift=default.shift if self.shift is None else self.shift,
            cutout=default.cutout if self.cutout is None else self.cutout,
        )

    def _require(self, field: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(
                f"TrainingConfig.{field} must be {rule}, but got "
                f"{field}={getattr(self, field)!r}."
            )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a network is worth on some images.

    Args:
        accuracy: share of images whose most likely class is right, in [0, 1].
        loss: mean cross-entropy in nats, without label smoothing.
    """

    accuracy: float
    loss: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images.

    Args:
        index: from 1.
        loss: mean training loss in nats.
        validation_accuracy: in [0, 1]; while the rate of "wsd" is high of averaged
            weights, at a rung of those of its last half.
        validation_loss: in nats.
        seconds: wall time, with the validation.
        images_per_second: of the training alone.
    """

    index: int
    loss: float
    validation_accuracy: float
    validation_loss: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A finished training.

    Args:
        curve: one value an epoch.
        accuracy: of the final weights on the validation images, in [0, 1].
        seconds: wall time.
        images_per_second: of the training alone.
        peak_memory_bytes: allocated on the device at most; 0 on the CPU.
        precision: what "auto" came to.
        layout: of images and weights.
        parts: micro-batches of a step; above 1 where memory did not hold a batch.
        halvings: times that the rate was halved because the training had diverged.
    """

    curve: tuple[Epoch, ...]
    accuracy: float
    seconds: float
    images_per_second: float
    peak_memory_bytes: int
    precision: Literal["fp32", "bf16"]
    layout: Literal["nchw", "channels_last"]
    parts: int
    halvings: int


class Diverged(ArithmeticError):
    """The loss became infinite or not a number.

    Args:
        epoch: index, from 1, of the epoch in which it did.
        curve: the epochs before.
    """

    def __init__(self, epoch: int, curve: tuple[Epoch, ...]) -> None:
        super().__init__(epoch, curve)
        self.epoch = epoch
        self.curve = curve

    def __str__(self) -> str:
        return f"The loss became non-finite in epoch {self.epoch}."


class DoesNotFit(ArithmeticError):
    """A batch does not fit into memory, in however small parts.

    Args:
        parts: the most that were tried or reckoned with.
        text: what is known: predicted and available bytes, or the allocator's words.
    """

    def __init__(self, parts: int, text: str) -> None:
        super().__init__(parts, text)
        self.parts = parts
        self.text = text

    def __str__(self) -> str:
        return f"A batch in {self.parts} parts exceeds memory: {self.text}"


class Stopped(BaseException):
    """A training was asked to stop; its checkpoint, where it has one, is written.

    No `Exception`: what catches faults must let it pass, like `KeyboardInterrupt`.
    """
