"""Gives its votes, and so the last missing one, to chosen members only (scenarios 14, 15, 37).

Answered by: `agreement`; laggards pull certificates.
"""

from __future__ import annotations

from consensus.messages import Commit, Committed, Prepare, Prepared
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing


class WithholdCommit(Attacker):
    name = "withhold_commit"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, (Committed, Prepared)):
            return []
        if not isinstance(message, (Prepare, Commit)):
            return [(message, to)]
        chosen = self.rng.sample(self.peers, 1 if isinstance(message, Commit) else len(self.peers) - 1)
        if to is not None:
            return [(message, to)] if to in chosen else []
        return [(message, peer) for peer in chosen]
