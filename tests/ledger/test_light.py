"""A verifier with nothing but a genesis file: member sets, certified headers, blocks (P85, I24)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from ledger.block import BlockRef, block_id
from ledger.certificate import CommitCertificate, Vote, bitmap, quorum
from ledger.codec import encode
from ledger.crypto.hashing import Tag, signing_digest
from ledger.light import MemberSet, follow, genesis_members, header_of
from ledger.proof import BlockProof, block_codec, verify_block
from ledger.registry.records import members_hash

if TYPE_CHECKING:
    from tests.ledger.conftest import Sample

replace = msgspec.structs.replace


def block_of(sample: Sample, **changes: object) -> tuple[bytes, CommitCertificate, tuple[bytes, ...]]:
    """Block 1 with two transactions, certified by q members; `changes` to its header are certified as well."""
    transactions = [sample.transaction(nonce=n) for n in (1, 2)]
    header, raw = sample.block_on(
        sample.state, BlockRef(0, sample.block_id, 0, 0, 0), transactions, sample.state.exec_root
    )
    if changes:
        raw = encode(replace(header, **changes))
    return raw, sample.certify(1, block_id(raw)), tuple(tx.tx_id for tx in transactions)


def test_the_members_of_the_genesis_file_are_those_that_headers_name(sample: Sample) -> None:
    trusted = genesis_members(sample.document)
    raw, certificate, _ = block_of(sample)
    assert trusted.hash == sample.header.members_hash and trusted.keys == sample.member_keys
    header = header_of(raw, certificate, trusted, sample.chain)
    assert not isinstance(header, str) and header.height == 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"members_hash": bytes(32)}, "other members"),
        ({"epoch": 1}, "another block"),
        ({"chain_id": bytes(32)}, "another chain"),
        ({"version": 9}, "version"),
    ],
)
def test_a_certified_header_of_another_set_is_not_believed(
    sample: Sample, changes: dict[str, object], problem: str
) -> None:
    raw, certificate, _ = block_of(sample, **changes)
    found = header_of(raw, certificate, genesis_members(sample.document), sample.chain)
    assert isinstance(found, str) and problem in found


def test_every_signature_is_checked_and_fewer_than_q_prove_nothing(sample: Sample) -> None:
    """B23: a certificate with one bad signature is bad, even if the others would be enough elsewhere."""
    raw, certificate, _ = block_of(sample)
    trusted = genesis_members(sample.document)
    for index in range(len(certificate.signatures)):
        signatures = tuple(bytes(64) if i == index else s for i, s in enumerate(certificate.signatures))
        assert isinstance(header_of(raw, replace(certificate, signatures=signatures), trusted, sample.chain), str)
    fewer = replace(certificate, signers=b"\x03", signatures=certificate.signatures[:2])
    assert isinstance(header_of(raw, fewer, trusted, sample.chain), str)


def test_a_block_is_proven_with_all_its_transactions(sample: Sample) -> None:
    raw, certificate, ids = block_of(sample)
    proof = BlockProof(raw, certificate, ids)
    assert block_codec.decode(encode(proof)) == proof
    keys = sample.member_keys
    assert verify_block(proof, keys, sample.chain) == ""
    for lie in (ids[::-1], ids[:1], (*ids, ids[0]), (ids[0], ids[1][:31])):
        assert verify_block(replace(proof, tx_ids=lie), keys, sample.chain)
    assert verify_block(replace(proof, certificate=sample.certify(1, bytes(32))), keys, sample.chain)
    assert verify_block(proof, keys, bytes(32))


def test_the_last_header_of_an_epoch_vouches_for_the_next_members(sample: Sample) -> None:
    trusted = genesis_members(sample.document)
    seats = (*trusted.seats[:3], ("z" + trusted.seats[3][0][1:], trusted.seats[3][1], False))
    after = members_hash(list(seats))
    raw, certificate, _ = block_of(sample, next_members_hash=after)
    following = follow(raw, certificate, seats, trusted, sample.chain)
    assert isinstance(following, MemberSet) and (following.epoch, following.hash) == (1, after)
    assert (
        follow(raw, certificate, trusted.seats, trusted, sample.chain)
        == "the certified header names other next members"
    )
    raw, certificate, _ = block_of(sample)
    assert follow(raw, certificate, seats, trusted, sample.chain) == "block 1 does not end an epoch"


def test_headers_of_the_next_epoch_need_its_members(sample: Sample) -> None:
    trusted = genesis_members(sample.document)
    header = replace(sample.header, height=5, epoch=1)
    raw = encode(header)
    vote = Vote(1, 0, 5, block_id(raw))
    digest = signing_digest(Tag.SIG_COMMIT, sample.chain, encode(vote))
    chosen = range(quorum(len(trusted.seats)))
    signatures = tuple(sample.consensus[trusted.seats[i][0]].sign(digest) for i in chosen)
    certificate = CommitCertificate(vote, bitmap(tuple(chosen), len(trusted.seats)), signatures)
    found = header_of(raw, certificate, trusted, sample.chain)
    assert isinstance(found, str) and "epoch 1" in found
    assert not isinstance(header_of(raw, certificate, MemberSet(1, trusted.seats), sample.chain), str)
