"""Freed memory is kept for a while, and then given back."""

import platform
import resource
from pathlib import Path

import pytest
import torch

from nasdepth.training.allocator import keeping_freed_memory

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="glibc alone can be told"
)
BYTES = 64 * 2**20


def fill() -> None:
    torch.ones(BYTES, dtype=torch.uint8)


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_inside_few_pages_are_taken_twice() -> None:
    with keeping_freed_memory():
        fill()
        before = faults()
        for _ in range(20):
            fill()
        taken = faults() - before

    # small blocks may come to lie in what was freed, so that it is too short once
    assert taken < 20 * BYTES / resource.getpagesize() / 3


def test_afterwards_the_memory_is_given_back() -> None:
    before = resident()
    with keeping_freed_memory():
        fill()
        inside = resident()

    assert inside - before > BYTES / 2
    assert resident() - before < BYTES / 10


def test_afterwards_large_blocks_are_given_back_at_once() -> None:
    with keeping_freed_memory():
        fill()
    before = resident()

    fill()

    assert resident() - before < BYTES / 10
