"""Field trees and envelopes: the known answers of the security design, and every way a bent one is refused."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.codec import encode
from ledger.crypto.aead import (
    BUCKET_MAX_BYTES,
    Body,
    EnvelopeContext,
    SealedEnvelope,
    blob_hash,
    bucket_bytes,
    envelope_key,
    gcm_open,
    gcm_seal,
    key_commitment,
    open_envelope,
    pack,
    seal_envelope,
    seal_padded,
)
from ledger.crypto.fieldtree import FIELDS_MAX, build, disclosure_codec, leaf, verify_disclosure
from ledger.crypto.kdf import field_salt
from ledger.errors import EnvelopeRefused, InvalidFields, LedgerError

SEED, DEK = bytes([0x22]) * 32, bytes([0x33]) * 32
FIELDS = {"buyer": b"A", "total": b"2842.00"}
TREE = build(FIELDS, SEED)
CONTEXT = EnvelopeContext(suite=1, chain_id=bytes([0x11]) * 32, doc=bytes([0x44]) * 16, version=1, root=TREE.root)


@pytest.mark.control("S79", "S80")
def test_known_field_tree() -> None:
    salt = field_salt(SEED, "total")
    assert salt.hex() == "7a7a92b014a20995f59e8b5f2e6d6386"
    assert leaf(salt, "total", b"2842.00").hex() == "e34d3e500f77684ebc79345b5149574fa0018f01feb032936a92d589ddde392a"
    assert TREE.root.hex() == "a33e61f163afccf839c85983a4f2e4ad63ce1f955c21de5b690d345bae480037"
    assert TREE.count == 16


@pytest.mark.control("S82", "S83", "S84")
def test_known_envelope() -> None:
    assert key_commitment(DEK, CONTEXT).hex() == "31eac85fad75cb1559f16a511b3d513f3a4cc625a28b2d3f57d727b12ae4e09c"
    assert envelope_key(DEK, CONTEXT).hex() == "9bb1fff9f7deeb71e5a6ea4decb731d4db1b7b3f4348b38e6b3c6e738f704249"
    sealed = seal_padded(bytes(512), DEK, CONTEXT)
    assert sha256(sealed.ciphertext).hexdigest() == "fdd2b085a279de9699be80b5db54c7e47f377edf6ef9945d47edd41855622fed"


paths = st.from_regex(r"\A[a-z0-9]{1,4}(/[a-z0-9]{1,4}){0,3}\Z")


@pytest.mark.control("S81")
@given(st.dictionaries(paths, st.binary(max_size=40), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_s81_each_field_can_be_shown_alone(fields: dict[str, bytes]) -> None:
    tree = build(fields, SEED)
    assert tree.count % 16 == 0
    assert build(dict(reversed(list(fields.items()))), SEED).root == tree.root
    for path, value in fields.items():
        shown = tree.disclose(path)
        assert (shown.path, shown.value) == (path, value)
        assert verify_disclosure(tree.root, tree.count, shown)
        assert not verify_disclosure(tree.root, tree.count + 16, shown)


@pytest.mark.control("S81")
def test_s81_every_mutated_byte_of_a_disclosure_fails() -> None:
    tree = build({f"lines/{i:02}/net": b"%d" % i for i in range(40)}, SEED)
    shown = tree.disclose("lines/07/net")
    data = encode(shown)
    for position in range(len(data)):
        bent = data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]
        try:
            assert not verify_disclosure(tree.root, tree.count, disclosure_codec.decode(bent)), position
        except LedgerError:
            continue


def test_s81_siblings_stand_exactly_where_the_shape_needs_them() -> None:
    shown = TREE.disclose("total")
    for siblings in (shown.siblings[:-1], (*shown.siblings, bytes(32)), (b"", *shown.siblings[1:])):
        assert not verify_disclosure(TREE.root, 16, msgspec.structs.replace(shown, siblings=siblings))
    for index in (-1, 16, shown.index ^ 1):
        assert not verify_disclosure(TREE.root, 16, msgspec.structs.replace(shown, index=index))
    assert not verify_disclosure(TREE.root, 15, shown)
    assert not verify_disclosure(TREE.root, 16, msgspec.structs.replace(shown, path="Total"))


@pytest.mark.control("S78")
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"": b""},
        {"Total": b""},
        {"a//b": b""},
        {"/a": b""},
        {"a/": b""},
        {"tötal": b""},
        {"a\n": b""},
        {"a" * 129: b""},
        {"/".join("abcdefghi"): b""},
        {"a": bytes(64 * 1024 + 1)},
        {f"f{i}": b"" for i in range(FIELDS_MAX + 1)},
    ],
)
def test_s78_bounds_of_a_document(fields: dict[str, bytes]) -> None:
    with pytest.raises(InvalidFields):
        build(fields, SEED)


def test_s79_the_seed_is_32_bytes_and_decides_the_root() -> None:
    with pytest.raises(InvalidFields, match="seed"):
        build(FIELDS, b"short")
    assert build(FIELDS, bytes(32)).root != TREE.root
    with pytest.raises(InvalidFields, match="no such field"):
        TREE.disclose("absent")


def sealed() -> SealedEnvelope:
    return seal_envelope(FIELDS, SEED, DEK, CONTEXT)


def opening(envelope: SealedEnvelope, context: EnvelopeContext = CONTEXT, dek: bytes = DEK) -> str:
    """Return the failed step of opening, "" if it opens."""
    try:
        fields, seed = open_envelope(envelope.ciphertext, dek, context, blob=envelope.blob, kc=envelope.kc)
    except EnvelopeRefused as error:
        assert str(error) == str(EnvelopeRefused("any")), "the caller cannot tell the failures apart"
        return error.step
    assert (fields, seed) == (FIELDS, SEED)
    return ""


def forged(plaintext: bytes, context: EnvelopeContext = CONTEXT) -> SealedEnvelope:
    """Return what an owner who breaks the rules would seal."""
    return seal_padded(plaintext, DEK, context)


def framed(body: bytes) -> bytes:
    whole = len(body).to_bytes(4, "big") + body
    return whole.ljust(bucket_bytes(len(whole)), b"\x00")


@pytest.mark.control("S86")
def test_s86_an_envelope_opens_under_its_own_context_only() -> None:
    assert opening(sealed()) == ""
    for other in (
        replace(CONTEXT, version=2),
        replace(CONTEXT, chain_id=bytes(32)),
        replace(CONTEXT, doc=bytes(16)),
        replace(CONTEXT, root=bytes(32)),
        replace(CONTEXT, suite=2),
    ):
        assert opening(sealed(), other) == "key_commitment"
    assert opening(sealed(), replace(CONTEXT, suite=16)) == "suite"
    assert opening(sealed(), dek=bytes(32)) == "key_commitment"
    assert opening(sealed(), dek=b"short") == "suite"


@pytest.mark.control("S86")
def test_s86_each_check_in_its_order() -> None:
    good = sealed()
    flipped = good.ciphertext[:-1] + bytes((good.ciphertext[-1] ^ 1,))
    assert opening(replace(good, ciphertext=flipped)) == "blob"
    assert opening(replace(good, ciphertext=flipped, blob=blob_hash(flipped))) == "aead"
    assert opening(replace(good, ciphertext=b"x")) == "size"
    assert opening(replace(good, kc=bytes(32))) == "key_commitment"
    body = encode(Body(tuple(FIELDS.items()), SEED))
    assert opening(forged(framed(body))) == ""
    padded = framed(body)
    assert opening(forged(padded[:-1] + b"\x01")) == "padding"
    assert opening(forged(padded + bytes(512))) == "padding"
    assert opening(forged(b"\xff" * 512)) == "padding"
    assert opening(forged(framed(body + b"\x00"))) == "canonical_form"
    twice = encode(Body((("buyer", b"A"), ("buyer", b"B")), SEED))
    assert opening(forged(framed(twice))) == "paths"
    unsorted = encode(Body((("total", b"2842.00"), ("buyer", b"A")), SEED))
    assert opening(forged(framed(unsorted))) == "paths"
    assert opening(forged(framed(encode(Body((("Bad Path", b""),), SEED))))) == "fields"
    lie = encode(Body((("buyer", b"A"), ("total", b"9842.00")), SEED))
    assert opening(forged(framed(lie))) == "root"


@pytest.mark.control("S84")
def test_s84_one_commitment_names_one_key() -> None:
    assert key_commitment(DEK, CONTEXT) != key_commitment(bytes(32), CONTEXT)
    assert key_commitment(DEK, CONTEXT) != key_commitment(DEK, replace(CONTEXT, version=2))


@pytest.mark.control("S85")
def test_s85_sizes_are_powers_of_two() -> None:
    assert {len(pack({"a": bytes(size)}, SEED)) for size in (1, 100, 400)} == {512}
    assert len(pack({"a": bytes(500)}, SEED)) == 1024
    assert bucket_bytes(BUCKET_MAX_BYTES) == BUCKET_MAX_BYTES
    with pytest.raises(InvalidFields, match="at most"):
        bucket_bytes(BUCKET_MAX_BYTES + 1)


def test_sealing_checks_its_arguments() -> None:
    for context in (replace(CONTEXT, suite=9), replace(CONTEXT, root=bytes(32)), replace(CONTEXT, doc=b"")):
        with pytest.raises(InvalidFields):
            seal_envelope(FIELDS, SEED, DEK, context)
    with pytest.raises(InvalidFields):
        seal_envelope(FIELDS, SEED, b"short", CONTEXT)


def test_gcm_answers_none_instead_of_raising() -> None:
    key, nonce = bytes(32), bytes(12)
    ciphertext = gcm_seal(key, nonce, b"text", b"aad")
    assert gcm_open(key, nonce, ciphertext, b"aad") == b"text"
    assert gcm_open(key, nonce, ciphertext, b"other") is None
    assert gcm_open(key, nonce, b"", b"aad") is None
    assert gcm_open(key, b"", ciphertext, b"aad") is None


def test_s87_the_blob_hash_covers_every_chunk() -> None:
    data = bytes(200_000)
    assert blob_hash(data) != blob_hash(data[:-1] + b"\x01")
    assert blob_hash(data) != blob_hash(b"\x01" + data[1:])
    assert blob_hash(data) != blob_hash(data + b"\x00")
