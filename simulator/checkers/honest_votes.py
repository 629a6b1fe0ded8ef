"""I5, I7: no honest node ever sends two different signed bodies for one slot, and none votes in a view it has left.

"Ever" includes all crashes and restarts of the node; the memory of this checker outlives the process. A node whose
journal is gone or damaged signs nothing at all (P92, P94, P97).
"""

from __future__ import annotations

from consensus.messages import Commit, NewView, Prepare, PrePrepare, ViewChange
from ledger.codec import encode
from node.core.messages import PeerMessage
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon


class HonestVotes(Checker):
    name = "honest_votes"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._sent: dict[tuple[int, str, int, int, int], bytes] = {}
        self._left: dict[tuple[int, int], int] = {}
        """View left last, by slot and epoch: views begin anew with an epoch (P114)."""

    def sending(self, daemon: Daemon, message: PeerMessage, _to: int | None) -> None:
        if not daemon.honest:
            return
        signed = isinstance(message, (PrePrepare, Prepare, Commit, ViewChange, NewView))
        if signed and message.sender == daemon.index and (daemon.damaged or not daemon.voting):  # type: ignore[union-attr]
            self.fail(f"signs a {type(message).__name__} without its whole journal (P92, P94)", daemon.name)
        match message:
            case PrePrepare() | Prepare() | Commit():
                if message.sender == daemon.index:
                    self._vote(daemon, message)
            case ViewChange() | NewView():
                if message.sender == daemon.index:
                    self._once(daemon, type(message).__name__, message.epoch, message.view, 0, encode(message))
                    if isinstance(message, ViewChange):
                        place = daemon.slot, message.epoch
                        self._left[place] = max(self._left.get(place, 0), message.view)
            case _:
                return

    def _vote(self, daemon: Daemon, message: PrePrepare | Prepare | Commit) -> None:
        vote = message.vote
        # A PRE-PREPARE is the primary's vote of the prepare phase, so the two share a slot (P33, E2).
        phase = "commit" if isinstance(message, Commit) else "prepare"
        fresh = self._once(daemon, phase, vote.epoch, vote.view, vote.height, vote.block_id)
        left = self._left.get((daemon.slot, vote.epoch), 0)
        if fresh and vote.view < left:
            self.fail(f"new {phase} vote in view {vote.view} after VIEW-CHANGE({left}) was sent (I7)", daemon.name)

    def _once(self, daemon: Daemon, kind: str, epoch: int, view: int, height: int, body: bytes) -> bool:
        key = (daemon.slot, kind, epoch, view, height)
        known = self._sent.get(key)
        if known is None:
            self._sent[key] = body
            return True
        if known != body:
            self.fail(f"two {kind} bodies for view {view} height {height} (I5)", daemon.name)
        return False
