"""Outputs of the replica, performed in list order (P156).

`Send`, `Broadcast` and `Deliver` leave only when the journal is durable up to `after` (P90); everything else
starts at once. Every request effect has an answer event (P158).
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

import msgspec

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


class Persist(msgspec.Struct, frozen=True, kw_only=True):
    """Append `record` to the journal; `bodies` names the block whose payload joins the same durable write."""

    lsn: Lsn
    record: Record
    bodies: bytes | None


class Prune(msgspec.Struct, frozen=True, kw_only=True):
    """Drop journal records below lsn `before`, bodies up to height `bodies_up_to`, and those written before but `keep`.

    A body that is written again counts as written then.
    """

    before: Lsn
    bodies_up_to: int
    keep: tuple[bytes, ...]


class Send(msgspec.Struct, frozen=True, kw_only=True):
    to: int
    message: Message
    after: Lsn


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """To all other members."""

    message: Message
    after: Lsn


class VerifySignatures(msgspec.Struct, frozen=True, kw_only=True):
    token: int
    items: tuple[SignatureItem, ...]


class CheckBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Answered by `BlockChecked`. `fresh`: not a re-proposal.

    `taken`: ids of the transactions in its uncommitted ancestors, which it must not repeat (P30i).
    """

    block_id: bytes
    proposal: Proposal
    fresh: bool
    taken: tuple[bytes, ...]


class FetchBodies(msgspec.Struct, frozen=True, kw_only=True):
    """Ask member `source` for the missing bodies; answered by another `BlockChecked`."""

    block_id: bytes
    source: int


class BuildBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Answered by `BlockBuilt`. `allow_empty`: a proof block is due (P47). `taken`: as in `CheckBlock`."""

    request: int
    height: int
    parent: BlockRef
    last_certificate: CommitCertificate
    max_size_bytes: int
    max_txs: int
    allow_empty: bool
    taken: tuple[bytes, ...]


class Deliver(msgspec.Struct, frozen=True, kw_only=True):
    """The block is committed; heights arrive in order, delivery is idempotent by height."""

    block: BlockRef
    certificate: CommitCertificate
    after: Lsn


class StartTimer(msgspec.Struct, frozen=True, kw_only=True):
    timer: Timer
    generation: int
    deadline_ns: int


class StopTimer(msgspec.Struct, frozen=True, kw_only=True):
    timer: Timer


class StartSync(msgspec.Struct, frozen=True, kw_only=True):
    """Fetch certified blocks up to `height` (a hint) from `sources`; answered by `Synced` as heights arrive."""

    height: int
    certificate: CommitCertificate | None
    sources: tuple[int, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A member broke the protocol and signed it: for the operator's alarm, and for the chain (P122, P124)."""

    kind: str
    offender: int
    evidence: Evidence


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """This replica found that its journal forgot a vote: it votes no more (P97). For the operator's alarm."""

    reason: str


class Penalise(msgspec.Struct, frozen=True, kw_only=True):
    peer: int
    reason: str


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """A message of `peer` was not taken, for this stable reason: counted for it, and charged with nothing (P18).

    A correct node may send it: to one that stands elsewhere, or because others lied to it.
    """

    peer: int
    reason: str


class Count(msgspec.Struct, frozen=True, kw_only=True):
    metric: str
    value: int


class Halt(msgspec.Struct, frozen=True, kw_only=True):
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
    | Reject
    | Count
    | Halt
)
