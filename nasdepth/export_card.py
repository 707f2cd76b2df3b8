"""The card of an exported network: its README.md."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, Final

_NAMED: Final = 20  # classes named on the card
_TEST_WORDS: Final = " The test images had no part in choosing or training it."
_NORMAL_95: Final = 1.959964


def card(
    classes: Sequence[str],
    input_shape: tuple[int, int, int],
    metrics: Mapping[str, Any],
) -> str:
    """Markdown text of the card.

    Args:
        classes: names in the order of the scores.
        input_shape: `(channels, height, width)` of what the network sees.
        metrics: the content of `metrics.json`.
    """
    low, high = metrics["interval_95"]
    numbers = metrics["measures"]
    validation = metrics["validation"]
    check = metrics["check"]
    rows = {
        "data": metrics["dataset"],
        f"{metrics['split']} accuracy": (
            f"**{metrics['accuracy']:.2%}** of {metrics['images']:,} images "
            f"(95 % Wilson interval {low:.2%} to {high:.2%})"
        ),
        "validation accuracy": (
            f"{validation['fp32']:.2%} of {validation['images']:,} images, "
            f"{validation['recorded']:.2%} recorded in training"
        ),
        "parameters": f"{numbers['params']:,.0f}",
        "multiply-accumulates an image": f"{numbers['macs']:,.0f}",
        "nominal depth": _number(numbers["nominal_depth"]),
        "weighted layers": _number(numbers["weighted_layers"]),
        "effective depth": _number(numbers["effective_depth"]),
        "NN-Mass": _number(numbers["nn_mass"]),
        **{str(name): f"`{value}`" for name, value in metrics["provenance"].items()},
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    channels, height, width = input_shape
    colour = "grey" if channels == 1 else "colour"
    names = ", ".join(classes[:_NAMED])
    more = len(classes) - _NAMED
    return _CARD.format(
        dataset=metrics["dataset"],
        count=len(classes),
        classes=f"{names} and {more} more" if more > 0 else names,
        colour=colour,
        size=f"{height} x {width}",
        table=table,
        split=metrics["split"],
        read="; the test set was read for this alone"
        if metrics["split"] == "test"
        else "",
        compared=check["compared_images"],
        difference=f"{check['largest_score_difference']:.1g}",
        device=check["device"],
    )


def wilson_interval(right: int, images: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, doi:10.2307/2276774).

    >>> [round(end, 3) for end in wilson_interval(90, 100)]
    [0.826, 0.945]
    """
    share, z = right / images, _NORMAL_95**2 / images
    centre = (share + z / 2) / (1 + z)
    half = sqrt(z * (share * (1 - share) + z / 4)) / (1 + z)
    return max(0.0, centre - half), min(1.0, centre + half)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


_CARD: Final = """# A network for {dataset}

An image classifier for {colour} images, scaled to {size} pixels, trained with
nasdepth. The folder works without it.

![architecture](architecture.svg)

{count} classes: {classes}.

## Use

It needs Python with `torch`, `safetensors` and `pillow`.

    python model.py image.png [more.png ...] --top 3

or, from Python in this folder:

    from model import load, preprocess
    scores = load()(preprocess("image.png"))

## Numbers

| | |
| --- | --- |
{table}

The {split} accuracy is that of these weights in fp32{read}.
All measures are in `metrics.json`.

## Checked when it was written

In a process without nasdepth, `model.py` gave the scores of the trained network on
{compared} {split} images (fp32, {device}); the largest difference is {difference}.
The recorded validation accuracy was reproduced.

## Files

| file | content |
| --- | --- |
| `model.py` | the network, its preparation of images, a command line |
| `model.safetensors` | weights |
| `config.json` | classes, sizes, normalisation |
| `architecture.json` | the architecture, for nasdepth |
| `architecture.svg` | its picture |
| `metrics.json` | accuracy, measures, what was checked |
"""
