"""Freed memory is kept for a while, and then given back."""

import json
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="glibc alone can be told"
)
BYTES = 64 * 2**20
#: in a process of its own: what others have freed there would answer
MEASURE = """
import json, resource, sys
from pathlib import Path
import torch
from nasdepth.training.allocator import keeping_freed_memory

size = int(sys.argv[1])
def fill(size=size):
    torch.ones(size, dtype=torch.uint8)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()

fill(1)  # what the first tensor of a process loads is not looked at
start = resident()
with keeping_freed_memory():
    fill()
    inside = resident()
    before = faults()
    for _ in range(20):
        fill()
    taken = (faults() - before) * resource.getpagesize()
after = resident()
fill(3 * size)  # more than the hole that the others have left
print(json.dumps({"taken": taken, "inside": inside - start, "after": after - start,
                  "later": resident() - after}))
"""


@pytest.fixture(scope="module")
def measured() -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(BYTES)],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_inside_few_pages_are_taken_twice(measured: dict[str, int]) -> None:
    # small blocks may come to lie in what was freed, so that it is too short once
    assert measured["taken"] < 20 * BYTES / 3


def test_afterwards_the_memory_is_given_back(measured: dict[str, int]) -> None:
    assert measured["inside"] > BYTES / 2
    assert measured["after"] < BYTES / 5


def test_afterwards_large_blocks_are_given_back_at_once(
    measured: dict[str, int],
) -> None:
    assert measured["later"] < BYTES / 10
