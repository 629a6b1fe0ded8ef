"""Proposes one block with an older last certificate than its parent's, and says nothing any more (scenario 65, P30f).

Whoever restarted does not know what certificate the parent carries, so the members judge that block differently: where
enough take it, it is prepared, and who would refuse it must be content with it when a new view repeats it. Answered by:
what not every member knows is asked of new blocks only (liveness).
"""

from __future__ import annotations

from consensus.messages import PrePrepare
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.byzantine.deviate import older_as_last
from simulator.daemon import Daemon
from simulator.rng import Rng


class OldLast(Attacker):
    name = "old_last"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._done = False

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        state = self.daemon.replica_state
        if self._done or state is None:
            return []
        if not isinstance(message, PrePrepare) or message.sender != self.me:
            return [(message, to)]
        lies = older_as_last(self, message, state)
        self._done = bool(lies)
        return [(lie, to) for lie in lies] or [(message, to)]
