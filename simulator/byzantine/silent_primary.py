"""Takes part as a backup and says nothing as a primary: no proposal, no NEW-VIEW, no heartbeat (scenario 02).

Answered by: the view change; liveness.
"""

from __future__ import annotations

from consensus.messages import Heartbeat, NewView, PrePrepare
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing


class SilentPrimary(Attacker):
    name = "silent_primary"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, (PrePrepare, NewView, Heartbeat)):
            return []
        return [(message, to)]
