"""Claims ever higher views, up to 2^63, and suspects without end (scenarios 48, 49, 84).

Answered by: the (f+1)-th largest view moves the others, not the largest (`bounds`, liveness).
"""

from __future__ import annotations

import msgspec

from consensus.messages import Heartbeat, Status, Suspect, ViewChange
from ledger.certificate import CommitCertificate
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.daemon import Daemon
from simulator.rng import Rng

HUGE = (2**31, 2**61, 2**62, 2**63, 2**64 - 1)


class ViewSpam(Attacker):
    name = "view_spam"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._view = 0
        self._base: CommitCertificate = daemon.world.genesis_certificate

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        out: Outgoing = [(message, to)]
        if isinstance(message, Status):
            self._view = max(self._view, message.view) + 1
            view = self._view if self.rng.bits(1) else self.rng.choice(HUGE)
            out.append((Suspect(message.epoch, view), to))
            out.append((self.view_change(ViewChange(message.epoch, self.me, view, self._base, (), b"")), to))
            out[0] = (msgspec.structs.replace(message, view=view), to)
        elif isinstance(message, Heartbeat):
            out.append((msgspec.structs.replace(message, view=self.rng.choice(HUGE)), to))
        return out
