"""A write under an idempotency key: kept before it is sent, handed in again as it was, never for another act (U13, U29)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from cli import once, txfile
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from ledger.crypto.ed25519 import SigningKey
from ledger.transaction import TX_VERSION, SignerRef, TxBody

CHAIN = bytes(32)


def drawn(*args: Any, nonce: int = 1, method: str = "receive", chain: bytes = CHAIN) -> txfile.TxFile:
    signer = SignerRef("u" + "a" * 26, "maker", "c" + "a" * 26)
    file = txfile.new(TxBody(TX_VERSION, (signer,), nonce, 600, "invoices", method, args, 1_000), chain)
    txfile.sign(file, signer.user_id, SigningKey(b"k" * 32))
    return file


def test_u29_the_first_transaction_of_a_key_is_the_one_that_is_sent_again(tmp_path: Path) -> None:
    first, again = drawn("inv-1", nonce=1), drawn("inv-1", nonce=2)
    assert once.kept(tmp_path, "order-17", first) is None
    assert once.keep(tmp_path, "order-17", first).tx_id == first.tx_id
    found = once.kept(tmp_path, "order-17", again)
    assert found is not None and found.tx_id == first.tx_id != again.tx_id
    assert once.kept(tmp_path, "order-18", again) is None
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / once.FOLDER).iterdir()] == [0o600]


def test_u29_of_two_processes_the_first_wins_and_no_file_is_left_behind(tmp_path: Path) -> None:
    first, second = drawn("inv-1", nonce=1), drawn("inv-1", nonce=2)
    once.keep(tmp_path, "order-17", first)
    assert once.keep(tmp_path, "order-17", second).tx_id == first.tx_id
    assert len(list((tmp_path / once.FOLDER).iterdir())) == 1


@pytest.mark.parametrize(
    "other", [drawn("inv-2"), drawn("inv-1", method="start"), drawn("inv-1", chain=bytes([1]) * 32)]
)
def test_u29_another_act_under_a_used_key_is_a_conflict(other: txfile.TxFile, tmp_path: Path) -> None:
    first = once.keep(tmp_path, "order-17", drawn("inv-1"))
    with pytest.raises(CommandFailed, match=r"'order-17' was used for invoices\.receive") as failed:
        once.kept(tmp_path, "order-17", other)
    assert failed.value.code is Exit.CONFLICT and first.tx_id.hex() in failed.value.next_step


@pytest.mark.parametrize("key", ["", "  ", "x" * (once.KEY_MAX + 1)])
def test_a_key_is_bounded_and_not_empty(key: str, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="1 to 200 characters"):
        once.kept(tmp_path, key, drawn("inv-1"))


def test_a_key_becomes_no_path(tmp_path: Path) -> None:
    once.keep(tmp_path, "../../etc/passwd", drawn("inv-1"))
    assert [path.parent.name for path in tmp_path.rglob("*.tx")] == [once.FOLDER]


def test_keys_are_forgotten_after_ninety_days(tmp_path: Path) -> None:
    once.keep(tmp_path, "old", drawn("inv-1"))
    (old,) = (tmp_path / once.FOLDER).iterdir()
    past = time.time() - once.KEPT_S - 10
    os.utime(old, (past, past))
    once.keep(tmp_path, "new", drawn("inv-2"))
    assert once.kept(tmp_path, "old", drawn("inv-1")) is None
