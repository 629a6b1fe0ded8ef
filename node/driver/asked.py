"""What other nodes asked for and is not answered yet: a bounded queue for each of them, served in turn (P140).

    a request      waits in the queue of its node; one that waits there already is not queued again
    a full queue   refuses it: a correct node never has so much unanswered
    an answer      is made for the first request of one node, then it is the turn of the next node

An answer reads up to some megabytes, and a request has 15 bytes. If all that arrive in one turn were answered in it, a
single node could hold the loop of all others; so the driver takes one from here between two turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from msgspec import structs

from node.core import effects as ne
from node.core.snapshots import REQUESTS_PER_PEER
from node.core.sync import RANGES_PER_PEER

Request: TypeAlias = ne.SendBlocks | ne.SendSnapshot | ne.SendChunk | ne.SendSkeleton | ne.SendEpochEnds
REQUESTS: Final = (ne.SendBlocks, ne.SendSnapshot, ne.SendChunk, ne.SendSkeleton, ne.SendEpochEnds)
"""The effects that are requests of other nodes."""
WALKS: Final = 1
OFFERS: Final = 1
"""A node asks another for one step of its way along the epochs, and for one offer of a state, at a time."""
UNANSWERED_MAX: Final = RANGES_PER_PEER + REQUESTS_PER_PEER + WALKS + OFFERS
"""Requests of one node that wait: all that a correct one may have unanswered (P107)."""
REFUSED: Final = "unanswered"
"""Stable reason: a node asks for more than may be unanswered. A correct one comes to that only when it gave up waiting
for answers and asks for others, so it weighs no more than a message too many."""


class Asked:
    """Requests by node, in the order in which they came, and the nodes in the order in which it is their turn."""

    __slots__ = ("_queues",)

    def __init__(self) -> None:
        self._queues: dict[int, dict[Request, None]] = {}

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def add(self, request: Request) -> bool:
        """Queue a request; False if its node has too many unanswered."""
        queue = self._queues.setdefault(request.to, {})
        if request not in queue and len(queue) >= UNANSWERED_MAX:
            return False
        queue[request] = None
        return True

    def take(self) -> Request | None:
        """Return the request to be answered now, or None."""
        if not self._queues:
            return None
        peer = next(iter(self._queues))
        queue = self._queues.pop(peer)
        request = next(iter(queue))
        del queue[request]
        if queue:
            self._queues[peer] = queue  # behind the others
        return request

    def forget(self, peer: int) -> None:
        """Drop what a node asked for: its link has ended."""
        self._queues.pop(peer, None)

    def move(self, moved: Mapping[int, int]) -> None:
        """Follow the nodes to their new indexes, given by the old ones; what those without one asked for is dropped."""
        self._queues = {
            moved[peer]: {structs.replace(request, to=moved[peer]): None for request in queue}
            for peer, queue in self._queues.items()
            if peer in moved
        }


__all__ = ["REFUSED", "REQUESTS", "UNANSWERED_MAX", "Asked", "Request"]
