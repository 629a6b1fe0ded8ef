"""Free memory goes back to the system, and not too often."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from node.driver.allocator import TRIM_MS, Allocator

GLIBC = getattr(ctypes.CDLL(None), "malloc_trim", None) is not None

HOLES = """
import ctypes, sys
from node.driver.allocator import Allocator

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

blocks = [bytes(9_000) for _ in range(8_000)]  # below the size for which the C library maps pages of their own
kept = blocks[::8]
del blocks
before = resident()
assert Allocator().trim(1)
print(before - resident())
"""


@pytest.mark.skipif(not GLIBC, reason="this C library has no malloc_trim")
def test_pages_between_blocks_that_stay_are_given_back() -> None:
    """Without it the 63 MB between the kept blocks stay with the process, because the top of the heap is in use."""
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ)
    )
    assert int(done.stdout) > 30_000_000


def test_it_is_asked_for_once_in_a_while_only() -> None:
    allocator = Allocator()
    asked = [allocator.trim(now * 1_000_000) for now in (1, 2, TRIM_MS, TRIM_MS + 1, TRIM_MS + 2)]
    assert asked == ([True, False, False, True, False] if GLIBC else [False] * 5)
