"""A node whose disk fills up stops with a sentence, the others go on, and after making room nothing is lost (P91)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.cluster import control
from simulator.cluster.supervisor import LOG_FILE
from tests.e2e.conftest import Cluster
from tests.e2e.test_faults import actor_of, issue, settled

pytestmark = pytest.mark.e2e

SMALL, LARGE = "1200k", "64m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that can fill up; left out where this user may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={LARGE}", "hansa-test", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user cannot mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], capture_output=True, check=False)


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True, capture_output=True)


async def test_a_full_disk_ends_the_node_and_loses_nothing(cluster: Cluster, small_disk: Path) -> None:
    home = cluster.nodes["chenghu"].home
    cluster.act("stop", "chenghu")
    shutil.move(home / "data", small_disk / "data")
    (home / "data").symlink_to(small_disk / "data")
    used = sum(path.stat().st_blocks * 512 for path in (small_disk / "data").rglob("*") if path.is_file())
    resize(small_disk, str(used + 400 * 1024))
    try:
        cluster.act("start", "chenghu")
        client, actor = await actor_of(cluster, "lifeng")
        buyer = cluster.nodes["qiming"].plan.company_id
        sent: list[str] = []
        number = 400
        deadline = time.monotonic() + 60
        while "free space" not in _log(home) and time.monotonic() < deadline:
            sent += [await issue(actor, buyer, number + step) for step in range(20)]
            await client.wait(sent[-1], seconds=20)
            number += 20
        assert "free space" in _log(home), "the node names cause and next step"
        assert _state(cluster) in ("failed", "up"), "the supervisor tries again and gives up"
        found = await client.wait_all(sent, seconds=30)
        assert {item["outcome"] for item in found} == {"ok"}, "three of four go on"
        resize(small_disk, LARGE)
        cluster.act("restart", "chenghu")
        await settled(cluster, list(cluster.nodes))
        async with cluster.nodes["chenghu"].client() as other:
            block = await other.get(f"v1/blocks/{found[-1]['height']}")
            assert found[-1]["id"] in [line["id"] for line in block["transactions"]]
        await client.__aexit__(None, None, None)
    finally:
        cluster.act("stop", "chenghu")
        resize(small_disk, LARGE)
        os.unlink(home / "data")
        shutil.move(small_disk / "data", home / "data")
        cluster.act("start", "chenghu")


def _log(home: Path) -> str:
    return (home / LOG_FILE).read_text(encoding="utf-8", errors="replace")


def _state(cluster: Cluster) -> str:
    answer = control.ask(cluster.directory, {"do": "status"})
    return next(str(node["state"]) for node in answer["nodes"] if node["name"] == "chenghu")
