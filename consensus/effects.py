"""Outputs of the replica, performed in list order (P156).

`Send`, `Broadcast` and `Deliver` leave only when the journal is durable up to `after` (P90); everything else
starts at once. Every request effect has an answer event (P158).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from consensus.events import Lsn, Timer
from consensus.messages import Message, Proposal
from consensus.records import Record
from ledger.block import BlockRef
from ledger.certificate import CommitCertificate
from ledger.codec import Wire
from ledger.evidence import Evidence


class HaltReason(Enum):
    """Why a replica stops for good."""

    SAFETY_VIOLATION = "safety_violation"
    STATE_DIVERGENCE = "state_divergence"
    INVARIANT = "invariant"


class SignatureItem(Wire, frozen=True):
    """One signature to check: `kind` is a vote kind of P10, `body` the canonical signed body, `signer` an index."""

    kind: str
    body: bytes
    epoch: int
    signer: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Persist:
    """Append `record` to the journal; `bodies` names the block whose payload joins the same durable write."""

    lsn: Lsn
    record: Record
    bodies: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """Drop journal records below lsn `before` and bodies up to height `bodies_up_to`."""

    before: Lsn
    bodies_up_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    to: int
    message: Message
    after: Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """To all other members."""

    message: Message
    after: Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySignatures:
    token: int
    items: tuple[SignatureItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckBlock:
    """Answered by `BlockChecked`. `fresh`: not a re-proposal.

    `taken`: ids of the transactions in its uncommitted ancestors, which it must not repeat (P30i).
    """

    block_id: bytes
    proposal: Proposal
    fresh: bool
    taken: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBodies:
    """Ask member `source` for the missing bodies; answered by another `BlockChecked`."""

    block_id: bytes
    source: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildBlock:
    """Answered by `BlockBuilt`. `allow_empty`: a proof block is due (P47). `taken`: as in `CheckBlock`."""

    request: int
    height: int
    parent: BlockRef
    last_certificate: CommitCertificate
    max_size_bytes: int
    max_txs: int
    allow_empty: bool
    taken: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """The block is committed; heights arrive in order, delivery is idempotent by height."""

    block: BlockRef
    certificate: CommitCertificate
    after: Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimer:
    timer: Timer
    generation: int
    deadline_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTimer:
    timer: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSync:
    """Fetch certified blocks up to `height` (a hint) from `sources`; answered by `Synced` as heights arrive."""

    height: int
    certificate: CommitCertificate | None
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A member broke the protocol and signed it: for the operator's alarm, and for the chain (P122, P124)."""

    kind: str
    offender: int
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """This replica found that its journal forgot a vote: it votes no more (P97). For the operator's alarm."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalise:
    peer: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    metric: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Nothing is sent after it."""

    reason: HaltReason
    detail: str


Effect: TypeAlias = (
    Persist
    | Prune
    | Send
    | Broadcast
    | VerifySignatures
    | CheckBlock
    | FetchBodies
    | BuildBlock
    | Deliver
    | StartTimer
    | StopTimer
    | StartSync
    | Report
    | Silence
    | Penalise
    | Count
    | Halt
)
