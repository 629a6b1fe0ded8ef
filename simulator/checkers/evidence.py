"""I16, I17: nobody is accused who did not lie, here or on the chain, and what is proven is soon recorded.

Every item is judged again with the signatures of the run: in reports as well as in blocks.
"""

from __future__ import annotations

from consensus.effects import Report
from consensus.evidence import judge
from consensus.validate import signing_digest_of
from ledger.evidence import Evidence as Item
from ledger.evidence import evidence_codec, split_bodies
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import StoredBlock


class Evidence(Checker):
    name = "evidence"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._seen: dict[bytes, None] = {}

    def reported(self, daemon: Daemon, report: Report) -> None:
        if daemon.honest:
            self._convicts(daemon, report.evidence)

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        if not daemon.honest or block.ref.block_id in self._seen:
            return
        self._seen[block.ref.block_id] = None
        for data in split_bodies(block.envelopes, block.header.tx_count)[1]:
            self._convicts(daemon, evidence_codec.decode(data))

    def _convicts(self, daemon: Daemon, item: Item) -> None:
        """Fail unless the item proves a fault of an attacker."""
        league, members = self.view.league, self.view.epochs.get(item.epoch)
        if members is None:
            self.fail(f"{item.kind} against {item.company_id} is of epoch {item.epoch}; there is none", daemon.name)
            return
        case = judge(item, members, league.genesis.ref.block_id, league.params.window)
        if isinstance(case, str):
            self.fail(f"{item.kind} against {item.company_id} makes no case: {case}", daemon.name)
            return
        accused = self.view.firm(item.epoch, case.offender).name
        valid = 0
        for position, one in enumerate(case.items):
            digest = signing_digest_of(one.kind, league.chain_id, one.body)
            if self.view.oracle.verify(members.keys[one.signer], one.signature, digest):
                valid |= 1 << position
        if not case.convicted(valid):
            self.fail(f"{item.kind} against {accused} is not proven by its signatures", daemon.name)
        if not self.view.liars(item.epoch) >> case.offender & 1:
            self.fail(f"{item.kind} accuses {accused}, which is honest", daemon.name)
