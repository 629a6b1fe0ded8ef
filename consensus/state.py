"""The state of a replica: plain data, comparable and printable (P161).

`Picture` is the part that the journal rebuilds. It changes only by `fold`, in a running replica and in recovery
alike, so both give the same picture from the same records (I21).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from consensus.effects import SignatureItem
from consensus.events import Mode, ReplicaConfig, Timer
from consensus.membership import Membership
from consensus.messages import Commit, Message, NewView, Prepare, PreparedCertificate, PrePrepare, Status, ViewChange
from consensus.records import Accepted, Anchor, CommittedHere, Entered, Left, PreparedHere, Record, Silenced
from consensus.slots import COMMIT, PREPARE, Held, Later, Recent, Slot
from consensus.tally import SignedVote
from ledger.block import BlockRef, header_codec
from ledger.certificate import CommitCertificate
from ledger.codec import encode
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.errors import InvariantViolated
from ledger.ids import HASH_BYTES

KEPT_PROPOSALS = 1_024
"""Accepted proposals kept per uncommitted height. A certificate of an older view may surface later, in the hands of one
liar, and then every view must repeat that block: if no correct member can show it, nothing is decided any more (P33).
So many fruitless views in a row take 8 hours at the default T_CAP."""
KEPT_BYTES = 1024 * 1024
"""Bytes of them, headers and ids, beyond which the oldest unprepared one is left behind: they are part of every
`Anchor`, and four heights of them stay well below the log after which the next anchor is due (ANCHOR_BYTES)."""
KEPT_BODIES_BYTES = 64 * 1024 * 1024
"""Bytes of their bodies beyond which it is the same: they stay in the journal, 512 MiB for up to four heights (P91)."""
KEPT_LEAST = 8
"""So many are kept whatever their size."""


@dataclass(slots=True)
class Picture:
    """What is durable: the content of an `Anchor` (section 11)."""

    journal_id: bytes
    epoch: int
    view: int
    mode: Mode
    committed: CommitCertificate
    new_view: NewView | None = None
    view_change: ViewChange | None = None
    accepted: list[PrePrepare] = field(default_factory=list)
    votes: dict[tuple[int, str], Prepare | Commit] = field(default_factory=dict)
    prepared: dict[int, PreparedCertificate] = field(default_factory=dict)

    def anchor(self) -> Anchor:
        """Return the record that rebuilds this picture."""
        return Anchor(
            self.journal_id,
            self.epoch,
            self.view,
            int(self.mode),
            self.committed,
            self.new_view,
            self.view_change,
            tuple(self.accepted),
            self.own_votes(),
            tuple(self.prepared[height] for height in sorted(self.prepared)),
        )

    def own_votes(self) -> tuple[Prepare | Commit, ...]:
        """Return the own votes of the current view by height, PREPARE before COMMIT."""
        keys = sorted(self.votes, key=lambda key: (key[0], key[1] != PREPARE))
        return tuple(self.votes[key] for key in keys)


def picture_of(anchor: Anchor) -> Picture:
    """Return the picture that an `Anchor` holds; raises ValueError for a mode that does not exist."""
    return Picture(
        journal_id=anchor.journal_id,
        epoch=anchor.epoch,
        view=anchor.view,
        mode=Mode(anchor.mode),
        committed=anchor.committed,
        new_view=anchor.new_view,
        view_change=anchor.view_change,
        accepted=list(anchor.accepted),
        votes={(vote.vote.height, kind_of(vote)): vote for vote in anchor.own_votes},
        prepared={certificate.vote.height: certificate for certificate in anchor.prepared},
    )


def kind_of(vote: Prepare | Commit) -> str:
    """Return the signature kind of an own vote."""
    return PREPARE if isinstance(vote, Prepare) else COMMIT


def fold(picture: Picture, record: Record) -> None:
    """Apply one journal record to `picture`; the only way it changes (P95)."""
    if isinstance(record, Accepted):
        vote = record.pre_prepare.vote
        picture.accepted = _with_accepted(picture, record.pre_prepare)
        if record.prepare is not None:
            picture.votes[(vote.height, PREPARE)] = record.prepare
    elif isinstance(record, PreparedHere):
        height = record.certificate.vote.height
        picture.prepared[height] = record.certificate  # of a view that is not below that of the one before
        picture.votes[(height, COMMIT)] = record.commit
    elif isinstance(record, CommittedHere):
        height = record.certificate.vote.height
        picture.committed = record.certificate
        picture.accepted = [one for one in picture.accepted if one.vote.height > height]
        picture.votes = {key: vote for key, vote in picture.votes.items() if key[0] > height}
        picture.prepared = {at: one for at, one in picture.prepared.items() if at > height}
    elif isinstance(record, Left):
        picture.view = record.view_change.view
        picture.mode = Mode.CHANGING
        picture.view_change = record.view_change
        picture.new_view = None
        picture.votes = {}
    elif isinstance(record, Entered):
        picture.view = record.new_view.view
        picture.mode = Mode.NORMAL
        picture.new_view = record.new_view
        picture.votes = {}
    elif isinstance(record, Silenced):
        picture.mode = Mode.LEARNER
    else:
        other = picture_of(record)
        for name in ("journal_id", "epoch", "view", "mode", "committed", "new_view", "view_change"):
            setattr(picture, name, getattr(other, name))
        picture.accepted, picture.votes, picture.prepared = other.accepted, other.votes, other.prepared


def _with_accepted(picture: Picture, pre_prepare: PrePrepare) -> list[PrePrepare]:
    """Return the accepted proposals with `pre_prepare` added, ordered by (height, view), bounded per height (P33)."""
    height, block_id = pre_prepare.vote.height, pre_prepare.vote.block_id
    kept = [one for one in picture.accepted if one.vote.height != height or one.vote.block_id != block_id]
    same_height = [one for one in kept if one.vote.height == height]
    if len(same_height) >= KEPT_LEAST:
        size = _size(pre_prepare) + sum(map(_size, same_height))
        bodies = _body_bytes(pre_prepare) + sum(map(_body_bytes, same_height))
        prepared = picture.prepared.get(height)
        shielded = prepared.vote.block_id if prepared is not None else b""
        excess = len(same_height) + 1 - KEPT_PROPOSALS
        old = [one for one in same_height[: 1 - KEPT_LEAST] if one.vote.block_id != shielded]
        while old and (excess > 0 or size > KEPT_BYTES or bodies > KEPT_BODIES_BYTES):
            one = old.pop(0)
            kept.remove(one)
            size -= _size(one)
            bodies -= _body_bytes(one)
            excess -= 1
    kept.append(pre_prepare)
    kept.sort(key=lambda one: (one.vote.height, one.vote.view))
    return kept


def _size(message: PrePrepare) -> int:
    """Return about how many bytes a proposal takes in an `Anchor`."""
    proposal = message.proposal
    signatures = 2 + len(proposal.last_certificate.signatures)
    return len(proposal.header) + len(proposal.tx_ids) * HASH_BYTES + signatures * SIGNATURE_BYTES


def _body_bytes(message: PrePrepare) -> int:
    """Return how many bytes the transactions of an accepted proposal have."""
    return header_codec.decode(message.proposal.header).size_bytes


@dataclass(slots=True)
class Peer:
    """What is known about one member. `known_view` is the highest of its valid VIEW-CHANGEs and STATUS (P69)."""

    connected: bool = False
    status: Status | None = None
    heard_ns: int = 0
    known_view: int = 0
    suspects: int = -1
    suspected_ns: int = 0
    executed: int = 0
    answered_ns: int = -(1 << 62)
    helped_ns: int = -(1 << 62)
    in_check: int = 0
    voted: SignedVote | None = None
    """Its highest vote in slots that are gone; what our STATUS echoes to it after a restart (P98)."""


@dataclass(slots=True)
class Armed:
    """A running timer (P70)."""

    generation: int
    deadline_ns: int


@dataclass(slots=True)
class Job:
    """Signatures being verified. `purpose` names who goes on with `subject`; `peer` is charged for bad ones."""

    purpose: str
    peer: int
    subject: Message | tuple[str, int, int, int]
    items: tuple[SignatureItem, ...]

    @property
    def message(self) -> Message:
        """Return the message that is judged as a whole; votes in their places have none, that is our bug."""
        if isinstance(self.subject, tuple):
            raise InvariantViolated("votes are not completed as a message")
        return self.subject


@dataclass(slots=True)
class Build:
    """An unanswered BuildBlock. `proof`: an empty block was allowed (P47)."""

    request: int
    view: int
    height: int
    parent_id: bytes
    proof: bool


@dataclass(slots=True)
class Work:
    """State of the mempool, as last told."""

    count: int = 0
    size_bytes: int = 0
    oldest_ns: int = 0


@dataclass(slots=True)
class Pace:
    """Batching of the primary (P45, P46). `cap_txs` scales the byte cap as well."""

    cap_txs: int
    latency_ns: int = 20_000_000
    last_txs: int = 0
    last_commit_ns: int = 0
    last_sent_ns: int = 0
    hold_until_ns: int = 0


@dataclass(slots=True)
class ReplicaState:
    """Everything a replica knows. `height` is the committed height h; votes at or below it are over (P36).

    `tip` is the last block whose body is here as well; it is below `height` only after a restart in which the
    journal is ahead of all stored blocks. `tip_last_cert` is the height whose certificate the tip carries, 0 if not
    known. `reproposals` is O of the current view, `base` its base height (P55). `asked_height` is the highest block of
    O that was asked for. `censored`: a transaction was passed over by the present primary (P132). On top of the block
    `barren` the mempool had nothing to propose. `spoken` holds the COMMITs of views that were left, by height and
    signer, for E6. `coming` is the next epoch, once it is decided (P112), `awaited` the height at which other contracts
    begin, 0 for none (P47). `due_ms` is the block time from which schedule entries are due after the executed height, 0
    for none, and `scheduled` the last height in which some ran (L56). `replayed`: this life began with a journal.
    `guests`: connected nodes without a vote, by the index of their link, which is no member's (P37).
    `unused`: a learner whose own journal is new, so that it may vote from the epoch on that admits it.
    `ahead`: a learner whose own journal is of the next epoch, for the replica that begins with that (P114).
    """

    config: ReplicaConfig
    members: Membership
    me: int
    mode: Mode
    view: int
    height: int
    tip: BlockRef
    tip_certificate: CommitCertificate
    picture: Picture
    journaling: bool
    params_hash: bytes
    pace: Pace
    peers: list[Peer]
    farthest_view: int = 0
    """No member is known in a view beyond this one, none suspects beyond `suspected_view`, and none claims a height
    above `claimed_height`: with n members nearly every STATUS is done with by these three (P37, P51, P69, P106)."""
    suspected_view: int = -1
    claimed_height: int = 0
    coming: Membership | None = None
    guests: dict[int, None] = field(default_factory=dict)
    awaited: int = 0
    due_ms: int = 0
    scheduled: int = 0
    base: int = 0
    tip_last_cert: int = 0
    reproposals: dict[int, bytes] = field(default_factory=dict)
    slots: dict[int, Slot] = field(default_factory=dict)
    blocks: dict[bytes, Held] = field(default_factory=dict)
    later: dict[int, Later] = field(default_factory=dict)
    recent: dict[int, Recent] = field(default_factory=dict)
    certificates: dict[int, CommitCertificate] = field(default_factory=dict)
    executed: int = 0
    exec_roots: dict[int, bytes] = field(default_factory=dict)
    certified_roots: dict[int, bytes] = field(default_factory=dict)
    # view change
    highest_changes: dict[int, ViewChange] = field(default_factory=dict)
    target_changes: dict[int, ViewChange] = field(default_factory=dict)
    backoff: int = 0
    suspecting: bool = False
    censored: bool = False
    silent_primary: bool = False
    heard_primary_ns: int = 0
    asked_height: int = 0
    accused: dict[tuple[str, int], int] = field(default_factory=dict)
    spoken: dict[int, dict[int, Commit]] = field(default_factory=dict)
    # after a restart: members whose STATUS came, and whether they are enough to sign anything new (P98)
    heard: int = 0
    cleared: bool = True
    silenced: str = ""
    replayed: bool = False
    unused: bool = False
    ahead: bool = False
    # journal
    lsn: int = 0
    durable: int = 0
    stored: int = 0
    logged_bytes: int = 0
    anchor_lsn: int = 0
    anchor_height: int = 0
    anchor_blocks: tuple[bytes, ...] = ()
    """Blocks that the last anchor names and may have to show: their bodies stay when it is durable (P93)."""
    # requests
    token: int = 0
    jobs: dict[int, Job] = field(default_factory=dict)
    verified: dict[SignatureItem, None] = field(default_factory=dict)
    request: int = 0
    build: Build | None = None
    barren: bytes = b""
    work: Work = field(default_factory=Work)
    gap_ns: int = -1
    sync_height: int = 0
    sync_ns: int = -(1 << 62)
    # timers
    generations: dict[Timer, int] = field(default_factory=dict)
    timers: dict[Timer, Armed] = field(default_factory=dict)
    progress_kind: str = ""
    restart_progress: bool = False
    new_view_for: int = -1
    # restart only: certificates and headers of blocks that the block store may lack; the journal begins a new epoch
    trail: dict[int, CommitCertificate] = field(default_factory=dict)
    trail_headers: dict[bytes, bytes] = field(default_factory=dict)
    anchor_due: bool = False

    def digest(self) -> bytes:
        """Return 32 bytes over the whole state, for comparing two runs; not a wire format."""
        return sha256(repr(self).encode("utf-8")).digest()

    def durable_digest(self) -> bytes:
        """Return 32 bytes over the part that recovery rebuilds (I21)."""
        return sha256(encode(self.picture.anchor())).digest()

    def __str__(self) -> str:
        return (
            f"{self.mode.name} view {self.view} height {self.height} executed {self.executed}"
            f" prepared {sorted(self.picture.prepared)} lsn {self.lsn}/{self.durable}"
        )


def primary_of(state: ReplicaState, height: int) -> int:
    """Return the primary of `height` in the current view (P77)."""
    return state.members.primary(state.view, height, state.base)


def saw_view(state: ReplicaState, member: int, view: int) -> None:
    """A member is in `view` or beyond (P69)."""
    account = state.peers[member]
    account.known_view = max(account.known_view, view)
    state.farthest_view = max(state.farthest_view, view)


def leader_of(state: ReplicaState) -> int:
    """Return the member that is waited for: the primary of the next height, or who has to open the target view."""
    if state.mode is Mode.CHANGING:
        return state.members.collector(state.view)  # base* of that view is not known yet (P77)
    return primary_of(state, state.height + 1)
