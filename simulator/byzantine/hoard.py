"""Collects the certificate of a block that nobody else can prove, and shows it many views later (scenario 52, P33).

The votes of the others for it reach only this member, which keeps its own COMMIT and all relays back, opens no view,
and leaves the first views as if it had prepared nothing. From then on it shows the certificate in each VIEW-CHANGE,
ahead of all others, so that every view has to repeat that block, and gives the block to nobody. Answered by: the honest
members have kept the proposal, and one that leads a view proposes it again (liveness).
"""

from __future__ import annotations

from typing import Final

from consensus.messages import Commit, NewView, Prepared, PreparedCertificate, PrePrepare, Status, ViewChange
from node.core.messages import Bodies, PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.daemon import Daemon
from simulator.rng import Rng

HIDDEN_VIEWS: Final = 12
"""Views after that of the certificate in which it is not shown."""
KEPT_BACK: Final = (Bodies, Commit, NewView, Prepared, PrePrepare, ViewChange)
"""What could show the block, or is said in another form."""


class Hoard(Attacker):
    name = "hoard"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._hoarded: PreparedCertificate | None = None
        self._said: dict[int, ViewChange] = {}
        """What leads to each view."""

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        """Hurry to leave a view that begins or is its own to open: a collector takes the first q that come."""
        if isinstance(message, NewView | ViewChange) and (isinstance(message, NewView) or self._opens(message.view)):
            self._leave(message.view + 1)
        return True

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, Commit) and message.sender == self.me:
            self._keep(message)
        if isinstance(message, Status):
            self._leave(message.view + 1)
        return [] if isinstance(message, KEPT_BACK) else [(message, to)]

    def _opens(self, view: int) -> bool:
        state = self.daemon.replica_state
        return state is not None and state.members.collector(view) == self.me

    def _keep(self, message: Commit) -> None:
        """Keep the certificate behind an own COMMIT, the first one of each height."""
        state, height = self.daemon.replica_state, message.vote.height
        if state is not None and (self._hoarded is None or self._hoarded.vote.height < height):
            self._hoarded = state.picture.prepared.get(height, self._hoarded)

    def _leave(self, view: int) -> None:
        """Say that it goes to a view, in the same words as before if it said so before."""
        state = self.daemon.replica_state
        if state is None:
            return
        if view not in self._said:
            one, base = self._hoarded, state.tip_certificate
            told = one is not None and one.vote.height > base.vote.height and view > one.vote.view + HIDDEN_VIEWS
            shown = (one,) if one is not None and told else ()
            self._said[view] = self.view_change(ViewChange(state.members.epoch, self.me, view, base, shown, b""))
        self.later(1, self._said[view], None)
