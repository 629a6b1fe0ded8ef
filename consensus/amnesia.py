"""A signature of ours that the journal does not hold proves that the journal was set back (P97, P98, B22).

    upon a start with a vote:        sign nothing new until q-1 other members have sent STATUS
    upon an own signature, anywhere: in the journal, or from before what it has settled  -> nothing
                                     otherwise: persist Silenced, follow as a learner, alarm the operator
Every signed message was durable before it left (P90), so an intact journal holds all of them that still count: votes
of its view or a later one above its committed height, its last VIEW-CHANGE, the NEW-VIEW of its view. A restored
backup, a lying disk and a second node with the same key all show themselves this way. One valid signature is proof,
and nobody else can make one; a claim without it is ignored.
"""

from __future__ import annotations

from typing import Final

from consensus.effects import SignatureItem, Silence
from consensus.events import Mode
from consensus.messages import Commit, NewView, Prepare, PreparedCertificate, PrePrepare, ViewChange
from consensus.records import Silenced
from consensus.signatures import OWN, require_any
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE, Slot
from consensus.state import Job, ReplicaState
from consensus.step import Step, is_verified, signers_here, signers_mask
from consensus.tally import SignedVote, indexes
from consensus.validate import NEW_VIEW, VIEW_CHANGE, new_view_body, view_change_body, vote_shape
from ledger.certificate import CommitCertificate, Vote
from ledger.codec import Codec, encode
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.errors import InvariantViolated, LedgerError

ECHO_LIMIT_BYTES: Final = 512
"""Largest echo in a STATUS: one vote with its signature is about 150 bytes."""
_echo_codec: Final[Codec[Prepare | Commit]] = Codec(Prepare | Commit, "echo", ECHO_LIMIT_BYTES)


# what peers know about our votes, and we about theirs


def echo_of(state: ReplicaState, peer: int) -> bytes:
    """Return the highest vote of `peer` held here, canonical; a PRE-PREPARE in the form of a Prepare (P98).

    It may be unverified: it came over the signer's own channel, and the signer knows its own signature.
    """
    best = state.peers[peer].voted
    for slot in state.slots.values():
        best = _higher(best, _vote_in(slot, peer))
    later = state.later.get(peer)
    if later is not None:
        for message, _ in later.votes.values():
            best = _higher(best, message)
    if best is None:
        return b""
    return encode(Prepare(best.sender, best.vote, best.signature) if isinstance(best, PrePrepare) else best)


def keep_votes(state: ReplicaState, slot: Slot, certificate: CommitCertificate | None = None) -> None:
    """A slot goes away: remember the highest vote of each member, which its echo will carry (P98)."""
    for peer, prepare, commit in zip(state.peers, slot.prepares.votes, slot.commits.votes, strict=True):
        vote_here, known = commit or prepare, peer.voted
        if vote_here is None or vote_here is known:
            continue
        if known is not None:
            old, new = known.vote, vote_here.vote
            if new.height <= old.height or new.view != old.view or new.epoch != old.epoch:
                vote_here = _higher(known, vote_here)
        peer.voted = vote_here
    if certificate is not None:
        vote = certificate.vote
        for signer, signature in zip(indexes(signers_mask(certificate)), certificate.signatures, strict=True):
            peer = state.peers[signer]
            known = peer.voted
            if not isinstance(known, Commit) or known.vote != vote:  # else its own COMMIT is here already
                peer.voted = _higher(known, Commit(signer, vote, signature))


def _vote_in(slot: Slot, signer: int) -> SignedVote | None:
    return slot.commits.votes[signer] or slot.prepares.votes[signer]


def _higher(known: SignedVote | None, other: SignedVote | None) -> SignedVote | None:
    """Return the vote of the later epoch, view and height; of two in one place the COMMIT, else the known one."""
    if known is None or other is None:
        return known or other
    old, new = known.vote, other.vote
    if new.height == old.height and new.view == old.view and new.epoch == old.epoch:
        return other if isinstance(other, Commit) and not isinstance(known, Commit) else known
    return other if (new.epoch, new.view, new.height) > (old.epoch, old.view, old.height) else known


# hearing the others before anything new is signed


def heard(step: Step, peer: int, echo: bytes) -> bool:
    """Take the echo of a STATUS; tell whether this peer was the last one we had to hear before voting (P98).

    A peer counts once nothing it showed is still being verified, so a liar only delays its own word.
    """
    state = step.state
    if not state.journaling:
        return False
    if echo:
        try:
            message = _echo_codec.decode(echo)
        except LedgerError:
            step.penalise(peer, "malformed")
            return False
        if message.sender == state.me:
            claimed(step, peer, message)
    if state.cleared or any(job.purpose == OWN and job.peer == peer for job in state.jobs.values()):
        return False
    state.heard |= 1 << peer
    if state.heard.bit_count() < state.members.q - 1:
        return False
    state.cleared = True
    step.dirty = step.moved = True
    return True


# own signatures that others show


