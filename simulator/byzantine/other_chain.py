"""Shows what the others signed on another chain with the same keys, say a test network, as if it were of this one (59).

There they may have signed anything, so the attacker has any vote it likes, under the other chain's id.
Answered by: the chain id is part of what is signed (P10): `provenance`, `commit_certificate`.
"""

from __future__ import annotations

from hashlib import sha256

from consensus.messages import Commit, Committed, Prepare, Status
from consensus.slots import COMMIT, PREPARE
from consensus.validate import signing_digest_of
from ledger.certificate import CommitCertificate, Vote, bitmap, quorum
from ledger.codec import encode
from node.core.messages import PeerMessage
from simulator.byzantine.base import Attacker, Outgoing
from simulator.league import found_key

OTHER_CHAIN = sha256(b"a test network of the same companies").digest()


class OtherChain(Attacker):
    name = "other_chain"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        out: Outgoing = [(message, to)]
        if isinstance(message, Status):
            digest = sha256(bytes([self.rng.below(256)])).digest()
            vote = Vote(message.epoch, message.view, message.committed_height + 1, digest)
            signers = sorted(self.rng.sample(range(self.members), quorum(self.members)))
            signatures = tuple(self._theirs(signer, COMMIT, vote) for signer in signers)
            out.append((Committed(CommitCertificate(vote, bitmap(signers, self.members), signatures)), to))
        elif isinstance(message, (Prepare, Commit)) and message.sender == self.me:
            victim, vote = self.rng.choice(self.peers), message.vote
            out.append((Commit(victim, vote, self._theirs(victim, COMMIT, vote)), to))
            out.append((Prepare(victim, vote, self._theirs(victim, PREPARE, vote)), to))
        return out

    def _theirs(self, signer: int, kind: str, vote: Vote) -> bytes:
        """Return what member `signer` signed for `vote` on the other chain."""
        handle = self.daemon.world.oracle.handle(found_key(self.daemon.world.keys[signer]))
        return handle.sign(signing_digest_of(kind, OTHER_CHAIN, encode(vote)))
