"""Transactions on their way between signers: a JSON file that names what is signed and who has signed (U13).

`hansa tx call --generate-only` writes one, `hansa tx sign` adds a signature on any machine that holds a key, and
`hansa tx submit` hands the finished one to a node. The body bytes travel as they are signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.place import write_file
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey, verify_strict
from ledger.errors import LedgerError
from ledger.transaction import Envelope, TxBody, body_codec, body_digest, transaction_id

SCHEMA: Final = "hansa.transaction-file/1"
HASH_SIZE: Final = 32
SIGNATURE_SIZES: Final = (32, 64)
"""Bytes of an Ed25519 public key and of a signature (S5)."""


class TxFile(msgspec.Struct, kw_only=True):
    """The file: hexadecimal body, chain id, and a signature or nothing for each signer, in the order of the body."""

    schema: str
    chain_id: str
    body: str
    signatures: list[tuple[str, str] | None]

    @property
    def content(self) -> TxBody:
        """The decoded body."""
        return body_codec.decode(bytes.fromhex(self.body))

    @property
    def digest(self) -> bytes:
        """What every signer signs."""
        return body_digest(bytes.fromhex(self.body), bytes.fromhex(self.chain_id))

    @property
    def tx_id(self) -> bytes:
        """The id, or nothing as long as a signature is missing: it names the keys as well (ADR 0031)."""
        keys = [bytes.fromhex(pair[0]) for pair in self.signatures if pair is not None]
        return transaction_id(self.digest, keys) if len(keys) == len(self.signatures) else b""


def new(body: TxBody, chain_id: bytes) -> TxFile:
    """Return an unsigned file for `body`."""
    return TxFile(
        schema=SCHEMA, chain_id=chain_id.hex(), body=encode(body).hex(), signatures=[None] * len(body.signers)
    )


def sign(file: TxFile, user_id: str, key: SigningKey) -> None:
    """Add the signature of `user_id`; refuse a user that the body does not name."""
    for position, signer in enumerate(file.content.signers):
        if signer.user_id == user_id:
            file.signatures[position] = (key.public_key.hex(), key.sign(file.digest).hex())
            return
    wanted = ", ".join(f"{signer.user_id} of {signer.company_id}" for signer in file.content.signers)
    raise CommandFailed(
        Exit.NOT_ALLOWED,
        f"user {user_id} is not a signer of this transaction",
        f"it needs {wanted}; hansa tx call --as PERSON makes one for other people",
    )


def envelope(file: TxFile) -> bytes:
    """Return the finished envelope; refuse while a signature is missing or wrong."""
    pairs: list[tuple[bytes, bytes]] = []
    for signer, signature in zip(file.content.signers, file.signatures, strict=True):
        if signature is None:
            raise CommandFailed(
                Exit.REJECTED,
                f"the signature of {signer.user_id} ({signer.capacity}) is missing",
                "hansa tx sign FILE --as PERSON, on the machine that holds this person's key",
            )
        public_key, value = bytes.fromhex(signature[0]), bytes.fromhex(signature[1])
        if not verify_strict(public_key, value, file.digest):
            raise CommandFailed(Exit.REJECTED, f"the signature of {signer.user_id} does not verify", "sign it again")
        pairs.append((public_key, value))
    return encode(Envelope(bytes.fromhex(file.body), tuple(pairs)))


def read(path: Path) -> TxFile:
    """Return the file at `path`; refuse what is no transaction file."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=TxFile)
        if file.schema != SCHEMA or len(file.signatures) != len(file.content.signers):
            raise ValueError("another schema or number of signatures")
        if len(bytes.fromhex(file.chain_id)) != HASH_SIZE:
            raise ValueError("the chain id is no hash")
        for pair in file.signatures:
            for part, size in zip(pair or (), SIGNATURE_SIZES, strict=False):
                if len(bytes.fromhex(part)) != size:
                    raise ValueError("a signature or key has another length")
        return file
    except OSError as error:
        raise CommandFailed(Exit.NOT_FOUND, f"cannot read {path}: {error.strerror}", "check the path") from None
    except (msgspec.DecodeError, LedgerError, ValueError) as error:
        raise CommandFailed(
            Exit.REJECTED, f"{path} is no transaction file: {error}", "make one with hansa tx call --generate-only"
        ) from None


def write(path: Path, file: TxFile) -> None:
    """Write the file, whole or not at all, readable by its owner only."""
    write_file(path, msgspec.json.format(msgspec.json.encode(file)) + b"\n")


def describe(file: TxFile, labels: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Return what a person should read before signing: call, arguments, signers, validity.

    `labels` names the users that are known here.
    """
    body = file.content
    rows = [("transaction", file.tx_id.hex() or "its id is known when all have signed")]
    rows += [("signed digest", file.digest.hex()), ("call", f"{body.contract}.{body.method}")]
    rows += [("argument", _shown(argument)) for argument in body.args]
    for signer, signature in zip(body.signers, file.signatures, strict=True):
        state = "signed" if signature is not None else "not signed"
        known = (labels or {}).get(signer.user_id)
        who = f"{known} ({signer.user_id})" if known else signer.user_id
        rows.append(("signer", f"{who} as {signer.capacity} for {signer.company_id}: {state}"))
    rows.append(("valid until", f"height {body.valid_until_height}"))
    rows.append(("gas limit", str(body.gas_limit)))
    return rows


def _shown(argument: Any) -> str:
    if isinstance(argument, (list, tuple)) and len(argument) == 2 and isinstance(argument[0], str):
        return f"{argument[1]} minor units of {argument[0]}"
    return str(argument)
