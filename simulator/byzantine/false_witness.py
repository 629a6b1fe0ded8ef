"""Accuses everybody: pairs of real signatures that prove nothing, forged ones, true ones again and again (scenario 76).

Answered by: `evidence` (I16): no such item is kept, proposed or recorded, and its sender is charged; `bounds`.
"""

from __future__ import annotations

from typing import Final

from consensus.membership import Membership
from consensus.messages import Commit, NewView, Prepare, PrePrepare, ViewChange
from consensus.slots import COMMIT, PRE_PREPARE, PREPARE
from consensus.validate import NEW_VIEW, VIEW_CHANGE, new_view_body, view_change_body
from ledger.codec import encode
from ledger.evidence import KINDS, Evidence, Statement
from node.core.messages import EvidenceItem, PeerMessage
from simulator.byzantine.base import Attacker
from simulator.daemon import Daemon
from simulator.rng import Rng

HEARD_MAX: Final = 64
"""Statements remembered of each member."""
VOTE_KINDS: Final = {PrePrepare: PRE_PREPARE, Prepare: PREPARE, Commit: COMMIT}


class FalseWitness(Attacker):
    name = "false_witness"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._heard: dict[int, list[Statement]] = {}

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        statement = _said(message)
        state = self.daemon.replica_state
        if state is None or statement is None:
            return True
        if (
            isinstance(message, PrePrepare | Prepare | Commit | ViewChange | NewView)
            and message.sender < state.members.n
        ):
            heard = self._heard.setdefault(message.sender, [])
            heard.append(statement)
            del heard[:-HEARD_MAX]
            if self.rng.below(8) == 0:
                self.later(1_000_000, EvidenceItem(encode(self._accusation(message.sender, state.members))), None)
        return True

    def _accusation(self, victim: int, members: Membership) -> Evidence:
        """Return an item of any kind from what the victim really said, perhaps with a changed byte."""
        kind = self.rng.choice(KINDS)
        chosen = [self.rng.choice(self._heard[victim]) for _ in range(1 if kind == "E5" else 2)]
        if self.rng.bits(1):
            bent = bytearray(chosen[0].body)
            bent[self.rng.below(len(bent))] ^= 1 << self.rng.below(8)
            chosen[0] = Statement(chosen[0].kind, bytes(bent), chosen[0].signature)
        if len(chosen) == 2 and chosen[0].kind == chosen[1].kind:
            chosen.sort(key=lambda statement: statement.body)
        return Evidence(kind, members.epoch, members.company_ids[victim], tuple(chosen))


def _said(message: PeerMessage) -> Statement | None:
    if isinstance(message, ViewChange):
        return Statement(VIEW_CHANGE, view_change_body(message), message.signature)
    if isinstance(message, NewView):
        return Statement(NEW_VIEW, new_view_body(message), message.signature)
    if isinstance(message, (PrePrepare, Prepare, Commit)):
        return Statement(VOTE_KINDS[type(message)], encode(message.vote), message.signature)
    return None
