"""U21: at any moment a node can say what it waits for, and it does not say "nothing" while there is work.

Asked whenever a timer of consensus fires: that is when people ask, too.
"""

from __future__ import annotations

from typing import Final

from consensus.events import Timer
from node.core import effects as ne
from node.core import events as nv
from simulator.checkers.base import Checker
from simulator.daemon import Daemon

WORDS: Final = (
    "halted", "learner", "quorum", "echo", "view_change", "new_view", "sync", "execution", "execution_lag", "proposal",
    "bodies", "refused", "votes", "nothing",
)  # fmt: skip


class Stall(Checker):
    name = "stall"
    watches = (nv.TimerElapsed,)

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, _effects: list[ne.NodeEffect]) -> None:
        if daemon.core is None or not isinstance(event, nv.TimerElapsed) or not isinstance(event.timer, Timer):
            return
        picture = daemon.core.replica.why(event.now)
        if picture.waiting_for not in WORDS:
            self.fail(f"says that it waits for {picture.waiting_for!r}, which is no word for it", daemon.name)
        if picture.waiting_for == "nothing" and picture.pending:
            self.fail(f"says that it waits for nothing with {picture.pending} transactions pending", daemon.name)
        if picture.reachable > picture.n or picture.in_target_view > picture.n:
            self.fail(f"counts {picture.reachable} of {picture.n} members as reachable", daemon.name)
