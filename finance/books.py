"""One company's general ledger as values: events in, balanced journal entries out (finance.md section 10).

Rules
    * An entry has lines on two sides, debit and credit, in minor units of one currency each. The sides are equal
      per currency (F60). Red lines are negative amounts on their usual side; nothing is ever deleted (F7).
    * An entry names the ledger event it comes from, the posting template that made it and the height at which
      it became known. Company, business date and height are the three coordinates of every report (F70).
    * The business date of an entry comes from the signed paper, never from a clock (F6).
Doors: `finance.postings.journal` makes entries; `finance.reports` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ledger.errors import InvariantViolated

Side = Literal["debit", "credit"]


class BooksError(Exception):
    """Base of the errors of the books."""


class UnreadableEvent(BooksError):
    """A ledger event lacks a field that its posting template names, or holds something else there."""

    def __init__(self, cursor: str, event: str, field: str, reason: str) -> None:
        super().__init__(f"event {cursor} {event}: field {field!r} {reason}")
        self.cursor = cursor
        self.event = event
        self.field = field


class BadTemplate(BooksError):
    """A posting template cannot be used. `place` names the posting and the key."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"posting template {place}: {reason}")
        self.place = place


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEvent:
    """A contract event that names the company, as the ledger keeps it. `fields` are in wire form by name."""

    cursor: str
    """`height.tx.event`, the same on every node (U36)."""
    height: int
    day: str
    """ISO date of the block."""
    contract: str
    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    """`minor` may be negative (a red line). `reference` is the document this line is about, or ""."""

    account: str
    side: Side
    minor: int
    currency: str
    partner: str
    reference: str

    @property
    def debit(self) -> int:
        """The line as an amount on the debit side; a credit is negative."""
        return self.minor if self.side == "debit" else -self.minor


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One voucher. Posted and immutable; a correction is another entry (F62, F7)."""

    company: str
    voucher_type: str
    """凭证字: 收 (receipt), 付 (payment), 转 (transfer)."""
    number: int
    """Gap-free from 1 per company, voucher type and period, in the order of posting (F62)."""
    period: str
    """`YYYY-MM` of the date."""
    date: str
    text: Mapping[str, str]
    """By language, `en` and `zh`."""
    lines: tuple[JournalLine, ...]
    """Never empty, no line of zero."""
    source: str
    """Cursor of the event that is booked. One source is booked at most once (F63)."""
    event: str
    height: int
    """The ledger height from which on this entry belongs to the books."""
    template: str
    """Template version and posting, `prc/1:issue.seller`."""
    document: str
    about: str
    """The invoice concerned when it is not the document itself, else ""."""
    reverses: tuple[str, ...]
    """Sources of the entries that this one mirrors."""

    @property
    def voucher(self) -> str:
        """The voucher number as printed: `转-12`."""
        return f"{self.voucher_type}-{self.number}"


def check_balanced(entry: JournalEntry) -> JournalEntry:
    """Return the entry; raise InvariantViolated unless debits equal credits in each currency (F60)."""
    totals: dict[str, int] = {}
    for line in entry.lines:
        totals[line.currency] = totals.get(line.currency, 0) + line.debit
    wrong = {currency: total for currency, total in totals.items() if total}
    if wrong or not entry.lines:
        raise InvariantViolated(f"entry {entry.voucher} of {entry.company} from {entry.source} is off by {wrong}")
    return entry


def cursor_key(cursor: str) -> tuple[int, int, int]:
    """Return the order of a ledger cursor: height, transaction, event."""
    try:
        height, transaction, event = (int(part) for part in cursor.split("."))
    except ValueError:
        raise UnreadableEvent(cursor, "?", "cursor", "is not height.tx.event") from None
    return height, transaction, event


def known(entries: Iterable[JournalEntry], as_of: str, height: int) -> list[JournalEntry]:
    """Return the entries dated up to `as_of` and known at `height`, in the given order (F70)."""
    return [entry for entry in entries if entry.date <= as_of and entry.height <= height]


def canonical_bytes(report: Any) -> bytes:
    """Return a report or entry (any dataclass of this package) as JSON: same value, same bytes (F70)."""
    value = [asdict(item) for item in report] if isinstance(report, (tuple, list)) else asdict(report)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")
