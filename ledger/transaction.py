"""Transactions: a signed call of one contract method (LR1-LR4).

The body names every signer and the capacity in which each signs; all of them sign its digest. The envelope carries body
bytes and one (public key, signature) pair per signer. Static checks need no state (LR2); whether a key is in force is
decided in the transition, which looks at the keys: so the id binds them beside the digest, and what a block names does
the same everywhere. A signature is never part of an id (S4, ADR 0031).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from ledger.codec import Codec, Wire, encode
from ledger.crypto.ed25519 import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey
from ledger.crypto.hashing import H, Tag, signing_digest
from ledger.errors import InvalidTransaction
from ledger.params import Params

TX_VERSION: Final = 1
ENVELOPE_LIMIT_BYTES: Final = 128 * 1024
SIGNERS_MAX: Final = 8
CAPACITIES: Final = ("maker", "checker", "witness")
RESERVED_CONTRACTS: Final = ("registry", "access", "governance")
"""Names that lead to `ledger` itself, not to a program (LR1)."""


class SignerRef(Wire, frozen=True):
    """One required signer: the user, the capacity, and the company acted for (F12)."""

    user_id: str
    capacity: str
    company_id: str


class TxBody(Wire, frozen=True):
    """What is signed. `nonce` belongs to the first signer (LR3); `args` are in wire form (contracts L12)."""

    version: int
    signers: tuple[SignerRef, ...]
    nonce: int
    valid_until_height: int
    contract: str
    method: str
    args: tuple[Any, ...]
    gas_limit: int


class Envelope(Wire, frozen=True):
    """Body bytes and a (public key, signature) pair for each signer, in the order of the body."""

    body: bytes
    signatures: tuple[tuple[bytes, bytes], ...]


envelope_codec: Codec[Envelope] = Codec(Envelope, "transaction envelope", ENVELOPE_LIMIT_BYTES)
body_codec: Codec[TxBody] = Codec(TxBody, "transaction body", ENVELOPE_LIMIT_BYTES)


_Parts = tuple[TxBody, tuple[tuple[bytes, bytes], ...]]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A decoded envelope whose form is right; its signatures may not be checked yet.

    `digest` is what each signer signs, `tx_id` the name of the transaction. `envelope` are the bytes as they arrived,
    `envelope_hash` the key of the verdict cache (LR4). What a pool asks of a waiting transaction stands here: `sender`,
    the first signer, whose nonce it uses (LR3), validity and gas. The rest is read from the envelope when somebody
    asks; `opened` keeps it, at three times the memory, for one who asks often, and `closed` lets it go again.
    """

    tx_id: bytes
    digest: bytes
    envelope_hash: bytes
    envelope: bytes
    sender: str
    nonce: int
    valid_until_height: int
    gas_limit: int
    _parts: _Parts | None = field(default=None, compare=False, repr=False)

    @property
    def body(self) -> TxBody:
        return (self._parts or _read(self.envelope))[0]

    @property
    def signatures(self) -> tuple[tuple[bytes, bytes], ...]:
        return (self._parts or _read(self.envelope))[1]

    def opened(self) -> Transaction:
        """Return the transaction with body and signatures at hand."""
        return self if self._parts is not None else replace(self, _parts=_read(self.envelope))

    def closed(self) -> Transaction:
        """Return the transaction in the form in which it waits."""
        return self if self._parts is None else replace(self, _parts=None)


def _read(envelope: bytes) -> _Parts:
    """Return body and signatures of an envelope that was checked when it was decoded."""
    outer = envelope_codec.reread(envelope)
    return body_codec.reread(outer.body), outer.signatures


def envelope_hash(envelope: bytes) -> bytes:
    """Return the key under which a verdict on these bytes may be cached (LR4)."""
    return H(Tag.ENVELOPE, envelope)


def decode_transaction(envelope: bytes, chain_id: bytes) -> Transaction:
    """Decode and check the form; raise `Malformed`, `TooLarge` or `InvalidTransaction`."""
    outer = envelope_codec.decode(envelope)
    body = body_codec.decode(outer.body)
    _check_form(outer, body)
    digest = body_digest(outer.body, chain_id)
    return Transaction(
        tx_id=transaction_id(digest, (key for key, _ in outer.signatures)),
        digest=digest,
        envelope_hash=envelope_hash(envelope),
        envelope=envelope,
        sender=sys.intern(body.signers[0].user_id),
        nonce=body.nonce,
        valid_until_height=body.valid_until_height,
        gas_limit=body.gas_limit,
        _parts=(body, outer.signatures),
    )


