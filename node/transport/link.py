"""One authenticated connection: TLS pin, signed hello, then frames both ways (S30, S31, S33, E35).

A plain asyncio protocol. It knows bytes, limits and the hello; which links exist, who dials and what happens to a
message is the business of `node.transport.peers`, which it reaches through `LinkOwner`.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from ledger.errors import PeerMisbehaved
from node.core.messages import PeerMessage
from node.identity.hello import HELLO_TIMEOUT_S, NONCE_BYTES, HelloExchange, HelloSigner, LinkEnds
from node.transport.frames import HELLO_TYPE, LIMITS, NONCE_TYPE, FrameReader, decode_message, frame
from node.transport.limits import Buckets, OutboundQueue

WRITE_HIGH_BYTES: Final = 1024 * 1024
"""Bytes that asyncio may hold for a peer before frames wait in our own queue, where they can be dropped."""
IDLE_TIMEOUT_S: Final = 35.0
"""A member sends STATUS at least every 10 s (bound of `status_ms`); three missed ones end the link."""
RECONNECT_SOON: Final = "replaced by a newer link"
UNKNOWN_KIND: Final = "unknown_kind"
"""Stable reason of a rejection: a message type that only a later version knows (P22)."""

_KEEPALIVE_S: Final = 10
_USER_TIMEOUT_MS: Final = 20_000
_TCP_INFO_RTT_OFFSET: Final = 68
"""Of `tcpi_rtt` in Linux' `struct tcp_info`: eight bytes and fifteen words before it."""


