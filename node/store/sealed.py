"""Values that leave memory are sealed: AES-256-GCM-SIV, bound to namespace, database and key (S105, S106).

    value = version (1) | epoch (4) | nonce (12) | AES-256-GCM-SIV(k_val, plain, aad)
    aad   = lp(namespace/database, key, version)

Rules
    * A value that was moved to another key, database or namespace does not open.
    * `k_val` is random for each namespace and epoch, so destroying it destroys the values; the keystore keeps it
      wrapped under the master key. Here it arrives ready for use.
    * The nonces of one flush are drawn in one call (performance E24); SIV makes a repeated nonce harmless, which a
      cloned machine may produce.
    * LMDB keys are not hidden: state keys and heights are on the chain, known to every member. Names in the
      `documents` namespace are keyed hashes instead (S107).

Door: `Sealer.seal`, `Sealer.seal_many`, `Sealer.open`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from ledger.crypto.hashing import lp
from node.store.errors import SealBroken

SEAL_VERSION: Final = 1
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
EPOCH_MAX: Final = 2**32 - 1
NAMESPACES: Final = ("journal", "blocks", "state", "indexes", "documents")
"""Closed. Document wraps and the outbox get theirs when documents are exchanged (S106)."""

_HEAD_BYTES: Final = 5 + NONCE_BYTES
_TAG_BYTES: Final = 16
_VERSION_BYTE: Final = bytes([SEAL_VERSION])
_AAD_TAIL: Final = lp(_VERSION_BYTE)

OVERHEAD_BYTES: Final = _HEAD_BYTES + _TAG_BYTES
"""Bytes that sealing adds to a value."""


class Sealer:
    """Seals the values of one database in one namespace. Build once: an AEAD object costs nearly a seal (E7)."""

    __slots__ = ("_aad_head", "_ciphers", "_current", "_head", "epoch", "place")

    def __init__(self, namespace: str, database: str, keys: Mapping[int, bytes]) -> None:
        """Use the highest epoch of `keys` for writing, all of them for reading. `keys` must not be empty."""
        if namespace not in NAMESPACES:
            raise ValueError(f"{namespace!r} is not a sealed namespace")
        if not keys:
            raise ValueError(f"namespace {namespace} has no key")
        for epoch, key in keys.items():
            if len(key) != KEY_BYTES or not 1 <= epoch <= EPOCH_MAX:
                raise ValueError(f"namespace {namespace}: epoch {epoch} has a key of {len(key)} bytes")
        self.place = f"{namespace}/{database}"
        self.epoch = max(keys)
        self._ciphers = {epoch: AESGCMSIV(key) for epoch, key in keys.items()}
        self._current = self._ciphers[self.epoch]
        self._head = _VERSION_BYTE + self.epoch.to_bytes(4, "big")
        self._aad_head = lp(self.place.encode("ascii"))

    def seal(self, key: bytes, plain: bytes, nonce: bytes | None = None) -> bytes:
        """Return the sealed form of `plain` for the place `key`."""
        if nonce is None:
            nonce = secrets.token_bytes(NONCE_BYTES)
        aad = self._aad_head + len(key).to_bytes(4, "big") + key + _AAD_TAIL
        return self._head + nonce + self._current.encrypt(nonce, plain, aad)

    def seal_many(self, rows: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Seal (key, plain) pairs with nonces drawn in one call (E24); the order is kept."""
        drawn = secrets.token_bytes(NONCE_BYTES * len(rows))
        encrypt, head, aad_head = self._current.encrypt, self._head, self._aad_head
        sealed: list[tuple[bytes, bytes]] = []
        position = 0
        for key, plain in rows:
            nonce = drawn[position : position + NONCE_BYTES]
            position += NONCE_BYTES
            aad = aad_head + len(key).to_bytes(4, "big") + key + _AAD_TAIL
            sealed.append((key, head + nonce + encrypt(nonce, plain, aad)))
        return sealed

    def open(self, key: bytes, sealed: bytes) -> bytes:
        """Return the plain value; raise `SealBroken` when it was changed, moved or sealed under an unknown key."""
        if len(sealed) < OVERHEAD_BYTES or sealed[0] != SEAL_VERSION:
            raise SealBroken(self.place, "it is not a sealed value of version 1")
        cipher = self._ciphers.get(int.from_bytes(sealed[1:5], "big"))
        if cipher is None:
            raise SealBroken(self.place, f"key epoch {int.from_bytes(sealed[1:5], 'big')} is not in the keystore")
        aad = self._aad_head + len(key).to_bytes(4, "big") + key + _AAD_TAIL
        try:
            return cipher.decrypt(sealed[5:_HEAD_BYTES], sealed[_HEAD_BYTES:], aad)
        except InvalidTag:
            raise SealBroken(self.place, "it was changed or moved, or the key is another one") from None


class NameKey:
    """Names of confidential rows as keyed hashes: equality look-ups only (S107)."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"an index key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def name(self, *parts: bytes) -> bytes:
        """Return the 32-byte name under which `parts` are stored."""
        return hmac.new(self._key, lp(*parts), sha256).digest()

    def names(self, many: Iterable[bytes]) -> list[bytes]:
        """Return the names of single-part keys, in order."""
        return [self.name(part) for part in many]
