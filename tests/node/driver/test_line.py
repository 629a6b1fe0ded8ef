"""Callers without a place stand in a line: nobody is passed, nobody stands for ever (ADR 0029)."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from node.driver import line
from node.driver.line import LINE_BYTES_MAX, Line


class Queue:
    """Free places, and who took some, in order."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.line = Line(lambda: self.free)
        self.took: list[str] = []

    async def hand_in(self, name: str, count: int, size_bytes: int = 100) -> bool:
        given = await self.line.turn(count, size_bytes)
        if given:
            assert self.free >= count, "a turn without room"
            self.free -= count
            self.took.append(name)
        return given

    def open(self, count: int) -> None:
        self.free += count
        self.line.serve()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_adr29_who_came_first_is_served_first_and_a_large_batch_is_not_passed_by_small_ones() -> None:
    queue = Queue(10)
    assert await queue.hand_in("at once", 8)
    callers = [asyncio.ensure_future(queue.hand_in(name, count)) for name, count in (("large", 5), ("one", 1))]
    await settle()
    assert queue.took == ["at once"], "two places are free, and they are not for whom came later"
    queue.open(3)
    await settle()
    assert queue.took == ["at once", "large"] and queue.line.standing == 1
    queue.open(4)
    await settle()
    assert queue.took == ["at once", "large", "one"]
    assert all([await caller for caller in callers])


async def test_adr29_a_place_is_promised_once() -> None:
    queue = Queue(0)
    callers = [asyncio.ensure_future(queue.hand_in(str(at), 2)) for at in range(3)]
    await settle()
    queue.free = 4
    queue.line.serve()
    assert queue.line.room == 0, "promised, although nobody has handed anything in yet"
    late = asyncio.ensure_future(queue.hand_in("late", 1))
    await settle()
    assert queue.took == ["0", "1"] and queue.line.standing == 2
    queue.open(3)
    assert await callers[2] and await late and queue.took == ["0", "1", "2", "late"]


async def test_adr29_who_stood_too_long_is_refused_and_those_behind_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(1)
    monkeypatch.setattr(line, "LINE_WAIT_S", 0.02)
    large = asyncio.ensure_future(queue.hand_in("large", 3))
    await settle()
    monkeypatch.setattr(line, "LINE_WAIT_S", 10.0)
    small = asyncio.ensure_future(queue.hand_in("small", 1))
    assert await large is False
    assert await small, "the place was free for it all the time"
    assert queue.line.standing == 0


@pytest.mark.parametrize("promised", [False, True])
async def test_adr29_a_caller_that_goes_away_leaves_no_place_taken(*, promised: bool) -> None:
    queue = Queue(0)
    gone = asyncio.ensure_future(queue.hand_in("gone", 2))
    stays = asyncio.ensure_future(queue.hand_in("stays", 2))
    await settle()
    if promised:
        queue.open(2)
    gone.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await gone
    if not promised:
        queue.free = 2
    queue.line.serve()
    assert await stays and queue.took == ["stays"]
    assert queue.line.room == 0 and queue.line.standing == 0


async def test_adr29_what_the_line_holds_has_a_bound() -> None:
    queue = Queue(0)
    first = asyncio.ensure_future(queue.hand_in("first", 1, LINE_BYTES_MAX))
    await settle()
    assert await queue.hand_in("no room in the line", 1, 1) is False
    queue.open(1)
    assert await first
    held = asyncio.ensure_future(queue.hand_in("held", 1, LINE_BYTES_MAX))
    await settle()
    queue.open(1)
    assert await held, "the bytes of who was served are free again"
