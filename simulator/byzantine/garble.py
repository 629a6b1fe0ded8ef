"""Sends bytes that are almost a message: cut, prolonged, not canonical, with huge lengths and deep nesting (58).

Answered by: the receiver's codec refuses them before its core sees them; `never_raises`.
"""

from __future__ import annotations

from ledger.codec import encode
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing


class Garble(Attacker):
    name = "garble"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not self.rng.below(3):
            self.daemon.transmit_bytes(self._garbled(encode(message)), to)
        return [(message, to)]

    def _garbled(self, data: bytes) -> bytes:
        place = self.rng.below(len(data))
        draw = self.rng.below(7)
        if draw == 0:
            return data[:place]
        if draw == 1:
            return data + b"\x00"
        if draw == 2:
            return data[:place] + b"\xc6\xff\xff\xff\xff" + data[place:]
        if draw == 3:
            return b"\xdd\xff\xff\xff\xff" + data
        if draw == 4:
            return b"\x91" * 2_000 + data
        if draw == 5:  # the first small number in a longer form
            for at, byte in enumerate(data[1:], 1):
                if byte < 0x80:
                    return data[:at] + b"\xcd\x00" + bytes([byte]) + data[at + 1 :]
        return data[:place] + bytes([self.rng.below(256)]) + data[place + 1 :]
