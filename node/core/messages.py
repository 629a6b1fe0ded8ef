"""Wire messages of the node beside consensus: transaction bodies and blocks (P21, P130, P131, P106).

Every response is verified by hash or certificate, never trusted. Tags continue those of `consensus.messages`.
"""

from __future__ import annotations

from typing import TypeAlias

from consensus.messages import Message
from ledger.certificate import CommitCertificate
from ledger.codec import Codec, Natural, Wire
from ledger.governance.follow import EpochEnd
from ledger.merkle import RangeProof
from ledger.proof import ResultProof


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

    first: Natural
    last: Natural


class CertifiedBlock(Wire, frozen=True):
    """`envelopes`: the transactions, then the evidence (`ledger.evidence`)."""

    header: bytes
    envelopes: tuple[bytes, ...]
    certificate: CommitCertificate


class Blocks(Wire, frozen=True, tag=20):
    """Consecutive certified blocks, ascending, from the first height asked for; never empty, see `Held`."""

    blocks: tuple[CertifiedBlock, ...]


class Held(Wire, frozen=True, tag=21):
    """Answer to `BlocksRequest` when block `first` is not held: what is, oldest to tip (P107)."""

    first: Natural
    oldest: Natural
    tip: Natural


class SnapshotRequest(Wire, frozen=True, tag=22):
    """Ask for the newest snapshot of the state above height `above`."""

    above: Natural


class SnapshotManifest(Wire, frozen=True):
    """A state that can be taken in chunks, and why it is the state after block `height`.

    `header` and `certificate` are those of that block. The roots lead over `links` to the execution root that
    `proof_header` names, a later certified header, as in a `ResultProof`. The chunks are the 16**depth subtrees of the
    state tree; `rows` and `size_bytes` only say how much it is.
    """

    height: Natural
    header: bytes
    certificate: CommitCertificate
    previous_exec_root: bytes
    state_root: bytes
    receipts_root: bytes
    links: tuple[tuple[bytes, bytes], ...]
    proof_header: bytes
    proof_certificate: CommitCertificate
    depth: Natural
    rows: Natural
    size_bytes: Natural


class SnapshotOffer(Wire, frozen=True, tag=23):
    """Answer to `SnapshotRequest`, and to a `ChunkRequest` for a snapshot that is gone: what is held, at most one."""

    manifests: tuple[SnapshotManifest, ...]


class ChunkRequest(Wire, frozen=True, tag=24):
    """Ask for one of the 16**depth chunks of the snapshot of a height. Who cut it otherwise does not hold it."""

    height: Natural
    depth: Natural
    index: Natural


class Chunk(Wire, frozen=True, tag=25):
    """All rows (raw key, value) of one subtree, sorted by place, and the proof that there are no others."""

    height: Natural
    index: Natural
    rows: tuple[tuple[bytes, bytes], ...]
    proof: RangeProof


class SkeletonRequest(Wire, frozen=True, tag=26):
    """Ask for headers and transaction ids of blocks first..last: what the check for repeated transactions needs."""

    first: Natural
    last: Natural


class Skeleton(Wire, frozen=True, tag=27):
    """Headers of consecutive blocks, ascending from `first` to the last one asked for, and the ids in each: they are
    bound from above, so a cut leaves out the lowest. `Held` when the last one is not held."""

    first: Natural
    headers: tuple[bytes, ...]
    tx_ids: tuple[tuple[bytes, ...], ...]


class EvidenceItem(Wire, frozen=True, tag=28):
    """An encoded `Evidence` that its sender found and that no block carries yet (P124)."""

    item: bytes


class EpochEndsRequest(Wire, frozen=True, tag=29):
    """Ask how epoch `first` and the ones after it ended (P85), and where the nodes are now (P117)."""

    first: Natural


class EpochEnds(Wire, frozen=True, tag=30):
    """Ends of epochs `first`, `first` + 1, ..., at most `ENDS_MAX`; empty when the first one is not over, or not kept.

    If no more of them are kept: `nodes`, a proof for each node record of one certified height, at most `NODES_BYTES`.
    """

    first: Natural
    ends: tuple[EpochEnd, ...]
    nodes: tuple[ResultProof, ...]


PeerMessage: TypeAlias = (
    Message
    | TxBatch
    | BodiesRequest
    | Bodies
    | BlocksRequest
    | Blocks
    | Held
    | SnapshotRequest
    | SnapshotOffer
    | ChunkRequest
    | Chunk
    | SkeletonRequest
    | Skeleton
    | EvidenceItem
    | EpochEndsRequest
    | EpochEnds
)

ENDS_MAX = 8
"""Epoch ends in one message: with `MEMBERS_MAX` members each has about 90 kB, so that eight fit into its frame."""
NODES_BYTES = 256 * 1024
"""Node proofs in the same message: those of 64 members have 200 kB."""

FRAME_LIMIT_BYTES = 4 * 1024 * 1024
"""Largest frame of any type (P140); `frame_limit` is the cap of one type."""

_SMALL = 4 * 1024
FRAME_LIMITS: dict[int, int] = {
    1: 512 * 1024, 2: _SMALL, 3: _SMALL, 4: 64 * 1024, 5: 1024 * 1024, 6: _SMALL, 7: _SMALL, 8: _SMALL, 9: _SMALL,
    10: 512 * 1024, 16: FRAME_LIMIT_BYTES, 17: 256 * 1024, 18: FRAME_LIMIT_BYTES, 19: _SMALL, 20: FRAME_LIMIT_BYTES,
    21: _SMALL, 22: _SMALL, 23: 64 * 1024, 24: _SMALL, 25: FRAME_LIMIT_BYTES, 26: _SMALL, 27: FRAME_LIMIT_BYTES,
    28: 260 * 1024, 29: _SMALL, 30: 1024 * 1024,
}  # fmt: skip
"""Cap in bytes by message tag, checked before decoding (S33, P140)."""

peer_codec: Codec[PeerMessage] = Codec(PeerMessage, "peer message", FRAME_LIMIT_BYTES)
