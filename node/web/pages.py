"""The pages: what each asks for and which template shows it. Door: `show`, called by the routes of `serve.py`."""

from __future__ import annotations

import csv
import io
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from node.api.problems import PROBLEMS, Problem, not_found
from node.api.routes import DERIVED_STATES, PAYMENT_PHASES
from node.api.server import Place
from node.web import live, render
from node.web.desk import LANGUAGE_COOKIE, YEAR_S, Desk, html, local
from node.web.refusals import refusal
from node.web.routes import Page
from node.web.texts import LANGUAGES, catalogue

PageFunction = Callable[[Desk], Awaitable[web.StreamResponse]]
FILTERS: Final = ("side", "status", "document", "partner", "currency", "due_from", "due_to")
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


async def show(page: Page, request: web.Request) -> web.StreamResponse:
    """Answer one page request: session first, then rate limit, form checks, and the page itself."""
    desk = Desk(request)
    if page.name == "live" and not desk.signed_in:
        return live.ended(desk)
    if not page.open and not desk.signed_in:
        return desk.to_login()
    desk.listener.charge(request, desk.principal, page.weight)
    if page.name == "live":
        return await live.stream(desk)
    async with Place(desk.listener):
        if page.method == "POST":
            await desk.read_form()
        return await _PAGES[page.name](desk)


def problem_page(request: web.Request, problem: Problem) -> web.Response:
    """Return a refusal as a page: what it is, why, and the next step (F85).

    Whoever is signed in keeps the ways through the pages. A script that asked for a part of a page is told to show the
    refusal in place of the whole page: it would find nothing in it for that part.
    """
    language = Desk.language_for(request)
    t = catalogue(language)
    try:
        desk = Desk(request)
        session = desk.session if desk.signed_in else None
        business = session is not None and desk.may_read_business()
    except Problem:  # the credential itself is refused
        session, business = None, False
    text = render.page(
        "problem.html",
        language,
        title=problem.kind.zh if language == "zh-CN" else problem.kind.en,
        problem=problem,
        detail=refusal(problem.detail, language),
        next_step=refusal(problem.next_step, language),
        signed_in=session is not None,
        path=request.path,
        here=request.path_qs if request.method == "GET" else "/",
        csrf=session.csrf if session is not None else "",
        live="",
        network=None,
        business=business,
        me=None,
        hint=t("problem.hint"),
    )
    answer = html(text, problem.status)
    if request.headers.get("HX-Request") == "true" and not request.path.startswith("/live/"):
        answer.headers.update({"HX-Retarget": "#main", "HX-Reselect": "#main", "HX-Reswap": "outerHTML"})
    if problem.retry_after_s:
        answer.headers["Retry-After"] = str(problem.retry_after_s)
    return answer


# -- entering and leaving


async def login(desk: Desk) -> web.Response:
    if desk.signed_in:
        return desk.to(local(desk.request.query.get("next", "/")))
    return await desk.page(
        "login.html", desk.t("login.title"), target=local(desk.request.query.get("next", "/")), failed=""
    )


async def login_with_token(desk: Desk) -> web.Response:
    target = local(desk.form.get("next", "/"))
    text = desk.form.get("token", "").strip()
    address, now_ms = desk.listener.address(desk.request), desk.service.wall_ms()
    try:
        principal = desk.listener.by_token(f"Bearer {text}", address, now_ms)
    except Problem as problem:
        if problem.code != "unauthenticated":
            raise
        return await desk.page(
            "login.html", desk.t("login.title"), status=401, target=target, failed=desk.t("login.failed")
        )
    return desk.open_session(principal.token_id, principal.company_id, principal.user_id, target)


async def login_link(desk: Desk) -> web.Response:
    """A link opens a page with one button: a preview program that follows links must not use it up."""
    return await desk.page("login_link.html", desk.t("login.title"), code=desk.request.match_info["code"])


async def login_with_link(desk: Desk) -> web.Response:
    found = desk.engine.sessions.use_link(desk.request.match_info["code"], desk.service.wall_ms())
    if found is None:
        return await desk.page(
            "login.html", desk.t("login.title"), status=401, target="/", failed=desk.t("login.link_failed")
        )
    return desk.open_session(*found, target="/")


async def logout(desk: Desk) -> web.Response:
    return desk.close_session()


async def language(desk: Desk) -> web.Response:
    answer = desk.to(local(desk.form.get("back", "/")))
    chosen = desk.form.get("lang", "")
    if chosen in LANGUAGES:
        answer.set_cookie(
            LANGUAGE_COOKIE,
            chosen,
            max_age=YEAR_S,
            path="/",
            secure=desk.listener.settings.tls is not None,
            httponly=True,
            samesite="Strict",
        )
    return answer


