"""One step in progress: the state, the two clocks of the event, and the effects emitted so far.

Every effect leaves through a method here, so the order of durability (P90) is written in one place: `persist`
advances the lsn, and whatever is sent afterwards names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Final, Protocol

from consensus.effects import (
    Broadcast,
    Count,
    Deliver,
    Effect,
    HaltReason,
    Penalise,
    Persist,
    Reject,
    Send,
    SignatureItem,
)
from consensus.errors import ReplicaHalted
from consensus.events import Lsn
from consensus.messages import Message, PreparedCertificate
from consensus.records import Record
from consensus.state import ReplicaState, fold
from consensus.validate import signing_digest_of
from ledger.block import BlockRef
from ledger.certificate import CommitCertificate
from ledger.codec import encode
from ledger.errors import InvariantViolated
from ledger.params import Params

BODY_KEPT_BYTES: Final = 256
"""Longer signed bodies are remembered as digests: a NEW-VIEW of 64 members has a megabyte. Votes are shorter."""
DIGEST: Final = " digest"
"""Follows the kind where a digest stands for the body: no signature has such a kind."""
NS: Final = 1_000_000
"""Nanoseconds in a millisecond: parameters are milliseconds, the core counts nanoseconds (section 8)."""


class VoteSigner(Protocol):
    """Signs with the consensus key; deterministic: the same body gives the same bytes (P99)."""

    def sign(self, kind: str, body: bytes) -> bytes:
        """Return the 64-byte signature; `kind` is one of `consensus.validate.KINDS`."""
        ...


Completion = Callable[["Step", int, Message], None]
"""Goes on with a message whose signatures are all valid; the peer that handed it in comes second."""


class Step:
    """Handed to every rule; one object per replica, refilled for each event."""

    __slots__ = ("completions", "dirty", "moved", "now", "out", "params", "signer", "state", "wall")

    def __init__(self, state: ReplicaState, signer: VoteSigner, completions: Mapping[str, Completion]) -> None:
        self.state = state
        self.signer = signer
        self.completions = completions
        self.params: Params = state.config.params
        self.now = 0
        self.wall = 0
        self.out: list[Effect] = []
        self.dirty = False
        """Something happened that may change what to propose or which timers run."""
        self.moved = False
        """Something happened that may let a waiting slot go on."""

    def begin(self, now: int, wall: int) -> None:
        """Begin the step of an event of this time; time never goes back (section 8)."""
        self.out = []
        if now > self.now:
            self.now = now
        self.wall = wall
        self.dirty = False

    def persist(self, record: Record, bodies: bytes | None = None, body_bytes: int = 0) -> None:
        """Append `record` to the journal; everything sent from now on waits for it (P90)."""
        state = self.state
        if not state.journaling:
            return
        state.lsn += 1
        state.logged_bytes += len(encode(record)) + body_bytes
        self.out.append(Persist(lsn=Lsn(state.lsn), record=record, bodies=bodies))
        fold(state.picture, record)

    def send(self, to: int, message: Message) -> None:
        self.out.append(Send(to=to, message=message, after=Lsn(self.state.lsn)))

    def broadcast(self, message: Message) -> None:
        self.out.append(Broadcast(message=message, after=Lsn(self.state.lsn)))

    def deliver(self, block: BlockRef, certificate: CommitCertificate) -> None:
        self.out.append(Deliver(block=block, certificate=certificate, after=Lsn(self.state.lsn)))

    def sign(self, kind: str, body: bytes) -> bytes:
        """Sign as this member and remember the signature as verified (P18)."""
        state = self.state
        signature = self.signer.sign(kind, body)
        remember(state, (SignatureItem(kind, body, state.members.epoch, state.me, signature),))
        return signature

    def count(self, metric: str, value: int = 1) -> None:
        self.out.append(Count(metric=metric, value=value))

    def penalise(self, peer: int, reason: str) -> None:
        """Charge the peer that handed in what no correct node sends (P18). Never ourselves, never nobody."""
        if peer == self.state.me or peer < 0:
            raise InvariantViolated(f"{reason} is charged to {peer}, which is no other member")
        self.out.append(Penalise(peer=peer, reason=reason))

    def reject(self, peer: int, reason: str) -> None:
        """Count for the peer that handed it in a message that is not taken and may come from a correct node (P18)."""
        self.out.append(Reject(peer=peer, reason=reason))

    def halt(self, reason: HaltReason, detail: str) -> None:
        """Stop for good (P20); does not return."""
        raise ReplicaHalted(reason, detail)


def remember(state: ReplicaState, items: Iterable[SignatureItem]) -> None:
    """Keep verified signatures; the oldest leave when there are more than the cap (P18)."""
    for item in items:
        state.verified[_kept(state, item)] = None
    trim_verified(state)


def is_verified(state: ReplicaState, item: SignatureItem) -> bool:
    """Tell whether a signature was verified and is still remembered (P18)."""
    return _kept(state, item) in state.verified


def _kept(state: ReplicaState, item: SignatureItem) -> SignatureItem:
    """Return what a verified signature is remembered as: in place of a long body what was signed, its digest (P10)."""
    if len(item.body) <= BODY_KEPT_BYTES:
        return item
    digest = signing_digest_of(item.kind, state.config.chain_id, item.body)
    return SignatureItem(item.kind + DIGEST, digest, item.epoch, item.signer, item.signature)


def trim_verified(state: ReplicaState) -> None:
    """Let the oldest verified signatures go; an epoch with fewer members keeps fewer (P18)."""
    verified = state.verified
    more = len(verified) - 64 - 16 * state.members.n
    if more > 0:
        for item in list(islice(verified, more)):
            del verified[item]


def signers_mask(certificate: CommitCertificate | PreparedCertificate) -> int:
    """Return the signers of a certificate as a mask."""
    return int.from_bytes(certificate.signers, "little")


def signers_here(state: ReplicaState, certificate: CommitCertificate | PreparedCertificate) -> int:
    """Return the signers that are members of this epoch under the same index: none of a certificate of another."""
    return signers_mask(certificate) if certificate.vote.epoch == state.members.epoch else 0
