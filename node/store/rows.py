"""Disk records of the chain store, and the keys under which they stand.

Heights are big-endian in keys, so the order of keys is the order of heights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from ledger.block import BlockRef, Header
from ledger.certificate import CERTIFICATE_LIMIT_BYTES, CommitCertificate
from ledger.codec import Codec, Wire
from ledger.governance.act import GOVERNANCE
from ledger.receipt import ContractEvent

FORMAT: Final = 1
"""Version of the layout of this environment; a change is a new number and a migration."""
RECEIPTS_PER_CHUNK: Final = 64
"""Receipts sealed together: a third of the price of sealing each (E30), and one look-up opens some 25 KB."""
PARTY_BYTES: Final = 27
"""Length of a company id: `c` and 26 base32 characters (S17)."""
EVERYBODY: Final = "*" * PARTY_BYTES
"""Stands in the index of events for all companies at once; no company id looks like it."""
_BLOCK_LIMIT_BYTES: Final = 8 * 1024 * 1024
_CHUNK_LIMIT_BYTES: Final = RECEIPTS_PER_CHUNK * 256 * 1024
_BASE32: Final = b"abcdefghijklmnopqrstuvwxyz234567"


class Meta(Wire, frozen=True):
    """One record. `tip` is the highest stored block, `base` the height of the flushed state rows."""

    format: int
    chain_id: bytes
    tip: int
    base: int
    executed: int


class Horizon(Wire, frozen=True):
    """One record, on a store that does not begin at block 0. `oldest` is the lowest height whose block, receipts and
    events are held, `results_from` the lowest whose roots are."""

    oldest: int
    results_from: int


class HeaderRow(Wire, frozen=True):
    """`work_height`: see `BlockRef`."""

    header: bytes
    certificate: CommitCertificate
    work_height: int


class PayloadRow(Wire, frozen=True):
    tx_ids: tuple[bytes, ...]
    envelopes: tuple[bytes, ...]


class ResultRow(Wire, frozen=True):
    """Roots of an executed height; everything that links it to a later certified header."""

    state_root: bytes
    receipts_root: bytes
    exec_root: bytes


meta_codec: Final[Codec[Meta]] = Codec(Meta, "chain store head", 256)
horizon_codec: Final[Codec[Horizon]] = Codec(Horizon, "chain store horizon", 64)
header_row_codec: Final[Codec[HeaderRow]] = Codec(HeaderRow, "stored header", CERTIFICATE_LIMIT_BYTES + 4096)
payload_codec: Final[Codec[PayloadRow]] = Codec(PayloadRow, "stored payload", _BLOCK_LIMIT_BYTES)
result_codec: Final[Codec[ResultRow]] = Codec(ResultRow, "stored result", 256)
chunk_codec: Final[Codec[tuple[bytes, ...]]] = Codec(tuple[bytes, ...], "stored receipts", _CHUNK_LIMIT_BYTES)


class _EnvelopeHead(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The body of an envelope; its signatures are skipped."""

    body: bytes


class _BodyHead(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The first fields of a transaction body, enough to read its expiry; later fields are skipped."""

    version: int
    signers: msgspec.Raw
    nonce: int
    valid_until_height: int


_envelope_decoder: Final = msgspec.msgpack.Decoder(_EnvelopeHead)
_head_decoder: Final = msgspec.msgpack.Decoder(_BodyHead)


def valid_until(envelope: bytes) -> int:
    """Return the expiry height of an envelope that was decoded and checked before (LR2)."""
    return _head_decoder.decode(_envelope_decoder.decode(envelope).body).valid_until_height


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHeader:
    """A committed header with its certificate."""

    ref: BlockRef
    header: Header
    header_bytes: bytes
    certificate: CommitCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlock:
    """A committed block as it was stored."""

    ref: BlockRef
    header: Header
    header_bytes: bytes
    envelopes: tuple[bytes, ...]
    tx_ids: tuple[bytes, ...]
    certificate: CommitCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    height: int
    state_root: bytes
    receipts_root: bytes
    exec_root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A contract event at its place: `position` of the transaction in the block, `index` of the event in it."""

    height: int
    position: int
    index: int
    tx_id: bytes
    event: ContractEvent


def height_key(height: int) -> bytes:
    return height.to_bytes(8, "big")


def chunk_key(height: int, chunk: int) -> bytes:
    return height.to_bytes(8, "big") + chunk.to_bytes(4, "big")


def place_key(height: int, position: int, index: int) -> bytes:
    return height.to_bytes(8, "big") + position.to_bytes(4, "big") + index.to_bytes(4, "big")


def split_place(key: bytes) -> tuple[int, int, int]:
    """Return (height, position, index) from the last 16 bytes of a key."""
    tail = key[-16:]
    return int.from_bytes(tail[:8], "big"), int.from_bytes(tail[8:12], "big"), int.from_bytes(tail[12:], "big")


def parties_of(event: ContractEvent) -> list[str]:
    """Return the company ids among the fields of an event, without repeats, in order of the fields.

    What companies decide about their network is kept once, under `EVERYBODY`: it concerns them all (S22).

    Ids are self-certifying and of one form (S17), so the form tells them apart without the program's interface. A
    text that looks like one only adds an index entry.
    """
    if event.contract == GOVERNANCE:
        return [EVERYBODY]
    found: list[str] = []
    for field in event.fields:
        if isinstance(field, str) and len(field) == PARTY_BYTES and field[0] == "c" and field not in found:
            raw = field[1:].encode("utf-8")
            if not raw.translate(None, _BASE32):
                found.append(field)
    return found
