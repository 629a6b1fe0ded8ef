"""Genesis: the document every founding company signs, its hash is the chain id (LR10).

Door: `check_genesis` decodes a file and says what is wrong with it; `genesis_state` and `genesis_block` give the state
and the block a chain opens with. A company proves possession of each signing key it registers (S7), before the chain
exists and so under 32 zero bytes; when the document is final, it signs the chain id with its root keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from ledger import merkle
from ledger.access.model import role_problem
from ledger.block import EMPTY_LIST_ROOT, PROTOCOL_VERSION, Header, block_id, genesis_exec_root
from ledger.codec import Codec, Wire, encode
from ledger.crypto.ed25519 import SigningKey, is_valid_public_key, verify_strict
from ledger.crypto.hashing import H, Tag, signing_digest
from ledger.errors import InvalidGenesis, LedgerError
from ledger.ids import HASH_BYTES, ZERO_HASH
from ledger.params import Params
from ledger.registry.epochs import MEMBERS_MAX, EpochMember, EpochRecord, epoch_key
from ledger.registry.lookup import ACTIVE, REGISTRY_KEY, company_key, node_key, signing_key_key, user_key
from ledger.registry.records import (
    COMPANY_ROLES,
    Company,
    KeyRecord,
    Node,
    ReaderKey,
    RegistryState,
    User,
    company_id,
    members_hash,
    node_id,
    user_id,
)
from ledger.state import MemoryState
from ledger.transaction import RESERVED_CONTRACTS

GENESIS_VERSION: Final = 1
MEMBERS_MIN_PRODUCTION: Final = 4
"""Fewer members tolerate no fault at all (P4)."""
LABEL_MAX: Final = 64
READER_SUITES: Final = {1: 32, 2: 1216}
"""Suite id -> length of a reader key (S9)."""
UTC_OFFSET_MIN: Final = (-12 * 60, 14 * 60)
CONTRACT_LANGUAGE: Final = 1

CONTRACT_PREFIX: Final = b"c"
PARAMS_KEY: Final = b"gparams"
CURRENCIES_KEY: Final = b"gcurrencies"
NETWORK_KEY: Final = b"gnetwork"

GENESIS_LIMIT_BYTES: Final = 4 * 1024 * 1024


class KeyProof(Wire, frozen=True):
    """Proof of possession (S7): `owner` holds the private half of `public_key`.

    Signed with domain `pop` and 32 zero bytes as chain id, because no chain exists yet (LR10).
    """

    kind: str
    owner: str
    public_key: bytes
    signature: bytes


class ContractSource(Wire, frozen=True):
    name: str
    source: bytes


class GenesisDocument(Wire, frozen=True):
    """Everything a chain starts from. `contracts` are in an order in which each uses only earlier ones."""

    version: int
    network: str
    production: bool
    time_ms: int
    utc_offset_min: int
    params: Params
    currencies: tuple[tuple[str, int], ...]
    companies: tuple[Company, ...]
    nodes: tuple[Node, ...]
    users: tuple[User, ...]
    proofs: tuple[KeyProof, ...]
    contracts: tuple[ContractSource, ...]


class GenesisFile(Wire, frozen=True):
    """The file that travels: the document's bytes and, beside it, the root signatures over the chain id (LR10)."""

    document: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]
    """(company id, root public key, signature with domain `genesis`)"""


genesis_codec: Codec[GenesisDocument] = Codec(GenesisDocument, "genesis document", GENESIS_LIMIT_BYTES)
genesis_file_codec: Codec[GenesisFile] = Codec(GenesisFile, "genesis file", GENESIS_LIMIT_BYTES + 65_536)


class ContractMeta(Wire, frozen=True):
    """What the ledger knows about a contract (L57), at key `c` + name; its source stands at `c` + name + `/source`."""

    name: str
    version: int
    language: int
    code_id: bytes
    ir_hash: bytes
    active_from: int
    status: str


contract_meta_codec: Codec[ContractMeta] = Codec(ContractMeta, "contract metadata", 1024)


