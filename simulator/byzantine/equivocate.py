"""Proposes one block to some members and another to the rest, and votes for both (scenario 33).

Answered by: `agreement`, `evidence` (E1), and the view change that follows.
"""

from __future__ import annotations

from consensus.messages import Commit, Prepare, PrePrepare
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header, header_of
from simulator.daemon import Daemon
from simulator.rng import Rng


class Equivocate(Attacker):
    name = "equivocate"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._variants: dict[tuple[int, int], tuple[PrePrepare, list[int], list[int]]] = {}

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, PrePrepare) and message.sender == self.me:
            return self._split(message, to)
        if isinstance(message, Commit):
            known = self._variants.get((message.vote.view, message.vote.height))
            if known is not None:
                return [(message, peer) for peer in known[1]]
        return [(message, to)]

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        """Help the variant along: commit to it as soon as somebody prepares it."""
        if isinstance(message, Prepare):
            known = self._variants.get((message.vote.view, message.vote.height))
            if known is not None and message.vote == known[0].vote:
                commit = self.commit(message.vote)
                for target in known[2]:
                    self.later(1_000_000, commit, target)
        return True

    def _split(self, message: PrePrepare, to: int | None) -> Outgoing:
        key = (message.vote.view, message.vote.height)
        known = self._variants.get(key)
        if known is None:
            header = header_of(message.proposal)
            if header.proposer != self.me:
                return [(message, to)]
            other = self.pre_prepare(
                message.vote.view, changed_header(header, time_ms=header.time_ms + 1), message.proposal
            )
            first, second = self.halves()
            known = self._variants[key] = (other, first, second)
        if to is None:
            out: Outgoing = [(message, peer) for peer in known[1]]
            return out + [(known[0], peer) for peer in known[2]]
        return [(known[0] if to in known[2] else message, to)]
