"""The client of the API: which refusal becomes which exit code, what is tried again, and addresses that are none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import cli.client as client_module
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from node.api.problems import PROBLEMS, Problem


class Node:
    """A server that answers as it is told, and counts."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[str] = []
        self.resumed: list[str] = []
        self.languages: list[str] = []
        self.silent = False
        self.headers: dict[str, str] = {}
        self.server: TestServer

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path_qs}")
        self.resumed.append(request.headers.get("Last-Event-ID", ""))
        self.languages.append(request.headers.get("Accept-Language", ""))
        if self.silent:
            await asyncio.sleep(30)
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=raw, headers=self.headers)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/"))


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    found = Node()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.answer)
    found.server = TestServer(application)
    await found.server.start_server()
    yield found
    await found.server.close()


async def refusal(node: Node, path: str = "v1/status") -> CommandFailed:
    async with Client(node.url, "token") as client:
        with pytest.raises(CommandFailed) as refused:
            await client.get(path)
    return refused.value


@pytest.mark.parametrize("code", [code for code, row in PROBLEMS.items() if not row.retryable])
async def test_u18_every_problem_has_the_exit_code_of_the_one_table_and_a_next_step(node: Node, code: str) -> None:
    row = PROBLEMS[code]
    node.answers = [(row.status, Problem(code, "because").document("r1"))]
    failure = await refusal(node)
    assert failure.code == int(row.exit), "U2: one table"
    assert failure.text == "because" and failure.document()["code"] == code
    named = ("not_found", "unauthenticated", "forbidden", "malformed", "invalid", "bad_signature", "bad_nonce",
             "duplicate", "expired", "bad_signer")  # fmt: skip
    assert failure.next_step or code not in named
    assert len(node.asked) == 1, "nothing that is not retryable is tried again (U48)"


@pytest.mark.parametrize("code", [code for code, row in PROBLEMS.items() if row.retryable])
async def test_u48_what_is_retryable_is_tried_again_with_the_same_request(node: Node, code: str) -> None:
    node.answers = [(PROBLEMS[code].status, Problem(code).document()), (200, {"ok": True})]
    async with Client(node.url, "token") as client:
        assert await client.submit(b"envelope") == {"ok": True}
    assert node.asked == ["POST /v1/transactions", "POST /v1/transactions"]


@pytest.mark.parametrize(("told", "pause_s"), [("2", 2), ("3600", 5), ("0", 0.25), ("tomorrow", 0.25)])
async def test_u48_a_node_says_when_to_ask_again(
    node: Node, told: str, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    sleep = asyncio.sleep

    async def asleep(seconds: float) -> None:
        paused.append(seconds)
        await sleep(0)

    node.headers = {"Retry-After": told}
    node.answers = [(503, Problem("mempool_full").document()), (200, {"ok": True})]
    async with Client(node.url, "token") as client:
        monkeypatch.setattr("cli.client.asyncio.sleep", asleep)
        assert await client.submit(b"envelope") == {"ok": True}
    assert pause_s in paused


async def test_the_step_after_a_missing_token_is_one_for_people(node: Node) -> None:
    node.answers = [
        (401, {"code": "unauthenticated", "detail": "a token is needed", "next": "Send 'Authorization: …'"})
    ]
    failure = await refusal(node)
    assert "hansa login" in failure.next_step and failure.document()["next"] == failure.next_step


async def test_field_errors_are_told_once_and_in_the_words_of_the_command_line(node: Node) -> None:
    errors = [{"pointer": "?as_of", "msg": "no such day"}, {"pointer": "/amount", "msg": "too long"}]
    node.answers = [(422, {"code": "invalid", "detail": "?as_of: no such day", "errors": errors})]
    failure = await refusal(node)
    assert failure.text == "--as-of: no such day\n  /amount: too long"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'{"code": 7}', b'{"errors": 1}', b'{"errors": [1]}', b"\xff"]
)
async def test_an_answer_that_is_no_problem_object_is_a_refusal_all_the_same(node: Node, body: bytes) -> None:
    node.answers = [(404, body)]
    failure = await refusal(node)
    assert failure.code is Exit.NOT_FOUND and failure.text.startswith("the node answered with status 404")
    node.answers = [(599, body)]
    assert (await refusal(node)).code is Exit.FAILED


