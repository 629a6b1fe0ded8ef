"""Says one wrong thing at a time, well formed and signed, each by its name (scenarios 39, 41, 42, 57, 71, 76, 84).

Where `mutate` draws fields and `sweep` counts them, this one knows the rules: `LIES` holds what it takes to break one
rule alone, so that everything else about the message is right and no other check answers first. What becomes possible
is said, in turn. `charged` and `counted` of a scenario name the answers. Answered by: the named check of every honest
member; nothing else happens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from consensus.messages import Commit, Committed, Prepare, Prepared, PreparedCertificate, PrePrepare, Status, ViewChange
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE
from consensus.state import ReplicaState
from consensus.tally import indexes
from consensus.validate import NUMBER_MAX
from ledger.certificate import CommitCertificate, Vote, bitmap, certificate_hash, genesis_certificate
from ledger.codec import encode
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.evidence import Evidence, Statement
from node.core.messages import EvidenceItem, PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header, header_of
from simulator.daemon import Daemon
from simulator.rng import Rng

NOWHERE: Final = bytes(range(32))
"""Id of no block."""
PROPOSALS_BETWEEN: Final = 6
"""True proposals after a wrong one, which costs a view."""


class Deviate(Attacker):
    name = "deviate"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._turn: dict[type[Any], int] = {}
        self._lies: dict[bytes, None] = {}
        """Signatures under lies; its own node must not hear of them, or it would fall silent (P98)."""
        self.proposal: PrePrepare | None = None
        """The last one that was seen."""
        self.first: CommitCertificate | None = None
        """A certificate of epoch 0."""

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        if isinstance(message, PrePrepare):
            self.proposal = message
        if isinstance(message, Status):
            return message.echo[-SIGNATURE_BYTES:] not in self._lies
        return getattr(message, "sender", None) != self.me

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        state = self.daemon.replica_state
        if state is None:
            return [(message, to)]
        if state.members.epoch == 0 and state.tip.height:
            self.first = self.first or state.tip_certificate
        kind = type(message)
        if not self.daemon.votes:
            claims = self._next(_GUEST, message, state) if kind is Status else []
            return [*((claim, to) for claim in claims), (message, to)]
        if self.is_own_proposal(message):
            lies = self._proposal(message, state)
            return [(lie, to) for lie in lies] or [(message, to)]
        lies = self._next(LIES.get(kind, ()), message, state)
        return [*((lie, None) for lie in lies), (message, to)]

    def vouched(self, vote: Vote, kind: type[Prepare] | type[Commit]) -> Prepare | Commit:
        """Return a vote whose echo its own node does not hear."""
        message = self.prepare(vote) if kind is Prepare else self.commit(vote)
        self._lies[message.signature] = None
        return message

    def _proposal(self, message: PeerMessage, state: ReplicaState) -> list[PeerMessage]:
        """Return a wrong proposal now and then; the others are true, so that the chain grows."""
        place = self._turn.get(PrePrepare, 0)
        self._turn[PrePrepare] = place + 1
        if place % PROPOSALS_BETWEEN or not isinstance(message, PrePrepare):
            return []
        choices = LIES[PrePrepare]
        for step in range(len(choices)):
            lies = choices[(place // PROPOSALS_BETWEEN + step) % len(choices)](self, message, state)
            for lie in lies:
                self._lies[getattr(lie, "signature", b"")] = None
            if lies:
                return lies
        return []

    def _next(self, choices: tuple[Lie, ...], message: Any, state: ReplicaState) -> list[PeerMessage]:
        """Return the next lie that is possible now, from the first one again after the last."""
        kind = type(message)
        for _ in choices:
            place = self._turn.get(kind, 0)
            self._turn[kind] = place + 1
            lies = choices[place % len(choices)](self, message, state)
            if lies:
                return lies
        return []


Lie = Callable[[Deviate, Any, ReplicaState], list[PeerMessage]]


# proposals


def _genesis_as_last(liar: Deviate, message: PrePrepare, state: ReplicaState) -> list[PeerMessage]:
    """P30f: a last certificate far below the window."""
    last = genesis_certificate(state.config.genesis_id, 0)
    if message.vote.height <= state.config.params.window or state.members.epoch:
        return []
    return _with_last(liar, message, last)


def older_as_last(liar: Attacker, message: PrePrepare, state: ReplicaState) -> list[PeerMessage]:
    """P30f: a last certificate within the window, older than the one its parent carries."""
    height = message.vote.height
    known = header_of(message.proposal).last_cert_height
    for at in range(max(1, height - state.config.params.window), known - 1):
        if at in state.recent:
            return _with_last(liar, message, state.recent[at].certificate)
    return []


def _with_last(liar: Attacker, message: PrePrepare, last: CommitCertificate) -> list[PeerMessage]:
    header = header_of(message.proposal)
    if header.proposer != liar.me:
        return []
    changed = changed_header(header, last_cert_height=last.vote.height, last_cert_hash=certificate_hash(last))
    return [
        liar.pre_prepare(message.vote.view, changed, msgspec.structs.replace(message.proposal, last_certificate=last))
    ]


# relays of prepared blocks; said ahead of the own COMMIT, while others still lack the certificate


def _prepared(message: Commit, state: ReplicaState) -> Prepared | None:
    certificate = state.picture.prepared.get(message.vote.height)
    held = state.blocks.get(message.vote.block_id)
    if certificate is None or certificate.vote != message.vote or held is None:
        return None
    return Prepared(certificate, held.proposal)


def _relays(
    change: Callable[[Prepared, ReplicaState], Prepared | None],
) -> Lie:
    def lie(_liar: Deviate, message: Commit, state: ReplicaState) -> list[PeerMessage]:
        true = _prepared(message, state)
        changed = None if true is None else change(true, state)
        return [] if changed is None else [changed]

    lie.__doc__ = change.__doc__
    return lie


def _changed(true: Prepared, **changes: object) -> Prepared:
    return Prepared(msgspec.structs.replace(true.certificate, **changes), true.proposal)


def _primary_did_not_sign(true: Prepared, state: ReplicaState) -> Prepared | None:
    """P15: a prepared certificate without the vote of the primary it names."""
    signers = indexes(int.from_bytes(true.certificate.signers, "little"))
    others = [index for index in range(state.members.n) if index not in signers]
    return _changed(true, primary=others[0]) if others else None


def _another_primary(true: Prepared, _state: ReplicaState) -> Prepared | None:
    """P34: a certificate of this view that names a signer as primary that is not."""
    signers = indexes(int.from_bytes(true.certificate.signers, "little"))
    return _changed(true, primary=next(index for index in signers if index != true.certificate.primary))


def _header_apart(true: Prepared, _state: ReplicaState) -> Prepared | None:
    """P30f: proposal and certificate have different headers."""
    return Prepared(true.certificate, msgspec.structs.replace(true.proposal, header=b""))


def _ids_missing(true: Prepared, _state: ReplicaState) -> Prepared | None:
    """P30f: fewer ids than the header counts."""
    if not true.proposal.tx_ids:
        return None
    return Prepared(true.certificate, msgspec.structs.replace(true.proposal, tx_ids=()))


def _ids_of_others(true: Prepared, _state: ReplicaState) -> Prepared | None:
    """P30f: as many ids as the header counts, and not those of its root."""
    if not true.proposal.tx_ids:
        return None
    ids = (NOWHERE, *true.proposal.tx_ids[1:])
    return Prepared(true.certificate, msgspec.structs.replace(true.proposal, tx_ids=ids))


# what is said every now and then, ahead of an own STATUS


def _unknown_members(_liar: Deviate, _message: Status, state: ReplicaState) -> list[PeerMessage]:
    """P115: a certificate of members that nobody decided, for a height that is over."""
    tip = state.tip_certificate
    if state.coming is not None or not tip.vote.height:
        return []
    vote = Vote(state.members.epoch + 1, 0, 1, NOWHERE)
    return [Committed(msgspec.structs.replace(tip, vote=vote))]


def _too_many_signatures(liar: Deviate, _message: Status, state: ReplicaState) -> list[PeerMessage]:
    """P140: more signatures at once than are verified for one peer; none of them is good."""
    members = state.members
    mark = liar.sign(COMMIT, NOWHERE)
    signers = bitmap(range(members.q), members.n)
    votes = [Vote(members.epoch, state.view, state.height + 1, bytes(31) + bytes([number])) for number in range(120)]
    return [Committed(CommitCertificate(vote, signers, (mark,) * members.q)) for vote in votes]


def _ancient(liar: Deviate, _message: Status, state: ReplicaState) -> list[PeerMessage]:
    """P115: a true certificate of members that nobody keeps any more."""
    first = liar.first
    if first is None or state.members.before is None or state.members.before.epoch <= first.vote.epoch:
        return []
    return [Committed(first)]


def _wrong_chair(liar: Deviate, _message: Status, state: ReplicaState) -> list[PeerMessage]:
    """P138: a proposal for a later view whose first proposer is somebody else."""
    if liar.proposal is None or state.members.collector(state.view + 1) == liar.me:
        return []
    vote = Vote(state.members.epoch, state.view + 1, state.height + 1, NOWHERE)
    signature = liar.sign(PRE_PREPARE, encode(vote))
    liar._lies[signature] = None
    return [PrePrepare(liar.me, vote, signature, liar.proposal.proposal)]


def _back_from_later(liar: Deviate, _message: Status, state: ReplicaState) -> list[PeerMessage]:
    """P138: a vote for the view after the next one, then one for the next one: only the later counts."""
    votes = [Vote(state.members.epoch, state.view + ahead, state.height + 2, NOWHERE) for ahead in (2, 1)]
    return [liar.vouched(vote, Prepare) for vote in votes]


def _old_base(liar: Deviate, _message: Status, state: ReplicaState) -> list[PeerMessage]:
    """P53: a VIEW-CHANGE that starts before its epoch."""
    if liar.first is None or state.members.first_height <= liar.first.vote.height + 1:
        return []
    change = ViewChange(state.members.epoch, liar.me, state.view + 1, liar.first, (), bytes(SIGNATURE_BYTES))
    signed = liar.view_change(change)
    liar._lies[signed.signature] = None
    return [signed]


def _primary_left_out(liar: Deviate, _message: Status, state: ReplicaState) -> list[PeerMessage]:
    """P53: a VIEW-CHANGE whose prepared certificate lacks the vote of the primary it names."""
    vote = Vote(state.members.epoch, state.view, state.height + 1, NOWHERE)
    n, q = state.members.n, state.members.q
    if n == q:
        return []
    mark = liar.sign(PREPARE, encode(vote))
    entry = PreparedCertificate(vote, b"", q, bitmap(range(q), n), (mark,) * q)
    change = ViewChange(vote.epoch, liar.me, state.view + 1, state.tip_certificate, (entry,), bytes(SIGNATURE_BYTES))
    signed = liar.view_change(change)
    liar._lies[signed.signature] = None
    return [signed]


def _forged_words(liar: Deviate, _message: Status, state: ReplicaState) -> list[PeerMessage]:
    """P122: two contradicting votes that somebody else is to have signed."""
    victim = (liar.me + 1) % state.members.n
    votes = [Vote(state.members.epoch, state.view, state.height, one) for one in (NOWHERE, bytes(32))]
    said = [Statement(COMMIT, encode(vote), liar.sign(COMMIT, encode(vote))) for vote in votes]
    return [_accusation(state, victim, "E3", tuple(sorted(said, key=lambda one: one.body)))]


def _said_twice(liar: Deviate, _message: Status, state: ReplicaState) -> list[PeerMessage]:
    """P123: a proposal and a vote of one member for one place, and for the same block."""
    body = encode(Vote(state.members.epoch, state.view, state.height, NOWHERE))
    said = tuple(Statement(kind, body, liar.sign(kind, body)) for kind in (PRE_PREPARE, PREPARE))
    return [_accusation(state, liar.me, "E2", said)]


def _accusation(state: ReplicaState, victim: int, kind: str, said: tuple[Statement, ...]) -> EvidenceItem:
    company = state.members.company_ids[victim]
    return EvidenceItem(encode(Evidence(kind, state.members.epoch, company, said)))


def _endless(_liar: Deviate, message: Status, _state: ReplicaState) -> list[PeerMessage]:
    """P37: a follower that claims a height beyond everything."""
    return [msgspec.structs.replace(message, committed_height=NUMBER_MAX)]


LIES: Final[dict[type[Any], tuple[Lie, ...]]] = {
    PrePrepare: (_genesis_as_last, older_as_last),
    Commit: (
        _relays(_primary_did_not_sign),
        _relays(_another_primary),
        _relays(_header_apart),
        _relays(_ids_missing),
        _relays(_ids_of_others),
    ),
    Status: (
        _unknown_members,
        _too_many_signatures,
        _ancient,
        _wrong_chair,
        _back_from_later,
        _old_base,
        _primary_left_out,
        _forged_words,
        _said_twice,
    ),
}
"""By the kind of the own message that they go ahead of, or, of proposals, that they replace."""
_GUEST: Final[tuple[Lie, ...]] = (_endless,)
