"""Shows certificates with duplicate, missing or foreign signers, padding bits, other views and heights (41, 42, 59).

Answered by: every certificate is checked in full, wherever it stands (`commit_certificate`, `agreement`).
"""

from __future__ import annotations

import msgspec

from consensus.messages import Committed, Heartbeat, Prepare, Status
from ledger.certificate import CommitCertificate, Vote, bitmap, quorum
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.daemon import Daemon
from simulator.rng import Rng


class FakeCertificate(Attacker):
    name = "fake_certificate"

    def __init__(self, daemon: Daemon, rng: Rng, members: int) -> None:
        super().__init__(daemon, rng, members)
        self._real: CommitCertificate | None = None
        self._prepares: dict[Vote, dict[int, bytes]] = {}

    def incoming(self, _peer: int, message: PeerMessage) -> bool:
        if isinstance(message, Prepare) and message.sender != self.me and 0 <= message.sender < self.members:
            self._collect(message)  # another liar may name a sender beyond every bit mask
        if isinstance(message, Committed) and message.certificate.vote.height:
            self._real = message.certificate
        return True

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        out: Outgoing = [(message, to)]
        if isinstance(message, Status):
            out.append((Committed(self._invented(message)), to))
            if self._real is not None:
                out.append((Committed(self._twisted(self._real)), to))
        elif isinstance(message, Committed):
            self._real = message.certificate
            out.insert(0, (Committed(self._twisted(message.certificate)), to))
        elif isinstance(message, Heartbeat):
            out.append((msgspec.structs.replace(message, height=message.height + 5), to))
        return out

    def _collect(self, message: Prepare) -> None:
        """Show the PREPAREs of the others as COMMITs, the moment there are enough (MU11)."""
        vote = message.vote
        held = self._prepares.setdefault(vote, {})
        held[message.sender] = message.signature
        if len(held) != quorum(self.members) - 1:
            return
        held = {**held, self.me: self.commit(vote).signature}
        signers = sorted(held)
        signatures = tuple(held[signer] for signer in signers)
        lie = Committed(CommitCertificate(vote, bitmap(signers, self.members), signatures))
        self.later(1, lie, self.rng.choice(self.peers))
        for old in [known for known in self._prepares if known.height < vote.height]:
            del self._prepares[old]

    def _invented(self, status: Status) -> CommitCertificate:
        height = status.committed_height + self.rng.between(1, 3)
        vote = Vote(status.epoch, status.view, height, bytes([self.rng.below(256)]) * 32)
        q = quorum(self.members)
        signers = range(q) if self.rng.bits(1) else [self.me]
        return CommitCertificate(vote, bitmap(signers, self.members), (self.commit(vote).signature,) * q)

    def _twisted(self, real: CommitCertificate) -> CommitCertificate:
        draw = self.rng.below(8)
        vote = real.vote
        if draw == 0:
            return msgspec.structs.replace(real, vote=msgspec.structs.replace(vote, view=vote.view + 1))
        if draw == 1:
            return msgspec.structs.replace(real, vote=msgspec.structs.replace(vote, height=vote.height + 1))
        if draw == 2:
            return msgspec.structs.replace(real, vote=msgspec.structs.replace(vote, block_id=bytes(32)))
        if draw == 3:
            return msgspec.structs.replace(real, signatures=real.signatures[:1] * len(real.signatures))
        if draw == 4:
            return msgspec.structs.replace(real, signers=b"\xff" * len(real.signers))
        if draw == 5:
            padded = int.from_bytes(real.signers, "little") | 1 << self.members
            width = len(real.signers)
            return msgspec.structs.replace(real, signers=(padded % (1 << 8 * width)).to_bytes(width, "little"))
        if draw == 6:  # all signatures but the last are true
            wrong = (*real.signatures[:-1], bytes(64))
            return msgspec.structs.replace(real, signatures=wrong)
        return msgspec.structs.replace(real, signatures=real.signatures[:-1])
