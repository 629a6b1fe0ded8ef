"""Proposes a transaction a second time, in a block that is right otherwise: roots, counts and sizes fit (scenario 81).

In turn: twice in one block; one that an ancestor in flight holds; one that is in the chain already. Ids are whole
hashes here, never shortened, so this is all that a collision of ids can be. Answered by: the mempool of every honest
member (P30i, I26); it costs one view change.
"""

from __future__ import annotations

import msgspec

from consensus.messages import PrePrepare, Status
from consensus.validate import parse_header
from ledger.block import list_root
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from ledger.evidence import split_bodies
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header, header_of
from simulator.daemon import Daemon
from simulator.rng import Rng

BODY_BYTES = 1 << 20
"""Above the largest envelope."""


class Repeat(Attacker):
    name = "repeat"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._turn = 0
        self._seen: dict[int, tuple[bytes, ...]] = {}
        """Ids of the last proposal of each height."""
        self._lies: dict[bytes, None] = {}

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        """Keep the ids of proposals; hide from the own node that it has told two of them (P98)."""
        if isinstance(message, PrePrepare):
            self._note(message)
        if isinstance(message, Status):
            return message.echo[-SIGNATURE_BYTES:] not in self._lies
        return getattr(message, "sender", None) != self.me

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, PrePrepare) or message.sender != self.me:
            return [(message, to)]
        lie = self._lie(message)
        self._note(message)
        if lie is None:
            return [(message, to)]
        self._lies[lie.signature] = None
        return [(lie, to)]

    def _note(self, message: PrePrepare) -> None:
        header = parse_header(message.proposal.header)
        if header is not None:
            self._seen[header.height] = split_bodies(message.proposal.tx_ids, header.tx_count)[0]

    def _lie(self, message: PrePrepare) -> PrePrepare | None:
        """Return the proposal with one id more, or None while there is none to repeat."""
        core, state = self.daemon.core, self.daemon.replica_state
        if core is None or state is None:
            return None
        header = header_of(message.proposal)
        own, evidence = split_bodies(message.proposal.tx_ids, header.tx_count)
        chosen = (
            own,
            tuple(one for height in range(state.tip.height + 1, header.height) for one in self._seen.get(height, ())),
            self._seen.get(state.tip.height, ()),
        )[self._turn % 3]
        body = core.mempool.bodies(chosen[-1:], BODY_BYTES)
        if not body:
            return None
        self._turn += 1
        ids = (*own, chosen[-1])
        changed = changed_header(
            header,
            tx_root=list_root(ids),
            tx_count=len(ids),
            size_bytes=header.size_bytes + len(body[0]),
        )
        proposal = msgspec.structs.replace(message.proposal, tx_ids=(*ids, *evidence))
        return self.pre_prepare(message.vote.view, changed, proposal)
