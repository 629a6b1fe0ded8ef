"""A write that a script may repeat: the signed transaction is kept under the caller's key before it is sent (U13, U29).

Who repeats a command because no answer came must not pay twice. A second call with the same key hands in the same
bytes, whose id the ledger takes once, and tells what became of them. Another act under a used key is a conflict.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Final

from cli import txfile
from cli.exit_codes import Exit
from cli.failure import CommandFailed

FOLDER: Final = "submitted"
KEY_MAX: Final = 200
"""Characters of a key; an order number or a UUID is shorter."""
KEPT_S: Final = 90 * 86_400
"""Seconds a key is remembered: longer than any script repeats a command, and a folder that does not grow for ever."""


def kept(home: Path, key: str, wanted: txfile.TxFile) -> txfile.TxFile | None:
    """Return the transaction that was signed under `key`, or None; refuse when that was another act than `wanted`."""
    path = _path(home, key)
    if not path.exists():
        return None
    found = txfile.read(path)
    had, asked = found.content, wanted.content
    if (found.chain_id, had.contract, had.method, had.args) != (
        wanted.chain_id,
        asked.contract,
        asked.method,
        asked.args,
    ):
        raise CommandFailed(
            Exit.CONFLICT,
            f"the key {key!r} was used for {had.contract}.{had.method}, with other values",
            f"use another --idempotency-key; what it did: hansa tx show {found.tx_id.hex()}",
        )
    return found


def keep(home: Path, key: str, signed: txfile.TxFile) -> txfile.TxFile:
    """Keep a signed transaction before it is sent, and return it; or the one that another process kept first."""
    path = _path(home, key)
    _forget_old(path.parent)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    txfile.write(fresh, signed)
    try:
        os.link(fresh, path)  # unlike a rename it never replaces
    except FileExistsError:
        return kept(home, key, signed) or signed
    finally:
        fresh.unlink(missing_ok=True)
    return signed


def _path(home: Path, key: str) -> Path:
    if not key.strip() or len(key) > KEY_MAX:
        raise CommandFailed(
            Exit.USAGE, f"an idempotency key has 1 to {KEY_MAX} characters", "take an order number, or uuidgen"
        )
    return home / FOLDER / f"{sha256(key.encode()).hexdigest()}.tx"


def _forget_old(folder: Path) -> None:
    oldest = time.time() - KEPT_S
    for path in sorted(folder.glob("*.tx")):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
