"""Balanced books: at the end, every invoice's open amount is its total less all reductions, and never negative (F21).

Read from the final state through the published table of the contract, not through the contract's own code.
"""

from __future__ import annotations

from node.core.programs import Programs
from simulator.checkers.base import Checker

TABLE = ("invoices", "Invoice")
REDUCTIONS = ("credited", "paid", "set_off", "written_off")


class Books(Checker):
    name = "balanced_books"

    def finished(self) -> None:
        runtime = self.view.league.runtime
        best = max(self.view.daemons, key=lambda daemon: (daemon.honest, daemon.store.view.height, -daemon.slot))
        state = best.store.view
        interfaces = runtime.at(state, state.height).interfaces if isinstance(runtime, Programs) else {}
        if TABLE[0] not in interfaces:
            return
        interface = interfaces[TABLE[0]]
        low, high = interface.table_range(TABLE[1])
        for key in state.scan(low, high, 1 << 30):
            value = state.get(key)
            if value is None:
                continue
            row = interface.decode_row(TABLE[1], value)
            rest = row["total"][1] - sum(row[name][1] for name in REDUCTIONS)
            if row["open"][1] != rest or rest < 0:
                self.fail(f"invoice {row['id']} has {row['open'][1]} open, {rest} is right")
