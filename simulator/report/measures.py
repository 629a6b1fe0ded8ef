"""Counts and times of a run. A listener: it sees what checkers see and never fails a run."""

from __future__ import annotations

from collections.abc import Sequence

from consensus.effects import Report
from consensus.messages import NewView, PrePrepare, ViewChange
from consensus.records import Entered, Left
from node.core import effects as ne
from node.core import events as nv
from node.core.messages import PeerMessage
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import JournalBatch, StoredBlock


class Measures(Checker):
    """Consensus latency is proposal to first commit (M43)."""

    name = "measures"
    watches = (ne.VerifyVotes, ne.Penalty, ne.Rejection, ne.Tally)

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.height = 0
        self.transactions = 0
        self.blocks: list[tuple[int, int, bytes, int, int]] = []
        """(height, time ns, block id, transactions, view of the certificate)"""
        self.latencies_ns: list[int] = []
        self.views_left: dict[int, None] = {}
        self.views_entered: dict[int, None] = {}
        self.reports: dict[str, int] = {}
        self.verified = 0
        """Signatures that cores asked to verify, those of transactions apart."""
        self.charged: dict[str, dict[int, None]] = {}
        """Companies whose node charged a peer, by the word for what it did."""
        self.counted: dict[str, dict[int, None]] = {}
        """Companies whose node counted something, or a message it did not take, by its name."""
        self._proposed: dict[bytes, int] = {}

    @property
    def verifications_per_block(self) -> int:
        """Return the signatures checked a block and member, rounded down."""
        return self.verified // max(1, self.height * len(self.view.league.firms))

    def stepped(self, daemon: Daemon, _event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        for effect in effects:
            if isinstance(effect, ne.VerifyVotes):
                self.verified += len(effect.items)
            elif isinstance(effect, ne.Penalty):
                self.charged.setdefault(effect.reason, {})[daemon.firm] = None
            elif isinstance(effect, ne.Tally):
                self.counted.setdefault(effect.metric, {})[daemon.firm] = None
            elif isinstance(effect, ne.Rejection):
                self.counted.setdefault(effect.reason, {})[daemon.firm] = None

    def sending(self, _daemon: Daemon, message: PeerMessage, _to: int | None) -> None:
        if isinstance(message, PrePrepare):
            self._proposed.setdefault(message.vote.block_id, self.view.now())
        elif isinstance(message, ViewChange):
            self.views_left.setdefault(message.view)
        elif isinstance(message, NewView):
            self.views_entered.setdefault(message.view)

    def durable(self, _daemon: Daemon, batch: JournalBatch) -> None:
        for entry in batch.entries:
            if isinstance(entry.record, Left):
                self.views_left.setdefault(entry.record.view_change.view)
            elif isinstance(entry.record, Entered):
                self.views_entered.setdefault(entry.record.new_view.view)

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        if not daemon.honest or block.ref.height <= self.height:
            return
        now = self.view.now()
        self.height = block.ref.height
        self.transactions += len(block.tx_ids)
        self.blocks.append((self.height, now, block.ref.block_id, len(block.tx_ids), block.certificate.vote.view))
        proposed = self._proposed.pop(block.ref.block_id, None)
        if proposed is not None:
            self.latencies_ns.append(now - proposed)

    def reported(self, _daemon: Daemon, report: Report) -> None:
        self.reports[report.kind] = self.reports.get(report.kind, 0) + 1


def percentile(values: Sequence[int], per_mille: int) -> int:
    """Return a value below which `per_mille` of the sorted values lie; 0 for none."""
    if not values:
        return 0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * per_mille // 1000)]
