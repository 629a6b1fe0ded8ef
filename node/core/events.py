"""Inputs of `NodeCore`. Each carries `now` (monotonic ns) and `wall` (UTC ms), like the events of consensus."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from consensus.events import EpochSpec, Event, Lsn, ReplicaConfig, Timer
from consensus.records import Record
from ledger.block import BlockRef
from ledger.certificate import CommitCertificate
from ledger.receipt import Receipt
from ledger.transaction import Transaction
from node.core.messages import PeerMessage, SnapshotManifest


class NodeTimer(Enum):
    """Timers of the node around the replica."""

    __hash__ = object.__hash__

    GOSSIP = "gossip"
    FORWARD = "forward"
    SYNC = "sync"


AnyTimer: TypeAlias = Timer | NodeTimer


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalBody:
    """The payload of a block kept in the journal's `bodies` database; `envelopes`: transactions, then evidence."""

    height: int
    block_id: bytes
    header: bytes
    envelopes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What is on disk of a snapshot that was being taken when the process ended.

    `chunks` are the indexes that are here. Ids are here of the blocks from `skeleton_from` up to the snapshot's height;
    `skeleton_parent` is the id of the block below them.
    """

    manifest: SnapshotManifest
    chunks: tuple[int, ...]
    skeleton_from: int
    skeleton_parent: bytes


class NodeStart(Event, frozen=True, kw_only=True):
    """First event, once.

    `tip` is the highest block in the block store, `executed` the last L (height, exec_root) of the flushed
    state, `pending` the stored blocks above the executed height (they are executed first), `recent` the ids
    in the chain whose validity has not passed: (tx id, height, valid until).
    """

    config: ReplicaConfig
    tip: BlockRef
    tip_certificate: CommitCertificate
    executed: tuple[tuple[int, bytes], ...]
    records: tuple[tuple[Lsn, Record], ...]
    bodies: tuple[JournalBody, ...]
    recent: tuple[tuple[bytes, int, int], ...]
    voting: bool
    collected: Collected | None = None
    reached: EpochSpec | None = None
    """The last epoch that the kept ends lead to: a later one than that of the state, whose members the ones before
    vouch for, or one that is over, when ends are missing. None is that of `config`."""
    passed: tuple[EpochSpec, ...] = ()
    """Epochs between that of `config` and `reached`, ascending: a state that is offered may be of one of them."""
    waiting: tuple[tuple[Transaction, bool], ...] = ()
    """Verified transactions that waited when the epoch before ended, and whether each was handed in here."""
    evidence: tuple[bytes, ...] = ()
    """Items that were not on the chain when the epoch before ended (`EvidencePool.waiting`)."""


class PeerReceived(Event, frozen=True, kw_only=True):
    peer: int
    message: PeerMessage


class Submitted(Event, frozen=True, kw_only=True):
    """Envelopes handed in through the API; answered by `Answer(token, ...)`."""

    token: int
    envelopes: tuple[bytes, ...]


class TransactionsVerified(Event, frozen=True, kw_only=True):
    """Answer to `VerifyTransactions`: one verdict per transaction, in order."""

    token: int
    verdicts: tuple[bool, ...]


class VotesVerified(Event, frozen=True, kw_only=True):
    """Answer to `VerifyVotes`: bit mask over its items."""

    token: int
    valid: int


class BlockExecuted(Event, frozen=True, kw_only=True):
    """Answer to `Execute`."""

    height: int
    exec_root: bytes
    state_root: bytes
    receipts: tuple[Receipt, ...]
    next_epoch: EpochSpec | None = None
    """The epoch that this block decided (P112)."""
    awaited: int = 0
    """The first height after this one at which other contracts run, 0 for none (L59)."""
    due_ms: int = 0
    """The block time from which schedule entries are due after this block, 0 for none (L56)."""
    scheduled: bool = False
    """Schedule entries ran in this block."""


class JournalDurable(Event, frozen=True, kw_only=True):
    lsn: Lsn


class StoreDurable(Event, frozen=True, kw_only=True):
    """Blocks and state are durable up to `height`."""

    height: int


class TimerElapsed(Event, frozen=True, kw_only=True):
    timer: AnyTimer
    generation: int


class PeerConnected(Event, frozen=True, kw_only=True):
    peer: int


class PeerLost(Event, frozen=True, kw_only=True):
    peer: int


NodeEvent: TypeAlias = (
    NodeStart
    | PeerReceived
    | Submitted
    | TransactionsVerified
    | VotesVerified
    | BlockExecuted
    | JournalDurable
    | StoreDurable
    | TimerElapsed
    | PeerConnected
    | PeerLost
)
