"""The HTTP listener: from a request to an operation and back (U23-U33, S45-S54). Door: `build`.

Order of a request, first refusal ends it
    host allow-list (S49) -> no Content-Encoding (S51) -> credential (S45, S46) -> origin and CSRF for unsafe methods
    with a cookie (S48) -> token buckets (S52) -> a free place among the running requests -> body under a deadline
    and a size limit (S51) -> operation -> JSON

Every refusal, 404, 405 and crash included, is a problem document (U33). The one broad catch of the listener is
here; it logs with the request id and tells the caller nothing about internals.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from node.api import (
    books,
    business,
    chain,
    entry,
    events,
    find,
    governance,
    intake,
    invoices,
    network,
    plans,
    rehearsals,
)
from node.api.call import ANONYMOUS, Answer, Call, Handler, Principal
from node.api.engine import Engine, unauthenticated
from node.api.limits import Buckets, LoginGuard, Verdict
from node.api.ports import NodeService, NoMeter, RequestMeter
from node.api.problems import Problem, not_found
from node.api.query import WAIT_MAX_S, parse
from node.api.routes import BY_NAME, OPERATIONS, Operation, Scope
from node.api.sessions import COOKIE, DEV_COOKIE, Session, csrf_matches
from node.api.settings import ApiSettings
from node.store.blobs import MAP_SETTING
from node.store.errors import DISK_FULL, MAP_FULL, StoreFailed

HANDLERS: Final[Mapping[str, Handler]] = {
    **network.HANDLERS,
    **governance.HANDLERS,
    **plans.HANDLERS,
    **rehearsals.HANDLERS,
    **chain.HANDLERS,
    **invoices.HANDLERS,
    **business.HANDLERS,
    **books.HANDLERS,
    **find.HANDLERS,
    **entry.HANDLERS,
    **intake.HANDLERS,
    **events.HANDLERS,
}
"""Every operation of the table; `Engine` refuses to start when one is missing (S67)."""

SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf"
FORM_LIMIT_BYTES: Final = 16 * 1024
_BEARER: Final = re.compile(r"[Bb]earer ([!-~]{1,128})", re.ASCII)
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,3})(?:$|[,;\s])", re.ASCII)

log: Final = structlog.get_logger("api")


class Listener:
    """What all requests of one listener share."""

    def __init__(self, service: NodeService, settings: ApiSettings, meter: RequestMeter) -> None:
        settings.check(service.production)
        self.service = service
        self.settings = settings
        self.meter = meter
        self.engine = Engine(service, HANDLERS)
        self.buckets = Buckets(settings.rates)
        self.logins = LoginGuard()
        self.encoder = events.Encoder(service)
        self.streams = 0
        self.running = asyncio.Semaphore(settings.requests_max)
        self.waiting = asyncio.Semaphore(settings.waits_max)
        self.closing = asyncio.Event()
        """Set when the listener closes: open streams end at once."""
        self.cookie = COOKIE if settings.tls is not None else DEV_COOKIE

    # -- credentials

    def address(self, request: web.Request) -> str:
        """Return the peer's address as the socket says it; no forwarding header is believed."""
        return request.remote or ""

    def principal(self, request: web.Request) -> tuple[Principal, Session | None]:
        """Return who asks: by bearer token, else by session cookie, else anonymous. A bad credential is refused."""
        now_ms = self.service.wall_ms()
        header = request.headers.get("Authorization")
        if header is not None:
            return self.by_token(header, self.address(request), now_ms), None
        cookie = request.cookies.get(self.cookie)
        if cookie is None:
            return ANONYMOUS, None
        session = self.engine.sessions.find(cookie, now_ms)
        if session is None:
            return ANONYMOUS, None
        token = self.service.tokens.in_force(session.token_id, now_ms)
        if token is None:
            self.engine.sessions.close(cookie)
            return ANONYMOUS, None
        return (
            Principal(
                kind="session",
                token_id=token.id,
                company_id=session.company_id,
                user_id=session.user_id,
                label=token.label,
                scopes=frozenset(token.scopes),
                address=self.address(request),
            ),
            session,
        )

    def by_token(self, header: str, address: str, now_ms: int) -> Principal:
        """Return the principal of an Authorization header; the same refusal for every reason (S53)."""
        now_ns = time.monotonic_ns()
        self.slow_down(address, now_ns)
        match = _BEARER.fullmatch(header)
        token = self.service.tokens.verify(match.group(1) if match else "", address, now_ms)
        if token is None:
            self.logins.failed(address, now_ns)
            raise unauthenticated()
        self.logins.succeeded(address)
        return Principal(
            kind="token",
            token_id=token.id,
            company_id=token.company_id,
            user_id=token.user_id,
            label=token.label,
            scopes=frozenset(token.scopes),
            address=address,
        )

    def slow_down(self, address: str, now_ns: int) -> None:
        """Raise `rate_limited` while an address prefix has failed too often (S53)."""
        wait_s = self.logins.wait_s(address, now_ns)
        if wait_s:
            raise Problem(
                "rate_limited",
                "Too many failed attempts from this network.",
                next_step=f"Wait {wait_s} s.",
                retry_after_s=wait_s,
            )

    def check_origin(self, request: web.Request) -> None:
        """Raise `forbidden` unless an unsafe request of a browser comes from our own pages (S48)."""
        origin = request.headers.get("Origin", "")
        if origin != f"{request.scheme}://{request.host}":
            raise Problem(
                "forbidden",
                "This request does not come from a page of this node.",
                next_step="Open the page of this node and try again there.",
            )

    def check_csrf(self, session: Session, shown: str) -> None:
        """Raise `forbidden` unless the session's CSRF token is shown (S48)."""
        if not csrf_matches(session, shown):
            raise Problem(
                "forbidden",
                "The form is out of date or does not belong to your session.",
                next_step="Load the page again and repeat the step.",
            )

    # -- checks before any work

    def check_request(self, request: web.Request) -> None:
        """Raise `wrong_host` or `media_type` for requests that are not for us (S49, S51)."""
        if request.url.host not in self.settings.hosts or len(request.headers.getall("Host", [])) != 1:
            raise Problem(
                "wrong_host",
                "This node does not answer to that host name.",
                next_step="Use the configured name, or add it to api.hosts.",
            )
        if "Content-Encoding" in request.headers:
            raise Problem("media_type", "Compressed request bodies are not taken.", next_step="Send it as it is.")

    def charge(self, request: web.Request, principal: Principal, weight: int) -> Verdict:
        """Take the weight of an operation from the buckets, or raise `rate_limited` (S52)."""
        verdict = self.buckets.charge(
            principal=principal.token_id,
            company=principal.company_id,
            address=self.address(request),
            weight=weight,
            now_ns=time.monotonic_ns(),
        )
        if verdict.retry_after_s:
            raise Problem(
                "rate_limited",
                "The rate limit of this token, company or network is used up.",
                next_step=f"Wait {verdict.retry_after_s} s; the operator may raise the rate of a token.",
                retry_after_s=verdict.retry_after_s,
            )
        return verdict

    async def read_body(self, request: web.Request, media_type: str, limit_bytes: int) -> bytes:
        """Read a body of the expected type under deadline and limit (S51)."""
        if request.content_type != media_type:
            raise Problem(
                "media_type",
                f"The body must be {media_type}.",
                next_step=f"Send the header Content-Type: {media_type}.",
            )
        declared = request.content_length
        if declared is not None and declared > limit_bytes:
            raise _too_large(limit_bytes)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.settings.body_s):
                async for part in request.content.iter_any():
                    size += len(part)
                    if size > limit_bytes:
                        raise _too_large(limit_bytes)
                    parts.append(part)
        except TimeoutError:
            raise Problem("timeout", "The body did not arrive in time.", next_step="Send it again.") from None
        return b"".join(parts)


