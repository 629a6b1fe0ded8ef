"""Ids of committed transactions that are still valid, in little memory.

A repeated transaction must be refused for as long as its validity lasts (I26), which can be a hundred thousand ids at
once. A dictionary of them takes 180 bytes each; here it is little more than the 32 bytes of the id: ids are
spread over places by their first bits, and a place holds its ids end to end. Nothing is taken out alone. Ids lie
in spans of heights by the end of their validity, and a span goes when it is over; until then its ids are refused
for their expiry as well (LR2).
"""

from __future__ import annotations

from typing import Final

ID_BYTES: Final = 32
SPANS: Final = 4
"""Spans that the longest validity is cut into: at most one more than these is held."""


class CommittedIds:
    """An exact set of transaction ids, each with the last height at which it is valid.

    `validity_heights`: the longest validity of the network. Whoever grinds ids until they share a place makes a search
    of that place longer, by 1 microsecond for each few hundred ids, which had to be signed, valid and ordered.
    """

    __slots__ = ("_heights", "_spans", "count")

    def __init__(self, validity_heights: int) -> None:
        self._heights = max(1, validity_heights // SPANS)
        self._spans: dict[int, dict[int, bytearray]] = {}
        self.count = 0

    def add(self, tx_id: bytes, valid_until_height: int) -> None:
        """Keep `tx_id` at least until `valid_until_height`."""
        if tx_id in self:
            return
        places = self._spans.setdefault(valid_until_height // self._heights, {})
        place = _place(tx_id)
        held = places.get(place)
        if held is None:
            places[place] = bytearray(tx_id)
        else:
            held += tx_id
        self.count += 1

    def passed(self, height: int) -> None:
        """Let go of spans in which nothing is valid above `height`."""
        while self._spans and (first := min(self._spans)) < (height + 1) // self._heights:
            self.count -= sum(len(held) for held in self._spans.pop(first).values()) // ID_BYTES

    def __contains__(self, tx_id: bytes) -> bool:
        place = _place(tx_id)
        for places in self._spans.values():
            held = places.get(place)
            if held is None:
                continue
            at = held.find(tx_id)
            while at % ID_BYTES and at > 0:  # across two ids
                at = held.find(tx_id, at + 1)
            if at >= 0:
                return True
        return False


def _place(tx_id: bytes) -> int:
    return tx_id[0] << 4 | tx_id[1] >> 4
