"""The one table of responses: what is explained, on which scale, larger is better."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import stats

from nasdepth.architecture.registry import Registry
from nasdepth.statistics.linear import Vector

Transform: TypeAlias = Callable[[Vector, Vector], Vector]


@dataclass(frozen=True, slots=True)
class Response:
    """One row of the table.

    Attributes:
        name: Key in a preregistration.
        column: Outcome it is made of.
        label: In words, after "minus log error"-like phrases: "goes with higher …".
        transform: Values and evaluation images of each row to the response.
        gain: What a larger value means, in words.
    """

    name: str
    column: str
    label: str
    transform: Transform
    gain: str = "higher accuracy"


RESPONSES = Registry[Response]("response")
#: the primary response of accuracy, and what it is repeated on
ACCURACY = ("log_error", "accuracy", "rank")


def response_named(name: str) -> Response:
    """Row of the table; a name outside it is a column taken as it is."""
    if name in RESPONSES:
        return RESPONSES[name]
    words = name.replace("_", " ")
    return Response(name, name, words, lambda values, _: values, f"larger {words}")


def minus_log_error(accuracy: Vector, images: Vector) -> Vector:
    """Minus the natural logarithm of the error, clipped at half an image.

    Args:
        accuracy: Accuracies in [0, 1].
        images: Images behind each; where it is 0 (unknown) the error is clipped at
            half the smallest one seen.
    """
    error = 1 - accuracy
    seen = error[error > 0]
    least = float(seen.min()) / 2 if seen.size else 0.5
    floor = np.where(images > 0, 0.5 / np.maximum(images, 1), least)
    return np.asarray(-np.log(np.maximum(error, floor)))


def _ranks(values: Vector, images: Vector) -> Vector:
    known = ~np.isnan(values)
    ranks = np.full(len(values), np.nan)
    ranks[known] = stats.rankdata(values[known])
    return ranks


def _minus_log(values: Vector, images: Vector) -> Vector:
    return np.asarray(-np.log(np.where(values > 0, values, np.nan)))


_ROWS = (
    Response("log_error", "accuracy", "minus log error", minus_log_error),
    Response("accuracy", "accuracy", "accuracy", lambda values, _: values),
    Response("rank", "accuracy", "the rank of accuracy", _ranks),
    Response(
        "validation_loss",
        "validation_loss",
        "minus log validation loss",
        _minus_log,
        "lower validation loss",
    ),
    Response(
        "train_loss",
        "train_loss",
        "minus log training loss",
        _minus_log,
        "lower training loss",
    ),
    Response(
        "epochs_to_threshold",
        "epochs_to_threshold",
        "minus log epochs to the threshold",
        _minus_log,
        "fewer epochs to the threshold",
    ),
    Response(
        "diverged",
        "diverged",
        "minus the share of diverged trainings",
        lambda values, _: -values,
        "fewer diverged trainings",
    ),
    Response(
        "generalization_gap",
        "generalization_gap",
        "minus the generalisation gap",
        lambda values, _: -values,
        "a smaller generalisation gap",
    ),
    Response(
        "gradient_slope",
        "gradient_slope",
        "minus |slope of log gradient norm a layer|",
        lambda values, _: -np.abs(values),
        "less gradient attenuation",
    ),
)
for _row in _ROWS:
    RESPONSES.register(_row.name)(_row)

#: outcomes of a training, by column: what is no predictor
OUTCOMES = frozenset(row.column for row in _ROWS) | {
    "train_accuracy",
    "initial_gradient_slope",
    "largest_learning_rate",
}