class LinkState(Enum):
    NONCE = "nonce"
    HELLO = "hello"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Who is at the other end, from the registry, and what its hello must show. Its index moves with the epoch."""

    node_id: str
    keys: tuple[bytes, ...]


class LinkOwner(Protocol):
    """What a link asks of the whole."""

    def identify(self, link: Link, certificate_der: bytes) -> Remote | None:
        """Note a link that came through the handshake; return the node whose pin its certificate carries (S30)."""
        ...

    def ends(self, remote: Remote, certificate_der: bytes) -> LinkEnds: ...
    @property
    def signer(self) -> HelloSigner: ...
    def height(self) -> int: ...
    def admitted(self, link: Link) -> bool:
        """The hello is verified; tell whether this link is the one to keep."""
        ...

    def received(self, link: Link, message: PeerMessage) -> bool:
        """Take a message; False: not now, the link stops reading until `resume`."""
        ...

    def misbehaved(self, link: Link, reason: str, detail: str) -> None: ...
    def passed_over(self, link: Link, reason: str) -> None:
        """Count a message that was not taken although a correct node may send it."""
        ...

    def closed(self, link: Link) -> None: ...


class Link(asyncio.Protocol):
    """A connection in either direction. `expected` is the node that was dialled, or "" for an accepted one."""

    def __init__(
        self,
        owner: LinkOwner,
        expected: str,
        outbound_max_bytes: int,
        spent: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._owner = owner
        self._spent = spent
        self.expected = expected
        self.remote: Remote | None = None
        self.state = LinkState.NONCE
        self.problem = ""
        self.received_frames = 0
        self.sent_bytes = 0
        self.last_heard_ns = 0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: Any = None
        self._reader = FrameReader()
        self._buckets = Buckets()
        self._exchange: HelloExchange | None = None
        self._out: list[bytes] = []
        self._queue = OutboundQueue(outbound_max_bytes)
        self._paused = False
        self._held: PeerMessage | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- asyncio -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TLS handshake is over; find out who it is and begin the hello."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        _tune(transport.get_extra_info("socket"))
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(True)
        remote = self._owner.identify(self, certificate) if certificate is not None else None
        if remote is None or certificate is None:
            self.close("its TLS key is not registered, or it is kept out for a while")
            return
        if self.expected and remote.node_id != self.expected:
            self.close(f"node {remote.node_id} answered where node {self.expected} was dialled")
            return
        self.remote = remote
        self.last_heard_ns = time.monotonic_ns()
        ends = self._owner.ends(remote, certificate)
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._exchange = HelloExchange(ends, self._owner.signer, nonce, self._owner.height())
        self._transport.write(frame(NONCE_TYPE, self._exchange.opening()))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HELLO_TIMEOUT_S, self.close, "it did not finish the hello in time")

    def data_received(self, data: bytes) -> None:
        """Cut frames from the stream and hand their messages on, in order."""
        if self.state is LinkState.CLOSED:
            return
        mark = time.thread_time_ns()
        self.last_heard_ns = time.monotonic_ns()
        self._reader.feed(data)
        self._read()
        self._spent(time.thread_time_ns() - mark)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        if not self.problem:
            refused = self.state is not LinkState.OPEN
            self.problem = _reason(exc) or ("it refused us" if refused else "it closed the link")
        self.state = LinkState.CLOSED
        if self._timer is not None:
            self._timer.cancel()
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_result(None)
        self._owner.closed(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()

    # -- out ---------------------------------------------------------------------------------------------------

    def send(self, kind: int, data: bytes) -> None:
        """Queue a frame for the next `flush`."""
        if self.state is not LinkState.OPEN:
            return
        if self._paused:
            self._queue.add(kind, data)
        else:
            self._out.append(data)

    def flush(self) -> None:
        """Write everything queued in one call (E35)."""
        if self.state is not LinkState.OPEN or self._paused:
            return
        frames = [queued.frame for queued in self._queue.take()] if len(self._queue) else []
        frames += self._out
        if frames:
            self._out = []
            joined = frames[0] if len(frames) == 1 else b"".join(frames)
            self.sent_bytes += len(joined)
            self._transport.write(joined)

    def close(self, problem: str) -> None:
        """End the link for the reason `problem`; harmless when repeated."""
        if self.state is LinkState.CLOSED:
            return
        self.state = LinkState.CLOSED
        self.problem = self.problem or problem
        if self._transport is not None:
            self._transport.abort()

    @property
    def dropped(self) -> int:
        """Frames dropped because the peer did not take them in time."""
        return self._queue.dropped

    def round_trip_us(self) -> int:
        """Return the kernel's estimate, or 0 where there is none."""
        handle = self._transport.get_extra_info("socket") if self._transport is not None else None
        if handle is None or not hasattr(socket, "TCP_INFO"):
            return 0
        try:
            info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RTT_OFFSET + 4)
        except OSError:
            return 0
        if len(info) < _TCP_INFO_RTT_OFFSET + 4:
            return 0
        estimate: int = struct.unpack_from("I", info, _TCP_INFO_RTT_OFFSET)[0]
        return estimate

    # -- in ----------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on reading after `received` said "not now"."""
        if self._held is None or self.state is not LinkState.OPEN:
            return
        message, self._held = self._held, None
        if not self._owner.received(self, message):
            self._held = message
            return
        self._read()
        if not self._holds and self.state is LinkState.OPEN:
            self._transport.resume_reading()

    @property
    def _holds(self) -> bool:
        """A message was not taken, and waits."""
        return self._held is not None

    def _read(self) -> None:
        try:
            while not self._holds and self.state is not LinkState.CLOSED:
                found = self._reader.next()
                if found is None:
                    return
                self.received_frames += 1
                if self.state is LinkState.OPEN:
                    self._message(*found)
                else:
                    self._hello(*found)
        except PeerMisbehaved as error:
            self._owner.misbehaved(self, error.reason, str(error))
            self.close(f"it broke the protocol ({error})")

    def _message(self, kind: int, body: bytes) -> None:
        if kind in (NONCE_TYPE, HELLO_TYPE):
            raise PeerMisbehaved("hello_twice")
        if not self._buckets.take(kind, self.last_heard_ns):
            self._owner.misbehaved(self, "rate", f"too many messages of type {kind}")
            return
        if kind not in LIMITS:
            self._owner.passed_over(self, UNKNOWN_KIND)
            return
        message = decode_message(kind, body)
        if not self._owner.received(self, message):
            self._held = message
            self._transport.pause_reading()

    def _hello(self, kind: int, body: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            raise PeerMisbehaved("hello_order")
        if self.state is LinkState.NONCE and kind == NONCE_TYPE:
            self._transport.write(frame(HELLO_TYPE, exchange.on_nonce(body)))
            self.state = LinkState.HELLO
            return
        if self.state is LinkState.HELLO and kind == HELLO_TYPE:
            exchange.on_hello(body)
            self._open()
            return
        raise PeerMisbehaved("hello_order", f"a frame of type {kind} before the hello")

    def _open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.state = LinkState.OPEN
        self._reader.skips_unknown = True
        if not self._owner.admitted(self):
            self.close(RECONNECT_SOON)
            return
        if not self.opened.done():
            self.opened.set_result(None)
        self._timer = asyncio.get_running_loop().call_later(IDLE_TIMEOUT_S, self._watch)

    def _watch(self) -> None:
        """End a link on which nothing arrives although a member always has something to say."""
        silent = (time.monotonic_ns() - self.last_heard_ns) / 1e9
        if silent >= IDLE_TIMEOUT_S and self._held is None:
            self.close(f"nothing heard for {int(silent)} s")
            return
        left = max(1.0, IDLE_TIMEOUT_S - silent)
        self._timer = asyncio.get_running_loop().call_later(left, self._watch)


LinkMaker = Callable[[], Link]


def _tune(handle: Any) -> None:
    """Send at once, and let the kernel notice a peer that went away without a word."""
    if handle is None or handle.family not in (socket.AF_INET, socket.AF_INET6):
        return
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_S),
        ("TCP_KEEPINTVL", _KEEPALIVE_S),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            handle.setsockopt(socket.IPPROTO_TCP, option, value)


def _reason(error: BaseException | None) -> str:
    """Return why a connection failed, in words that an operator understands."""
    match error:
        case None:
            return ""
        case ssl.SSLError() if "certificate" in str(error).lower() or "unknown ca" in str(error).lower():
            return "its certificate or ours is not registered at the other end"
        case ssl.SSLError():
            return f"TLS: {error.reason or error}"
        case TimeoutError():
            return "timed out"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError() | BrokenPipeError():
            return "it closed the connection"
        case socket.gaierror():
            return "its host name does not resolve"
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)


reason_of = _reason
