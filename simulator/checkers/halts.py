"""I22: a core raises on no input, and halts only when something is really broken."""

from __future__ import annotations

from consensus.effects import Halt
from simulator.checkers.base import Checker
from simulator.daemon import Daemon


class Halts(Checker):
    name = "never_halts"

    def halted(self, daemon: Daemon, halt: Halt) -> None:
        state = daemon.replica_state
        if daemon.honest and not self.view.too_many(0 if state is None else state.members.epoch):
            self.fail(f"halted without cause: {halt.reason.value}: {halt.detail}", daemon.name)
