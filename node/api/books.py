"""Operations on the books: journal, trial balance, balances, ageing, open items (F70-F73).

This is the one module of the API that calls `finance` for reports. Every report takes company, as-of date and
ledger height, prints all three, and ignores later events (F70). Rows and entries are taken at one height.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from finance.ageing import ageing as ageing_report
from finance.books import JournalEntry, LedgerEvent
from finance.openitems import OpenItem, open_credits, open_receipts
from finance.openitems import open_items as list_open_items
from finance.postings import RunningBooks, default_templates
from finance.reports import account_balances, control_checks
from finance.reports import trial_balance as trial_balance_report
from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.invoices import as_of, business_rows
from node.api.problems import height_pruned
from node.api.query import page_cursor, read_page_cursor

DURABLE_WAIT_S: Final = 1.0
FAR: Final = "9999-12-31"
STEP: Final = 128
"""Events posted between two turns of the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The entries of one company as known at `height`."""

    company: str
    height: int
    entries: Sequence[JournalEntry]


@dataclass(slots=True)
class _Kept:
    """Books as far as they are posted. `busy` keeps two requests from posting the same events."""

    running: RunningBooks
    taken: int
    busy: asyncio.Lock


class BookKeeper:
    """Posts the history of a company once and then only what is new, with room for votes between the parts."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    async def books(self, call: Call) -> Books:
        """Return the books at the request's height, or at the highest durable one just below it."""
        company, wanted = call.principal.company_id, call.view.height
        if call.service.event_height() < wanted:
            await call.service.wait_height(wanted, timeout_s=DURABLE_WAIT_S)
        history = await call.engine.histories.of(company)
        if history.since > 1:
            raise height_pruned(history.since, "The books are posted from every event since block 1.")
        kept = self._kept.setdefault(company, _Kept(RunningBooks(company), 0, asyncio.Lock()))
        async with kept.busy:
            while kept.taken < len(history.happenings):
                for happening in history.happenings[kept.taken : kept.taken + STEP]:
                    kept.running.take(
                        LedgerEvent(
                            cursor=str(happening.cursor),
                            height=happening.cursor.height,
                            day=happening.day,
                            contract=happening.contract,
                            name=happening.name,
                            fields=happening.fields,
                        )
                    )
                    kept.taken += 1
                await asyncio.sleep(0)
        height = min(wanted, history.height)
        entries = [entry for entry in kept.running.entries if entry.height <= height]
        return Books(company=company, height=height, entries=entries)


def _account(code: str) -> dict[str, Any]:
    account = default_templates().accounts.get(code)
    names = (
        {"en": code, "zh-CN": code} if account is None else {"en": account.names["en"], "zh-CN": account.names["zh"]}
    )
    return {"account": code, "name": names}


def _head(call: Call, books: Books, day: str) -> dict[str, Any]:
    return {"height": books.height, "company": shapes.company(books.company, call.service.names), "as_of": day}


async def journal(call: Call) -> Answer:
    """The vouchers in the order of posting (F62)."""
    books = await call.engine.keeper.books(call)
    day = call.query.day("as_of") or FAR
    first, account = call.query.day("from"), call.query.text("account")
    wanted = [
        entry
        for entry in books.entries
        if first <= entry.date <= day and (not account or any(line.account == account for line in entry.lines))
    ]
    start = 0
    if cursor := call.query.text("cursor"):
        _, last = read_page_cursor(cursor)
        start = next((place + 1 for place, entry in enumerate(wanted) if entry.source == last), len(wanted))
    limit = call.query.limit()
    page = wanted[start : start + limit]
    following = page_cursor(books.height, page[-1].source) if page and start + limit < len(wanted) else ""
    content = {**_head(call, books, "" if day == FAR else day), "items": [_entry(call, entry) for entry in page]}
    if call.query.flag("count"):
        content["count"] = len(wanted)
    return Answer(content=content, next_cursor=following)


def _entry(call: Call, entry: JournalEntry) -> dict[str, Any]:
    service = call.service
    return {
        "voucher": entry.voucher,
        "type": entry.voucher_type,
        "number": entry.number,
        "period": entry.period,
        "date": entry.date,
        "text": {"en": entry.text["en"], "zh-CN": entry.text["zh"]},
        "lines": [
            {
                **_account(line.account),
                "side": line.side,
                "amount": shapes.amount(line.minor, line.currency, service.currencies),
                "partner": shapes.company(line.partner, service.names) if line.partner else None,
                "reference": line.reference,
            }
            for line in entry.lines
        ],
        "source": entry.source,
        "event": entry.event,
        "known_at": entry.height,
        "template": entry.template,
        "document": entry.document,
        "about": entry.about,
        "reverses": list(entry.reverses),
    }


async def trial_balance(call: Call) -> Answer:
    """All accounts with opening, movement and closing; debits equal credits, and control accounts tie (F60, F61)."""
    books, day = await call.engine.keeper.books(call), as_of(call)
    report = trial_balance_report(books.entries, day, books.height, company=books.company)
    currency = call.query.text("currency")
    currencies = call.service.currencies
    content = _head(call, books, day)
    content["items"] = [
        {
            **_account(row.account),
            "currency": row.currency,
            **{
                name: shapes.amount(minor, row.currency, currencies)
                for name, minor in (
                    ("opening", row.opening),
                    ("debit", row.debit),
                    ("credit", row.credit),
                    ("closing", row.closing),
                )
            },
        }
        for row in report.rows
        if not currency or row.currency == currency
    ]
    content["totals"] = [
        {
            "currency": code,
            "debit": shapes.amount(debit, code, currencies),
            "credit": shapes.amount(credit, code, currencies),
            "difference": shapes.amount(debit - credit, code, currencies),
        }
        for code, debit, credit in report.totals
        if not currency or code == currency
    ]
    content["control"] = await _control(call, books, day)
    return Answer(content=content)


