"""I6, I21: what a process recovers from its journal is what it knew before it ended, and its view never decreases.

A member's process that ends between two turns, with nothing waiting for the disk, must come back with the same durable
digest; a guest has no journal to be measured by. Ends inside a turn are covered by I5 and I11. And nobody whose disk
was not set back may find votes that its journal lacks (P98): a false alarm would cost a company its vote.
"""

from __future__ import annotations

from consensus.effects import Silence
from consensus.messages import Commit, Prepare, PrePrepare
from consensus.records import Left
from node.core import effects as ne
from node.core import events as nv
from node.core.messages import PeerMessage
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import JournalBatch, record_of


class Recovery(Checker):
    name = "recovery"
    watches = (nv.NodeStart, Silence)

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._expected: dict[int, bytes] = {}
        self._put_off: dict[int, bytes] = {}
        """Digests of journals that wait, untouched, for the stored blocks to reach the barrier before their epoch."""
        self._view: dict[int, tuple[int, int]] = {}
        """Highest (epoch, view) seen, by slot: views begin anew with an epoch (P114)."""

    def durable(self, daemon: Daemon, batch: JournalBatch) -> None:
        for entry in batch.entries:
            record = record_of(entry)
            if isinstance(record, Left):
                self._reached(daemon, record.view_change.epoch, record.view_change.view)

    def sending(self, daemon: Daemon, message: PeerMessage, _to: int | None) -> None:
        """A vote in a view, or its opening, shows that the view was entered."""
        if daemon.honest and isinstance(message, (PrePrepare, Prepare, Commit)) and message.sender == daemon.index:
            self._reached(daemon, message.vote.epoch, message.vote.view)

    def _reached(self, daemon: Daemon, epoch: int, view: int) -> None:
        self._view[daemon.slot] = max(self._view.get(daemon.slot, (0, 0)), (epoch, view))

    def stopped(self, daemon: Daemon) -> None:
        self._expected.pop(daemon.slot, None)
        put_off = self._put_off.pop(daemon.slot, None)
        if put_off is not None:
            self._expected[daemon.slot] = put_off
        elif daemon.honest and daemon.last_digest and daemon.voting and daemon.votes and not daemon.set_back:
            self._expected[daemon.slot] = daemon.last_digest

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        if daemon.silenced and daemon.honest and not daemon.set_back and any(isinstance(e, Silence) for e in effects):
            self.fail("it says that its journal forgot a vote, but its disk was never set back", daemon.name)
        if not isinstance(event, nv.NodeStart) or not daemon.voting or daemon.damaged:
            return
        expected = self._expected.pop(daemon.slot, None) if daemon.votes else None
        state = daemon.replica_state
        if state is not None and not state.journaling and (state.ahead or daemon.blocks_set_back):
            if expected is not None:
                self._put_off[daemon.slot] = expected
            return  # without a vote until its blocks are at the barrier before the epoch of its journal (P114)
        seen = self._view.get(daemon.slot, (0, 0))
        if daemon.honest and not daemon.set_back and state is not None and (state.members.epoch, state.view) < seen:
            self.fail(
                f"is in epoch {state.members.epoch}, view {state.view} after recovery, "
                f"it was in epoch {seen[0]}, view {seen[1]} before (I6)",
                daemon.name,
            )
        if expected is None or state is None or any(isinstance(effect, ne.AppendJournal) for effect in effects):
            return  # what the start itself adds is not in the earlier digest
        if state.durable_digest() != expected:
            self.fail("the durable digest after recovery differs from the one before the crash", daemon.name)
