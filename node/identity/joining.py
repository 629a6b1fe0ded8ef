"""Joining a network that runs: the invite that a member hands over, and the request that a newcomer makes (S22).

Both travel as files. The invite holds the secret whose hash its sponsor put on the chain; the request holds what goes
on the chain, signed by the newcomer's root keys, and the directory entry that the others keep beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ledger.codec import Codec, Wire, encode
from ledger.crypto.ed25519 import SigningKey
from ledger.governance.follow import EpochEnd
from ledger.governance.keys import join_digest, prove_possession
from ledger.governance.records import AddCompany, FirstUser, JoinRequest, ReplaceKeys
from ledger.proof import ResultProof
from ledger.registry.records import node_id, user_id
from ledger.transaction import ENVELOPE_LIMIT_BYTES
from node.identity.directory import Entry
from node.identity.founding import Card

SECRET_BYTES: Final = 32


class InviteFile(Wire, frozen=True):
    """What a sponsor gives to the newcomer, and to nobody else. `roles` are those of the new company."""

    chain_id: bytes
    secret: bytes
    sponsor: str
    roles: tuple[str, ...]
    expires_height: int

    @property
    def invite_hash(self) -> bytes:
        return sha256(self.secret).digest()


class RequestFile(Wire, frozen=True):
    """What a newcomer gives to its sponsor; public among the companies."""

    chain_id: bytes
    company_id: str
    add: AddCompany
    entry: Entry


class KeysFile(Wire, frozen=True):
    """What a company that lost its keys gives to its old officers and then to a member; public (S28)."""

    chain_id: bytes
    payload: ReplaceKeys


class EpochsFile(Wire, frozen=True):
    """How the epochs of a network ended, from the first on: the way from its genesis file to present members (P85).

    `nodes`: where those are, a proof for each node record as of one certified height; may be empty (P117).
    """

    chain_id: bytes
    ends: tuple[EpochEnd, ...]
    nodes: tuple[ResultProof, ...]


epochs_file_codec: Codec[EpochsFile] = Codec(EpochsFile, "epoch ends", 64 * 1024 * 1024)
keys_file_codec: Codec[KeysFile] = Codec(KeysFile, "request for new keys", ENVELOPE_LIMIT_BYTES + 4 * 1024)
invite_file_codec: Codec[InviteFile] = Codec(InviteFile, "invite", 4 * 1024)
request_file_codec: Codec[RequestFile] = Codec(RequestFile, "join request", ENVELOPE_LIMIT_BYTES + 64 * 1024)


def request_to_join(
    card: Card, invite: InviteFile, consensus: SigningKey, users: Sequence[SigningKey], roots: Sequence[SigningKey]
) -> RequestFile:
    """Return the request of the company on `card`, with a proof for each signing key under the id of the chain (S7).

    `users` are the keys of its first people, `roots` all keys of its root policy; as many sign as the policy asks for.
    """
    chain, owner = invite.chain_id, card.company.company_id
    request = request_of(card, chain, invite.invite_hash, consensus, users, roots)
    digest = join_digest(chain, request)
    signing = sorted(roots, key=lambda key: key.public_key)[: card.company.root.m]
    signatures = tuple((key.public_key, key.sign(digest)) for key in signing)
    return RequestFile(chain, owner, AddCompany(request, signatures), card.entry)


def request_of(
    card: Card,
    chain: bytes,
    invite_hash: bytes,
    consensus: SigningKey,
    users: Sequence[SigningKey],
    roots: Sequence[SigningKey],
) -> bytes:
    """Return the canonical `JoinRequest` of the company on `card`, with a proof for each of its signing keys (S7)."""
    owner = card.company.company_id
    people = {user.public_key: user for user in card.users}
    proofs = [prove_possession(chain, "root", owner, key) for key in roots]
    proofs.append(prove_possession(chain, "consensus", node_id(consensus.public_key), consensus))
    proofs += [prove_possession(chain, "user", user_id(owner, key.public_key), key) for key in users]
    return encode(
        JoinRequest(
            invite_hash=invite_hash,
            root=card.company.root,
            consensus_key=consensus.public_key,
            tls=card.node.tls,
            endpoint_commitment=card.node.endpoint_commitment,
            reader_keys=card.company.reader_keys,
            legal_commitment=card.company.legal_commitment,
            users=tuple(FirstUser(people[key.public_key].roles, key.public_key) for key in users),
            proofs=tuple(sorted(proofs, key=lambda proof: (proof.kind, proof.owner, proof.public_key))),
        )
    )
