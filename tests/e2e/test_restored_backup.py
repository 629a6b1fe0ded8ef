"""A copy of a data directory is put back: the node finds out, says why it does not vote, and the others go on (P98)."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Cluster
from tests.e2e.test_faults import actor_of, issue, settled

pytestmark = pytest.mark.e2e


async def status_of(cluster: Cluster, name: str, key: str, seconds: float = 20) -> dict[str, Any]:
    """Wait until the node gives `key` as a reason for not being ready; return its consensus page."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        async with cluster.nodes[name].client(5) as client:
            if key in (await client.get("v1/status"))["not_ready"]:
                return dict(await client.get("v1/consensus"))
        await asyncio.sleep(0.2)
    raise AssertionError(f"{name} never became {key}")


async def test_p98_a_restored_backup_does_not_vote_and_says_why(cluster: Cluster, tmp_path: Path) -> None:
    client, actor = await actor_of(cluster, "lifeng")
    buyer = cluster.nodes["qiming"].plan.company_id
    await client.wait_all([await issue(actor, buyer, number) for number in range(1, 4)], seconds=30)

    home = cluster.nodes["chenghu"].home
    cluster.act("stop", "chenghu")
    shutil.copytree(home / "data", tmp_path / "backup")
    cluster.act("start", "chenghu")
    await settled(cluster, list(cluster.nodes))
    cluster.act("stop", "falkenberg")  # so that its vote is needed, and others have it: three of four must agree
    for number in range(11, 16):
        await client.wait(await issue(actor, buyer, number), seconds=30)
    cluster.act("start", "falkenberg")
    await settled(cluster, list(cluster.nodes))

    cluster.act("stop", "chenghu")
    shutil.rmtree(home / "data")
    shutil.copytree(tmp_path / "backup", home / "data")
    cluster.act("start", "chenghu")

    picture = await status_of(cluster, "chenghu", "learner")
    assert picture["mode"] == "learner" and picture["voting"] is False
    assert "is not in the journal" in picture["vote_problem"]
    why = cluster.hansa("node", "why", "--profile", "demo-chenghu")
    assert why.returncode == 0, why.stderr
    assert picture["vote_problem"] in why.stdout and "new consensus key" in why.stdout
    doctor = cluster.hansa("doctor", "--home", str(home))
    assert picture["vote_problem"] in doctor.stdout

    found = await client.wait_all([await issue(actor, buyer, number) for number in range(21, 26)], seconds=30)
    assert {item["outcome"] for item in found} == {"ok"}, "three of four go on"
    await settled(cluster, list(cluster.nodes))  # it follows

    cluster.act("restart", "chenghu")
    again = await status_of(cluster, "chenghu", "learner")
    assert again["vote_problem"] == picture["vote_problem"], "it is durable"
    await settled(cluster, list(cluster.nodes))

    cluster.act("stop", "falkenberg")  # three are linked, and two of them vote
    await status_of(cluster, "lifeng", "no_quorum")
    for command in ("why", "status"):
        told = cluster.hansa("node", command, "--profile", "demo-lifeng")
        assert told.returncode == 0, told.stderr
        said = told.stdout + told.stderr
        assert "connected, but does not vote" in said and "`hansa company rotate` there" in said, said
        assert "blocks continue" not in said and "Start the node of" in said, said
    await client.__aexit__(None, None, None)
