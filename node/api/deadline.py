"""Slow connections (S51). aiohttp alone keeps slow headers and idle sockets open for minutes.

`DeadlineHandler` closes a connection that has not sent a complete header within five seconds of opening it or of
starting one, and `DeadlineRunner` puts it in place of aiohttp's own handler and bounds connections per prefix.
Bodies have their own deadline where they are read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from time import thread_time_ns
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from node.api.limits import prefix_of
from node.driver.meter import Timed

HEADER_S: Final = 5.0
BODY_S: Final = 5.0
IDLE_S: Final = 30.0
SHUTDOWN_S: Final = 0.5
"""What running requests get when the node stops (C30); streams are told before."""
CONNECTIONS_PER_PREFIX: Final = 256
LINE_BYTES: Final = 8_190
HEADERS_MAX: Final = 64


class DeadlineHandler(RequestHandler):
    """One connection with a deadline for the next complete header."""

    __slots__ = ("_deadline", "_prefix", "_server")

    def __init__(self, manager: DeadlineServer, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._prefix = ""
        self._server = manager

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._prefix = prefix_of(str(peer[0])) if isinstance(peer, tuple) and peer else "local"
        crowded = self._server.opened(self._prefix)
        super().connection_made(transport)
        if crowded:
            self.force_close()
            return
        self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        if self._prefix:
            self._server.closed(self._prefix)
            self._prefix = ""
        super().connection_lost(exc)

    async def _handle_request(self, *request: Any) -> tuple[web.StreamResponse, bool]:
        """Handle one request; the CPU time of its steps is charged (performance E40)."""
        return await Timed(super()._handle_request(*request), self._server.spent)

    def data_received(self, data: bytes) -> None:
        mark = thread_time_ns()
        super().data_received(data)
        self._server.spent(thread_time_ns() - mark)
        if self._messages or self._request_in_progress:
            self._disarm()
        elif self._deadline is None and data:
            self._arm()  # the first bytes of the next header on a kept connection

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self._loop.call_later(self._server.header_s, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self._messages and not self._request_in_progress:
            self.force_close()


class DeadlineServer(web.Server):
    """aiohttp's connection factory with our handler and a cap of connections per address prefix."""

    def __init__(
        self, *args: Any, header_s: float, per_prefix: int, spent: Callable[[int], None], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.header_s = header_s
        self.spent = spent
        self._per_prefix = per_prefix
        self._open: Counter[str] = Counter()

    def opened(self, prefix: str) -> bool:
        """Count a connection; True if this prefix has too many."""
        self._open[prefix] += 1
        return self._open[prefix] > self._per_prefix

    def closed(self, prefix: str) -> None:
        self._open[prefix] -= 1
        if self._open[prefix] <= 0:
            del self._open[prefix]

    def __call__(self) -> RequestHandler:
        return DeadlineHandler(self, loop=self._loop, **self._kwargs)


class DeadlineRunner(web.AppRunner):
    """Runs an application behind `DeadlineServer`; `spent` is told the CPU nanoseconds that requests took."""

    def __init__(
        self,
        app: web.Application,
        *,
        header_s: float = HEADER_S,
        per_prefix: int = CONNECTIONS_PER_PREFIX,
        spent: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__(
            app,
            handle_signals=False,
            access_log=None,
            keepalive_timeout=IDLE_S,
            lingering_time=0,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
            shutdown_timeout=SHUTDOWN_S,
        )
        self._header_s = header_s
        self._per_prefix = per_prefix
        self._spent = spent

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        kwargs = plain._kwargs
        return DeadlineServer(
            plain.request_handler,
            request_factory=plain.request_factory,
            loop=plain._loop,
            header_s=self._header_s,
            per_prefix=self._per_prefix,
            spent=self._spent,
            **kwargs,
        )