async def _control(call: Call, books: Books, day: str) -> list[dict[str, Any]] | None:
    """Return the control accounts beside their subledgers; None when rows are newer than the durable entries."""
    if books.height != call.view.height:
        return None
    rows = await business_rows(call)
    return [
        {
            **_account(check.account),
            "ledger": check.ledger,
            "currency": check.currency,
            "books": shapes.amount(check.books, check.currency, call.service.currencies),
            "rows": shapes.amount(check.rows, check.currency, call.service.currencies),
            "ties": check.ties,
        }
        for check in control_checks(books.entries, rows, books.company, day, books.height)
    ]


async def balances(call: Call) -> Answer:
    """The balance of every account that is not zero; a credit balance is negative."""
    books, day = await call.engine.keeper.books(call), as_of(call)
    currency = call.query.text("currency")
    content = _head(call, books, day)
    content["items"] = [
        {**_account(code), "balance": shapes.amount(net, unit, call.service.currencies)}
        for (code, unit), net in account_balances(books.entries, day, books.height).items()
        if not currency or unit == currency
    ]
    return Answer(content=content)


async def ageing(call: Call) -> Answer:
    """Receivables or payables by days overdue as of a date; the buckets add up to the control account (F71)."""
    rows, day = await business_rows(call), as_of(call)
    ledger = "payable" if call.query.text("side") == "payable" else "receivable"
    report = ageing_report(rows, call.principal.company_id, day, height=call.view.height, ledger=ledger)  # type: ignore[arg-type]  # a Literal by construction
    currency = call.query.text("currency")
    return Answer(
        content={
            "company": shapes.company(report.company, call.service.names),
            "as_of": report.as_of,
            "side": report.ledger,
            **_account(report.account),
            "buckets": list(report.labels),
            "items": [_aged(call, row) for row in report.rows if not currency or row.currency == currency],
            "totals": [_aged(call, row) for row in report.totals if not currency or row.currency == currency],
        }
    )


def _aged(call: Call, row: Any) -> dict[str, Any]:
    def shown(minor: int) -> dict[str, str]:
        return shapes.amount(minor, row.currency, call.service.currencies)

    return {
        "partner": shapes.company(row.partner, call.service.names) if row.partner else None,
        "currency": row.currency,
        "buckets": [shown(minor) for minor in row.buckets],
        "credits": shown(row.credits),
        "total": shown(row.total),
        "disputed": shown(row.disputed),
        "unallocated": shown(row.unallocated),
        "invoices": row.items,
    }


async def open_items(call: Call) -> Answer:
    """Open invoices, unused credit notes and unallocated money as of a date (F20, F26, F36)."""
    rows, day, company = await business_rows(call), as_of(call), call.principal.company_id
    side, currency = call.query.text("side"), call.query.text("currency")

    def wanted(ledger: str, unit: str) -> bool:
        return (not side or ledger == side) and (not currency or unit == currency)

    def shown(minor: int, unit: str) -> dict[str, str]:
        return shapes.amount(minor, unit, call.service.currencies)

    names = call.service.names
    return Answer(
        content={
            "company": shapes.company(company, names),
            "as_of": day,
            "items": [
                _item(call, item) for item in list_open_items(rows, company, day) if wanted(item.ledger, item.currency)
            ],
            "credits": [
                {
                    "id": credit.credit,
                    "side": credit.ledger,
                    "partner": shapes.company(credit.partner, names),
                    "issued": credit.issued,
                    "total": shown(credit.total, credit.currency),
                    "open": shown(credit.open, credit.currency),
                    "invoice": credit.invoice,
                }
                for credit in open_credits(rows, company, day)
                if wanted(credit.ledger, credit.currency)
            ],
            "receipts": [
                {
                    "id": receipt.payment,
                    "side": receipt.ledger,
                    "partner": shapes.company(receipt.partner, names),
                    "value_on": receipt.value_on,
                    "amount": shown(receipt.amount, receipt.currency),
                    "open": shown(receipt.open, receipt.currency),
                }
                for receipt in open_receipts(rows, company, day)
                if wanted(receipt.ledger, receipt.currency)
            ],
        }
    )


def _item(call: Call, item: OpenItem) -> dict[str, Any]:
    content: dict[str, Any] = {
        "id": item.invoice,
        "side": item.ledger,
        "partner": shapes.company(item.partner, call.service.names),
        "issued": item.issued,
        "due": item.due,
        "days_overdue": item.days_overdue,
        "document": item.document,
        "status": item.status.label,
        "flags": list(item.status.flags),
    }
    for name in ("total", "paid", "credited", "set_off", "written_off", "open", "disputed", "held", "free"):
        content[name] = shapes.amount(getattr(item, name), item.currency, call.service.currencies)
    return content


HANDLERS: Final[Mapping[str, Handler]] = {
    "journal": journal,
    "trial_balance": trial_balance,
    "balances": balances,
    "ageing": ageing,
    "open_items": open_items,
}
