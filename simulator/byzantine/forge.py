"""Signs votes of others with its own key, relays them ahead of the true ones, and mixes kinds (scenarios 36, 59, 60).

Answered by: keys come from the member set; a forged relay never takes the place of the true vote (P17).
"""

from __future__ import annotations

import msgspec

from consensus.messages import Commit, Prepare, PrePrepare, ViewChange
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing


class Forge(Attacker):
    name = "forge"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        out: Outgoing = []
        if isinstance(message, (PrePrepare, Prepare, Commit)):
            victim = self.rng.choice(self.peers)
            vote = message.vote
            out.append((msgspec.structs.replace(self.commit(vote), sender=victim), to))
            out.append((msgspec.structs.replace(self.prepare(vote), sender=victim), to))
            out.append((Commit(self.me, vote, self.prepare(vote).signature), to))
            out.append((Commit(self.members + self.rng.below(3), vote, self.commit(vote).signature), to))
        elif isinstance(message, ViewChange):
            out.append((msgspec.structs.replace(message, sender=self.rng.choice(self.peers)), to))
        return [*out, (message, to)]