def chain_id(document: GenesisDocument) -> bytes:
    """Return the id of the chain that `document` founds."""
    return H(Tag.GENESIS, encode(document))


def code_id(source: bytes) -> bytes:
    """Return the id of a contract with these source bytes (L57)."""
    return H(Tag.CONTRACT, source)


def contract_key(name: str) -> bytes:
    return CONTRACT_PREFIX + name.encode()


def source_key(name: str) -> bytes:
    return CONTRACT_PREFIX + name.encode() + b"/source"


def arranged(document: GenesisDocument) -> GenesisDocument:
    """Return `document` with every list in its canonical order; contracts keep theirs.

    Founders that assemble the same parts get the same bytes and so the same chain id.
    """
    return msgspec.structs.replace(
        document,
        currencies=tuple(sorted(document.currencies)),
        companies=tuple(sorted(document.companies, key=lambda company: company.company_id)),
        nodes=tuple(sorted(document.nodes, key=lambda node: node.node_id)),
        users=tuple(sorted(document.users, key=lambda user: user.user_id)),
        proofs=tuple(sorted(document.proofs, key=_proof_order)),
    )


def proof_digest(kind: str, owner: str, public_key: bytes) -> bytes:
    """Return what a proof of possession signs: domain `pop`, no chain yet (S7, LR10)."""
    return signing_digest(Tag.SIG_POP, ZERO_HASH, encode((kind, owner, public_key)))


def prove_key(kind: str, owner: str, key: SigningKey) -> KeyProof:
    """Return the proof that `owner` holds `key`; kind is `root`, `consensus` or `user`."""
    return KeyProof(kind, owner, key.public_key, key.sign(proof_digest(kind, owner, key.public_key)))


def founder_digest(chain: bytes, company: str) -> bytes:
    """Return what a root key of `company` signs to found the chain (LR10)."""
    return signing_digest(Tag.SIG_GENESIS, chain, company.encode())


def sign_genesis(document: GenesisDocument, company: str, key: SigningKey) -> tuple[str, bytes, bytes]:
    """Return the entry of `GenesisFile.signatures` for one root key of `company`."""
    return company, key.public_key, key.sign(founder_digest(chain_id(document), company))


def epoch_members(document: GenesisDocument) -> tuple[tuple[str, bytes], ...]:
    """Return (company id, consensus key) of the members of epoch 0, sorted by company id: the member index (P5)."""
    return tuple(
        sorted((node.company_id, node.consensus[0].public_key) for node in document.nodes if node.kind == "member")
    )


def first_epoch(document: GenesisDocument) -> EpochRecord:
    """Return epoch 0: the member nodes of the document, all in rotation, from block 1 on (P5)."""
    founders = [
        EpochMember(node.company_id, node.node_id, node.consensus[0].public_key, True)
        for node in document.nodes
        if node.kind == "member"
    ]
    return EpochRecord(0, 1, 0, tuple(sorted(founders, key=lambda member: member.company_id)))


def genesis_state(document: GenesisDocument, contract_meta: Sequence[tuple[str, int, bytes, bytes]]) -> MemoryState:
    """Return the state at height 0 (LR7-LR9).

    `contract_meta` are (name, version, code id, IR hash) of the document's contracts in its order, as the compiler
    gives them; anything else is InvalidGenesis.
    """
    rows: dict[bytes, bytes] = {
        PARAMS_KEY: encode(document.params),
        CURRENCIES_KEY: encode(document.currencies),
        NETWORK_KEY: encode((document.network, document.production, document.utc_offset_min)),
        REGISTRY_KEY: encode(RegistryState(0, 0)),
        epoch_key(0): encode(first_epoch(document)),
    }
    for kind, owner, key in _signing_keys(document):
        rows[signing_key_key(key)] = encode(KeyRecord(key, kind, owner, 0, 0))
    for company in document.companies:
        rows[company_key(company.company_id)] = encode(company)
    for node in document.nodes:
        rows[node_key(node.node_id)] = encode(node)
    for user in document.users:
        rows[user_key(user.user_id)] = encode(user)
    if [(name, code) for name, _, code, _ in contract_meta] != [
        (contract.name, code_id(contract.source)) for contract in document.contracts
    ]:
        raise InvalidGenesis("contracts", "the compiled contracts are not those of the document")
    for contract, (name, version, code, ir_hash) in zip(document.contracts, contract_meta, strict=True):
        rows[contract_key(name)] = encode(ContractMeta(name, version, CONTRACT_LANGUAGE, code, ir_hash, 0, ACTIVE))
        rows[source_key(name)] = encode(contract.source)
    root, nodes = merkle.build(rows)
    return MemoryState(rows, nodes, 0, root, genesis_exec_root(root))


