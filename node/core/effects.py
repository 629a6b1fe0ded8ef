"""Outputs of `NodeCore`, performed in list order by the driver and by the simulator alike.

`SendPeer`, `BroadcastPeer`, `StoreBlock` and `Execute` leave only when the journal is durable up to `after`
(0: at once). All `AppendJournal` effects of one turn go into one durable write (P156).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from consensus.effects import Halt, Report, SignatureItem, Silence
from consensus.events import EpochSpec, Lsn
from consensus.records import Record
from ledger.block import BlockRef, Header
from ledger.certificate import CommitCertificate
from ledger.governance.follow import EpochEnd
from ledger.registry.records import Node
from ledger.transaction import Transaction
from node.core.events import AnyTimer, JournalBody
from node.core.messages import PeerMessage, SnapshotManifest


class AppendJournal(msgspec.Struct, frozen=True, kw_only=True):
    lsn: Lsn
    record: Record
    body: JournalBody | None


class PruneJournal(msgspec.Struct, frozen=True, kw_only=True):
    """Drop records below lsn `before`, bodies up to height `bodies_up_to`, and those written before but `keep`."""

    before: Lsn
    bodies_up_to: int
    keep: tuple[bytes, ...]


class SendPeer(msgspec.Struct, frozen=True, kw_only=True):
    to: int
    message: PeerMessage
    after: Lsn


class BroadcastPeer(msgspec.Struct, frozen=True, kw_only=True):
    message: PeerMessage
    after: Lsn


class VerifyVotes(msgspec.Struct, frozen=True, kw_only=True):
    """Check vote signatures; answered by `VotesVerified`."""

    token: int
    items: tuple[SignatureItem, ...]


class VerifyTransactions(msgspec.Struct, frozen=True, kw_only=True):
    """Check every signature of each transaction over its digest; answered by `TransactionsVerified`.

    `certified`: they stand in blocks under good certificates, which catch-up asked for and bounds (`RANGES_AHEAD`), so
    no peer is held back for them.
    """

    token: int
    transactions: tuple[Transaction, ...]
    certified: bool = False


class StoreBlock(msgspec.Struct, frozen=True, kw_only=True):
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


class Execute(msgspec.Struct, frozen=True, kw_only=True):
    """Run `ledger.transition.apply_block` on the state of height - 1; answered by `BlockExecuted`."""

    height: int
    header: Header
    transactions: tuple[Transaction, ...]
    evidence: tuple[bytes, ...]
    after: Lsn


class SendBlocks(msgspec.Struct, frozen=True, kw_only=True):
    """Serve certified blocks first..last from the block store to member `to`, at most `sync.RANGE_BLOCKS` and within
    one frame. Like the other requests of nodes, it may wait its turn."""

    to: int
    first: int
    last: int


class SendSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Offer member `to` the newest snapshot above a height, or nothing."""

    to: int
    above: int


class SendChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Serve one chunk of a snapshot, or say which snapshot is held instead."""

    to: int
    height: int
    depth: int
    index: int


class SendSkeleton(msgspec.Struct, frozen=True, kw_only=True):
    """Serve headers and ids of blocks first..last to member `to`, at most `snapshots.SKELETON_BLOCKS` and within one
    frame."""

    to: int
    first: int
    last: int


class BeginSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Make room for a verified snapshot; what was collected of another one is dropped."""

    manifest: SnapshotManifest


class KeepChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Keep the verified rows of chunk `index` durably."""

    index: int
    rows: tuple[tuple[bytes, bytes], ...]


class KeepSkeleton(msgspec.Struct, frozen=True, kw_only=True):
    """Keep ids of verified blocks first.. durably: (block id, transaction ids) of each, ascending. All heights above
    are kept already; `parent` is the id of the block below."""

    first: int
    parent: bytes
    blocks: tuple[tuple[bytes, tuple[bytes, ...]], ...]


class InstallSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of the snapshot is kept: the shell replaces the chain store by it and starts the core anew."""

    height: int


class DropSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody offers the snapshot any more: what was collected is of no use."""


class SendEpochEnds(msgspec.Struct, frozen=True, kw_only=True):
    """Serve how epoch `first` and the ones after it ended to member `to`, at most `messages.ENDS_MAX` of them; when
    there are no more, proofs of the node records as well."""

    to: int
    first: int


class KeepEpochEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Keep the verified end of `epoch` durably. From this effect on, before any later one of the step, signatures are
    checked under the members of `leads_to` as well."""

    epoch: int
    end: EpochEnd
    leads_to: EpochSpec


class LearnNodes(msgspec.Struct, frozen=True, kw_only=True):
    """These nodes are registered as of `height`, proven by the chain: links follow them until the state is there."""

    height: int
    nodes: tuple[Node, ...]


class SetTimer(msgspec.Struct, frozen=True, kw_only=True):
    timer: AnyTimer
    generation: int
    deadline_ns: int


class CancelTimer(msgspec.Struct, frozen=True, kw_only=True):
    timer: AnyTimer


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitResult:
    """Verdict on one submitted envelope. `code` is "" when accepted, else a problem code; `detail` for people."""

    tx_id: bytes
    code: str
    detail: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Results of a `Submitted` event, in order."""

    token: int
    results: tuple[SubmitResult, ...]


class Penalty(msgspec.Struct, frozen=True, kw_only=True):
    peer: int
    reason: str


UNASKED: Final = "unasked"
"""Stable reason of a rejection: an answer that is waited for no more, or never was."""
NEVER_ASKED: Final = "never_asked"
"""Stable reason of a charge: a large answer of a peer that was asked for nothing. It was decoded before the core sees
it, so a charge is the only brake."""
LEFT_OUT: Final = "left_out"
"""Stable reason of a rejection: the peer lied a moment ago and is not listened to in catch-up."""


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A message of `peer` was not taken, for this stable reason: counted for it, and charged with nothing.

    A correct node may send it: late, or to one that stands elsewhere.
    """

    peer: int
    reason: str


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Add `value` to counter `metric`."""

    metric: str
    value: int


class EndEpoch(msgspec.Struct, frozen=True, kw_only=True):
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
    | SendEpochEnds
    | KeepEpochEnd
    | LearnNodes
    | SetTimer
    | CancelTimer
    | Answer
    | Penalty
    | Rejection
    | Tally
    | EndEpoch
    | Report
    | Silence
    | Halt
)
