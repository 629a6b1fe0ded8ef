"""The listener itself: problem documents for everything, deadlines, plain HTTP only where it is safe (U33, S51, S46)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from node.api.deadline import DeadlineRunner
from node.api.problems import PROBLEMS, Exit, FieldError, Problem
from node.api.server import build
from node.api.settings import ApiSettings, UnsafeListener
from node.store.blobs import MAP_SETTING
from node.store.errors import DISK_FULL, IO, MAP_FULL, StoreFailed, next_step


def test_u18_codes_have_one_row_with_both_titles() -> None:
    assert {kind.code for kind in PROBLEMS.values()} == set(PROBLEMS)
    for kind in PROBLEMS.values():
        assert kind.en and kind.zh and 400 <= kind.status < 600
    fixed = {
        "not_found": Exit.NOT_FOUND, "unauthenticated": Exit.NOT_ALLOWED, "forbidden": Exit.NOT_ALLOWED,
        "invalid": Exit.REJECTED, "conflict": Exit.CONFLICT, "not_ready": Exit.UNAVAILABLE, "internal": Exit.FAILED,
        "store_failed": Exit.UNAVAILABLE,
    }  # fmt: skip
    assert {code: PROBLEMS[code].exit for code in fixed} == fixed
    assert [int(code) for code in Exit] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130]


def test_u33_a_problem_document_names_rule_field_and_next_step() -> None:
    problem = Problem(
        "invalid", "due: no such day", errors=(FieldError("/due", "date", "no such day"),), next_step="Use 2026-02-28.",
        tx_id=b"\x01", extra={"limit": 3},
    )  # fmt: skip
    document = problem.document("abc")
    assert document["errors"] == [{"pointer": "/due", "code": "date", "msg": "no such day"}]
    assert document["next"] == "Use 2026-02-28." and document["tx_id"] == "01" and document["limit"] == 3
    assert document["request_id"] == "abc" and document["type"] == "/docs/problems#invalid"


async def test_u33_unknown_paths_and_methods(client: Any) -> None:
    missing = await client.get("/v1/nothing")
    assert missing.status == 404 and missing.content_type == "application/problem+json"
    wrong = await client.put("/v1/status")
    assert (
        wrong.status == 405 and (await wrong.json())["code"] == "method_not_allowed" and "GET" in wrong.headers["Allow"]
    )


@pytest.mark.parametrize(
    ("cause", "said", "next_words"),
    [
        (DISK_FULL, "No space left on device", "Free space"),
        (MAP_FULL, "MDB_MAP_FULL", "Raise storage.documents_max_gib"),
        (IO, "Input/output error", "Check the disk"),
    ],
)
async def test_u33_a_disk_that_takes_nothing_is_told_with_the_next_step(
    world: Any, client: Any, cause: str, said: str, next_words: str
) -> None:
    async def full(_data: bytes, _wish: Any) -> Any:
        raise StoreFailed("/srv/acme/data/documents", cause, said, next_step(cause, MAP_SETTING))

    world.take_document = full
    head = {"Authorization": f"Bearer {world.token()}", "Content-Type": "application/octet-stream"}
    answer = await client.post("/v1/documents?name=a.xml", data=b"<Invoice/>", headers=head)
    body = await answer.json()
    assert answer.status == 503 and body["code"] == "store_failed" and body["retryable"]
    assert said in body["detail"] and "/srv" not in str(body)
    assert body["next"].startswith(next_words) and body["next"].endswith(".")


async def test_u33_a_crash_tells_nothing_about_internals(world: Any, client: Any) -> None:
    def broken() -> Any:
        raise RuntimeError("secret internals")

    world.consensus = broken
    answer = await client.get("/v1/status")
    body = await answer.json()
    assert answer.status == 500 and body["code"] == "internal" and "secret" not in str(body)
    assert body["request_id"] == answer.headers["X-Request-Id"] and body["retryable"]


@pytest.mark.control("S50")
async def test_s50_every_answer_has_the_security_headers(client: Any) -> None:
    for path in ("/v1/status", "/v1/nothing", "/v1/invoices"):
        answer = await client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_s46_plain_http_is_for_development_on_loopback() -> None:
    ApiSettings().check(production=False)
    with pytest.raises(UnsafeListener, match="production"):
        ApiSettings().check(production=True)
    with pytest.raises(UnsafeListener, match=r"0\.0\.0\.0"):
        ApiSettings(host="0.0.0.0").check(production=False)  # noqa: S104  # it is refused


async def started(world: Any, **limits: Any) -> tuple[web.AppRunner, int]:
    runner = DeadlineRunner(build(world, ApiSettings(body_s=0.3)), **limits)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


async def closes_within(reader: asyncio.StreamReader, seconds: float) -> bytes:
    async with asyncio.timeout(seconds):
        return await reader.read()


@pytest.mark.control("S51", "T27")
async def test_t27_slow_headers_bodies_and_silent_sockets_are_closed(world: Any) -> None:
    runner, port = await started(world, header_s=0.3)
    try:
        silent, silent_writer = await asyncio.open_connection("127.0.0.1", port)
        slow, slow_writer = await asyncio.open_connection("127.0.0.1", port)
        slow_writer.write(b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        assert await closes_within(silent, 10) == b"" and await closes_within(slow, 10) == b""

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        token = world.token().encode()
        writer.write(
            b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + token
            + b"\r\nContent-Type: application/msgpack\r\nContent-Length: 1000\r\n\r\nabc"
        )  # fmt: skip
        assert b" 408 " in await closes_within(reader, 3)

        kept, kept_writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            kept_writer.write(b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            async with asyncio.timeout(2):
                head = await kept.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                assert head.startswith(b"HTTP/1.1 200") and await kept.readexactly(length)
        kept_writer.write(b"GET /v1/sta")
        assert await closes_within(kept, 3) == b"", "a half header on a kept connection ends too"
        for open_writer in (silent_writer, slow_writer, writer, kept_writer):
            open_writer.close()
    finally:
        await runner.cleanup()


@pytest.mark.control("S51")
async def test_s51_connections_are_capped_per_prefix(world: Any) -> None:
    runner, port = await started(world, per_prefix=2)
    try:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await closes_within(pairs[2][0], 2) == b""
        pairs[0][1].write(b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        async with asyncio.timeout(2):
            assert (await pairs[0][0].readline()).startswith(b"HTTP/1.1 200")
        for _, writer in pairs:
            writer.close()
    finally:
        await runner.cleanup()


@pytest.mark.control("T30")
@pytest.mark.parametrize(
    "raw",
    [
        b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n",
        b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-H: 1\r\n" * 20_000 + b"\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
async def test_t30_ambiguous_requests_are_refused(world: Any, raw: bytes) -> None:
    runner, port = await started(world, header_s=1.0)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(raw)
            await writer.drain()
            answer = await closes_within(reader, 4)
        except ConnectionError:
            answer = b""
        status = answer.split(b" ", 2)[1] if answer else b"closed"
        assert status in (b"400", b"421", b"431", b"414", b"closed"), answer[:200]
        writer.close()
    finally:
        await runner.cleanup()


async def test_u21_the_status_tells_everybody_that_it_stalls_and_nobody_s_name(world: Any, client: Any) -> None:
    assert (await (await client.get("/v1/status")).json())["stalled"] is False
    members = world.consensus().members
    others = tuple(replace(member, mode="normal" if member.is_self else "learner") for member in members)
    world.changes["members"] = others
    body = await (await client.get("/v1/status")).json()
    assert body["stalled"] is True and body["reachable"] == 1 and "3 others are connected" in body["sentence"]
    for member in others:
        assert member.is_self or world.names[member.company_id] not in body["sentence"], "that takes a token"
