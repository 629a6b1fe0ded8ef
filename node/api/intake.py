"""Operations on documents: take in a foreign file, hand out the original, make a proof pack (S57, S69, S90, F77)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.ports import NotYet
from node.api.problems import Problem, height_pruned, not_found
from node.documents.taking import DocumentFinding, DocumentRefused, DocumentTaken, DocumentWish

TERMS_DAYS_DEFAULT: Final = 30
FINDINGS_SHOWN: Final = 100
ROOT_HEX: Final = 64


async def take(call: Call) -> Answer:
    """Read, resolve and seal a file; nothing is written on the ledger by this."""
    if call.principal.company_id != call.service.company_id:
        raise Problem("forbidden", "A node takes documents of its own company only.")
    if not call.body:
        raise Problem("malformed", "The file is empty.", next_step="Send the bytes of one document.")
    terms = call.query.integer("terms_days")
    wish = DocumentWish(
        name=call.query.text("name", "document"),
        strict=call.query.text("strict", "true") in ("true", "1"),
        terms_days=TERMS_DAYS_DEFAULT if terms is None else terms,
        seller=call.query.text("seller"),
        buyer=call.query.text("buyer"),
    )
    found = await call.service.take_document(call.body, wish)
    return Answer(content={"items": [_item(call, document) for document in found]}, of_state=False)


async def document(call: Call) -> Answer:
    """The original file with the seed of its field tree: what the seller hands to the buyer."""
    text = call.path["root"]
    try:
        root = bytes.fromhex(text) if len(text) == ROOT_HEX else b""
    except ValueError:
        root = b""
    original = call.service.original(root) if root else None
    if original is None or not call.gate.reads_document((original.seller, original.buyer), text):
        raise not_found()
    return Answer(
        content={
            "root": text,
            "name": original.name,
            "sha256": original.sha256.hex(),
            "seed": original.seed.hex(),
            "data": b64encode(original.data).decode("ascii"),
        },
        of_state=False,
    )


async def audit_pack(call: Call) -> Answer:
    """A proof pack of the own company: what an auditor checks offline (F77)."""
    if call.principal.company_id != call.service.company_id:
        raise Problem("forbidden", "A node makes packs of its own company only.")
    if call.service.oldest_height() > 1:
        raise height_pruned(call.service.oldest_height(), "A pack proves every event of the company since block 1.")
    try:
        height, data = await call.service.audit_pack()
    except NotYet as reason:
        raise Problem("not_ready", str(reason)) from None
    return Answer(
        content={
            "at": height,
            "bytes": len(data),
            "sha256": sha256(data).hexdigest(),
            "data": b64encode(data).decode("ascii"),
        },
        of_state=False,
    )


def _item(call: Call, document: DocumentTaken | DocumentRefused) -> dict[str, Any]:
    findings = _findings(document.findings)
    if isinstance(document, DocumentRefused):
        return {
            "outcome": "refused",
            "number": document.number,
            "field": document.field,
            "code": document.code,
            "reason": document.reason,
            "findings": findings,
        }
    names = call.service.names
    return {
        "outcome": "taken",
        "kind": document.kind,
        "type_code": document.type_code,
        "profile": document.profile,
        "number": document.number,
        "number_key": document.number_key,
        "invoice": _preceding(call, document),
        "seller": shapes.company(document.seller, names),
        "buyer": shapes.company(document.buyer, names),
        "net": _money(call, document.net),
        "tax": _money(call, document.tax),
        "total": _money(call, document.total),
        "issued": document.issued,
        "due": document.due,
        "root": document.root,
        "fields": document.fields,
        "findings": findings,
    }


def _preceding(call: Call, document: DocumentTaken) -> str:
    """Return the id of the invoice that a credit note names, or "" when the ledger does not know its number."""
    program = call.service.interfaces["invoices"]
    for number_key in document.preceding_keys:
        value = call.view.get(program.row_key("Number", (document.seller, number_key)))
        if value is not None:
            return str(program.decode_row("Number", value)["invoice"])
    return ""


def _money(call: Call, value: tuple[str, int]) -> dict[str, Any]:
    return {**shapes.money(value, call.service.currencies), "minor": value[1]}


def _findings(findings: Sequence[DocumentFinding]) -> list[dict[str, str]]:
    return [
        {
            "rule": finding.rule,
            "severity": finding.severity,
            "field": finding.field,
            "place": finding.place,
            "text": finding.text,
        }
        for finding in findings[:FINDINGS_SHOWN]
    ]


HANDLERS: Final[Mapping[str, Handler]] = {
    "document_take": take,
    "document": document,
    "audit_pack": audit_pack,
}
