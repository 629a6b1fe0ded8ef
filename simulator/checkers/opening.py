"""I8, I10: what is committed before a view survives it.

Committed means that q members have committed or could have: the honest ones whose COMMIT is durable, and every liar.
For each NEW-VIEW that an honest member enters, every such height is at or below base*, or in O with its id; and nobody
honest is prepared on another block in a later view. V itself must be q VIEW-CHANGEs of this view, each sender once,
from the collector of the view. And an honest VIEW-CHANGE shows, for each open height, the certificate of the highest
view that its sender ever held (P52, P60).
"""

from __future__ import annotations

from dataclasses import dataclass

from consensus.messages import NewView, ViewChange
from consensus.records import Entered, Left, PreparedHere
from ledger.certificate import Vote, verify_commit_certificate
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon
from simulator.disk import JournalBatch, record_of


@dataclass(frozen=True, slots=True)
class Opened:
    """What a NEW-VIEW decides: base*, and O by height."""

    epoch: int
    view: int
    base: int
    again: dict[int, bytes]


class Openings(Checker):
    name = "opening"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._window = view.league.params.window
        self._signers: dict[Vote, int] = {}
        self._committed: dict[int, list[Vote]] = {}
        self._prepared: dict[int, dict[Vote, None]] = {}
        self._opened: dict[bytes, Opened] = {}
        self._held: dict[tuple[int, int], Vote] = {}
        """Last prepared vote by slot of the daemon and height."""

    def durable(self, daemon: Daemon, batch: JournalBatch) -> None:
        if not daemon.honest:
            return
        for entry in batch.entries:
            record = record_of(entry)
            if isinstance(record, PreparedHere):
                vote = record.certificate.vote
                self._held[daemon.slot, vote.height] = vote
                if not self.view.too_many(vote.epoch):
                    self._prepare(daemon, vote)
            elif isinstance(record, Left) and not self.view.too_many(record.view_change.epoch):
                self._leave(daemon, record.view_change)
            elif isinstance(record, Entered) and not self.view.too_many(record.new_view.epoch):
                self._enter(daemon, record.new_view)

    def _prepare(self, daemon: Daemon, vote: Vote) -> None:
        height = vote.height
        self._prepared.setdefault(height, {})[vote] = None
        for earlier in self._committed.get(height, ()):
            self._compare(daemon, earlier, vote)
        mask = self._signers.get(vote, 0)
        if mask >> daemon.index & 1:
            return
        liars, q = self.view.liars(vote.epoch), self.view.epochs[vote.epoch].q
        before = (mask | liars).bit_count()
        mask |= 1 << daemon.index
        self._signers[vote] = mask
        if before < q <= (mask | liars).bit_count():
            self._committed.setdefault(height, []).append(vote)
            for opened in self._opened.values():
                self._covered(daemon, opened, vote)
            for later in self._prepared[height]:
                self._compare(daemon, vote, later)

    def _compare(self, daemon: Daemon, committed: Vote, prepared: Vote) -> None:
        later = (prepared.epoch, prepared.view) > (committed.epoch, committed.view)
        if later and prepared.block_id != committed.block_id:
            self.fail(
                f"height {committed.height} may be committed in view {committed.view}, "
                f"another block is prepared in view {prepared.view} (I8)",
                daemon.name,
            )

    def _leave(self, daemon: Daemon, change: ViewChange) -> None:
        shown = {entry.vote.height: entry.vote for entry in change.prepared}
        for height in range(change.base.vote.height + 1, change.base.vote.height + 1 + self._window):
            held = self._held.get((daemon.slot, height))
            if held is not None and shown.get(height) != held:
                self.fail(
                    f"VIEW-CHANGE({change.view}) hides that height {height} is prepared in view {held.view}",
                    daemon.name,
                )

    def _enter(self, daemon: Daemon, message: NewView) -> None:
        known, state = self._opened.get(message.signature), daemon.replica_state
        if known is not None:
            same = state is not None and (state.members.epoch, state.view) == (known.epoch, known.view)
            if state is not None and same and state.base != known.base:
                self.fail(
                    f"starts view {known.view} from height {state.base}, {known.base} is base* (P55)", daemon.name
                )
            return
        problem = self._problem(message)
        if problem:
            self.fail(f"enters view {message.view} with a NEW-VIEW {problem}", daemon.name)
        base = max(change.base.vote.height for change in message.view_changes)
        opened = Opened(message.epoch, message.view, base, dict(message.reproposals))
        for votes in self._committed.values():
            for vote in votes:
                self._covered(daemon, opened, vote)
        self._opened[message.signature] = opened
        self._enter(daemon, message)

    def _problem(self, message: NewView) -> str:
        members = self.view.epochs[message.epoch]
        if message.sender != members.collector(message.view):
            return "that is not of its collector"
        senders = [change.sender for change in message.view_changes]
        if len(senders) != members.q or sorted(dict.fromkeys(senders)) != senders:
            return f"of the members {senders}, exactly {members.q} different ones are needed"
        for change in message.view_changes:
            if change.view != message.view:
                return f"that holds a VIEW-CHANGE for view {change.view}"
            base = change.base
            keys = self.view.epoch_of(base.vote.height).keys
            if base.vote.height and verify_commit_certificate(
                base, keys, self.view.league.chain_id, self.view.oracle.verify
            ):
                return f"whose base certificate of height {base.vote.height} is not valid"
        return ""

    def _covered(self, daemon: Daemon, opened: Opened, vote: Vote) -> None:
        if (vote.epoch, vote.view) >= (opened.epoch, opened.view) or vote.height <= opened.base:
            return
        if opened.again.get(vote.height) != vote.block_id:
            self.fail(
                f"NEW-VIEW of view {opened.view} leaves out height {vote.height}, "
                f"which may be committed in view {vote.view} (I10)",
                daemon.name,
            )
