"""Signing in and out in a browser: token, one-time link, cookies, CSRF, sessions that end (S45-S48, T39)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from ledger.codec import encode
from ledger.registry.lookup import read_user, user_key
from node.api.sessions import DEV_COOKIE, IDLE_MS, LINK_MS
from node.web.desk import local


async def test_pages_ask_for_a_session_and_come_back(trade: Any, visit: Any, post: Any) -> None:
    client = await visit(trade, role="")
    away = await client.get("/invoices?side=sold", allow_redirects=False)
    assert away.status == 303 and away.headers["Location"] == "/login?next=%2Finvoices%3Fside%3Dsold"
    form = await client.get("/login?next=/invoices%3Fside%3Dsold")
    assert "Access token" in await form.text()
    done = await post(client, "/login", {"token": trade.token(), "next": "/invoices?side=sold"})
    assert done.status == 303 and done.headers["Location"] == "/invoices?side=sold"
    assert (await client.get("/invoices")).status == 200


@pytest.mark.control("S46")
async def test_s46_the_cookie_is_closed_to_scripts_and_other_sites(trade: Any, visit: Any, post: Any) -> None:
    client = await visit(trade, role="")
    done = await post(client, "/login", {"token": trade.token()})
    cookie = done.headers["Set-Cookie"]
    assert (
        cookie.startswith("hansa-dev=") and "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    )
    assert "Secure" not in cookie, "plain HTTP is development only"
    again = await post(client, "/login", {"token": trade.token()})
    assert again.status == 403, "within a session a form needs its CSRF token"


async def test_s53_a_wrong_token_is_refused_without_a_reason(trade: Any, visit: Any, post: Any) -> None:
    client = await visit(trade, role="")
    answer = await post(client, "/login", {"token": "hansa_x_" + "0" * 64, "next": "/invoices"})
    text = await answer.text()
    assert (
        answer.status == 401
        and "not accepted" in text
        and 'value="/invoices"' in text
        and "Set-Cookie" not in answer.headers
    )
    for _ in range(5):
        answer = await post(client, "/login", {"token": "x"})
    assert answer.status == 429 and int(answer.headers["Retry-After"]) >= 1


@pytest.mark.control("S45")
async def test_s45_a_one_time_link_opens_after_a_button_and_only_once(trade: Any, visit: Any, post: Any) -> None:
    client = await visit(trade, role="")
    made = await client.post("/v1/login-links", headers={"Authorization": f"Bearer {trade.token()}"})
    path = (await made.json())["path"]
    for _ in range(2):
        page = await client.get(path)
        assert page.status == 200 and "Set-Cookie" not in page.headers, "looking does not use it up"
    done = await post(client, path, {})
    assert done.status == 303 and (await client.get("/invoices")).status == 200
    client.session.cookie_jar.clear()
    assert (await post(client, path, {})).status == 401
    late = (await (await client.post("/v1/login-links", headers={"Authorization": f"Bearer {trade.token()}"})).json())[
        "path"
    ]
    trade.now_ms += LINK_MS
    assert (await post(client, late, {})).status == 401


@pytest.mark.control("S48", "T39")
async def test_t39_forms_of_other_sites_do_nothing(trade: Any, visit: Any, post: Any, csrf: Any) -> None:
    client = await visit(trade)
    token = csrf(await (await client.get("/")).text())
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""}):
        refused = await post(client, "/logout", {"csrf": token}, **headers)
        assert refused.status == 403
    assert (await post(client, "/logout", {"csrf": "0" * 64})).status == 403
    assert (await post(client, "/logout", {})).status == 403
    assert (await client.get("/invoices", allow_redirects=False)).status == 200, "still signed in"
    api = await client.post("/v1/login-links", headers={"Origin": f"http://{client.host}:{client.port}"})
    assert api.status == 403, "a cookie alone does not change anything over the API"
    allowed = await client.post(
        "/v1/login-links", headers={"Origin": f"http://{client.host}:{client.port}", "X-CSRF-Token": token}
    )
    assert allowed.status == 201
    assert (await post(client, "/logout", {"csrf": token})).status == 303
    assert (await client.get("/invoices", allow_redirects=False)).status == 303


async def test_s46_a_session_ends_by_idling_by_its_token_and_by_the_ledger(trade: Any, visit: Any) -> None:
    client = await visit(trade)
    trade.now_ms += IDLE_MS - 1
    assert (await client.get("/invoices", allow_redirects=False)).status == 200
    trade.now_ms += IDLE_MS
    assert (await client.get("/invoices", allow_redirects=False)).status == 303

    client = await visit(trade)
    for token in trade.token_store.list(trade.company_id):
        trade.token_store.revoke(token.id, trade.now_ms)
    assert (await client.get("/invoices", allow_redirects=False)).status == 303

    client = await visit(trade)
    person = trade.people_keys[0, "preparer"]
    user = read_user(trade.view(), person.user_id)
    trade.replace_record(user_key(person.user_id), encode(msgspec.structs.replace(user, status="suspended")))
    assert (await client.get("/invoices", allow_redirects=False)).status == 303


def test_no_redirect_leaves_the_site() -> None:
    assert local("/invoices?x=1") == "/invoices?x=1"
    for target in (
        "//evil.example",
        "https://evil.example",
        "/\\evil",
        "javascript:alert(1)",
        "",
        "evil",
        "/a\nb",
        "/é",
    ):
        assert local(target) == "/"


async def test_u57_the_language_is_remembered(trade: Any, visit: Any, post: Any, csrf: Any) -> None:
    client = await visit(trade)
    token = csrf(await (await client.get("/")).text())
    done = await post(client, "/language", {"csrf": token, "lang": "zh-CN", "back": "/network"})
    assert done.status == 303 and done.headers["Location"] == "/network"
    text = await (await client.get("/network")).text()
    assert 'lang="zh-CN"' in text and "需要 3 个" in text
    assert (await post(client, "/language", {"csrf": token, "lang": "xx", "back": "//evil"})).headers["Location"] == "/"


async def test_u51_the_live_stream_sends_only_what_changed(trade: Any, visit: Any) -> None:
    client = await visit(trade)
    answer = await client.get("/live/network", headers={"Accept": "text/event-stream"})
    assert answer.content_type == "text/event-stream"

    async def part() -> str:
        found = ""
        async with asyncio.timeout(5):
            while True:
                line = (await answer.content.readline()).decode()
                if line == "\n" and "hx-partial" in found:
                    return found
                found += line

    first, second = await part(), await part()
    assert 'id="status"' in first and 'id="network-body"' in second and "4 of 4 members" in second
    trade.cut = {trade.consensus().primary}
    both = await part() + await part()
    assert "One more failure stops them." in both and "timed out" in both
    for token in trade.token_store.list(trade.company_id):
        trade.token_store.revoke(token.id, trade.now_ms)
    assert 'id="notice"' in await part()
    assert await answer.content.read() == b"event: ended\ndata:\n\n", "and the page asks no more"


async def test_u51_a_page_of_an_ended_session_is_told_so(trade: Any, visit: Any) -> None:
    """As after a restart of the node, which forgets sessions: the page asks again, and must not ask for ever."""
    client = await visit(trade)
    assert (await client.get("/live/secrets")).status == 404, "signed in, and no such part"
    trade.now_ms += 2 * IDLE_MS
    answer = await client.get("/live/status", headers={"Accept": "text/html, text/event-stream"})
    text = await answer.text()
    assert answer.status == 200 and answer.content_type == "text/event-stream"
    assert 'id="notice"' in text and "Your session has ended" in text and text.endswith("event: ended\ndata:\n\n")
    part = await client.get("/invoices?side=sold", headers={"HX-Request": "true"}, allow_redirects=False)
    assert part.headers["HX-Redirect"] == "/login?next=%2Finvoices%3Fside%3Dsold"
    assert (part.status, await part.text()) == (200, ""), "nothing that could fill a part of the page"


@pytest.mark.control("S46")
async def test_s46_signing_in_again_ends_the_session_before(trade: Any, visit: Any, post: Any, csrf: Any) -> None:
    client = await visit(trade)
    (before,) = [cookie.value for cookie in client.session.cookie_jar if cookie.key == DEV_COOKIE]
    form = csrf(await (await client.get("/")).text())
    again = await post(client, "/login", {"csrf": form, "token": trade.token("preparer")})
    assert again.status == 303 and again.cookies[DEV_COOKIE].value != before
    assert (await client.get("/invoices", allow_redirects=False)).status == 200
    client.session.cookie_jar.update_cookies({DEV_COOKIE: before}, client.make_url("/"))
    old = await client.get("/invoices", allow_redirects=False)
    assert old.status == 303 and old.headers["Location"].startswith("/login"), "it is over, not forgotten"


async def test_pages_can_be_switched_off(trade: Any, visit: Any) -> None:
    client = await visit(trade, role="", pages=False)
    assert (await client.get("/login")).status == 404 and (await client.get("/v1/status")).status == 200
