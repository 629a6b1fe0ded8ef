"""What one transaction did (contracts L67). Receipts are hashed into the execution root, so they can be proven."""

from __future__ import annotations

from typing import Any

from ledger.block import list_root
from ledger.codec import Codec, Wire, encode

STATUS_OK = 0
STATUS_FAILED = 1


class Abort(Wire, frozen=True):
    """Why a transaction failed. `reason` is a word or rule id of the program, `text` comes from the program (D4)."""

    code: str
    reason: str
    contract: str
    version: int
    line: int
    text: str


class ContractEvent(Wire, frozen=True):
    """An event emitted by a program: fields in declared order, in wire form."""

    contract: str
    name: str
    fields: tuple[Any, ...]


class Receipt(Wire, frozen=True):
    """Outcome of one transaction. `abort` holds one element exactly when `status` is failed."""

    tx_id: bytes
    contract: str
    version: int
    method: str
    status: int
    gas_used: int
    abort: tuple[Abort, ...]
    events: tuple[ContractEvent, ...]
    result: Any


receipt_codec: Codec[Receipt] = Codec(Receipt, "receipt", 256 * 1024)


def receipts_root(receipts: tuple[Receipt, ...]) -> bytes:
    """Return the list root over the canonical receipts in transaction order (LR6)."""
    return list_root([encode(receipt) for receipt in receipts])
