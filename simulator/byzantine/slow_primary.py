"""Proposes as late as it may without being replaced: just under T0 (scenarios 18, 53).

Answered by: liveness; planned rotation bounds the harm from slice 3 on.
"""

from __future__ import annotations

from consensus.messages import PrePrepare
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing


class SlowPrimary(Attacker):
    name = "slow_primary"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, PrePrepare):
            return [(message, to)]
        t0_ns = self.daemon.world.config(self.me).params.t0_ms * 1_000_000
        self.later(t0_ns * self.rng.between(50, 95) // 100, message, to)
        return []
