"""A node that lost its disk takes the state from the others as a proven snapshot and follows from there (P107, P97)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.failure import CommandFailed
from simulator.cluster.supervisor import LOG_FILE
from tests.e2e.conftest import Cluster
from tests.e2e.test_faults import actor_of, issue, settled

pytestmark = pytest.mark.e2e

EVERY, REPLAY, INVOICES = 15, 20, 60


def configure(cluster: Cluster, **storage: int) -> None:
    """Set [storage] keys on every node and start them with these."""
    lines = "".join(f"{key} = {value}\n" for key, value in storage.items())
    for name, node in cluster.nodes.items():
        path = node.home / "node.toml"
        text = path.read_text(encoding="utf-8")
        assert "[storage]" not in text
        path.write_text(f"{text}\n[storage]\n{lines}", encoding="utf-8")
        cluster.act("restart", name)


def installed(home: Path) -> int:
    """Return how many snapshots a node has put in the place of its chain, in all its processes."""
    return (home / LOG_FILE).read_text(encoding="utf-8").count('"snapshot_installed"')


async def test_a_member_that_was_away_for_long_takes_the_state_and_votes_again(cluster: Cluster) -> None:
    """Its journal is whole and far behind the store it takes: a case of every recovery (P95), so it keeps its vote."""
    configure(cluster, snapshot_every=EVERY, sync_replay_blocks=REPLAY)
    await settled(cluster, list(cluster.nodes))
    client, actor = await actor_of(cluster, "lifeng")
    buyer = cluster.nodes["qiming"].plan.company_id
    for number in range(1000, 1005):
        await client.wait(await issue(actor, buyer, number), seconds=30)
    home = cluster.nodes["chenghu"].home
    cluster.act("stop", "chenghu")
    for number in range(1005, 1005 + INVOICES):
        await client.wait(await issue(actor, buyer, number), seconds=30)
    cluster.act("start", "chenghu")
    await settled(cluster, list(cluster.nodes))
    assert installed(home)
    async with cluster.nodes["chenghu"].client() as other:
        now = await other.get("v1/consensus")
        assert now["voting"] is True and now["vote_problem"] == ""
    cluster.act("stop", "falkenberg")  # three of four are left, so its vote is needed
    found = await client.wait(await issue(actor, buyer, 1999), seconds=30)
    assert found["outcome"] == "ok"
    cluster.act("start", "falkenberg")
    await settled(cluster, list(cluster.nodes))
    await client.__aexit__(None, None, None)


async def test_a_lost_chain_comes_back_as_a_snapshot(cluster: Cluster) -> None:
    client, actor = await actor_of(cluster, "lifeng")
    buyer = cluster.nodes["qiming"].plan.company_id
    sent = [await issue(actor, buyer, 0)]
    for number in range(1, INVOICES + 1):
        sent.append(await issue(actor, buyer, number))
        await client.wait(sent[-1], seconds=30)
    before = await settled(cluster, list(cluster.nodes))
    height = max(reached for reached, _ in before.values())
    assert height > REPLAY + 2 * EVERY, height

    home = cluster.nodes["qiming"].home
    cluster.act("stop", "qiming")
    for lost in ("chain", "journal", "snapshots"):
        shutil.rmtree(home / "data" / lost, ignore_errors=True)
    cluster.act("start", "qiming")
    after = await settled(cluster, list(cluster.nodes))
    assert after["qiming"] == after["lifeng"]
    assert installed(home)

    async with cluster.nodes["qiming"].client() as other:
        with pytest.raises(CommandFailed) as refused:
            await other.get("v1/blocks/5")
        problem = refused.value.problem or {}
        assert problem["code"] == "height_pruned"
        oldest = int(problem["oldest_height"])
        assert oldest > height - REPLAY - EVERY and (oldest - 1) % EVERY == 0
        assert (await other.get(f"v1/blocks/{oldest}"))["height"] == oldest
        now = await other.get("v1/consensus")
        assert now["mode"] == "learner" and "journal" in now["vote_problem"]
        for old in ("v1/transactions/" + sent[0], "v1/ledger/trial-balance"):
            with pytest.raises(CommandFailed) as refused:
                await other.get(old)
            assert (refused.value.problem or {})["code"] == "height_pruned", old
        assert (await other.get("v1/transactions/" + sent[-1]))["outcome"] == "ok"
        invoices = await other.get("v1/invoices?limit=200")
    assert (await client.get("v1/blocks/5"))["height"] == 5, "the others keep everything"
    reference = await client.get("v1/invoices?limit=200")
    assert len(invoices["items"]) > INVOICES
    assert [item["id"] for item in invoices["items"]] == [item["id"] for item in reference["items"]]

    # it follows, across a restart as well, and pending blocks come as blocks. Before, two snapshots may have come: the
    # others may still have been making their newest one when it started, and what they had was too far behind
    taken = installed(home)
    cluster.act("restart", "qiming")
    found = await client.wait(await issue(actor, buyer, INVOICES + 1), seconds=30)
    assert found["outcome"] == "ok"
    await settled(cluster, list(cluster.nodes))
    assert installed(home) == taken
    await client.__aexit__(None, None, None)
