"""Facts about usable cores: the mask, the quotas of both versions, the containers."""

import os
from pathlib import Path

import pytest
import torch

from nasdepth.training.memory import available_bytes
from nasdepth.training.processors import (
    CONTEXT_BYTES,
    MOST_GPU_WORKERS,
    control_folders,
    cpu_quota,
    default_workers,
    limit,
    usable_cores,
)

UNIFIED = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
DIVIDED = (
    "34 31 0:31 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
)


@pytest.fixture
def cores(monkeypatch):
    """Eight cores in the affinity mask."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def machine(root: Path, memberships: str, mounts: str, **files: str) -> Path:
    """Root of a file system with those cgroups."""
    own = root / "proc/self"
    own.mkdir(parents=True)
    (own / "cgroup").write_text(memberships)
    (own / "mountinfo").write_text(f"22 1 8:1 / / rw - ext4 /dev/sda rw\n{mounts}")
    (root / "sys/fs/cgroup").mkdir(parents=True)
    for place, text in files.items():
        file = root / "sys/fs/cgroup" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def unified(root: Path, group: str, top: str = "/", **files: str) -> Path:
    return machine(root, f"0::{group}\n", UNIFIED.format(top=top), **files)


def divided(root: Path, group: str, top: str = "/", **files: str) -> Path:
    rows = f"4:memory:/elsewhere\n2:cpu,cpuacct:{group}\n0::/\n"
    return machine(root, rows, DIVIDED.format(top=top), **files)


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    place = f"cpu,cpuacct/{folder}".rstrip("/")
    return {
        f"{place}/cpu.cfs_quota_us": f"{quota}\n",
        f"{place}/cpu.cfs_period_us": f"{period}\n",
    }


def test_cores_of_this_process_are_some_of_the_machine():
    assert 1 <= usable_cores() <= os.cpu_count()


def test_mask_counts_and_not_the_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5, 7})

    assert usable_cores(tmp_path) == 3


def test_machine_without_a_mask_counts_its_cores(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)

    assert usable_cores(tmp_path) == 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("0 100000\n", 1),
        ("3200000 100000\n", 8),
        ("max 100000\n", 8),
        ("nonsense\n", 8),
        ("", 8),
    ],
)
@pytest.mark.usefixtures("cores")
def test_quota_of_version_2_bounds_the_cores(tmp_path, text, expected):
    root = unified(tmp_path, "/job", **{"job/cpu.max": text})

    assert usable_cores(root) == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [(300_000, 3), (250_000, 3), (1_000, 1), (-1, 8), (0, 8)]
)
@pytest.mark.usefixtures("cores")
def test_quota_of_version_1_bounds_the_cores(tmp_path, quota, expected):
    root = divided(tmp_path, "/job", **v1("job", quota))

    assert usable_cores(root) == expected


def test_tightest_of_all_groups_above_counts(tmp_path):
    files = {
        "a/b/c/cpu.max": "max 100000",
        "a/b/cpu.max": "250000 100000",
        "a/cpu.max": "400000 100000",
    }

    assert cpu_quota(unified(tmp_path, "/a/b/c", **files)) == 2.5


def test_groups_of_others_do_not_count(tmp_path):
    files = {"job/cpu.max": "max 100000", "other/cpu.max": "100000 100000"}

    assert cpu_quota(unified(tmp_path, "/job", **files)) is None


def test_both_versions_count_where_both_are_mounted(tmp_path):
    rows = "2:cpu,cpuacct:/job\n0::/user\n"
    other = UNIFIED.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
    mounts = DIVIDED.format(top="/") + other.format(top="/")
    files = v1("job", 400_000) | {"unified/user/cpu.max": "300000 100000"}

    assert cpu_quota(machine(tmp_path, rows, mounts, **files)) == 3


def test_container_whose_group_is_mounted_as_the_top_is_found(tmp_path):
    root = divided(tmp_path, "/docker/7", top="/docker/7", **v1("", 200_000))

    assert cpu_quota(root) == 2


def test_part_of_a_container_is_found_below_its_top(tmp_path):
    files = v1("", 800_000) | v1("job", 300_000)
    root = divided(tmp_path, "/docker/7/job", top="/docker/7", **files)

    assert cpu_quota(root) == 3


@pytest.mark.parametrize("group", ["/../outside", "/not/shown/here"])
def test_group_outside_of_what_is_mounted_leaves_the_top(tmp_path, group):
    files = {"cpu.max": "200000 100000", "../outside/cpu.max": "100000 100000"}
    root = unified(tmp_path, group, **files)

    assert cpu_quota(root) == 2


def test_folders_go_from_the_own_group_up_to_the_mount(tmp_path):
    root = unified(tmp_path, "/a/b", **{"a/b/cpu.max": "max 100000"})
    top = root / "sys/fs/cgroup"

    assert control_folders("cpu", root) == (top / "a/b", top / "a", top)


def test_folders_are_those_of_the_controller(tmp_path):
    root = divided(tmp_path, "/job", **v1("job", 100_000))

    assert control_folders("memory", root) == ()


def test_machine_without_cgroups_has_no_quota(tmp_path):
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4096\n", 4096), ("max\n", None), ("-1", None), ("9223372036854771712", None)],
)
def test_limit_is_a_number_below_the_largest(tmp_path, text, expected):
    (tmp_path / "memory.max").write_text(text)

    assert limit(tmp_path, "memory.max") == expected


@pytest.mark.usefixtures("cores")
def test_processor_has_a_worker_a_core(tmp_path):
    root = unified(tmp_path, "/job", **{"job/cpu.max": "300000 100000"})

    assert default_workers(torch.device("cpu"), free=2**50, root=root) == 3


@pytest.mark.usefixtures("cores")
def test_each_worker_has_its_own_images(tmp_path):
    cpu, free = torch.device("cpu"), 2**34

    few, many, huge = (
        default_workers(cpu, free=free, images=count, root=tmp_path)
        for count in (2**20, 2**30, 2**40)
    )

    assert (few, many, huge) == (8, 4, 1)


@pytest.mark.parametrize(
    ("count", "expected"), [(0.5, 1), (1, 1), (3.9, 3), (7, 7), (100, 8)]
)
@pytest.mark.usefixtures("cores")
def test_gpu_has_the_workers_whose_memory_fits(tmp_path, count, expected):
    predicted = 2**30
    free = int(count * (predicted + CONTEXT_BYTES))

    workers = default_workers(
        torch.device("cuda"), predicted=predicted, free=free, root=tmp_path
    )

    assert workers == expected


def test_gpu_has_no_more_workers_than_cores_or_the_most(monkeypatch, tmp_path):
    cuda = torch.device("cuda")

    for present, expected in ((2, 2), (64, MOST_GPU_WORKERS)):
        mask = set(range(present))
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, mask=mask: mask)
        assert default_workers(cuda, free=2**50, root=tmp_path) == expected


@pytest.mark.gpu
def test_free_memory_of_the_gpu_is_asked_for():
    cuda = torch.device("cuda")

    assert default_workers(cuda, free=available_bytes(cuda)) >= 1
