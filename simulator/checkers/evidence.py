"""I16: nobody is accused who did not lie. A report names two different signed messages of one slot."""

from __future__ import annotations

from consensus.effects import Report
from simulator.checkers.base import Checker
from simulator.daemon import Daemon


class Evidence(Checker):
    name = "evidence"

    def reported(self, daemon: Daemon, report: Report) -> None:
        if daemon.honest and not self.view.byzantine_mask >> report.offender & 1:
            accused = self.view.league.firms[report.offender].name
            self.fail(f"{report.kind} accuses {accused}, which is honest", daemon.name)
        if report.first == report.second:
            self.fail(f"{report.kind} shows two equal messages", daemon.name)
