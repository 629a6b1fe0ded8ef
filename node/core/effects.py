"""Outputs of `NodeCore`, performed in list order by the driver and by the simulator alike.

`SendPeer`, `BroadcastPeer`, `StoreBlock` and `Execute` leave only when the journal is durable up to `after`
(0: at once). All `AppendJournal` effects of one turn go into one durable write (P156).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from consensus.effects import Halt, Report, SignatureItem, Silence
from consensus.events import Lsn
from consensus.records import Record
from ledger.block import BlockRef, Header
from ledger.certificate import CommitCertificate
from ledger.transaction import Transaction
from node.core.events import AnyTimer, JournalBody
from node.core.messages import PeerMessage, SnapshotManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendJournal:
    lsn: Lsn
    record: Record
    body: JournalBody | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneJournal:
    """Drop records below lsn `before` and bodies up to height `bodies_up_to`."""

    before: Lsn
    bodies_up_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPeer:
    to: int
    message: PeerMessage
    after: Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastPeer:
    message: PeerMessage
    after: Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyVotes:
    """Check vote signatures; answered by `VotesVerified`."""

    token: int
    items: tuple[SignatureItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyTransactions:
    """Check every signature of each transaction over its tx id; answered by `TransactionsVerified`."""

    token: int
    transactions: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBlock:
    """Keep a certified block; it becomes durable with the next flush of the block store.

    `envelopes`: the transactions, as many as `tx_ids`, then the evidence.
    """

    ref: BlockRef
    header: Header
    header_bytes: bytes
    envelopes: tuple[bytes, ...]
    tx_ids: tuple[bytes, ...]
    certificate: CommitCertificate
    after: Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Run `ledger.transition.apply_block` on the state of height - 1; answered by `BlockExecuted`."""

    height: int
    header: Header
    transactions: tuple[Transaction, ...]
    evidence: tuple[bytes, ...]
    after: Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class SendBlocks:
    """Serve certified blocks first..last from the block store to member `to`, within one frame."""

    to: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSnapshot:
    """Offer member `to` the newest snapshot above a height, or nothing."""

    to: int
    above: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendChunk:
    """Serve one chunk of a snapshot, or say which snapshot is held instead."""

    to: int
    height: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSkeleton:
    """Serve headers and ids of blocks first..last to member `to`, within one frame."""

    to: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginSnapshot:
    """Make room for a verified snapshot; what was collected of another one is dropped."""

    manifest: SnapshotManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepChunk:
    """Keep the verified rows of chunk `index` durably."""

    index: int
    rows: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSkeleton:
    """Keep ids of verified blocks first.. durably: (block id, transaction ids) of each, ascending. All heights above
    are kept already; `parent` is the id of the block below."""

    first: int
    parent: bytes
    blocks: tuple[tuple[bytes, tuple[bytes, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSnapshot:
    """Everything of the snapshot is kept: the shell replaces the chain store by it and starts the core anew."""

    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSnapshot:
    """Nobody offers the snapshot any more: what was collected is of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    timer: AnyTimer
    generation: int
    deadline_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTimer:
    timer: AnyTimer


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitResult:
    """Verdict on one submitted envelope. `code` is "" when accepted, else a problem code; `detail` for people."""

    tx_id: bytes
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Results of a `Submitted` event, in order."""

    token: int
    results: tuple[SubmitResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    peer: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Add `value` to counter `metric`."""

    metric: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndEpoch:
    """The last block of the epoch is committed: nothing follows from this core. The shell makes everything durable and
    starts another one, which reads from the state who decides now: indexes, keys and links are those of an epoch."""

    after: Lsn


NodeEffect: TypeAlias = (
    AppendJournal
    | PruneJournal
    | SendPeer
    | BroadcastPeer
    | VerifyVotes
    | VerifyTransactions
    | StoreBlock
    | Execute
    | SendBlocks
    | SendSnapshot
    | SendChunk
    | SendSkeleton
    | BeginSnapshot
    | KeepChunk
    | KeepSkeleton
    | InstallSnapshot
    | DropSnapshot
    | SetTimer
    | CancelTimer
    | Answer
    | Penalty
    | Tally
    | EndEpoch
    | Report
    | Silence
    | Halt
)
