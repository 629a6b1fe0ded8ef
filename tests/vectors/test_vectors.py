"""The vector files agree with the code, and what they call accepted or refused is so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger.block import header_codec, list_root, list_root_from_proof
from ledger.certificate import certificate_codec, quorum, verify_commit_certificate
from ledger.crypto.aead import EnvelopeContext, open_envelope
from ledger.crypto.ed25519 import SigningKey, verify_strict
from ledger.crypto.fieldtree import disclosure_codec, verify_disclosure
from ledger.crypto.hashing import H, Tag, lp
from ledger.errors import LedgerError
from ledger.governance.follow import TrustedMembers, epoch_end_codec, follow
from ledger.governance.keys import (
    endorse_digest,
    join_digest,
    leave_digest,
    possession_digest,
    ready_digest,
    replace_digest,
    rotate_digest,
)
from ledger.governance.records import PAYLOADS, plan_codec, proposal_codec, request_codec
from ledger.merkle import build, proof_codec, verify_proof
from ledger.proof import inclusion_codec, result_codec, verify_inclusion, verify_result
from ledger.receipt import receipt_codec
from ledger.registry.epochs import epoch_codec, epoch_key
from ledger.registry.records import company_id, key_codec, node_id
from ledger.transaction import decode_transaction

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))
    return loaded


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def test_the_files_are_what_the_code_makes() -> None:
    script = ROOT / "scripts" / "gen_vectors.py"
    run = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "gen_vectors.py"
    for source in FOLDER.glob("*.json"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    changed = tmp_path / "lists.json"
    changed.write_text(changed.read_text(encoding="ascii").replace("a", "b", 1), encoding="ascii")
    command = [sys.executable, str(script), "--check", "--folder", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "lists.json differs" in run.stdout


def test_s1_s2_hashing() -> None:
    vectors = read("hashing")
    for row in vectors["lp"]:
        assert lp(*map(raw, row["parts"])).hex() == row["bytes"]
    for row in vectors["hash"]:
        assert H(Tag(row["tag"]), *map(raw, row["parts"])).hex() == row["digest"]


@pytest.mark.control("S6")
def test_s6_signatures() -> None:
    vectors = read("signatures")
    for row in vectors["accepted"]:
        key = SigningKey(raw(row["seed"]))
        assert key.public_key.hex() == row["public_key"]
        assert verify_strict(raw(row["public_key"]), raw(row["signature"]), raw(row["digest"]))
    assert len(vectors["refused"]) == 6 + 28
    for row in vectors["refused"]:
        assert not verify_strict(raw(row["public_key"]), raw(row["signature"]), raw(row["digest"])), row["reason"]


@pytest.mark.control("LR1", "T17")
def test_lr1_transactions() -> None:
    vectors = read("transactions")
    chain = raw(vectors["valid"][0]["chain_id"])
    for row in vectors["valid"]:
        tx = decode_transaction(raw(row["envelope"]), chain)
        assert (tx.tx_id.hex(), tx.envelope_hash.hex()) == (row["tx_id"], row["envelope_hash"])
        assert tx.digest.hex() == row["digest"]
        assert all(verify_strict(key, signature, tx.digest) for key, signature in tx.signatures)
    reasons = {}
    for row in vectors["refused"]:
        with pytest.raises(LedgerError) as caught:
            decode_transaction(raw(row["envelope"]), chain)
        reasons[row["reason"]] = str(caught.value)
    assert "canonical" in reasons["integer longer than needed"]
    assert "signs twice" in reasons["a user signs twice"]


def test_lr6_lists() -> None:
    vectors = read("lists")
    for row in vectors["roots"]:
        items = [raw(item) for item in row["items"]]
        assert list_root(items).hex() == row["root"]
        for proof in row["proofs"]:
            siblings = [raw(sibling) for sibling in proof["siblings"]]
            root = list_root_from_proof(items[proof["index"]], proof["index"], len(items), siblings)
            assert root == raw(row["root"])
    receipts = [raw(receipt) for receipt in vectors["receipts"]]
    assert list_root(receipts).hex() == vectors["receipts_root"]
    assert [receipt_codec.decode(receipt).status for receipt in receipts] == [0, 1, 0]


@pytest.mark.control("LR7", "T20")
def test_lr7_state_tree() -> None:
    vectors = read("state_tree")
    kinds = set()
    for tree in vectors["trees"]:
        assert build({raw(key): raw(value) for key, value in tree["rows"]})[0].hex() == tree["root"]
        for row in tree["proofs"]:
            proof = proof_codec.decode(raw(row["proof"]))
            value = None if row["value"] is None else raw(row["value"])
            assert verify_proof(raw(tree["root"]), raw(row["key"]), proof) == (True, value)
            kinds.add((len(proof.found), len(proof.other)))
    assert kinds == {(1, 0), (0, 1), (0, 0)}
    for row in vectors["refused"]:
        assert not verify_proof(raw(row["root"]), raw(row["key"]), proof_codec.decode(raw(row["proof"])))[0]


def test_blocks_certificates_and_results() -> None:
    vectors = read("blocks")
    keys, chain = [raw(key) for key in vectors["keys"]], raw(vectors["chain_id"])
    assert header_codec.decode(raw(vectors["header"])).height == 2
    assert H(Tag.BLOCK, raw(vectors["header"])).hex() == vectors["block_id"]
    good = certificate_codec.decode(raw(vectors["certificate"]))
    assert verify_commit_certificate(good, keys, chain) == ""
    for row in vectors["refused_certificates"]:
        assert verify_commit_certificate(certificate_codec.decode(raw(row["certificate"])), keys, chain)
    for row in vectors["quorum"]:
        assert (row["n"] - row["q"] >= row["f"], quorum(row["n"])) == (True, row["q"])
    proofs = vectors["result_proofs"]
    for name in ("value", "absence", "receipt"):
        assert verify_result(result_codec.decode(raw(proofs[name])), keys, chain) == ""
    assert verify_inclusion(inclusion_codec.decode(raw(proofs["transaction"])), keys, chain) == ""


def test_documents() -> None:
    vectors = read("documents")
    for tree in vectors["trees"]:
        for shown in tree["disclosures"]:
            assert verify_disclosure(raw(tree["root"]), tree["count"], disclosure_codec.decode(raw(shown)))
    envelope = vectors["envelope"]
    context = EnvelopeContext(
        suite=envelope["suite"],
        chain_id=raw(envelope["chain_id"]),
        doc=raw(envelope["doc"]),
        version=envelope["version"],
        root=raw(envelope["root"]),
    )
    blob, kc = raw(envelope["blob"]), raw(envelope["kc"])
    fields, seed = open_envelope(raw(envelope["ciphertext"]), raw(envelope["dek"]), context, blob=blob, kc=kc)
    assert [[path, value.hex()] for path, value in fields.items()] == vectors["trees"][0]["fields"]
    assert seed.hex() == vectors["trees"][0]["seed"]


@pytest.mark.control("S18", "S22")
def test_s22_governance_payloads_records_and_digests() -> None:
    vectors = read("governance")
    payloads = {row["kind"]: PAYLOADS[row["kind"]].decode(raw(row["payload"])) for row in vectors["payloads"]}
    assert list(payloads) == list(PAYLOADS)
    request = request_codec.decode(raw(vectors["join_request"]))
    company, node, key = company_id(request.root), node_id(request.consensus_key), request.consensus_key
    records = {raw(row["key"])[:2]: (raw(row["key"]), raw(row["value"])) for row in vectors["records"]}
    assert records[b"re"][0] == epoch_key(epoch_codec.decode(records[b"re"][1]).epoch)
    assert key_codec.decode(records[b"rk"][1]).public_key == records[b"rk"][0][2:] == key
    proposal = proposal_codec.decode(records[b"rp"][1])
    assert records[b"rp"][0] == b"rp" + proposal.proposal_id
    assert PAYLOADS[proposal.kind].decode(proposal.payload) == payloads["rotation"]
    assert plan_codec.decode(raw(vectors["contract_plan"])).delay_heights == 5
    chain = raw(vectors["signed"][0]["chain_id"])
    digests = [
        possession_digest(chain, "consensus", node, key),
        ready_digest(chain, node, 14, proposal.proposal_id),
        join_digest(chain, raw(vectors["join_request"])),
        leave_digest(chain, company),
        rotate_digest(chain, node, key),
        endorse_digest(chain, proposal.proposal_id, company),
        replace_digest(chain, company, raw(vectors["join_request"])),
    ]
    assert [row["digest"] for row in vectors["signed"]] == [digest.hex() for digest in digests]


@pytest.mark.control("P85")
def test_p85_epoch_ends() -> None:
    vectors = read("governance")["follow"]
    members = tuple((name, raw(key), rotates) for name, key, rotates in vectors["members"])
    trusted = TrustedMembers(chain_id=raw(vectors["chain_id"]), epoch=0, first_height=1, members=members)
    found = follow(trusted, [epoch_end_codec.decode(raw(vectors["end"]))])
    assert isinstance(found, TrustedMembers)
    assert (found.epoch, found.first_height, found.keys) == (1, 15, trusted.keys)
    assert [rotates for _, _, rotates in found.members] == [True, True, True, False]
    for row in vectors["refused"]:
        assert isinstance(follow(trusted, [epoch_end_codec.decode(raw(row["end"]))]), str), row["reason"]
