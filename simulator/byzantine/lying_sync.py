"""Claims heights it does not have and serves wrong, swapped or cut ranges (scenario 73).

Answered by: only certificates move a height; the peer is penalised; laggards catch up elsewhere.
"""

from __future__ import annotations

import msgspec

from consensus.messages import Status
from node.core.messages import Blocks, CertifiedBlock, Held, PeerMessage
from simulator.byzantine.base import Attacker, Outgoing


class LyingSync(Attacker):
    name = "lying_sync"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, Status):
            ahead = self.rng.choice((1, 3, 1000, 2**40))
            lie = msgspec.structs.replace(
                message,
                committed_height=message.committed_height + ahead,
                executed_height=message.executed_height + ahead,
            )
            return [(lie, to)]
        if isinstance(message, Blocks):
            draw = self.rng.below(8)
            if draw == 0:
                return []
            if draw == 1:
                first = message.blocks[0].certificate.vote.height if message.blocks else 1
                return [(Held(first, self.rng.choice((0, first, 2**40)), self.rng.choice((0, first, 2**62))), to)]
            return [(Blocks(self._spoiled(message.blocks)), to)]
        return [(message, to)]

    def _spoiled(self, blocks: tuple[CertifiedBlock, ...]) -> tuple[CertifiedBlock, ...]:
        if not blocks:
            return blocks
        draw = self.rng.below(6)
        if draw == 5:
            return ()
        if draw == 0:
            return tuple(reversed(blocks))
        if draw == 1:
            return blocks[1:]
        place = self.rng.below(len(blocks))
        block = blocks[place]
        if draw == 2:
            spoiled = msgspec.structs.replace(block, certificate=blocks[place - 1].certificate)
        elif draw == 3:
            spoiled = msgspec.structs.replace(block, envelopes=(*block.envelopes, b"\x92\xc4\x00\x90"))
        else:
            header = bytearray(block.header)
            header[self.rng.below(len(header))] ^= 1 << self.rng.below(8)
            spoiled = msgspec.structs.replace(block, header=bytes(header))
        return (*blocks[:place], spoiled, *blocks[place + 1 :])
