"""Proposes the latest time that voters may accept, to push chain time ahead (scenario 62).

Answered by: chain time stays below the largest correct clock plus PRECISION (`chain_time`).
"""

from __future__ import annotations

from consensus.messages import PrePrepare
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header, header_of


class TimeRatchet(Attacker):
    name = "time_ratchet"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, PrePrepare) or message.sender != self.me:
            return [(message, to)]
        header = header_of(message.proposal)
        if header.proposer != self.me:
            return [(message, to)]
        precision_ms = self.daemon.world.config(self.me).params.precision_ms
        ahead = header.time_ms + precision_ms * self.rng.between(1, 12) // 10
        return [(self.pre_prepare(message.vote.view, changed_header(header, time_ms=ahead), message.proposal), to)]
