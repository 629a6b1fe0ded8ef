"""What keeps keys out of dumps, as far as a process can (S38)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.identity.hardening import lock_pages

_SCRIPT = """
import ctypes, resource, sys
from node.identity.hardening import forbid_dumps
forbid_dumps(development=sys.argv[1] == "development")
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.control("S38")
@pytest.mark.skipif(sys.platform != "linux", reason="the dumpable flag exists on Linux only")
@pytest.mark.parametrize(("network", "expected"), [("production", "0 0"), ("development", "0 1")])
def test_no_core_file_and_no_reader_on_production_networks(network: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, network], capture_output=True, text=True, cwd=Path.cwd(), check=True
    )
    assert done.stdout.strip() == expected


def test_locking_pages_never_changes_the_key() -> None:
    buffer = bytearray(b"k" * 32)
    lock_pages(buffer)
    assert buffer == b"k" * 32
    buffer[0] = 0
