"""I2, I3, I6, I18, I20: honest chains grow by one linked block at a time and never go back.

What a node reported committed is committed for it after every crash: it must store the same block again, and it must
come back to that height by the end of a run that heals.
"""

from __future__ import annotations

from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import StoredBlock


class Prefix(Checker):
    name = "prefix"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._reported: dict[int, dict[int, bytes]] = {}
        self._tip: dict[int, int] = {}

    def started(self, daemon: Daemon) -> None:
        self._tip[daemon.slot] = daemon.store.durable_height

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        if not daemon.honest:
            return
        ref, header = block.ref, block.header
        expected = self._tip[daemon.slot] + 1
        if ref.height != expected:
            self.fail(f"stored height {ref.height}, {expected} was next", daemon.name)
        parent = daemon.store.blocks.get(ref.height - 1)
        if parent is None or header.parent_id != parent.ref.block_id:
            self.fail(f"block {ref.height} does not extend the block before it", daemon.name)
        elif header.time_ms <= parent.header.time_ms:
            self.fail(f"block {ref.height} is not later than its parent (I18)", daemon.name)
        reported = self._reported.setdefault(daemon.slot, {})
        if reported.setdefault(ref.height, ref.block_id) != ref.block_id:
            self.fail(f"height {ref.height} was reported committed with another block before", daemon.name)
        self._tip[daemon.slot] = ref.height

    def finished(self) -> None:
        for daemon in self.view.daemons:
            reported = max(self._reported.get(daemon.slot, {0: b""}))
            back = self._tip[daemon.slot] >= reported
            if daemon.honest and daemon.up and daemon.halt is None and self.view.healed and not back:
                self.fail(f"reported {reported} committed, ends at {self._tip[daemon.slot]} (I20)", daemon.name)
