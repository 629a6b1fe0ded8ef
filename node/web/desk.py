"""One request of a browser: session, language, form, and the operations it may run (U3, S46-S48).

A page asks for data through `Desk.run`, which is the same path as the API: scope, role, party filter. Nothing here
reads the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from aiohttp import web

from ledger.access.model import Action
from node.access.views import in_force
from node.api.call import Answer, Principal
from node.api.problems import Problem
from node.api.server import CSRF_FIELD, FORM_LIMIT_BYTES, LISTENER, Listener, language_of
from node.api.sessions import LIFE_MS, Session
from node.api.shapes import ledger_day
from node.web import render
from node.web.texts import LANGUAGES, Catalogue, catalogue

LANGUAGE_COOKIE: Final = "hansa-lang"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
YEAR_S: Final = 365 * 86_400


class Desk:
    """What a page function gets."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.listener: Listener = request.app[LISTENER]
        self.service = self.listener.service
        self.engine = self.listener.engine
        self.principal: Principal
        self.session: Session | None
        self.principal, self.session = self.listener.principal(request)
        self.language = self.language_for(request)
        self.t: Catalogue = catalogue(self.language)
        self.form: Mapping[str, str] = {}

    # -- who

    @property
    def swaps(self) -> bool:
        """True for a request of the script of a page, which puts a part of the answer into that page."""
        return self.request.headers.get("HX-Request") == "true"

    @property
    def signed_in(self) -> bool:
        """True while session, user and company are in force; a suspended user is out with the next request (S27)."""
        return self.principal.known and in_force(
            self.service.view(), self.principal.user_id, self.principal.company_id, self.service.wall_ms()
        )

    def may_read_business(self) -> bool:
        """Tell whether the role reads business rows; operators do not (T48)."""
        gate = self.engine.gate_at(self.principal, self.service.view(), "api")
        return gate.route(Action.BUSINESS_READ).allow

    async def read_form(self) -> None:
        """Take a form after the checks on its origin and, within a session, its CSRF token (S48)."""
        self.listener.check_origin(self.request)
        body = await self.listener.read_body(self.request, FORM_TYPE, FORM_LIMIT_BYTES)
        try:
            pairs = parse_qsl(
                body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=20
            )
        except (ValueError, UnicodeDecodeError):
            raise Problem("malformed", "The form cannot be read.") from None
        self.form = dict(pairs)
        if self.session is not None:
            self.listener.check_csrf(self.session, self.form.get(CSRF_FIELD, ""))

    def today(self) -> str:
        """Return the ledger's calendar day."""
        return ledger_day(self.service.wall_ms(), self.service.utc_offset_min)

    # -- data

    async def run(
        self, name: str, *, path: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Run an operation as the signed-in person; its content with height and `next`."""
        answer: Answer = await self.engine.run(
            name, self.principal, path=path, query=(query or {}).items(), language=self.language
        )
        content: dict[str, Any] = {"height": self.service.view().height, "next": answer.next_cursor}
        content.update(answer.content)
        return content

    def query(self, *names: str) -> dict[str, str]:
        """Return those query parameters of the page that are named and not empty."""
        return {name: self.request.query[name] for name in names if self.request.query.get(name)}

    # -- answers

    async def page(
        self, template: str, title: str, *, status: int = 200, live: str = "status", **data: Any
    ) -> web.Response:
        """Return a whole page in the frame. `live` names the part that the page's one event stream refreshes."""
        frame: dict[str, Any] = {
            "title": title,
            "signed_in": self.signed_in,
            "path": self.request.path,
            "here": self.request.path_qs,
            "csrf": self.session.csrf if self.session is not None else "",
            "live": live,
            "network": None,
            "business": False,
            "me": None,
        }
        if frame["signed_in"]:
            frame["network"] = await self.run("network")
            frame["business"] = self.may_read_business()
            frame["me"] = await self.run("whoami")
        text = render.page(template, self.language, **{**frame, **data})
        return html(text, status)

    def to(self, address: str) -> web.Response:
        """Return a redirect that a browser follows with GET."""
        return web.Response(status=303, headers={"Location": address})

    def to_login(self) -> web.Response:
        """Return the way to the login page and back; the script of a page must leave the page for it, not fill it."""
        target = self.request.path_qs if self.request.method == "GET" else "/"
        address = "/login" if target == "/" else f"/login?next={quote(target, safe='')}"
        return web.Response(headers={"HX-Redirect": address}) if self.swaps else self.to(address)

    def open_session(self, token_id: str, company_id: str, user_id: str, target: str) -> web.Response:
        """Start a session with a new id and go to `target`; one that this browser had before ends (S46)."""
        self.engine.sessions.close(self.request.cookies.get(self.listener.cookie, ""))
        session_id, _ = self.engine.sessions.open(
            token_id=token_id, company_id=company_id, user_id=user_id, now_ms=self.service.wall_ms()
        )
        answer = self.to(local(target))
        answer.set_cookie(
            self.listener.cookie,
            session_id,
            max_age=LIFE_MS // 1000,
            path="/",
            secure=self.listener.settings.tls is not None,
            httponly=True,
            samesite="Strict",
        )
        return answer

    def close_session(self) -> web.Response:
        self.engine.sessions.close(self.request.cookies.get(self.listener.cookie, ""))
        answer = self.to("/login")
        answer.del_cookie(self.listener.cookie, path="/")
        return answer

    @staticmethod
    def language_for(request: web.Request) -> str:
        """Return the language a browser chose, else the one it prefers, else the node's."""
        chosen = request.cookies.get(LANGUAGE_COOKIE, "")
        return chosen if chosen in LANGUAGES else language_of(request, request.app[LISTENER].settings.language)


def local(target: str) -> str:
    """Return `target` if it is an address on this node, else the start page: no redirect leaves the site."""
    plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") else "/"


def html(text: str, status: int = 200) -> web.Response:
    """Return an HTML answer."""
    return web.Response(text=text, status=status, content_type="text/html", headers={"Vary": "Cookie, Accept-Language"})
