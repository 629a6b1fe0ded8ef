"""The event feed (U36-U40, S70): contract events in chain order, resumed by a cursor that is the same on every node.

The chain itself is the queue: a reader is told what lies after its cursor, so block size and a slow reader cost no
memory here. A reader that takes nothing for `write_s` seconds is closed with `lagged` and resumes. The access
decision runs for every event over the newest state, so a suspended company's stream ends with the block that
suspends it; a revoked token ends it within a second.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from node.access.enforce import Gate
from node.access.views import in_force
from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.history import Happening, read_event
from node.api.ports import EventRow, NodeService, RequestMeter
from node.api.problems import FieldError, Problem
from node.api.query import END_OF_BLOCK, EventCursor, read_event_cursor
from node.api.routes import BY_NAME
from node.api.settings import ApiSettings

STEP: Final = 128
"""Events read between two turns of the loop."""
CACHE_EVENTS: Final = 4_096
LOOK_S: Final = 1.0
"""How often a quiet stream looks whether its token still lives (S27)."""
SNAPSHOT_DEFAULT: Final = 200
SNAPSHOT_MAX: Final = 5_000

log: Final = structlog.get_logger("api")


class Encoder:
    """Encodes each event once for all readers (U38)."""

    def __init__(self, service: NodeService) -> None:
        self._service = service
        self._cache: OrderedDict[tuple[int, int, int], tuple[Happening, bytes] | None] = OrderedDict()

    def read(self, row: EventRow) -> tuple[Happening, bytes] | None:
        """Return the event with its JSON line, or None for an event of a program this network does not have."""
        place = (row.height, row.position, row.index)
        if place in self._cache:
            self._cache.move_to_end(place)
            return self._cache[place]
        happening = read_event(self._service, row)
        found = None if happening is None else (happening, msgspec.json.encode(event_content(self._service, happening)))
        self._cache[place] = found
        while len(self._cache) > CACHE_EVENTS:
            self._cache.popitem(last=False)
        return found


def event_content(service: NodeService, happening: Happening) -> dict[str, Any]:
    """Return one event as every reader gets it."""
    return {
        "schema": "hansa.event/1",
        "id": str(happening.cursor),
        "height": happening.cursor.height,
        "time": shapes.instant(happening.time_ms),
        "transaction": happening.tx_id.hex(),
        "type": f"{happening.contract}.{happening.name}",
        "fields": shapes.typed(happening.schema, happening.fields, service.currencies, service.names),
    }


class Wish:
    """What a reader asked for: types and one company, both optional."""

    def __init__(self, types: str, company: str) -> None:
        self._types = tuple(word.strip() for word in types.split(",") if word.strip())
        self._company = company

    def wants(self, happening: Happening) -> bool:
        """Tell whether an event is asked for; `invoices` means all events of that program."""
        if self._company and self._company not in happening.parties:
            return False
        full = f"{happening.contract}.{happening.name}"
        return not self._types or any(kind in (full, happening.contract) for kind in self._types)


def start_cursor(service: NodeService, wanted: str) -> EventCursor:
    """Return where to begin: after `wanted`, or after the newest block when nothing is named (U37)."""
    if not wanted:
        return EventCursor(service.event_height(), END_OF_BLOCK, END_OF_BLOCK)
    cursor = read_event_cursor(wanted)
    oldest = service.oldest_height()
    if cursor.height < oldest - 1:
        raise Problem(
            "cursor_expired",
            f"Events are held from height {oldest} on.",
            next_step=f"Resume with from={oldest - 1}, after taking a new copy of what you keep.",
            extra={"oldest_cursor": f"{oldest}.0.0"},
        )
    if cursor.height > service.event_height():
        raise Problem(
            "invalid",
            f"?from: height {cursor.height} is not reached yet, this node is at {service.event_height()}",
            errors=(FieldError("?from", "invalid", "ahead of this node"),),
            next_step="Wait until this node has caught up, or resume at another node.",
        )
    return cursor


async def after(
    service: NodeService, encoder: Encoder, cursor: EventCursor, up_to: int, company: str
) -> AsyncIterator[tuple[Happening, bytes]]:
    """Yield the events of `company` and those of governance after a cursor, ascending, up to a height."""
    place: tuple[int, int, int] = (cursor.height, cursor.position, cursor.event)
    while True:
        rows = service.events(place, STEP, company=company, up_to=up_to)
        for row in rows:
            found = encoder.read(row)
            if found is not None:
                yield found
        if len(rows) < STEP:
            return
        place = (rows[-1].height, rows[-1].position, rows[-1].index)
        await asyncio.sleep(0)


async def events(call: Call) -> Answer:
    """The events after a cursor that are there now, at most `limit`: the answer without `Accept: text/event-stream`."""
    service = call.service
    wanted = call.query.text("from") or f"{max(0, service.oldest_height() - 1)}"
    cursor = start_cursor(service, wanted)
    limit = min(call.query.integer("limit") or SNAPSHOT_DEFAULT, SNAPSHOT_MAX)
    wish = Wish(call.query.text("types"), call.query.text("company"))
    top = service.event_height()
    lines: list[bytes] = []
    last = cursor
    async for happening, line in after(service, Encoder(service), cursor, top, call.principal.company_id):
        if len(lines) == limit:
            break
        last = happening.cursor
        if wish.wants(happening) and call.gate.sees(happening.readers):
            lines.append(line)
    return Answer(content={"lines": lines}, next_cursor=str(last))


async def stream(
    request: web.Request,
    call: Call,
    encoder: Encoder,
    settings: ApiSettings,
    meter: RequestMeter,
    closing: asyncio.Event,
) -> web.StreamResponse:
    """Follow the chain as server-sent events until the reader leaves, lags, or loses the right to read (U38, U39)."""
    service = call.service
    cursor = start_cursor(service, request.headers.get("Last-Event-ID", "") or call.query.text("from"))
    wish = Wish(call.query.text("types"), call.query.text("company"))
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            "X-Ledger-Height": str(service.event_height()),
        }
    )
    await response.prepare(request)
    meter.subscribers(1)
    try:
        await _write(response, b"retry: 2000\n\n", settings.write_s)
        clock = asyncio.get_running_loop().time
        written = clock()
        while request.transport is not None and not request.transport.is_closing() and not closing.is_set():
            gate = allowed(call)
            if gate is None:
                await _write(response, b"event: closed\ndata: access ended\n\n", settings.write_s)
                break
            top = service.event_height()
            if top > cursor.height or cursor.event != END_OF_BLOCK:
                async for happening, line in after(service, encoder, cursor, top, call.principal.company_id):
                    if wish.wants(happening) and gate.sees(happening.readers):
                        frame = b"id: %s\nevent: %s\ndata: %s\n\n" % (
                            str(happening.cursor).encode(),
                            f"{happening.contract}.{happening.name}".encode(),
                            line,
                        )
                        await _write(response, frame, settings.write_s)
                        written = clock()
                cursor = EventCursor(max(top, cursor.height), END_OF_BLOCK, END_OF_BLOCK)
            if clock() - written >= settings.heartbeat_s:
                await _write(response, b": %d\n\n" % top, settings.write_s)
                written = clock()
            await pause(service, top + 1, min(LOOK_S, settings.heartbeat_s), closing)
    except TimeoutError:
        meter.lagged()
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass  # the reader left; it resumes by its cursor
    except Exception:  # the answer has begun, so nothing but ending the connection can say it
        log.exception("api.stream_crashed", route="/v1/events")
        if request.transport is not None:
            request.transport.abort()
    finally:
        meter.subscribers(-1)
    return response


async def pause(service: NodeService, height: int, seconds: float, closing: asyncio.Event) -> None:
    """Wait until a height is there, the time is over, or the listener closes, whichever comes first."""
    waits = {
        asyncio.create_task(service.wait_height(height, timeout_s=seconds)),
        asyncio.create_task(closing.wait()),
    }
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()


def allowed(call: Call) -> Gate | None:
    """Return a gate over the newest state, or None when token, user or company are no longer in force (S27)."""
    service = call.service
    now_ms = service.wall_ms()
    if service.tokens.in_force(call.principal.token_id, now_ms) is None:
        return None
    view = service.view()
    if not in_force(view, call.principal.user_id, call.principal.company_id, now_ms):
        return None
    gate = call.engine.gate_at(call.principal, view, BY_NAME["events"].point)
    return gate if gate.route(BY_NAME["events"].action).allow else None


async def _write(response: web.StreamResponse, data: bytes, limit_s: float) -> None:
    async with asyncio.timeout(limit_s):
        await response.write(data)


HANDLERS: Final[Mapping[str, Handler]] = {"events": events}
