"""Codec, transactions, lists and certificates: what every other part builds on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.block import EMPTY_LIST_ROOT, header_codec, list_proof, list_root, list_root_from_proof
from ledger.certificate import (
    CommitCertificate,
    Vote,
    bitmap,
    bitmap_indexes,
    certificate_codec,
    faults,
    quorum,
    verify_commit_certificate,
)
from ledger.codec import Codec, Wire, encode
from ledger.crypto.ed25519 import SigningKey, verify_strict
from ledger.crypto.hashing import Tag, signing_digest
from ledger.errors import InvalidTransaction, Malformed, TooLarge
from ledger.transaction import SignerRef, TxBody, body_codec, decode_transaction, envelope_codec, sign_transaction

CHAIN = bytes([7]) * 32
KEYS = [SigningKey(bytes([i + 1]) * 32) for i in range(10)]
BODY = TxBody(
    1,
    (SignerRef("u-maker", "maker", "c-a"), SignerRef("u-checker", "checker", "c-a")),
    1,
    100,
    "invoices",
    "receive",
    ("inv-1",),
    50_000,
)


@pytest.mark.control("S5", "T17")
def test_s5_only_the_canonical_form_is_accepted() -> None:
    ints: Codec[tuple[int, ...]] = Codec(tuple[int, ...], "numbers", 64)
    assert ints.decode(b"\x91\x05") == (5,)
    with pytest.raises(Malformed, match="canonical"):
        ints.decode(b"\x91\xcc\x05")
    with pytest.raises(Malformed):
        ints.decode(b"\x91\x05\x00")
    with pytest.raises(TooLarge):
        ints.decode(bytes(65))


@pytest.mark.control("S5", "T22")
def test_s5_deep_nesting_is_refused_before_decoding() -> None:
    anything: Codec[object] = Codec(object, "anything", 2_000_000)
    assert anything.decode(b"\x91" * 31 + b"\x90") is not None
    for depth in (33, 1_000_000):
        with pytest.raises(Malformed, match="nesting"):
            anything.decode(b"\x91" * depth + b"\x90")
    wide = msgspec.msgpack.encode([[i] for i in range(100)])
    assert anything.decode(wide) == [[i] for i in range(100)]


class Nest(Wire, frozen=True):
    """A record that holds more of itself."""

    inside: tuple[Nest, ...]


@pytest.mark.control("S5", "T22")
def test_s5_only_types_with_a_free_part_are_scanned_and_the_others_refuse_depth_as_well() -> None:
    assert not any(codec._free for codec in (header_codec, certificate_codec, envelope_codec))
    assert body_codec._free
    for kind in (object, list[object], int | tuple[Any, ...], dict[str, int], Nest):
        codec: Codec[Any] = Codec(kind, "free", 2_000_000)
        assert codec._free
        with pytest.raises(Malformed, match="nesting"):
            codec.decode(b"\x91" * 33 + b"\x90")
    for depth in (33, 2_000):
        with pytest.raises(Malformed):
            certificate_codec.decode(b"\x91" * depth + b"\x90")


def test_lr1_transaction_round_trip_and_signature() -> None:
    envelope = sign_transaction(BODY, KEYS[:2], CHAIN)
    tx = decode_transaction(envelope, CHAIN)
    assert tx.body == BODY
    assert all(verify_strict(key, signature, tx.digest) for key, signature in tx.signatures)
    assert decode_transaction(envelope, bytes(32)).tx_id != tx.tx_id


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"version": 2}, "version"),
        ({"nonce": 0}, "nonce"),
        ({"gas_limit": 0}, "gas_limit"),
        ({"signers": ()}, "signers"),
        ({"signers": (SignerRef("u", "maker", "c"), SignerRef("u", "checker", "c"))}, "signers"),
        ({"signers": (SignerRef("u", "boss", "c"), SignerRef("v", "checker", "c"))}, "capacity"),
        ({"contract": ""}, "contract"),
    ],
)
def test_lr2_bad_form_is_named(changed: dict[str, object], code: str) -> None:
    body = msgspec.structs.replace(BODY, **changed)
    envelope = sign_transaction(body, KEYS[: len(body.signers)], CHAIN)
    with pytest.raises(InvalidTransaction) as caught:
        decode_transaction(envelope, CHAIN)
    assert caught.value.code == code


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=40), st.data())
def test_lr6_every_item_is_provable_and_nothing_else(items: list[bytes], data: st.DataObject) -> None:
    root = list_root(items)
    assert (root == EMPTY_LIST_ROOT) == (not items)
    for index, item in enumerate(items):
        siblings = list_proof(items, index)
        assert list_root_from_proof(item, index, len(items), siblings) == root
        assert list_root_from_proof(bytes(32), index, len(items), siblings) != root or item == bytes(32)
        assert list_root_from_proof(item, index, len(items), (*siblings, bytes(32))) is None


@pytest.mark.parametrize("n", range(1, 65))
def test_p2_quorums_intersect_in_a_correct_member(n: int) -> None:
    f, q = faults(n), quorum(n)
    assert q <= n
    if n >= 4:
        assert 2 * q - n >= f + 1
        assert q <= n - f


@pytest.mark.control("S20", "T07")
@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_p14_certificates_need_exactly_q_distinct_valid_signers(n: int) -> None:
    vote = Vote(0, 3, 9, bytes([9]) * 32)
    digest = signing_digest(Tag.SIG_COMMIT, CHAIN, encode(vote))
    keys = [key.public_key for key in KEYS[:n]]
    q = quorum(n)
    good = CommitCertificate(vote, bitmap(range(q), n), tuple(KEYS[i].sign(digest) for i in range(q)))
    assert verify_commit_certificate(good, keys, CHAIN) == ""
    few = CommitCertificate(vote, bitmap(range(q - 1), n), good.signatures[:-1])
    padded = CommitCertificate(vote, (1 << 7 | 1).to_bytes(1, "little"), good.signatures)
    swapped = CommitCertificate(vote, good.signers, (good.signatures[1], good.signatures[0], *good.signatures[2:]))
    relabelled = CommitCertificate(msgspec.structs.replace(vote, view=4), good.signers, good.signatures)
    for bad in (few, padded, swapped, relabelled):
        assert verify_commit_certificate(bad, keys, CHAIN) != ""
    assert verify_commit_certificate(good, keys, bytes(32)) != ""


def test_p14_bitmap_refuses_padding_bits_and_wrong_length() -> None:
    assert bitmap_indexes(bitmap([0, 3], 4), 4) == (0, 3)
    assert bitmap_indexes(b"\x10", 4) is None
    assert bitmap_indexes(b"\x01\x00", 4) is None
