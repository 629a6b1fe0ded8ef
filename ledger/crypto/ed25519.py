"""Ed25519 with one verdict on every machine.

`verify_strict` (S6) first refuses what implementations disagree about (small-order points, encodings that
are not reduced, S not below the group order), then asks libsodium. PyNaCl is the only engine; batches
are never verified together, because the usual batch equation accepts signatures that single
verification refuses (S8).
"""

from __future__ import annotations

from typing import Final

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
SEED_BYTES: Final = 32

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493

_SMALL_ORDER_Y: Final = (
    0,
    1,
    P - 1,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
    P,
    P + 1,
)
SMALL_ORDER: Final = frozenset((y | sign << 255).to_bytes(32, "little") for y in _SMALL_ORDER_Y for sign in (0, 1))
"""The 14 encodings, canonical and not, of the eight points whose order divides eight."""


class SigningKey:
    """An Ed25519 private key. Deterministic: signing the same digest twice gives the same bytes (P99)."""

    __slots__ = ("_secret", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        self.public_key, self._secret = crypto_sign_seed_keypair(seed)

    def sign(self, digest: bytes) -> bytes:
        """Return the 64-byte signature of `digest` (RFC 8032, pure Ed25519)."""
        return crypto_sign(digest, self._secret)[:SIGNATURE_BYTES]

    @property
    def seed(self) -> bytes:
        """The 32 private bytes this key grows from; for the keystore only."""
        return self._secret[:SEED_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey({self.public_key.hex()})"


def verify_strict(public_key: bytes, signature: bytes, digest: bytes) -> bool:
    """Tell whether `signature` over `digest` is valid under `public_key`; raises nothing (S6)."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    point = signature[:32]
    if public_key in SMALL_ORDER or point in SMALL_ORDER:
        return False
    # The top byte decides nearly always (performance E14): y reaches p only with all ones, S reaches L from 16 on.
    if public_key[31] & 0x7F == 0x7F and int.from_bytes(public_key, "little") & ((1 << 255) - 1) >= P:
        return False
    if point[31] & 0x7F == 0x7F and int.from_bytes(point, "little") & ((1 << 255) - 1) >= P:
        return False
    if signature[63] >= 0x10 and int.from_bytes(signature[32:], "little") >= L:
        return False
    try:
        crypto_sign_open(signature + digest, public_key)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


def is_valid_public_key(public_key: bytes) -> bool:
    """Tell whether `public_key` may enter the registry: a canonical point of the prime-order group (S7)."""
    return len(public_key) == PUBLIC_KEY_BYTES and bool(crypto_core_ed25519_is_valid_point(public_key))
