"""Invoices of a company: judged as of a date, filtered, paged, and one of them with its whole story.

A list first judges every invoice cheaply (row, derived status, open amount) and writes out only the page that is
asked for. Judging is kept per company, height and day, and is done in slices, so a long list does not hold up
votes. "Paid", "overdue" and the like come from `finance.openitems` and from nowhere else (F20).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from finance.openitems import OpenItem, Rows, Status, derive, open_items
from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.chain import proof_content
from node.api.history import Happening
from node.api.ports import NodeService
from node.api.problems import not_found
from node.api.query import page_cursor, read_page_cursor
from node.api.rows import Row, Tables

T = TypeVar("T")

COMPANIES_MAX: Final = 4
"""Companies whose rows of one height are kept; a node serves its own."""
DUE_SOON_DAYS: Final = 7
STEP: Final = 200
"""Invoices judged between two turns of the loop."""
OPEN_LABELS: Final = ("open", "part_paid", "part_settled", "overdue")
_FINANCE_TABLES: Final = (
    ("Invoice", "invoices"),
    ("Credit", "invoices"),
    ("Allocation", "invoices"),
    ("Payment", "payments"),
)
_AMOUNTS: Final = ("net", "tax", "total", "credited", "paid", "set_off", "written_off", "open", "disputed", "held")
_AS_OF_AMOUNTS: Final = ("credited", "paid", "set_off", "written_off", "open", "disputed", "held", "free")


class Judged(NamedTuple):
    """One invoice as of a date. `item` is None for a payable that the company has not accepted yet."""

    row: Mapping[str, Any]
    item: OpenItem | None
    status: Status
    sold: bool
    open: int
    days_overdue: int

    @property
    def currency(self) -> str:
        return str(self.row["total"][0])

    @property
    def partner(self) -> str:
        return str(self.row["buyer"] if self.sold else self.row["seller"])

    @property
    def is_open(self) -> bool:
        """True while there is something to collect."""
        return self.status.label in OPEN_LABELS


def tables_of(call: Call) -> Tables:
    """Return the reader of the request's view behind the request's gate."""
    return Tables(call.view, call.service.interfaces, call.gate, call.engine.decoded)


async def business_rows(call: Call) -> Rows:
    """Return the rows that finance works on, as far as the caller's company is party; read once per height."""
    company = call.principal.company_id
    kept = call.engine.ledgers.get(company)
    if kept is not None and kept[0] == call.view.height:
        return kept[1]
    tables = tables_of(call)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for table, contract in _FINANCE_TABLES:
        found[table] = [row.values async for row in tables.rows(contract, table)]
    ledgers = call.engine.ledgers
    ledgers[company] = (call.view.height, found)
    ledgers.move_to_end(company)
    while len(ledgers) > COMPANIES_MAX:
        ledgers.popitem(last=False)
    return found


def as_of(call: Call) -> str:
    """Return the date a list is about: the parameter, or the ledger's calendar day of this moment (F6)."""
    return call.query.day("as_of") or shapes.ledger_day(call.wall_ms, call.service.utc_offset_min)


# -- judging


async def judged_invoices(call: Call, day: str) -> list[Judged]:
    """Return all invoices of the caller's company as of a day, sorted by (due, id); kept until height or day moves."""
    company = call.principal.company_id
    kept = call.engine.judged.get(company)
    if kept is not None and kept[:2] == (call.view.height, day):
        return kept[2]
    rows = await business_rows(call)
    links: dict[str, list[Mapping[str, Any]]] = {}
    for link in rows.get("Allocation", ()):
        links.setdefault(link["invoice"], []).append(link)
    own = [row for row in rows.get("Invoice", ()) if company in (row["seller"], row["buyer"])]
    found: list[Judged] = []
    for start in range(0, len(own), STEP):
        part = own[start : start + STEP]
        touched = [link for row in part for link in links.get(row["id"], ())]
        items = {
            item.invoice: item
            for item in open_items({"Invoice": part, "Allocation": touched}, company, day, include_settled=True)
        }
        found += [_judge(row, items.get(row["id"]), company, day) for row in part]
        await asyncio.sleep(0)
    found.sort(key=lambda judged: (judged.row["due"], judged.row["id"]))
    call.engine.judged[company] = (call.view.height, day, found)
    call.engine.judged.move_to_end(company)
    while len(call.engine.judged) > COMPANIES_MAX:
        call.engine.judged.popitem(last=False)
    return found


def _judge(row: Mapping[str, Any], item: OpenItem | None, company: str, day: str) -> Judged:
    if item is not None:
        return Judged(row, item, item.status, row["seller"] == company, item.open, item.days_overdue)
    return Judged(
        row,
        None,
        row_status(row, day),
        row["seller"] == company,
        row["open"][1],
        shapes.days_between(row["due"], day),
    )


