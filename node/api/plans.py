"""Operations about contracts by vote: what was proposed, every source there is, and a review of one (L57-L60)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts.values import date_text
from ledger.certificate import quorum
from ledger.governance.calls import tally
from ledger.governance.plans import CONTRACTS_PER_PLAN, delay_for_indexes
from ledger.governance.programs import INDEX_ROWS_MAX, SOURCE_BYTES_MAX, is_stopped, stored_source, versions
from ledger.governance.records import (
    ACCEPTED,
    OPEN,
    PAYLOADS,
    Proposal,
    RearmSchedule,
    ResumeContract,
    SuspendContract,
    plan_codec,
    read_proposal,
)
from ledger.state import StateView
from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.governance import listed
from node.api.invoices import tables_of
from node.api.problems import invalid, not_found
from node.api.rows import Tables
from node.core.programs import Parked

KINDS: Final = ("contract", "suspend_contract", "resume_contract", "rearm_schedule")
ENTRIES_MAX: Final = 50_000
"""Schedule entries looked at for one list."""
ENTRIES_STEP: Final = 128
"""Entries between two turns of the loop."""
ID_HEX: Final = 64


class PlannedSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source that may become a contract."""

    name: str
    source: str


class ReviewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sources that would become active together."""

    contracts: list[PlannedSource]


async def plans(call: Call) -> Answer:
    """Proposals about contracts, the newest first, with the votes that count now."""
    return Answer(content={"items": [_plan(call, item) for item in await listed(call.view, KINDS)]})


async def plan(call: Call) -> Answer:
    """One proposal about contracts, with the sources it would bring."""
    text = call.path["plan"]
    try:
        wanted = bytes.fromhex(text) if len(text) == ID_HEX else b""
    except ValueError:
        wanted = b""
    found = read_proposal(call.view, wanted)
    if found is None or found.kind not in KINDS:
        raise not_found()
    content = _plan(call, found)
    if found.kind == "contract":
        for item, (_, code, _) in zip(content["contracts"], plan_codec.decode(found.payload).contracts, strict=True):
            item["source"] = stored_source(call.view, code).decode("utf-8", "replace")
    return Answer(content=content)


async def history(call: Call) -> Answer:
    """Every source that was accepted, by the height from which it runs: old ones stay (L63)."""
    return Answer(
        content={
            "items": [
                {
                    "active_from": step.active_from,
                    "active": step.active_from <= call.view.height + 1,
                    "contracts": [
                        {
                            "name": name,
                            "code_id": code.hex(),
                            "ir_hash": step.ir_hashes[name].hex(),
                            "source": step.sources[name].decode("utf-8", "replace"),
                        }
                        for name, code in step.mark
                    ],
                }
                for step in call.service.steps(call.view)
            ]
        }
    )


async def parked(call: Call) -> Answer:
    """Schedule entries that an abort took out of the queue; a vote arms them again (L55).

    Everybody votes, so everybody sees them. What their rows say is for the readers of those rows.
    """
    tables = tables_of(call)
    items: list[dict[str, Any]] = []
    after, left = b"", ENTRIES_MAX
    while left > 0:
        found, after = call.service.parked(call.view, after, ENTRIES_STEP)
        left -= ENTRIES_STEP
        items += [_parked(tables, item) for item in found]
        if not after:
            break
        await asyncio.sleep(0)
    return Answer(content={"items": items, "complete": not after})


async def review(call: Call) -> Answer:
    """What sources compile to after everything accepted so far, judged in a process of its own (L58)."""
    try:
        wanted = msgspec.json.decode(call.body, type=ReviewRequest)
    except msgspec.MsgspecError as error:
        raise invalid("", f"the body is not a review: {error}") from None
    count = len(wanted.contracts)
    if not 1 <= count <= CONTRACTS_PER_PLAN:
        raise invalid("/contracts", f"{count} contracts; a plan has 1 to {CONTRACTS_PER_PLAN}")
    sources: dict[str, bytes] = {}
    for at, item in enumerate(wanted.contracts):
        source = item.source.encode("utf-8", "surrogatepass")
        if item.name in sources:
            raise invalid(f"/contracts/{at}/name", f"{item.name[:40]!r} stands twice")
        if not 0 < len(source) <= SOURCE_BYTES_MAX:
            raise invalid(f"/contracts/{at}/source", f"{len(source)} bytes; 1 to {SOURCE_BYTES_MAX} are possible (L58)")
        sources[item.name] = source
    found = await call.service.review(sources)
    fault = found.fault
    rows = call.service.index_rows(call.view, sources) if fault is None else 0
    return Answer(
        content={
            "index_rows": rows,
            "index_rows_max": INDEX_ROWS_MAX,
            "delay_min": delay_for_indexes(call.view, rows),
            "fault": None
            if fault is None
            else {
                "contract": fault.contract,
                "code": fault.code,
                "line": fault.line,
                "column": fault.column,
                "text": fault.text,
            },
            "contracts": [
                {
                    "name": item.name,
                    "version": item.version,
                    "replaces": item.replaces,
                    "code_id": item.code_id.hex(),
                    "ir_hash": item.ir_hash.hex(),
                    "uses": list(item.uses),
                    "worst_gas": item.worst_gas,
                    "failing_rows": [
                        {"table": table, "key": key.hex(), "line": line}
                        for table, key, line in call.service.failing_rows(call.view, sources, item.name)
                    ],
                }
                for item in found.contracts
            ],
        }
    )


def _plan(call: Call, found: Proposal) -> dict[str, Any]:
    view, names = call.view, call.service.names
    votes = tally(view, found, view.height + 1)
    over = found.status == OPEN and found.expires_height <= view.height
    content: dict[str, Any] = {
        "id": found.proposal_id.hex(),
        "kind": found.kind,
        "company": shapes.company(found.company_id, names),
        "status": "expired" if over else found.status,
        "opened_height": found.opened_height,
        "expires_height": found.expires_height,
        "closed_height": found.closed_height or None,
        "approving": [shapes.company(company, names) for company in votes.approving],
        "refusing": [shapes.company(company, names) for company in votes.refusing],
        "quorum": quorum(votes.members),
        "delay_heights": None,
        "contracts": [],
    }
    if found.kind == "contract":
        stored = plan_codec.decode(found.payload)
        content["delay_heights"] = stored.delay_heights
        content["contracts"] = [
            {
                "name": name,
                "code_id": code.hex(),
                "ir_hash": ir_hash.hex(),
                "active_from": _begin(view, name, code) if found.status == ACCEPTED else None,
            }
            for name, code, ir_hash in stored.contracts
        ]
    else:
        payload = PAYLOADS[found.kind].decode(found.payload)
        if isinstance(payload, SuspendContract | ResumeContract):
            stopped = is_stopped(view, payload.name)
            content["contracts"] = [{"name": payload.name, "suspended": stopped}]
        elif isinstance(payload, RearmSchedule):
            content["contracts"] = [{"name": payload.contract, "schedule": payload.schedule, "key": payload.key.hex()}]
    return content


def _parked(tables: Tables, item: Parked) -> dict[str, Any]:
    row, place = tables.at(item.row), tables.place(item.row)
    shown = None
    if row is not None and place is not None:
        schema = tables.schema(*place)
        shown = {"table": place[1], "key": {column.name: row.values[column.name] for column in schema.key}}
    return {
        "contract": item.contract,
        "schedule": item.schedule,
        "key": item.key.hex(),
        "date": date_text(item.day),
        "code": item.code,
        "reason": item.reason,
        "row": shown,
    }


def _begin(view: StateView, name: str, code: bytes) -> int | None:
    """Return the height from which an accepted source runs."""
    return next((meta.active_from for meta in versions(view, name) if meta.code_id == code), None)


HANDLERS: Final[Mapping[str, Handler]] = {
    "plans": plans,
    "plan": plan,
    "contract_history": history,
    "contract_review": review,
    "parked": parked,
}
