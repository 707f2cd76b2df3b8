"""How many cores this process may use: the affinity mask and the quota of its cgroups.

Control groups are read as the kernel shows them in `/proc/self`: version 2 (one
hierarchy, `cpu.max`) and version 1 (one a controller, `cpu.cfs_quota_us`). A limit
holds for all groups below, so every group from the own one up to the mount counts.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import torch

ROOT: Final = Path("/")
#: workers of one GPU at most: more share its scheduler without filling it further
MOST_GPU_WORKERS: Final = 8
#: what one process holds of a GPU before it trains, the context and the kernels of its
#: libraries; an allowance, not measured
CONTEXT_BYTES: Final = 600 * 2**20
# Predicted of a residual network of widths 32-64-128, 128 images of 32x32, in fp32.
_TYPICAL_BYTES: Final = 400 * 2**20
# Resident of a worker on the CPU between two trainings: torch, optuna, pictures.
_PROCESS_BYTES: Final = 900 * 2**20
# Images as they are, with their borders, and room to make one from the other.
_COPIES: Final = 2.5


def usable_cores(root: Path = ROOT) -> int:
    """Cores that this process may keep busy; a part of a core counts as one.

    Args:
        root: of the file system that tells the quota.
    """
    quota = cpu_quota(root)
    present = _affinity()
    return present if quota is None else max(1, min(present, math.ceil(quota)))


def cpu_quota(root: Path = ROOT) -> float | None:
    """Cores that the cgroups allow on the average, or None where they set no limit.

    Args:
        root: of the file system that tells it.
    """
    found = [_quota(folder) for folder in control_folders("cpu", root)]
    return min((quota for quota in found if quota is not None), default=None)


def control_folders(controller: str, root: Path = ROOT) -> tuple[Path, ...]:
    """Folders of this process's cgroups for a controller, the own ones first.

    Args:
        controller: "cpu" or "memory".
        root: of the file system to look in.
    """
    own = dict(_memberships(root))
    folders: list[Path] = []
    for mount in _mounts(root):
        # version 2 is the one hierarchy of all controllers: its name is empty
        name = "" if mount.unified else controller
        if name in own and (mount.unified or controller in mount.controllers):
            folders += _upwards(root / mount.place.lstrip("/"), mount.top, own[name])
    return tuple(folders)


def default_workers(
    device: torch.device,
    *,
    free: int,
    images: int = 0,
    predicted: int = _TYPICAL_BYTES,
    threads: int = 1,
    root: Path = ROOT,
) -> int:
    """Processes that fill a device: one a usable core, as far as memory allows.

    Args:
        device: where the workers train.
        free: bytes free on the device.
        images: bytes of the data set, of which each process has its own.
        predicted: bytes of a typical training, without the process's own.
        threads: of each process.
        root: of the file system that tells the quota.
    """
    cuda = device.type == "cuda"
    own = CONTEXT_BYTES if cuda else _PROCESS_BYTES
    fitting = int(free // (own + predicted + _COPIES * images))
    cores = max(1, usable_cores(root) // threads)
    return max(1, min(cores, fitting, MOST_GPU_WORKERS if cuda else cores))


def limit(folder: Path, name: str) -> int | None:
    """The number in a file of a cgroup, or None: no file, no number, or no limit."""
    try:
        number = int((folder / name).read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    # version 1 says "no limit" by -1, or by the largest multiple of a page
    return number if 0 <= number < 2**62 else None


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(folder: Path) -> float | None:
    """Cores that one cgroup allows."""
    try:
        allowed, period = (folder / "cpu.max").read_text().split()
        return None if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    quota = limit(folder, "cpu.cfs_quota_us")
    span = limit(folder, "cpu.cfs_period_us")
    return quota / span if quota and span else None


def _memberships(root: Path) -> Iterator[tuple[str, str]]:
    """Controller ("" in version 2) and path of each cgroup that holds this process."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        yield from ((controller, path) for controller in controllers.split(","))


@dataclass(frozen=True, slots=True)
class _Mount:
    """A hierarchy of cgroups in the file system, and the group at its top."""

    unified: bool
    top: str
    place: str
    controllers: tuple[str, ...]


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.partition(" ")
        if kind in ("cgroup", "cgroup2"):
            top, place = before.split()[3:5]
            controllers = tuple(options.split()[-1].split(","))
            yield _Mount(kind == "cgroup2", top, place, controllers)


def _upwards(mount: Path, top: str, group: str) -> list[Path]:
    """Folders from a group's up to the mount, whose top may be a group itself.

    A container may see its own group as the top without knowing it: folders that its
    membership names are then missing, or would lie above, and the mount is its group.
    """
    path = PurePosixPath(group)
    inside = path.relative_to(top if path.is_relative_to(top) else "/")
    if ".." in inside.parts:
        return [mount]
    folder = mount / inside
    return [each for each in (folder, *folder.parents) if each.is_relative_to(mount)]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