LISTENER: Final[web.AppKey[Listener]] = web.AppKey("listener", Listener)
ProblemPage = Callable[[web.Request, Problem], web.Response]
PROBLEM_PAGE: Final[web.AppKey[ProblemPage]] = web.AppKey("problem_page")
"""Set by the pages: how a refusal looks to a browser outside `/v1`."""
REQUEST_ID: Final = web.RequestKey("request_id", str)


def build(service: NodeService, settings: ApiSettings, meter: RequestMeter | None = None) -> web.Application:
    """Return the application with all routes of the table; raises before anything listens if a row is incomplete."""
    app = web.Application(middlewares=[guard])
    listener = Listener(service, settings, meter or NoMeter())
    app[LISTENER] = listener
    app.on_shutdown.append(_close_streams)
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, _endpoint(listener, operation), name=operation.name)
    return app


async def _close_streams(app: web.Application) -> None:
    app[LISTENER].closing.set()


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give every request an id, every refusal its problem document, and count everything."""
    listener = request.app[LISTENER]
    request_id = secrets.token_hex(8)
    request[REQUEST_ID] = request_id
    started = time.monotonic()
    route = route_label(request)
    try:
        listener.check_request(request)
        response = await handler(request)
    except Problem as problem:
        response = problem_response(problem, request)
    except web.HTTPNotFound:
        response = problem_response(not_found(), request)
    except web.HTTPMethodNotAllowed as error:
        response = problem_response(
            Problem("method_not_allowed", f"Allowed here: {', '.join(sorted(error.allowed_methods))}."), request
        )
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    except web.HTTPRequestEntityTooLarge:
        response = problem_response(Problem("too_large"), request)
    except web.HTTPException as error:
        if error.status < 400:
            secure(error)
            raise
        response = problem_response(Problem("malformed", error.reason), request)
    except (ConnectionError, asyncio.CancelledError):
        raise
    except StoreFailed as error:
        log.error("api.store_failed", route=route, request_id=request_id, cause=error.cause, detail=str(error))
        response = problem_response(_not_stored(error), request)
    except Exception:
        log.exception("api.crashed", route=route, request_id=request_id)
        response = problem_response(Problem("internal", f"The node has logged this under {request_id}."), request)
    if not response.prepared:
        secure(response)
        response.headers["X-Request-Id"] = request_id
    listener.meter.request(route, request.method, response.status, time.monotonic() - started)
    return response


def route_label(request: web.Request) -> str:
    """Return the route's pattern, a closed set: never the path a client chose (U59)."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def secure(response: web.StreamResponse) -> None:
    """Set the headers that every answer carries (S50)."""
    headers = response.headers
    headers.setdefault(
        "Content-Security-Policy",
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    )
    headers["X-Content-Type-Options"] = "nosniff"
    # Not "no-referrer": browsers then send "Origin: null" with forms of our own pages, and S48 could not be checked.
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers.setdefault("Cache-Control", "no-store")