async def test_a_long_wait_is_several_short_ones_and_ends_when_it_is_settled(node: Node) -> None:
    node.answers = [(202, {"state": "pending"}), (202, {"state": "pending"}), (200, {"state": "committed"})]
    async with Client(node.url, "token") as client:
        assert (await client.wait("ab", seconds=3600))["state"] == "committed"
    assert node.asked == ["GET /v1/transactions/ab?wait=25&until=committed"] * 3
    node.asked.clear()
    node.answers = [(200, {"state": "committed"}), (200, {"state": "final"})]
    async with Client(node.url, "token") as client:
        assert (await client.wait("ab", "final", 3600))["state"] == "final"
    assert len(node.asked) == 2
    node.answers, node.asked = [(202, {"state": "pending"})], []
    async with Client(node.url, "token") as client:
        assert (await client.wait("ab", seconds=0))["state"] == "pending"
    assert node.asked == ["GET /v1/transactions/ab?wait=0&until=committed"]


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://a", "http://", "127.0.0.1:7400", "http://[::1", "http://a:b"])
def test_what_is_no_address_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        Client(url, "")
    assert refused.value.code is Exit.USAGE and repr(url) in refused.value.text


async def test_nobody_there_is_said_in_plain_words() -> None:
    async with Client("http://127.0.0.1:1", "") as client:
        with pytest.raises(CommandFailed) as refused:
            await client.get("v1/status", retry=False)
    assert refused.value.code is Exit.UNAVAILABLE
    assert refused.value.text == "no answer from the node at http://127.0.0.1:1/: connection refused"


async def test_a_node_that_is_silent_ends_with_the_time_that_was_given(node: Node) -> None:
    node.answers, node.silent = [(200, {})], True
    async with Client(node.url, "", timeout_s=0.2) as client:
        with pytest.raises(CommandFailed) as refused:
            await client.get("v1/status")
    assert refused.value.code is Exit.UNAVAILABLE and "timed out" in refused.value.text


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    for path in (broken, tmp_path / "missing.pem"):
        with pytest.raises(CommandFailed) as refused:
            Client("https://127.0.0.1:1", "", ca_file=str(path))
        assert refused.value.code is Exit.USAGE and str(path) in refused.value.text


def frame(cursor: str) -> bytes:
    return f'id: {cursor}\nevent: invoices.Issued\ndata: {{"id": "{cursor}"}}\n\n'.encode()


async def test_u37_a_stream_that_breaks_off_is_taken_up_after_the_last_event(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RESUME_S", 0)
    node.answers = [
        (200, b"retry: 2000\n\n" + frame("1.0.0") + b": 1\n\n" + frame("2.0.0")),
        (200, frame("3.0.0") + b"event: closed\ndata: access ended\n\n"),
    ]
    seen = []
    async with Client(node.url, "token") as client:
        with pytest.raises(CommandFailed, match="access ended") as ended:
            async for event in client.follow("v1/events", {"types": "invoices"}):
                seen.append(event["id"])
    assert (seen, node.resumed) == (["1.0.0", "2.0.0", "3.0.0"], ["", "2.0.0"])
    assert ended.value.code is Exit.NOT_ALLOWED, "the right to read ended, so asking again is no use (U39)"


async def test_u37_a_cursor_that_is_too_old_is_refused_and_not_tried_again(node: Node) -> None:
    node.answers = [(410, Problem("cursor_expired", "Events are held from height 9 on.").document())]
    async with Client(node.url, "token") as client:
        with pytest.raises(CommandFailed, match="from height 9"):
            async for _ in client.follow("v1/events", {"from": "1.0.0"}):
                raise AssertionError("nothing may come")
    assert len(node.asked) == 1


async def test_u48_a_stream_that_is_refused_for_a_moment_is_asked_for_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "RESUME_S", 0)
    busy = (429, Problem("rate_limited", "Too many requests.").document())
    node.answers = [busy, (200, frame("1.0.0") + b"event: closed\ndata: access ended\n\n")]
    seen = []
    async with Client(node.url, "token") as client:
        with pytest.raises(CommandFailed, match="access ended"):
            async for event in client.follow("v1/events", {}):
                seen.append(event["id"])
    assert seen == ["1.0.0"]
    node.answers = [busy] * (client_module.RETRIES + 1)
    async with Client(node.url, "token") as client:
        with pytest.raises(CommandFailed, match="Too many requests"):
            async for _ in client.follow("v1/events", {}):
                raise AssertionError("nothing may come")


async def test_u7_what_is_told_of_a_request_holds_neither_token_nor_body(node: Node) -> None:
    told: list[str] = []
    node.answers = [(503, Problem("not_ready", "wait").document()), (200, {"schema": "hansa.x/1"})]
    async with Client(node.url, "hansa_me_secret", told=told.append) as client:
        await client.post("v1/rehearsals", {"body": "c2VjcmV0"})
    assert [line.split(",")[0] for line in told] == ["POST /v1/rehearsals: 503", "POST /v1/rehearsals: 200"]
    assert "secret" not in "".join(told) and "c2Vj" not in "".join(told)


async def test_u57_the_language_of_the_person_goes_with_every_request(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.answers = [(200, {"schema": "hansa.status/1"})]
    for wanted in ("zh-CN", "en"):
        monkeypatch.setenv("HANSA_LANG", wanted)
        async with Client(node.url, "") as client:
            await client.get("v1/status")
    assert node.languages == ["zh-CN", "en"]
