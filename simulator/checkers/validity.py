"""I4, I20: a committed transaction was submitted, is unexpired and is committed once; a receipt never vanishes."""

from __future__ import annotations

from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import StoredBlock
from simulator.execution import Executed


class Validity(Checker):
    name = "validity"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._height_of: dict[bytes, int] = {}

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        if not daemon.honest:
            return
        height = block.ref.height
        for tx_id in block.tx_ids:
            known = self._height_of.setdefault(tx_id, height)
            if known != height:
                self.fail(f"transaction {tx_id.hex()[:12]} is in the chain at {known} and at {height}", daemon.name)
            valid_until = self.view.submitted.get(tx_id)
            if valid_until is None:
                self.fail(f"transaction {tx_id.hex()[:12]} at height {height} was never submitted", daemon.name)
            elif valid_until < height:
                self.fail(f"transaction {tx_id.hex()[:12]} had expired before height {height}", daemon.name)


class Receipts(Checker):
    """What one client was told about a transaction is what everybody is told, for ever."""

    name = "no_lost_ack"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._told: dict[bytes, tuple[int, int]] = {}

    def executed(self, daemon: Daemon, height: int, executed: Executed) -> None:
        if not daemon.honest:
            return
        for receipt in executed.result.receipts:
            told = self._told.setdefault(receipt.tx_id, (height, receipt.status))
            if told != (height, receipt.status):
                self.fail(f"receipt of {receipt.tx_id.hex()[:12]} changed from {told} to {height}", daemon.name)

    def finished(self) -> None:
        if not self.view.healed:
            return
        best = max((daemon.store.view.height for daemon in self.view.daemons if daemon.honest), default=0)
        lost = [tx_id for tx_id, (height, _) in self._told.items() if height > best]
        if lost:
            self.fail(f"{len(lost)} acknowledged transactions are in no honest chain, first {lost[0].hex()[:12]}")
