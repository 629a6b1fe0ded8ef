"""The HTTP listener with API and pages. Door: `serve_api(service, settings)`.

runner = await serve_api(service, settings)      # listening when this returns
...
await runner.cleanup()                           # streams end, connections close within half a second
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from node.api.deadline import DeadlineRunner
from node.api.ports import NodeService, RequestMeter
from node.api.problems import Problem
from node.api.server import PROBLEM_PAGE, build
from node.api.settings import ApiSettings
from node.web import static
from node.web.routes import PAGES, Page

BACKLOG: Final = 128


async def serve_api(
    service: NodeService,
    settings: ApiSettings,
    meter: RequestMeter | None = None,
    spent: Callable[[int], None] = lambda _: None,
) -> web.AppRunner:
    """Open the listener and return its runner; `spent` is told the CPU nanoseconds that requests took.

    OSError: the port is in use; UnsafeListener: plain HTTP not allowed.
    """
    runner = DeadlineRunner(build_all(service, settings, meter), header_s=settings.header_s, spent=spent)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, settings.host, settings.port, ssl_context=settings.tls, backlog=BACKLOG, reuse_address=True
        )
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


def build_all(service: NodeService, settings: ApiSettings, meter: RequestMeter | None = None) -> web.Application:
    """Return the application with the API's routes and the pages."""
    app = build(service, settings, meter)
    if not settings.pages:
        return app
    app[PROBLEM_PAGE] = _problem_page
    for page in PAGES:
        app.router.add_route(page.method, page.path, _late(page), name=f"page.{page.name}")
    app.router.add_get("/static/{name:.+}", static.serve, name="static")
    return app


def _pages() -> Any:
    """Load the pages with the first request for one (E38)."""
    return importlib.import_module("node.web.pages")


def _late(page: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        answer: web.StreamResponse = await _pages().show(page, request)
        return answer

    return endpoint


def _problem_page(request: web.Request, problem: Problem) -> web.Response:
    answer: web.Response = _pages().problem_page(request, problem)
    return answer
