"""Proposes blocks on another parent than the tip: an older block, or one that does not exist (scenario 39, MU22).

Answered by: P30e; `prefix`. It costs one view change.
"""

from __future__ import annotations

from consensus.messages import PrePrepare
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header, header_of


class Graft(Attacker):
    name = "graft"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, PrePrepare) or message.sender != self.me or message.vote.height < 3:
            return [(message, to)]
        header = header_of(message.proposal)
        older = self.daemon.store.blocks.get(header.height - 2)
        parent = older.ref.block_id if older is not None and self.rng.bits(1) else bytes(range(32))
        changed = changed_header(header, parent_id=parent)
        return [(self.pre_prepare(message.vote.view, changed, message.proposal), to)]
