"""Proposes the earliest time the chain allows, one millisecond after the parent, so that its clock stands still (61).

Answered by: the lower bound of P145 (`chain_time`).
"""

from __future__ import annotations

from consensus.messages import PrePrepare
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header, header_of


class Backdate(Attacker):
    name = "backdate"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        state = self.daemon.replica_state
        if not isinstance(message, PrePrepare) or message.sender != self.me or state is None:
            return [(message, to)]
        header = header_of(message.proposal)
        if header.proposer != self.me or header.height != state.tip.height + 1:
            return [(message, to)]
        early = changed_header(header, time_ms=state.tip.time_ms + 1)
        return [(self.pre_prepare(message.vote.view, early, message.proposal), to)]
