"""Trace hash (M15, SIM7): a running SHA-256 over one record per event, plus what became of every height.

Equal hashes mean equal runs: the record of a step holds its time, its node, the event and all effects, in the
canonical encoding of their fields. Records are collected and hashed some dozens at a time, which gives the same hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from ledger.crypto.hashing import Tag, lp

_encode_into = msgspec.msgpack.Encoder(enc_hook=repr).encode_into
WORD_BITS: Final = 64
BUFFER_BYTES: Final = 1 << 13
"""Records wait for the hash up to this size: some thirty, which stay in the cache of the processor."""


def _wide(record: Any) -> Any:
    """Return a record as its fields, bit masks of more than 64 votes as bytes: they have no MessagePack form."""
    if not isinstance(record, msgspec.Struct):
        return record
    values = (getattr(record, name) for name in record.__struct_fields__)
    return [value.to_bytes((value.bit_length() + 7) // 8, "big") if _is_wide(value) else value for value in values]


def _is_wide(value: Any) -> bool:
    return type(value) is int and value.bit_length() > WORD_BITS


class TraceHash:
    """Feed `step` and `note`; read `hexdigest`."""

    __slots__ = ("_buffer", "_hash", "records")

    def __init__(self, *parts: bytes) -> None:
        self._hash = sha256(lp(Tag.TRACE.value.encode(), *parts))
        self._buffer = bytearray()
        self.records = 0

    def step(self, time_ns: int, slot: int, event: Any, effects: Sequence[Any]) -> None:
        """Record one step of a node core."""
        self.records += 1
        buffer = self._buffer
        whole = len(buffer)
        try:
            _encode_into((time_ns, slot, type(event).__name__, event), buffer, whole)
            for effect in effects:
                _encode_into((type(effect).__name__, effect), buffer, -1)
        except OverflowError:
            _encode_into((time_ns, slot, type(event).__name__, _wide(event)), buffer, whole)
            for effect in effects:
                _encode_into((type(effect).__name__, _wide(effect)), buffer, -1)
        if len(buffer) > BUFFER_BYTES:
            self._flush()

    def note(self, time_ns: int, what: str, *parts: Any) -> None:
        """Record something the world did: a fault, a crash, a committed height."""
        self.records += 1
        _encode_into((time_ns, what, parts), self._buffer, -1)

    def hexdigest(self) -> str:
        self._flush()
        return self._hash.copy().hexdigest()

    def _flush(self) -> None:
        self._hash.update(self._buffer)
        self._buffer.clear()
