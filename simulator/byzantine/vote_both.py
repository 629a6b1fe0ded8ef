"""Sends each member another vote for the same slot: the true one to some, a false id to the rest (scenario 35).

Answered by: the first vote counts, `evidence` (E2, E3).
"""

from __future__ import annotations

from hashlib import sha256

from consensus.messages import Commit, Prepare
from ledger.certificate import Vote
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing


class VoteBoth(Attacker):
    name = "vote_both"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, (Prepare, Commit)) or message.sender != self.me or to is not None:
            return [(message, to)]
        vote = message.vote
        wrong = Vote(vote.epoch, vote.view, vote.height, sha256(vote.block_id).digest())
        lie = self.prepare(wrong) if isinstance(message, Prepare) else self.commit(wrong)
        first, second = self.halves()
        out: Outgoing = [(message, peer) for peer in first]
        out += [(lie, peer) for peer in second]
        out += [(lie, peer) for peer in first if self.rng.bits(1)]
        return out
