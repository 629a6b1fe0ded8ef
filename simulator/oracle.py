"""Signatures in simulated runs (M19, SIM8).

A modelled signature is 64 bytes that only the oracle of the run can make for a key: a keyed hash of key and digest.
Attackers hold handles to their own keys only, so a forgery fails its check instead of being merely unlikely. At
fidelity `full` the same interface signs and checks with real Ed25519. No real node accepts a modelled signature,
because `verify_strict` is the only verifier there.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

from ledger.crypto.ed25519 import SigningKey, verify_strict
from ledger.crypto.hashing import Tag, lp

_DOMAIN = Tag.MODEL_SIGNATURE.value.encode()
SIGNATURE_CACHE = 1 << 16


class KeyHandle(Protocol):
    """The right to sign with one key."""

    @property
    def public_key(self) -> bytes: ...
    def sign(self, digest: bytes) -> bytes: ...


class Oracle(Protocol):
    """Makes and checks every signature of a run."""

    def handle(self, key: SigningKey) -> KeyHandle: ...
    def verify(self, public_key: bytes, signature: bytes, digest: bytes) -> bool: ...


class ModelledHandle:
    __slots__ = ("_oracle", "public_key")

    def __init__(self, oracle: ModelledOracle, public_key: bytes) -> None:
        self._oracle = oracle
        self.public_key = public_key

    def sign(self, digest: bytes) -> bytes:
        return self._oracle.mark(self.public_key, digest)


class ModelledOracle:
    """Keyed hash instead of Ed25519. The secret never leaves this object. n nodes check the same bytes: see `mark`."""

    __slots__ = ("_marks", "_secret")

    def __init__(self, seed: int) -> None:
        self._marks: dict[tuple[bytes, bytes], bytes] = {}
        self._secret = blake2b(lp(_DOMAIN, seed.to_bytes(16, "big", signed=True)), digest_size=32).digest()

    def handle(self, key: SigningKey) -> KeyHandle:
        return ModelledHandle(self, key.public_key)

    def mark(self, public_key: bytes, digest: bytes) -> bytes:
        """Return the only signature of `public_key` over `digest`; the last ones are kept."""
        mark = self._marks.get((public_key, digest))
        if mark is None:
            if len(self._marks) >= SIGNATURE_CACHE:
                self._marks.clear()
            mark = blake2b(public_key + digest, digest_size=64, key=self._secret).digest()
            self._marks[public_key, digest] = mark
        return mark

    def verify(self, public_key: bytes, signature: bytes, digest: bytes) -> bool:
        return signature == (self._marks.get((public_key, digest)) or self.mark(public_key, digest))


class RealOracle:
    """Ed25519 through `verify_strict`, with a bounded cache of verdicts: n nodes check the same bytes."""

    __slots__ = ("_verdicts",)

    def __init__(self) -> None:
        self._verdicts: dict[bytes, bool] = {}

    def handle(self, key: SigningKey) -> KeyHandle:
        return key

    def verify(self, public_key: bytes, signature: bytes, digest: bytes) -> bool:
        key = lp(public_key, signature, digest)
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= SIGNATURE_CACHE:
                self._verdicts.clear()
            verdict = self._verdicts[key] = verify_strict(public_key, signature, digest)
        return verdict
