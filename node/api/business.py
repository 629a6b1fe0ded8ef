"""Operations on business objects beside invoices: what waits, credit notes, payments, credit limits (F87, RK1).

Rows come from the state at one height and are filtered by party before anything is counted (F3, S70).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.invoices import (
    DUE_SOON_DAYS,
    Judged,
    as_of,
    business_rows,
    judged_invoices,
    next_act,
    number_of,
    page_of,
    shown,
    tables_of,
    timeline,
)
from node.api.problems import not_found
from node.api.rows import Row

# -- credit notes, payments, limits


async def credits(call: Call) -> Answer:
    """The credit notes of the caller's company with what is left of each (F26)."""
    tables = tables_of(call)
    found = [row async for row in tables.rows("invoices", "Credit")]
    items = sorted(
        (shown(call, "invoices", "Credit", row) for row in found), key=lambda item: (item["issued"], item["id"])
    )
    for item in items:
        item["side"] = "sold" if item["seller"]["id"] == call.principal.company_id else "bought"
    page, following = page_of(call, items, lambda item: str(item["id"]))
    return Answer(content={"items": page}, next_cursor=following)


async def payments(call: Call) -> Answer:
    """The payments the caller's company makes, receives, or confirms as the bank."""
    tables = tables_of(call)
    company = call.principal.company_id
    items = []
    async for row in tables.rows("payments", "Payment"):
        item = _payment(call, row)
        if (phase := call.query.text("phase")) and item["phase"] != phase:
            continue
        if (side := call.query.text("side")) and company != item[
            {"paid": "payer", "received": "payee", "bank": "bank"}[side]
        ]["id"]:
            continue
        items.append(item)
    items.sort(key=lambda item: (item["value_on"], item["id"]))
    page, following = page_of(call, items, lambda item: str(item["id"]))
    return Answer(content={"items": page}, next_cursor=following)


async def payment(call: Call) -> Answer:
    """One payment with its lines and its timeline."""
    tables = tables_of(call)
    row = tables.get("payments", "Payment", call.path["payment"])
    if row is None:
        raise not_found()
    lines = [
        shown(call, "payments", "Line", line)
        async for line in tables.rows("payments", "Line")
        if line.values["payment"] == row.values["id"]
    ]
    content = _payment(call, row)
    content.update(lines=lines, state_key=row.key.hex(), timeline=await timeline(call, row.values["id"], row.parties))
    return Answer(content=content)


def _payment(call: Call, row: Row) -> dict[str, Any]:
    item = shown(call, "payments", "Payment", row)
    company = call.principal.company_id
    if row.values["payer"] == company:
        item["side"] = "paid"
    else:
        item["side"] = "received" if row.values["payee"] == company else "bank"
    return item


async def limits(call: Call) -> Answer:
    """Agreed credit limits with the exposure on accepted invoices (RK1)."""
    tables = tables_of(call)
    service = call.service
    items = []
    async for row in tables.rows("credit_risk", "Limit"):
        item = shown(call, "credit_risk", "Limit", row)
        unit = row.values["unit"]
        owed = tables.get("invoices", "Owed", row.values["lender"], row.values["borrower"], unit)
        used = 0 if owed is None else owed.values["amount"][1]
        granted = row.values["amount"][1]
        item.update(
            id="/".join((row.values["lender"], row.values["borrower"], unit)),
            used=shapes.amount(used, unit, service.currencies),
            available=shapes.amount(granted - used, unit, service.currencies),
            in_force=not row.values["frozen"] and as_of(call) <= row.values["review_by"],
            side="granted" if row.values["lender"] == call.principal.company_id else "received",
        )
        items.append(item)
    return Answer(content={"items": items})


# -- what waits


