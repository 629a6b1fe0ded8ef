"""Incoming connections until their TLS handshake is over: how many strangers may hold something here (P140).

Before the handshake nobody has shown a key, and asyncio gives each TLS connection a buffer of 256 KiB before its first
byte came. So connections are taken without TLS and begin their handshake here, `HANDSHAKES_MAX` of them at a time. One
more takes the place of the oldest one of the source that has most: who opens many pushes out its own, and a node that
dials from elsewhere is let through. There is no smaller bound for one source, because the nodes of a development
network, or of members behind one gateway, all dial from one address.

Door: `Arrivals.protocol` for `create_server`, and `Arrivals.close`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from node.identity.tls import HANDSHAKE_TIMEOUT_S

HANDSHAKES_MAX: Final = 64
"""TLS handshakes at once: as many as members of a network can dial together; they hold 20 MiB at most."""
HANDSHAKES_FULL: Final = "too_many_handshakes"
"""Stable reason of a rejection: a connection that was ended for a newer one before its handshake was over."""


class Arrivals:
    """All connections whose handshake goes on."""

    def __init__(
        self,
        context: ssl.SSLContext,
        new_link: Callable[[], asyncio.Protocol],
        on_refused: Callable[[str], None],
    ) -> None:
        """`new_link` makes the protocol of a connection that came through; `on_refused` is told a stable reason."""
        self._context = context
        self._new_link = new_link
        self._on_refused = on_refused
        self._waiting: dict[_Arrival, asyncio.Task[None]] = {}
        self._closing = False

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol of a connection that was just accepted, without TLS."""
        return _Arrival(self._begin)

    async def close(self) -> None:
        """End all handshakes, also those of connections that are still being accepted."""
        self._closing = True
        tasks = list(self._waiting.values())
        for arrival in list(self._waiting):
            self._end(arrival)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, arrival: _Arrival) -> None:
        if self._closing:
            arrival.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._shake_hands(arrival), name="handshake with a peer")
        self._waiting[arrival] = task
        if len(self._waiting) > HANDSHAKES_MAX:
            self._end(self._oldest_of_the_busiest())
            self._on_refused(HANDSHAKES_FULL)

    def _end(self, arrival: _Arrival) -> None:
        """Give a connection up at once."""
        self._waiting.pop(arrival).cancel()
        arrival.transport.abort()

    def _oldest_of_the_busiest(self) -> _Arrival:
        count = Counter(arrival.source for arrival in self._waiting)
        most = max(count.values())
        return next(arrival for arrival in self._waiting if count[arrival.source] == most)

    async def _shake_hands(self, arrival: _Arrival) -> None:
        """Let the link take over when the handshake succeeds; asyncio ends the connection when it does not."""
        try:
            tls = await asyncio.get_running_loop().start_tls(
                arrival.transport,
                arrival,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            )
        except OSError:
            return  # no TLS, no registered key, too slow, or gone: nobody is known to whom it could be charged
        finally:
            self._waiting.pop(arrival, None)
        if tls is None:  # it went away with the last byte of the handshake
            return
        link = self._new_link()
        tls.set_protocol(link)
        link.connection_made(tls)
        if arrival.early:
            link.data_received(bytes(arrival.early))


class _Arrival(asyncio.Protocol):
    """One connection before its link. `early` is what came together with the end of the handshake."""

    def __init__(self, begin: Callable[[_Arrival], None]) -> None:
        self._begin = begin
        self.transport: Any = None
        self.source = ""
        self.early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is accepted; nothing is read from it before TLS does."""
        self.transport = transport
        self.transport.pause_reading()
        self.source = source_of(transport.get_extra_info("peername"))
        self._begin(self)

    def data_received(self, data: bytes) -> None:
        """Keep what asyncio hands over between the end of the handshake and the next step of its task."""
        self.early += data


def source_of(peername: Any) -> str:
    """Return who has a connection, as far as its address tells senders apart: whoever has an IPv6 address has its /64.

    `peername` is that of asyncio, None for a connection that is gone already.

    >>> source_of(("2001:db8::1", 7401, 0, 0)) == source_of(("2001:db8::2", 7401, 0, 0))
    True
    >>> source_of(("::ffff:192.0.2.1", 7401, 0, 0))
    '192.0.2.1'
    """
    if not peername:
        return ""
    address = ip_address(peername[0])
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
