"""The load of `hansa bench`: a node that is busy for a moment is part of the measurement, not its end."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cli.bench import load
from cli.bench.load import Sender
from cli.exit_codes import Exit
from cli.failure import CommandFailed


async def _asked(answers: list[tuple[int, str]]) -> tuple[tuple[int, bytes], int]:
    """Return the end of one request to a server that gives these answers, the last one for ever, and how many it got."""
    asked: list[bytes] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.read())
        status, pause_s = answers[min(len(asked), len(answers)) - 1]
        return web.Response(status=status, body=b"%d" % status, headers={"Retry-After": pause_s} if pause_s else {})

    application = web.Application()
    application.router.add_post("/batch", answer)
    async with TestServer(application) as server, Sender([]) as sender:
        end = await sender._ask("POST", str(server.make_url("/batch")), {}, b"calls")
    assert set(asked) == {b"calls"}
    return end, len(asked)


async def test_a_busy_node_is_asked_again() -> None:
    assert await _asked([(503, "0"), (503, "0"), (202, "")]) == ((202, b"202"), 3)


@pytest.mark.parametrize("refusal", [(503, ""), (500, "0"), (422, "")])
async def test_any_other_refusal_ends_the_run(refusal: tuple[int, str]) -> None:
    assert await _asked([refusal]) == ((refusal[0], b"%d" % refusal[0]), 1)


async def test_a_node_that_stays_busy_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BUSY_S", -1)
    assert await _asked([(503, "0")]) == ((503, b"503"), 1)


async def test_a_failure_of_the_load_is_raised_as_it_is_out_of_groups_in_groups() -> None:
    async def fail() -> None:
        raise CommandFailed(Exit.FAILED, "the node lost a transaction", "see its log")

    with pytest.raises(CommandFailed, match="lost a transaction"):
        async with load._together() as outer:

            async def stream() -> None:
                async with load._together() as inner:
                    inner.create_task(fail())

            outer.create_task(stream())


async def test_a_fault_of_the_load_itself_is_not_hidden() -> None:
    async def fail() -> None:
        raise KeyError("a bug")

    with pytest.raises(ExceptionGroup) as caught:
        async with load._together() as group:
            group.create_task(fail())
    assert caught.group_contains(KeyError)
