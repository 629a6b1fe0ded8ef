"""A short soak of real daemons, as scripts/soak runs it, and a check that can fail (C31)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli import local
from cli.soak import Report, replay_all
from simulator.cluster.plan import load
from simulator.cluster.supervisor import LOG_FILE
from tests.e2e.conftest import ROOT, environment

pytestmark = pytest.mark.e2e


def test_c31_nothing_is_lost_and_every_journal_replays(tmp_path: Path) -> None:
    directory = tmp_path / "soak"
    done = subprocess.run(
        [sys.executable, "-m", "cli.soak", "0.25", "-n", "4", "--seed", "3", "--port-base", "28000",
         "--dir", str(directory), "-o", "json"],
        capture_output=True, text=True, env=environment(tmp_path), cwd=ROOT, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] and not found["problems"]
    assert found["journals_replayed"] == 4
    assert 10 <= found["acknowledged"] <= found["submitted"]
    assert sum(found["faults"].values()) >= 1
    assert found["height"] >= 3

    # A node that had stopped in another state than its journal leads to would be named.
    log = directory / "qiming" / LOG_FILE
    text = log.read_text(encoding="utf-8")
    digest = text.rpartition('"state": "')[2][:64]
    log.write_text(text.replace(digest, "0" * 64), encoding="utf-8")
    again = Report(seed=3, companies=4, minutes=0.25)
    replay_all(local.nodes_of(directory, load(directory)), again)
    assert again.replayed == 3
    assert len(again.problems) == 1 and "qiming" in again.problems[0] and "0000" in again.problems[0]