def problem_response(problem: Problem, request: web.Request) -> web.Response:
    """Return the RFC 9457 answer of a refusal, or a page where a browser asked for one."""
    page = request.app.get(PROBLEM_PAGE)
    if page is not None and not request.path.startswith("/v1/") and "text/html" in request.headers.get("Accept", ""):
        return page(request, problem)
    headers = {}
    if problem.retry_after_s:
        headers["Retry-After"] = str(problem.retry_after_s)
    if problem.code == "unauthenticated":
        headers["WWW-Authenticate"] = 'Bearer realm="hansa"'
    return web.Response(
        body=msgspec.json.encode(problem.document(request.get(REQUEST_ID, ""))),
        status=problem.status,
        content_type="application/problem+json",
        headers=headers,
    )


def _endpoint(listener: Listener, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        principal, session = listener.principal(request)
        if session is not None and operation.method not in SAFE_METHODS:
            listener.check_origin(request)
            listener.check_csrf(session, request.headers.get(CSRF_HEADER, ""))
        if operation.scope is not Scope.NONE and not principal.known:
            raise unauthenticated()
        verdict = listener.charge(request, principal, operation.weight)
        if operation.name == "events" and "text/event-stream" in request.headers.get("Accept", ""):
            return await _stream(listener, operation, principal, request)
        async with Place(listener, waits=_may_wait(operation, request)):
            body = b""
            if operation.body:
                body = await listener.read_body(request, operation.body, operation.body_limit_bytes)
            answer = await listener.engine.run(
                operation.name,
                principal,
                path=dict(request.match_info),
                query=request.query.items(),
                body=body,
                prefer_wait_s=_preferred_wait(request),
                language=language_of(request, listener.settings.language),
            )
        return answer_response(operation, answer, listener.service, request, verdict)

    return endpoint


class Place:
    """One of the running requests; waits a little for a free place, then refuses (S52)."""

    def __init__(self, listener: Listener, *, waits: bool = False) -> None:
        self._places = listener.waiting if waits else listener.running
        self._queue_s = listener.settings.queue_s

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(self._queue_s):
                await self._places.acquire()
        except TimeoutError:
            raise Problem(
                "not_ready", "Too many requests are in work.", next_step="Try again in a moment.", retry_after_s=1
            ) from None

    async def __aexit__(self, *_: object) -> None:
        self._places.release()


async def _stream(
    listener: Listener, operation: Operation, principal: Principal, request: web.Request
) -> web.StreamResponse:
    if listener.streams >= listener.settings.streams_max:
        raise Problem("not_ready", "Too many event streams are open.", next_step="Try again later.", retry_after_s=5)
    engine, service = listener.engine, listener.service
    engine.admit(operation, principal)
    view = service.view()
    call = Call(
        engine=engine,
        service=service,
        operation=operation,
        principal=principal,
        view=view,
        gate=engine.gate(principal, view, operation),
        wall_ms=service.wall_ms(),
        query=parse(operation, request.query.items()),
    )
    listener.streams += 1
    try:
        return await events.stream(request, call, listener.encoder, listener.settings, listener.meter, listener.closing)
    finally:
        listener.streams -= 1


def answer_response(
    operation: Operation, answer: Answer, service: NodeService, request: web.Request, verdict: Verdict | None = None
) -> web.Response:
    """Return the JSON (or newline-delimited JSON) answer with its height (U11, U25, U30)."""
    told = answer.content.get("height") if answer.of_state else None
    height = told if isinstance(told, int) else service.view().height
    headers = {"X-Ledger-Height": str(height), "Vary": "Authorization, Cookie, Accept"}
    if answer.of_state:
        headers["ETag"] = f'"h{height}"'
    if answer.location:
        headers["Location"] = answer.location
    if verdict is not None:
        headers["RateLimit"] = f'"default";r={verdict.remaining};t=1'
        headers["RateLimit-Policy"] = f'"default";q={verdict.rate.burst};w=1'
    if answer.next_cursor and operation.name != "events":
        following = request.url.update_query({"cursor": answer.next_cursor}).path_qs
        headers["Link"] = f'<{following}>; rel="next"'
    if operation.name == "events":
        headers["X-Next-Cursor"] = answer.next_cursor
        lines: list[bytes] = answer.content["lines"]
        body = b"".join(line + b"\n" for line in lines)
        return web.Response(body=body, content_type="application/x-ndjson", headers=headers)
    return web.Response(
        body=msgspec.json.encode(document(operation, answer, height)),
        status=answer.status,
        content_type="application/json",
        headers=headers,
    )


def document(operation: Operation, answer: Answer, height: int) -> dict[str, Any]:
    """Return the JSON object of an answer: schema and height first (U11, U4)."""
    content: dict[str, Any] = {"schema": f"hansa.{operation.schema}/1", "height": height}
    content.update(answer.content)
    if answer.next_cursor:
        content["next"] = answer.next_cursor
    return content


def language_of(request: web.Request, fallback: str) -> str:
    """Return "zh-CN" or "en" by Accept-Language; JSON itself is never localised, only sentences are."""
    wanted = request.headers.get("Accept-Language", "")[:200].lower()
    for part in wanted.split(","):
        tag = part.split(";")[0].strip()
        if tag.startswith("zh"):
            return "zh-CN"
        if tag.startswith("en"):
            return "en"
    return fallback


def _may_wait(operation: Operation, request: web.Request) -> bool:
    """Tell whether a request may wait: for a block when it asked to (U14, U25), or in the line of what is handed in."""
    if operation.name in ("submit", "submit_batch"):
        return True
    return "Prefer" in request.headers or "wait" in request.query or "min_height" in request.query


def _preferred_wait(request: web.Request) -> int:
    match = _WAIT.search(request.headers.get("Prefer", "")[:200])
    return min(int(match.group(1)), WAIT_MAX_S) if match else 0


def _not_stored(error: StoreFailed) -> Problem:
    """Return what the disk said and what to do about it. The only store that requests write is that of originals."""
    if error.cause == DISK_FULL:
        return Problem(
            "store_failed",
            f"The disk of this node is full: {error.detail}.",
            next_step="Free space on it and start the node again.",
        )
    if error.cause == MAP_FULL:
        return Problem(
            "store_failed",
            f"The document store of this node is full: {error.detail}.",
            next_step=f"Raise {MAP_SETTING} in the configuration and start the node again.",
        )
    return Problem(
        "store_failed",
        f"The document store of this node cannot be written: {error.detail}.",
        next_step="Check the disk and the owner of the folder, then start the node again.",
    )


def _too_large(limit_bytes: int) -> Problem:
    return Problem(
        "too_large", f"The body is over {limit_bytes} bytes.", next_step="Split it.", extra={"limit_bytes": limit_bytes}
    )


__all__ = ["BY_NAME", "Listener", "build"]
