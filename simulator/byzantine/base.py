"""What an attacker is (M30): a wrapper around a real replica that rewrites what leaves it, with its own keys only.

An attacker sees everything its node receives, knows the run, draws from its own stream, and may send what it likes in
its own name. It cannot sign for others: the oracle gives it one handle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from consensus.messages import Commit, NewView, Prepare, PrePrepare, Proposal, ViewChange
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE
from consensus.validate import NEW_VIEW, VIEW_CHANGE, new_view_body, view_change_body
from ledger.block import Header, block_id, header_codec
from ledger.certificate import Vote
from ledger.codec import encode
from node.core.messages import PeerMessage
from simulator.rng import Rng

if TYPE_CHECKING:
    from simulator.daemon import Daemon

Outgoing = list[tuple[PeerMessage, int | None]]


class Attacker:
    """Base: behaves like the honest replica inside. Subclasses override `outgoing` or `incoming`."""

    name: ClassVar[str] = ""
    passes_over: ClassVar[bool] = False
    """As primary it may go on with blocks that leave work out: what ends that is REQ_MS (P132), not T(k)."""

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        self.daemon = daemon
        self.rng = rng
        self.members = members

    @property
    def me(self) -> int:
        """The own member index in the epoch that the node lives in."""
        return self.daemon.index

    @property
    def peers(self) -> list[int]:
        """Indexes of the other members."""
        state = self.daemon.replica_state
        count = self.members if state is None else state.members.n
        return [index for index in range(count) if index != self.daemon.index]

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        """Return what leaves instead of `message`; `to` None is all others."""
        return [(message, to)]

    def incoming(self, _peer: int, _message: PeerMessage) -> bool:
        """See a message before the replica does; False hides it."""
        return True

    def split(self, first: PeerMessage, second: PeerMessage) -> Outgoing:
        """Return `first` for some of the others and `second` for the rest, drawn anew."""
        one, two = self.halves()
        out: Outgoing = [(first, peer) for peer in one]
        return out + [(second, peer) for peer in two]

    # -- tools -----------------------------------------------------------------------------------------------------

    def halves(self) -> tuple[list[int], list[int]]:
        """Return the other members in two random groups, neither empty."""
        order = self.rng.shuffled(self.peers)
        size = self.rng.between(1, max(1, len(order) - 1))
        return order[:size], order[size:]

    def later(self, delay_ns: int, message: PeerMessage, to: int | None) -> None:
        """Send after a delay, if the process still lives."""
        daemon, incarnation = self.daemon, self.daemon.incarnation

        def go(_: object) -> None:
            if daemon.incarnation == incarnation:
                daemon.transmit(message, to)

        daemon.world.heap.at(daemon.world.heap.now + delay_ns, go)

    def sign(self, kind: str, body: bytes) -> bytes:
        return self.daemon.signer.sign(kind, body)

    def prepare(self, vote: Vote) -> Prepare:
        return Prepare(self.me, vote, self.sign(PREPARE, encode(vote)))

    def commit(self, vote: Vote) -> Commit:
        return Commit(self.me, vote, self.sign(COMMIT, encode(vote)))

    def pre_prepare(self, view: int, header: Header, proposal: Proposal) -> PrePrepare:
        """Return a signed proposal of `header` with the ids and certificate of `proposal`."""
        raw = encode(header)
        vote = Vote(header.epoch, view, header.height, block_id(raw))
        changed = msgspec.structs.replace(proposal, header=raw)
        return PrePrepare(self.me, vote, self.sign(PRE_PREPARE, encode(vote)), changed)

    def view_change(self, message: ViewChange) -> ViewChange:
        """Return `message` under a new own signature."""
        return msgspec.structs.replace(message, signature=self.sign(VIEW_CHANGE, view_change_body(message)))

    def new_view(self, message: NewView) -> NewView:
        return msgspec.structs.replace(message, signature=self.sign(NEW_VIEW, new_view_body(message)))

    def is_own_proposal(self, message: PeerMessage) -> bool:
        return isinstance(message, PrePrepare) and message.sender == self.me


def header_of(proposal: Proposal) -> Header:
    """Return the decoded header of a proposal that an honest replica made."""
    return header_codec.decode(proposal.header)


def changed_header(header: Header, **changes: object) -> Header:
    return msgspec.structs.replace(header, **changes)


__all__ = ["Attacker", "Outgoing", "changed_header", "header_of"]
