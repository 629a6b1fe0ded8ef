"""Search (U31): a number is tried as a height first, then ids and hashes, then names and amounts.

Results are filtered before they are counted; nothing tells how much was hidden (S70).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.chain import parties_of_transaction
from node.api.invoices import as_of, judged_invoices, number_of, tables_of

RESULTS_MAX: Final = 50
_HEIGHT: Final = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{6,64}", re.ASCII)
_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,3})?", re.ASCII)
_OBJECT: Final = re.compile(r"[a-z]{2,8}-[A-Za-z0-9_-]{4,56}", re.ASCII)


async def search(call: Call) -> Answer:
    """Find what a text names: block, transaction, invoice, payment, company, amount."""
    text = call.query.text("q").strip()
    results: list[dict[str, Any]] = []
    if text:
        _blocks(call, text, results)
        await _transactions(call, text.lower(), results)
        _objects(call, text, results)
        await _invoices(call, text, results)
        _companies(call, text.lower(), results)
    unique: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        unique.setdefault((result["type"], result["id"]), result)
    return Answer(content={"q": text, "items": list(unique.values())[:RESULTS_MAX]})


def _blocks(call: Call, text: str, results: list[dict[str, Any]]) -> None:
    service = call.service
    if _HEIGHT.fullmatch(text):
        head = service.head(int(text))
        if head is not None:
            results.append(_block(head.header.height, head.block_id, head.header.time_ms))
    elif len(text) == 64 and _HEX.fullmatch(text.lower()):
        block = service.block(bytes.fromhex(text.lower()))
        if block is not None:
            results.append(_block(block.header.height, block.block_id, block.header.time_ms))


def _block(height: int, block_id: bytes, time_ms: int) -> dict[str, Any]:
    return {"type": "block", "id": str(height), "title": block_id.hex(), "detail": shapes.instant(time_ms) or ""}


async def _transactions(call: Call, text: str, results: list[dict[str, Any]]) -> None:
    """A whole id is looked up in the chain; a prefix among the transactions that concern the caller's company."""
    if not _HEX.fullmatch(text):
        return
    if len(text) == 64:
        found = call.service.transaction(bytes.fromhex(text))
        if found is not None and call.gate.sees(
            parties_of_transaction(call.service, found.transaction, found.receipt, found.height)
        ):
            body = found.transaction.body if found.transaction is not None else None
            detail = "" if body is None else f"{body.contract}.{body.method}"
            results.append({"type": "transaction", "id": text, "title": detail, "detail": found.state.value})
        return
    history = await call.engine.histories.of(call.principal.company_id)
    for happening in history.happenings:
        tx_id = happening.tx_id.hex()
        if tx_id.startswith(text) and call.gate.sees(happening.parties):
            results.append(
                {
                    "type": "transaction",
                    "id": tx_id,
                    "title": f"{happening.contract}.{happening.name}",
                    "detail": happening.day,
                }
            )
            if len(results) >= RESULTS_MAX:
                return


def _objects(call: Call, text: str, results: list[dict[str, Any]]) -> None:
    if not _OBJECT.fullmatch(text):
        return
    tables = tables_of(call)
    payment = tables.get("payments", "Payment", text)
    if payment is not None:
        amount = shapes.money(payment.values["amount"], call.service.currencies)
        results.append(
            {
                "type": "payment",
                "id": text,
                "title": f"{amount['amount']} {amount['currency']}",
                "detail": payment.values["phase"],
            }
        )


async def _invoices(call: Call, text: str, results: list[dict[str, Any]]) -> None:
    """By id or its beginning, printed number, partner name, or exact amount."""
    wanted, low = text.replace(",", ""), text.lower()
    is_amount = _AMOUNT.fullmatch(wanted) is not None
    service = call.service
    for judged in await judged_invoices(call, as_of(call)):
        row = judged.row
        names = [service.names.get(row[side], row[side]) for side in ("seller", "buyer")]
        total = shapes.money(row["total"], service.currencies)
        hit = (
            (len(text) >= 5 and row["id"].startswith(text))
            or (len(low) >= 3 and low in service.names.get(judged.partner, "").lower())
            or (is_amount and _same_amount(wanted, total["amount"]))
            or low in (number_of(call, row) or "").lower()
        )
        if hit:
            results.append(
                {
                    "type": "invoice",
                    "id": row["id"],
                    "title": f"{names[0]} → {names[1]}",
                    "detail": f"{total['amount']} {total['currency']}",
                }
            )
            if len(results) >= RESULTS_MAX:
                return


def _same_amount(text: str, amount: str) -> bool:
    """Tell whether both texts write the same amount: 100, 100.0 and 100.00 are one."""

    def plain(value: str) -> str:
        return value.rstrip("0").rstrip(".") if "." in value else value

    return plain(text) == plain(amount)


def _companies(call: Call, text: str, results: list[dict[str, Any]]) -> None:
    for company_id, name in sorted(call.service.names.items()):
        if text == company_id or (len(text) >= 3 and text in name.lower()):
            results.append({"type": "company", "id": company_id, "title": name, "detail": ""})


HANDLERS: Final[Mapping[str, Handler]] = {"search": search}
