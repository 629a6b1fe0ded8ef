"""Leaves one company out: it never takes in a transaction of that company, so it never proposes one (scenario 54).

Answered by: liveness (LV1), through P132 or, within (f+1) turns, through planned rotation. It still fetches bodies and
votes for blocks of others, so nobody can call it slow.
"""

from __future__ import annotations

from ledger.errors import LedgerError
from ledger.transaction import decode_transaction
from node.core.messages import PeerMessage, TxBatch
from simulator.byzantine.base import Attacker
from simulator.daemon import Daemon
from simulator.rng import Rng


class Censor(Attacker):
    name = "censor"
    passes_over = True

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self.victim = daemon.world.config(self.me).epoch.members[rng.choice(self.peers)].company_id

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        return not (isinstance(message, TxBatch) and any(self._of_victim(envelope) for envelope in message.envelopes))

    def _of_victim(self, envelope: bytes) -> bool:
        try:
            tx = decode_transaction(envelope, self.daemon.world.chain_id)
        except LedgerError:
            return False
        return any(signer.company_id == self.victim for signer in tx.body.signers)
