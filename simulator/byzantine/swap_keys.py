"""Serves transactions signed anew with a key of its own, to some of the others: the call is the same (ADR 0031).

Answered by: the id binds the keys, so what it serves is not what was asked for; the members ask others.
"""

from __future__ import annotations

import msgspec

from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.errors import LedgerError
from ledger.transaction import Envelope, body_digest, envelope_codec
from node.core.messages import Blocks, Bodies, PeerMessage
from simulator.byzantine.base import Attacker, Outgoing

NOBODYS = SigningKey(b"nobody registered this key------")


class SwapKeys(Attacker):
    name = "swap_keys"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, Bodies) and self.rng.bits(1):
            return [(msgspec.structs.replace(message, envelopes=self._signed_anew(message.envelopes)), to)]
        if isinstance(message, Blocks):
            blocks = tuple(
                msgspec.structs.replace(block, envelopes=self._signed_anew(block.envelopes)) for block in message.blocks
            )
            return [(msgspec.structs.replace(message, blocks=blocks), to)]
        return [(message, to)]

    def _signed_anew(self, envelopes: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return transactions under a key that nobody registered; evidence stays as it is."""
        return tuple(self._with_own_key(one) for one in envelopes)

    def _with_own_key(self, envelope: bytes) -> bytes:
        try:
            outer = envelope_codec.decode(envelope)
        except LedgerError:
            return envelope
        world = self.daemon.world
        own = world.oracle.handle(NOBODYS)
        signature = own.sign(body_digest(outer.body, world.chain_id))
        return encode(Envelope(outer.body, ((own.public_key, signature),) * len(outer.signatures)))
