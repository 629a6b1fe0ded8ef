"""Dry runs: any call, over any state that is held, with what it read, wrote and cost, and why it was refused (L65).

Whoever may submit may rehearse, for the own company only. A contract computes with rows of others too; as soon as it
read one that the caller may not see, values are left out of the answer: rows, locals, result, texts and events. Lines,
gas and the code of a refusal stay.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from finance.books import BooksError, LedgerEvent
from finance.postings import journal
from ledger.codec import Codec
from ledger.errors import LedgerError
from ledger.receipt import STATUS_OK
from ledger.transaction import CAPACITIES, ENVELOPE_LIMIT_BYTES, SIGNERS_MAX, TxBody
from node.access.feed import is_open, named, parties_of, readers_of_row
from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.problems import Problem, invalid
from node.api.rows import Tables
from node.core.rehearsal import Rehearsal

_body_codec: Final[Codec[TxBody]] = Codec(TxBody, "transaction body", ENVELOPE_LIMIT_BYTES)


class RehearsalRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`body`: the canonical bytes of a transaction body, base64; signers may be empty for a query.

    `trace`: list the statements too, each with the values that changed.
    """

    body: str
    trace: bool = False


async def rehearsal(call: Call) -> Answer:
    """What a transaction would do after the height of the answer; nothing is kept."""
    try:
        wanted = msgspec.json.decode(call.body, type=RehearsalRequest)
    except msgspec.MsgspecError as error:
        raise invalid("", f"the body is not a rehearsal: {error}") from None
    try:
        body = _body_codec.decode(b64decode(wanted.body, validate=True))
    except (ValueError, LedgerError) as error:
        raise invalid("/body", f"it is no transaction body: {error}") from None
    if len(body.signers) > SIGNERS_MAX or any(signer.capacity not in CAPACITIES for signer in body.signers):
        raise invalid("/body", f"at most {SIGNERS_MAX} signers, each as {', '.join(CAPACITIES)}")
    if not 1 <= body.gas_limit <= call.service.max_tx_gas:
        raise invalid("/body", f"the gas limit is {body.gas_limit}, 1 to {call.service.max_tx_gas} are possible")
    companies = tuple(dict.fromkeys(signer.company_id for signer in body.signers)) or (call.principal.company_id,)
    if not call.gate.sees(companies):
        raise Problem(
            "forbidden",
            "Nobody of the caller's company signs this transaction.",
            next_step="Name people of your own company among the signers.",
        )
    found = call.service.rehearse(call.view, body, call.wall_ms)
    return Answer(content=_content(call, body, found, trace=wanted.trace))


def _content(call: Call, body: TxBody, found: Rehearsal, *, trace: bool) -> dict[str, Any]:
    service, receipt = call.service, found.receipt
    tables = Tables(call.view, service.interfaces, call.gate, call.engine.decoded)
    reads = [key for key, value in found.reads.items() if key.startswith(b"t") and value is not None]
    hidden = any(tables.at(key) is None for key in reads)
    names = service.currencies, service.names
    events = []
    for event in receipt.events if not hidden else ():
        schema = service.event_fields(event, call.view.height + 1)
        fields = (
            shapes.plain(event.fields) if schema is None else shapes.typed(schema, named(schema, event.fields), *names)
        )
        events.append({"contract": event.contract, "name": event.name, "fields": fields})
    content: dict[str, Any] = {
        "contract": body.contract,
        "version": receipt.version,
        "method": body.method,
        "outcome": "ok" if receipt.status == STATUS_OK else "failed",
        "abort": shapes.abort(receipt, text=not hidden),
        "gas_used": receipt.gas_used,
        "gas_limit": body.gas_limit,
        "earlier": found.earlier,
        "hidden": hidden,
        "result": None if hidden else _result(call, body, receipt.result),
        "events": events,
        "reads": [] if hidden else [_row(call, tables, key, found.reads[key]) for key in reads],
        "writes": []
        if hidden
        else [
            {
                "before": _row(call, tables, key, before),
                "after": _row(call, tables, key, after),
            }
            for key, (before, after) in found.writes.items()
            if key.startswith(b"t")
        ],
        "other_writes": sum(1 for key in found.writes if not key.startswith(b"t")),
        "postings": [] if hidden else _postings(call, found),
        "lines": [
            {"contract": contract, "line": line, "times": times, "gas": gas}
            for (contract, line), (times, gas) in sorted(found.lines.items())
        ],
    }
    if trace:
        content["cut"] = found.cut
        content["trace"] = [
            {
                "contract": step.contract,
                "line": step.line,
                "gas_left": step.gas_left,
                "locals": {} if hidden else dict(step.locals),
            }
            for step in found.steps
        ]
    return content


def _result(call: Call, body: TxBody, value: Any) -> Any:
    """Return the result of a call in its public form."""
    interface = call.service.interfaces.get(body.contract)
    methods = {} if interface is None else {**interface.queries, **interface.actions}
    field = methods[body.method].result if body.method in methods else None
    if field is None or value is None:
        return shapes.plain(value)
    return shapes.typed((field,), {field.name: value}, call.service.currencies, call.service.names)[field.name]


def _row(call: Call, tables: Tables, key: bytes, value: bytes | None) -> dict[str, Any] | None:
    """Return a row with its fields; without them if it names only companies that the caller does not act for."""
    place = tables.place(key)
    if value is None or place is None:
        return None
    interface = call.service.interfaces[place[0]]
    schema, values = interface.tables[place[1]], interface.decode_row(place[1], value)
    readers = readers_of_row(schema, values)
    shown = None
    if is_open(schema) or not readers or call.gate.sees(readers):
        shown = shapes.typed(schema.fields, values, call.service.currencies, call.service.names)
    return {"contract": place[0], "table": place[1], "key": key.hex(), "fields": shown}


def _postings(call: Call, found: Rehearsal) -> Sequence[Mapping[str, Any]]:
    """Return the journal entries that the events would make in the books of the caller's company (F60)."""
    service, company = call.service, call.principal.company_id
    height = call.view.height + 1
    told: list[LedgerEvent] = []
    for index, event in enumerate(found.receipt.events):
        schema = service.event_fields(event, height)
        if schema is None or event.contract not in service.interfaces:
            continue
        fields = named(schema, event.fields)
        if company in parties_of(schema, fields):
            day = shapes.ledger_day(call.wall_ms, service.utc_offset_min)
            told.append(
                LedgerEvent(
                    cursor=f"{height}.0.{index}",
                    height=height,
                    day=day,
                    contract=event.contract,
                    name=event.name,
                    fields=fields,
                )
            )
    try:
        entries = journal(told, company)
    except BooksError:  # an event that continues an earlier one cannot be posted alone
        return ()
    return [
        {
            "date": entry.date,
            "event": entry.source,
            "lines": [
                {
                    "account": line.account,
                    "side": line.side,
                    "amount": shapes.amount(line.minor, line.currency, service.currencies),
                }
                for line in entry.lines
            ],
        }
        for entry in entries
    ]


HANDLERS: Final[Mapping[str, Handler]] = {"rehearsal": rehearsal}
