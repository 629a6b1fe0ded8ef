"""The bytes that froze first: known answers of the security design, and the strict verification rules."""

from __future__ import annotations

import pytest

from ledger.crypto.ed25519 import SMALL_ORDER, L, P, SigningKey, is_valid_public_key, verify_strict
from ledger.crypto.hashing import H, Tag, lp, signing_digest
from ledger.registry.records import RootPolicy, company_id, node_id

KEYS = [SigningKey(bytes([byte]) * 32) for byte in (0x55, 0x56, 0x57)]
CHAIN = bytes([0x11]) * 32


def test_known_identities() -> None:
    assert KEYS[0].public_key.hex() == "c6822637c7d310ec57627be00ba259d253749f4aaf644470cffbe53a35f73242"
    assert company_id(RootPolicy(2, tuple(key.public_key for key in KEYS))) == "cvqxv7t6s3osjcukcwbswxtxq6k"
    assert node_id(KEYS[0].public_key) == "nkp2nvyvfpqjpuvtkqwzeegp2vv"


def test_known_signature() -> None:
    digest = signing_digest(Tag.SIG_TX, CHAIN, b"body")
    assert digest.hex() == "84e48935708d285d95f67aca1fead426bb11c7dd263033286ec6addd8af20b80"
    signature = KEYS[0].sign(digest)
    assert signature[:32].hex() == "94051216499eb7d38387b6ecfaef5c043a1ef848901ab196e26df3ee6a99c300"
    assert verify_strict(KEYS[0].public_key, signature, digest)


@pytest.mark.control("S1", "T18")
def test_s1_length_prefix_separates_lists() -> None:
    assert lp(b"ab", b"c") != lp(b"a", b"bc")
    assert H(Tag.NODE, b"ab", b"c") != H(Tag.NODE, b"a", b"bc")


@pytest.mark.control("S3", "T14")
def test_s3_a_signature_counts_for_one_chain_and_one_domain() -> None:
    signature = KEYS[0].sign(signing_digest(Tag.SIG_TX, CHAIN, b"body"))
    assert not verify_strict(KEYS[0].public_key, signature, signing_digest(Tag.SIG_TX, bytes(32), b"body"))
    assert not verify_strict(KEYS[0].public_key, signature, signing_digest(Tag.SIG_COMMIT, CHAIN, b"body"))


@pytest.mark.control("S6", "T16")
def test_s6_small_order_and_unreduced_values_are_refused() -> None:
    digest = signing_digest(Tag.SIG_TX, CHAIN, b"body")
    good = KEYS[0].sign(digest)
    assert len(SMALL_ORDER) == 14
    for point in sorted(SMALL_ORDER):
        assert not verify_strict(point, good, digest)
        assert not verify_strict(KEYS[0].public_key, point + good[32:], digest)
        assert not is_valid_public_key(point)
    larger = int.from_bytes(good[32:], "little") + L
    assert not verify_strict(KEYS[0].public_key, good[:32] + larger.to_bytes(32, "little"), digest)
    assert not verify_strict((P + 3).to_bytes(32, "little"), good, digest)
    assert not verify_strict(KEYS[0].public_key, good[:-1], digest)


def test_s6_small_order_points_have_order_dividing_eight() -> None:
    d = -121665 * pow(121666, P - 2, P) % P

    def recover_x(y: int) -> int:
        square = (y * y - 1) * pow(d * y * y + 1, P - 2, P) % P
        x = pow(square, (P + 3) // 8, P)
        if (x * x - square) % P:
            x = x * pow(2, (P - 1) // 4, P) % P
        assert (x * x - square) % P == 0
        return x

    def double(point: tuple[int, int]) -> tuple[int, int]:
        x, y = point
        t = d * x * x * y * y
        return 2 * x * y * pow(1 + t, P - 2, P) % P, (y * y + x * x) * pow(1 - t, P - 2, P) % P

    for encoding in sorted(SMALL_ORDER):
        y = (int.from_bytes(encoding, "little") & ((1 << 255) - 1)) % P
        point = (recover_x(y), y)
        for _ in range(3):
            point = double(point)
        assert point == (0, 1)
