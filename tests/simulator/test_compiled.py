"""The core compiled (`scripts/compiled`): the same steps as the sources, trace for trace (SIM7), and what it refuses.

Where no C compiler is, nothing can be compiled, and only the error is tested.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.scenario.load import catalogue

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "compile_core.py"
UNABLE = 3
SEEDS = (*range(12), 24086)
"""24086: a node ends its epoch where mypy held that it was still running, and compiled code believed it."""
PROGRAM = """
import sys
import consensus.replica
from simulator.scenario import load
from simulator.search.swarm import swarm
from simulator.world import World
print(consensus.replica.__file__, file=sys.stderr)
for name in sys.argv[2:]:
    scenario = load(name)
    print(name, World(scenario, scenario.seed).run().trace)
for seed in map(int, sys.argv[1].split()):
    print(seed, World(swarm(seed), seed).run().trace)
"""


def chosen() -> list[str]:
    """One scenario of each number of the catalogue, another one of those that have several than the first."""
    by_number: dict[str, str] = {}
    for name in catalogue():
        by_number[name.split("-")[0]] = name
    return list(by_number.values())


def environment(tree: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": tree, "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def started(folder: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, " ".join(map(str, SEEDS)), *chosen()],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def tree() -> str:
    """The folder of the compiled copy."""
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=600)
    if done.returncode == UNABLE and "mypyc failed" not in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_sim7_the_compiled_core_takes_the_steps_of_the_sources(tree: str) -> None:
    plain, compiled = started(str(ROOT)), started(tree)
    told = [process.communicate(timeout=600) for process in (plain, compiled)]
    assert [process.returncode for process in (plain, compiled)] == [0, 0], told
    assert told[0][1].strip() == str(ROOT / "consensus" / "replica.py")
    assert told[1][1].strip().startswith(tree) and not told[1][1].strip().endswith(".py")
    assert told[0][0].splitlines() == told[1][0].splitlines()
    assert len(told[0][0].splitlines()) == len(SEEDS) + len(chosen())


def test_what_changes_or_counts_the_sources_refuses_to_run_compiled(tree: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "sim", "mutants", "--only", "MU1"],
        cwd=tree,
        env=environment(tree),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "run it without scripts/compiled" in done.stderr


def test_without_a_compiler_the_error_says_what_to_do(tmp_path: Path) -> None:
    """A copy of the sources, so that none is compiled yet; the tools are looked for before anything is made."""
    copy = tmp_path / "scripts"
    copy.mkdir()
    (copy / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
    done = subprocess.run(
        [sys.executable, str(copy / SCRIPT.name)],
        env={**os.environ, "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == UNABLE
    assert "there is no C compiler 'no-such-compiler' here: install one (gcc or clang)" in done.stderr
    assert "run the command without scripts/compiled" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "scripts"] == [".compiled"]
    assert list((tmp_path / ".compiled").iterdir()) == []
