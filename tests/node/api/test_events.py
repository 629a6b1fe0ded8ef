"""The event feed: order, cursors, filters, and its end when the right to read ends (U36-U40, S70, S27)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from ledger.codec import encode
from ledger.registry.lookup import company_key, read_company
from ledger.transaction import decode_transaction
from node.api.deadline import DeadlineRunner
from node.api.server import build
from node.api.settings import ApiSettings


def headers(world: Any, role: str = "preparer", **changes: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.token(role, **changes)}"}


async def lines(client: Any, world: Any, query: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/events?{query}", headers=headers(world))
    assert answer.status == 200 and answer.content_type == "application/x-ndjson"
    return [json.loads(line) for line in (await answer.text()).splitlines()]


@asynccontextmanager
async def stream(client: Any, head: dict[str, str], query: str = "") -> AsyncIterator[Any]:
    answer = await client.get(f"/v1/events?{query}", headers={**head, "Accept": "text/event-stream"})
    assert answer.status == 200 and answer.content_type == "text/event-stream"
    try:
        yield answer
    finally:
        answer.close()


async def message(answer: Any) -> dict[str, str]:
    """Return the next message that is not only a comment or a retry."""
    found: dict[str, str] = {}
    async with asyncio.timeout(5):
        while True:
            line = (await answer.content.readline()).decode().rstrip("\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                found[name] = value
            elif not line and "event" in found:
                return found


async def test_u36_events_are_in_chain_order_and_public_form(world: Any, client: Any) -> None:
    invoice = world.issue(0, 1, 119_000)
    world.accept(1, invoice)
    found = await lines(client, world, "from=0")
    assert [event["type"] for event in found] == ["invoices.Issued", "invoices.Received", "invoices.Accepted"]
    assert [event["id"] for event in found] == ["1.0.0", "2.0.0", "3.0.0"]
    assert found[0]["fields"]["total"] == {"amount": "1190.00", "currency": "EUR"}
    assert found[0]["fields"]["seller"]["name"] == "Acme GmbH" and found[0]["schema"] == "hansa.event/1"


async def test_u37_a_cursor_resumes_without_loss_or_repetition(world: Any, client: Any) -> None:
    for _ in range(4):
        world.issue(0, 1, 1_000)
    everything = await lines(client, world, "from=0")
    for place, event in enumerate(everything):
        rest = await lines(client, world, f"from={event['id']}")
        assert [other["id"] for other in rest] == [other["id"] for other in everything[place + 1 :]]
    answer = await client.get("/v1/events?from=0&limit=2", headers=headers(world))
    assert answer.headers["X-Next-Cursor"] == everything[1]["id"]
    for wrong in ("x", "1.2", "-1", "1.0.0.0", "99"):
        refused = await client.get(f"/v1/events?from={wrong}", headers=headers(world))
        assert refused.status == 422


@pytest.mark.control("S70")
async def test_s70_only_own_events_and_only_wanted_types(world: Any, client: Any) -> None:
    world.issue(1, 2, 1_000)
    invoice = world.issue(0, 1, 1_000)
    world.issue(0, 2, 1_000)
    world.accept(1, invoice)
    assert len(await lines(client, world, "from=0")) == 4
    assert {event["type"] for event in await lines(client, world, "from=0&types=invoices.Issued")} == {
        "invoices.Issued"
    }
    assert len(await lines(client, world, f"from=0&company={world.companies[2]}")) == 1
    assert await lines(client, world, "from=0&types=payments") == []


async def test_u37_no_event_before_its_block_is_durable(world: Any, client: Any) -> None:
    world.issue(0, 1, 1_000)
    world.durable_lag = 1
    assert await lines(client, world, "from=0") == []


async def test_u38_a_stream_follows_the_chain_and_resumes_by_last_event_id(world: Any, client: Any) -> None:
    first = world.issue(0, 1, 1_000)
    async with stream(client, headers(world), "from=0") as answer:
        event = await message(answer)
        assert event["id"] == "1.0.0" and event["event"] == "invoices.Issued"
        assert json.loads(event["data"])["fields"]["id"] == first
        envelope = world.sign([(1, "preparer")], "invoices", "receive", first)
        await world.grow([decode_transaction(envelope, world.chain)])
        event = await message(answer)
        assert event["id"] == "2.0.0" and event["event"] == "invoices.Received"
    head = {**headers(world), "Last-Event-ID": "1.0.0"}
    async with stream(client, head) as answer:
        assert (await message(answer))["id"] == "2.0.0"


@pytest.mark.control("T13", "S27")
async def test_t13_a_stream_ends_with_the_token_and_with_the_company(world: Any, client: Any) -> None:
    world.token("preparer", token_id="short")
    text = world.token("preparer", token_id="gone")
    async with stream(client, {"Authorization": f"Bearer {text}"}, "from=0") as answer:
        world.token_store.revoke("gone", world.now_ms)
        assert (await message(answer))["event"] == "closed"
        assert await answer.content.read() == b""
    async with stream(client, headers(world), "from=0") as answer:
        company = read_company(world.view(), world.company_id)
        world.replace_record(
            company_key(world.company_id), encode(msgspec.structs.replace(company, status="suspended"))
        )
        assert (await message(answer))["event"] == "closed"


async def test_u38_a_quiet_stream_has_heartbeats(world: Any, connect: Any) -> None:
    client = await connect(world, heartbeat_s=0.2)
    async with stream(client, headers(world)) as answer, asyncio.timeout(5):
        seen = b""
        while seen.count(b"\n: ") < 2 and seen.count(b": 0\n") < 2:
            seen += await answer.content.readany()


async def test_c30_open_streams_do_not_delay_the_end_of_a_node(world: Any) -> None:
    runner = DeadlineRunner(build(world, ApiSettings()))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/events"
    async with aiohttp.ClientSession() as session:
        answers = [
            await session.get(address, headers={**headers(world), "Accept": "text/event-stream"}) for _ in range(5)
        ]
        began = time.monotonic()
        await runner.cleanup()
        assert time.monotonic() - began < 5, "without the cancelling it would wait a minute for its readers"
        for answer in answers:
            assert b"retry" in await answer.content.read()


async def test_streams_are_bounded(world: Any, connect: Any) -> None:
    client = await connect(world, streams_max=1)
    async with stream(client, headers(world)):
        refused = await client.get("/v1/events", headers={**headers(world), "Accept": "text/event-stream"})
        assert refused.status == 503