# -- business


async def home(desk: Desk) -> web.Response:
    if not desk.may_read_business():
        return desk.to("/network")
    return await desk.page(
        "home.html", desk.t("nav.home"), live="home", inbox=await desk.run("inbox", query={"limit": "20"})
    )


async def invoices(desk: Desk) -> web.Response:
    filters = desk.query(*FILTERS)
    found = await desk.run("invoices", query={**filters, **desk.query("cursor", "as_of", "limit"), "count": "1"})
    partners = await desk.run("companies")
    return await desk.page(
        "invoices.html",
        desk.t("nav.invoices"),
        found=found,
        filters=filters,
        partners=[item for item in partners["items"] if not item["own"]],
        statuses=[state for state in DERIVED_STATES if state not in ("early", "settled")],
        currencies=sorted(
            {total["total"]["currency"] for total in found["totals"]} | set(desk.query("currency").values())
        ),
        export=_address("/invoices/export.csv", {**filters, **desk.query("as_of")}),
        following=_following(desk, found["next"]),
    )


async def invoices_csv(desk: Desk) -> web.Response:
    """The filtered list as CSV, complete, with the same figures as the page, all of one height (S59, U53)."""
    query = {**desk.query(*FILTERS, "as_of"), "limit": "200"}
    found = await desk.run("invoices", query=query)
    height = found["height"]
    rows = [_csv_row(line) for line in found["items"]]
    while found["next"]:
        following = {**query, "cursor": found["next"], "at_height": str(height)}
        found = await desk.run("invoices", query=following)
        rows += [_csv_row(line) for line in found["items"]]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(
        [
            "id",
            "number",
            "seller",
            "buyer",
            "issued",
            "due",
            "document",
            "status",
            "currency",
            "total",
            "open",
            "height",
        ]
    )
    for row in rows:
        writer.writerow([*row, height])
    return web.Response(
        body=("\ufeff" + out.getvalue()).encode("utf-8"),
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="invoices-h{height}.csv"'},
    )


def _csv_row(line: Mapping[str, Any]) -> list[Any]:
    texts = [line["id"], line["number"] or "", line["seller"]["name"], line["buyer"]["name"]]
    return [
        *(harmless(text) for text in texts),
        line["issued"],
        line["due"],
        line["document"],
        line["status"],
        line["total"]["currency"],
        line["total"]["amount"],
        line["open"]["amount"],
    ]


def harmless(cell: str) -> str:
    """Return a text cell that no spreadsheet takes for a formula (S59)."""
    return "'" + cell if cell.startswith(FORMULA_STARTS) else cell


async def invoice(desk: Desk) -> web.Response:
    found = await desk.run("invoice", path={"invoice": desk.request.match_info["invoice"]}, query={"proof": "1"})
    return await desk.page(
        "invoice.html",
        f"{found['seller']['name']} → {found['buyer']['name']}",
        found=found,
        moments=[{**moment, "sentence": render.event_sentence(desk.t, moment)} for moment in found["timeline"]],
    )


async def payments(desk: Desk) -> web.Response:
    filters = desk.query("side", "phase")
    found = await desk.run("payments", query={**filters, **desk.query("cursor")})
    return await desk.page(
        "payments.html",
        desk.t("nav.payments"),
        found=found,
        filters=filters,
        phases=PAYMENT_PHASES,
        following=_following(desk, found["next"]),
    )


async def payment(desk: Desk) -> web.Response:
    found = await desk.run("payment", path={"payment": desk.request.match_info["payment"]})
    return await desk.page(
        "payment.html",
        f"{found['payer']['name']} → {found['payee']['name']}",
        found=found,
        moments=[{**moment, "sentence": render.event_sentence(desk.t, moment)} for moment in found["timeline"]],
    )


async def books(desk: Desk) -> web.Response:
    found = await desk.run("trial_balance", query=desk.query("as_of"))
    return await desk.page("books.html", desk.t("books.trial_balance"), found=found, tab="trial")


async def journal(desk: Desk) -> web.Response:
    found = await desk.run("journal", query={**desk.query("as_of", "from", "account", "cursor"), "limit": "50"})
    return await desk.page(
        "journal.html",
        desk.t("books.journal"),
        found=found,
        tab="journal",
        account=desk.request.query.get("account", ""),
        every_account=_address("/books/journal", desk.query("as_of", "from")),
        following=_following(desk, found["next"]),
    )


async def ageing(desk: Desk) -> web.Response:
    query = desk.query("as_of", "side")
    found = await desk.run("ageing", query=query)
    return await desk.page("ageing.html", desk.t("books.ageing"), found=found, tab="ageing")


