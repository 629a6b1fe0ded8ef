"""SIM7, I23: one seed gives one trace, on every Python that is here and under every hash seed.

Besides the interpreter of the tests, 3.11, 3.12 and 3.13 count if they are on the path, or named in `HANSA_PYTHONS`
(separated by the path separator), and can import the dependencies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = ("python3.11", "python3.12", "python3.13")
PROGRAM = """
from simulator.scenario import load
from simulator.search.swarm import swarm
from simulator.world import World
print([World(swarm(seed), seed).run().trace for seed in (2, 5)])
print(World(load("clean", ["duration=1s", "fidelity=full"]), 7).run().trace)
print(World(load("30-twins", ["duration=2s"]), 3).run().trace)
"""


@lru_cache(maxsize=1)
def interpreters(*also: str) -> tuple[str, ...]:
    """Return the interpreters that can run the simulator, this one first; they have the modules `also` too."""
    named = os.environ.get("HANSA_PYTHONS", "").split(os.pathsep)
    found = [sys.executable, *(shutil.which(version) or "" for version in VERSIONS), *named]
    usable: dict[str, None] = {}
    for python in found:
        probe = f"import {', '.join(('sys', 'msgspec', 'nacl', 'cryptography', *also))}; assert (3, 11) <= sys.version_info[:2] <= (3, 13)"
        if python and subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0:
            usable[python] = None
    return tuple(usable)


def said_by_all(program: str, *also: str) -> dict[str, list[str]]:
    """Return what `program` prints, and on which interpreters and with which hash seeds it prints that."""
    said: dict[str, list[str]] = {}
    for python in interpreters(*also):
        for hash_seed in ("1", "77"):
            done = subprocess.run(
                [python, "-c", program],
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=True,
                timeout=300,
            )
            said.setdefault(done.stdout.strip(), []).append(f"{python} hash seed {hash_seed}")
    assert any(f"{sys.executable} hash seed 1" in where for where in said.values())
    return said


def test_sim7_one_trace_on_every_python_and_hash_seed() -> None:
    traces = said_by_all(PROGRAM)
    assert len(traces) == 1, traces
