"""Derived keys: HKDF-SHA-256 without salt, the use named in `info` (S83, S84), and field salts (S79).

Input keys are 32 random bytes each, so extraction needs no salt (RFC 5869, section 3.1).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger.crypto.hashing import PREFIX, lp

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16


def derive(secret: bytes, use: str, *context: bytes) -> bytes:
    """Return 32 bytes derived from `secret` for one use: info = lp("hansa/v1/" + use, context...)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=lp(label(use), *context)).derive(secret)


def field_salt(seed: bytes, path: str) -> bytes:
    """Return the 16-byte salt of one field: without it, amounts could be guessed from their hashes (S79)."""
    return hmac.new(seed, lp(label("salt"), path.encode("ascii")), sha256).digest()[:SALT_BYTES]


def label(use: str) -> bytes:
    """Return the domain label of a derivation."""
    return PREFIX + use.encode("ascii")
