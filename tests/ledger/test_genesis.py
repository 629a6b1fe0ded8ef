"""LR10: what founds a chain, and every reason why a document cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ledger.block import EMPTY_LIST_ROOT, block_id, genesis_exec_root
from ledger.codec import encode
from ledger.crypto.ed25519 import SMALL_ORDER, SigningKey
from ledger.errors import InvalidGenesis
from ledger.genesis import (
    ContractSource,
    GenesisDocument,
    GenesisFile,
    arranged,
    chain_id,
    check_genesis,
    code_id,
    contract_key,
    contract_meta_codec,
    epoch_members,
    genesis_block,
    genesis_file_codec,
    genesis_state,
    prove_key,
    sign_genesis,
    source_key,
)
from ledger.ids import ZERO_HASH
from ledger.merkle import build
from ledger.registry.epochs import epoch_codec
from ledger.registry.lookup import read_key
from ledger.registry.records import KeyRecord, members_hash, node_id, user_id

if TYPE_CHECKING:
    from tests.ledger.conftest import Sample

Founders = Callable[..., "tuple[GenesisDocument, Sample]"]


def refused(document: GenesisDocument, file: GenesisFile | None = None) -> InvalidGenesis:
    with pytest.raises(InvalidGenesis) as caught:
        check_genesis(file or GenesisFile(encode(document), ()))
    return caught.value


def replaced(record: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(record, **changes)


def first(records: tuple[Any, ...], **changes: Any) -> tuple[Any, ...]:
    return (replaced(records[0], **changes), *records[1:])


def test_lr5_lr8_block_0(sample: Sample) -> None:
    header = sample.header
    assert (header.height, header.epoch, header.exec_height, header.tx_count) == (0, 0, 0, 0)
    assert (header.parent_id, header.last_cert_hash) == (ZERO_HASH, ZERO_HASH)
    assert (header.tx_root, header.evidence_root) == (EMPTY_LIST_ROOT, EMPTY_LIST_ROOT)
    assert header.chain_id == chain_id(sample.document)
    assert header.exec_root == sample.state.exec_root == genesis_exec_root(sample.state.state_root)
    assert header.params_hash == sample.document.params.hash()
    members = epoch_members(sample.document)
    assert [company for company, _ in members] == sorted(sample.companies)
    assert header.members_hash == header.next_members_hash
    assert header.members_hash == members_hash([(company, key, True) for company, key in members])
    assert sample.block_id == block_id(sample.header_bytes)


def test_lr9_the_state_holds_every_record(sample: Sample) -> None:
    state = sample.state
    keys = state.scan(b"", b"\xff", 1_000)
    assert {key[:2] for key in keys if key[:1] == b"r"} == {b"rc", b"rn", b"ru", b"rk", b"re", b"rv"}
    (epoch,) = [epoch_codec.decode(state.get(key) or b"") for key in keys if key[:2] == b"re"]
    assert [(member.company_id, member.consensus_key) for member in epoch.members] == list(
        epoch_members(sample.document)
    )
    assert (epoch.epoch, epoch.first_height, epoch.members_hash) == (0, 1, sample.header.members_hash)
    for proof in sample.document.proofs:  # every signing key, with its owner and an open range (S20)
        assert read_key(state, proof.public_key) == KeyRecord(proof.public_key, proof.kind, proof.owner, 0, 0)
    assert build({key: state.get(key) or b"" for key in keys})[0] == state.state_root
    meta = contract_meta_codec.decode(state.get(contract_key("sample")) or b"")
    source = sample.document.contracts[0].source
    assert (meta.name, meta.version, meta.code_id, meta.status) == ("sample", 1, code_id(source), "active")
    assert state.get(source_key("sample")) == encode(source)
    assert {key for key in keys if key[:1] == b"g"} == {b"gparams", b"gcurrencies", b"gnetwork"}


def test_the_file_travels(sample: Sample, production: Sample) -> None:
    for network in (sample, production):
        file = genesis_file_codec.decode(encode(network.file))
        assert check_genesis(file) == network.document


def test_the_same_parts_in_any_order_found_the_same_chain(sample: Sample) -> None:
    document = sample.document
    shuffled = replaced(
        document,
        companies=document.companies[::-1],
        nodes=document.nodes[::-1],
        users=document.users[::-1],
        proofs=document.proofs[::-1],
        currencies=document.currencies[::-1],
    )
    assert chain_id(shuffled) != chain_id(document)
    assert chain_id(arranged(shuffled)) == chain_id(document)


@pytest.mark.control("LR10")
def test_production_needs_the_root_signatures_of_every_company(sample: Sample, production: Sample) -> None:
    missing = GenesisFile(production.file.document, production.file.signatures[1:])
    company = production.file.signatures[0][0]
    error = refused(production.document, missing)
    assert (error.field, "1 of 2 root signatures" in error.reason) == (f"signatures.{company}", True)
    assert check_genesis(GenesisFile(sample.file.document, ())) == sample.document


@pytest.mark.control("LR10", "S7")
def test_a_wrong_founder_signature_is_refused_everywhere(sample: Sample) -> None:
    company, key, signature = sample.file.signatures[0]
    other = sample.companies[1] if company == sample.companies[0] else sample.companies[0]
    bent = signature[:-1] + bytes((signature[-1] ^ 1,))
    stranger = SigningKey(bytes(32))
    for entries, reason in [
        (((company, key, bent),), "does not verify"),
        (((other, key, signature),), "not a root key"),
        ((sample.file.signatures[0],) * 2, "signs twice"),
        ((sign_genesis(sample.document, company, stranger),), "not a root key"),
        ((("cnobody", key, signature),), "not a root key"),
    ]:
        error = refused(sample.document, GenesisFile(sample.file.document, entries))
        assert error.field.startswith("signatures.")
        assert reason in error.reason


def test_p4_production_needs_four_members(founders: Founders) -> None:
    document, network = founders(production=True, count=3)
    assert "production needs 4" in refused(document, network.file).reason
    document, network = founders(production=False, count=1)
    assert check_genesis(network.file) == document


BENT: list[tuple[str, str, Callable[[GenesisDocument], dict[str, Any]]]] = [
    ("version", "is not 1", lambda _: {"version": 2}),
    ("network", "printable", lambda _: {"network": ""}),
    ("network", "printable", lambda _: {"network": "a\nb"}),
    ("utc_offset_min", "no offset", lambda _: {"utc_offset_min": 900}),
    ("time_ms", "missing", lambda _: {"time_ms": 0}),
    ("parameters.t0_ms", "outside", lambda d: {"params": replaced(d.params, t0_ms=1)}),
    ("currencies", "at least one", lambda _: {"currencies": ()}),
    ("currencies", "not a currency code", lambda _: {"currencies": (("eur", 2),)}),
    ("currencies.EUR", "decimals", lambda _: {"currencies": (("EUR", 9),)}),
    ("currencies", "ascending", lambda _: {"currencies": (("EUR", 2), ("CNY", 2))}),
    ("companies", "ascending", lambda d: {"companies": d.companies[::-1]}),
    (".status", "active", lambda d: {"companies": first(d.companies, status="pending")}),
    (".roles", "not a company role", lambda d: {"companies": first(d.companies, roles=("king",))}),
    (".roles", "repeated", lambda d: {"companies": first(d.companies, roles=("trader", "trader"))}),
    (".roles", "needs a role", lambda d: {"companies": first(d.companies, roles=())}),
    (".legal_commitment", "32", lambda d: {"companies": first(d.companies, legal_commitment=b"")}),
    (".joined_height", "height 0", lambda d: {"companies": first(d.companies, joined_height=5)}),
    (".version", "version 1", lambda d: {"companies": first(d.companies, version=2)}),
    (".root", "no policy", lambda d: {"companies": first(d.companies, root=replaced(d.companies[0].root, m=4))}),
    (".company_id", "not that", lambda d: {"companies": first(d.companies, root=replaced(d.companies[0].root, m=1))}),
    ("nodes", "ascending", lambda d: {"nodes": d.nodes[::-1]}),
    (".company_id", "not in the document", lambda d: {"nodes": first(d.nodes, company_id="c-none")}),
    (".kind", "kind of node", lambda d: {"nodes": first(d.nodes, kind="king")}),
    (".status", "active", lambda d: {"nodes": first(d.nodes, status="left")}),
    (".tls", "TLS pins", lambda d: {"nodes": first(d.nodes, tls=())}),
    (".consensus", "one consensus key", lambda d: {"nodes": first(d.nodes, consensus=())}),
    (".consensus", "epoch 0", lambda d: {
        "nodes": first(d.nodes, consensus=(replaced(d.nodes[0].consensus[0], from_epoch=1),))}),
    (".node_id", "not that", lambda d: {"nodes": first(d.nodes, consensus=d.nodes[1].consensus)}),
    ("nodes", "one vote", lambda d: {"nodes": first(d.nodes, company_id=d.nodes[1].company_id)}),
    (".endpoint_commitment", "32", lambda d: {"nodes": first(d.nodes, endpoint_commitment=b"x")}),
    ("users", "ascending", lambda d: {"users": d.users[::-1]}),
    (".roles", "a user needs", lambda d: {"users": first(d.users, roles=())}),
    (".roles", "not a people role", lambda d: {"users": first(d.users, roles=("king",))}),
    (".roles", "excludes", lambda d: {"users": first(d.users, roles=("node_operator", "preparer"))}),
    (".roles", "needs a company", lambda d: {"users": first(d.users, roles=("regulator_officer",))}),
    (".user_id", "not that", lambda d: {"users": first(d.users, public_key=d.users[1].public_key)}),
    (".company_id", "not in the document", lambda d: {"users": first(d.users, company_id="c-none")}),
    (".status", "active", lambda d: {"users": first(d.users, status="left")}),
    ("proofs", "no proof of possession", lambda d: {"proofs": d.proofs[1:]}),
    ("proofs", "repeated", lambda d: {"proofs": (*d.proofs, d.proofs[-1])}),
    ("proofs", "unsorted", lambda d: {"proofs": d.proofs[::-1]}),
    ("proofs.", "does not verify", lambda d: {"proofs": first(d.proofs, signature=bytes(64))}),
    ("contracts", "not a contract name", lambda _: {"contracts": (ContractSource("Upper", b"x"),)}),
    ("contracts.registry", "reserved", lambda _: {"contracts": (ContractSource("registry", b"x"),)}),
    ("contracts.sample", "empty", lambda _: {"contracts": (ContractSource("sample", b""),)}),
    ("contracts", "repeated", lambda d: {"contracts": d.contracts * 2}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "reason", "change"), BENT, ids=[f"{row[0]}: {row[1]}" for row in BENT])
def test_every_refusal_names_the_field(
    sample: Sample, field: str, reason: str, change: Callable[[GenesisDocument], dict[str, Any]]
) -> None:
    error = refused(replaced(sample.document, **change(sample.document)))
    assert field in error.field
    assert reason in error.reason


@pytest.mark.control("S16")
def test_s16_no_key_serves_two_uses(sample: Sample) -> None:
    document = sample.document
    company = document.companies[0]
    shared = sample.roots[company.company_id][0]
    user = next(user for user in document.users if user.company_id == company.company_id)
    named = user_id(company.company_id, shared.public_key)
    users = [replaced(user, user_id=named, public_key=shared.public_key)]
    users += [other for other in document.users if other is not user]
    proofs = [proof for proof in document.proofs if proof.owner != user.user_id]
    bent = arranged(replaced(document, users=tuple(users), proofs=(*proofs, prove_key("user", named, shared))))
    assert "serves root" in refused(bent).reason


@pytest.mark.control("S7")
def test_s7_a_small_order_key_founds_nothing(sample: Sample) -> None:
    document = sample.document
    weak = sorted(SMALL_ORDER)[3]
    node = document.nodes[0]
    bad = replaced(node, node_id=node_id(weak), consensus=(replaced(node.consensus[0], public_key=weak),))
    bent = arranged(replaced(document, nodes=(bad, *document.nodes[1:])))
    assert "prime-order" in refused(bent).reason


def test_a_document_that_is_not_canonical_is_refused(sample: Sample) -> None:
    assert refused(sample.document, GenesisFile(sample.file.document + b"\x00", ())).field == "document"


def test_the_state_is_that_of_the_compiled_contracts(sample: Sample) -> None:
    source = sample.document.contracts[0].source
    for meta in ([], [("other", 1, code_id(source), bytes(32))], [("sample", 1, bytes(32), bytes(32))]):
        with pytest.raises(InvalidGenesis, match="compiled"):
            genesis_state(sample.document, meta)
    changed = genesis_state(sample.document, [("sample", 1, code_id(source), bytes([1]) * 32)])
    assert changed.state_root != sample.state.state_root, "the meaning of a program is part of the root"
    assert genesis_block(sample.document, changed)[2] != sample.block_id
