"""Trace hash (M15, SIM7): a running SHA-256 over one record per event, plus what became of every height.

Equal hashes mean equal runs: the record of a step holds its time, its node, the event and all effects, in the
canonical encoding of their fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from ledger.crypto.hashing import Tag, lp

_encode = msgspec.msgpack.Encoder(enc_hook=repr).encode


class TraceHash:
    """Feed `step` and `note`; read `hexdigest`."""

    __slots__ = ("_hash", "records")

    def __init__(self, *parts: bytes) -> None:
        self._hash = sha256(lp(Tag.TRACE.value.encode(), *parts))
        self.records = 0

    def step(self, time_ns: int, slot: int, event: Any, effects: Sequence[Any]) -> None:
        """Record one step of a node core."""
        self.records += 1
        try:
            self._hash.update(_encode((time_ns, slot, type(event).__name__, event)))
            for effect in effects:
                self._hash.update(_encode((type(effect).__name__, effect)))
        except OverflowError:  # a bit mask of more than 64 votes has no MessagePack form
            self._hash.update(repr((time_ns, slot, event, effects)).encode())

    def note(self, time_ns: int, what: str, *parts: Any) -> None:
        """Record something the world did: a fault, a crash, a committed height."""
        self.records += 1
        self._hash.update(_encode((time_ns, what, parts)))

    def hexdigest(self) -> str:
        return self._hash.copy().hexdigest()
