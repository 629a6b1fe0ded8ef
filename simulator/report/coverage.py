"""What a run has seen: tuples (mode of the replica, event or message, fault at work) (GO6, SIM14).

A search that reaches no new tuple has stopped learning; progress reports print how many there are.
"""

from __future__ import annotations

from consensus.events import Mode, Timer
from node.core import effects as ne
from node.core import events as nv
from node.core.events import NodeTimer
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon

QUIET = "none"


class Coverage(Checker):
    name = "coverage"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.reached: dict[str, None] = {}
        self._seen: dict[tuple[Mode, type | NodeTimer | Timer, tuple[str, ...]], None] = {}

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, _effects: list[ne.NodeEffect]) -> None:
        state = daemon.replica_state
        if state is None or not daemon.honest:
            return
        what: type | NodeTimer | Timer = type(event)
        if isinstance(event, nv.PeerReceived):
            what = type(event.message)
        elif isinstance(event, nv.TimerElapsed):
            what = event.timer
        faults = self.view.faults()
        seen = (state.mode, what, faults)
        if seen in self._seen:
            return
        self._seen[seen] = None
        name = what.__name__ if isinstance(what, type) else f"timer {what.value}"
        for fault in faults or (QUIET,):
            self.reached[f"{state.mode.name}/{name}/{fault}"] = None
