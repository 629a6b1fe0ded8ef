"""I14, I15: equal results at equal heights; a header names a result of its own chain within the lag."""

from __future__ import annotations

from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import StoredBlock
from simulator.execution import Executed


class ExecRoot(Checker):
    name = "exec_root"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._roots: dict[int, bytes] = {0: view.league.state.exec_root}

    def executed(self, daemon: Daemon, height: int, executed: Executed) -> None:
        if not daemon.honest or self._apart(height):
            return
        root = executed.result.exec_root
        if self._roots.setdefault(height, root) != root:
            self.fail(f"height {height} has exec_root {root.hex()[:12]} here, another elsewhere", daemon.name)

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        if not daemon.honest or self._apart(block.ref.height):
            return
        header, lag = block.header, self.view.league.params.exec_lag
        height = block.ref.height
        if not max(0, height - lag) <= header.exec_height < height:
            self.fail(f"header {height} names results of {header.exec_height}, the lag is {lag}", daemon.name)
        known = self._roots.get(header.exec_height)
        if known is not None and known != header.exec_root:
            self.fail(f"header {height} certifies a wrong exec_root of {header.exec_height}", daemon.name)
        parent = daemon.store.blocks.get(height - 1)
        if parent is not None and parent.header.exec_height > header.exec_height:
            self.fail(f"header {height} names an older result than its parent", daemon.name)

    def _apart(self, height: int) -> bool:
        """Tell whether chains may have parted at this height: more members lie than are tolerated."""
        return self.view.too_many(self.view.epoch_of(height).epoch)
