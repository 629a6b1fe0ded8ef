"""I18, P146: chain time never passes the largest correct clock by more than PRECISION (scenario 62)."""

from __future__ import annotations

from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import StoredBlock


class ChainTime(Checker):
    name = "chain_time"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._ahead_ms = 0
        self._last: tuple[int, int] = (0, 0)

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        height, time_ms = block.ref.height, block.header.time_ms
        if not daemon.honest or height <= self._last[0]:
            return
        now = self.view.now()
        # A clock may have jumped back since it voted, so the largest reading ever seen counts.
        largest = max(other.clock.wall_ms(now) for other in self.view.daemons if other.honest)
        self._ahead_ms = max(self._ahead_ms, largest)
        limit = self._ahead_ms + self.view.league.params.precision_ms
        # A proposer whose parent lies ahead of its clock adds one millisecond (P146).
        if time_ms > max(limit, self._last[1] + 1):
            self.fail(f"block {height} is {time_ms - limit} ms ahead of every correct clock", daemon.name)
        self._last = (height, time_ms)
