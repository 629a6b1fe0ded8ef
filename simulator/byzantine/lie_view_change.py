"""Leaves views without what it prepared, with an older or invented base, or with a relabelled certificate (40, 41, 44).

While others change views it repeats VIEW-CHANGEs with one bad entry beside their good ones (43).

Answered by: O(V) of q members always holds one honest certificate (`agreement`, I10).
"""

from __future__ import annotations

import msgspec

from consensus.events import Mode
from consensus.messages import PreparedCertificate, Status, ViewChange
from ledger.certificate import CommitCertificate, Vote, bitmap, quorum
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
        if isinstance(message, Status) and message.mode == Mode.CHANGING and self._old:
            spoilt = msgspec.structs.replace(self._old[-1], view=message.view, base=self._invented(message))
            return [(message, to), (self.view_change(spoilt), to)]
        if not isinstance(message, ViewChange) or message.sender != self.me:
            return [(message, to)]
        self._old.append(message)
        lie = self.view_change(self._lie(message))
        if to is None and self.rng.bits(1):
            return self.split(message, lie)
        return [(lie, to)]

    def _lie(self, message: ViewChange) -> ViewChange:
        draw = self.rng.below(5)
        if draw == 4:
            vote = msgspec.structs.replace(message.base.vote, height=message.base.vote.height + 1, block_id=bytes(32))
            q = quorum(self.members)
            signers, mark = bitmap(range(q), self.members), self.commit(vote).signature
            return msgspec.structs.replace(message, base=CommitCertificate(vote, signers, (mark,) * q), prepared=())
        if draw == 0 or not message.prepared:
            old = self.rng.choice(self._old)
            return msgspec.structs.replace(message, base=old.base, prepared=old.prepared if draw == 1 else ())
        if draw == 1:
            return msgspec.structs.replace(message, prepared=())
        return msgspec.structs.replace(
            message, prepared=tuple(self._relabelled(entry, message.view) for entry in message.prepared)
        )

    def _invented(self, status: Status) -> CommitCertificate:
        """Return a certificate whose shape alone is wrong: one signature is missing."""
        vote = Vote(status.epoch, status.view, status.committed_height + 1, bytes(32))
        q = quorum(self.members)
        return CommitCertificate(vote, bitmap(range(q), self.members), (self.commit(vote).signature,) * (q - 1))

    def _relabelled(self, entry: PreparedCertificate, target: int) -> PreparedCertificate:
        """Return the certificate as if it were of the last view before `target`, or of the next height."""
        vote = entry.vote
        if self.rng.bits(1):
            vote = msgspec.structs.replace(vote, view=max(vote.view + 1, target - 1))
        else:
            vote = msgspec.structs.replace(vote, height=vote.height + 1)
        return msgspec.structs.replace(entry, vote=vote)
