"""Make a proof pack: everything an auditor needs to check a company's lines without any node (F77).

The pack is one file: a magic line, then canonical MessagePack of `[body, company, signature]`. Rows and receipts carry
their own proofs; names, schemas and the journal are covered by the company's signature over the body, so no
byte can change unnoticed. `finance.audit.verifier` reads it without sharing code with this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger.codec import encode

MAGIC: Final = b"HANSAPACK1\n"
PACK_VERSION: Final = 3
"""Rows and events are read by the sources of their contracts, which the state proves. Versions 1 and 2, which the
verifier still reads, named the fields themselves; 1 had no ends of epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRow:
    """A state line: `proof` is the canonical form of a state proof, presence or absence."""

    contract: str
    table: str
    key: bytes
    proof: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReceipt:
    """A receipt with its place in the block and the siblings that lead to the receipts root."""

    height: int
    index: int
    count: int
    receipt: bytes
    siblings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackDocument:
    """Disclosed fields of a document: (leaf index, path, value, salt, siblings), under the root of `owner`'s row."""

    contract: str
    table: str
    owner: str
    count: int
    fields: tuple[tuple[int, str, bytes, bytes, tuple[bytes, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackEntry:
    """A journal entry: lines are (account, currency, signed minor units), debit positive; they sum to zero.

    `cursor` is the event that is booked, `reverses` the events whose entries this one mirrors.
    """

    voucher: str
    date: str
    cursor: str
    reverses: tuple[str, ...]
    lines: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackContract:
    """A contract of the pack with all its versions: what its rows and events mean at each height (L57, L63).

    `proof` shows the record of the last version, whose source is `source`; `older` are (proof, source) of all versions
    before it, ascending. `below` is empty, or the proof that there is no version before the first of these: a contract
    that came by vote may begin with any number.
    """

    name: str
    proof: tuple[Any, ...]
    source: bytes
    older: tuple[tuple[tuple[Any, ...], bytes], ...]
    below: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackBody:
    """The whole content; `links` are (state root, receipts root) of `first_height` to the head's exec_height.

    `schemas` are field names of what no contract declares: the events of governance.
    """

    chain_id: bytes
    company: str
    names: tuple[tuple[str, str], ...]
    header: bytes
    certificate: tuple[Any, ...]
    first_height: int
    base_exec_root: bytes
    links: tuple[tuple[bytes, bytes], ...]
    rows: tuple[PackRow, ...]
    receipts: tuple[PackReceipt, ...]
    schemas: tuple[tuple[str, str, tuple[str, ...]], ...]
    documents: tuple[PackDocument, ...]
    journal: tuple[PackEntry, ...]
    epochs: tuple[tuple[bytes, tuple[Any, ...], tuple[tuple[str, bytes, bool], ...]], ...] = ()
    """How each epoch before that of the head ended: (last header, certificate, next members)."""
    contracts: tuple[PackContract, ...] = ()
    """Every contract of which there is a row or an event."""


def write(body: PackBody, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the bytes of the pack; `sign` signs the body with the company's consensus key, domain `bundle`."""
    raw = encode(
        [
            PACK_VERSION,
            body.chain_id,
            body.company,
            body.names,
            [body.header, body.certificate],
            body.first_height,
            body.base_exec_root,
            body.links,
            [(row.contract, row.table, row.key, row.proof) for row in body.rows],
            [(item.height, item.index, item.count, item.receipt, item.siblings) for item in body.receipts],
            body.schemas,
            [(item.contract, item.table, item.owner, item.count, item.fields) for item in body.documents],
            [(entry.voucher, entry.date, entry.cursor, entry.reverses, entry.lines) for entry in body.journal],
            body.epochs,
            [(item.name, item.proof, item.source, item.older, item.below) for item in body.contracts],
        ]
    )
    return MAGIC + encode([raw, body.company, sign(raw)])


def check_balanced(entries: Sequence[PackEntry]) -> list[str]:
    """Return the vouchers whose lines do not sum to zero in every currency."""
    wrong: list[str] = []
    for entry in entries:
        sums: dict[str, int] = {}
        for _, currency, minor in entry.lines:
            sums[currency] = sums.get(currency, 0) + minor
        if any(sums.values()):
            wrong.append(entry.voucher)
    return wrong
