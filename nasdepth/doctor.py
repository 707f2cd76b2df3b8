"""What works here and what does not: versions, devices, storage, data sets."""

import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version

import torch

from nasdepth import __version__
from nasdepth.search.storage import existing_storage
from nasdepth.training.datasets import DATASETS
from nasdepth.training.device import pick_precision
from nasdepth.training.memory import available_bytes, total_bytes
from nasdepth.training.processors import cpu_quota, usable_cores

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
    cpu = torch.device("cpu")
    cores = f"{usable_cores()} usable cores{_quota(cpu_quota())}"
    detail = f"{cores}, {pick_precision('auto', cpu)}, {_products()}, {_memory(cpu)}"
    rows = [_row("cpu", "ok", detail)]
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        name = torch.cuda.get_device_name(device)
        detail = f"{name}, {pick_precision('auto', device)}, {_memory(device)}"
        rows.append(_row(f"cuda:{index}", "ok", detail))
    if len(rows) == 1:
        rows.append(_row("cuda", "none", "trainings run on the CPU"))
    return rows


def _quota(cores: float | None) -> str:
    return "" if cores is None else f" (a cgroup allows {cores:g})"


def _products() -> str:
    """What the CPU multiplies in bf16 with."""
    units = {
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AVX-512": torch.cpu._is_avx512_bf16_supported(),
    }
    found = [name for name, present in units.items() if present]
    return f"bf16 by {' and '.join(found)}" if found else "no bf16"


def _memory(device: torch.device) -> str:
    sizes = (available_bytes(device) / 2**30, total_bytes(device) / 2**30)
    return "{:.1f} of {:.1f} GiB free".format(*sizes)


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
