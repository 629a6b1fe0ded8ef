"""Founding companies: their keys, the card each sends to the others, and the genesis document made of all cards.

A card is public: registry records, proofs of possession made with 32 zero bytes as chain id (LR10), the directory entry
with its salt. Cards travel as files between the founders; every founder assembles the same document from the same
cards and signs its hash with its root keys. Entropy is passed in, so that a development network can be a
function of its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.codec import Codec, Wire, encode
from ledger.crypto.ed25519 import SigningKey
from ledger.errors import InvalidGenesis
from ledger.genesis import (
    GENESIS_VERSION,
    ContractSource,
    GenesisDocument,
    GenesisFile,
    KeyProof,
    arranged,
    genesis_codec,
    prove_key,
)
from ledger.money import ISO_4217
from ledger.params import Params
from ledger.registry.records import (
    COMPANY_ROLES,
    PEOPLE_ROLES,
    Company,
    ConsensusKey,
    Node,
    RootPolicy,
    TlsPin,
    User,
    company_id,
    node_id,
    user_id,
)
from node.identity.directory import Endpoint, Entry, Identifier, endpoint_commitment

ROOT_KEYS: Final = 3
ROOT_THRESHOLD: Final = 2
"""Two of three officers sign for the company's root (S16)."""
CARD_LIMIT_BYTES: Final = 256 * 1024


class Card(Wire, frozen=True):
    """All that the other founders need of one company. Public."""

    company: Company
    node: Node
    users: tuple[User, ...]
    proofs: tuple[KeyProof, ...]
    entry: Entry


