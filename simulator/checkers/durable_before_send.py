"""I11: when a signed message of a node leaves it, the journal record that holds it is durable on that node's disk.

The checker does not trust `after`: it keeps the signatures inside all durable records and looks for the one in the
message. A record that was lost in a crash is not durable, so its signature is unknown.
"""

from __future__ import annotations

from consensus.messages import Commit, NewView, Prepare, PrePrepare, ViewChange
from consensus.records import Accepted, Anchor, Entered, Left, PreparedHere, Record
from ledger.codec import Codec
from node.core.messages import PeerMessage
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import RECORD_LIMIT_BYTES, JournalBatch

_codec: Codec[Record] = Codec(Record, "journal record", RECORD_LIMIT_BYTES)


class DurableBeforeSend(Checker):
    name = "durable_before_send"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._durable: dict[int, dict[bytes, int]] = {}

    def durable(self, daemon: Daemon, batch: JournalBatch) -> None:
        known = self._durable.setdefault(daemon.slot, {})
        for entry in batch.entries:
            record = _codec.decode(entry.encoded) if entry.record is None else entry.record
            for signature in signatures(record):
                known.setdefault(signature, entry.lsn)

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
