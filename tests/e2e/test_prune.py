"""Pruning on real nodes: by schedule while running, and by hand with a smaller file; older heights say so (U6, Q14)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.client import Client
from cli.failure import CommandFailed
from cli.local import DEMO_CAST
from ledger.params import Params
from simulator.cluster.found import found
from tests.e2e.conftest import Cluster, environment
from tests.e2e.test_faults import actor_of, issue, settled

pytestmark = pytest.mark.e2e

VALIDITY, KEEP, INVOICES = 30, 35, 90


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four companies whose transactions are valid for a few blocks only: what may still be offered is never pruned."""
    tmp = tmp_path_factory.mktemp("e2e")
    params = Params(max_validity_heights=VALIDITY)
    found(tmp / "net", name="prune", cast=DEMO_CAST, seed=7, port_base=24_200, params=params)
    running = Cluster(tmp / "net", environment(tmp))
    running.up(24_200)
    yield running
    running.down()


def set_storage(home: Path, text: str) -> None:
    path = home / "node.toml"
    path.write_text(f"{path.read_text(encoding='utf-8')}\n[storage]\n{text}", encoding="utf-8")


async def oldest_of(client: Client) -> int:
    """The oldest height a node holds, as its refusal names it; 0 while it holds all."""
    try:
        await client.get("v1/blocks/1", retry=False)
    except CommandFailed as refused:
        problem = refused.problem or {}
        assert problem["code"] == "height_pruned", problem
        return int(problem["oldest_height"])
    return 0


async def test_old_blocks_go_by_schedule_and_by_hand(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.acting.VALID_BLOCKS", VALIDITY - 5)
    names = list(cluster.nodes)
    home = cluster.nodes["qiming"].home
    cluster.act("stop", "qiming")
    set_storage(home, f"keep_blocks = {KEEP}\nsnapshot_every = 0\n")  # for snapshots it would keep more
    cluster.act("start", "qiming")
    await settled(cluster, names)
    client, actor = await actor_of(cluster, "lifeng")
    buyer = cluster.nodes["qiming"].plan.company_id
    sent = []
    for number in range(INVOICES):
        sent.append(await issue(actor, buyer, number))
        await client.wait(sent[-1], seconds=30)
    await settled(cluster, names)

    async with cluster.nodes["qiming"].client() as other:
        height = int((await other.get("v1/status"))["height_executed"])
        deadline = time.monotonic() + 20
        while await oldest_of(other) == 0 and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        oldest = await oldest_of(other)
        assert 1 < oldest <= height - KEEP + 1, "only what the rule lets go"
        with pytest.raises(CommandFailed) as refused:
            await other.get("v1/ledger/trial-balance")
        assert (refused.value.problem or {})["code"] == "height_pruned", "books need every event"
        assert len((await other.get("v1/invoices?limit=200"))["items"]) == INVOICES, "the state is whole"
        running = cluster.hansa("node", "prune", "--home", str(home), "--dry-run")
        assert running.returncode != 0 and "in use" in running.stderr

    cluster.act("stop", "qiming")
    before = (home / "data" / "chain" / "data.mdb").stat().st_size
    asked = cluster.hansa("node", "prune", "--home", str(home), "--keep-blocks", "32", "--dry-run")
    assert asked.returncode == 0, asked.stderr
    assert "would go" in asked.stdout
    cluster.environment["HANSA_STORAGE_SNAPSHOT_EVERY"] = "2500"
    joinable = cluster.hansa("node", "prune", "--home", str(home), "--keep-blocks", "32", "--dry-run")
    del cluster.environment["HANSA_STORAGE_SNAPSHOT_EVERY"]
    assert "nothing to prune" in joinable.stdout and "a node that joins" in joinable.stdout, joinable.stdout
    assert (home / "data" / "chain" / "data.mdb").stat().st_size == before
    done = cluster.hansa("node", "prune", "--home", str(home), "--keep-blocks", "32")
    assert done.returncode == 0, done.stderr
    assert (home / "data" / "chain" / "data.mdb").stat().st_size < before
    cluster.act("start", "qiming")
    await settled(cluster, names)
    async with cluster.nodes["qiming"].client() as other:
        assert await oldest_of(other) > oldest
    found = await client.wait(await issue(actor, buyer, INVOICES), seconds=30)
    assert found["outcome"] == "ok"
    await settled(cluster, names)
    await client.__aexit__(None, None, None)