def genesis_block(document: GenesisDocument, state: MemoryState) -> tuple[Header, bytes, bytes]:
    """Return block 0 over `state`: its header, the header's canonical bytes and the block id (LR5, LR8)."""
    members = members_hash([(company, key, True) for company, key in epoch_members(document)])
    header = Header(
        version=PROTOCOL_VERSION,
        chain_id=chain_id(document),
        epoch=0,
        height=0,
        parent_id=ZERO_HASH,
        tx_root=EMPTY_LIST_ROOT,
        tx_count=0,
        size_bytes=0,
        time_ms=document.time_ms,
        proposer=0,
        exec_height=0,
        exec_root=state.exec_root,
        members_hash=members,
        next_members_hash=members,
        evidence_root=EMPTY_LIST_ROOT,
        last_cert_height=0,
        last_cert_hash=ZERO_HASH,
        params_hash=document.params.hash(),
    )
    raw = encode(header)
    return header, raw, block_id(raw)


def check_genesis(file: GenesisFile) -> GenesisDocument:
    """Return the document of `file`, or raise `InvalidGenesis` naming the first field that is wrong, and why.

    A production document needs at least four members and, beside it, the root signatures of every company as its
    own policy demands. Development needs neither, but what signatures there are must verify.
    """
    try:
        document = genesis_codec.decode(file.document)
    except LedgerError as error:
        raise InvalidGenesis("document", str(error)) from None
    _check_network(document)
    _check_companies(document)
    _check_nodes(document)
    _check_users(document)
    _check_keys(document)
    _check_contracts(document)
    _check_founders(document, file)
    return document


def _need(condition: bool, field: str, reason: str) -> None:
    if not condition:
        raise InvalidGenesis(field, reason)


def _check_network(document: GenesisDocument) -> None:
    _need(document.version == GENESIS_VERSION, "version", f"{document.version} is not {GENESIS_VERSION}")
    label = document.network
    _need(
        0 < len(label) <= LABEL_MAX and label.isascii() and label.isprintable(),
        "network",
        f"the label needs 1 to {LABEL_MAX} printable ASCII characters",
    )
    low, high = UTC_OFFSET_MIN
    _need(low <= document.utc_offset_min <= high, "utc_offset_min", f"{document.utc_offset_min} minutes is no offset")
    _need(document.time_ms > 0, "time_ms", "the founding time is missing")
    document.params.check()
    for code, exponent in document.currencies:
        good = len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()
        _need(good, "currencies", f"{code[:8]!r} is not a currency code of three capital letters")
        _need(0 <= exponent <= 4, f"currencies.{code}", f"{exponent} decimals, 0 to 4 are allowed")
    _need(bool(document.currencies), "currencies", "a network needs at least one currency")
    _ascending([code for code, _ in document.currencies], "currencies")