def claimed(step: Step, peer: int, message: PrePrepare | Prepare | Commit | ViewChange | NewView) -> None:
    """A message that names us as its signer came from outside: verify it if the journal does not hold it."""
    state = step.state
    if not state.journaling or len(message.signature) != SIGNATURE_BYTES:
        return
    if isinstance(message, ViewChange):
        if _forgot_view_change(state, message):
            _verify(step, peer, message, (VIEW_CHANGE,), view_change_body(message))
    elif isinstance(message, NewView):
        if _forgot_new_view(state, message):
            _verify(step, peer, message, (NEW_VIEW,), new_view_body(message))
    elif not vote_shape(message.vote, state.members.epoch):
        kind = COMMIT if isinstance(message, Commit) else PREPARE
        if _forgot_vote(state, kind, message.vote):
            kinds = (COMMIT,) if kind == COMMIT else (PREPARE, PRE_PREPARE)
            _verify(step, peer, message, kinds, encode(message.vote))


def _verify(
    step: Step,
    peer: int,
    message: PrePrepare | Prepare | Commit | ViewChange | NewView,
    kinds: tuple[str, ...],
    body: bytes,
) -> None:
    state = step.state
    epoch, signature = state.members.epoch, message.signature
    items = tuple(SignatureItem(kind, body, epoch, state.me, signature) for kind in kinds)
    if any(is_verified(state, item) for item in items):
        silence(step, _words(message))
    else:
        require_any(step, OWN, peer, message, items)


def own_checked(step: Step, job: Job, valid: int) -> None:
    """The verdict on a signature that is said to be ours; any valid one is proof, none proves nothing (P98)."""
    message = job.subject
    if not valid or isinstance(message, tuple):
        step.reject(job.peer, "false_echo")
    elif step.state.journaling:
        silence(step, _words(message))


def in_commit(step: Step, certificate: CommitCertificate) -> None:
    """Look for a forgotten COMMIT of ours in a valid certificate."""
    state = step.state
    signed = state.journaling and signers_here(state, certificate) >> state.me & 1
    if signed and _forgot_vote(state, COMMIT, certificate.vote):
        silence(step, _vote_words("COMMIT", certificate.vote))


def in_prepared(step: Step, certificate: PreparedCertificate) -> None:
    """Look for a forgotten PRE-PREPARE or PREPARE of ours in a valid prepared certificate."""
    state = step.state
    signed = state.journaling and signers_mask(certificate) >> state.me & 1
    if signed and _forgot_vote(state, PREPARE, certificate.vote):
        silence(step, _vote_words("PREPARE", certificate.vote))


def in_view_change(step: Step, change: ViewChange) -> None:
    """Look for a forgotten signature of ours on and in a valid VIEW-CHANGE."""
    state = step.state
    if state.journaling and change.sender == state.me and _forgot_view_change(state, change):
        silence(step, _words(change))
    in_commit(step, change.base)
    for certificate in change.prepared:
        in_prepared(step, certificate)


def _forgot_vote(state: ReplicaState, kind: str, vote: Vote) -> bool:
    """Tell whether an own vote still counts and is not in the journal.

    Below its view and at or below its committed height the journal holds no votes, and none can do harm there: a
    view that was left and a height that is decided are over (P36, P52).
    """
    picture = state.picture
    if vote.epoch != picture.epoch or vote.view < picture.view or vote.height <= picture.committed.vote.height:
        return False
    own = picture.votes.get((vote.height, kind))
    if own is not None and own.vote == vote:
        return False
    return kind == COMMIT or not any(one.sender == state.me and one.vote == vote for one in picture.accepted)


def _forgot_view_change(state: ReplicaState, change: ViewChange) -> bool:
    picture = state.picture
    return change.epoch == picture.epoch and change.view >= picture.view and change != picture.view_change


def _forgot_new_view(state: ReplicaState, message: NewView) -> bool:
    picture = state.picture
    return message.epoch == picture.epoch and message.view >= picture.view and message != picture.new_view


def _words(message: object) -> str:
    if isinstance(message, ViewChange):
        return f"our VIEW-CHANGE to view {message.view} is not in the journal"
    if isinstance(message, NewView):
        return f"our NEW-VIEW of view {message.view} is not in the journal"
    if isinstance(message, Commit):
        return _vote_words("COMMIT", message.vote)
    if isinstance(message, Prepare | PrePrepare):
        return _vote_words("PREPARE", message.vote)
    raise InvariantViolated(f"nobody signs a {type(message).__name__}")


def _vote_words(kind: str, vote: Vote) -> str:
    return f"our {kind} at height {vote.height} in view {vote.view} is not in the journal"


# the end of voting


def silence(step: Step, reason: str) -> None:
    """Vote no more, durably: follow as a learner until a new consensus key is admitted (P97).

    Only while the journal is kept: each rule above asks that first, so nobody falls silent twice.
    """
    state = step.state
    step.persist(Silenced(reason))
    step.count("silenced")
    step.out.append(Silence(reason=reason))
    state.journaling = False
    state.silenced = reason
    state.mode = Mode.LEARNER
    state.slots, state.later, state.reproposals = {}, {}, {}
    state.build = None
    state.suspecting = state.silent_primary = False
    step.dirty = True
