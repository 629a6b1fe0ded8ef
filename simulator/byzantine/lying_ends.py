"""Shows spoilt ends of epochs: other members, another header, signatures that are none, or node records that no header
vouches for (scenarios 71 and 74, P85, P117).

Answered by: an end that does not follow from the members before is refused, the peer is named and left out, and the way
to the present members comes from others.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.block import header_codec
from ledger.certificate import CommitCertificate
from ledger.codec import encode
from ledger.governance.follow import EpochEnd
from ledger.proof import ResultProof
from node.core.messages import EpochEnds, PeerMessage
from simulator.byzantine.base import Attacker, Outgoing, changed_header

NOTHING: Final = bytes(range(32))


class LyingEnds(Attacker):
    name = "lying_ends"

    def outgoing(self, message: PeerMessage, to: int | None) -> Outgoing:
        if not isinstance(message, EpochEnds):
            return [(message, to)]
        if message.ends:
            at = self.rng.below(len(message.ends))
            ends = (*message.ends[:at], self._end(message.ends[at]), *message.ends[at + 1 :])
            return [(msgspec.structs.replace(message, ends=ends), to)]
        return [(msgspec.structs.replace(message, nodes=self._nodes(message.nodes)), to)]

    def _end(self, end: EpochEnd) -> EpochEnd:
        """Return an end with members, a header or a certificate that are not those of the chain."""
        draw = self.rng.below(4)
        if draw == 0:
            (name, _, proposes), *others = end.members
            return msgspec.structs.replace(end, members=((name, NOTHING, proposes), *others))
        if draw == 1:
            return msgspec.structs.replace(end, members=end.members[1:])
        if draw == 2:
            header = changed_header(header_codec.decode(end.header), next_members_hash=NOTHING)
            return msgspec.structs.replace(end, header=encode(header))
        return msgspec.structs.replace(end, certificate=_forged(end.certificate))

    def _nodes(self, proofs: tuple[ResultProof, ...]) -> tuple[ResultProof, ...]:
        """Return node records under another root or with signatures that are none, or one of them twice."""
        draw = self.rng.below(3)
        if draw == 0:
            return proofs + proofs[:1]
        if draw == 1:
            return tuple(msgspec.structs.replace(proof, state_root=NOTHING) for proof in proofs)
        return tuple(msgspec.structs.replace(one, certificate=_forged(one.certificate)) for one in proofs)


def _forged(certificate: CommitCertificate) -> CommitCertificate:
    """Return the certificate with signatures that nobody made."""
    return msgspec.structs.replace(certificate, signatures=(bytes(64),) * len(certificate.signatures))
