"""P17, P18: no honest node charges an honest peer. Whoever relays checks first, so only a liar hands in what is bad."""

from __future__ import annotations

from node.core import effects as ne
from node.core import events as nv
from simulator.checkers.base import Checker
from simulator.daemon import Daemon


class Penalties(Checker):
    name = "penalties"
    watches = (ne.Penalty,)

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        state = daemon.replica_state
        if not daemon.honest or state is None or self.view.too_many(state.members.epoch):
            return  # where more than f lie there may be two chains, and who is on the other one looks like a liar
        for effect in effects:
            if isinstance(effect, ne.Penalty) and not self.view.byzantine_mask >> daemon.firm_of(effect.peer) & 1:
                charged = self.view.league.everyone[daemon.firm_of(effect.peer)].name
                self.fail(f"charges {charged} with {effect.reason} at {type(event).__name__}", daemon.name)