def _check_companies(document: GenesisDocument) -> None:
    _ascending([company.company_id for company in document.companies], "companies")
    for company in document.companies:
        field = f"companies.{company.company_id[:40]}"
        keys = company.root.keys
        _need(
            0 < company.root.m <= len(keys) <= 16, f"{field}.root", f"{company.root.m} of {len(keys)} keys is no policy"
        )
        _ascending([key.hex() for key in keys], f"{field}.root.keys")
        _need(
            company.company_id == company_id(company.root),
            f"{field}.company_id",
            "the id is not that of its root policy",
        )
        _need(company.status == ACTIVE, f"{field}.status", "a founding company is active")
        _need(bool(company.roles), f"{field}.roles", "a company needs a role")
        _distinct(company.roles, f"{field}.roles")
        for role in company.roles:
            _need(role in COMPANY_ROLES, f"{field}.roles", f"{role[:40]!r} is not a company role")
        _hash(company.legal_commitment, f"{field}.legal_commitment")
        _need(company.joined_height == 0, f"{field}.joined_height", "a founding company joins at height 0")
        _need(company.version == 1, f"{field}.version", "a new record has version 1")
        _distinct([key.kid for key in company.reader_keys], f"{field}.reader_keys")
        for reader in company.reader_keys:
            _check_reader(reader, f"{field}.reader_keys.{reader.kid[:40]}")


def _check_reader(reader: ReaderKey, field: str) -> None:
    _need(reader.suite in READER_SUITES, f"{field}.suite", f"suite {reader.suite} is unknown")
    length = READER_SUITES.get(reader.suite, 0)
    _need(len(reader.public_key) == length, f"{field}.public_key", f"a key of suite {reader.suite} has {length} bytes")
    open_ended = reader.to_height == 0
    _need(open_ended or reader.from_height < reader.to_height, f"{field}.to_height", "the key ends before it begins")


def _check_nodes(document: GenesisDocument) -> None:
    companies = {company.company_id for company in document.companies}
    _ascending([node.node_id for node in document.nodes], "nodes")
    for node in document.nodes:
        field = f"nodes.{node.node_id[:40]}"
        _need(
            node.company_id in companies,
            f"{field}.company_id",
            f"company {node.company_id[:40]!r} is not in the document",
        )
        _need(len(node.consensus) == 1, f"{field}.consensus", "a founding node has one consensus key")
        key = node.consensus[0]
        _need(key.from_epoch == 0, f"{field}.consensus", "a founding key counts from epoch 0")
        _need(node.node_id == node_id(key.public_key), f"{field}.node_id", "the id is not that of its consensus key")
        _need(
            node.kind in ("member", "observer", "auditor"), f"{field}.kind", f"{node.kind[:40]!r} is not a kind of node"
        )
        _need(node.status == ACTIVE, f"{field}.status", "a founding node is active")
        _need(1 <= len(node.tls) <= 2, f"{field}.tls", "a node has one or two TLS pins")
        for pin in node.tls:
            _hash(pin.spki_sha256, f"{field}.tls.spki_sha256")
            _need(
                0 < len(pin.certificate_der) <= 8192,
                f"{field}.tls.certificate_der",
                "the certificate is missing or too long",
            )
        _hash(node.endpoint_commitment, f"{field}.endpoint_commitment")
    members = [node.company_id for node in document.nodes if node.kind == "member"]
    _distinct(members, "nodes", "a company has one vote, so one member node")
    least, network = (MEMBERS_MIN_PRODUCTION, "production") if document.production else (1, "a network")
    _need(
        least <= len(members) <= MEMBERS_MAX,
        "nodes",
        f"{len(members)} members; {network} needs {least} to {MEMBERS_MAX}",
    )


def _check_users(document: GenesisDocument) -> None:
    companies = {company.company_id: company for company in document.companies}
    _ascending([user.user_id for user in document.users], "users")
    for user in document.users:
        field = f"users.{user.user_id[:40]}"
        company = companies.get(user.company_id)
        if company is None:
            raise InvalidGenesis(f"{field}.company_id", f"company {user.company_id[:40]!r} is not in the document")
        derived = user_id(user.company_id, user.public_key)
        _need(user.user_id == derived, f"{field}.user_id", "the id is not that of its company and key")
        _need(user.status == ACTIVE, f"{field}.status", "a founding user is active")
        _need(bool(user.roles), f"{field}.roles", "a user needs a role")
        _distinct(user.roles, f"{field}.roles")
        problem = role_problem(user.roles, company.roles)
        _need(not problem, f"{field}.roles", problem)


