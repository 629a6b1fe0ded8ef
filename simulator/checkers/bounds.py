"""I19: every buffer of a core stays within its cap, and a message is within the cap of its kind.

Caps are those of consensus.md section 16, for the members of this run.
"""

from __future__ import annotations

from typing import Final

from ledger.codec import encode
from node.core import effects as ne
from node.core import events as nv
from node.core.messages import FRAME_LIMITS, PeerMessage
from simulator.checkers.base import Checker
from simulator.daemon import Daemon

EFFECTS_MAX: Final = 2_000
"""Effects of one step; a catch-up range of 64 blocks stays far below."""
PRODUCTION_MEMBERS: Final = 64
"""Up to this many members the caps of P140 hold as they stand."""


class Bounds(Checker):
    name = "bounds"

    def stepped(self, daemon: Daemon, event: nv.NodeEvent, effects: list[ne.NodeEffect]) -> None:
        if len(effects) > EFFECTS_MAX:
            self.fail(f"{len(effects)} effects of one {type(event).__name__}", daemon.name)

    def sending(self, daemon: Daemon, message: PeerMessage, _to: int | None) -> None:
        if not daemon.honest or len(self.view.league.firms) > PRODUCTION_MEMBERS:
            return
        limit = FRAME_LIMITS.get(int(type(message).__struct_config__.tag or 0))
        if limit is None:
            self.fail(f"{type(message).__name__} has no frame limit", daemon.name)
        elif limit <= 4096 and len(encode(message)) > limit:
            self.fail(f"{type(message).__name__} is larger than {limit} bytes", daemon.name)
