"""Is the only one that saw two heights committed, and shows the certificate of the upper one as its base (52, P56).

It passes no certificate and no block on, and is the first to leave each view, so that every V could hold its
VIEW-CHANGE. From such a base nobody can go on: no correct member has the certificate of the height below, nor can make
one, as the COMMITs are of a view that is over. Answered by: a collector takes VIEW-CHANGEs whose bases it has reached
itself; the blocks above are repeated from what the honest members have prepared (liveness).
"""

from __future__ import annotations

from consensus.messages import Committed
from node.core.messages import Blocks, PeerMessage
from simulator.byzantine.base import Outgoing
from simulator.byzantine.hoard import Hoard


class HidePredecessor(Hoard):
    name = "hide_predecessor"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        return [] if isinstance(message, (Committed, Blocks)) else super().outgoing(message, to)
