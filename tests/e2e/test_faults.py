"""Kill -9 under load, one and two of four down: nothing acknowledged is lost, and a stall explains itself (LR, C18)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cli.acting import Actor
from cli.calls import ACTS
from cli.client import Client
from cli.failure import CommandFailed
from cli.wallet import Wallet
from tests.e2e.conftest import Cluster

pytestmark = pytest.mark.e2e


async def issue(actor: Actor, buyer: str, number: int) -> str:
    """Submit one invoice and return its transaction id as soon as the node took it."""
    key = f"{number:064x}"
    args: list[Any] = [buyer, key, "380", ["EUR", 10_000], ["EUR", 1_900], ["EUR", 11_900], "2026-03-01", "2026-03-31"]
    file, signings = await actor.compose(ACTS["issue"], [*args, key])
    return await actor.sign_and_send(file, signings)


async def actor_of(cluster: Cluster, name: str) -> tuple[Client, Actor]:
    node = cluster.nodes[name]
    client = node.client()
    await client.__aenter__()
    actor = Actor(client, Wallet(node.home))
    await actor.open()
    return client, actor


async def settled(cluster: Cluster, names: list[str], seconds: float = 40) -> dict[str, tuple[int, str]]:
    """Wait until the named nodes agree on height and block id; return them."""
    deadline = time.monotonic() + seconds
    seen: dict[str, tuple[int, str]] = {}
    while time.monotonic() < deadline:
        seen.clear()
        for name in names:
            try:
                async with cluster.nodes[name].client(5) as client:
                    state = await client.get("v1/consensus", retry=False)
                    height = int(state["height_executed"])
                    block = await client.get(f"v1/blocks/{height}", retry=False)
                    seen[name] = (height, str(block["id"]))
            except CommandFailed:
                break
        if len(seen) == len(names) and len(set(seen.values())) == 1:
            return seen
        await asyncio.sleep(0.2)
    raise AssertionError(f"the nodes did not come together: {seen}")


async def test_kill_minus_nine_under_load_loses_nothing_that_was_acknowledged(cluster: Cluster) -> None:
    client, actor = await actor_of(cluster, "lifeng")
    buyer = cluster.nodes["qiming"].plan.company_id
    sent: list[str] = []
    for number in range(1, 41):
        sent.append(await issue(actor, buyer, number))
        if number == 10:
            cluster.act("kill", "falkenberg")
        if number == 25:
            cluster.act("start", "falkenberg")
    found = await client.wait_all(sent, seconds=30)
    assert {item["state"] for item in found} <= {"committed", "final"}
    assert {item["outcome"] for item in found} == {"ok"}
    await settled(cluster, list(cluster.nodes))
    async with cluster.nodes["falkenberg"].client() as other:
        for item in found:
            block = await other.get(f"v1/blocks/{item['height']}")
            assert item["id"] in [line["id"] for line in block["transactions"]]
    await client.__aexit__(None, None, None)


async def test_killing_the_node_that_acknowledged_keeps_its_transactions(cluster: Cluster) -> None:
    client, actor = await actor_of(cluster, "qiming")
    buyer = cluster.nodes["lifeng"].plan.company_id
    sent = [await issue(actor, buyer, number) for number in range(101, 106)]
    found = await client.wait_all(sent)
    assert {item["state"] for item in found} <= {"committed", "final"}
    cluster.act("kill", "qiming")
    await client.__aexit__(None, None, None)
    cluster.act("start", "qiming")
    await settled(cluster, list(cluster.nodes))
    async with cluster.nodes["qiming"].client() as again:
        for tx_id in sent:
            assert (await again.get(f"v1/transactions/{tx_id}"))["outcome"] == "ok"


async def test_one_of_four_down_goes_on_two_down_stop_and_say_why(cluster: Cluster) -> None:
    client, actor = await actor_of(cluster, "lifeng")
    buyer = cluster.nodes["qiming"].plan.company_id
    cluster.act("kill", "chenghu")
    one_down = await client.wait(await issue(actor, buyer, 201), seconds=30)
    assert one_down["outcome"] == "ok"
    cluster.act("kill", "falkenberg")
    waiting = await issue(actor, buyer, 202)
    stuck = await client.wait(waiting, seconds=4)
    assert stuck["state"] == "pending"
    why = await client.get("v1/consensus/why")
    sentence = " ".join(str(part) for part in why.values())
    assert "2 of 4" in sentence and "3 are needed" in sentence
    done = cluster.hansa("invoice", "list", "--profile", "demo-lifeng", "-o", "json")
    assert done.returncode == 0, "reads go on without a quorum"
    cluster.act("start", "falkenberg")
    again = await client.wait(waiting, seconds=30)
    if again["state"] == "pending":
        again = await client.wait(waiting, seconds=30)
    assert again["outcome"] == "ok"
    cluster.act("start", "chenghu")
    await settled(cluster, list(cluster.nodes))
    await client.__aexit__(None, None, None)


async def test_a_clock_that_is_far_off_is_named_and_stops_nobody(cluster: Cluster) -> None:
    home = cluster.nodes["qiming"].home
    settings = home / "node.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("[node]", "[node]\nclock_offset_ms = 3600000"), encoding="utf-8")
    try:
        cluster.act("restart", "qiming")
        client, actor = await actor_of(cluster, "lifeng")
        buyer = cluster.nodes["falkenberg"].plan.company_id
        sent = [await issue(actor, buyer, number) for number in range(301, 306)]
        found = [await client.wait(tx_id, seconds=30) for tx_id in sent]
        assert {item["outcome"] for item in found} == {"ok"}, "three good clocks are enough"
        await settled(cluster, list(cluster.nodes))
        async with cluster.nodes["qiming"].client() as other:
            assert "clock" in (await other.get("v1/status"))["not_ready"]
        assert "clock" not in (await client.get("v1/status"))["not_ready"]
        await client.__aexit__(None, None, None)
    finally:
        settings.write_text(text, encoding="utf-8")
        cluster.act("restart", "qiming")


async def test_a_partition_stops_both_sides_without_a_fork_and_heals(cluster: Cluster) -> None:
    client, actor = await actor_of(cluster, "lifeng")
    buyer = cluster.nodes["qiming"].plan.company_id
    cut = cluster.hansa(
        "cluster", "partition", "lifeng,qiming", "/", "falkenberg,chenghu", "--dir", str(cluster.directory)
    )
    assert cut.returncode == 0, cut.stderr
    assert cut.stdout.count("2 of 4") == 2, "each side says why it stands still"
    waiting = await issue(actor, buyer, 401)
    assert (await client.wait(waiting, seconds=3))["state"] == "pending"
    healed = cluster.hansa("cluster", "heal", "--dir", str(cluster.directory))
    assert "4 of 4" in healed.stdout
    found = await client.wait(waiting, seconds=30)
    if found["state"] == "pending":
        found = await client.wait(waiting, seconds=30)
    assert found["outcome"] == "ok", "what was submitted meanwhile commits after the repair"
    await settled(cluster, list(cluster.nodes))
    await client.__aexit__(None, None, None)
