"""What works here and what does not: versions, devices, storage, data sets."""

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version

import torch

from nasdepth import __version__
from nasdepth.search.storage import existing_storage
from nasdepth.training.datasets import DATASETS
from nasdepth.training.device import pick_precision

_PACKAGES = ("torch", "torchvision", "optuna", "optuna-dashboard", "numpy")


def examine(storage: str) -> list[dict[str, str]]:
    """One row for each thing examined: what, state, detail."""
    return [
        _row("python", "ok", f"{platform.python_version()} on {sys.platform}"),
        _row("nasdepth", "ok", __version__),
        *map(_package, _PACKAGES),
        *_devices(),
        _storage(storage),
        *_datasets(),
    ]


def _row(what: str, state: str, detail: str) -> dict[str, str]:
    return {"what": what, "state": state, "detail": detail}


def _package(name: str) -> dict[str, str]:
    try:
        return _row(name, "ok", version(name))
    except PackageNotFoundError:
        return _row(name, "missing", f"pip install {name}")


def _devices() -> list[dict[str, str]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    cpu = torch.device("cpu")
    detail = f"{cores or os.cpu_count()} usable cores, {pick_precision('auto', cpu)}"
    rows = [_row("cpu", "ok", detail)]
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        name = torch.cuda.get_device_name(device)
        rows.append(
            _row(f"cuda:{index}", "ok", f"{name}, {pick_precision('auto', device)}")
        )
    if len(rows) == 1:
        rows.append(_row("cuda", "none", "trainings run on the CPU"))
    return rows


def _storage(url: str) -> dict[str, str]:
    start = time.perf_counter()
    try:
        existing_storage(url)
    except ValueError as error:
        return _row("storage", "fails", str(error))
    took = 1000 * (time.perf_counter() - start)
    return _row("storage", "ok", f"{url}, opened in {took:.0f} ms")


def _datasets() -> list[dict[str, str]]:
    rows = []
    for name, entry in DATASETS.items():
        told = entry.available()
        here = told.startswith(("found", "comes", "any"))
        rows.append(_row(name, "ok" if here else "absent", told))
    return rows