card_codec: Codec[Card] = Codec(Card, "company card", CARD_LIMIT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user to be registered. `label` is private to the company."""

    label: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A private key that was drawn: where it goes is the caller's affair. `label` is "" but for users and roots."""

    kind: str
    label: str
    owner: str
    seed: bytes
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """A new company: what it keeps and what it shows."""

    card: Card
    keys: tuple[NewKey, ...]
    people: tuple[tuple[str, str], ...]
    """(user id, label), private."""


def found_company(
    *,
    name: str,
    roles: Sequence[str],
    people: Sequence[Person],
    identifiers: Sequence[tuple[str, str]],
    endpoint: str,
    make_tls: Callable[[str], TlsPin],
    draw: Callable[[int], bytes],
    known: Entry | None = None,
) -> Founded:
    """Draw all keys of a company but the TLS key and return its card; `make_tls` gets the node id.

    `known` is the directory entry of a company that exists and lost its keys: id and name stay as they are (S28).

    `endpoint` is the `host:port` at which the others reach this node. Raises `InvalidGenesis` naming a role that does
    not exist or two that exclude each other (F10, S61).
    """
    for role in roles:
        if role not in COMPANY_ROLES:
            raise InvalidGenesis("roles", f"{role!r} is no company role; known are {', '.join(COMPANY_ROLES)}")
    for person in people:
        _check_people_roles(person)
    keys: list[NewKey] = []
    roots = [SigningKey(seed) for seed in (draw(32) for _ in range(ROOT_KEYS))]
    policy = RootPolicy(ROOT_THRESHOLD, tuple(sorted(key.public_key for key in roots)))
    company = company_id(policy) if known is None else known.id
    proofs: list[KeyProof] = []
    for number, root in enumerate(roots, start=1):
        keys.append(_new(root, "root", f"officer-{number}", company))
        proofs.append(prove_key("root", company, root))
    consensus_seed = draw(32)
    consensus = SigningKey(consensus_seed)
    node = node_id(consensus.public_key)
    keys.append(_new(consensus, "consensus", "", node))
    proofs.append(prove_key("consensus", node, consensus))
    users: list[User] = []
    labels: list[tuple[str, str]] = []
    for person in people:
        key = SigningKey(draw(32))
        identity = user_id(company, key.public_key)
        keys.append(_new(key, "user", person.label, identity))
        proofs.append(prove_key("user", identity, key))
        users.append(User(identity, company, tuple(sorted(person.roles)), key.public_key, 0, "active"))
        labels.append((identity, person.label))
    salt, endpoint_salt = draw(32), draw(32)
    if known is not None and known.endpoint is not None and known.endpoint.address == endpoint:
        endpoint_salt = bytes.fromhex(known.endpoint.salt)
    entry = Entry(
        id=company,
        name=name if known is None else known.name,
        salt=salt.hex() if known is None else known.salt,
        identifiers=tuple(Identifier(scheme, value) for scheme, value in sorted(identifiers))
        if known is None
        else known.identifiers,
        endpoint=Endpoint(endpoint, endpoint_salt.hex()),
    )
    card = Card(
        company=Company(
            company_id=company,
            status="active",
            roles=tuple(sorted(roles)),
            root=policy,
            reader_keys=(),
            legal_commitment=entry.commitment(),
            joined_height=0,
            version=1,
        ),
        node=Node(
            node_id=node,
            company_id=company,
            kind="member",
            consensus=(ConsensusKey(consensus.public_key, 0),),
            tls=(make_tls(node),),
            endpoint_commitment=endpoint_commitment(endpoint_salt, endpoint),
            status="active",
        ),
        users=tuple(sorted(users, key=lambda user: user.user_id)),
        proofs=tuple(proofs),
        entry=entry,
    )
    return Founded(card=card, keys=tuple(keys), people=tuple(labels))


def assemble(
    cards: Sequence[Card],
    *,
    network: str,
    production: bool,
    time_ms: int,
    utc_offset_min: int,
    params: Params,
    contracts: Sequence[tuple[str, bytes]],
    currencies: Sequence[tuple[str, int]] = tuple(ISO_4217.items()),
) -> GenesisDocument:
    """Return the document: the same bytes from the same cards, whatever their order."""
    ordered = sorted(cards, key=lambda card: card.company.company_id)
    return arranged(
        GenesisDocument(
            version=GENESIS_VERSION,
            network=network,
            production=production,
            time_ms=time_ms,
            utc_offset_min=utc_offset_min,
            params=params,
            currencies=tuple(currencies),
            companies=tuple(card.company for card in ordered),
            nodes=tuple(card.node for card in ordered),
            users=tuple(user for card in ordered for user in card.users),
            proofs=tuple(proof for card in ordered for proof in card.proofs),
            contracts=tuple(ContractSource(name, source) for name, source in contracts),
        )
    )


def genesis_file(document: GenesisDocument, signatures: Sequence[tuple[str, bytes, bytes]]) -> GenesisFile:
    """Return the file that travels, signatures sorted and without repeats."""
    return GenesisFile(encode(document), tuple(sorted(dict.fromkeys(signatures))))


def document_of(file: GenesisFile) -> GenesisDocument:
    """Return the document inside a genesis file."""
    return genesis_codec.decode(file.document)


def _check_people_roles(person: Person) -> None:
    for role in person.roles:
        if role not in PEOPLE_ROLES:
            raise InvalidGenesis(f"people.{person.label}", f"{role!r} is no role; known are {', '.join(PEOPLE_ROLES)}")
    business = [role for role in person.roles if role not in ("node_operator", "company_admin", "governor", "reader")]
    if "node_operator" in person.roles and (business or "governor" in person.roles):
        raise InvalidGenesis(f"people.{person.label}", "node_operator excludes business roles and governor")
    if "company_admin" in person.roles and ("approver" in person.roles or "treasurer" in person.roles):
        raise InvalidGenesis(f"people.{person.label}", "company_admin cannot be joined with approver or treasurer")


def _new(key: SigningKey, kind: str, label: str, owner: str) -> NewKey:
    return NewKey(kind=kind, label=label, owner=owner, seed=key.seed, public_key=key.public_key)
