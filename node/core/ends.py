"""Learning from peers how epochs ended and where the nodes are (P85, P107, P115, P117): the way from the members known
here to those of today.

    who is asked     a peer that says it stands in a later epoch than the ends kept here lead to: one at a time
    an answer        ends of consecutive epochs. Each names the next members by the hash in its header, and the commit
                     certificate of that header is checked under the members of the epoch that ended
    a good end       is kept for good; its members are those under which the next one is checked
    the last answer  brings the node records as well, each proven under a header of the epoch that was reached: links
                     follow what is registered today, not what was when the own state was made
    the others       are asked for their node records too, each once in an epoch: true records may be old ones, or few
    the way is clear when no peer that may be asked stands further: a snapshot of that epoch can be judged then

A node asks when it is so far behind that it wants the state instead of the blocks, and when ends are missing that its
state has passed. What peers claim only says whom to ask. Who lies is named and left out; who has nothing, or stays
silent, is not asked for a while. One answer is held at a time, and one end of it is checked at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from consensus.effects import SignatureItem
from consensus.events import EpochSpec, Lsn
from ledger.certificate import CommitCertificate, Verify, bitmap_indexes
from ledger.codec import encode
from ledger.crypto.ed25519 import verify_strict
from ledger.errors import LedgerError
from ledger.governance.follow import EpochEnd, TrustedMembers, follow
from ledger.proof import ResultProof, proven_value, verify_result
from ledger.registry.lookup import node_key
from ledger.registry.records import Node, node_codec
from node.core.effects import (
    UNASKED,
    KeepEpochEnd,
    LearnNodes,
    NodeEffect,
    Penalty,
    Rejection,
    SendPeer,
    VerifyVotes,
)
from node.core.epochs import spec_of, trusted_members
from node.core.messages import ENDS_MAX, EpochEnds, EpochEndsRequest
from node.core.sync import LEFT_OUT_NS, SILENT, Fault

REFUSED: Final = "epoch_end"
"""Stable reason: an end that does not follow from the members of the epoch before."""


@dataclass(slots=True)
class Walk:
    """State of learning the ends of epochs. Idle while nobody is asked and nothing is checked."""

    chain_id: bytes
    own: int | None
    next_token: Callable[[], int]
    patience_ns: int
    reached: EpochSpec
    """The last epoch whose members are known for certain: from the state, or from the ends that are kept."""
    connected: dict[int, None]
    faults: dict[int, Fault]
    """Shared with sync: who lied there is not believed here."""
    met: dict[int, None] = field(default_factory=dict)
    """Peers that showed, in the epoch that is reached, where the nodes are. One alone may be a liar that shows old
    records, or only its own: another one closes that gap."""
    claims: dict[int, int] = field(default_factory=dict)
    """Epoch in which a peer says it stands: a hint for whom to ask."""
    _asked: int = -1
    _deadline_ns: int = 0
    _checking: EpochSpec | None = None
    """Where the end leads whose signatures are being verified."""
    _ends: deque[EpochEnd] = field(default_factory=deque)
    """The answer that is worked through; its first end is the one being checked."""
    _proofs: tuple[ResultProof, ...] = ()
    """Node records of the same answer; looked at when its ends are worked through."""
    _led: bool = False
    """An end of this answer was good: the peer is worth another question."""
    _token: int = 0
    _signatures: int = 0
    _idle_until_ns: dict[int, int] = field(default_factory=dict)
    """Peers that had nothing or said nothing, and until when they are not asked."""

    @property
    def active(self) -> bool:
        """An answer is waited for, or is being checked."""
        return self._asked >= 0

    def behind(self, now: int) -> bool:
        """Tell whether a peer that may be asked stands in a later epoch, or can tell where the nodes are."""
        return self._choose(now) >= 0

    def plan(self, now: int) -> list[NodeEffect]:
        """Ask one peer, unless one is asked already or nobody stands further."""
        peer = -1 if self.active else self._choose(now)
        if peer < 0:
            return []
        self._asked = peer
        self._deadline_ns = now + self.patience_ns
        return [SendPeer(to=peer, message=EpochEndsRequest(self.reached.epoch), after=Lsn(0))]

    def tick(self, now: int) -> list[NodeEffect]:
        """Ask another when the answer is late."""
        if not self.active or self._token or now < self._deadline_ns:
            return []
        self.faults[self._asked] = Fault(SILENT, now)
        return self._leave_out(now)

    def lost(self, peer: int, now: int) -> list[NodeEffect]:
        """The link to a peer is gone: ask another. An answer that is here already is worked through.

        If it was silent, that may have been the link: over the next one it is asked without waiting.
        """
        self.claims.pop(peer, None)
        fault = self.faults.get(peer)
        if fault is not None and fault.reason == SILENT:
            self._idle_until_ns.pop(peer, None)
        if self._asked != peer or self._token:
            return []
        self._drop()
        return self.plan(now)

    def received(self, peer: int, message: EpochEnds, now: int) -> list[NodeEffect]:
        """Take the answer of the peer that was asked; one that comes late, or that nobody asked for, is dropped."""
        if peer != self._asked or self._token or message.first != self.reached.epoch:
            return [Rejection(peer=peer, reason=UNASKED)]
        if not message.ends and not message.nodes:
            return self._leave_out(now)  # it lost them, or never had them: no fault
        if len(message.ends) > ENDS_MAX:
            return self._blame(now)
        self._ends, self._proofs = deque(message.ends), message.nodes
        return self._check(now)

    def votes_verified(self, token: int, valid: int, now: int) -> list[NodeEffect]:
        """Take the verdict on the certificate of one end: keep it and go on with the next, or blame who sent it."""
        if not self._token or token != self._token:
            return []
        self._token = 0
        if valid != (1 << self._signatures) - 1:
            return self._blame(now)
        if self._checking is None:
            height, nodes = self._proofs[0].height, tuple(_node(proof) for proof in self._proofs)
            self.met[self._asked] = None
            return [LearnNodes(height=height, nodes=nodes), *self._answered(now)]
        self._led = True
        end, left = self._ends.popleft(), self.reached.epoch
        self.reached, self._checking = self._checking, None
        self.met.clear()
        return [KeepEpochEnd(epoch=left, end=end, leads_to=self.reached), *self._check(now)]

    def _check(self, now: int) -> list[NodeEffect]:
        """Check everything about the next end, or at last the nodes, but signatures; ask for the verdict on those."""
        if not self._ends:
            return self._check_nodes(now)
        end = self._ends[0]
        found = follow(trusted_members(self.reached, self.chain_id), (end,), lambda *_: True)
        if isinstance(found, str):
            return self._blame(now)
        self._checking = spec_of(found)
        return self._ask_signatures(end.certificate)

    def _check_nodes(self, now: int) -> list[NodeEffect]:
        """Node records are believed under one certificate of the epoch that was reached; later ones are passed over."""
        if not self._proofs or self._proofs[0].certificate.vote.epoch != self.reached.epoch:
            return self._answered(now)
        trusted = trusted_members(self.reached, self.chain_id)
        if isinstance(proven_nodes(self._proofs, trusted, lambda *_: True), str):
            return self._blame(now)
        return self._ask_signatures(self._proofs[0].certificate)

    def _answered(self, now: int) -> list[NodeEffect]:
        """An answer is worked through: go on with the next epochs, if anybody stands there.

        Who claimed them and showed none, or showed no node, would be asked for the same again at once and for ever.
        """
        short = self._asked not in self.met or self.claims.get(self._asked, -1) > self.reached.epoch
        if short and not self._led:
            return self._leave_out(now)
        self._drop()
        return self.plan(now)

    def _ask_signatures(self, certificate: CommitCertificate) -> list[NodeEffect]:
        self._token = self.next_token()
        indexes = bitmap_indexes(certificate.signers, len(self.reached.members)) or ()
        body = encode(certificate.vote)
        items = tuple(
            SignatureItem("commit", body, self.reached.epoch, index, signature)
            for index, signature in zip(indexes, certificate.signatures, strict=True)
        )
        self._signatures = len(items)
        return [VerifyVotes(token=self._token, items=items)]

    def _choose(self, now: int) -> int:
        """Return the peer to ask, or -1: one that says it stands further, else one that may know this epoch's nodes."""
        last = self.reached.epoch
        for peer in sorted(self.connected, key=lambda one: (self.claims.get(one, -1) <= last, one)):
            further = self.claims.get(peer, -1) - last
            if peer == self.own or further < 0 or (further == 0 and peer in self.met):
                continue
            fault = self.faults.get(peer)
            lied = fault is not None and fault.reason != SILENT and now - fault.since_ns < LEFT_OUT_NS
            if not lied and self._idle_until_ns.get(peer, now) <= now:
                return peer
        return -1

    def _leave_out(self, now: int) -> list[NodeEffect]:
        """Do not ask this peer for longer than all may be silent one after the other: a state waits for the way."""
        self._idle_until_ns[self._asked] = now + max(LEFT_OUT_NS, 2 * len(self.connected) * self.patience_ns)
        self._drop()
        return self.plan(now)

    def _blame(self, now: int) -> list[NodeEffect]:
        """The peer sent what no correct node sends: name it, leave it out, ask another."""
        peer = self._asked
        self.faults[peer] = Fault(REFUSED, now)
        self._drop()
        return [Penalty(peer=peer, reason=REFUSED), *self.plan(now)]

    def _drop(self) -> None:
        self._asked, self._token, self._checking, self._led = -1, 0, None, False
        self._ends.clear()
        self._proofs = ()


def proven_nodes(
    proofs: Sequence[ResultProof], trusted: TrustedMembers, verify: Verify = verify_strict
) -> tuple[Node, ...] | str:
    """Return the nodes that these proofs show as of one height, or what is wrong with which (P117).

    `trusted` are the members of the epoch of their certificate, which is the same in all: it is verified once.
    """
    found: dict[str, Node] = {}
    for number, proof in enumerate(proofs):
        first = proofs[0]
        if (proof.header, proof.certificate, proof.height) != (first.header, first.certificate, first.height):
            return f"node record {number} is of another height than the first one"
        problem = verify_result(proof, trusted.keys, trusted.chain_id, verify if number == 0 else lambda *_: True)
        if problem:
            return f"node record {number}: {problem}"
        try:
            node = _node(proof)
        except LedgerError as error:
            return f"node record {number}: {error}"
        if proof.state[0].key != node_key(node.node_id) or node.node_id in found:
            return f"node record {number} stands at the place of another node"
        found[node.node_id] = node
    return tuple(found.values())


def _node(proof: ResultProof) -> Node:
    """Return the record that a proof shows; raise `Malformed` for one that shows none."""
    return node_codec.decode((proven_value(proof) or b"") if proof.state else b"")