async def company(desk: Desk) -> web.Response:
    wanted = desk.request.match_info["company"]
    known = await desk.run("companies")
    found = next((item for item in known["items"] if item["id"] == wanted), None)
    if found is None:
        raise not_found()
    listed = None
    if desk.may_read_business() and not found["own"]:
        listed = await desk.run("invoices", query={"partner": wanted, "limit": "20"})
    return await desk.page("company.html", found["name"], found=found, listed=listed, height=known["height"])


# -- network and chain


async def network(desk: Desk) -> web.Response:
    return await desk.page(
        "network.html",
        desk.t("nav.network"),
        live="network",
        found=await desk.run("network"),
        why=await desk.run("why"),
    )


async def blocks(desk: Desk) -> web.Response:
    found = await desk.run("blocks", query={**desk.query("cursor"), "limit": "30"})
    return await desk.page("blocks.html", desk.t("nav.blocks"), found=found, following=_following(desk, found["next"]))


async def block(desk: Desk) -> web.Response:
    found = await desk.run("block", path={"block": desk.request.match_info["block"]})
    return await desk.page("block.html", desk.t("block.title", height=found["height"]), found=found)


async def transaction(desk: Desk) -> web.Response:
    found = await desk.run("transaction", path={"tx": desk.request.match_info["tx"]})
    moments = []
    for event in found.get("receipt", {}).get("events", []):
        moment = {**event, "event": f"{event['contract']}.{event['name']}"}
        if isinstance(event["fields"], dict):
            moments.append({**moment, "sentence": render.event_sentence(desk.t, moment)})
    return await desk.page("transaction.html", desk.t("tx.title"), found=found, moments=moments)


async def search(desk: Desk) -> web.Response:
    text = desk.request.query.get("q", "").strip()[:120]
    found: dict[str, Any] = await desk.run("search", query={"q": text}) if text else {"items": [], "q": ""}
    if len(found["items"]) == 1:
        return desk.to(_ADDRESSES[found["items"][0]["type"]] + found["items"][0]["id"])
    return await desk.page("search.html", desk.t("search.title"), found=found, q=text, addresses=_ADDRESSES)


_ADDRESSES: Final = {
    "block": "/blocks/",
    "transaction": "/transactions/",
    "invoice": "/invoices/",
    "payment": "/payments/",
    "company": "/companies/",
}


async def state_proof(desk: Desk) -> web.Response:
    key = desk.request.match_info["key"]
    found = await desk.run("state", path={"key": key}, query={"proof": "1"})
    return _proof_file(found.get("proof"), f"state-{key[-16:]}")


async def receipt_proof(desk: Desk) -> web.Response:
    tx = desk.request.match_info["tx"]
    found = await desk.run("transaction", path={"tx": tx}, query={"proof": "1"})
    return _proof_file(found.get("proof"), f"receipt-{tx[:16]}")


def _proof_file(proof: Mapping[str, Any] | None, name: str) -> web.Response:
    if proof is None:
        raise Problem(
            "not_ready",
            "The result is not certified yet.",
            next_step="Wait for the next block; it certifies this result.",
            retry_after_s=2,
        )
    return web.Response(
        body=b64decode(proof["bytes"]),
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{name}-h{proof["height"]}.proof"'},
    )


async def problems(desk: Desk) -> web.Response:
    rows = [
        {
            "code": kind.code,
            "title": kind.zh if desk.language == "zh-CN" else kind.en,
            "status": kind.status,
            "exit": int(kind.exit),
            "retryable": kind.retryable,
        }
        for kind in PROBLEMS.values()
    ]
    return await desk.page("problems.html", desk.t("problems.title"), rows=rows)


def _address(path: str, query: Mapping[str, str]) -> str:
    """Return a local address with a query, which is left out when it is empty."""
    return f"{path}?{urlencode(query)}" if query else path


def _following(desk: Desk, cursor: str) -> str:
    """Return the address of the next page with the same filters, or "" on the last."""
    if not cursor:
        return ""
    return str(desk.request.rel_url.update_query({"cursor": cursor}))


_PAGES: Final[Mapping[str, PageFunction]] = {
    "home": home,
    "login": login,
    "login_with_token": login_with_token,
    "login_link": login_link,
    "login_with_link": login_with_link,
    "logout": logout,
    "language": language,
    "invoices": invoices,
    "invoices_csv": invoices_csv,
    "invoice": invoice,
    "payments": payments,
    "payment": payment,
    "books": books,
    "journal": journal,
    "ageing": ageing,
    "network": network,
    "blocks": blocks,
    "block": block,
    "transaction": transaction,
    "company": company,
    "search": search,
    "state_proof": state_proof,
    "receipt_proof": receipt_proof,
    "problems": problems,
}
