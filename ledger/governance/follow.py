"""From a genesis document to the members of a later epoch, offline and trusting nobody (P85, S22.7).

The last header of an epoch is signed by its members and names the hash of the next member set. Whoever trusts one set
therefore needs, for each epoch that ended since, that header, its commit certificate, and the members behind the hash.
Nothing else is believed: not a height, not a list without its hash, not a certificate of another epoch.

Old keys leak, so a walk from far back is worth less than a fresh one: start again from a later `TrustedMembers` that
was kept, or that f+1 companies show (P85).

Door: `follow`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from ledger.block import HEADER_LIMIT_BYTES, header_codec
from ledger.certificate import CERTIFICATE_LIMIT_BYTES, CommitCertificate, Verify
from ledger.codec import Codec, Wire
from ledger.crypto.ed25519 import verify_strict
from ledger.genesis import GenesisDocument, chain_id, first_epoch
from ledger.proof import certified_header
from ledger.registry.epochs import MEMBERS_MAX, EpochRecord
from ledger.registry.records import members_hash


class EpochEnd(Wire, frozen=True):
    """How one epoch ended: its last header with a commit certificate, and the members the header names the hash of.

    `members` are (company id, consensus key, in rotation), sorted by company id.
    """

    header: bytes
    certificate: CommitCertificate
    members: tuple[tuple[str, bytes, bool], ...]


epoch_end_codec: Codec[EpochEnd] = Codec(
    EpochEnd, "epoch end", HEADER_LIMIT_BYTES + CERTIFICATE_LIMIT_BYTES + MEMBERS_MAX * 96
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedMembers:
    """A member set and where it counts: from `first_height` on, until an epoch end shows the next one."""

    chain_id: bytes
    epoch: int
    first_height: int
    members: tuple[tuple[str, bytes, bool], ...]

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Consensus keys by index, as `verify_result` takes them."""
        return tuple(key for _, key, _ in self.members)


def trust_genesis(document: GenesisDocument) -> TrustedMembers:
    """Return the members of epoch 0; the document is trusted because its hash is the chain id that was given."""
    return TrustedMembers(
        chain_id=chain_id(document), epoch=0, first_height=1, members=wire_members(first_epoch(document))
    )


def wire_members(record: EpochRecord) -> tuple[tuple[str, bytes, bool], ...]:
    """Return the members of an epoch as an `EpochEnd` carries them."""
    return tuple((member.company_id, member.consensus_key, member.in_rotation) for member in record.members)


def follow(trusted: TrustedMembers, ends: Iterable[EpochEnd], verify: Verify = verify_strict) -> TrustedMembers | str:
    """Return the members after the given epoch ends, one for each epoch in order, or what is wrong with which.

    Certificates are checked with all their signatures, under the keys of the epoch that ended (P85, S20).
    """
    for end in ends:
        problem = _problem(trusted, end, verify)
        if problem:
            return f"end of epoch {trusted.epoch}: {problem}"
        trusted = TrustedMembers(
            chain_id=trusted.chain_id,
            epoch=trusted.epoch + 1,
            first_height=header_codec.decode(end.header).height + 1,
            members=end.members,
        )
    return trusted


def _problem(trusted: TrustedMembers, end: EpochEnd, verify: Verify) -> str:
    header = certified_header(end.header, end.certificate, trusted.keys, trusted.chain_id, verify)
    if isinstance(header, str):
        return header
    if header.epoch != trusted.epoch or header.height < trusted.first_height:
        return f"the header is of epoch {header.epoch} and height {header.height}"
    if header.members_hash != members_hash(trusted.members):
        return "the header names another member set than the trusted one"
    if header.next_members_hash == header.members_hash:
        return f"header {header.height} does not end the epoch: the next members are the same"
    names = [name for name, _, _ in end.members]
    if not 1 <= len(names) <= MEMBERS_MAX or any(left >= right for left, right in pairwise(names)):
        return "the next members are not sorted by company id, each once"
    if len(dict.fromkeys(key for _, key, _ in end.members)) != len(names):
        return "two of the next members share a consensus key"
    if members_hash(end.members) != header.next_members_hash:
        return "the next members are not those the header names"
    return ""
