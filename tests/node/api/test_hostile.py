"""Hostile requests never crash the node, and waiting never starves others (A5, T24, T28, T44)."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any
from urllib.parse import quote

import pytest

from node.api.limits import Rate, RateSettings
from node.api.routes import OPERATIONS
from node.api.settings import ApiSettings

BIG = RateSettings(
    principal=Rate(per_second=10**6, burst=10**6),
    company=Rate(per_second=10**6, burst=10**6),
    prefix=Rate(per_second=10**6, burst=10**6),
)
NASTY = (
    "", "0", "-1", "1e9", "9" * 30, "NaN", "null", "true", "../../etc/passwd", "%00", "\x00", "'; DROP TABLE x; --", "<b>", "é漢字",
    "a" * 300, "{{7*7}}", "$ref", "inv-" + "z" * 40, "c" + "a" * 26, "2026-02-29", "0000-00-00", "9999-12-31", "EUR", "ZZZ", "412.3.1",
    "999999999999999.0.0", "AAAA", "Og==", "MTpw", "0x10", "٣", "1_000", " 1", "1\n",
)  # fmt: skip


@pytest.mark.control("T24", "T62")
async def test_no_parameter_or_path_crashes_an_operation(world: Any, connect: Any) -> None:
    invoice = world.issue(0, 1, 10_000)
    world.accept(1, invoice)
    world.pay(1, 0, invoice, 5_000)
    client = await connect(world, rates=BIG)
    head = {"Authorization": f"Bearer {world.token('admin', scopes=['read', 'submit', 'admin'])}"}
    reader = {"Authorization": f"Bearer {world.token('preparer', scopes=['read', 'submit', 'admin'])}"}
    dice = random.Random(20260305)
    asked = 0
    for operation in OPERATIONS:
        if operation.name == "token_revoke":
            continue
        names = [param.name for param in operation.params if param.name != "wait"]
        for _ in range(25):
            path = operation.path
            while "{" in path:
                start, end = path.index("{"), path.index("}")
                path = path[:start] + quote(dice.choice(NASTY) or "x", safe="") + path[end + 1 :]
            query = "&".join(f"{name}={quote(dice.choice(NASTY))}" for name in dice.sample(names, min(len(names), 2)))
            headers = {**dice.choice((head, reader)), "Accept": "*/*"}
            body = None
            if operation.body:
                headers["Content-Type"] = operation.body
                body = bytes(dice.randrange(256) for _ in range(dice.randrange(60)))
            async with asyncio.timeout(60):
                answer = await client.request(operation.method, f"{path}?{query}", headers=headers, data=body)
                text = await answer.text()
            asked += 1
            assert answer.status != 500, (operation.name, path, query, text)
            if answer.status >= 400:
                assert answer.content_type == "application/problem+json", (path, text[:200])
    assert asked > 500


async def test_s52_waiting_requests_do_not_take_the_places_of_others(world: Any, connect: Any) -> None:
    world.auto = False
    client = await connect(world, rates=BIG, requests_max=2, queue_s=0.3)
    head = {"Authorization": f"Bearer {world.token()}"}
    envelope = world.sign([(0, "preparer")], "invoices", "receive", "inv-none")
    sent = await client.post("/v1/transactions", data=envelope, headers={**head, "Content-Type": "application/msgpack"})
    tx_id = (await sent.json())["id"]
    waiting = [asyncio.create_task(client.get(f"/v1/transactions/{tx_id}?wait=2", headers=head)) for _ in range(20)]
    await asyncio.sleep(0.1)
    answers = await asyncio.gather(*(client.get("/v1/network", headers=head) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    for task in waiting:
        assert (await task).status == 202


@pytest.mark.control("S53", "T44")
async def test_s53_unknown_and_invisible_transactions_take_the_same_time(world: Any, client: Any) -> None:
    world.issue(1, 2, 1_000)
    hidden = world.blocks[-1].transactions[0].tx_id.hex()
    head = {"Authorization": f"Bearer {world.token()}"}
    spent = []
    for tx_id in (hidden, "0" * 64):
        began = time.monotonic()
        answer = await client.get(f"/v1/transactions/{tx_id}?wait=1", headers=head)
        assert answer.status == 404
        spent.append(time.monotonic() - began)
    assert all(0.9 < seconds < 10 for seconds in spent), "both wait as long as they were told to, and no longer"


async def test_settings_have_bounds_for_everything_open() -> None:
    settings = ApiSettings()
    for bound in (settings.streams_max, settings.requests_max, settings.waits_max):
        assert 0 < bound <= 10_000
    for seconds in (settings.queue_s, settings.header_s, settings.body_s, settings.write_s):
        assert 0 < seconds <= 60
