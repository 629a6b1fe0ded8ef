"""Settings of the HTTP listener, frozen and built once by `node/app.py` from the node's configuration."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Final

from node.api.limits import RateSettings

STREAMS_MAX: Final = 256
REQUESTS_MAX: Final = 64
WAITS_MAX: Final = 1_000
QUEUE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Where to listen and what to accept.

    `hosts` are the host names (without port) a request may name (S49). `tls` None serves plain HTTP, which is
    for loopback and development networks only (S46); `check` refuses anything else.
    """

    host: str = "127.0.0.1"
    port: int = 7400
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    tls: ssl.SSLContext | None = None
    rates: RateSettings = field(default_factory=RateSettings)
    streams_max: int = STREAMS_MAX
    """Event streams open at once."""
    requests_max: int = REQUESTS_MAX
    """Requests in work at once; others wait up to `queue_s`, then get 503 (S52)."""
    waits_max: int = WAITS_MAX
    """Requests that wait for a block, or for room in the queue, at once; they have places of their own."""
    queue_s: float = QUEUE_S
    header_s: float = 5.0
    body_s: float = 5.0
    heartbeat_s: float = 15.0
    write_s: float = 20.0
    """A stream reader that takes nothing for this long is closed with `lagged` (U38)."""
    pages: bool = True
    """False serves the API alone, without the web pages."""
    language: str = "en"
    """Language of pages before a browser says otherwise."""

    def check(self, production: bool) -> None:
        """Raise `UnsafeListener` for plain HTTP outside loopback or in production (S46)."""
        if self.tls is None and (production or self.host not in ("127.0.0.1", "::1", "localhost")):
            raise UnsafeListener(self.host, production)


class UnsafeListener(Exception):
    """Plain HTTP was asked for where it would expose tokens. The listener does not open."""

    def __init__(self, host: str, production: bool) -> None:
        where = "a production network" if production else f"the address {host}"
        super().__init__(f"plain HTTP on {where} is refused. Give the API a certificate and key, or use 127.0.0.1.")
        self.host = host
