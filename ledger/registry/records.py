"""Registry records as they stand in state and in the genesis document (S18). No personal names, ever."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Sequence
from typing import Final

from ledger.codec import Codec, Wire, encode
from ledger.crypto.hashing import H, Tag

COMPANY_ROLES: Final = (
    "trader", "core_enterprise", "financier", "guarantor", "settlement_bank", "auditor", "regulator",
    "registrar", "operator",
)  # fmt: skip
"""Closed (F8, S19)."""

PEOPLE_ROLES: Final = (
    "node_operator", "company_admin", "governor", "preparer", "approver", "treasurer", "controller", "risk_officer",
    "agent", "audit_reader", "regulator_officer", "reader", "trainee",
)  # fmt: skip
"""Closed (S60)."""


class RootPolicy(Wire, frozen=True):
    """m-of-n offline root keys; `keys` sorted. The policy is what the company id hashes (S17)."""

    m: int
    keys: tuple[bytes, ...]


class ReaderKey(Wire, frozen=True):
    kid: str
    public_key: bytes
    suite: int
    from_height: int
    to_height: int


class Company(Wire, frozen=True):
    """`status`: pending, active, suspended, left, expelled."""

    company_id: str
    status: str
    roles: tuple[str, ...]
    root: RootPolicy
    reader_keys: tuple[ReaderKey, ...]
    legal_commitment: bytes
    joined_height: int
    version: int


class ConsensusKey(Wire, frozen=True):
    public_key: bytes
    from_epoch: int


class TlsPin(Wire, frozen=True):
    spki_sha256: bytes
    certificate_der: bytes


class Node(Wire, frozen=True):
    """`kind`: member, observer, auditor."""

    node_id: str
    company_id: str
    kind: str
    consensus: tuple[ConsensusKey, ...]
    tls: tuple[TlsPin, ...]
    endpoint_commitment: bytes
    status: str


class User(Wire, frozen=True):
    """`valid_to_ms` 0 means no end. `status`: active, suspended, left."""

    user_id: str
    company_id: str
    roles: tuple[str, ...]
    public_key: bytes
    valid_to_ms: int
    status: str


class Mandate(Wire, frozen=True):
    """A principal lets a user of another company act for it (F12). Caps are minor units of any currency, 0 is none."""

    principal: str
    user_id: str
    roles: tuple[str, ...]
    cap_per_document: int
    expires_ms: int
    status: str


class KeyRecord(Wire, frozen=True):
    """Whose signing key `public_key` is, and at which heights it signs (S20). Never deleted.

    `kind`: root, consensus, user. `owner`: a company, node or user. In force at `from_height` to `to_height`, both
    included; `to_height` 0 is open, and `to_height` below `from_height` means that it never came into force.
    """

    public_key: bytes
    kind: str
    owner: str
    from_height: int
    to_height: int

    def in_force(self, height: int) -> bool:
        """Tell whether the key may sign in a block of `height` (S20)."""
        return self.from_height <= height and (self.to_height == 0 or height <= self.to_height)


class RegistryState(Wire, frozen=True):
    """`version` counts the changes of registry and grants (S21); `epoch` is the last one that was decided."""

    version: int
    epoch: int


company_codec: Codec[Company] = Codec(Company, "company record", 64 * 1024)
node_codec: Codec[Node] = Codec(Node, "node record", 64 * 1024)
user_codec: Codec[User] = Codec(User, "user record", 16 * 1024)
key_codec: Codec[KeyRecord] = Codec(KeyRecord, "key record", 512)
registry_codec: Codec[RegistryState] = Codec(RegistryState, "registry state", 64)


def company_id(policy: RootPolicy) -> str:
    """Return the self-certifying id of a company: it hashes the root policy, not a single key (S17)."""
    return "c" + _b32(H(Tag.ID_COMPANY, bytes([policy.m]), *sorted(policy.keys)))


def node_id(consensus_key: bytes) -> str:
    """Return the id of the node first registered with this consensus key (S17)."""
    return "n" + _b32(H(Tag.ID_NODE, consensus_key))


def user_id(company: str, public_key: bytes) -> str:
    """Return the id of the user first registered with this signing key (S17)."""
    return "u" + _b32(H(Tag.ID_USER, company.encode("ascii"), public_key))


def members_hash(members: Sequence[tuple[str, bytes, bool]]) -> bytes:
    """Return `members_hash` over (company id, consensus key, in rotation), sorted by company id (LR5)."""
    return H(Tag.MEMBERS, encode(sorted(members, key=lambda member: member[0])))


def legal_commitment(salt: bytes, name: str, identifiers: Sequence[tuple[str, str]]) -> bytes:
    """Return the commitment to a directory entry: name and (scheme, value) identifiers, sorted (S18)."""
    return H(Tag.LEGAL, salt, encode([name, sorted(identifiers)]))


def _b32(digest: bytes) -> str:
    return b32encode(digest).decode("ascii").lower().rstrip("=")[:26]
