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


_CONFINED = """
import sys
from node.identity.hardening import Bounds, confine
confine(Bounds(memory_bytes=300 << 20, cpu_s=2, open_files=8))
try:
    exec(sys.argv[1])
except (MemoryError, OSError) as error:
    print(type(error).__name__)
"""


@pytest.mark.control("S57", "L58")
@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("x = bytearray(1 << 30)", "MemoryError"),
        ("files = [open('/dev/null') for _ in range(20)]", "OSError"),
        ("import resource; resource.setrlimit(resource.RLIMIT_CPU, (60, 60))", ""),
        ("while True: pass", ""),
    ],
)
def test_s57_a_confined_process_cannot_go_beyond_its_bounds(work: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CONFINED, work], capture_output=True, text=True, cwd=Path.cwd(), timeout=60, check=False
    )
    assert done.stdout.strip() == said and (bool(said) == (done.returncode == 0))
