"""The envelope of a document: padded, sealed once under a fresh key, with a commitment to that key (S82-S87).

AES-GCM does not commit to its key: one ciphertext can open under two keys to two texts. The commitment `kc`, which
stands in the anchor, ties the ciphertext to exactly one (S84). The document key is used for one version of one
document only; that is why the envelope may use a fixed nonce (S10, S83). Key, seed and nonce are arguments: nothing
here draws randomness (S11).

Door: `seal_envelope` and `open_envelope`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.codec import Codec, Wire, encode
from ledger.crypto.fieldtree import build
from ledger.crypto.hashing import H, Tag, lp
from ledger.crypto.kdf import KEY_BYTES, derive
from ledger.errors import EnvelopeRefused, InvalidFields, Malformed

SUITE_X25519: Final = 1
SUITE_HYBRID: Final = 2
SUITES: Final = (SUITE_X25519, SUITE_HYBRID)
"""Suites whose envelope is HKDF-SHA-256 with AES-256-GCM; they differ in the wraps (S9)."""

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
ENVELOPE_NONCE: Final = bytes(NONCE_BYTES)
"""Safe because every envelope key is used once (S83)."""
BUCKET_MIN_BYTES: Final = 512
BUCKET_MAX_BYTES: Final = 8 * 1024 * 1024
CHUNK_BYTES: Final = 64 * 1024
DOC_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeContext:
    """What a sealed version belongs to; part of every derivation and of the associated data (S82)."""

    suite: int
    chain_id: bytes
    doc: bytes
    version: int
    root: bytes

    def encoded(self) -> bytes:
        """Return `ctx`."""
        return lp(bytes((self.suite,)), self.chain_id, self.doc, self.version.to_bytes(4, "big"), self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEnvelope:
    """Ciphertext, its blob hash and the key commitment; the last two go into the anchor (S88)."""

    ciphertext: bytes
    blob: bytes
    kc: bytes


class Body(Wire, frozen=True):
    """The canonical plaintext: (path, value) sorted by path, and the seed of the salts (S85)."""

    fields: tuple[tuple[str, bytes], ...]
    seed: bytes


body_codec: Codec[Body] = Codec(Body, "document body", BUCKET_MAX_BYTES)


def gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Return ciphertext and tag under AES-256-GCM. The caller never uses (key, nonce) twice (S10)."""
    return AESGCM(key).encrypt(nonce, plaintext, aad)


def gcm_open(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes | None:
    """Return the plaintext, or None if the tag does not verify."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, aad)
    except (InvalidTag, ValueError):
        return None


def envelope_key(dek: bytes, context: EnvelopeContext) -> bytes:
    """Return the AEAD key of the envelope (S83)."""
    return derive(dek, "enc", context.encoded())


def key_commitment(dek: bytes, context: EnvelopeContext) -> bytes:
    """Return `kc`: it binds the ciphertext to this document key (S84)."""
    return derive(dek, "commit", context.encoded())


def bucket_bytes(size_bytes: int) -> int:
    """Return the padded size: the next power of two from 512 bytes to 8 MiB; larger is `InvalidFields` (S85).

    >>> [bucket_bytes(size) for size in (1, 512, 513, 5000)]
    [512, 512, 1024, 8192]
    """
    if size_bytes > BUCKET_MAX_BYTES:
        raise InvalidFields("", f"the document has {size_bytes} bytes, at most {BUCKET_MAX_BYTES} can be sealed")
    return max(BUCKET_MIN_BYTES, 1 << (size_bytes - 1).bit_length())


def pack(fields: Mapping[str, bytes], seed: bytes) -> bytes:
    """Return the padded plaintext: u32 length, canonical body, zero bytes up to the bucket (S85)."""
    body = encode(Body(tuple(sorted(fields.items())), seed))
    framed = len(body).to_bytes(4, "big") + body
    return framed.ljust(bucket_bytes(len(framed)), b"\x00")


def seal_padded(plaintext: bytes, dek: bytes, context: EnvelopeContext) -> SealedEnvelope:
    """Return the envelope of an already padded plaintext (S83)."""
    kc = key_commitment(dek, context)
    ciphertext = gcm_seal(envelope_key(dek, context), ENVELOPE_NONCE, plaintext, lp(context.encoded(), kc))
    return SealedEnvelope(ciphertext=ciphertext, blob=blob_hash(ciphertext), kc=kc)


def seal_envelope(fields: Mapping[str, bytes], seed: bytes, dek: bytes, context: EnvelopeContext) -> SealedEnvelope:
    """Return the sealed document; `context.root` must be the root of its field tree.

    `dek` is 32 fresh random bytes of this document version, never reused and never derived (S82).
    """
    if context.suite not in SUITES or len(dek) != KEY_BYTES or len(context.doc) != DOC_ID_BYTES:
        raise InvalidFields("", "suite, document key or document id is not of the form of the envelope")
    if build(fields, seed).root != context.root:
        raise InvalidFields("", "the root in the context is not that of the fields")
    return seal_padded(pack(fields, seed), dek, context)


def open_envelope(
    ciphertext: bytes, dek: bytes, context: EnvelopeContext, *, blob: bytes, kc: bytes
) -> tuple[dict[str, bytes], bytes]:
    """Return (fields, seed) after every check of S86, in its order; any failure is the same `EnvelopeRefused`."""
    if context.suite not in SUITES or len(dek) != KEY_BYTES:
        raise EnvelopeRefused("suite")
    if not BUCKET_MIN_BYTES <= len(ciphertext) - TAG_BYTES <= BUCKET_MAX_BYTES:
        raise EnvelopeRefused("size")
    if not hmac.compare_digest(blob_hash(ciphertext), blob):
        raise EnvelopeRefused("blob")
    if not hmac.compare_digest(key_commitment(dek, context), kc):
        raise EnvelopeRefused("key_commitment")
    plaintext = gcm_open(envelope_key(dek, context), ENVELOPE_NONCE, ciphertext, lp(context.encoded(), kc))
    if plaintext is None:
        raise EnvelopeRefused("aead")
    end = 4 + int.from_bytes(plaintext[:4], "big")
    if end > len(plaintext) or bucket_bytes(end) != len(plaintext) or any(plaintext[end:]):
        raise EnvelopeRefused("padding")
    try:
        body = body_codec.decode(plaintext[4:end])
    except Malformed:
        raise EnvelopeRefused("canonical_form") from None
    paths = [path for path, _ in body.fields]
    if sorted(set(paths)) != paths:
        raise EnvelopeRefused("paths")
    fields = dict(body.fields)
    try:
        root = build(fields, body.seed).root
    except InvalidFields:
        raise EnvelopeRefused("fields") from None
    if not hmac.compare_digest(root, context.root):
        raise EnvelopeRefused("root")
    return fields, body.seed


def blob_hash(ciphertext: bytes) -> bytes:
    """Return the hash of a blob: a tree over its 64 KiB chunks, so that one chunk can be proved (S87)."""
    level = [H(Tag.CHUNK, ciphertext[i : i + CHUNK_BYTES]) for i in range(0, len(ciphertext), CHUNK_BYTES)]
    count = len(level)
    while len(level) > 1:
        paired = [H(Tag.NODE, level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return H(Tag.BLOB, count.to_bytes(4, "big"), level[0] if level else b"")
