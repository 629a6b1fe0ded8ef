"""Proposes blocks that break one rule of P30: root, epoch, size, time, parent, result, ids (scenario 39).

Answered by: all honest members reject alike; it costs one view change.
"""

from __future__ import annotations

from consensus.messages import PrePrepare
from ledger.block import Header
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header, header_of

NOTHING = bytes(range(32))


class BadProposal(Attacker):
    name = "bad_proposal"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, PrePrepare) or message.sender != self.me or not self.rng.bits(1):
            return [(message, to)]
        header = header_of(message.proposal)
        if header.proposer != self.me:
            return [(message, to)]
        return [(self.pre_prepare(message.vote.view, self._broken(header), message.proposal), to)]

    def _broken(self, header: Header) -> Header:
        changes: list[dict[str, object]] = [
            {"exec_root": NOTHING},
            {"exec_height": header.height},
            {"epoch": header.epoch + 1},
            {"tx_root": NOTHING},
            {"tx_count": header.tx_count + 1},
            {"size_bytes": header.size_bytes + 1},
            {"size_bytes": 1 << 40},
            {"time_ms": header.time_ms + 3_600_000},
            {"time_ms": 0},
            {"parent_id": NOTHING},
            {"chain_id": NOTHING},
            {"members_hash": NOTHING},
            {"params_hash": NOTHING},
            {"evidence_root": NOTHING},
            {"last_cert_hash": NOTHING},
            {"last_cert_height": header.last_cert_height + 1},
            {"proposer": self.rng.choice(self.peers)},
            {"version": 2},
            {"height": header.height + 1},
        ]
        return changed_header(header, **self.rng.choice(changes))
