"""Transaction files between signers: what they say, and files that somebody changed (U13, S3)."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import txfile
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.txfile import TxFile
from ledger.crypto.ed25519 import SigningKey
from ledger.transaction import SignerRef, TxBody, decode_transaction
from tests.cli.conftest import Done

CHAIN = bytes(range(32))
CLERK, MANAGER, STRANGER = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))


def unsigned() -> TxFile:
    signers = (SignerRef("u-clerk", "maker", "c-acme"), SignerRef("u-manager", "checker", "c-acme"))
    return txfile.new(TxBody(1, signers, 5, 900, "invoices", "pay", ("inv-1", ["EUR", 1050]), 7_000), CHAIN)


def test_a_file_is_signed_by_one_after_the_other_and_becomes_a_valid_envelope(tmp_path: Path) -> None:
    path = tmp_path / "pay.tx"
    txfile.write(path, unsigned())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for user, key in (("u-manager", MANAGER), ("u-clerk", CLERK)):
        file = txfile.read(path)
        with pytest.raises(CommandFailed) as missing:
            txfile.envelope(file)
        assert missing.value.code is Exit.REJECTED and "is missing" in missing.value.text
        txfile.sign(file, user, key)
        txfile.write(path, file)
    file = txfile.read(path)
    transaction = decode_transaction(txfile.envelope(file), CHAIN)
    assert transaction.tx_id == file.tx_id and transaction.body == unsigned().content
    with pytest.raises(CommandFailed) as refused:
        txfile.sign(file, "u-stranger", STRANGER)
    assert refused.value.code is Exit.NOT_ALLOWED and "u-clerk of c-acme" in refused.value.next_step


def test_what_is_read_before_signing_names_everything_that_binds() -> None:
    file = unsigned()
    txfile.sign(file, "u-clerk", CLERK)
    shown = txfile.describe(file, {"u-clerk": "clerk"})
    assert ("call", "invoices.pay") in shown and ("argument", "1050 minor units of EUR") in shown
    assert ("signer", "clerk (u-clerk) as maker for c-acme: signed") in shown
    assert ("signer", "u-manager as checker for c-acme: not signed") in shown
    assert ("valid until", "height 900") in shown and ("signed digest", file.digest.hex()) in shown
    assert ("transaction", "its id is known when all have signed") in shown
    txfile.sign(file, "u-manager", MANAGER)
    assert ("transaction", file.tx_id.hex()) in txfile.describe(file) and file.tx_id != file.digest


@pytest.mark.parametrize("change", ["body", "chain"])
def test_a_signature_over_something_else_is_found_before_it_is_sent(change: str) -> None:
    file = unsigned()
    txfile.sign(file, "u-clerk", CLERK)
    txfile.sign(file, "u-manager", MANAGER)
    if change == "body":
        other = txfile.new(
            TxBody(1, file.content.signers, 6, 900, "invoices", "pay", ("inv-1", ["EUR", 1]), 7_000), CHAIN
        )
        file.body = other.body
    else:
        file.chain_id = "00" * 32
    with pytest.raises(CommandFailed) as refused:
        txfile.envelope(file)
    assert refused.value.code is Exit.REJECTED and "does not verify" in refused.value.text


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another schema": lambda file: file | {"schema": "hansa.transaction-file/2"},
    "no chain": lambda file: file | {"chain_id": ""},
    "short chain": lambda file: file | {"chain_id": "00" * 31},
    "chain that is no hex": lambda file: file | {"chain_id": "zz" * 32},
    "body that is no hex": lambda file: file | {"body": "xyz"},
    "empty body": lambda file: file | {"body": ""},
    "body with bytes after it": lambda file: file | {"body": file["body"] + "00"},
    "cut body": lambda file: file | {"body": file["body"][:-2]},
    "too few signatures": lambda file: file | {"signatures": [None]},
    "too many signatures": lambda file: file | {"signatures": [None] * 3},
    "signature that is no pair": lambda file: file | {"signatures": [["00"], None]},
    "signature that is no hex": lambda file: file | {"signatures": [["zz" * 32, "00" * 64], None]},
    "short key": lambda file: file | {"signatures": [["00" * 31, "00" * 64], None]},
    "long signature": lambda file: file | {"signatures": [["00" * 32, "00" * 65], None]},
    "a number": lambda file: 5,
    "a list": lambda file: [file],
    "a missing field": lambda file: {name: value for name, value in file.items() if name != "body"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_every_command_that_reads_it(
    name: str, tmp_path: Path, command: Callable[..., Done], home: Path
) -> None:
    path = tmp_path / "pay.tx"
    txfile.write(path, unsigned())
    path.write_text(json.dumps(HOSTILE[name](json.loads(path.read_text()))))
    with pytest.raises(CommandFailed) as refused:
        txfile.read(path)
    assert refused.value.code is Exit.REJECTED and str(path) in refused.value.text
    for arguments in (("decode", str(path)), ("sign", str(path), "--as", "clerk", "--home", str(home)),
                      ("submit", str(path), "--api", "http://127.0.0.1:1")):  # fmt: skip
        done = command("tx", *arguments)
        if arguments[0] == "submit" and not path.read_text().startswith("{"):
            assert done.code == Exit.UNAVAILABLE, "what is no transaction file may be an envelope: the node judges"
            continue
        assert done.code == Exit.REJECTED and "Next: " in done.err and not done.out, arguments


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff\xfe{", b"{", b"{}" * 3, b"\x92\xc0\x90", b"{" * 100_000])
def test_bytes_that_are_no_file_at_all_are_refused(
    content: bytes, tmp_path: Path, command: Callable[..., Done]
) -> None:
    path = tmp_path / "pay.tx"
    path.write_bytes(content)
    done = command("tx", "decode", str(path))
    assert done.code == Exit.REJECTED and "Traceback" not in done.err and "Next: " in done.err


def test_a_transaction_of_another_chain_is_not_signed(tmp_path: Path, command: Callable[..., Done], home: Path) -> None:
    path = tmp_path / "pay.tx"
    txfile.write(path, unsigned())
    before = path.read_bytes()
    done = command("tx", "sign", str(path), "--as", "clerk", "--home", str(home))
    assert done.code == Exit.REJECTED and CHAIN.hex()[:16] in done.err and "do not sign it" in done.err
    assert path.read_bytes() == before
