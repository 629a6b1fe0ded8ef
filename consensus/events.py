"""Inputs of the replica (consensus.md section 19). Each carries the two clocks; nothing else tells it the time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NewType, TypeAlias

from consensus.messages import Message, Proposal
from consensus.records import Record
from ledger.block import BlockRef
from ledger.certificate import CommitCertificate
from ledger.params import Params

Lsn = NewType("Lsn", int)
"""1, 2, ...; 0 means nothing to wait for."""


class Mode(IntEnum):
    """P20."""

    NORMAL = 0
    CHANGING = 1
    LEARNER = 2
    HALTED = 3


class Timer(Enum):
    """Names of the replica's timers; each has a generation (P70)."""

    PROGRESS = "progress"
    NEW_VIEW = "new_view"
    STATUS = "status"
    HEARTBEAT = "heartbeat"
    BATCH = "batch"
    FETCH = "fetch"


class Verdict(Enum):
    """Answer of the mempool about a proposed block."""

    OK = "ok"
    MISSING = "missing"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A voting company of an epoch. `in_rotation` False: it votes and does not propose (P80)."""

    company_id: str
    consensus_key: bytes
    in_rotation: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochSpec:
    """Members sorted by company id; the position is the index (P5)."""

    epoch: int
    first_height: int
    members: tuple[Member, ...]
    members_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaConfig:
    """`index` is None on a node without a vote (learner or observer).

    `epoch` is that of the height after the stored tip, `former` the one before it, if the tip is not far from there,
    `coming` the next one, if it is decided. `company_id` lets a learner find itself among the members of a later epoch.
    `awaited`: as in `Executed`.
    """

    index: int | None
    chain_id: bytes
    genesis_id: bytes
    epoch: EpochSpec
    params: Params
    journal_id: bytes
    company_id: str = ""
    former: EpochSpec | None = None
    coming: EpochSpec | None = None
    fresh_key: bool = False
    """The own key votes from this epoch on. Its journal may be empty; before it signs, the others are asked (P98)."""
    awaited: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`now`: monotonic nanoseconds, never decreasing. `wall`: UTC milliseconds, may jump."""

    now: int
    wall: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Event):
    """First event, once. `tip` is the highest block durable in the block store; `executed` the last L results."""

    config: ReplicaConfig
    tip: BlockRef
    tip_certificate: CommitCertificate
    executed: tuple[tuple[int, bytes], ...]
    records: tuple[tuple[Lsn, Record], ...]
    voting: bool
    headers: tuple[bytes, ...] = ()
    """Headers of the blocks whose bodies the journal holds: what is committed there is delivered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Event):
    """`peer`: member index of the TLS peer, not always the signer."""

    peer: int
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class SignaturesChecked(Event):
    """`valid`: bit mask over the items of `VerifySignatures`."""

    token: int
    valid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBuilt(Event):
    """None: nothing to propose."""

    request: int
    proposal: Proposal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChecked(Event):
    """`reason` is a stable code, or empty."""

    block_id: bytes
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed(Event):
    """`next_epoch`: the member set that this block decided, None in nearly all blocks (P112).

    `awaited`: the first height after this one at which other contracts run, 0 for none (P47).
    """

    height: int
    exec_root: bytes
    next_epoch: EpochSpec | None = None
    awaited: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable(Event):
    """Journal durable up to `lsn`."""

    lsn: Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Event):
    """Block store durable up to `height`."""

    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced(Event):
    """Sync verified and handed over the blocks up to `tip` (they are delivered to the chain already).

    `certificates` are those of all these blocks: a vote of ours among them must be in the journal (P98).
    """

    tip: BlockRef
    certificate: CommitCertificate
    certificates: tuple[CommitCertificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkChanged(Event):
    """State of the mempool. `oldest_ns` is 0 if none. `overdue`: the primary passes a transaction over (P132)."""

    count: int
    size_bytes: int
    oldest_ns: int
    overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired(Event):
    timer: Timer
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerUp(Event):
    peer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerDown(Event):
    peer: int


AnyEvent: TypeAlias = (
    Start
    | Received
    | SignaturesChecked
    | BlockBuilt
    | BlockChecked
    | Executed
    | Durable
    | Stored
    | Synced
    | WorkChanged
    | TimerFired
    | PeerUp
    | PeerDown
)
