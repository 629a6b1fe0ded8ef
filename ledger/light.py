"""What somebody can trust who has nothing but a genesis file (P85, S20): member sets, and headers that they certified.

    genesis document            -> the members of epoch 0
    a header of this epoch      names these members (`members_hash`), and q of them signed it
    the last one of an epoch    names the next members (`next_members_hash`): the old ones vouch for the new ones

No node is asked, no total that somebody reports is believed, and every signature of a certificate is checked. Old keys
leak: whoever comes back after years takes a recent member set from people he trusts, not from here.

Door: `genesis_members`, then `header_of` and `follow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ledger.block import Header
from ledger.certificate import CommitCertificate, Verify
from ledger.crypto.ed25519 import verify_strict
from ledger.genesis import GenesisDocument, epoch_members
from ledger.proof import certified_header
from ledger.registry.records import members_hash

Seat: TypeAlias = tuple[str, bytes, bool]
"""(company id, consensus key, in rotation)."""


@dataclass(frozen=True, slots=True)
class MemberSet:
    """The members of an epoch, sorted by company id; the position is the index (P5)."""

    epoch: int
    seats: tuple[Seat, ...]

    @property
    def keys(self) -> tuple[bytes, ...]:
        return tuple(key for _, key, _ in self.seats)

    @property
    def hash(self) -> bytes:
        """Return what headers of this epoch name as `members_hash` (LR5)."""
        return members_hash(list(self.seats))


def genesis_members(document: GenesisDocument) -> MemberSet:
    """Return the members of epoch 0."""
    return MemberSet(0, tuple((company, key, True) for company, key in epoch_members(document)))


def header_of(
    raw: bytes, certificate: CommitCertificate, trusted: MemberSet, chain_id: bytes, verify: Verify = verify_strict
) -> Header | str:
    """Return the header if it is of the epoch of `trusted` and q of these members certified it, else what is wrong."""
    header = certified_header(raw, certificate, trusted.keys, chain_id, verify)
    if isinstance(header, str):
        return header
    if header.epoch != trusted.epoch:
        return f"the header is of epoch {header.epoch}, the trusted members are those of epoch {trusted.epoch}"
    if header.members_hash != trusted.hash:
        return "the header names other members than the trusted ones"
    return header


def follow(
    raw: bytes,
    certificate: CommitCertificate,
    seats: Sequence[Seat],
    trusted: MemberSet,
    chain_id: bytes,
    verify: Verify = verify_strict,
) -> MemberSet | str:
    """Return the members of the next epoch, `seats`, if the last header of this one vouches for them."""
    header = header_of(raw, certificate, trusted, chain_id, verify)
    if isinstance(header, str):
        return header
    if header.next_members_hash == trusted.hash:
        return f"block {header.height} does not end an epoch"
    after = MemberSet(trusted.epoch + 1, tuple(seats))
    return after if after.hash == header.next_members_hash else "the certified header names other next members"
