"""What a replica knows about the heights of its window, per block and per (view, height).

Two kinds of knowledge are kept apart, because they live for different times:
    * `Slot`: the proposal and the votes of one height in the current view; gone when the view changes (P60).
    * `Held`: a block by its id, with the verdict on its bodies; survives views, since it may be proposed again.
Votes for one later view wait in `Later`, one place per (signer, kind, height) (P138).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from consensus.events import Verdict
from consensus.messages import Commit, Prepare, PreparedCertificate, PrePrepare, Proposal
from consensus.tally import Tally, tally
from ledger.block import BlockRef, Header, carries_work
from ledger.certificate import CommitCertificate

PRE_PREPARE = "pre-prepare"
TIMELY_PRE_PREPARE = "timely pre-prepare"
"""The same message, whose time fitted our clock at its receipt (P145)."""
PREPARE = "prepare"
COMMIT = "commit"


class Stage(Enum):
    """What became of the proposal of a slot. A rejected one uses up its (view, height) (P30)."""

    EMPTY = "empty"
    WAITING = "waiting"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(slots=True)
class Held:
    """A block that may still be committed. `verdict` None: not asked, or the answer is still out if `asked`.

    `durable`: its bodies are in the journal. `tried`: members asked for bodies in this round (P131).
    """

    block_id: bytes
    header: Header
    proposal: Proposal
    verdict: Verdict | None = None
    asked: bool = False
    durable: bool = False
    tried: int = 0
    fetch_at: int = 0

    def reference(self, parent: BlockRef) -> BlockRef:
        """Return what the next block must know about this one, given its parent."""
        header = self.header
        return BlockRef(
            header.height,
            self.block_id,
            header.time_ms,
            header.exec_height,
            header.height if carries_work(header) else parent.work_height,
        )


@dataclass(slots=True)
class Slot:
    """One height in the current view. `own`: the proposal is ours and gets its signature when it is accepted (P164).

    `reason` says what a waiting proposal waits for, or why it was rejected.
    """

    height: int
    prepares: Tally
    commits: Tally
    stage: Stage = Stage.EMPTY
    reason: str = ""
    block_id: bytes = b""
    pre_prepare: PrePrepare | None = None
    own: bool = False
    timely: bool = False
    checked: bool = False
    accused: bool = False
    since_ns: int = 0
    relayed: PreparedCertificate | None = None
    prepared: PreparedCertificate | None = None


def new_slot(height: int, n: int) -> Slot:
    """Return an empty slot for n members."""
    return Slot(height=height, prepares=tally(n), commits=tally(n))


@dataclass(slots=True)
class Later:
    """Votes of one signer for its highest later view, unverified, with the wall clock at receipt (P38, P138)."""

    view: int
    votes: dict[tuple[str, int], tuple[PrePrepare | Prepare | Commit, int]] = field(default_factory=dict)


@dataclass(slots=True)
class Recent:
    """A committed block, kept until the block store has it and it left the window behind (P84).

    `pre_prepare` is None when the block came by sync; `committed_ns` is when this replica learned it.
    """

    certificate: CommitCertificate
    reference: BlockRef
    pre_prepare: PrePrepare | None
    committed_ns: int
