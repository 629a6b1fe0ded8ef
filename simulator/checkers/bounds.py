"""I15, I19: every buffer of a core stays within its cap, a message within that of its kind, a vote within its window.

A fresh vote is for a height of the window, by a member whose results are not further behind than the lag allows (P31).
"""

from __future__ import annotations

from operator import attrgetter, gt
from typing import Final

from consensus.messages import Commit, Prepare, PrePrepare
from consensus.signatures import UNVERIFIED_MAX
from consensus.state import KEPT_PROPOSALS, ReplicaState
from ledger.codec import encode
from node.core import effects as ne
from node.core import events as nv
from node.core.messages import FRAME_LIMITS, PeerMessage
from simulator.checkers.base import Checker, View
from simulator.daemon import Daemon

EFFECTS_MAX: Final = 2_000
"""Effects of one step; a catch-up range of 64 blocks stays far below."""
PRODUCTION_MEMBERS: Final = 64
"""Up to this many members the caps of P140 hold as they stand."""


BUFFERS: Final = (
    "slots", "later", "highest_changes", "target_changes", "certificates", "blocks", "verified", "jobs",
)  # fmt: skip
"""What a replica keeps of what others sent it (P138, P139)."""
_buffers: Final = attrgetter(*BUFFERS)


class Bounds(Checker):
    name = "bounds"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._voted: dict[tuple[int, str, tuple[int, int]], int] = {}
        """Highest height by slot, kind, epoch and view; only the first sending of a vote is new."""
        self._executed: dict[int, int] = {}
        """Highest height executed by slot, by any process of it: one that starts again sends its last vote once more,
        and has not repeated yet what its block store had lost (P95)."""
        params = view.league.params
        window = params.window
        self._window, self._lag = window, params.exec_lag
        self._caps_of: dict[int, tuple[int, ...]] = {}
        """Caps of buffers by the number of members."""
        self._later_cap = 3 * (2 * window + 1)

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        if len(effects) > EFFECTS_MAX:
            self.fail(f"{len(effects)} effects of one {type(event).__name__}", daemon.name)
        if isinstance(event, nv.BlockExecuted) and event.height > self._executed.get(daemon.slot, 0):
            self._executed[daemon.slot] = event.height
        if not isinstance(event, nv.PeerReceived) or not daemon.honest:
            return
        state = daemon.replica_state
        if state is not None:
            self._sizes(daemon, state, event.peer)

    def _caps(self, n: int) -> tuple[int, ...]:
        """Return the caps of `BUFFERS` with n members."""
        window = self._window
        blocks = (KEPT_PROPOSALS + 2) * (2 * window + 1)
        jobs = n * (UNVERIFIED_MAX + 1) + 8 * window * n
        return 2 * window + 1, n, n, n, 2 * window, blocks, 65 + 16 * n, jobs

    def _sizes(self, daemon: Daemon, state: ReplicaState, peer: int) -> None:
        n = state.members.n
        caps = self._caps_of.get(n)
        if caps is None:
            caps = self._caps_of[n] = self._caps(n)
        sizes = tuple(map(len, _buffers(state)))
        if any(map(gt, sizes, caps)):
            name, size, cap = next(one for one in zip(BUFFERS, sizes, caps, strict=True) if one[1] > one[2])
            self.fail(f"{size} entries in {name}, {cap} are allowed (P138, P139)", daemon.name)
        later = state.later.get(peer)
        if later is not None and len(later.votes) > self._later_cap:
            self.fail(f"{len(later.votes)} votes of one member wait for a later view (P138)", daemon.name)
        in_check_cap = UNVERIFIED_MAX + n * (2 + self._window) + 2
        if 0 <= peer < len(state.peers) and state.peers[peer].in_check > in_check_cap:
            self.fail(f"{state.peers[peer].in_check} signatures of one peer are being checked (P140)", daemon.name)

    def sending(self, daemon: Daemon, message: PeerMessage, _to: int | None) -> None:
        if not daemon.honest:
            return
        if isinstance(message, (PrePrepare, Prepare, Commit)) and message.sender == daemon.index:
            self._vote(daemon, message)
        if len(self.view.league.firms) > PRODUCTION_MEMBERS:
            return
        limit = FRAME_LIMITS.get(int(type(message).__struct_config__.tag or 0))
        if limit is None:
            self.fail(f"{type(message).__name__} has no frame limit", daemon.name)
        elif limit <= 4096 and len(encode(message)) > limit:
            self.fail(f"{type(message).__name__} is larger than {limit} bytes", daemon.name)

    def _vote(self, daemon: Daemon, message: PrePrepare | Prepare | Commit) -> None:
        vote, state = message.vote, daemon.replica_state
        key = (daemon.slot, "commit" if isinstance(message, Commit) else "prepare", (vote.epoch, vote.view))
        if state is None or self._voted.get(key, 0) >= vote.height:
            return
        self._voted[key] = vote.height
        if vote.height > state.height + self._window:
            self.fail(
                f"votes for height {vote.height}, {state.height} is committed, the window is {self._window}",
                daemon.name,
            )
        executed = max(state.executed, self._executed.get(daemon.slot, 0))
        if executed < vote.height - self._lag:
            self.fail(f"votes for height {vote.height} with results up to {executed} (P31)", daemon.name)
