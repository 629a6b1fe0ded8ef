"""Inputs of the replica (consensus.md section 19). Each carries the two clocks; nothing else tells it the time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, NewType, TypeAlias

import msgspec

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


NORMAL: Final = Mode.NORMAL
CHANGING: Final = Mode.CHANGING
LEARNER: Final = Mode.LEARNER
HALTED: Final = Mode.HALTED
"""The modes for rules that every vote passes: naming a member of an enumeration costs as much as three calls."""


class Timer(Enum):
    """Names of the replica's timers; each has a generation (P70). Hashed by identity, as there is one of each."""

    __hash__ = object.__hash__

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
    `awaited`, `due_ms`: as in `Executed`. `scheduled`: the highest stored height in which schedule entries ran.
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
    due_ms: int = 0
    scheduled: int = 0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`now`: monotonic nanoseconds, never decreasing. `wall`: UTC milliseconds, may jump."""

    now: int
    wall: int


class Start(Event, frozen=True, kw_only=True):
    """First event, once. `tip` is the highest block durable in the block store; `executed` the last L results."""

    config: ReplicaConfig
    tip: BlockRef
    tip_certificate: CommitCertificate
    executed: tuple[tuple[int, bytes], ...]
    records: tuple[tuple[Lsn, Record], ...]
    voting: bool
    headers: tuple[bytes, ...] = ()
    """Headers of the blocks whose bodies the journal holds: what is committed there is delivered again."""


class Received(Event, frozen=True, kw_only=True):
    """`peer`: member index of the TLS peer, not always the signer."""

    peer: int
    message: Message


class SignaturesChecked(Event, frozen=True, kw_only=True):
    """`valid`: bit mask over the items of `VerifySignatures`."""

    token: int
    valid: int


class BlockBuilt(Event, frozen=True, kw_only=True):
    """None: nothing to propose."""

    request: int
    proposal: Proposal | None


class BlockChecked(Event, frozen=True, kw_only=True):
    """`reason` is a stable code, or empty."""

    block_id: bytes
    verdict: Verdict
    reason: str


class Executed(Event, frozen=True, kw_only=True):
    """`next_epoch`: the member set that this block decided, None in nearly all blocks (P112).

    `awaited`: the first height after this one at which other contracts run, 0 for none (P47). `due_ms`: the block time
    from which entries of schedules are due after this block, 0 for none (L56). `scheduled`: some ran in this block.
    """

    height: int
    exec_root: bytes
    next_epoch: EpochSpec | None = None
    awaited: int = 0
    due_ms: int = 0
    scheduled: bool = False


class Durable(Event, frozen=True, kw_only=True):
    """Journal durable up to `lsn`."""

    lsn: Lsn


class Stored(Event, frozen=True, kw_only=True):
    """Block store durable up to `height`."""

    height: int


class Synced(Event, frozen=True, kw_only=True):
    """Sync verified and handed over the blocks up to `tip` (they are delivered to the chain already).

    `certificates` are those of all these blocks: a vote of ours among them must be in the journal (P98).
    """

    tip: BlockRef
    certificate: CommitCertificate
    certificates: tuple[CommitCertificate, ...] = ()


class WorkChanged(Event, frozen=True, kw_only=True):
    """State of the mempool. `oldest_ns` is 0 if none. `overdue`: the primary passes a transaction over (P132)."""

    count: int
    size_bytes: int
    oldest_ns: int
    overdue: bool


class TimerFired(Event, frozen=True, kw_only=True):
    timer: Timer
    generation: int


class PeerUp(Event, frozen=True, kw_only=True):
    peer: int


class PeerDown(Event, frozen=True, kw_only=True):
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