async def inbox(call: Call) -> Answer:
    """What waits for the caller's company, most urgent first, and what it waits for at others (F87)."""
    day, company = as_of(call), call.principal.company_id
    lines = await judged_invoices(call, day)
    mine: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for judged in lines:
        waits = next_act(judged.row, call.service)
        if waits is not None and waits["act"] != "pay_under_way":
            (mine if waits["company"]["id"] == company else theirs).append(_task(call, judged, waits))
    for row in (await business_rows(call)).get("Payment", ()):
        step = {"proposed": ("payer", "release"), "released": ("bank", "confirm")}.get(row["phase"])
        if step is not None:
            who, act = row[step[0]], step[1]
            (mine if who == company else theirs).append(_payment_task(call, row, act, day, who))
    limit = call.query.limit()
    mine.sort(key=lambda task: (task["due"], task["id"]))
    theirs.sort(key=lambda task: (task["due"], task["id"]))
    content = {
        "as_of": day,
        "items": [_numbered(call, task) for task in mine[:limit]],
        "more": max(0, len(mine) - limit),
        "waiting_for_others": [_numbered(call, task) for task in theirs[:limit]],
        "more_others": max(0, len(theirs) - limit),
        "position": _position(call, lines),
    }
    return Answer(content=content)


def _task(call: Call, judged: Judged, waits: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "act": waits["act"],
        "type": "invoice",
        "id": judged.row["id"],
        "number": judged.row,
        "partner": shapes.company(judged.partner, call.service.names),
        "who": waits["company"],
        "amount": shapes.amount(judged.open, judged.currency, call.service.currencies),
        "due": judged.row["due"],
        "days_overdue": judged.days_overdue,
        "status": judged.status.label,
        "flags": list(judged.status.flags),
        "roles": list(_ROLES_FOR[waits["act"]]),
    }


def _numbered(call: Call, task: dict[str, Any]) -> dict[str, Any]:
    """Look up the printed number only for tasks that are shown."""
    if task["type"] == "invoice":
        task["number"] = number_of(call, task["number"])
    return task


def _payment_task(call: Call, row: Mapping[str, Any], act: str, day: str, who: str) -> dict[str, Any]:
    service, company = call.service, call.principal.company_id
    other = row["payee"] if row["payer"] == company else row["payer"]
    return {
        "act": act,
        "type": "payment",
        "id": row["id"],
        "number": None,
        "partner": shapes.company(other, service.names),
        "who": shapes.company(who, service.names),
        "amount": shapes.money(row["amount"], service.currencies),
        "due": row["deadline"],
        "days_overdue": shapes.days_between(row["deadline"], day),
        "status": row["phase"],
        "flags": [],
        "roles": list(_ROLES_FOR[act]),
    }


_ROLES_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "receive": ("preparer",),
    "accept": ("preparer", "approver"),
    "answer": ("preparer",),
    "settle_dispute": ("approver",),
    "pay": ("preparer", "approver"),
    "pay_under_way": (),
    "release": ("treasurer",),
    "confirm": ("preparer", "approver"),
}
"""People roles that sign the act, in the order of signing (finance design, section 6)."""


def _position(call: Call, lines: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return per currency: to collect and to pay, of it overdue and due within a week."""
    sums: dict[str, dict[str, int]] = {}
    for judged in lines:
        if not judged.is_open or (not judged.sold and judged.row["document"] != "accepted"):
            continue
        cell = sums.setdefault(judged.currency, dict.fromkeys(_POSITION, 0))
        side = "collect" if judged.sold else "pay"
        cell[side] += judged.open
        if judged.days_overdue > 0:
            cell[f"{side}_overdue"] += judged.open
        elif judged.days_overdue >= -DUE_SOON_DAYS:
            cell[f"{side}_soon"] += judged.open
    return [
        {
            "currency": currency,
            **{name: shapes.amount(cell[name], currency, call.service.currencies) for name in _POSITION},
        }
        for currency, cell in sorted(sums.items())
    ]


_POSITION: Final = ("collect", "collect_overdue", "collect_soon", "pay", "pay_overdue", "pay_soon")


HANDLERS: Final[Mapping[str, Handler]] = {
    "inbox": inbox,
    "credits": credits,
    "payments": payments,
    "payment": payment,
    "limits": limits,
}