def body_digest(body: bytes, chain_id: bytes) -> bytes:
    """Return the 32 bytes that every signer of an encoded body signs (S3)."""
    return signing_digest(Tag.SIG_TX, chain_id, body)


def transaction_id(digest: bytes, keys: Iterable[bytes]) -> bytes:
    """Return the id of a transaction: what is signed, and the public keys it is signed with, in order (ADR 0031)."""
    return H(Tag.TX, digest, *keys)


def unsigned(body: TxBody, digest: bytes, keys: Sequence[bytes] = ()) -> Transaction:
    """Return the transaction of a body that nobody signed, as if `keys` had, to run it without a block."""
    return Transaction(
        tx_id=transaction_id(digest, keys),
        digest=digest,
        envelope_hash=b"",
        envelope=b"",
        sender=body.signers[0].user_id,
        nonce=body.nonce,
        valid_until_height=body.valid_until_height,
        gas_limit=body.gas_limit,
        _parts=(body, tuple((key, bytes(SIGNATURE_BYTES)) for key in keys)),
    )


def sign_transaction(body: TxBody, keys: Sequence[SigningKey], chain_id: bytes) -> bytes:
    """Return the envelope of `body` signed by `keys`, given in the order of `body.signers`."""
    raw = encode(body)
    digest = body_digest(raw, chain_id)
    return encode(Envelope(raw, tuple((key.public_key, key.sign(digest)) for key in keys)))


class Expiring(Protocol):
    """A transaction, or the body of one that is not signed yet."""

    @property
    def valid_until_height(self) -> int: ...
    @property
    def gas_limit(self) -> int: ...


def check_expiry(body: Expiring, height: int, params: Params) -> None:
    """Raise `InvalidTransaction` if the transaction may not enter a block at `height` (LR2)."""
    if body.valid_until_height < height:
        raise InvalidTransaction("expired", f"valid until height {body.valid_until_height}, the block is {height}")
    if body.valid_until_height > height + params.max_validity_heights:
        raise InvalidTransaction(
            "validity_too_long",
            f"valid until height {body.valid_until_height}, at most {height + params.max_validity_heights} is allowed",
        )
    if body.gas_limit > params.max_tx_gas:
        raise InvalidTransaction("gas_limit", f"{body.gas_limit} is above {params.max_tx_gas} for one transaction")


def _check_form(outer: Envelope, body: TxBody) -> None:
    if body.version != TX_VERSION:
        raise InvalidTransaction("version", f"{body.version} is not {TX_VERSION}")
    if not 1 <= len(body.signers) <= SIGNERS_MAX:
        raise InvalidTransaction("signers", f"{len(body.signers)} signers, 1 to {SIGNERS_MAX} are allowed")
    if len(outer.signatures) != len(body.signers):
        raise InvalidTransaction("signers", f"{len(outer.signatures)} signatures for {len(body.signers)} signers")
    if len({signer.user_id for signer in body.signers}) != len(body.signers):
        raise InvalidTransaction("signers", "a user signs twice")
    for signer in body.signers:
        if signer.capacity not in CAPACITIES:
            raise InvalidTransaction("capacity", f"{signer.capacity[:40]!r} is none of {', '.join(CAPACITIES)}")
        if not 1 <= len(signer.user_id) <= 64 or not 1 <= len(signer.company_id) <= 64:
            raise InvalidTransaction("signers", "a user or company id has a wrong length")
    for public_key, signature in outer.signatures:
        if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
            raise InvalidTransaction("signature", "a key or signature has a wrong length")
    for name, value in (("nonce", body.nonce), ("gas_limit", body.gas_limit)):
        if value < 1:
            raise InvalidTransaction(name, f"{value} is not positive")
    if not 1 <= len(body.contract) <= 40 or not 1 <= len(body.method) <= 40:
        raise InvalidTransaction("contract", "contract and method names have 1 to 40 characters")