def row_status(row: Mapping[str, Any], day: str) -> Status:
    """Return the derived status of an invoice from the totals in its row (F20)."""
    return derive(
        document=row["document"],
        total=row["total"][1],
        paid=row["paid"][1],
        credited=row["credited"][1],
        set_off=row["set_off"][1],
        open_minor=row["open"][1],
        disputed=row["disputed"][1],
        held=row["held"][1],
        due=row["due"],
        as_of=day,
    )


# -- the list


async def invoices(call: Call) -> Answer:
    """The invoices of the caller's company, newest due date last, filtered and paged (U31, U30)."""
    day = as_of(call)
    wanted = [judged for judged in await judged_invoices(call, day) if _matches(call, judged)]
    page, following = page_of(call, wanted, lambda judged: str(judged.row["id"]))
    content: dict[str, Any] = {
        "as_of": day,
        "items": [invoice_line(call, judged) for judged in page],
        "totals": _totals(wanted, call.service),
    }
    if call.query.flag("count"):
        content["count"] = len(wanted)
    return Answer(content=content, next_cursor=following)


def invoice_line(call: Call, judged: Judged) -> dict[str, Any]:
    """Return one invoice as a list shows it."""
    service, row, item = call.service, judged.row, judged.item
    content: dict[str, Any] = {
        "id": row["id"],
        "number": number_of(call, row),
        "kind": row["kind"],
        "side": "sold" if judged.sold else "bought",
        "seller": shapes.company(row["seller"], service.names),
        "buyer": shapes.company(row["buyer"], service.names),
        "issued": row["issued"],
        "due": row["due"],
        "days_overdue": judged.days_overdue,
        "document": row["document"],
        "status": judged.status.label,
        "flags": list(judged.status.flags),
    }
    for name in _AMOUNTS:
        if name in row:
            content[name] = shapes.money(row[name], service.currencies)
    if item is not None:
        for name in _AS_OF_AMOUNTS:
            content[name] = shapes.amount(getattr(item, name), judged.currency, service.currencies)
    content["next"] = next_act(row, service)
    return content


def next_act(row: Mapping[str, Any], service: NodeService) -> dict[str, Any] | None:
    """Return who moves next and how: {"company": ..., "act": ...}, or None when nothing is left to do."""
    document, left = row["document"], row["open"][1]
    if document == "issued":
        who, act = row["buyer"], "receive"
    elif document in ("received", "in_process"):
        who, act = row["buyer"], "accept"
    elif document == "under_query":
        who, act = row["seller"], "answer"
    elif document == "accepted" and row["disputed"][1] > 0:
        who, act = row["seller"], "settle_dispute"
    elif document == "accepted" and left > 0:
        who, act = row["buyer"], "pay_under_way" if row["held"][1] >= left else "pay"
    else:
        return None
    return {"company": shapes.company(who, service.names), "act": act}


def number_of(call: Call, row: Mapping[str, Any]) -> str | None:
    """Return the printed invoice number where this node holds the document and the caller may read it (S69)."""
    if not row["root"] or not call.gate.reads_document((row["seller"], row["buyer"]), row["id"]):
        return None
    facts = call.service.document_facts(row["root"])
    return None if facts is None else facts.number


def _matches(call: Call, judged: Judged) -> bool:
    query, row = call.query, judged.row
    if (side := query.text("side")) and judged.sold != (side == "sold"):
        return False
    if (partner := query.text("partner")) and partner not in (
        judged.partner,
        call.service.names.get(judged.partner, judged.partner),
    ):
        return False
    if (document := query.text("document")) and row["document"] != document:
        return False
    if (status := query.text("status")) and not _has_status(judged, status):
        return False
    if (currency := query.text("currency")) and judged.currency != currency:
        return False
    if (first := query.day("due_from")) and row["due"] < first:
        return False
    last = query.day("due_to")
    return not (last and row["due"] > last)


def _has_status(judged: Judged, status: str) -> bool:
    if status == "due_soon":
        return judged.is_open and -DUE_SOON_DAYS <= judged.days_overdue <= 0
    if status == "open":
        return judged.is_open
    return status == judged.status.label or status in judged.status.flags


def _totals(judged: Sequence[Judged], service: NodeService) -> list[dict[str, Any]]:
    """Return total and open per side and currency over the whole filtered list, not only this page."""
    sums: dict[tuple[str, str], list[int]] = {}
    for one in judged:
        cell = sums.setdefault(("sold" if one.sold else "bought", one.currency), [0, 0, 0])
        cell[0] += 1
        cell[1] += one.row["total"][1]
        cell[2] += one.open
    return [
        {
            "side": side,
            "count": count,
            "total": shapes.amount(total, currency, service.currencies),
            "open": shapes.amount(left, currency, service.currencies),
        }
        for (side, currency), (count, total, left) in sorted(sums.items())
    ]


