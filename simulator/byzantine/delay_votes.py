"""Sends its votes late and in any order (scenario 37). Answered by: q without it; liveness."""

from __future__ import annotations

from consensus.messages import Commit, Prepare, ViewChange
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing

LATEST_NS = 2_000_000_000


class DelayVotes(Attacker):
    name = "delay_votes"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, (Prepare, Commit, ViewChange)):
            return [(message, to)]
        for peer in self.peers if to is None else [to]:
            self.later(self.rng.below(LATEST_NS), message, peer)
        return []
