"""Who owes what as of a date, from the rows of the ledger (finance.md F20, F21, F70).

Rules
    * Nothing here is stored on the ledger: paid, overdue and the like are derived from the document, the links and
      a date by one function, `derive` (F20).
    * A link counts from its business date on, so a payment after the date does not shrink an earlier list (F70).
    * The seller has a claim from the issue date on until it is rejected or withdrawn; the buyer owes an invoice that
      it has accepted, from the same date. Both sides therefore show equal amounts for equal dates.
    * Rows are dicts by field name in wire form, by table: Invoice, Credit, Allocation (of the contract `invoices`)
      and Payment (of `payments`), all read at one height. Rows of others than `company` are left out.
Doors: `open_items`, `open_credits`, `open_receipts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""Table name -> rows. A missing table is an empty one."""

Ledger = Literal["receivable", "payable"]

DOCUMENTS: Final = (
    "issued", "received", "in_process", "under_query", "accepted", "rejected", "withdrawn", "cancelled",
)  # fmt: skip
"""States of an invoice document; the contract `invoices` is the authority (F2)."""

SOURCES: Final = ("payment", "credit", "set_off", "write_off")
"""What can reduce an invoice (F21); the contract `invoices` is the authority (F2)."""

DEAD: Final = ("rejected", "withdrawn")
"""Ends of a document that end the claim. A cancelled invoice is ended by its credit note instead."""

STATUSES: Final = (
    "open", "part_paid", "part_settled", "overdue", "paid", "fully_credited", "set_off", "settled", "early",
    "rejected", "withdrawn", "cancelled",
)  # fmt: skip
"""Every label that `derive` gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`label` is the one word for a list; `flags`, in fixed order, say everything that holds."""

    label: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenItem:
    """One invoice as of a date, amounts in minor units of `currency`."""

    invoice: str
    ledger: Ledger
    partner: str
    currency: str
    issued: str
    due: str
    total: int
    paid: int
    credited: int
    set_off: int
    written_off: int
    open: int
    """Negative only before the issue date, when money or a credit came early."""
    disputed: int
    """The part in dispute at the height of the rows, never more than `open`."""
    held: int
    free: int
    """What a new operation may use: open less disputed less held, never negative (F23)."""
    days_overdue: int
    """Days from the due date to the date of the list; negative before."""
    document: str
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCredit:
    """A credit note as of a date. `open` is positive while it can still be used (F26)."""

    credit: str
    ledger: Ledger
    partner: str
    currency: str
    issued: str
    total: int
    open: int
    invoice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReceipt:
    """Money that came or went and is not allocated to an invoice (F36). `ledger` says on whose side we are."""

    payment: str
    ledger: Ledger
    partner: str
    currency: str
    value_on: str
    amount: int
    open: int


def open_items(rows: Rows, company: str, as_of: str, *, include_settled: bool = False) -> tuple[OpenItem, ...]:
    """Return the invoices of `company` with an open amount as of the date, sorted by (ledger, due, id).

    `include_settled` adds those with nothing open, and the dead ones with their label.
    """
    links = _links(rows, "invoice")
    items = []
    for row in rows.get("Invoice", ()):
        ledger = _ledger(row, company)
        if ledger is None or (ledger == "payable" and row["document"] != "accepted"):
            continue
        item = _item(row, ledger, links.get(row["id"], ()), as_of)
        if item.open or (include_settled and item.issued <= as_of):
            items.append(item)
    return tuple(sorted(items, key=lambda item: (item.ledger, item.due, item.invoice)))


def open_credits(rows: Rows, company: str, as_of: str) -> tuple[OpenCredit, ...]:
    """Return the credit notes of `company` that are not used up as of the date, sorted by (ledger, issued, id).

    A buyer counts a credit note for a named invoice once it has accepted the invoice.
    """
    links = _links(rows, "source")
    accepted = {row["id"] for row in rows.get("Invoice", ()) if row["document"] == "accepted"}
    credits = []
    for row in rows.get("Credit", ()):
        ledger = _ledger(row, company)
        if ledger is None or (ledger == "payable" and row["invoice"] and row["invoice"] not in accepted):
            continue
        currency, total = row["total"]
        reversed_by_then = row["state"] == "reversed" and max(row["since"], row["issued"]) <= as_of
        issued = total if row["issued"] <= as_of and not reversed_by_then else 0
        used = sum(link["amount"][1] for link in links.get(row["id"], ()) if link["dated"] <= as_of)
        if issued != used:
            credits.append(
                OpenCredit(
                    credit=row["id"],
                    ledger=ledger,
                    partner=_partner(row, ledger),
                    currency=currency,
                    issued=row["issued"],
                    total=total,
                    open=issued - used,
                    invoice=row["invoice"],
                )
            )
    return tuple(sorted(credits, key=lambda credit: (credit.ledger, credit.issued, credit.credit)))


