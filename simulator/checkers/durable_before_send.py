"""I11: when a signed message of a node leaves it, the journal record that holds it is durable on that node's disk.

The checker does not trust `after`: it keeps the signatures inside all durable records and looks for the one in the
message. A record that was lost in a crash is not durable, so its signature is unknown. The same holds for what is
reported committed: a block that the core committed from votes is stored after its `CommittedHere` is durable (I20).
"""

from __future__ import annotations

from consensus.messages import Commit, NewView, Prepare, PrePrepare, ViewChange
from consensus.records import Accepted, Anchor, CommittedHere, Entered, Left, PreparedHere, Record
from node.core import effects as ne
from node.core import events as nv
from node.core.messages import PeerMessage
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import JournalBatch, StoredBlock, record_of


class DurableBeforeSend(Checker):
    name = "durable_before_send"
    watches = (ne.StoreBlock,)

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._durable: dict[int, dict[bytes, int]] = {}
        self._committing: dict[int, dict[int, int]] = {}
        """lsn of `CommittedHere` by slot and height, of this life of the process."""

    def started(self, daemon: Daemon) -> None:
        self._committing[daemon.slot] = {}

    def stepped(self, daemon: Daemon, _event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        records: dict[int, int] = {}
        for effect in effects:
            if isinstance(effect, ne.AppendJournal) and isinstance(effect.record, CommittedHere):
                records[effect.record.certificate.vote.height] = effect.lsn
            elif isinstance(effect, ne.StoreBlock) and effect.ref.height in records:
                # Blocks that came by sync stand before the record of their range: they are their own proof.
                self._committing[daemon.slot][effect.ref.height] = records[effect.ref.height]

    def stored(self, daemon: Daemon, block: StoredBlock) -> None:
        lsn = self._committing.get(daemon.slot, {}).pop(block.ref.height, 0)
        if daemon.honest and lsn > daemon.journal.durable_lsn:
            self.fail(f"height {block.ref.height} is reported committed before its record is durable", daemon.name)

    def durable(self, daemon: Daemon, batch: JournalBatch) -> None:
        known = self._durable.setdefault(daemon.slot, {})
        for entry in batch.entries:
            for signature in signatures(record_of(entry)):
                known.setdefault(signature, entry.lsn)
        for before, bodies_up_to, _ in batch.prunes:
            if daemon.honest and bodies_up_to > daemon.store.durable_height:
                self.fail(f"prunes bodies up to {bodies_up_to} that the block store may lose (P93)", daemon.name)
            if daemon.honest and before > daemon.journal.durable_lsn:
                self.fail(f"prunes records before {before}, which is not durable (P93)", daemon.name)

    def sending(self, daemon: Daemon, message: PeerMessage, _to: int | None) -> None:
        if not daemon.honest or not isinstance(message, (PrePrepare, Prepare, Commit, ViewChange, NewView)):
            return
        if message.sender != daemon.index:
            return
        lsn = self._durable.get(daemon.slot, {}).get(message.signature)
        if lsn is None:
            self.fail(f"{type(message).__name__} leaves before its record is durable", daemon.name)


def signatures(record: Record) -> list[bytes]:
    """Return the signatures of messages that may be sent once `record` is durable."""
    match record:
        case Accepted():
            return [record.pre_prepare.signature] if record.prepare is None else [record.prepare.signature]
        case PreparedHere():
            return [record.commit.signature]
        case Left():
            return [record.view_change.signature]
        case Entered():
            return [record.new_view.signature]
        case Anchor():
            found = [message.signature for message in (record.view_change, record.new_view) if message is not None]
            return [*found, *(vote.signature for vote in record.own_votes), *(a.signature for a in record.accepted)]
        case _:
            return []
