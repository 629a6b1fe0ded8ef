"""Opens views wrongly: a false O, a chosen V, duplicates, too few, mixed views, or two valid openings (45, 46, 47).

Answered by: receivers recompute O; the next view; nobody else is accused (P123).
"""

from __future__ import annotations

import msgspec

from consensus.messages import NewView, ViewChange
from ledger.certificate import quorum
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.daemon import Daemon
from simulator.rng import Rng


class BadNewView(Attacker):
    name = "bad_new_view"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._changes: dict[int, dict[int, ViewChange]] = {}

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        if isinstance(message, ViewChange) and message.sender != self.me:
            self._changes.setdefault(message.view, {})[message.sender] = message
        return True

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if isinstance(message, ViewChange) and message.sender == self.me:
            self._changes.setdefault(message.view, {})[self.me] = message
        if not isinstance(message, NewView) or message.sender != self.me:
            return [(message, to)]
        draw = self.rng.below(7)
        if draw == 0:
            lie = msgspec.structs.replace(message, reproposals=((1, bytes(32)),))
        elif draw == 1:
            lie = msgspec.structs.replace(message, reproposals=())
        elif draw == 2:
            doubled = (message.view_changes[0], *message.view_changes[:-1])
            lie = msgspec.structs.replace(message, view_changes=doubled)
        elif draw == 3:
            lie = self._other(message)
        elif draw == 4:
            lie = msgspec.structs.replace(message, view_changes=message.view_changes[1:])
        elif draw == 5:
            lie = self._mixed(message)
        else:
            return [(message, peer) for peer in self.rng.sample(self.peers, 1)]
        return self.split(message, self.new_view(lie))

    def _other(self, message: NewView) -> NewView:
        """Return a NEW-VIEW over another choice of q VIEW-CHANGEs; O may be wrong for it."""
        held = self._changes.get(message.view, {})
        chosen = sorted(self.rng.sample(sorted(held), quorum(self.members)))
        if len(chosen) < quorum(self.members):
            return message
        return msgspec.structs.replace(message, view_changes=tuple(held[sender] for sender in chosen))

    def _mixed(self, message: NewView) -> NewView:
        """Return a NEW-VIEW that puts the oldest VIEW-CHANGE known here in the place of its sender's for this view."""
        place = self.rng.below(len(message.view_changes))
        sender = message.view_changes[place].sender
        older = [held[sender] for _, held in sorted(self._changes.items()) if sender in held]
        if not older or older[0].view == message.view:
            return msgspec.structs.replace(message, view_changes=message.view_changes[:-1])
        changed = (*message.view_changes[:place], older[0], *message.view_changes[place + 1 :])
        return msgspec.structs.replace(message, view_changes=changed)