def open_receipts(rows: Rows, company: str, as_of: str) -> tuple[OpenReceipt, ...]:
    """Return confirmed payments with an unallocated rest as of the date, sorted by (ledger, value date, id)."""
    links = _links(rows, "source")
    receipts = []
    for row in rows.get("Payment", ()):
        if row["phase"] not in ("confirmed", "reconciled", "returned") or company not in (row["payer"], row["payee"]):
            continue
        ledger: Ledger = "receivable" if row["payee"] == company else "payable"
        currency, amount = row["amount"]
        came = amount if row["value_on"] <= as_of else 0
        went = amount if row["phase"] == "returned" and row["ended_on"] <= as_of else 0
        used = sum(link["amount"][1] for link in links.get(row["id"], ()) if link["dated"] <= as_of)
        if came - went - used:
            receipts.append(
                OpenReceipt(
                    payment=row["id"],
                    ledger=ledger,
                    partner=row["payer"] if ledger == "receivable" else row["payee"],
                    currency=currency,
                    value_on=row["value_on"],
                    amount=amount,
                    open=came - went - used,
                )
            )
    return tuple(sorted(receipts, key=lambda receipt: (receipt.ledger, receipt.value_on, receipt.payment)))


def derive(
    *, document: str, total: int, paid: int, credited: int, set_off: int, open_minor: int, disputed: int, held: int,
    due: str, as_of: str,
) -> Status:  # fmt: skip
    """Return the status of an invoice from its three axes and a date: the only place that says "paid" (F20)."""
    flags = tuple(
        flag
        for flag, holds in (
            ("paid", open_minor == 0 and paid > 0),
            ("part_paid", open_minor > 0 and paid > 0),
            ("overdue", open_minor > 0 and as_of > due),
            ("fully_credited", open_minor == 0 and credited > 0 and credited == total),
            ("disputed", disputed > 0),
            ("held", held > 0),
        )
        if holds
    )
    if document in ("rejected", "withdrawn", "cancelled"):
        label = document
    elif open_minor < 0:
        label = "early"
    elif open_minor == 0:
        if "fully_credited" in flags:
            label = "fully_credited"
        elif paid > 0:
            label = "paid"
        else:
            label = "set_off" if set_off > 0 else "settled"
    elif "overdue" in flags:
        label = "overdue"
    elif open_minor < total:
        label = "part_paid" if paid > 0 else "part_settled"
    else:
        label = "open"
    return Status(label=label, flags=flags)


def days_between(earlier: str, later: str) -> int:
    """Return the days from one ISO date to another.

    >>> days_between("2026-02-27", "2026-03-01")
    2
    """
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days


def _item(row: Row, ledger: Ledger, links: Sequence[Row], as_of: str) -> OpenItem:
    currency, face = row["total"]
    by_source = dict.fromkeys(SOURCES, 0)
    for link in links:
        if link["dated"] <= as_of:
            by_source[link["source_kind"]] += link["amount"][1]
    total = face if row["issued"] <= as_of else 0
    left = total - sum(by_source.values())
    if row["document"] in DEAD and max([row["since"], row["issued"], *(link["dated"] for link in links)]) <= as_of:
        left = 0
    disputed, held = min(row["disputed"][1], max(0, left)), min(row["held"][1], max(0, left))
    status = derive(
        document=row["document"],
        total=face,
        paid=by_source["payment"],
        credited=by_source["credit"],
        set_off=by_source["set_off"],
        open_minor=left,
        disputed=disputed,
        held=held,
        due=row["due"],
        as_of=as_of,
    )
    return OpenItem(
        invoice=row["id"],
        ledger=ledger,
        partner=_partner(row, ledger),
        currency=currency,
        issued=row["issued"],
        due=row["due"],
        total=face,
        paid=by_source["payment"],
        credited=by_source["credit"],
        set_off=by_source["set_off"],
        written_off=by_source["write_off"],
        open=left,
        disputed=disputed,
        held=held,
        free=max(0, left - disputed - held),
        days_overdue=days_between(row["due"], as_of),
        document=row["document"],
        status=status,
    )


def _links(rows: Rows, by: str) -> dict[str, list[Row]]:
    links: dict[str, list[Row]] = {}
    for row in rows.get("Allocation", ()):
        links.setdefault(row[by], []).append(row)
    return links


def _ledger(row: Row, company: str) -> Ledger | None:
    if row["seller"] == company:
        return "receivable"
    return "payable" if row["buyer"] == company else None


def _partner(row: Row, ledger: Ledger) -> str:
    partner: str = row["buyer"] if ledger == "receivable" else row["seller"]
    return partner
