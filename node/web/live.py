"""The one event stream of a page (U51): parts of the page, rendered again when what they show has changed.

A message holds `<hx-partial>` elements; each replaces the element of that id. Nothing is sent while nothing changes,
so a quiet network is quiet in the browser and for a screen reader too.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

import structlog
from aiohttp import web

from node.api.events import pause
from node.api.problems import Problem, not_found
from node.web import render
from node.web.desk import Desk

HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
PARTS: Final = ("status", "network", "home")
log: Final = structlog.get_logger("api")

LOOK_S: Final = 1.0
AGES_S: Final = 10.0
"""A part in which only ages grew is sent this often: once a second would be noise, most of all when read aloud."""
_AGE: Final = re.compile(r"\b[0-9]+ ?(?:s|min|h|days|秒|分钟|小时|天)(?![A-Za-z])")

ENDED: Final = "event: ended\ndata:\n\n"
"""After this event a page asks no more; `frame.html` names it too."""


def ended(desk: Desk) -> web.Response:
    """Answer a page whose session is over, as after a restart of the node: it says so, and asks no more."""
    return web.Response(text=_notice(desk) + ENDED, headers=HEADERS)


async def stream(desk: Desk) -> web.StreamResponse:
    """Send the parts of a page until the browser leaves or the session ends."""
    part = desk.request.match_info["part"]
    if part not in PARTS or (part == "home" and not desk.may_read_business()):
        raise not_found()
    listener = desk.listener
    if listener.streams >= listener.settings.streams_max:
        raise Problem("not_ready", "Too many event streams are open.", retry_after_s=5)
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(desk.request)
    listener.streams += 1
    listener.meter.subscribers(1)
    try:
        await _follow(desk, part, response)
    except TimeoutError:
        listener.meter.lagged()
        if desk.request.transport is not None:
            desk.request.transport.abort()
    except ConnectionError:
        pass  # the browser left
    except Exception:  # the answer has begun, so nothing but ending the connection can say it
        log.exception("api.stream_crashed", route="/live/{part}")
        if desk.request.transport is not None:
            desk.request.transport.abort()
    finally:
        listener.streams -= 1
        listener.meter.subscribers(-1)
    return response


async def _follow(desk: Desk, part: str, response: web.StreamResponse) -> None:
    settings = desk.listener.settings
    clock = asyncio.get_running_loop().time
    sent: dict[str, tuple[str, float]] = {}
    written = clock()
    shown = (-1, "")
    closing = desk.listener.closing
    while desk.request.transport is not None and not desk.request.transport.is_closing() and not closing.is_set():
        if not _still_open(desk):
            await _send(response, _notice(desk) + ENDED, settings.write_s)
            return
        height = desk.service.view().height
        for name, text in (await _parts(desk, part, fresh=(height, desk.today()) != shown)).items():
            still, when = sent.get(name, ("", 0.0))
            if still != _without_ages(text) or (clock() - when >= AGES_S and _without_ages(text) != text):
                sent[name] = (_without_ages(text), clock())
                await _send(response, _message(name, text), settings.write_s)
                written = clock()
        if clock() - written >= settings.heartbeat_s:
            await _send(response, ": alive\n\n", settings.write_s)
            written = clock()
        shown = (height, desk.today())
        await pause(desk.service, height + 1, LOOK_S, closing)


def _still_open(desk: Desk) -> bool:
    """Tell whether session, token, user and company are all still in force; looking is not use of the session."""
    now_ms = desk.service.wall_ms()
    if desk.session is None or desk.service.tokens.in_force(desk.principal.token_id, now_ms) is None:
        return False
    cookie = desk.request.cookies.get(desk.listener.cookie, "")
    return desk.engine.sessions.find(cookie, now_ms, touch=False) is not None and desk.signed_in


async def _parts(desk: Desk, part: str, *, fresh: bool) -> dict[str, str]:
    """Return id -> HTML of what this page keeps fresh; business only when height or day moved (`fresh`)."""
    network = await desk.run("network")
    found = {"status": render.page("part_status.html", desk.language, network=network)}
    if part == "network":
        why = await desk.run("why")
        found["network-body"] = render.page("part_network.html", desk.language, found=network, why=why)
    if part == "home" and fresh:
        inbox = await desk.run("inbox", query={"limit": "20"})
        found["home-body"] = render.page("part_home.html", desk.language, inbox=inbox)
    return found


def _notice(desk: Desk) -> str:
    return _message("notice", render.page("live_ended.html", desk.language))


def _without_ages(text: str) -> str:
    return _AGE.sub("#", text)


def _message(name: str, text: str) -> str:
    """Return the message that puts `text` into the element of the id `name`."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f'data: <hx-partial id="{name}" hx-swap="innerMorph">\n{lines}data: </hx-partial>\n\n'


async def _send(response: web.StreamResponse, message: str, limit_s: float) -> None:
    async with asyncio.timeout(limit_s):
        await response.write(message.encode("utf-8"))
