"""Is proven guilty, and names the proof in two blocks one after the other (scenario 76, P30i, P124).

As primary it signs two proposals for one place, so that evidence against it comes into being, and proposes that as a
correct primary would. The block above names it again. Only as many as it takes to prepare that block are told, before
they know that the one below is decided: only this member has seen the COMMITs. Then it shows the certificate of the
lower one, and says nothing any more. Answered by: whether a fault is on the chain already differs from member to
member, so it is no reason to refuse a block (liveness).
"""

from __future__ import annotations

from typing import Final

import msgspec

from consensus.messages import Commit, Committed, PrePrepare, Status
from consensus.state import ReplicaState, leader_of
from ledger.block import list_root
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.evidence import split_bodies
from node.core.messages import Blocks, PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header, header_of
from simulator.daemon import Daemon
from simulator.rng import Rng

TAKEN_NS: Final = 3_000_000
"""By then all have taken a proposal on a quick network."""
PREPARED_NS: Final = 30_000_000
"""By then all have prepared its block."""


class AccuseTwice(Attacker):
    name = "accuse_twice"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._lies: dict[bytes, None] = {}
        """Signatures under lies; its own node must not hear of them, or it would fall silent (P98)."""
        self._proof: PrePrepare | None = None
        """The proposal that carries the evidence first."""
        self._upper = b""
        """Id of the block above it."""

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        if isinstance(message, Status):
            return message.echo[-SIGNATURE_BYTES:] not in self._lies
        if isinstance(message, Commit) and message.vote.block_id == self._upper:
            return False
        return getattr(message, "sender", None) != self.me

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        state = self.daemon.replica_state
        if self._upper or state is None:
            return []
        if isinstance(message, (Committed, Blocks)) and leader_of(state) == self.me:
            return []
        if not isinstance(message, PrePrepare) or message.sender != self.me or to is not None:
            return [(message, to)]
        if self._proof is not None:
            above = message.vote.height == self._proof.vote.height + 1 and state.height == self._proof.vote.height
            lie = self._again(self._proof, message, state) if above else None
            return [] if lie is None else [(lie, peer) for peer in self.peers[: state.members.q - 1]]
        if _items(message):
            self._proof = message
        elif not self._lies:
            self._equivocate(message)
        return [(message, None)]

    def _equivocate(self, message: PrePrepare) -> None:
        """Sign another proposal for the same place (E1), when all have taken the first."""
        header = header_of(message.proposal)
        header = changed_header(header, time_ms=header.time_ms + 1)
        other = self.pre_prepare(message.vote.view, header, message.proposal)
        self._lies[other.signature] = None
        self.later(TAKEN_NS, other, None)

    def _again(self, proof: PrePrepare, message: PrePrepare, state: ReplicaState) -> PrePrepare:
        """Return the proposal with the evidence of the block below in it, and the certificates up to that one later.

        It carries the last certificate of the block below: its own would tell that this one is decided.
        """
        below, items, last = header_of(proof.proposal), _items(proof), proof.proposal.last_certificate
        header = changed_header(
            header_of(message.proposal),
            evidence_root=list_root(items),
            last_cert_height=below.last_cert_height,
            last_cert_hash=below.last_cert_hash,
        )
        ids = (*message.proposal.tx_ids, *items)
        proposal = msgspec.structs.replace(message.proposal, tx_ids=ids, last_certificate=last)
        lie = self.pre_prepare(message.vote.view, header, proposal)
        self._lies[lie.signature] = None
        self._upper = lie.vote.block_id
        for height in sorted(state.recent):
            self.later(PREPARED_NS, Committed(state.recent[height].certificate), None)
        return lie


def _items(message: PrePrepare) -> tuple[bytes, ...]:
    """Return the ids of the evidence in a proposal."""
    return split_bodies(message.proposal.tx_ids, header_of(message.proposal).tx_count)[1]
