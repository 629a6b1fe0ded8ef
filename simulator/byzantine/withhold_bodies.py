"""Proposes ids and keeps the transactions: to all, or to all but a few (scenario 38).

Answered by: no PREPARE without bodies; the view change; liveness.
"""

from __future__ import annotations

from node.core.messages import Bodies, PeerMessage, TxBatch
from simulator.byzantine.base import Attacker, Outgoing


class WithholdBodies(Attacker):
    name = "withhold_bodies"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, Bodies):
            return []
        if isinstance(message, TxBatch):
            return [(message, peer) for peer in self.rng.sample(self.peers, self.rng.below(len(self.peers)))]
        return [(message, to)]
