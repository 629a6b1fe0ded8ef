"""Wire messages of the node beside consensus: transaction bodies and blocks (P21, P130, P131, P106).

Every response is verified by hash or certificate, never trusted. Tags continue those of `consensus.messages`.
"""

from __future__ import annotations

from typing import TypeAlias

from consensus.messages import Message
from ledger.certificate import CommitCertificate
from ledger.codec import Codec, Wire


class TxBatch(Wire, frozen=True, tag=16):
    """Envelopes pushed by the node that admitted them to every other member (P130)."""

    envelopes: tuple[bytes, ...]


class BodiesRequest(Wire, frozen=True, tag=17):
    """Pull of the bodies behind a proposal (P131); `tx_ids` may name evidence as well."""

    block_id: bytes
    tx_ids: tuple[bytes, ...]


class Bodies(Wire, frozen=True, tag=18):
    block_id: bytes
    envelopes: tuple[bytes, ...]


class BlocksRequest(Wire, frozen=True, tag=19):
    """Ask for certified blocks first..last, inclusive (P107)."""

    first: int
    last: int


class CertifiedBlock(Wire, frozen=True):
    """`envelopes`: the transactions, then the evidence (`ledger.evidence`)."""

    header: bytes
    envelopes: tuple[bytes, ...]
    certificate: CommitCertificate


class Blocks(Wire, frozen=True, tag=20):
    """Consecutive certified blocks, ascending; empty if the sender holds none of them."""

    blocks: tuple[CertifiedBlock, ...]


class EvidenceItem(Wire, frozen=True, tag=21):
    """An encoded `Evidence` that its sender found and that no block carries yet (P124)."""

    item: bytes


PeerMessage: TypeAlias = Message | TxBatch | BodiesRequest | Bodies | BlocksRequest | Blocks | EvidenceItem

FRAME_LIMIT_BYTES = 4 * 1024 * 1024
"""Largest frame of any type (P140); `frame_limit` is the cap of one type."""

_SMALL = 4 * 1024
FRAME_LIMITS: dict[int, int] = {
    1: 512 * 1024, 2: _SMALL, 3: _SMALL, 4: 64 * 1024, 5: 1024 * 1024, 6: _SMALL, 7: _SMALL, 8: _SMALL, 9: _SMALL,
    10: 512 * 1024, 16: FRAME_LIMIT_BYTES, 17: 256 * 1024, 18: FRAME_LIMIT_BYTES, 19: _SMALL, 20: FRAME_LIMIT_BYTES,
    21: 260 * 1024,
}  # fmt: skip
"""Cap in bytes by message tag, checked before decoding (S33, P140)."""

peer_codec: Codec[PeerMessage] = Codec(PeerMessage, "peer message", FRAME_LIMIT_BYTES)
