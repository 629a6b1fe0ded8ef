"""The operations listener: `/livez`, `/readyz`, `/startupz`, `/metrics` (U61, U59). Door: `serve_ops`.

Small and without credentials, therefore loopback by default and on a port of its own (S49). Losing the quorum never
fails `/livez`: restarting a node does not bring other companies back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from node.ops.figures import Source, fill
from node.ops.metrics import Registry

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
IDLE_S: Final = 30.0
NEXT_STEPS: Final = {
    "syncing": "wait until the node has caught up",
    "behind": "see `hansa node why`: the others are ahead, and none of the blocks between is on its way",
    "no_quorum": "see `hansa node why`: other members are missing",
    "disk": "free space on the disk of the data directory",
    "clock": "set the clock of this machine",
    "learner": "the node does not vote; put no other copy of its data back: it needs a new consensus key",
    "halted": "the node found a contradiction: keep its data and read the log",
}
"""Reason of `/readyz` -> what to do (U16)."""


async def serve_ops(source: Source, address: tuple[str, int], registry: Registry | None = None) -> web.AppRunner:
    """Open the listener at (host, port) and return its runner. Hand the same registry to the API to count requests."""
    runner = web.AppRunner(
        build_ops(source, registry or Registry()),
        access_log=None,
        keepalive_timeout=IDLE_S,
        lingering_time=0,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, address[0], address[1], reuse_address=True).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


def build_ops(source: Source, registry: Registry) -> web.Application:
    """Return the application of the operations listener."""

    async def livez(_: web.Request) -> web.Response:
        return _answer(200, {"schema": "hansa.health/1", "alive": True})

    async def readyz(_: web.Request) -> web.Response:
        reasons = source.not_ready()
        now = source.consensus()
        return _answer(
            503 if reasons else 200,
            {
                "schema": "hansa.health/1",
                "ready": not reasons,
                "height": now.height,
                "reasons": [
                    {
                        "code": reason,
                        "detail": {"learner": now.vote_problem, "halted": now.halt_reason}.get(reason, ""),
                        "next": NEXT_STEPS.get(reason, "see the log"),
                    }
                    for reason in reasons
                ],
            },
        )

    async def startupz(_: web.Request) -> web.Response:
        return _answer(200, {"schema": "hansa.health/1", "started": True})

    async def metrics(_: web.Request) -> web.Response:
        fill(registry, source)
        return web.Response(body=registry.text().encode("utf-8"), headers={"Content-Type": METRICS_TYPE})

    app = web.Application(client_max_size=1024, middlewares=[_quiet])
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/startupz", startupz)
    app.router.add_get("/metrics", metrics)
    return app


@web.middleware
async def _quiet(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer unknown addresses in JSON too, and forbid caching."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _answer(error.status, {"schema": "hansa.problem/1", "status": error.status, "title": error.reason})
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _answer(status: int, content: dict[str, object]) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")
