"""Proposes transactions that it made up, in a block that is right otherwise, and hands out their bodies (38, P131).

Two at once, in the name of somebody who is known, signed with a key that nobody registered. No block may hold the
first: it is valid for too long, or has more gas than a transaction or than a block may have, in turn. The second has
nothing else wrong, and a nonce that its owner will need. Answered by: all honest members refuse the block, and neither
enters a pool. One that holds the first makes no good block any more (liveness), one that holds the second proposes it
(`validity`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from consensus.messages import PrePrepare, Status
from ledger.block import list_root
from ledger.codec import encode
from ledger.crypto.ed25519 import SIGNATURE_BYTES, SigningKey
from ledger.evidence import split_bodies
from ledger.transaction import Envelope, TxBody, body_digest, decode_transaction
from node.core.messages import Bodies, BodiesRequest, PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header, header_of
from simulator.daemon import Daemon
from simulator.rng import Rng

BODY_BYTES: Final = 1 << 20
"""Above the largest envelope."""
NONCES_AHEAD: Final = 20
"""So far ahead of a true nonce are those of what is made up: free still, and within the window of LR3."""
NOBODY: Final = SigningKey(b"\x07" * 32)


class MakeUp(Attacker):
    name = "make_up"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._bodies: dict[bytes, tuple[bytes, ...]] = {}
        """Envelopes of the lies, by block id."""
        self._lies: dict[bytes, None] = {}
        """Signatures under lies; its own node must not hear of them, or it would fall silent (P98)."""

    def incoming(self, peer: int, message: PeerMessage) -> bool:
        if isinstance(message, BodiesRequest) and message.block_id in self._bodies:
            self.later(1, Bodies(message.block_id, self._bodies[message.block_id]), peer)
            return False
        if isinstance(message, Status):
            return message.echo[-SIGNATURE_BYTES:] not in self._lies
        return getattr(message, "sender", None) != self.me

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, PrePrepare) or message.sender != self.me:
            return [(message, to)]
        return [(self._lie(message) or message, to)]

    def _lie(self, message: PrePrepare) -> PrePrepare | None:
        """Return the proposal with made-up transactions in the place of its own, or None if it has none to copy."""
        core, state = self.daemon.core, self.daemon.replica_state
        header = header_of(message.proposal)
        ids, evidence = split_bodies(message.proposal.tx_ids, header.tx_count)
        if core is None or state is None or header.proposer != self.me or not ids:
            return None
        chain_id, params = state.config.chain_id, state.config.params
        (true,) = core.mempool.bodies(ids[:1], BODY_BYTES)
        body = decode_transaction(true, chain_id).body
        excess = (
            {"valid_until_height": header.height + params.max_validity_heights + 1_000},
            {"gas_limit": params.max_tx_gas + 1},
            {"gas_limit": params.max_block_gas + 1},
        )[len(self._bodies) % 3]
        made_up = (
            self._signed(msgspec.structs.replace(body, nonce=body.nonce + NONCES_AHEAD, **excess), chain_id),
            self._signed(msgspec.structs.replace(body, nonce=body.nonce + NONCES_AHEAD + 1), chain_id),
        )
        made_up_ids = tuple(decode_transaction(envelope, chain_id).tx_id for envelope in made_up)
        changed = changed_header(
            header, tx_root=list_root(made_up_ids), tx_count=len(made_up), size_bytes=sum(map(len, made_up))
        )
        proposal = msgspec.structs.replace(message.proposal, tx_ids=(*made_up_ids, *evidence))
        lie = self.pre_prepare(message.vote.view, changed, proposal)
        self._bodies[lie.vote.block_id] = made_up
        self._lies[lie.signature] = None
        return lie

    def _signed(self, body: TxBody, chain_id: bytes) -> bytes:
        """Return the envelope of `body`, signed with a key that is nobody's as often as it names signers."""
        raw = encode(body)
        key = self.daemon.world.oracle.handle(NOBODY)
        signature = key.sign(body_digest(raw, chain_id))
        return encode(Envelope(raw, ((key.public_key, signature),) * len(body.signers)))
