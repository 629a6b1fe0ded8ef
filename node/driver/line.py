"""The line of callers for whose transactions there is no place yet, first come, first served (ADR 0029).

    caller with n calls:   room for them, nobody before  ->  its turn
                           else it stands in the line    ->  its turn, or refused after `LINE_WAIT_S`
    after a turn:          the first of the line has room  ->  promised to it until it hands them in

Callers that are refused at once come back every second, all together, and the luckiest is served. In a line they cost
nothing while they stand, and nobody is passed: a batch that needs many places is not starved by single calls. What
they hold meanwhile is their body, and `LINE_BYTES_MAX` bounds that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LINE_WAIT_S: Final = 20.0
"""A caller stands this long at most: four times what a full queue takes to be ordered, and less than a client waits."""
LINE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bodies held by the callers in the line: some 28 full batches, or 7,000 single calls."""


@dataclass(frozen=True, slots=True, eq=False)
class _Caller:
    count: int
    turn: asyncio.Future[None]


class Line:
    """Gives the free places of the own company's share to callers in the order in which they came.

    `room` tells how many transactions the company may hand in now, without what is promised here.
    """

    def __init__(self, room: Callable[[], int]) -> None:
        self._room = room
        self._callers: deque[_Caller] = deque()
        self._bytes = 0
        self._promised = 0

    @property
    def standing(self) -> int:
        """Callers in the line."""
        return len(self._callers)

    @property
    def room(self) -> int:
        """Places that are free and promised to nobody."""
        return max(0, self._room() - self._promised)

    async def turn(self, count: int, size_bytes: int) -> bool:
        """Return True when `count` transactions, `size_bytes` in all, may be handed in at once; False if not in time.

        The caller hands them in without waiting for anything else: until then the places are free for the pool.
        """
        if not self._callers and count <= self.room:
            return True
        if self._bytes + size_bytes > LINE_BYTES_MAX:
            return False
        caller = _Caller(count, asyncio.get_running_loop().create_future())
        self._callers.append(caller)
        self._bytes += size_bytes
        try:
            async with asyncio.timeout(LINE_WAIT_S):
                await caller.turn
        except TimeoutError:
            return False
        finally:
            self._bytes -= size_bytes
            if caller.turn.done() and not caller.turn.cancelled():
                self._promised -= count
            else:
                self._callers.remove(caller)
                self.serve()  # it may have stood before callers who need less
        return True

    def serve(self) -> None:
        """Call the first of the line while there is room for what it brings; asked after each turn of the core."""
        while self._callers and self._callers[0].count <= self.room:
            caller = self._callers.popleft()
            self._promised += caller.count
            caller.turn.set_result(None)


__all__ = ["LINE_BYTES_MAX", "LINE_WAIT_S", "Line"]
