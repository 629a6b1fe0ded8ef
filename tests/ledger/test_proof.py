"""Offline proofs: what happened, up to a header that q members signed; any changed byte fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pytest

from ledger.block import BlockRef, block_id
from ledger.codec import Wire, encode
from ledger.crypto.ed25519 import SigningKey
from ledger.errors import LedgerError
from ledger.ids import ZERO_HASH
from ledger.proof import (
    InclusionProof,
    ResultProof,
    inclusion_codec,
    inclusion_proof,
    proven_receipt,
    proven_value,
    receipt_claim,
    result_codec,
    state_claim,
    verify_inclusion,
    verify_result,
)

if TYPE_CHECKING:
    from tests.ledger.conftest import Sample


@dataclass(frozen=True)
class Proofs:
    value: ResultProof
    absence: ResultProof
    receipt: ResultProof
    transaction: InclusionProof


@pytest.fixture(scope="module")
def proofs(sample: Sample) -> Proofs:
    """Block 1 writes, blocks 2 and 3 follow, block 4 names the results of height 3 and is certified."""
    transactions = [sample.transaction((("put", b"trow%d" % i, b"value"),), nonce=i + 1) for i in range(5)]
    first, result = sample.run(sample.state, *transactions)
    second, later = sample.run(first, sample.transaction((("put", b"tlater", b"1"),), nonce=6))
    third, last = sample.run(second)
    parent = BlockRef(3, ZERO_HASH, 0, 2, 2)
    header, raw = sample.block_on(third, parent, transactions, third.exec_root)
    assert (header.height, header.exec_height) == (4, 3)
    certificate = sample.certify(4, block_id(raw))

    def proof(**claim: object) -> ResultProof:
        return ResultProof(
            height=1,
            state=claim.get("state", ()),  # type: ignore[arg-type]
            receipt=claim.get("receipt", ()),  # type: ignore[arg-type]
            previous_exec_root=sample.state.exec_root,
            state_root=result.state_root,
            receipts_root=result.receipts_root,
            links=tuple((step.state_root, step.receipts_root) for step in (later, last)),
            header=raw,
            certificate=certificate,
        )

    return Proofs(
        value=proof(state=(state_claim(first, b"trow3"),)),
        absence=proof(state=(state_claim(first, b"tlater"),)),
        receipt=proof(receipt=(receipt_claim(result.receipts, 2),)),
        transaction=inclusion_proof([tx.tx_id for tx in transactions], 4, raw, certificate),
    )


def test_a_result_is_proven_by_the_consensus_keys_alone(sample: Sample, proofs: Proofs) -> None:
    for proof in (proofs.value, proofs.absence, proofs.receipt):
        assert verify_result(proof, sample.member_keys, sample.chain) == ""
        assert result_codec.decode(encode(proof)) == proof
    assert proven_value(proofs.value) == b"value"
    assert proven_value(proofs.absence) is None
    assert proven_receipt(proofs.receipt).status == 0
    assert verify_inclusion(proofs.transaction, sample.member_keys, sample.chain) == ""


@pytest.mark.control("T20")
@pytest.mark.parametrize("kind", ["value", "absence", "receipt", "transaction"])
def test_every_mutated_byte_fails(sample: Sample, proofs: Proofs, kind: str) -> None:
    proof = getattr(proofs, kind)
    data = encode(proof)
    asked = {"value": b"trow3", "absence": b"tlater"}.get(kind, b"")
    for position, bit in ((position, 1 << position % 8) for position in range(len(data))):
        bent = data[:position] + bytes((data[position] ^ bit,)) + data[position + 1 :]
        try:
            if isinstance(proof, InclusionProof):
                problem = verify_inclusion(inclusion_codec.decode(bent), sample.member_keys, sample.chain)
            else:
                problem = verify_result(result_codec.decode(bent), sample.member_keys, sample.chain, about=asked)
        except LedgerError as error:
            problem = str(error)
        assert problem, f"bit {bit} of byte {position} of {len(data)} does not matter"


def test_a_proof_answers_the_question_that_was_asked(sample: Sample, proofs: Proofs) -> None:
    tx_id = proven_receipt(proofs.receipt).tx_id
    for proof, about in ((proofs.value, b"trow3"), (proofs.absence, b"tlater"), (proofs.receipt, tx_id)):
        assert verify_result(proof, sample.member_keys, sample.chain, about=about) == ""
        assert "something else" in verify_result(proof, sample.member_keys, sample.chain, about=b"other")


def changed(proof: Wire, **changes: object) -> ResultProof:
    return msgspec.structs.replace(proof, **changes)  # type: ignore[return-value]


def test_each_refusal_names_the_check(sample: Sample, proofs: Proofs) -> None:
    value, receipt = proofs.value, proofs.receipt
    claim = receipt.receipt[0]
    strangers = [SigningKey(bytes([i + 90]) * 32).public_key for i in range(4)]
    cases = [
        (changed(value, state=()), "exactly one claim"),
        (changed(value, receipt=receipt.receipt), "exactly one claim"),
        (changed(value, state_root=bytes(32)), "lead to the state root"),
        (changed(value, previous_exec_root=b""), "wrong length"),
        (changed(value, previous_exec_root=bytes(32)), "do not lead to the one in the header"),
        (changed(value, links=value.links[:1]), "the links lead to"),
        (changed(value, links=(*value.links[:1], (b"", b""))), "wrong length"),
        (changed(value, links=value.links * 5, height=0), "at most 8"),
        (changed(value, height=2), "the links lead to"),
        (changed(receipt, receipt=(msgspec.structs.replace(claim, index=1),)), "receipts root"),
        (changed(receipt, receipt=(msgspec.structs.replace(claim, count=2**40),)), "receipts root"),
        (changed(receipt, receipt=(msgspec.structs.replace(claim, siblings=(b"",)),)), "wrong length"),
        (changed(value, header=b"\x90"), "block header"),
    ]
    for proof, reason in cases:
        assert reason in verify_result(proof, sample.member_keys, sample.chain)
    assert "another chain" in verify_result(value, sample.member_keys, bytes(32))
    assert "does not verify" in verify_result(value, strangers, sample.chain)
    fewer = msgspec.structs.replace(value.certificate, signatures=value.certificate.signatures[:2])
    assert "exactly 3" in verify_result(changed(value, certificate=fewer), sample.member_keys, sample.chain)
    other = sample.certify(4, bytes(32))
    assert "another block" in verify_result(changed(value, certificate=other), sample.member_keys, sample.chain)


def test_a_result_of_height_0_is_provable_too(sample: Sample) -> None:
    parent = BlockRef(0, sample.block_id, 0, 0, 0)
    _, raw = sample.block_on(sample.state, parent, [], sample.state.exec_root)
    proof = ResultProof(
        height=0,
        state=(state_claim(sample.state, b"gparams"),),
        receipt=(),
        previous_exec_root=ZERO_HASH,
        state_root=sample.state.state_root,
        receipts_root=sample.header.tx_root,
        links=(),
        header=raw,
        certificate=sample.certify(1, block_id(raw)),
    )
    assert verify_result(proof, sample.member_keys, sample.chain) == ""
    assert proven_value(proof) == encode(sample.document.params)