def _check_keys(document: GenesisDocument) -> None:
    """Every signing key is a good point, serves one use, and its holder has proven possession (S7, S16)."""
    needed = sorted(_signing_keys(document))
    seen: dict[bytes, str] = {}
    for kind, owner, key in needed:
        field = f"keys.{kind}.{owner}"
        _need(is_valid_public_key(key), field, "the public key is not a point of the prime-order group")
        _need(key not in seen, field, f"the key serves {seen.get(key, '')} already")
        seen[key] = f"{kind} {owner}"
    given = [(proof.kind, proof.owner, proof.public_key) for proof in document.proofs]
    if given != needed:
        missing = [f"{kind} {owner}" for kind, owner, key in needed if (kind, owner, key) not in given]
        reason = f"no proof of possession for {missing[0]}" if missing else "repeated, unsorted or of unknown keys"
        raise InvalidGenesis("proofs", reason)
    for proof in document.proofs:
        digest = proof_digest(proof.kind, proof.owner, proof.public_key)
        good = verify_strict(proof.public_key, proof.signature, digest)
        _need(good, f"proofs.{proof.kind}.{proof.owner}", "the proof of possession does not verify")


def _signing_keys(document: GenesisDocument) -> Iterator[tuple[str, str, bytes]]:
    for company in document.companies:
        for key in company.root.keys:
            yield "root", company.company_id, key
    for node in document.nodes:
        yield "consensus", node.node_id, node.consensus[0].public_key
    for user in document.users:
        yield "user", user.user_id, user.public_key


def _check_contracts(document: GenesisDocument) -> None:
    _distinct([contract.name for contract in document.contracts], "contracts")
    for contract in document.contracts:
        name = contract.name
        good = 0 < len(name) <= 40 and name.isascii() and name.replace("_", "a").isalnum() and name == name.lower()
        _need(good, "contracts", f"{name[:40]!r} is not a contract name")
        _need(name not in RESERVED_CONTRACTS, f"contracts.{name}", "the name is reserved for the ledger (LR1)")
        _need(bool(contract.source), f"contracts.{name}", "the source is empty")


def _check_founders(document: GenesisDocument, file: GenesisFile) -> None:
    chain = chain_id(document)
    roots = {company.company_id: company.root for company in document.companies}
    signed: dict[str, list[bytes]] = {company: [] for company in roots}
    for company, key, signature in file.signatures:
        field = f"signatures.{company[:40]}"
        if company not in roots or key not in roots[company].keys:
            raise InvalidGenesis(field, "the signing key is not a root key of a founding company")
        _need(key not in signed[company], field, "a root key signs twice")
        _need(
            verify_strict(key, signature, founder_digest(chain, company)), field, "the root signature does not verify"
        )
        signed[company].append(key)
    if document.production:
        for company, root in roots.items():
            _need(
                len(signed[company]) >= root.m,
                f"signatures.{company}",
                f"{len(signed[company])} of {root.m} root signatures; run `hansa genesis sign` at this company",
            )


def _ascending(names: Sequence[str], field: str) -> None:
    for before, after in pairwise(names):
        _need(before < after, field, f"{after[:40]!r} is repeated or not in ascending order")


def _distinct(names: Iterable[str], field: str, reason: str = "") -> None:
    seen: list[str] = []
    for name in names:
        _need(name not in seen, field, f"{name[:40]!r} is repeated" + (f": {reason}" if reason else ""))
        seen.append(name)


def _hash(value: bytes, field: str) -> None:
    _need(len(value) == HASH_BYTES, field, f"{len(value)} bytes, a hash has {HASH_BYTES}")


def _proof_order(proof: KeyProof) -> tuple[str, str, bytes]:
    return proof.kind, proof.owner, proof.public_key
