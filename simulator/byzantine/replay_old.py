"""Sends everybody's old messages again: votes, view changes, openings, statuses (scenario 16, B34).

Answered by: old views and heights have no effect; `honest_votes`, `bounds`.
"""

from __future__ import annotations

from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.daemon import Daemon
from simulator.rng import Rng

KEPT = 400


class ReplayOld(Attacker):
    name = "replay_old"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._seen: list[PeerMessage] = []

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        if len(self._seen) < KEPT:
            self._seen.append(message)
        elif not self.rng.below(8):
            self._seen[self.rng.below(KEPT)] = message
        return True

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        out: Outgoing = [(message, to)]
        if self._seen and not self.rng.below(3):
            out.append((self.rng.choice(self._seen), self.rng.choice(self.peers)))
        return out
