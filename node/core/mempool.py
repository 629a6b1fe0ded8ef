"""Valid transactions that are not ordered yet, and the bodies behind proposals (consensus.md section 15).

A transaction is checked cheapest first: size, form, expiry, duplicate, quota, signers and nonce against the executed
state, and only then its signatures, once per node (performance E16). The verdict belongs to the envelope hash,
never to the id alone, because the id does not bind the signatures (LR4).

The pool answers three questions of consensus: what to propose (`build`), whether a proposal is acceptable here
(`check`), and who has a body (`bodies`). A transaction that would fail in execution is still acceptable: it
becomes a failed receipt, so replicas cannot disagree about a block (P32).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from consensus.effects import BuildBlock
from consensus.events import Lsn, Verdict, WorkChanged
from consensus.messages import Proposal
from ledger.block import PROTOCOL_VERSION, Header, block_id, header_codec, list_root
from ledger.certificate import certificate_hash
from ledger.codec import encode
from ledger.errors import InvalidTransaction, LedgerError, Malformed
from ledger.evidence import ITEMS_MAX, evidence_codec, evidence_id, split_bodies
from ledger.params import Params
from ledger.registry.lookup import (
    NonceWindow,
    SoundSigners,
    check_signers,
    nonce_free,
    read_nonces,
    read_user,
)
from ledger.state import Reader
from ledger.transaction import Transaction, check_expiry, decode_transaction, envelope_hash
from node.core.committed import CommittedIds
from node.core.effects import (
    UNASKED,
    Answer,
    BroadcastPeer,
    NodeEffect,
    Penalty,
    Rejection,
    SendPeer,
    SubmitResult,
    Tally,
    VerifyTransactions,
)
from node.core.evidence import EvidencePool
from node.core.messages import Bodies, TxBatch

POOL_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of all waiting transactions (P141)."""
Origin: TypeAlias = int | str
"""Whose quota is used (P141): of what waits, the company that the first signer is of; whoever passes it on is not to
pay for it, since all members hand all that they hold to the primary (P132). What is at the verifier may be a forgery
and uses that of the link it came over, what was handed in here that of this node, all the time."""
ORIGIN_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes one company may have waiting, so that one member cannot fill the pool (P141, T29)."""
WAITING_TXS: Final = 4_000
"""Transactions that all members together may have waiting (P141): about five seconds of what four members carry. Each
takes 1.3 KB at every member, often a request that waits for it, and a longer queue only makes everybody wait longer:
what is beyond is refused with a word on when to ask again (ADR 0029)."""
SHARE_TXS_MIN: Final = 512
"""A company's share in a network of eight or more, whatever that is in all: two full batches of the API."""
SHARE_SLACK: Final = 2
"""Shares that others may hold for a company: they hear of commits at another time, and pass on what waits (P132)."""
BATCH_BYTES: Final = 64 * 1024
"""A gossip frame leaves at this size without waiting for the timer (performance section 5)."""
BATCH_ENVELOPES_MAX: Final = 1_024
"""Envelopes accepted in one batch of a peer; more is misbehaviour."""
BLOCK_TXS: Final = 300
"""Transactions of one proposal, whatever the network allows: larger blocks save little, and what is in work grows with
them at every member: results, pages of a flush, decoded calls (performance section 5, docs/performance.md). The
primary's own policy, not a rule."""
KEPT_BLOCKS: Final = 4
"""Committed blocks whose bodies stay in memory for members that are about to ask for them."""
OPEN_TXS: Final = 64
"""A block with fewer transactions had room: no correct primary lowers its cap further (P46)."""
OPEN_BYTES: Final = 32 * 1024
"""The same for bytes: half of the smallest cap, because the next in line may have been a large one."""
OVERTAKEN_BLOCKS: Final = 20
"""So many full blocks with transactions that came later say what one block with room says (P132)."""
ELIGIBLE_CHECKS: Final = 64
"""Transactions looked up in the state in one round of `forward`; a bound on its work, one is enough to suspect."""
UNLED: Final = -1
"""In place of the primary: none is known, because this member changes views, perhaps alone."""
REFUSED_MAX: Final = 10_000
"""Remembered hashes of envelopes whose signatures were bad, so that a repeat costs no verification."""


@dataclass(slots=True)
class Waiting:
    """A pool entry: `origin` is whose quota it uses."""

    tx: Transaction
    origin: Origin
    since_ns: int
    ours: bool
    """A client handed it in here, perhaps as well: this node tells all members of it again, because a node that took it
    before may be gone (P132)."""


@dataclass(slots=True)
class Owed:
    """How a waiting transaction is passed on (P132).

    `due_ns` and `wait_ns`: when next, and the pause after that, which doubles. `turn`: the turn of the primary that
    was handed it last, at `handed_ns`; -1 while nobody was.
    """

    due_ns: int
    wait_ns: int
    turn: int = -1
    handed_ns: int = 0


@dataclass(slots=True)
class Candidate:
    """A proposed block whose bodies are all here."""

    header: Header
    header_bytes: bytes
    tx_ids: tuple[bytes, ...]
    transactions: tuple[Transaction, ...]
    evidence: tuple[bytes, ...] = ()
    by_id: dict[bytes, Transaction] = field(init=False)

    @property
    def height(self) -> int:
        return self.header.height

    def __post_init__(self) -> None:
        self.by_id = dict(zip(self.tx_ids, self.transactions, strict=True))

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """Return everything behind the ids of the proposal: transactions, then evidence."""
        return (*(tx.envelope for tx in self.transactions), *self.evidence)


