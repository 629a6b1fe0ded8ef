"""Leaves views without what it prepared, with an older base, or with a relabelled certificate (scenarios 40, 41, 44).

Answered by: O(V) of q members always holds one honest certificate (`agreement`, I10).
"""

from __future__ import annotations

import msgspec

from consensus.messages import PreparedCertificate, ViewChange
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.daemon import Daemon
from simulator.rng import Rng


class LieViewChange(Attacker):
    name = "lie_view_change"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._old: list[ViewChange] = []

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, ViewChange) or message.sender != self.me:
            return [(message, to)]
        self._old.append(message)
        lie = self.view_change(self._lie(message))
        if to is None and self.rng.bits(1):
            return self.split(message, lie)
        return [(lie, to)]

    def _lie(self, message: ViewChange) -> ViewChange:
        draw = self.rng.below(4)
        if draw == 0 or not message.prepared:
            old = self.rng.choice(self._old)
            return msgspec.structs.replace(message, base=old.base, prepared=old.prepared if draw == 1 else ())
        if draw == 1:
            return msgspec.structs.replace(message, prepared=())
        return msgspec.structs.replace(message, prepared=tuple(self._relabelled(entry) for entry in message.prepared))

    def _relabelled(self, entry: PreparedCertificate) -> PreparedCertificate:
        field = "view" if self.rng.bits(1) else "height"
        vote = msgspec.structs.replace(entry.vote, **{field: getattr(entry.vote, field) + 1})
        return msgspec.structs.replace(entry, vote=vote)
