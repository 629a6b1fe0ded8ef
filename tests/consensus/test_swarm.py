"""Random runs (scenario 86): safety in all of them, liveness after healing. Determinism (I23)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import swarm
from pbft_harness import World

RUNS = [(1, 0, first) for first in range(0, 60, 10)]
RUNS += [(2, 0, 100), (4, 0, 110), (1, 2, 120), (2, 3, 130), (4, 1, 140)]
"""Blocks in flight, blocks between planned rotations, first seed."""


@pytest.mark.parametrize(("window", "rotate_every", "first"), RUNS)
def test_scenario_86_crashes_and_a_bad_network(window: int, rotate_every: int, first: int) -> None:
    for seed in range(first, first + 10):
        assert swarm.crashes(seed, window, rotate_every), f"seed {seed} did not recover"


@pytest.mark.parametrize(("window", "rotate_every", "first"), RUNS)
def test_scenario_86_liars(window: int, rotate_every: int, first: int) -> None:
    for seed in range(first, first + 10):
        assert swarm.lies(seed, window, rotate_every), f"seed {seed} did not recover"


def story() -> str:
    """The digests of all replicas and of everything they sent, after a run with a view change and a restart."""
    world = World(4)
    world.submit(3)
    world.run(500)
    dead = world.primary()
    world.kill(dead)
    world.submit(2)
    world.run(4000)
    world.restart(dead)
    world.run(2000)
    return " ".join(world.state(index).digest().hex() for index in range(4)) + f" {len(world.log)}"


def test_i23_the_same_events_give_the_same_digests_under_any_hash_seed() -> None:
    here = Path(__file__).parent
    path = [str(here), str(here.parents[1])]
    code = f"import sys; sys.path[:0] = {path!r}; import test_swarm; print(test_swarm.story())"
    found = {story()}
    for seed in ("0", "4242"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(run.stdout.strip())
    assert len(found) == 1
