"""Sends far heights, unknown epochs, large batches of rubbish and endless requests (scenario 56).

Answered by: `bounds`; the others commit at their pace.
"""

from __future__ import annotations

from consensus.messages import Committed, Status
from ledger.certificate import CommitCertificate, Vote
from node.core.messages import BlocksRequest, BodiesRequest, PeerMessage, TxBatch
from simulator.byzantine.base import Attacker, Outgoing

EACH = 6


class Flood(Attacker):
    name = "flood"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        out: Outgoing = [(message, to)]
        if not isinstance(message, Status):
            return out
        for _ in range(EACH):
            far = Vote(message.epoch, message.view + self.rng.below(3), self.rng.below(2**40), bytes(32))
            foreign = Vote(message.epoch + 1, message.view, message.committed_height + 1, bytes(32))
            later = Vote(message.epoch, message.view + 1000, message.committed_height + 1, bytes(32))
            out += [
                (self.prepare(later), to),
                (self.commit(later), to),
                (self.prepare(far), to),
                (self.commit(far), to),
                (self.commit(foreign), to),
                (Committed(CommitCertificate(far, b"\x07", (bytes(64),) * 3)), to),
                (TxBatch(tuple(bytes([self.rng.below(256)]) * 40 for _ in range(8))), to),
                (BlocksRequest(0, 2**63), to),
                (BlocksRequest(1, 2**40), to),
                (BodiesRequest(bytes(32), (bytes(32),) * 64), to),
            ]
        return out
