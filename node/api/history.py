"""What happened to the companies of this node, in chain order: the source of timelines and of the books.

The history of a company is read once from the chain and then only continued, so a request costs what is new. It
grows with the company's own business, not with the chain. Only events up to a durable height are in it (U37).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger.governance.act import GOVERNANCE
from node.access.feed import named, parties_of
from node.api.ports import EventRow, Field, NodeService
from node.api.query import END_OF_BLOCK, EventCursor
from node.api.shapes import ledger_day

STEP: Final = 256
"""Events read between two turns of the loop: a long history must not hold up votes."""
COMPANIES_MAX: Final = 8
"""Histories kept at once. A node serves its own company; more are those it acts for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One contract event with its place, its day and its named fields in wire form."""

    cursor: EventCursor
    tx_id: bytes
    time_ms: int
    day: str
    contract: str
    name: str
    schema: Sequence[Field]
    fields: Mapping[str, Any]
    parties: tuple[str, ...]
    """Companies that it names."""
    readers: tuple[str, ...]
    """Companies that may read it: the parties, of an event of governance this node's own, as every member."""


class CompanyHistory:
    """All events that name one company, ascending, and where each object is mentioned."""

    __slots__ = ("company_id", "happenings", "height", "mentions", "since")

    def __init__(self, company_id: str, since: int) -> None:
        self.company_id = company_id
        self.since = since
        """Events are here from this height on; above 1 older ones were pruned before they were read."""
        self.height = 0
        self.happenings: list[Happening] = []
        self.mentions: dict[str, list[int]] = {}

    def about(self, object_id: str) -> list[Happening]:
        """Return the events that mention an object id, in chain order."""
        return [self.happenings[index] for index in self.mentions.get(object_id, ())]

    def up_to(self, height: int) -> Sequence[Happening]:
        """Return the events up to a height."""
        if height >= self.height:
            return self.happenings
        return [happening for happening in self.happenings if happening.cursor.height <= height]

    def add(self, happening: Happening) -> None:
        index = len(self.happenings)
        self.happenings.append(happening)
        seen: set[str] = set()
        for value in happening.fields.values():
            if (
                isinstance(value, str)
                and 4 <= len(value) <= 64
                and value not in happening.parties
                and value not in seen
            ):
                seen.add(value)
                self.mentions.setdefault(value, []).append(index)


class Histories:
    """Histories by company, continued on demand."""

    def __init__(self, service: NodeService) -> None:
        self._service = service
        self._by_company: dict[str, CompanyHistory] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def of(self, company_id: str) -> CompanyHistory:
        """Return the history of a company, complete up to the durable height at the time of the call."""
        lock = self._locks.setdefault(company_id, asyncio.Lock())
        async with lock:
            history = self._by_company.get(company_id)
            if history is None:
                while len(self._by_company) >= COMPANIES_MAX:
                    gone = next(iter(self._by_company))
                    del self._by_company[gone]
                history = self._by_company[company_id] = CompanyHistory(company_id, self._service.oldest_height())
            await self._continue(history)
            return history

    async def _continue(self, history: CompanyHistory) -> None:
        goal = self._service.event_height()
        if goal <= history.height:
            return
        after: tuple[int, int, int] | None = None
        if history.height:
            after = (history.height, END_OF_BLOCK, END_OF_BLOCK)
        while True:
            rows = self._service.events(after, STEP, company=history.company_id, up_to=goal)
            for row in rows:
                happening = read_event(self._service, row)
                if happening is None or happening.contract == GOVERNANCE:
                    continue
                if history.company_id in happening.parties:
                    history.add(happening)
            if len(rows) < STEP:
                break
            after = (rows[-1].height, rows[-1].position, rows[-1].index)
            await asyncio.sleep(0)
        history.height = goal


def read_event(service: NodeService, row: EventRow) -> Happening | None:
    """Return a stored event with named fields, or None if no contract of its height declares it."""
    schema = service.event_fields(row.event, row.height)
    if schema is None:
        return None
    fields = named(schema, row.event.fields)
    parties = parties_of(schema, fields)
    head = service.head(row.height)
    time_ms = head.header.time_ms if head is not None else 0
    return Happening(
        cursor=EventCursor(row.height, row.position, row.index),
        tx_id=row.tx_id,
        time_ms=time_ms,
        day=ledger_day(time_ms, service.utc_offset_min),
        contract=row.event.contract,
        name=row.event.name,
        schema=schema,
        fields=fields,
        parties=parties,
        readers=readers_of(service, row.event.contract, parties),
    )


def readers_of(service: NodeService, contract: str, parties: tuple[str, ...]) -> tuple[str, ...]:
    """Return the companies that may read what an event of `contract` says (S70)."""
    return (service.company_id,) if contract == GOVERNANCE else parties
