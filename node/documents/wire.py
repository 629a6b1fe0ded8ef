"""What passes between the intake and its worker: records in MessagePack, each behind its length (S57)."""

from __future__ import annotations

import dataclasses
from typing import Final

import msgspec

from finance.formats.reader import ReadResult
from finance.model import CreditNote, Invoice, Issue

FRAME_HEAD_BYTES: Final = 4
"""Length of a record, big endian, in front of it."""

TASK_MAX_BYTES: Final = 24 * 1024 * 1024
"""A task: the largest file we read, and room for its currency table."""

RESULT_MAX_BYTES: Final = 32 * 1024 * 1024
"""A result: field names repeat for every line, so the model of 5 MiB XML can be larger than the file."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """First record of a worker: its limits are in force. `network` tells whether it could still reach one."""

    network: bool


class FileTask(msgspec.Struct, frozen=True, kw_only=True):
    """One file to read."""

    data: bytes
    kind: str | None
    strict: bool
    currencies: dict[str, int]


class WireItem(msgspec.Struct, frozen=True, kw_only=True):
    """A document; `good` means that it may be committed."""

    credit: bool
    good: bool
    invoice: Invoice


class WireResult(msgspec.Struct, frozen=True, kw_only=True):
    """A `ReadResult`, or in `failed` the name of what stopped the reader."""

    items: tuple[WireItem, ...] = ()
    issues: tuple[Issue, ...] = ()
    kind: str = ""
    profile: str = ""
    source_hash: bytes = b""
    failed: str = ""


def to_wire(result: ReadResult) -> WireResult:
    """Return `result` as the worker sends it."""
    good = [WireItem(credit=item.credit, good=True, invoice=item) for item in result.items]
    bad = [WireItem(credit=item.credit, good=False, invoice=item) for item in result.refused]
    return WireResult(
        items=(*good, *bad),
        issues=result.issues,
        kind=result.kind,
        profile=result.profile,
        source_hash=result.source_hash,
    )


def from_wire(wire: WireResult) -> ReadResult:
    """Return what `to_wire` was given. An error among the issues never goes with a good item of one document."""
    errors = any(issue.severity == "error" for issue in wire.issues)
    several = len(wire.items) > 1
    return ReadResult(
        items=tuple(_item(one) for one in wire.items if one.good and (several or not errors)),
        refused=tuple(_item(one) for one in wire.items if not one.good or (errors and not several)),
        issues=wire.issues,
        kind=wire.kind,
        profile=wire.profile,
        source_hash=wire.source_hash,
    )


def _item(one: WireItem) -> Invoice:
    if not one.credit:
        return one.invoice
    return CreditNote(**{f.name: getattr(one.invoice, f.name) for f in dataclasses.fields(one.invoice)})
