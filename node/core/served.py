"""How much is served to each peer: an equal share for every member, so none of them can take a node's time (P140).

    a request   costs the bytes of its answer, and something for each id that has to be looked for in vain
    a share     fills with time up to a burst; while it is overdrawn, requests of that peer are not answered

A request for bodies is answered at once, since a member cannot vote before the answer is there. It has 32 bytes for
each transaction, the answer up to some megabytes.
"""

from __future__ import annotations

from typing import Final

SERVED_BYTES_S: Final = 48 * 1024 * 1024
"""Bytes of bodies that a node serves in a second to all members together: some tenth of a processor's time."""
BURST_BYTES: Final = 12 * 1024 * 1024
"""What a peer may draw at once after a pause: the bodies of a full window of the largest blocks."""
VAIN_BYTES: Final = 4 * 1024
"""An id that is not here costs as much time as so many bytes of an answer: it is looked for in all that is kept."""
_SECOND_NS: Final = 1_000_000_000


class Shares:
    """What is left of the share of each peer. Pure: the time is an argument."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: dict[int, tuple[int, int]] = {}
        """Peer -> (bytes times nanoseconds in a second, at which time)."""

    def open(self, peer: int, members: int, now_ns: int) -> bool:
        """Tell whether a request of `peer` is answered now, in a network of so many members."""
        full = BURST_BYTES * _SECOND_NS
        left, at_ns = self._left.get(peer, (full, now_ns))
        left = min(full, left + (now_ns - at_ns) * (SERVED_BYTES_S // members))
        self._left[peer] = (left, now_ns)
        return left >= 0

    def draw(self, peer: int, answer_bytes: int, vain_ids: int) -> None:
        """Take what an answer cost from the share of `peer`, which `open` was asked about before."""
        left, at_ns = self._left[peer]
        self._left[peer] = (left - (answer_bytes + vain_ids * VAIN_BYTES) * _SECOND_NS, at_ns)
