"""I22: a core raises on no input, and halts only when something is really broken."""

from __future__ import annotations

from consensus.effects import Halt
from ledger.certificate import faults
from simulator.checkers.base import Checker
from simulator.daemon import Daemon


class Halts(Checker):
    name = "never_halts"

    def halted(self, daemon: Daemon, halt: Halt) -> None:
        excess = self.view.byzantine_mask.bit_count() > faults(len(self.view.league.firms))
        if daemon.honest and not excess:
            self.fail(f"halted without cause: {halt.reason.value}: {halt.detail}", daemon.name)