@dataclass(frozen=True, slots=True)
class Settled:
    """The bodies of a block that is in the chain, by id, for members that are about to ask for them.

    Bytes only: a decoded transaction takes four times the memory.
    """

    height: int
    bodies: dict[bytes, bytes]


@dataclass(slots=True)
class _Submission:
    """An API submission whose results are not all known."""

    results: list[SubmitResult | None]
    open: int


@dataclass(slots=True)
class _Absent:
    """A proposal that waits for bodies, and the ids that did not arrive yet."""

    proposal: Proposal
    taken: tuple[bytes, ...]
    ids: dict[bytes, None]
    room_bytes: int
    """What its header leaves for the bodies that are absent. Once it is used up the proposal is refused: else a primary
    could name thousands of large bodies, and have all members hold them."""


@dataclass(slots=True)
class _Checking:
    """A run of transactions at the verifier: who sent each, and whether it answers a body request."""

    transactions: tuple[Transaction, ...]
    origin: int
    wanted: bool


@dataclass(slots=True)
class Mempool:
    """State of the pool. Methods take the time and return effects; they never raise on input."""

    own: int
    chain_id: bytes
    params: Params
    read: Callable[[], Reader]
    next_token: Callable[[], int]
    evidence: EvidencePool
    height: int = 0
    executed: int = 0
    """Height of the state that `read` gives; the shell moves both together."""
    time_ms: int = 0
    waiting: dict[bytes, Waiting] = field(default_factory=dict)
    recent: CommittedIds = field(init=False)
    candidates: dict[bytes, Candidate] = field(default_factory=dict)
    settled: dict[bytes, Settled] = field(default_factory=dict)
    """The last `KEPT_BLOCKS` of the chain, by block id."""
    _lapsing: dict[int, dict[bytes, None]] = field(default_factory=dict)
    """Last height of validity -> what waits until then."""
    _hashes: dict[bytes, bytes] = field(default_factory=dict)
    _nonces: dict[tuple[str, int], bytes] = field(default_factory=dict)
    _refused: dict[bytes, None] = field(default_factory=dict)
    _checking: dict[int, _Checking] = field(default_factory=dict)
    _in_check: dict[bytes, bytes] = field(default_factory=dict)
    """Envelope hash -> id of what is at the verifier for the pool: it is neither verified nor fetched again (E16)."""
    _ids_in_check: dict[bytes, int] = field(default_factory=dict)
    """How many envelopes with this id are at the verifier: an id does not bind signatures (LR4)."""
    _submissions: dict[int, _Submission] = field(default_factory=dict)
    _answers: dict[bytes, list[tuple[int, int]]] = field(default_factory=dict)
    _missing: dict[bytes, _Absent] = field(default_factory=dict)
    _bodies: dict[bytes, Transaction] = field(default_factory=dict)
    _outbox: list[bytes] = field(default_factory=list)
    _outbox_bytes: int = 0
    _owed: dict[bytes, Owed] = field(default_factory=dict)
    """Every waiting id, in the order of arrival."""
    _overdue: dict[bytes, None] = field(default_factory=dict)
    """What the present primary passed over (P132)."""
    _superseded: dict[bytes, int] = field(default_factory=dict)
    """Waiting transactions whose nonce a committed one has, and its height: they can only fail, so nobody waits."""
    _turn: int = 0
    _primary: int = UNLED
    _turn_ns: int = 0
    """Number, member and beginning of the present primary's turn."""
    _patience_ns: int = 0
    _room_ns: int = 0
    """When the last block with room was committed here."""
    _newest: deque[int] = field(default_factory=lambda: deque(maxlen=OVERTAKEN_BLOCKS))
    """For the last full blocks: when the youngest of their transactions had come in here."""
    _bytes: int = 0
    _held_bytes: int = 0
    """Bytes of what waits and of what is at the verifier; the quotas count both."""
    _origin_bytes: dict[Origin, int] = field(default_factory=dict)
    _origin_txs: dict[Origin, int] = field(default_factory=dict)
    changed: bool = False
    _state: Reader | None = None
    """The state that `_sound` and `_windows` are about: who was found right, and nonce windows that were read."""
    _sound: SoundSigners = field(default_factory=dict)
    _windows: dict[str, NonceWindow] = field(default_factory=dict)
    _companies: dict[str, str] = field(default_factory=dict)
    """Companies of registered users that were looked up since; a user never changes its company."""

    def __post_init__(self) -> None:
        self.recent = CommittedIds(self.params.max_validity_heights)

    # -- admission ---------------------------------------------------------------------------------------------

    def submit(self, token: int, envelopes: tuple[bytes, ...]) -> list[NodeEffect]:
        """Admit envelopes handed in through the API; the answer comes when every signature is checked."""
        submission = _Submission([None] * len(envelopes), len(envelopes))
        self._submissions[token] = submission
        fresh: list[Transaction] = []
        effects: list[NodeEffect] = []
        for position, envelope in enumerate(envelopes):
            key = envelope_hash(envelope)
            known = self._hashes.get(key)
            if known is not None:
                effects += self._vouch(known, token, position)
                continue
            try:
                tx = self._admissible(envelope)
            except LedgerError as error:
                code = error.code
                detail = error.detail if isinstance(error, InvalidTransaction) else str(error)
                effects += self._settle(token, position, SubmitResult(tx_id=b"", code=code, detail=detail))
                continue
            if tx.tx_id in self.recent:
                effects += self._settle(token, position, SubmitResult(tx_id=tx.tx_id, code="", detail="committed"))
                continue
            if tx.tx_id in self.waiting:  # with other signatures of the same keys
                effects += self._vouch(tx.tx_id, token, position)
                continue
            self._answers.setdefault(key, []).append((token, position))
            if key not in self._in_check:
                self._begin_check(tx, self.own)
                fresh.append(tx)
        if fresh:
            effects.append(self._verify(fresh, self.own, wanted=False))
        return effects

    def _vouch(self, tx_id: bytes, token: int, position: int) -> list[NodeEffect]:
        """What waits here already was handed in here: tell it to all members (P132)."""
        self._owed[tx_id].due_ns = 0
        self.waiting[tx_id].ours = True
        return self._settle(token, position, SubmitResult(tx_id=tx_id, code="", detail="already waiting"))

    def carry(self, now: int, waiting: Iterable[tuple[Transaction, bool]]) -> None:
        """Take over what waited in the epoch before, and whether it was handed in here; all of it is verified."""
        for tx, ours in waiting:
            if tx.tx_id not in self.recent and tx.valid_until_height > self.height:
                self._insert(now, tx, self.own if ours else self._company(tx), ours=ours)

    def receive(self, peer: int, batch: TxBatch) -> list[NodeEffect]:
        """Admit a batch of another member's node (P130)."""
        if len(batch.envelopes) > BATCH_ENVELOPES_MAX:
            return [Penalty(peer=peer, reason="batch_too_large")]
        fresh: list[Transaction] = []
        effects: list[NodeEffect] = []
        for envelope in batch.envelopes:
            key = envelope_hash(envelope)
            if key in self._hashes or key in self._in_check:
                continue
            if key in self._refused:
                effects.append(Penalty(peer=peer, reason="bad_signature"))
                continue
            try:
                tx = self._admissible(envelope, origin=peer)
            except Malformed:
                effects.append(Penalty(peer=peer, reason="malformed_tx"))  # it was to decode it before it passed it on
                break
            except LedgerError as error:
                effects.append(Tally(metric=f"mempool_rejected.{error.code}", value=1))
                effects.append(Rejection(peer=peer, reason=f"tx_{error.code}"))
                continue
            if tx.tx_id in self.recent or tx.tx_id in self.waiting:
                continue  # one that waits is not verified with every signature that its keys can make (E16)
            self._begin_check(tx, peer)
            fresh.append(tx)
        if fresh:
            effects.append(self._verify(fresh, peer, wanted=False))
        return effects

    def verified(self, now: int, token: int, verdicts: tuple[bool, ...]) -> list[NodeEffect]:
        """Take the verdicts of one run: good ones enter the pool, local good ones are passed on."""
        run = self._checking.pop(token, None)
        if run is None or len(verdicts) != len(run.transactions):
            return []
        effects: list[NodeEffect] = []
        for tx, good in zip(run.transactions, verdicts, strict=True):
            if not run.wanted:
                self._end_check(tx, run.origin)
            answers = self._answers.pop(tx.envelope_hash, [])
            if not good:
                if len(self._refused) >= REFUSED_MAX:
                    self._refused.pop(next(iter(self._refused)))
                self._refused[tx.envelope_hash] = None
                effects.append(Tally(metric="mempool_rejected.bad_signature", value=1))
                if run.origin != self.own:
                    effects.append(Penalty(peer=run.origin, reason="bad_signature"))
                for answer, position in answers:
                    result = SubmitResult(tx_id=tx.tx_id, code="bad_signature", detail="a signature does not verify")
                    effects += self._settle(answer, position, result)
                continue
            if self._arrived(tx.tx_id, len(tx.envelope)) or run.wanted:
                self._bodies[tx.tx_id] = tx
            problem, detail = self._admission(tx, run)
            if not problem and tx.tx_id not in self.waiting and tx.tx_id not in self.recent:
                self._insert(now, tx, self._payer(tx, run.origin), ours=bool(answers))
                if answers:
                    self._outbox.append(tx.envelope)
                    self._outbox_bytes += len(tx.envelope)
            for answer, position in answers:
                result = SubmitResult(tx_id=tx.tx_id, code=problem, detail=detail)
                effects += self._settle(answer, position, result)
        if self._outbox_bytes >= BATCH_BYTES:
            effects += self.gossip()
        return effects

    def gossip(self) -> list[NodeEffect]:
        """Send what was admitted here since the last time to all members, joined in frames (performance E35)."""
        effects: list[NodeEffect] = []
        batch: list[bytes] = []
        size = 0
        for envelope in self._outbox:
            if batch and size + len(envelope) > 4 * BATCH_BYTES:
                effects.append(BroadcastPeer(message=TxBatch(tuple(batch)), after=_AT_ONCE))
                batch, size = [], 0
            batch.append(envelope)
            size += len(envelope)
        if batch:
            effects.append(BroadcastPeer(message=TxBatch(tuple(batch)), after=_AT_ONCE))
        self._outbox.clear()
        self._outbox_bytes = 0
        return effects

    def new_turn(self, now: int, primary: int, exponent: int) -> None:
        """Another member proposes now, or `UNLED`: it is handed what waits, and patience begins anew (P132).

        `exponent` is the back-off of the replica: after view changes in a row patience grows, up to T_CAP.
        """
        self._turn += 1
        self._primary, self._turn_ns = primary, now
        params = self.params
        self._patience_ns = min(params.req_ms << exponent, max(params.req_ms, params.t_cap_ms)) * _NS
        self.changed = self.changed or bool(self._overdue)
        self._overdue.clear()

    def forward(self, now: int) -> list[NodeEffect]:
        """Pass on what is still not ordered, and notice what the primary passes over (P132).

        FWD_MS after admission a body goes to the primary, so that nobody can raise a suspicion by telling only some
        members. What was admitted here goes to everybody after that: gossip is sent once and may be lost with a link
        or a peer (U19); and at once where no primary is known: a member that woke up alone in a later view learns of
        none while the others go on in theirs. A transaction is overdue when the primary has had it for REQ_MS and
        blocks with room, or many full ones, went by without it; then all get it, and the replica suspects. At most
        one frame a round each.
        """
        handed: list[bytes] = []
        size = checks = 0
        fwd_ns, pause_ns = self.params.fwd_ms * _NS, min(self.params.req_ms, self.params.t_cap_ms) * _NS
        fresh_turn = now >= self._turn_ns + fwd_ns
        unled, leading = self._primary == UNLED, self._primary == self.own
        for tx_id, owed in self._owed.items():
            due = owed.due_ns <= now or (fresh_turn and -1 < owed.turn < self._turn)
            late = owed.turn == self._turn and now - owed.handed_ns >= self._patience_ns and not (unled or leading)
            if not (due or late) or size >= BATCH_BYTES:
                continue
            entry = self.waiting[tx_id]
            if tx_id in self._superseded and not self._revived(tx_id, entry.tx):
                owed.due_ns = now + self.params.req_ms * _NS
                continue
            if late and checks < ELIGIBLE_CHECKS and self._passed_over(owed.handed_ns):
                checks += 1
                if tx_id not in self._overdue and self._eligible(entry.tx):
                    self._overdue[tx_id] = None
                    self.changed = due = True
            if not due:
                continue
            owed.due_ns, owed.wait_ns = now + owed.wait_ns, min(2 * owed.wait_ns, pause_ns)
            ours, again = entry.ours, owed.turn == self._turn
            if not again:
                owed.turn, owed.handed_ns = self._turn, now
            if leading or (unled and not ours):
                continue  # the next primary is handed it
            envelope = entry.tx.envelope
            size += len(envelope)
            if tx_id in self._overdue or (ours and (unled or again)):
                self._outbox.append(envelope)
                self._outbox_bytes += len(envelope)
            else:
                handed.append(envelope)
        effects = self.evidence.tell_again(now)
        if handed:
            effects.append(SendPeer(to=self._primary, message=TxBatch(tuple(handed)), after=_AT_ONCE))
        return effects + self.gossip()

    @property
    def share(self) -> int:
        """Transactions this company may have waiting (P141)."""
        return max(SHARE_TXS_MIN, WAITING_TXS // max(1, self.evidence.members.n))

    @property
    def room(self) -> int:
        """How many more transactions this company may hand in now."""
        return max(0, self.share - self._origin_txs.get(self.own, 0))

    @property
    def owes(self) -> bool:
        """Something waits to be ordered."""
        return bool(self._owed or self.evidence.pending)

    @property
    def has_outbox(self) -> bool:
        """Something waits for the next gossip frame."""
        return bool(self._outbox)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of all waiting transactions."""
        return self._bytes

    def work(self, now: int, wall: int) -> WorkChanged:
        """Return what the replica needs to know about the pool (P45, P65, P132)."""
        self.changed = self.evidence.changed = False
        oldest = 0
        for tx_id, entry in self.waiting.items():
            if tx_id not in self._superseded:
                oldest = entry.since_ns
                break
        return WorkChanged(
            now=now,
            wall=wall,
            count=len(self.waiting) - len(self._superseded) + self.evidence.proposable,
            size_bytes=self._bytes,
            oldest_ns=oldest,
            overdue=bool(self._overdue),
        )

    # -- proposals ---------------------------------------------------------------------------------------------

    def build(self, request: BuildBlock, header_base: Header, wall: int) -> Proposal | None:
        """Return a proposal of the oldest transactions that fit, or None when there is nothing to propose.

        What the uncommitted ancestors hold is left out (P30i). The first transaction is taken even if it is larger
        than the size asked for, up to the hard cap: a lowered cap must not stop the queue behind it for ever.
        `header_base` brings the fields that the chain knows (epoch, hashes, executed height and root).
        """
        ids: list[bytes] = []
        chosen: list[Transaction] = []
        size = gas = 0
        most = min(request.max_txs, BLOCK_TXS)
        taken = dict.fromkeys(request.taken)
        for tx_id, entry in self.waiting.items():
            tx = entry.tx
            length = len(tx.envelope)
            if len(ids) == most:
                break
            if tx_id in taken or tx.valid_until_height < request.height or length > self.params.max_block_bytes:
                continue
            if tx.gas_limit > self._gas_max:
                continue  # no block can hold it: nothing may wait behind it
            if (ids and size + length > request.max_size_bytes) or gas + tx.gas_limit > self._gas_max:
                break
            ids.append(tx_id)
            chosen.append(tx)
            size += length
            gas += tx.gas_limit
        evidence = self.evidence.choose(request.height, request.taken)
        if not ids and not evidence and not request.allow_empty:
            return None
        named = tuple(evidence_id(item) for item in evidence)
        header = Header(
            version=PROTOCOL_VERSION,
            chain_id=self.chain_id,
            epoch=header_base.epoch,
            height=request.height,
            parent_id=request.parent.block_id,
            tx_root=list_root(ids),
            tx_count=len(ids),
            size_bytes=size,
            time_ms=max(wall, request.parent.time_ms + 1),
            proposer=self.own,
            exec_height=header_base.exec_height,
            exec_root=header_base.exec_root,
            members_hash=header_base.members_hash,
            next_members_hash=header_base.next_members_hash,
            evidence_root=list_root(named),
            last_cert_height=request.last_certificate.vote.height,
            last_cert_hash=certificate_hash(request.last_certificate),
            params_hash=header_base.params_hash,
        )
        raw = encode(header)
        self.candidates[block_id(raw)] = Candidate(header, raw, tuple(ids), tuple(chosen), evidence)
        return Proposal(raw, (*ids, *named), request.last_certificate)

    def check(self, candidate_id: bytes, proposal: Proposal, taken: tuple[bytes, ...]) -> tuple[Verdict, str]:
        """Tell whether a proposal is acceptable here: bodies, roots, sizes, expiry, duplicates (P30i, LR2).

        `taken`: ids in its uncommitted ancestors; repeating one of them is a duplicate as well.
        """
        if candidate_id in self.settled:
            return Verdict.OK, ""
        if candidate_id in self.candidates:
            return self._recheck(self.candidates[candidate_id], taken)
        try:
            header = header_codec.decode(proposal.header)
        except LedgerError:
            return Verdict.INVALID, "header"
        ids, named = split_bodies(proposal.tx_ids, header.tx_count)
        if header.tx_count != len(ids) or len(ids) > self.params.max_block_txs:
            return Verdict.INVALID, "tx_count"
        if len(dict.fromkeys(ids)) != len(ids):
            return Verdict.INVALID, "duplicate"
        if header.tx_root != list_root(ids):
            return Verdict.INVALID, "tx_root"
        if header.evidence_root != list_root(named):
            return Verdict.INVALID, "evidence_root"
        found: list[Transaction] = []
        absent: list[bytes] = []
        for tx_id in ids:
            tx = self._body(tx_id)
            if tx is None and tx_id in self.recent and header.height > self.height:
                return Verdict.INVALID, "duplicate"
            if tx is None:
                absent.append(tx_id)
            else:
                found.append(tx)
        absent += [identity for identity in named if not self.evidence.judged(identity)]
        if absent:
            room = min(header.size_bytes, self.params.max_block_bytes) - sum(len(tx.envelope) for tx in found)
            self._missing[candidate_id] = _Absent(proposal, taken, dict.fromkeys(absent), room)
            return Verdict.MISSING, "bodies"
        self._missing.pop(candidate_id, None)
        self._forget_bodies()
        problem = self.evidence.problem(named, header.height)
        if problem:
            return Verdict.INVALID, problem
        evidence = tuple(self.evidence.items[identity].data for identity in named)
        candidate = Candidate(header, proposal.header, ids, tuple(found), evidence)
        verdict, reason = self._recheck(candidate, taken)
        if verdict is Verdict.OK:
            self.candidates[candidate_id] = candidate
        return verdict, reason

    def missing(self, candidate_id: bytes) -> tuple[bytes, ...]:
        """Return the ids whose bodies are to be fetched for a proposal, in block order.

        What is at the verifier is not asked for: its verdict comes on its own. Should it be bad, the next round asks.
        """
        entry = self._missing.get(candidate_id)
        if entry is None:
            return ()
        return tuple(tx_id for tx_id in entry.ids if tx_id not in self._ids_in_check and not self._here(tx_id))

    def completed(self) -> list[tuple[bytes, Verdict, str]]:
        """Return the verdicts on proposals whose last missing body arrived since; each is reported once."""
        done = [candidate_id for candidate_id, entry in self._missing.items() if not entry.ids]
        verdicts: list[tuple[bytes, Verdict, str]] = []
        for candidate_id in done:
            entry = self._missing.pop(candidate_id)
            if entry.room_bytes < 0:
                verdicts.append((candidate_id, Verdict.INVALID, "size_bytes"))
                self._forget_bodies()
            else:
                verdicts.append((candidate_id, *self.check(candidate_id, entry.proposal, entry.taken)))
        return verdicts

    def bodies(self, tx_ids: Iterable[bytes], limit_bytes: int) -> tuple[bytes, ...]:
        """Return the envelopes, and the items of evidence, held for `tx_ids`, as many as fit."""
        found: list[bytes] = []
        size = 0
        for tx_id in tx_ids:
            tx = self._body(tx_id)
            body = tx.envelope if tx is not None else self._kept(tx_id)
            size += len(body)
            if size > limit_bytes:
                break
            if body:
                found.append(body)
        return tuple(found)

    def receive_bodies(self, peer: int, message: Bodies) -> list[NodeEffect]:
        """Take the answer to a body request; only ids that are missing are looked at (P131).

        It must be about a proposal that still waits for bodies: each is decoded, and nobody is charged for a late one.
        """
        if message.block_id not in self._missing:
            return [Rejection(peer=peer, reason=UNASKED)]
        wanted: list[Transaction] = []
        effects: list[NodeEffect] = []
        for envelope in message.envelopes[: self.params.max_block_txs + ITEMS_MAX]:
            identity = evidence_id(envelope)
            if self._is_missing(identity):
                effects += self.evidence.fetched(peer, envelope)
                self.evidence_judged(identity)
                continue
            key = envelope_hash(envelope)
            if key in self._refused or key in self._in_check:
                continue
            try:
                tx = decode_transaction(envelope, self.chain_id)
            except LedgerError:
                if _is_evidence(envelope):  # asked for, and told by another member before the answer came
                    continue
                return [*effects, Penalty(peer=peer, reason="malformed_body")]
            if self._is_missing(tx.tx_id) and self._body(tx.tx_id) is None:
                wanted.append(tx)
        return [*effects, self._verify(wanted, peer, wanted=True)] if wanted else effects

    def evidence_judged(self, identity: bytes) -> None:
        """Let proposals that name an item go on, if its verdict is known now."""
        if self.evidence.judged(identity):
            self._arrived(identity)

    def adopt(self, candidate_id: bytes, candidate: Candidate) -> None:
        """Keep a block whose bodies came from the journal or from sync."""
        self.candidates[candidate_id] = candidate
        if self._missing:
            for tx_id in (*candidate.tx_ids, *(evidence_id(item) for item in candidate.evidence)):
                self._arrived(tx_id)

    # -- commitment --------------------------------------------------------------------------------------------

    def committed(self, candidate: Candidate) -> None:
        """The block is in the chain: its transactions leave the pool and their ids are remembered (I26)."""
        self.height = candidate.header.height
        self.time_ms = candidate.header.time_ms
        self._state = None
        self.evidence.committed(self.height, candidate.evidence)
        for tx in candidate.transactions:
            rival = self._nonces.get((tx.sender, tx.nonce))
            if rival is not None and rival != tx.tx_id:
                self._superseded[rival] = self.height
            self._drop(tx.tx_id)
            self.recent.add(tx.tx_id, tx.valid_until_height)
            self._bodies.pop(tx.tx_id, None)
        self.recent.passed(self.height)
        for stale in list(self._lapsing.get(self.height, ())):
            self._drop(stale)
        bodies = {tx.tx_id: tx.envelope for tx in candidate.transactions}
        bodies.update((evidence_id(item), item) for item in candidate.evidence)
        identity = block_id(candidate.header_bytes)
        self.settled[identity] = Settled(self.height, bodies)
        self.candidates.pop(identity, None)
        for blocks in (self.settled, self.candidates):
            for old in [key for key, held in blocks.items() if held.height <= self.height - KEPT_BLOCKS]:
                del blocks[old]
        for old in [key for key, held in self._missing.items() if self._height_of(held.proposal) <= self.height]:
            del self._missing[old]
        self._forget_bodies()
        self.changed = True

    # -- private -----------------------------------------------------------------------------------------------

    @property
    def _gas_max(self) -> int:
        return self.params.max_block_gas

    def passed(self, now: int, candidate: Candidate) -> None:
        """A block was proposed and committed just now: remember whether it could have held more (P132).

        Called before `committed`, and not for what comes by sync: that says nothing about the present primary.
        """
        params, header = self.params, candidate.header
        gas = sum(tx.gas_limit for tx in candidate.transactions)
        few = header.tx_count < min(OPEN_TXS, params.max_block_txs)
        if few and header.size_bytes < OPEN_BYTES and gas + params.max_tx_gas <= params.max_block_gas:
            self._room_ns = now
            return
        held = [self.waiting[tx_id].since_ns for tx_id in candidate.tx_ids if tx_id in self.waiting]
        self._newest.append(max(held, default=0))

    def _passed_over(self, handed_ns: int) -> bool:
        """Tell whether blocks went by that should have held what the primary has had since `handed_ns` (P132)."""
        if self._room_ns > handed_ns:
            return True
        return len(self._newest) == OVERTAKEN_BLOCKS and min(self._newest) > handed_ns

    def _eligible(self, tx: Transaction) -> bool:
        """Tell whether a correct primary would take `tx` now: signers and nonce against the executed state (P132)."""
        if check_signers(self.read(), tx, self.height + 1, self.time_ms, {}):
            return False
        return self._nonce_open(tx)

    def _nonce_open(self, tx: Transaction) -> bool:
        return nonce_free(read_nonces(self.read(), tx.sender), tx.nonce)

    def _revived(self, tx_id: bytes, tx: Transaction) -> bool:
        """Tell, and note, that the rival of `tx` did not use up the nonce after all: its signer was bad (LR3)."""
        if self.executed < self._superseded[tx_id] or not self._nonce_open(tx):
            return False
        del self._superseded[tx_id]
        self.changed = True
        return True

    def _admission(self, tx: Transaction, run: _Checking) -> tuple[str, str]:
        """Return why a verified transaction does not enter the pool, as code and text, or two empty strings.

        What was fetched for a proposal was admitted by nobody here: a primary may have made it up, and in the pool it
        would be proposed by all that come after it. The others were admitted, and may have lapsed at the verifier; what
        was committed meanwhile has not.
        """
        if tx.tx_id in self.recent:
            return "", ""
        try:
            if run.wanted:
                self._judge(tx, run.origin)
            else:
                check_expiry(tx, self.height + 1, self.params)
        except InvalidTransaction as error:
            return error.code, error.detail
        problem = self._quota(self._payer(tx, run.origin), len(tx.envelope)) or self._conflict(tx)
        return problem, _DETAILS.get(problem, "")

    def _admissible(self, envelope: bytes, origin: int | None = None) -> Transaction:
        tx = decode_transaction(envelope, self.chain_id)
        self._judge(tx, self.own if origin is None else origin)
        return tx

    def _judge(self, tx: Transaction, origin: int) -> None:
        """Raise `InvalidTransaction` if a transaction may not wait here (P130); its signatures are another matter."""
        envelope = tx.envelope
        if len(envelope) > self.params.max_block_bytes:
            raise InvalidTransaction("size", f"{len(envelope)} bytes, a block holds {self.params.max_block_bytes}")
        check_expiry(tx, self.height + 1, self.params)
        if tx.tx_id in self.waiting or tx.tx_id in self.recent:
            return
        state = self.read()
        if state is not self._state:
            self._state, self._sound, self._windows, self._companies = state, {}, {}, {}
        problem = self._quota(origin, len(envelope)) or self._quota(self._payer(tx, origin), len(envelope))
        if problem:
            raise InvalidTransaction(problem, _QUOTA_TEXT)
        problem = self._conflict(tx)
        if problem:
            raise InvalidTransaction(problem, _CONFLICT_TEXT)
        problem = check_signers(state, tx, self.height + 1, self.time_ms, self._sound)
        if problem:
            raise InvalidTransaction("bad_signer", problem)
        first = tx.sender
        window = self._windows.get(first)
        if window is None:
            window = self._windows[first] = read_nonces(state, first)
        if not nonce_free(window, tx.nonce):
            raise InvalidTransaction("bad_nonce", f"nonce {tx.nonce} is used or too far ahead")

    def _conflict(self, tx: Transaction) -> str:
        """Return "conflict" if another waiting transaction has the nonce of this one, else ""."""
        holder = self._nonces.get((tx.sender, tx.nonce))
        return "" if holder is None or holder == tx.tx_id else "conflict"

    def _payer(self, tx: Transaction, link: int) -> Origin:
        """Return whose quota `tx` uses once it waits, if it came over `link`."""
        return self.own if link == self.own else self._company(tx)

    def _company(self, tx: Transaction) -> str:
        """Return the company that the first signer is of; "" if nobody registered it, then it is not admitted (LR2).

        Not the one that it acts for: under a mandate that is another company, which is not to pay for it (F12).
        """
        company = self._companies.get(tx.sender)
        if company is None:
            user = read_user(self.read(), tx.sender)
            if user is None:
                return ""  # and not remembered: anybody can make up names
            company = self._companies[tx.sender] = sys.intern(user.company_id)
        return company

    def _quota(self, origin: Origin, size: int) -> str:
        if (
            self._held_bytes + size > POOL_BYTES_MAX
            or self._origin_bytes.get(origin, 0) + size > ORIGIN_BYTES_MAX
            or self._origin_txs.get(origin, 0) >= (self.share if origin == self.own else SHARE_SLACK * self.share)
        ):
            return "mempool_full"
        return ""

    def _verify(self, transactions: list[Transaction], origin: int, *, wanted: bool) -> NodeEffect:
        token = self.next_token()
        run = tuple(tx.closed() for tx in transactions)
        self._checking[token] = _Checking(run, origin, wanted)
        return VerifyTransactions(token=token, transactions=run)

    def _begin_check(self, tx: Transaction, origin: int) -> None:
        """Note what goes to the verifier; it uses the quota of its origin, or a flood would queue up there."""
        self._in_check[tx.envelope_hash] = tx.tx_id
        self._ids_in_check[tx.tx_id] = self._ids_in_check.get(tx.tx_id, 0) + 1
        self._charge(origin, len(tx.envelope), 1)

    def _end_check(self, tx: Transaction, origin: int) -> None:
        if self._in_check.pop(tx.envelope_hash, None) is None:
            return
        left = self._ids_in_check[tx.tx_id] - 1
        if left:
            self._ids_in_check[tx.tx_id] = left
        else:
            del self._ids_in_check[tx.tx_id]
        self._charge(origin, -len(tx.envelope), -1)

    def _charge(self, origin: Origin, size: int, count: int) -> None:
        self._held_bytes += size
        self._origin_bytes[origin] = self._origin_bytes.get(origin, 0) + size
        self._origin_txs[origin] = self._origin_txs.get(origin, 0) + count

    def _settle(self, token: int, position: int, result: SubmitResult) -> list[NodeEffect]:
        submission = self._submissions[token]
        submission.results[position] = result
        submission.open -= 1
        if submission.open:
            return []
        del self._submissions[token]
        return [Answer(token=token, results=tuple(item for item in submission.results if item is not None))]

    def _insert(self, now: int, tx: Transaction, origin: Origin, *, ours: bool) -> None:
        size = len(tx.envelope)
        self.waiting[tx.tx_id] = Waiting(tx, origin, now, ours)
        fwd_ns = self.params.fwd_ms * _NS
        self._owed[tx.tx_id] = Owed(now + fwd_ns, fwd_ns)
        self._lapsing.setdefault(tx.valid_until_height, {})[tx.tx_id] = None
        self._hashes[tx.envelope_hash] = tx.tx_id
        self._nonces[(tx.sender, tx.nonce)] = tx.tx_id
        self._bytes += size
        self._charge(origin, size, 1)
        self.changed = True

    def _drop(self, tx_id: bytes) -> None:
        entry = self.waiting.pop(tx_id, None)
        if entry is None:
            return
        tx, size = entry.tx, len(entry.tx.envelope)
        self._owed.pop(tx_id, None)
        self._overdue.pop(tx_id, None)
        self._superseded.pop(tx_id, None)
        self._hashes.pop(tx.envelope_hash, None)
        lapsing = self._lapsing.get(tx.valid_until_height, {})
        lapsing.pop(tx_id, None)
        if not lapsing:
            self._lapsing.pop(tx.valid_until_height, None)
        place = (tx.sender, tx.nonce)
        if self._nonces.get(place) == tx_id:
            del self._nonces[place]
        self._bytes -= size
        self._charge(entry.origin, -size, -1)
        self.changed = True

    def _body(self, tx_id: bytes) -> Transaction | None:
        entry = self.waiting.get(tx_id)
        if entry is not None:
            return entry.tx
        tx = self._bodies.get(tx_id)
        if tx is not None:
            return tx
        for candidate in self.candidates.values():
            tx = candidate.by_id.get(tx_id)
            if tx is not None:
                return tx
        return None

    def _kept(self, identity: bytes) -> bytes:
        """Return an item of evidence, waiting or proposed, or a body of a block of the chain, or nothing."""
        held = self.evidence.items.get(identity)
        if held is not None:
            return held.data
        for settled in self.settled.values():
            if identity in settled.bodies:
                return settled.bodies[identity]
        for candidate in self.candidates.values():
            for item in candidate.evidence:
                if evidence_id(item) == identity:
                    return item
        return b""

    def _here(self, identity: bytes) -> bool:
        """Tell whether a body of a proposal is here: a transaction, or an item whose verdict is known."""
        return self._body(identity) is not None or self.evidence.judged(identity)

    def _is_missing(self, tx_id: bytes) -> bool:
        return any(tx_id in entry.ids for entry in self._missing.values())

    def _arrived(self, tx_id: bytes, size: int = 0) -> bool:
        """Note that a body is here now; tell whether a proposal waited for it. An item of evidence takes no room."""
        wanted = False
        for entry in self._missing.values():
            if tx_id in entry.ids:
                del entry.ids[tx_id]
                entry.room_bytes -= size
                if entry.room_bytes < 0:
                    entry.ids.clear()
                wanted = True
        return wanted

    def _forget_bodies(self) -> None:
        """Keep fetched bodies for proposals that wait for others; one that was judged holds its own, or is refused."""
        if not self._bodies:
            return
        wanted = {tx_id: None for entry in self._missing.values() for tx_id in entry.proposal.tx_ids}
        self._bodies = {tx_id: tx for tx_id, tx in self._bodies.items() if tx_id in wanted}

    def _recheck(self, candidate: Candidate, taken: tuple[bytes, ...]) -> tuple[Verdict, str]:
        height = candidate.header.height
        above = dict.fromkeys(taken)
        size = gas = 0
        for tx in candidate.transactions:
            if tx.tx_id in above or (tx.tx_id in self.recent and height > self.height):
                return Verdict.INVALID, "duplicate"
            try:
                check_expiry(tx, height, self.params)
            except InvalidTransaction as error:
                return Verdict.INVALID, error.code
            size += len(tx.envelope)
            gas += tx.gas_limit
        if size != candidate.header.size_bytes or size > self.params.max_block_bytes:
            return Verdict.INVALID, "size_bytes"
        if gas > self._gas_max:
            return Verdict.INVALID, "block_gas"
        return Verdict.OK, ""

    @staticmethod
    def _height_of(proposal: Proposal) -> int:
        try:
            return header_codec.decode(proposal.header).height
        except LedgerError:
            return 0


def _is_evidence(data: bytes) -> bool:
    """Tell whether `data` has the form of an evidence item; whether it proves anything is asked elsewhere."""
    try:
        evidence_codec.decode(data)
    except LedgerError:
        return False
    return True


_QUOTA_TEXT: Final = "the pool or the company's share of it is full; wait for the next block and send again"
_CONFLICT_TEXT: Final = "the nonce is used by another waiting transaction of the first signer"
_DETAILS: Final = {"mempool_full": _QUOTA_TEXT, "conflict": _CONFLICT_TEXT}
_AT_ONCE: Final = Lsn(0)
_NS: Final = 1_000_000
"""Nanoseconds in a millisecond."""
