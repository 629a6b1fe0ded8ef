"""Goes on voting as the member it was after its company has left or was put out (scenario 70).

Answered by: a node without a vote is no peer whose votes count, and its index belongs to somebody else (P115, P117).
"""

from __future__ import annotations

import msgspec

from consensus.messages import PrePrepare, Suspect
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker
from simulator.daemon import Daemon
from simulator.rng import Rng


class Cling(Attacker):
    name = "cling"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._was = daemon.index

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        if self.daemon.votes or not isinstance(message, PrePrepare):
            return True
        before = msgspec.structs.replace(message.vote, epoch=message.vote.epoch - 1)
        for vote in (message.vote, before):
            self.later(1, msgspec.structs.replace(self.prepare(vote), sender=self._was), None)
            self.later(1, msgspec.structs.replace(self.commit(vote), sender=self._was), None)
        self.later(1, Suspect(message.vote.epoch, message.vote.view), None)
        return True
