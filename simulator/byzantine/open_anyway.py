"""Opens its view over VIEW-CHANGEs that contradict each other, where an honest collector stops (scenario 30, P55).

Such VIEW-CHANGEs exist only where more than f members lie. Answered by: whoever checks them halts and never enters.
"""

from __future__ import annotations

from consensus.messages import NewView, ViewChange
from consensus.validate import Contradiction, opening
from ledger.crypto.ed25519 import SIGNATURE_BYTES
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.daemon import Daemon
from simulator.rng import Rng


class OpenAnyway(Attacker):
    name = "open_anyway"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._changes: dict[int, dict[int, ViewChange]] = {}
        self._opened: dict[int, None] = {}

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        if isinstance(message, ViewChange):
            self._heard(message)
        return True

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, ViewChange):
            self._heard(message)
        return [(message, to)]

    def _heard(self, message: ViewChange) -> None:
        """Keep it; with q of its view at hand, and a contradiction among them, open the view."""
        state = self.daemon.replica_state
        changes = self._changes.setdefault(message.view, {})
        changes[message.sender] = message
        if state is None or message.view in self._opened or state.members.collector(message.view) != self.me:
            return
        chosen = tuple(changes[sender] for sender in sorted(changes))[: state.members.q]
        if len(chosen) < state.members.q or not isinstance(opening(chosen), Contradiction):
            return
        self._opened[message.view] = None
        repeated = tuple((entry.vote.height, entry.vote.block_id) for entry in chosen[0].prepared)
        unsigned = NewView(message.epoch, self.me, message.view, chosen, repeated, bytes(SIGNATURE_BYTES))
        self.later(1_000_000, self.new_view(unsigned), None)