def page_of(call: Call, items: Sequence[T], name: Callable[[T], str]) -> tuple[Sequence[T], str]:
    """Return one page after the cursor's item and the cursor of the next page (U30)."""
    start = 0
    if cursor := call.query.text("cursor"):
        _, last = read_page_cursor(cursor)
        start = next((place + 1 for place, item in enumerate(items) if name(item) == last), len(items))
    limit = call.query.limit()
    page = items[start : start + limit]
    if start + limit >= len(items) or not page:
        return page, ""
    return page, page_cursor(call.view.height, name(page[-1]))


# -- one invoice


async def invoice(call: Call) -> Answer:
    """One invoice: its three axes, everything that touched it, who signed, and the key to prove it (F73)."""
    tables = tables_of(call)
    row = tables.get("invoices", "Invoice", call.path["invoice"])
    if row is None:
        raise not_found()
    service, day, values = call.service, as_of(call), row.values
    links = [link.values for link in await _about(tables, "invoices", "Allocation", values["id"])]
    items = open_items({"Invoice": [values], "Allocation": links}, call.principal.company_id, day, include_settled=True)
    content = invoice_line(call, _judge(values, items[0] if items else None, call.principal.company_id, day))
    content.update(
        as_of=day,
        reason=values.get("reason", ""),
        root=values["root"],
        number_key=values["number_key"],
        state_key=row.key.hex(),
        row=shapes.typed(
            service.interfaces["invoices"].tables["Invoice"].fields, values, service.currencies, service.names
        ),
        allocations=[
            shown(call, "invoices", "Allocation", found)
            for found in await _about(tables, "invoices", "Allocation", values["id"])
        ],
        disputes=[
            shown(call, "invoices", "Dispute", found)
            for found in await _about(tables, "invoices", "Dispute", values["id"])
        ],
        payments=await _payments_of(call, tables, values["id"]),
        timeline=await timeline(call, values["id"], row.parties),
    )
    if call.gate.reads_document(row.parties, values["id"]) and values["root"]:
        facts = service.document_facts(values["root"])
        content["source"] = None if facts is None else {
            "number": facts.number,
            "kind": facts.kind,
            "profile": facts.profile,
            "name": facts.source_name,
            "sha256": facts.source_sha256,
            "imported": shapes.instant(facts.imported_ms),
        }  # fmt: skip
    if call.query.flag("proof"):
        proof = service.state_proof(row.key)
        content["proof"] = None if proof is None else proof_content(proof, call.service)
    return Answer(content=content)


async def _about(tables: Tables, contract: str, table: str, invoice_id: str) -> list[Row]:
    return [row async for row in tables.rows(contract, table) if row.values.get("invoice") == invoice_id]


def shown(call: Call, contract: str, table: str, row: Row) -> dict[str, Any]:
    fields = call.service.interfaces[contract].tables[table].fields
    return shapes.typed(fields, row.values, call.service.currencies, call.service.names)


async def _payments_of(call: Call, tables: Tables, invoice_id: str) -> list[dict[str, Any]]:
    found = []
    for line in await _about(tables, "payments", "Line", invoice_id):
        payment_row = tables.get("payments", "Payment", line.values["payment"])
        if payment_row is not None:
            found.append(
                {
                    "payment": line.values["payment"],
                    "phase": payment_row.values["phase"],
                    "value_on": payment_row.values["value_on"],
                    "planned": shapes.money(line.values["amount"], call.service.currencies),
                    "allocated": shapes.money(line.values["allocated"], call.service.currencies)
                    if "allocated" in line.values
                    else None,
                }
            )
    return found


async def timeline(call: Call, object_id: str, parties: Sequence[str]) -> list[dict[str, Any]]:
    """Return what happened to an object, in chain order: event, day, transaction and the people who signed (F85)."""
    history = await call.engine.histories.of(call.principal.company_id)
    if call.principal.company_id not in parties:
        return []
    return [
        _moment(call, happening)
        for happening in history.about(object_id)
        if happening.cursor.height <= call.view.height and call.gate.sees(happening.parties)
    ]


def _moment(call: Call, happening: Happening) -> dict[str, Any]:
    service = call.service
    found = service.transaction(happening.tx_id)
    signers = [] if found is None or found.transaction is None else found.transaction.body.signers
    return {
        "cursor": str(happening.cursor),
        "height": happening.cursor.height,
        "time": shapes.instant(happening.time_ms),
        "day": happening.day,
        "transaction": happening.tx_id.hex(),
        "final": found is not None and found.final_height > 0,
        "event": f"{happening.contract}.{happening.name}",
        "fields": shapes.typed(happening.schema, happening.fields, service.currencies, service.names),
        "signers": [
            {
                **shapes.person(signer.user_id, signer.company_id, service.people, service.names),
                "capacity": signer.capacity,
            }
            for signer in signers
        ],
    }


HANDLERS: Final[Mapping[str, Handler]] = {"invoices": invoices, "invoice": invoice}
