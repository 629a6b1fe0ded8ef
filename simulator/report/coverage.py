"""What a run has seen: tuples (mode of the replica, event or message, fault at work) (GO6, SIM14).

A search that reaches no new tuple has stopped learning; progress reports print how many there are.
"""

from __future__ import annotations

from node.core import effects as ne
from node.core import events as nv
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon

QUIET = "none"


class Coverage(Checker):
    name = "coverage"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.reached: dict[str, None] = {}

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, _effects: list[ne.NodeEffect]) -> None:
        state = daemon.replica_state
        if state is None or not daemon.honest:
            return
        what = type(event).__name__
        if isinstance(event, nv.PeerReceived):
            what = type(event.message).__name__
        elif isinstance(event, nv.TimerElapsed):
            what = f"timer {event.timer.value}"
        faults = self.view.faults() or (QUIET,)
        for fault in faults:
            self.reached[f"{state.mode.name}/{what}/{fault}"] = None
