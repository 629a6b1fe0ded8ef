"""Asks every member for bodies, again and again, most of them of transactions that do not exist (56, P140).

Answered by: a share for each member; what goes beyond it is counted and not answered, and the others vote on in time.
"""

from __future__ import annotations

from consensus.messages import Status
from node.core.messages import BodiesRequest, PeerMessage
from simulator.byzantine.base import Attacker, Outgoing

REQUESTS = 20
IDS = 500


class DrawBodies(Attacker):
    name = "draw_bodies"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        out: Outgoing = [(message, to)]
        if isinstance(message, Status):
            out += [(BodiesRequest(bytes(32), (bytes(32),) * IDS), to)] * REQUESTS
        return out
